"""The image of the Home Assistant app, built from its Dockerfile and run in a container.

It needs root, buildah, mmdebstrap, systemd-nspawn and some minutes: run `make test-box`.
"""

import ctypes
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.box import CERTIFICATES
from tests.support.brokers import needs_mosquitto, wait_until, with_passwords
from tests.support.supervisor import TOKEN, supervising

TREE: Final = Path(__file__).parent.parent.parent
BOX: Final = os.environ.get("EDGEPOSE_BOX", "")
TOOLS: Final = ("buildah", "mmdebstrap", "systemd-nspawn", "ip", "make")
SUPERVISOR: Final = "172.30.32.2"
ANOTHER_APP: Final = "172.30.33.7"
NAMESPACE: Final = "edgepose-app"
CLONE_NEWNET: Final = 0x40000000

missing = [name for name in TOOLS if shutil.which(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    needs_mosquitto,
    pytest.mark.skipif(not BOX, reason="takes minutes: make test-box"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(bool(missing), reason=f"no {', '.join(missing)} here"),
]


def do(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=TREE)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def buildah(*words: str) -> str:
    """Run buildah with a separate storage."""
    where = ["--root", f"{BOX}/containers", "--runroot", f"{BOX}/containers-run"]
    return do("buildah", *where, "--storage-driver", "vfs", *words)


def make_base() -> None:
    """Make the Dockerfile's base image, unless it exists."""
    if "trixie-slim" in buildah("images", "--format", "{{.Tag}}"):
        return
    with tempfile.TemporaryDirectory(dir=BOX) as folder:
        do("mmdebstrap", "--quiet", "--variant=minbase", "trixie", f"{folder}/trixie.tar")
        Path(folder, "pip.conf").write_text("[global]\ncert = /certificates.pem\n")
        Path(folder, "Dockerfile").write_text(
            "FROM scratch\nADD trixie.tar /\nCOPY pip.conf /etc/pip.conf\n"
        )
        buildah("bud", "--isolation=chroot", "--tag", "debian:trixie-slim", folder)


@pytest.fixture(scope="module")
def root() -> Iterator[tuple[Path, list[str]]]:
    """Build the image; yield its root folder and its command."""
    Path(BOX).mkdir(parents=True, exist_ok=True)
    make_base()
    do("make", "app")
    trusted = f"--volume={CERTIFICATES}:/certificates.pem:ro"
    context = "dist/homeassistant-app/edgepose"
    words = ["bud", "--isolation=chroot", "--pull=never", "--layers", trusted]
    buildah(*words, "--tag", "edgepose-app", context)
    name = buildah("from", "--pull=never", "edgepose-app")
    config = json.loads(buildah("inspect", "--type", "image", "edgepose-app"))["OCIv1"]["config"]
    assert config["Labels"]["io.hass.type"] == "app"
    try:
        path = next(it for it in config["Env"] if it.startswith("PATH="))
        yield Path(buildah("mount", name)), [f"--setenv={path}", *config["Cmd"]]
    finally:
        buildah("rm", name)


@contextmanager
def inside() -> Iterator[None]:
    """Enter the container's network namespace with this thread."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(path: str) -> None:
        with Path(path).open("rb") as handle:
            if libc.setns(handle.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), path)

    with Path("/proc/thread-self/ns/net").open("rb") as outside:
        enter(f"/run/netns/{NAMESPACE}")
        try:
            yield
        finally:
            enter(f"/proc/self/fd/{outside.fileno()}")


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    """Make a network namespace with Home Assistant's addresses on loopback."""
    do("ip", "netns", "add", NAMESPACE)
    try:
        for words in (
            ["link", "set", "lo", "up"],
            ["addr", "add", f"{SUPERVISOR}/23", "dev", "lo"],
        ):
            do("ip", "-n", NAMESPACE, *words)
        do("ip", "-n", NAMESPACE, "addr", "add", f"{ANOTHER_APP}/32", "dev", "lo")
        with inside():
            yield
    finally:
        do("ip", "netns", "del", NAMESPACE)


def ask(
    path: str, method: str = "GET", *, address: str = SUPERVISOR, port: int = 8099, **headers: str
) -> tuple[int, bytes]:
    """Send a request from an address; return status and body, 0 if refused."""
    line = http.client.HTTPConnection("127.0.0.1", port, 30, (address, 0))
    named = {"Host": "homeassistant.local:8123", "Content-Type": "application/json", **headers}
    body = headers.pop("body", None)
    named.pop("body", None)
    try:
        line.request(method, path, body, named)
        answer = line.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        line.close()


class Container:
    """The app as the Supervisor starts it."""

    def __init__(self, root: Path, words: list[str], folder: Path) -> None:
        (folder / "hosts").write_text(
            f"127.0.0.1 localhost core-mosquitto\n{SUPERVISOR} supervisor\n"
        )
        settings = ["--quiet", "--register=no", "--keep-unit", "--as-pid2", "--console=pipe"]
        settings += ["--machine=edgepose-app", f"--directory={root}", f"--bind={folder}/data:/data"]
        settings += [f"--bind={folder}/config:/config", f"--bind-ro={folder}/hosts:/etc/hosts"]
        settings += ["--resolv-conf=off", "--timezone=off", f"--setenv=SUPERVISOR_TOKEN={TOKEN}"]
        # It is started in the container's network namespace.
        self._process = subprocess.Popen(
            ["systemd-nspawn", *settings, *words],
            stdin=subprocess.DEVNULL,
            stdout=(folder / "log").open("ab"),
            stderr=subprocess.STDOUT,
        )

    def end(self) -> int:
        """Send SIGTERM to the command, as Docker's init does; return the exit code."""
        for pid in self._below(self._process.pid):
            if b"run.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGTERM)
        return self._process.wait(15)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _below(self, pid: int) -> Iterator[int]:
        children = Path(f"/proc/{pid}/task/{pid}/children")
        for child in map(int, children.read_text().split()):
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"systemd-nspawn" not in command:
                yield child
            yield from self._below(child)


@contextmanager
def running(root: tuple[Path, list[str]], folder: Path) -> Iterator[Container]:
    container = Container(*root, folder)
    try:
        yield container
    finally:
        container.kill()


def test_it_runs_ends_cleanly_and_keeps_its_state(
    root: tuple[Path, list[str]], network: None, tmp_path: Path
) -> None:
    """It uses the Supervisor's broker and ingress, and refuses other apps."""
    for name in ("data", "config"):
        (tmp_path / name).mkdir()
    options = {"cameras": [{"id": "demo", "source": "demo://"}], "log_level": "info"}
    (tmp_path / "data" / "options.json").write_text(json.dumps(options))
    log = tmp_path / "log"
    with (
        supervising((SUPERVISOR, 80)) as house,
        with_passwords(tmp_path, {"addons": "sesame"}) as broker,
    ):
        house.mqtt = {
            "host": "core-mosquitto",
            "port": broker.port,
            "username": "addons",
            "password": "sesame",
            "ssl": False,
            "addon": "core_mosquitto",
        }
        with running(root, tmp_path) as container:
            assert wait_until(lambda: ask("/health", port=8098)[0] == 200, 60), log.read_text()
            assert wait_until(lambda: b"frames" in ask("/health", port=8098)[1], 90)
            assert ask("/")[0] == ask("/api/config")[0] == 200
            assert ask("/api/config", address=ANOTHER_APP)[0] in {401, 403}
            assert ask("/api/config", address="127.0.0.1", Host="127.0.0.1:8099")[0] == 401
            paused = ask("/api/cameras/demo/set", "POST", body='{"paused": true}')
            assert paused[0] == 204, paused
            assert wait_until(lambda: "paused" in kept(tmp_path))
            before = kept(tmp_path)
            assert container.end() == 0
        with running(root, tmp_path) as container:
            assert wait_until(lambda: ask("/health", port=8098)[0] == 200, 60), log.read_text()
            assert "paused" in kept(tmp_path)
            assert before
            assert container.end() == 0
    text = log.read_text()
    assert "sesame" not in text
    assert "Traceback" not in text
    found = (tmp_path / "config" / "edgepose.toml").read_text()
    assert 'source = "demo://"' in found


def kept(folder: Path) -> str:
    """Return the contents of the state directory."""
    files = (folder / "data" / "state").glob("*.json")
    return "".join(file.read_text() for file in files)
