"""Real cameras of the kernel: USB's own driver, and the hardware of this machine.

Each test is skipped without its camera: the USB one needs root and kernel modules
(`sudo make test-cameras` loads them), the others a Pi's camera or the kernel's `vivid`.
"""

import logging
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from edgepose.camera.sources import Source, open_source, picamera2
from edgepose.errors import SourceError
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Frame
from tests.support.brokers import wait_until
from tests.support.contracts.source import SourceContract
from tests.support.moving import number_of
from tests.support.usbcamera import LINK, UsbCamera, lack
from tests.support.vivid import away
from tests.support.vivid import find as find_vivid

pytestmark = [pytest.mark.hardware, pytest.mark.slow]

SHOWN: dict[str, str] = {"mjpeg": "MJPG", "yuyv": "YUYV"}
APPEARS_S = 30.0


def address(format_: str) -> str:
    """Return the USB camera's address, once it exists."""
    assert wait_until(LINK.exists, APPEARS_S), "the kernel shows no camera"
    return f"{LINK}?size=160x120&fps=10&format={format_}"


def take(source: Source, count: int) -> list[Frame]:
    with closing(source):
        return [frame for _, frame in zip(range(count), source.frames(), strict=False)]


class Noting(Clock):
    """A clock that records the times it has returned."""

    def __init__(self) -> None:
        self.said: set[int] = set()

    def now_ns(self) -> int:
        now_ns = super().now_ns()
        self.said.add(now_ns)
        return now_ns


def one_at_a_time(uri: Callable[[], str]) -> Iterator[Callable[[], Source]]:
    """Yield a function that opens the camera again after closing it: it allows one reader."""
    before: list[Source] = []

    def reopened() -> Source:
        while before:
            before.pop().close()
        before.append(open_source(uri()))
        return before[0]

    yield reopened
    for source in before:
        source.close()


@pytest.fixture
def camera() -> Iterator[UsbCamera]:
    if lack():
        pytest.skip(lack())
    with UsbCamera() as plugged:
        yield plugged
    wait_until(lambda: not LINK.exists(), APPEARS_S)


@pytest.fixture(params=SHOWN)
def format_(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.usefixtures("camera")
class TestUsbCamera(SourceContract):
    live = True

    @pytest.fixture
    def opened(self, format_: str) -> Iterator[Callable[[], Source]]:
        yield from one_at_a_time(lambda: address(format_))


@pytest.mark.usefixtures("camera")
def test_pictures_come_in_order_in_the_mode_asked_for(
    format_: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Frames have the requested format and size and none repeats; the log names the mode."""
    caplog.set_level(logging.INFO)

    frames = take(open_source(address(format_)), 12)

    assert f"160 x 120 {SHOWN[format_]} at 10 fps" in caplog.text
    assert {frame.size for frame in frames} == {UsbCamera.size}
    steps = np.diff([number_of(frame.image) for frame in frames]) % 40
    assert all(1 <= step <= 3 for step in steps), "a slow machine may miss one"


def test_red_is_first(camera: UsbCamera, format_: str) -> None:
    """Frames are RGB, whatever the camera's channel order."""
    camera.picture = np.full((120, 160, 3), (200, 90, 20), dtype=np.uint8)

    *_, frame = take(open_source(address(format_)), 3)

    assert np.allclose(frame.image.mean(axis=(0, 1)), (200, 90, 20), atol=8)


def test_the_driver_says_when(camera: UsbCamera, format_: str) -> None:
    """Capture times are the driver's: after the camera sent, before the frame was read."""
    clock = Noting()

    with closing(open_source(address(format_), clock=clock)) as source:
        for _, frame in zip(range(12), source.frames(), strict=False):
            sent_ns = camera.begun_ns[number_of(frame.image)]
            assert sent_ns <= frame.captured_ns < clock.now_ns()
            assert frame.captured_ns not in clock.said


def test_a_pulled_plug_is_an_error_and_its_return_is_a_camera(
    camera: UsbCamera, format_: str
) -> None:
    """Unplugging raises SourceError at once and leaks no descriptors; replugging works."""
    uri = address(format_)
    take(open_source(uri), 1)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(3):
        source = open_source(uri)
        frames = source.frames()
        next(frames)
        camera.pull()

        with pytest.raises(SourceError, match="is it plugged in"):
            list(frames)
        assert wait_until(lambda: not LINK.exists(), APPEARS_S)
        with pytest.raises(SourceError, match="no such device"):
            open_source(uri)

        camera.plug()
        assert take(open_source(address(format_)), 2)

    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_a_camera_that_falls_silent_is_an_error(camera: UsbCamera, format_: str) -> None:
    """A silent camera raises SourceError within seconds, and can be opened again."""
    frames = open_source(address(format_)).frames()
    at_ns = [next(frames).captured_ns]
    camera.silent.set()

    with pytest.raises(SourceError, match="stopped delivering"):
        at_ns.extend(frame.captured_ns for frame in frames)

    assert Clock().now_ns() - at_ns[-1] < 8 * NS_PER_S
    camera.silent.clear()
    assert take(open_source(address(format_)), 1)


@pytest.fixture
def vivid() -> Path:
    return find_vivid()


class TestVivid(SourceContract):
    live = True

    @pytest.fixture
    def opened(self, vivid: Path) -> Iterator[Callable[[], Source]]:
        yield from one_at_a_time(lambda: f"{vivid}?size=320x180&format=yuyv")


def test_a_disconnected_camera_is_an_error(vivid: Path) -> None:
    """The kernel's simulated disconnection raises SourceError; it can be opened again."""
    source = open_source(f"{vivid}?size=320x180")
    frames = source.frames()
    next(frames)
    subprocess.run(["v4l2-ctl", "-d", str(vivid), "-c", "disconnect=1"], check=True)

    with pytest.raises(SourceError, match="is it plugged in"):
        list(frames)

    assert take(open_source(f"{vivid}?size=320x180"), 1)


def test_a_driver_that_goes_is_an_error_and_its_return_is_a_camera(vivid: Path) -> None:
    """Unbinding the driver removes the node and raises SourceError; binding restores it."""
    source = open_source(str(vivid))
    frames = source.frames()
    next(frames)
    with away():
        with pytest.raises(SourceError, match="is it plugged in"):
            list(frames)
        with pytest.raises(SourceError, match="no such device"):
            open_source(str(vivid))

    assert wait_until(vivid.exists, APPEARS_S)
    assert take(open_source(str(vivid)), 1)


@pytest.fixture
def attached() -> str:
    """Return the address of a camera on the Pi's own connector."""
    for found in picamera2.attached():
        return found
    pytest.skip("no camera of a Pi here, or no Picamera2")


class TestPiCamera(SourceContract):
    live = True

    @pytest.fixture
    def opened(self, attached: str) -> Iterator[Callable[[], Source]]:
        yield from one_at_a_time(lambda: f"{attached}?size=320x240&fps=30")


def test_a_sensor_says_when(attached: str) -> None:
    """Capture times are the sensor's: on our clock, before the frame was read."""
    clock = Noting()

    with closing(open_source(f"{attached}?fps=30", clock=clock)) as source:
        for _, frame in zip(range(30), source.frames(), strict=False):
            assert 0 < clock.now_ns() - frame.captured_ns < 2 * NS_PER_S
            assert frame.captured_ns not in clock.said
