"""Cameras of a Raspberry Pi, through the system's Picamera2."""

import gc
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Final

import numpy as np

from edgepose.camera.sources import FrameFilter, SourceAddress, SourceSettings, accept_all
from edgepose.timing import NS_PER_S
from edgepose.types import Frame, Image, Size

log = logging.getLogger(__name__)

DEFAULT_SIZE: Final = Size(640, 480)  # no model looks at more
DEFAULT_FPS: Final = 30.0
WHOLE: Final = 0.95  # of the largest view: modes differ by some pixels at the border
BUFFERS: Final = 4
FORMAT: Final = "BGR888"  # libcamera names the bytes from the last: in memory this is R, G, B

WAIT_S: Final = 0.25  # between two looks at whether we are closed
SILENCE_S: Final = 5.0  # longer than any exposure in the dark that shows people,
SILENT: Final = 3  # and than so many pictures take at the rate that was asked for
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

    def __init__(self, address: SourceAddress, settings: SourceSettings) -> None:
        address.check(("fps", "size"))
        self._address = address
        self._clock = settings.clock
        self.fps: float | None = address.fps() or settings.fps or DEFAULT_FPS
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._gone = False
        self._job: Any = None
        self._silence_s = max(SILENCE_S, SILENT / self.fps)
        self._camera = connect(address, address.size(), self.fps)

    def frames(self, accept: FrameFilter = accept_all) -> Iterator[Frame]:
        """Yield pictures as the sensor takes them; dropped ones are not copied.

        Raises
        ------
        SourceError
            When the camera says nothing any more: it never does so in words.
        """
        heard_ns = last_ns = self._clock.now_ns()
        while not self._closed.is_set():
            taken = self._take(accept, last_ns + 1)
            now_ns = self._clock.now_ns()
            if taken is not None:
                heard_ns = now_ns
                image, last_ns = taken
                if image is not None:
                    yield Frame(image, last_ns, self._clock.unix_ns(last_ns), last_ns)
            elif not self._closed.is_set() and now_ns - heard_ns > self._silence_s * NS_PER_S:
                self.close()
                what = f"no picture for {self._silence_s:g} s; is the ribbon cable seated?"
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

    def _take(self, accept: FrameFilter, least_ns: int) -> tuple[Image | None, int] | None:
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
                copy = cache(lambda: _copy(request))
                return copy() if accept(at_ns, copy) else None, at_ns
            finally:
                request.release()

    def _moment(self, request: Any) -> int:
        """Return the sensor's stamp if it is on our clock, else now."""
        now_ns = self._clock.now_ns()
        stamp_ns = request.get_metadata().get("SensorTimestamp")
        return stamp_ns if stamp_ns and 0 <= now_ns - stamp_ns < STALE_NS else now_ns


def _copy(request: Any) -> Image:
    """Return the picture of a request as an array of its own, RGB."""
    return np.ascontiguousarray(request.make_array("main"), dtype=np.uint8)


def connect(address: SourceAddress, size: Size | None, fps: float) -> Any:
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
    # It logs what it raises, at each try to get a camera back; here that is said once.
    logging.getLogger("picamera2").setLevel(logging.CRITICAL)
    # A closed camera is in a circle of references, and has two descriptors until it is found.
    gc.collect()
    # Its number is its place in this list, whatever libcamera calls it.
    models = [info.get("Model", "unnamed") for info in Picamera2.global_camera_info()]
    if number >= len(models):
        found = ", ".join(f"{place} ({model})" for place, model in enumerate(models)) or "none"
        raise address.error(f"no such camera; cameras here: {found}")
    # Made in two steps: of one that fails to open there would be nothing to tidy up by.
    camera = Picamera2.__new__(Picamera2)
    try:
        camera.__init__(number)
    except Exception as error:  # RuntimeError or IndexError, by its version
        _tidy(camera)
        why = error.__cause__ or error
        raise address.error(f"cannot be opened: {why}; is another program using it?") from error
    try:
        got = _start(camera, size, fps)
    except Exception as error:
        _close(camera, address)
        asked = size or DEFAULT_SIZE
        raise address.error(
            f"cannot be started with {asked.width}x{asked.height}: {error}"
        ) from error
    log.info("source %s: %s, %d x %d at %g fps", address, models[number], *got, fps)
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


