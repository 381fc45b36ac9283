"""A Pi's camera without the Pi: our code with a fake that behaves as Picamera2 documents."""

import gc
import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgepose.camera.sources import Source, is_live, open_source, picamera2
from edgepose.errors import SourceError
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Size
from tests.support.contracts.source import SourceContract

BUFFERS = 4
DESCRIPTORS = Path("/proc/self/fd")

IMX219 = [  # as Picamera2 lists them
    {"size": (640, 480), "bit_depth": 10, "fps": 103.33, "crop_limits": (1000, 752, 1280, 960)},
    {"size": (1640, 1232), "bit_depth": 10, "fps": 41.85, "crop_limits": (0, 0, 3280, 2464)},
    {"size": (1920, 1080), "bit_depth": 10, "fps": 47.57, "crop_limits": (680, 692, 1920, 1080)},
    {"size": (3280, 2464), "bit_depth": 10, "fps": 21.19, "crop_limits": (0, 0, 3280, 2464)},
    {"size": (1640, 1232), "bit_depth": 8, "fps": 83.7, "crop_limits": (0, 0, 3280, 2464)},
]
IMX708 = [
    {"size": (1536, 864), "bit_depth": 10, "fps": 120.13, "crop_limits": (768, 432, 3072, 1728)},
    {"size": (2304, 1296), "bit_depth": 10, "fps": 56.03, "crop_limits": (0, 0, 4608, 2592)},
    {"size": (4608, 2592), "bit_depth": 10, "fps": 14.35, "crop_limits": (0, 0, 4608, 2592)},
]


class Request:
    """A buffer of the camera, unavailable until it is released."""

    def __init__(self, camera: "Sensor", stamp_ns: int | None) -> None:
        self._camera = camera
        self._stamp_ns = stamp_ns

    def make_array(self, name: str) -> Any:
        assert name == "main"
        if self._camera.broken:
            raise RuntimeError("cannot map the buffer")
        width, height = self._camera.configuration["main"]["size"]
        return np.full((height, width, 3), (200, 90, 20), dtype=np.uint8)

    def get_metadata(self) -> dict[str, int]:
        return {} if self._stamp_ns is None else {"SensorTimestamp": self._stamp_ns}

    def release(self) -> None:
        self._camera.lent -= 1


class Sensor:
    """A fake `Picamera2`: an abandoned job keeps its buffer."""

    made: "list[Sensor]" = []  # noqa: RUF012  # one list for the test, put in by the fixture
    cameras: "list[dict[str, Any]]" = []  # noqa: RUF012
    camera_controls: "dict[str, Any]" = {"FrameDurationLimits": (1, 2, 3)}  # noqa: RUF012
    camera_properties: "dict[str, Any]" = {}  # noqa: RUF012
    modes: "list[dict[str, Any]] | Exception" = AttributeError("no Pi's camera has none")
    refuses: Exception | None = None

    def __init__(self, number: int) -> None:
        reading, self.notifyme_w = os.pipe()
        self.notifymeread = os.fdopen(reading, "rb")
        self.is_open = False
        self.lent = self.jobs = self.closed = 0
        if self.refuses is not None:
            logging.getLogger("picamera2.picamera2").error("sequence did not complete")
            raise self.refuses
        self.is_open = True
        self.number = number
        self.myself: Sensor | None = None
        self.stalls = 0
        self.broken = False
        self.late_ns: int | None = 5_000_000
        self.configuration: dict[str, Any] = {}
        self.made.append(self)

    @property
    def sensor_modes(self) -> list[dict[str, Any]]:
        if isinstance(self.modes, Exception):
            raise self.modes
        return self.modes

    @classmethod
    def global_camera_info(cls) -> list[dict[str, Any]]:
        return cls.cameras

    def create_video_configuration(self, **words: Any) -> dict[str, Any]:
        return words

    def configure(self, configuration: dict[str, Any]) -> None:
        if configuration["main"]["size"][0] > 4000:
            raise RuntimeError("too large")
        self.configuration = configuration

    def camera_configuration(self) -> dict[str, Any]:
        return self.configuration

    def start(self) -> None:
        pass

    def capture_request(self, *, wait: bool) -> object:
        assert wait is False
        self.jobs += 1
        self.lent += 1
        return object()

    def wait(self, job: object, timeout: float) -> Request:
        assert timeout <= 1
        if self.stalls or self.lent > BUFFERS:
            self.stalls -= 1
            raise TimeoutError
        stamp_ns = None if self.late_ns is None else Clock().now_ns() - self.late_ns
        return Request(self, stamp_ns)

    def close(self) -> None:
        self.closed += 1
        if self.is_open:
            self.notifymeread.close()
            os.close(self.notifyme_w)
            self.is_open = False


