"""The images of the Home Assistant app, built from its Dockerfile and run in a container.

It needs root, buildah, mmdebstrap, systemd-nspawn and some minutes: run `make test-box`. The image
for the other processor is emulated: it needs qemu-user-static and binfmt-support, too.
"""

import ctypes
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import pytest
from paho.mqtt.client import MQTTMessage

from tests.support.box import CERTIFICATES
from tests.support.brokers import needs_mosquitto, wait_until, with_passwords, witness
from tests.support.supervisor import TOKEN, answer_of, supervising

TREE: Final = Path(__file__).parent.parent.parent
BOX: Final = os.environ.get("EDGEPOSE_BOX", "")
TOOLS: Final = ("buildah", "mmdebstrap", "systemd-nspawn", "ip", "make")
SUPERVISOR: Final = "172.30.32.2"
ANOTHER_APP: Final = "172.30.33.7"
NAMESPACE: Final = "edgepose-app"
CLONE_NEWNET: Final = 0x40000000
STOP_S: Final = 20.0  # the Supervisor's limit: `timeout` in config.yaml
# A Cortex-A72: LiteRT reads the processor's features from there, but QEMU shows the host's file.
CPUINFO: Final = (
    "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\n"
    "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\n"
    "CPU revision\t: 3\n\n"
)
OWN_CPUINFO: Final = 'mount --bind /cpuinfo /proc/cpuinfo && exec "$0" "$@"'

