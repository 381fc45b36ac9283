"""The service's sandbox with real devices: cameras and USB are accessible, others are not.

The shipped unit, with another configuration and state, runs the program
that `deploy/install.sh` has installed. The cameras are an emulated USB camera and
the kernel's `vivid`; `sudo make test-cameras` loads what they need.
"""

import os
import shutil
import stat
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.brokers import Mosquitto, needs_mosquitto, wait_until, witness
from tests.support.usbcamera import LINK, UsbCamera, lack
from tests.support.vivid import away
from tests.support.vivid import find as find_vivid

SHIPPED: Final = Path(__file__).parents[2] / "systemd" / "edgepose.service"
PYTHON: Final = "/opt/edgepose/venv/bin/python3"
NAME: Final = "edgepose-test"
FOLDER: Final = Path("/run/edgepose-of-test")  # the service cannot see /root, and has its own /tmp
PATIENCE_S: Final = 120.0  # an emulated machine needs seconds for a picture

BENEATH: Final = ("videobuf2_memops", "videodev")  # the modules below camera drivers
CLASSES: Final = {"video4linux", "media", "dma_heap", "usb_device", "apex"}
EVERYWHERE: Final = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts/ptmx")
TO_READ: Final = ("rtc0", "vcio_gencmd")  # the clock, and the Pi's firmware status
NODES: Final = {f"/dev/{name}" for name in EVERYWHERE + TO_READ}

EDGE_TPU: Final = {"bare": (0x1A6E, 0x089A), "with its firmware": (0x18D1, 0x9302)}

WHAT_OPENS: Final = """
import os, stat
for folder, _, names in os.walk("/dev"):
    for node in (os.path.join(folder, name) for name in names):
        mode = os.lstat(node).st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            if os.access(node, os.R_OK) or os.access(node, os.W_OK):
                print(node)
"""
WHO_IS_IT: Final = """
import os, sys
print(os.read(os.open(sys.argv[1], os.O_RDWR), 12).hex())
"""
"""The descriptor of a USB device, opened and read as libusb does."""


def _lack() -> str:
    """Return which requirement is missing; empty if all are present."""
    if not Path("/run/systemd/system").exists():
        return "no systemd runs this machine"
    if not Path(PYTHON).exists():
        return "edgepose is not installed here: sudo deploy/install.sh"
    return lack()


LACK: Final = _lack()
pytestmark = [
    pytest.mark.hardware,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(LACK), reason=LACK),
    needs_mosquitto,
]


class Service:
    """The shipped unit under another name."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._unit = Path(f"/run/systemd/system/{NAME}.service")
        FOLDER.mkdir(exist_ok=True)
        (FOLDER / "edgepose.toml").touch()
        self.install()

    def install(self, *changes: str) -> None:
        """Install it in systemd, with additional settings."""
        text = SHIPPED.read_text().replace("/etc/edgepose", str(FOLDER))
        text = text.replace("Directory=edgepose\n", f"Directory={NAME}\n")
        self._unit.write_text("\n".join([text, "[Service]", *changes, ""]))
        _run("systemctl", "daemon-reload")

    def start(self, **cameras: str) -> None:
        """Start it with these cameras and wait until it is ready."""
        tables = [
            f'[[camera]]\nid = "{name}"\nsource = "{source}"\nfps = 1.0\nmotion_gate = false'
            for name, source in cameras.items()
        ]
        head = f'[device]\nid = "test-pi"\n[mqtt]\nurl = "{self._url}"\n[metrics]\nlisten = ""'
        model = '[web]\nlisten = ""\n[model]\nname = "movenet-lightning-int8"\ndelegate = "cpu"'
        (FOLDER / "edgepose.toml").write_text("\n".join([head, model, *tables]))
        _run("systemctl", "start", NAME)

    def runs(self, script: str, *words: str, user: str = "edgepose") -> str:
        """Run a Python script in the unit's sandbox; return its output."""
        (FOLDER / "script.py").write_text(script)
        command = " ".join([PYTHON, str(FOLDER / "script.py"), *words])
        printed = FOLDER / "printed"
        once = ["Type=oneshot", "ExecStart=", f"ExecStart={command}", "Restart=no"]
        self.install(*once, f"User={user}", f"StandardOutput=truncate:{printed}")
        _run("systemctl", "start", NAME)
        return printed.read_text().strip()

    def remove(self) -> None:
        """Remove the unit and its files."""
        _run("systemctl", "stop", NAME)
        self._unit.unlink()
        _run("systemctl", "daemon-reload")
        shutil.rmtree(FOLDER)
        shutil.rmtree(f"/var/lib/{NAME}", ignore_errors=True)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