@pytest.fixture(autouse=True)
def sensor(monkeypatch: pytest.MonkeyPatch) -> type[Sensor]:
    """Install the fake in place of the system's library."""
    monkeypatch.setitem(sys.modules, "picamera2", SimpleNamespace(Picamera2=Sensor))  # type: ignore[arg-type]
    monkeypatch.setattr(Sensor, "made", [])
    monkeypatch.setattr(Sensor, "cameras", [{"Num": 1, "Model": "imx708"}, {"Num": 0}])
    monkeypatch.setattr(Sensor, "refuses", None)
    monkeypatch.setattr(Sensor, "camera_properties", {})
    return Sensor


class TestPiCamera(SourceContract):
    live = True

    @pytest.fixture
    def opened(self) -> Callable[[], Source]:
        return lambda: open_source("picamera2://0?size=96x48")


def test_it_asks_for_what_a_model_wants(sensor: type[Sensor]) -> None:
    """The stream is RGB in memory, with the URI's size and rate, without a raw stream."""
    source = open_source("picamera2://?size=320x240&fps=20")
    frame = next(iter(source.frames()))

    wanted = sensor.made[0].configuration
    assert wanted["main"] == {"format": "BGR888", "size": (320, 240)}
    assert wanted["raw"] is None
    assert wanted["controls"] == {"FrameDurationLimits": (50_000, 50_000)}
    assert frame.image[0, 0].tolist() == [200, 90, 20]
    assert source.fps == 20


def test_only_cameras_on_the_pis_connectors_are_its_own(sensor: type[Sensor]) -> None:
    """USB cameras are excluded; the others keep their index in libcamera's list."""
    usb = "/base/scb/pcie@7d500000/pci@0,0/usb@0,0-1.2:1.0-046d:0825"
    sensor.cameras = [{"Id": usb}, {"Id": "/base/soc/i2c0mux/i2c@1/imx708@1a"}]

    assert picamera2.attached() == ["picamera2://1"]