def _start(camera: Any, size: Size | None, fps: float) -> Size:
    """Start a camera; return the size of its pictures."""
    controls = {}
    if "FrameDurationLimits" in camera.camera_controls:  # setting an unknown one is an error
        duration_us = round(1e6 / fps)
        controls["FrameDurationLimits"] = (duration_us, duration_us)
    mode = whole_view(_modes(camera), size or DEFAULT_SIZE, fps)
    camera.configure(
        camera.create_video_configuration(
            main={"format": FORMAT, "size": tuple(size or _in_shape_of(mode))},
            sensor=mode and {"output_size": mode["size"], "bit_depth": mode["bit_depth"]},
            raw=None,  # costs memory that a Pi has little of
            buffer_count=BUFFERS,
            queue=False,  # the next picture, not one that has waited
            controls=controls,
        )
    )
    camera.start()
    return Size(*camera.camera_configuration()["main"]["size"])


def whole_view(
    modes: Sequence[Mapping[str, Any]], size: Size, fps: float
) -> Mapping[str, Any] | None:
    """Choose the smallest of a sensor's modes that shows all that it can see.

    Left to itself, libcamera takes the mode whose size is nearest, and the small ones of
    many sensors show the middle only: less than half of the width, as the worst do.

    Parameters
    ----------
    modes : sequence of mapping
        Picamera2's `sensor_modes`.
    size : Size
        Of the pictures wanted.
    fps : float
        Their rate; where only modes with a narrower view are so fast, None.
    """
    views = [mode["crop_limits"][2] * mode["crop_limits"][3] for mode in modes]
    fit = [
        mode
        for mode, view in zip(modes, views, strict=True)
        if view >= WHOLE * max(views)
        and mode["fps"] >= fps
        and all(has >= wanted for has, wanted in zip(mode["size"], size, strict=True))
    ]
    return min(fit, key=lambda mode: (mode["size"], -mode["bit_depth"]), default=None)


def _modes(camera: Any) -> list[dict[str, Any]]:
    """Return the modes of a sensor on the Pi's own connector; none of any other camera."""
    if "ColorFilterArrangement" not in camera.camera_properties:
        return []
    try:
        modes: list[dict[str, Any]] = camera.sensor_modes
    except Exception as error:  # it tries each of them, and a small Pi may lack the memory
        log.warning("picamera2: modes cannot be read: %s; part of the view may be lost", error)
        return []
    return modes


def _in_shape_of(mode: Mapping[str, Any] | None) -> Size:
    """Return the size of pictures that leave nothing of a mode's view out."""
    if mode is None:
        return DEFAULT_SIZE
    width, height = Size(*mode["size"]).within(DEFAULT_SIZE.width)
    return Size(width, height - height % 2)  # libcamera rounds odd ones down, too


def _tidy(camera: Any) -> None:
    """Give back what a camera has that failed to open: it keeps a pipe for ever."""
    with suppress(Exception):  # however far it came
        camera.close()
    with suppress(Exception):
        if not camera.notifymeread.closed:  # else it has closed both ends
            camera.notifymeread.close()
            os.close(camera.notifyme_w)


def _close(camera: Any, address: SourceAddress) -> None:
    """Close a camera, and leave it to itself if it never comes to an end."""
    closing = threading.Thread(target=camera.close, name="camera:close", daemon=True)
    closing.start()
    closing.join(CLOSE_S)
    if closing.is_alive():
        log.warning("source %s: does not close; a restart of the service lets go of it", address)


def _number(address: SourceAddress) -> int:
    text = address.path or "0"
    if not text.isascii() or not text.isdigit():
        raise address.error(f'camera is "{text}"; expected its number such as 0')
    return int(text)