@pytest.fixture
def service(broker: Mosquitto) -> Iterator[Service]:
    made = Service(broker.url)
    yield made
    made.remove()


@pytest.fixture
def no_driver() -> Iterator[None]:
    """Unload the kernel's camera modules, if unused."""
    loaded = [name for name in ("uvcvideo", "vivid") if Path("/sys/module", name).exists()]
    subprocess.run(["modprobe", "--remove", *loaded, *BENEATH], check=False)
    yield
    for name in loaded:
        subprocess.run(["modprobe", name], check=True)


@pytest.mark.parametrize("format_", ["mjpeg", "yuyv"])
@pytest.mark.usefixtures("no_driver")
def test_a_camera_that_is_plugged_in_later_is_let_in(
    service: Service, broker: Mosquitto, format_: str
) -> None:
    """A camera plugged in later, or again, is accessible, also the first one of this kernel."""
    service.start(clip="demo://", usb=f"{LINK}?size=160x120&fps=10&format={format_}")
    availability, poses = (f"edgepose/test-pi/usb/{leaf}" for leaf in ("availability", "poses"))

    with witness(broker.port, "edgepose/test-pi/usb/+") as watcher:
        watcher.on(availability, b"offline")
        with UsbCamera() as camera:
            watcher.on(poses, timeout_s=PATIENCE_S)
            camera.pull()
            watcher.on(availability, b"offline", PATIENCE_S)
            camera.plug()
            watcher.on(availability, b"online", PATIENCE_S)
            watcher.on(poses, timeout_s=PATIENCE_S)


def test_a_camera_whose_driver_goes_and_comes_is_let_in(
    service: Service, broker: Mosquitto
) -> None:
    """The kernel's virtual camera is accessible after its driver was unbound and bound."""
    service.start(vivid=f"v4l2://{find_vivid()}?size=320x180&format=yuyv")
    availability, poses = (f"edgepose/test-pi/vivid/{leaf}" for leaf in ("availability", "poses"))

    with witness(broker.port, "edgepose/test-pi/vivid/+") as watcher:
        watcher.on(poses, timeout_s=PATIENCE_S)
        with away():
            watcher.on(availability, b"offline", PATIENCE_S)
        watcher.on(availability, b"online", PATIENCE_S)
        watcher.on(poses, timeout_s=PATIENCE_S)


def test_no_other_device_is_let_in(service: Service) -> None:
    """Other devices are inaccessible even to root."""
    with UsbCamera():
        assert wait_until(LINK.exists, PATIENCE_S)

        nodes = service.runs(WHAT_OPENS, user="root").splitlines()

        classes = {node: _class(node) for node in nodes}
    assert {node for node in nodes if classes[node] not in CLASSES | {"pts"}} <= NODES
    assert set(classes.values()) >= {"video4linux", "media", "usb_device"}


@pytest.mark.parametrize("ids", EDGE_TPU.values(), ids=EDGE_TPU)
def test_an_edge_tpu_is_opened(service: Service, ids: tuple[int, int]) -> None:
    """It is accessible to the service's user, as udev assigns it to the group plugdev."""
    with UsbCamera(ids=ids):
        assert wait_until(LINK.exists, PATIENCE_S)
        node = _usb_node()

        told = service.runs(WHO_IS_IT, str(node))

        assert (node.group(), stat.S_IMODE(node.stat().st_mode)) == ("plugdev", 0o660)
    assert struct.unpack("<8xHH", bytes.fromhex(told)) == ids


def _usb_node() -> Path:
    """Return the USB node of the camera's device."""
    shown = Path("/sys/class/video4linux") / LINK.resolve().name / "device"
    bus, number = (int((shown.resolve().parent / it).read_text()) for it in ("busnum", "devnum"))
    return Path(f"/dev/bus/usb/{bus:03}/{number:03}")


def _class(node: str) -> str:
    """Return the kernel's class of a node."""
    status = Path(node).stat()
    kind = "Character" if stat.S_ISCHR(status.st_mode) else "Block"
    _, _, rows = Path("/proc/devices").read_text().partition(f"{kind} devices:\n")
    known = dict(row.split() for row in rows.partition("\n\n")[0].splitlines())
    return str(known[str(os.major(status.st_rdev))])