@pytest.mark.parametrize("trouble", [None, SimpleNamespace()])
def test_without_the_library_there_are_no_cameras(
    trouble: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a usable library the list is empty."""
    monkeypatch.setitem(sys.modules, "picamera2", trouble)  # type: ignore[arg-type]

    assert picamera2.attached() == []


def test_a_control_that_a_camera_lacks_is_not_set(
    sensor: type[Sensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only supported controls are set: others would raise an error."""
    monkeypatch.setattr(sensor, "camera_controls", {})

    open_source("picamera2://0")

    assert sensor.made[0].configuration["controls"] == {}


@pytest.mark.parametrize(
    ("modes", "size", "fps", "chosen"),
    [
        (IMX219, (640, 480), 10, (1640, 1232)),
        (IMX219, (1920, 1080), 10, (3280, 2464)),
        (IMX708, (640, 480), 10, (2304, 1296)),
        (IMX708, (640, 480), 60, None),
        (IMX708, (9000, 9000), 10, None),
        ([], (640, 480), 10, None),
    ],
)
def test_all_that_a_sensor_sees_is_shown(
    modes: list[dict[str, Any]], size: tuple[int, int], fps: float, chosen: tuple[int, int] | None
) -> None:
    """The smallest mode with the full field of view is chosen, unless too slow or too small."""
    mode = picamera2.whole_view(modes, Size(*size), fps)

    assert (mode and mode["size"]) == chosen
    assert mode is None or mode["bit_depth"] == 10, "the deeper one sees more in the dark"


def test_the_picture_has_the_shape_of_the_sensor(sensor: type[Sensor]) -> None:
    """Without a requested size the picture has the sensor's aspect ratio."""
    sensor.camera_properties = {"ColorFilterArrangement": 0}
    sensor.modes = IMX708

    open_source("picamera2://0?fps=10")
    open_source("picamera2://0?fps=10&size=320x240")

    own, asked = (camera.configuration for camera in sensor.made)
    assert own["main"]["size"] == (640, 360)
    assert asked["main"]["size"] == (320, 240)
    assert own["sensor"] == asked["sensor"] == {"output_size": (2304, 1296), "bit_depth": 10}


def test_a_sensor_whose_modes_cannot_be_had_still_gives_pictures(
    sensor: type[Sensor], caplog: pytest.LogCaptureFixture
) -> None:
    """If the modes cannot be read a default size is used, and a warning is logged."""
    sensor.camera_properties = {"ColorFilterArrangement": 0}
    sensor.modes = OSError("cannot allocate memory")

    open_source("picamera2://0")

    assert sensor.made[0].configuration["main"]["size"] == (640, 480)
    assert "cannot allocate memory" in caplog.text


def test_time_outs_cost_no_buffer(sensor: type[Sensor]) -> None:
    """A job that times out is kept until it is done, so no buffer is lost."""
    source = open_source("picamera2://0")
    frames = source.frames()
    next(frames)
    camera = sensor.made[0]

    for _ in range(3 * BUFFERS):
        camera.stalls = 2
        next(frames)

    assert camera.jobs == 1 + 3 * BUFFERS
    assert camera.lent == 0


def test_a_buffer_is_given_back_also_after_an_error(sensor: type[Sensor]) -> None:
    """The buffer is released after an error: the stream would stop without buffers."""
    source = open_source("picamera2://0")
    sensor.made[0].broken = True

    with pytest.raises(RuntimeError, match="map"):
        next(iter(source.frames()))

    assert sensor.made[0].lent == 0


class Fast(Clock):
    """A clock that advances a second at every reading."""

    def __init__(self) -> None:
        self._now_ns = 0

    def now_ns(self) -> int:
        self._now_ns += NS_PER_S
        return self._now_ns


@pytest.mark.parametrize(("fps", "silence"), [("30", "5 s"), ("0.1", "30 s")])
def test_a_camera_that_falls_silent_is_an_error(
    sensor: type[Sensor], fps: str, silence: str
) -> None:
    """Without a picture for the timeout, longer for low rates, SourceError is raised."""
    source = open_source(f"picamera2://0?fps={fps}", clock=Fast())
    sensor.made[0].stalls = 10**6

    with pytest.raises(SourceError, match=f"no picture for {silence}"):
        next(iter(source.frames()))

    assert sensor.made[0].closed == 1


@pytest.mark.parametrize(
    ("late_ns", "believed"), [(5_000_000, True), (10**12, False), (-(10**9), False), (None, False)]
)
def test_the_sensor_says_when(sensor: type[Sensor], late_ns: int | None, believed: bool) -> None:
    """A sensor timestamp shortly before now is used, else the time of arrival."""
    source = open_source("picamera2://0")
    sensor.made[0].late_ns = late_ns
    frames = source.frames()

    before_ns = Clock().now_ns()
    frame = next(frames)
    after_ns = Clock().now_ns()

    again = next(frames)
    assert frame.captured_ns <= after_ns
    assert believed or frame.captured_ns >= before_ns
    assert again.captured_ns > frame.captured_ns
    assert frame.read_ns == frame.captured_ns


def test_a_missing_camera_is_told_before_it_is_opened(sensor: type[Sensor]) -> None:
    """A missing camera is refused before opening, which would leak a descriptor."""
    with pytest.raises(SourceError, match=r"cameras here: 0 \(imx708\), 1 \(unnamed\)"):
        open_source("picamera2://2")
    sensor.cameras.clear()
    with pytest.raises(SourceError, match="cameras here: none"):
        open_source("picamera2://0")

    assert sensor.made == []


def test_cameras_that_were_closed_do_not_pile_up(sensor: type[Sensor]) -> None:
    """A closed camera is collected when the next one is opened, as each holds descriptors."""
    gc.disable()
    try:
        open_source("picamera2://0").close()
        camera = sensor.made.pop()
        camera.myself = camera  # a reference cycle, as between Picamera2 and its event loop
        gone = weakref.ref(camera)
        del camera
        assert gone() is not None

        open_source("picamera2://0").close()

        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("error", [RuntimeError("sequence did not complete"), IndexError("0")])
def test_a_camera_in_use_is_told(
    sensor: type[Sensor], error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The error asks whether another program uses it; retries leak no descriptors or log lines."""
    sensor.refuses = error
    before = len(list(DESCRIPTORS.iterdir()))

    with pytest.raises(SourceError, match="is another program using it") as caught:
        open_source("picamera2://0")

    assert caught.value.__cause__ is error
    assert caplog.text == ""
    assert len(list(DESCRIPTORS.iterdir())) == before


def test_a_mode_that_it_has_not_is_told_and_the_camera_let_go(sensor: type[Sensor]) -> None:
    """After an invalid mode the camera is closed, so that it is not busy for the next try."""
    with pytest.raises(SourceError, match="cannot be started with 9000x9000"):
        open_source("picamera2://0?size=9000x9000")

    assert sensor.made[0].closed == 1


def test_a_camera_that_never_closes_is_left_behind(
    sensor: type[Sensor], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If `close` blocks the camera is abandoned, with a warning in the log."""
    ever = threading.Event()
    monkeypatch.setattr(picamera2, "CLOSE_S", 0.01)
    monkeypatch.setattr(sensor, "close", lambda _: ever.wait())

    open_source("picamera2://0").close()
    ever.set()

    assert "cannot be closed" in caplog.text


def test_without_the_library_it_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the apt package, which must match the system's libcamera."""
    monkeypatch.setitem(sys.modules, "picamera2", None)

    with pytest.raises(SourceError, match="apt install python3-picamera2"):
        open_source("picamera2://0")

    assert is_live("picamera2://0")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("picamera2://front", 'camera is "front"; expected its number'),
        ("picamera2://0?format=RGB888", 'unknown option "format"; known: fps, size'),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(uri: str, words: str) -> None:
    """An invalid URI raises SourceError with one sentence, before anything is opened."""
    with pytest.raises(SourceError, match=words.replace("?", r"\?")):
        open_source(uri)
