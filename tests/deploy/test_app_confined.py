"""The Home Assistant app in Docker, confined by its AppArmor profile.

It needs root, Docker and a kernel with AppArmor, as Debian's has: run `make test-apparmor`.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import pytest

from tests.support.brokers import Mosquitto, free_port, needs_mosquitto, wait_until, witness
from tests.support.supervisor import TOKEN, answer_of, supervising

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "homeassistant-app" / "edgepose"
IMAGE: Final = os.environ.get("EDGEPOSE_APP_IMAGE", "")
ENABLED: Final = Path("/sys/module/apparmor/parameters/enabled")
PRINTK: Final = Path("/proc/sys/kernel/printk_ratelimit")
TOOLS: Final = ("docker", "apparmor_parser", "dmesg")
PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
NAME: Final = "edgepose-confined-test"
SUPERVISOR: Final = "172.30.32.2"
ADDRESS: Final = "172.30.33.5"
PATIENCE_S: Final = 300.0  # an emulated machine needs a minute to load a model

missing = [name for name in TOOLS if shutil.which(name, path=PATH) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    needs_mosquitto,
    pytest.mark.skipif(not IMAGE, reason="needs the app's image: make test-apparmor"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(bool(missing), reason=f"no {', '.join(missing)} here"),
    pytest.mark.skipif(
        not ENABLED.exists() or ENABLED.read_text().strip() != "Y",
        reason="this kernel has no AppArmor",
    ),
]

FILE: Final = """\
[device]
id = "home"
[clips]
keep = "/data/clips"
[model]
name = "movenet-lightning"
"""

FORBIDDEN: Final = {
    "write below /etc": "echo x >/etc/edgepose-test",
    "change the program": "echo >>/opt/edgepose/run.py",
    "read the home of root": "cat /root/.bashrc",
    "mount": "mount -t tmpfs none /mnt",
    "open a raw socket": "python3 -c 'import socket as s; s.socket(s.AF_INET, s.SOCK_RAW, 1)'",
    "change a kernel setting": "echo x >/proc/sys/kernel/hostname",
    "change its user": "python3 -c 'import os; os.setuid(1000)'",
}


def do(*words: str, code: int = 0) -> str:
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "PATH": PATH}
    )
    assert done.returncode == code, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def denials() -> list[str]:
    """Return what the kernel has refused the profile so far."""
    marks = 'apparmor="DENIED"', f'profile="{NAME}"'
    return [line for line in do("dmesg").splitlines() if all(mark in line for mark in marks)]


@pytest.fixture(scope="module", autouse=True)
def profile() -> Iterator[None]:
    """Load the profile under another name; what it refuses silently is logged as well."""
    text = (FOLDER / "apparmor.txt").read_text()
    text = text.replace("\nprofile edgepose ", f"\nprofile {NAME} ").replace(
        "  deny ", "  audit deny "
    )
    limit = PRINTK.read_text()
    PRINTK.write_text("0")
    words = ["apparmor_parser", "--replace", "--skip-cache"]
    subprocess.run(words, input=text, text=True, check=True, env={**os.environ, "PATH": PATH})
    try:
        yield
    finally:
        words = ["apparmor_parser", "--remove"]
        subprocess.run(words, input=text, text=True, check=True, env={**os.environ, "PATH": PATH})
        PRINTK.write_text(limit)


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    """Make a network like Home Assistant's, where this machine has the Supervisor's address."""
    do("docker", "network", "create", "--subnet=172.30.32.0/23", f"--gateway={SUPERVISOR}", NAME)
    try:
        yield
    finally:
        do("docker", "network", "rm", NAME)


@contextmanager
def container(*settings: str) -> Iterator[None]:
    """Run the image as the Supervisor does: with an init, confined, and without more rights."""
    words = [
        "docker",
        "run",
        "--detach",
        f"--name={NAME}",
        "--init",
        f"--env=SUPERVISOR_TOKEN={TOKEN}",
    ]
    do(*words, *settings, IMAGE, *(["sleep", "3600"] if "--network=none" in settings else []))
    try:
        yield
    except BaseException as error:
        words = ["docker", "logs", NAME]
        logs = subprocess.run(words, capture_output=True, text=True, check=False)
        error.add_note(logs.stdout + logs.stderr)
        raise
    finally:
        do("docker", "rm", "--force", NAME)


def ask(path: str, port: int = 8099) -> tuple[int, bytes]:
    """Send a request from the Supervisor's address; return status and body, 0 if refused."""
    return answer_of(HTTPConnection(ADDRESS, port, 60, (SUPERVISOR, 0)), path, {})