missing = [name for name in TOOLS if shutil.which(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(7200),  # pip and apt are emulated
    needs_mosquitto,
    pytest.mark.skipif(not BOX, reason="takes minutes: make test-box"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(bool(missing), reason=f"no {', '.join(missing)} here"),
]


def do(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=TREE)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Architecture:
    """A processor that the app is built for."""

    name: str
    """As Debian and Docker call it."""

    machine: str
    """As the kernel and QEMU call it."""

    patience: float
    """How many times as long as here things may take; 1 if it is not emulated."""

    def lack(self) -> str:
        """Return why its programs cannot run here; empty if they can."""
        file = Path(f"/proc/sys/fs/binfmt_misc/qemu-{self.machine}")
        if self.patience == 1:
            return ""
        # F: the interpreter is found within a container as well.
        if file.exists() and re.search(r"(?s)^enabled.*^flags: \w*F", file.read_text(), re.M):
            return ""
        return f"no {self.machine} in binfmt_misc: apt install qemu-user-static binfmt-support"

    def buildah(self, *words: str) -> str:
        """Run buildah with a separate storage."""
        where = ["--root", f"{BOX}/containers-{self.name}"]
        where += ["--runroot", f"{BOX}/containers-run-{self.name}", "--storage-driver", "overlay"]
        return do("buildah", *where, *words)

    def make_base(self) -> None:
        """Make the Dockerfile's base image, unless it exists."""
        if "trixie-slim" in self.buildah("images", "--format", "{{.Tag}}"):
            return
        with tempfile.TemporaryDirectory(dir=BOX) as folder:
            chosen = f"--architectures={self.name}"
            do("mmdebstrap", "--quiet", "--variant=minbase", chosen, "trixie", f"{folder}/base.tar")
            Path(folder, "pip.conf").write_text("[global]\ncert = /certificates.pem\n")
            Path(folder, "Dockerfile").write_text(
                "FROM scratch\nADD base.tar /\nCOPY pip.conf /etc/pip.conf\n"
            )
            words = ["bud", "--isolation=chroot", "--arch", self.name]
            self.buildah(*words, "--tag", "debian:trixie-slim", folder)


ARCHITECTURES: Final = [
    Architecture(name, machine, 1 if machine == platform.machine() else 6)
    for name, machine in (("amd64", "x86_64"), ("arm64", "aarch64"))
]


@dataclass(frozen=True, slots=True)
class Image:
    """The app's image, mounted."""

    architecture: Architecture
    folder: Path
    words: list[str]
    """The environment and the command, for systemd-nspawn."""


@pytest.fixture(scope="module", params=ARCHITECTURES, ids=lambda it: it.name)
def image(request: pytest.FixtureRequest) -> Iterator[Image]:
    """Build the image and mount it."""
    chosen: Architecture = request.param
    if lack := chosen.lack():
        pytest.skip(lack)
    Path(BOX).mkdir(parents=True, exist_ok=True)
    chosen.make_base()
    do("make", "app")
    trusted = f"--volume={CERTIFICATES}:/certificates.pem:ro"
    words = ["bud", "--isolation=chroot", "--pull=never", "--layers", "--arch", chosen.name]
    chosen.buildah(*words, trusted, "--tag", "edgepose-app", "dist/homeassistant-app/edgepose")
    name = chosen.buildah("from", "--pull=never", "--arch", chosen.name, "edgepose-app")
    described = json.loads(chosen.buildah("inspect", "--type", "image", "edgepose-app"))["OCIv1"]
    config = described["config"]
    assert described["architecture"] == chosen.name
    assert config["Labels"]["io.hass.type"] == "app"
    try:
        path = next(it for it in config["Env"] if it.startswith("PATH="))
        folder = Path(chosen.buildah("mount", name))
        yield Image(chosen, folder, [f"--setenv={path}", *config["Cmd"]])
    finally:
        chosen.buildah("rm", name)


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
    line = HTTPConnection("127.0.0.1", port, 30, (address, 0))
    body = headers.pop("body", None)
    return answer_of(line, path, {"Content-Type": "application/json", **headers}, method, body)


class Container:
    """The app as the Supervisor starts it."""

    def __init__(self, image: Image, folder: Path) -> None:
        (folder / "hosts").write_text(
            f"127.0.0.1 localhost core-mosquitto\n{SUPERVISOR} supervisor\n"
        )
        settings = ["--quiet", "--register=no", "--keep-unit", "--as-pid2", "--console=pipe"]
        settings += ["--machine=edgepose-app", f"--directory={image.folder}"]
        settings += [f"--bind={folder}/data:/data", f"--bind={folder}/config:/config"]
        settings += [f"--bind-ro={folder}/hosts:/etc/hosts", "--resolv-conf=off", "--timezone=off"]
        settings += [f"--setenv=SUPERVISOR_TOKEN={TOKEN}"]
        words, self._patience = image.words, image.architecture.patience
        if image.architecture.patience > 1:
            (folder / "cpuinfo").write_text(CPUINFO)
            # QEMU's default has all features; with it the network detects no person.
            settings += [f"--bind-ro={folder}/cpuinfo:/cpuinfo", "--setenv=QEMU_CPU=cortex-a72"]
            words = [words[0], "sh", "-c", OWN_CPUINFO, *words[1:]]
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
        return self._process.wait(STOP_S * self._patience)

    def kill(self) -> None:
        if self._process.poll() is None:
            for pid in [*self._below(self._process.pid)]:
                os.kill(pid, signal.SIGKILL)
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
def running(image: Image, folder: Path) -> Iterator[Container]:
    container = Container(image, folder)
    try:
        yield container
    finally:
        container.kill()


def test_it_runs_ends_cleanly_and_keeps_its_state(
    image: Image, network: None, tmp_path: Path
) -> None:
    """It uses the Supervisor's broker and ingress, publishes poses, and refuses other apps."""
    for name in ("data", "config"):
        (tmp_path / name).mkdir()
    options = {"cameras": [{"id": "demo", "source": "demo://"}], "log_level": "info"}
    (tmp_path / "data" / "options.json").write_text(json.dumps(options))
    log, patience = tmp_path / "log", image.architecture.patience
    login = {"username": "addons", "password": "sesame"}
    with (
        supervising((SUPERVISOR, 80)) as house,
        with_passwords(tmp_path, {"addons": "sesame"}) as broker,
        witness(broker.port, "edgepose/home/demo/+", **login) as seen,
    ):
        more = {"ssl": False, "addon": "core_mosquitto"}
        house.mqtt = {"host": "core-mosquitto", "port": broker.port, **login, **more}

        def is_healthy() -> bool:
            return ask("/health", port=8098)[0] == 200

        with running(image, tmp_path) as container:
            assert wait_until(is_healthy, 60 * patience), log.read_text()
            assert wait_until(lambda: b"frames" in ask("/health", port=8098)[1], 90 * patience)
            seen.until(shows_a_person, 30 * patience)
            assert b"<title>" in ask("/")[1]
            assert json.loads(ask("/api/config")[1])["cameras"][0]["id"] == "demo"
            assert ask("/api/config", address=ANOTHER_APP)[0] in {401, 403}
            assert ask("/api/config", address="127.0.0.1", Host="127.0.0.1:8099")[0] == 401
            paused = ask("/api/cameras/demo/set", "POST", body='{"paused": true}')
            assert paused[0] == 204, paused
            seen.until(is_paused, 10 * patience)
            assert wait_until(lambda: "paused" in kept(tmp_path), 10 * patience)
            assert container.end() == 0
        seen.on("edgepose/home/demo/availability", b"offline")
        with running(image, tmp_path) as container:
            assert wait_until(is_healthy, 60 * patience), log.read_text()
            seen.until(is_paused, 60 * patience)
            seen.on("edgepose/home/demo/availability", b"online", 30 * patience)
            assert container.end() == 0
    text = log.read_text()
    assert "sesame" not in text
    assert "Traceback" not in text
    found = (tmp_path / "config" / "edgepose.toml").read_text()
    assert 'source = "demo://"' in found


def shows_a_person(message: MQTTMessage) -> bool:
    """Return whether a message has a person with all keypoints."""
    if not message.topic.endswith("/poses"):
        return False
    poses = json.loads(message.payload)["poses"]
    return any(len(pose["keypoints"]) == 17 for pose in poses)


def is_paused(message: MQTTMessage) -> bool:
    """Return whether a message is the state of a paused camera."""
    return message.topic.endswith("/state") and json.loads(message.payload)["paused"]


def kept(folder: Path) -> str:
    """Return the contents of the state directory."""
    files = (folder / "data" / "state").glob("*.json")
    return "".join(file.read_text() for file in files)
