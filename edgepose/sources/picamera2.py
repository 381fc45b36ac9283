"""Cameras of a Raspberry Pi, through the system's Picamera2."""

import gc
import logging
import threading
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from edgepose.sources import Address, Settings, Wants, everything
from edgepose.structures import Frame, Image, Size
from edgepose.timing import NS_PER_S

log = logging.getLogger(__name__)

DEFAULT_SIZE: Final = Size(640, 480)  # no model looks at more
DEFAULT_FPS: Final = 30.0
BUFFERS: Final = 4
FORMAT: Final = "BGR888"  # libcamera names the bytes from the last: in memory this is R, G, B

WAIT_S: Final = 0.25  # between two looks at whether we are closed
SILENCE_S: Final = 5.0  # longer than any exposure in the dark that shows people
CLOSE_S: Final = 2.0
STALE_NS: Final = 2 * NS_PER_S  # older stamps are of another clock

INSTALL: Final = (
    "needs Picamera2, which comes from the system: sudo apt install python3-picamera2, and a"
    " virtual environment made with --system-site-packages"
)


class Picamera2Source:
    """A live camera on the Pi's own connector."""

    live = True
    length: int | None = None

    def __init__(self, address: Address, settings: Settings) -> None:
        address.check(("fps", "size"))
        self._address = address
        self._clock = settings.clock
        self.fps: float | None = address.fps() or settings.fps or DEFAULT_FPS
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._gone = False
        self._job: Any = None
        self._camera = connect(address, address.size() or DEFAULT_SIZE, self.fps)

    def frames(self, wants: Wants = everything) -> Iterator[Frame]:
        """Yield pictures as the sensor takes them; what nobody wants is not copied.

        Raises
        ------
        SourceError
            When the camera says nothing any more: it never does so in words.
        """
        heard_ns = last_ns = self._clock.now_ns()
        while not self._closed.is_set():
            taken = self._take(wants, last_ns + 1)
            now_ns = self._clock.now_ns()
            if taken is not None:
                heard_ns = now_ns
                image, last_ns = taken
                if image is not None:
                    yield Frame(image, last_ns, self._clock.unix_ns(last_ns), last_ns)
            elif not self._closed.is_set() and now_ns - heard_ns > SILENCE_S * NS_PER_S:
                self.close()
                what = f"no picture for {SILENCE_S:g} s; is the ribbon cable seated?"
                raise self._address.error(what)
        self.close()

    def close(self) -> None:
        """Let go of the camera; when another thread waits for it, within `WAIT_S`."""
        self._closed.set()
        if self._lock.acquire(blocking=False):
            if not self._gone:
                self._gone = True
                _close(self._camera, self._address)
            self._lock.release()

    def _take(self, wants: Wants, least_ns: int) -> tuple[Image | None, int] | None:
        """Wait a little for a picture; return it, if wanted, and its moment, or None for none."""
        with self._lock:
            if self._closed.is_set():
                return None
            # One job until it is done: each that was given up would take a buffer with
            # it, and without buffers the camera never delivers again.
            if self._job is None:
                self._job = self._camera.capture_request(wait=False)
            try:
                request = self._camera.wait(self._job, timeout=WAIT_S)
            except TimeoutError:
                return None
            self._job = None
            try:
                at_ns = max(least_ns, self._moment(request))
                if not wants(at_ns):
                    return None, at_ns
                return np.ascontiguousarray(request.make_array("main"), dtype=np.uint8), at_ns
            finally:
                request.release()

    def _moment(self, request: Any) -> int:
        """Return the sensor's stamp if it is on our clock, else now."""
        now_ns = self._clock.now_ns()
        stamp_ns = request.get_metadata().get("SensorTimestamp")
        return stamp_ns if stamp_ns and 0 <= now_ns - stamp_ns < STALE_NS else now_ns


def connect(address: Address, size: Size, fps: float) -> Any:
    """Start a camera; return it.

    Raises
    ------
    SourceError
        When the library or the camera is missing, or another program has it.
    """
    number = _number(address)
    try:
        from picamera2 import Picamera2
    except ImportError as error:
        raise address.error(INSTALL) from error
    # A closed camera is in a circle of references, and has two descriptors until it is found.
    gc.collect()
    # Each camera object that fails to open keeps a descriptor for ever: ask first.
    # Its number is its place in this list, whatever libcamera calls it.
    models = [info.get("Model", "unnamed") for info in Picamera2.global_camera_info()]
    if number >= len(models):
        found = ", ".join(f"{place} ({model})" for place, model in enumerate(models)) or "none"
        raise address.error(f"no such camera; cameras here: {found}")
    try:
        camera = Picamera2(number)
    except Exception as error:  # RuntimeError or IndexError, by its version
        why = error.__cause__ or error
        raise address.error(f"cannot be opened: {why}; is another program using it?") from error
    try:
        _start(camera, size, fps)
    except Exception as error:
        _close(camera, address)
        raise address.error(
            f"cannot be started with {size.width}x{size.height}: {error}"
        ) from error
    got = camera.camera_configuration()["main"]
    log.info("source %s: %s, %s at %g fps", address, models[number], got["size"], fps)
    return camera


def attached() -> list[str]:
    """Return the addresses of the cameras on the Pi's own connectors."""
    try:
        from picamera2 import Picamera2

        cameras = Picamera2.global_camera_info()
    except Exception as error:  # of a library that another numpy was built for: ValueError
        log.debug("the Pi's own cameras cannot be asked for: %s", error)
        return []
    # USB cameras are listed too; those are better read by their node.
    own = [place for place, info in enumerate(cameras) if "usb" not in info.get("Id", "").lower()]
    return [f"picamera2://{place}" for place in own]


def _start(camera: Any, size: Size, fps: float) -> None:
    controls = {}
    if "FrameDurationLimits" in camera.camera_controls:  # setting an unknown one is an error
        duration_us = round(1e6 / fps)
        controls["FrameDurationLimits"] = (duration_us, duration_us)
    camera.configure(
        camera.create_video_configuration(
            main={"format": FORMAT, "size": tuple(size)},
            raw=None,  # costs memory that a Pi has little of
            buffer_count=BUFFERS,
            queue=False,  # the next picture, not one that has waited
            controls=controls,
        )
    )
    camera.start()


def _close(camera: Any, address: Address) -> None:
    """Close a camera, and leave it to itself if it never comes to an end."""
    closing = threading.Thread(target=camera.close, name="camera:close", daemon=True)
    closing.start()
    closing.join(CLOSE_S)
    if closing.is_alive():
        log.warning("source %s: does not close; a restart of the service lets go of it", address)


def _number(address: Address) -> int:
    text = address.path or "0"
    if not text.isascii() or not text.isdigit():
        raise address.error(f'camera is "{text}"; expected its number such as 0')
    return int(text)