def test_it_needs_nothing_that_is_refused(network: None, tmp_path: Path) -> None:
    """Poses, the page, a clip and a recording work, and no access is denied."""
    data, config = tmp_path / "data", tmp_path / "config"
    data.mkdir()
    config.mkdir()
    (config / "edgepose.toml").write_text(FILE)
    options = {"cameras": [{"id": "demo", "source": "demo://"}], "log_level": "info"}
    (data / "options.json").write_text(json.dumps(options))
    before, port = denials(), free_port()
    beside = ("allow_anonymous true", f"listener {port} {SUPERVISOR}")
    with (
        supervising((SUPERVISOR, 80)) as house,
        Mosquitto(tmp_path, *beside) as broker,
        witness(broker.port, "edgepose/home/#") as seen,
    ):
        house.mqtt = {"host": "core-mosquitto", "port": port, "addon": "core_mosquitto"}
        with container(
            f"--network={NAME}",
            f"--ip={ADDRESS}",
            f"--add-host=supervisor:{SUPERVISOR}",
            f"--add-host=core-mosquitto:{SUPERVISOR}",
            f"--volume={data}:/data",
            f"--volume={config}:/config",
            "--tmpfs=/tmp",
            f"--security-opt=apparmor={NAME}",
        ):
            seen.until(lambda m: b'"keypoints"' in m.payload, PATIENCE_S)
            for process in do("docker", "top", NAME, "-eo", "pid").split()[1:]:
                label = Path(f"/proc/{process}/attr/current").read_text()
                assert label.strip() == f"{NAME} (enforce)"
            assert wait_until(lambda: ask("/health", 8098)[0] == 200, PATIENCE_S)
            assert wait_until(lambda: b"<title>" in ask("/")[1], PATIENCE_S)
            assert json.loads(ask("/api/config")[1])["editable"] is True

            seen.publish("edgepose/home/request/clip", b'{"camera": "demo"}')
            assert wait_until(lambda: [*data.glob("clips/demo/*.webp")], PATIENCE_S)
            url = f"mqtt://core-mosquitto:{port}"
            words = ["edgepose", "record", "--mqtt", url, "--for", "20", "-o", "/config/day.jsonl"]
            do("docker", "exec", NAME, *words)
            assert '"keypoints"' in (config / "day.jsonl").read_text()
            do("docker", "kill", "--signal=HUP", NAME)
            seen.until(lambda m: b'"keypoints"' in m.payload, PATIENCE_S)

            do("docker", "stop", "--time=60", NAME)
            code = do("docker", "inspect", "--format={{.State.ExitCode}}", NAME)
            words = ["docker", "logs", NAME]
            log = subprocess.run(words, capture_output=True, text=True, check=True).stderr
    assert code == "0"
    assert "Traceback" not in log
    assert denials() == before


def test_the_rest_is_refused() -> None:
    """By the profile alone: without it the same container may do all of it."""
    rights = ("--cap-add=SYS_ADMIN", "--cap-add=NET_RAW", "--cap-add=SETUID")
    open_ = (*rights, "--security-opt=seccomp=unconfined", "--security-opt=systempaths=unconfined")
    with container("--network=none", *open_, "--security-opt=apparmor=unconfined"):
        for script in FORBIDDEN.values():
            do("docker", "exec", NAME, "sh", "-c", script)
    with container("--network=none", *open_, f"--security-opt=apparmor={NAME}"):
        for script in FORBIDDEN.values():
            before = denials()
            do("docker", "exec", NAME, "sh", "-c", f"{script} || exit 9", code=9)
            assert len(denials()) > len(before), script
