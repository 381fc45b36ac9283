"""Raspberry Pi cameras, through the system's Picamera2."""

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

DEFAULT_SIZE: Final = Size(640, 480)  # no model uses more pixels
DEFAULT_FPS: Final = 30.0
WHOLE: Final = 0.95  # minimum share of the largest view: modes differ by a few border pixels
BUFFERS: Final = 4
FORMAT: Final = "BGR888"  # libcamera names the bytes in reverse: in memory this is R, G, B

WAIT_S: Final = 0.25  # poll interval of `close`
SILENCE_S: Final = 5.0  # minimum timeout; longer than useful exposures in the dark
SILENT: Final = 3  # minimum timeout in periods of the requested rate
CLOSE_S: Final = 2.0
STALE_NS: Final = 2 * NS_PER_S  # older time stamps are from another clock

INSTALL: Final = (
    "needs Picamera2, which comes from the system: sudo apt install python3-picamera2, and a"
    " virtual environment made with --system-site-packages"
)


class Picamera2Source:
    """A live camera on the Pi's camera connector."""

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
        """Yield pictures as the sensor captures them; dropped ones are not copied.

        Raises
        ------
        SourceError
            When no picture arrives for the timeout; libcamera reports no error itself.
        """
        heard_ns = last_ns = self._clock.now_ns()
        while not self._closed.is_set():
            taken = self._wait_for_picture(accept, last_ns + 1)
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
        """Close the camera; if another thread reads, within `WAIT_S`. Does not wait."""
        self._closed.set()
        if self._lock.acquire(blocking=False):
            if not self._gone:
                self._gone = True
                _close_camera(self._camera, self._address)
            self._lock.release()

    def _wait_for_picture(
        self, accept: FrameFilter, least_ns: int
    ) -> tuple[Image | None, int] | None:
        """Wait up to `WAIT_S` for a picture; return it, if accepted, and its time; else None."""
        with self._lock:
            if self._closed.is_set():
                return None
            # A job is kept until it is done: an abandoned one would hold a buffer for ever, and
            # without buffers the camera stops delivering.
            if self._job is None:
                self._job = self._camera.capture_request(wait=False)
            try:
                request = self._camera.wait(self._job, timeout=WAIT_S)
            except TimeoutError:
                return None
            self._job = None
            try:
                at_ns = max(least_ns, self._capture_time(request))
                copy = cache(lambda: _copy_picture(request))
                return copy() if accept(at_ns, copy) else None, at_ns
            finally:
                request.release()

    def _capture_time(self, request: Any) -> int:
        """Return the sensor's time stamp if it is on the monotonic clock, else now."""
        now_ns = self._clock.now_ns()
        stamp_ns = request.get_metadata().get("SensorTimestamp")
        return stamp_ns if stamp_ns and 0 <= now_ns - stamp_ns < STALE_NS else now_ns


def _copy_picture(request: Any) -> Image:
    """Return a copy of a request's picture, RGB."""
    return np.ascontiguousarray(request.make_array("main"), dtype=np.uint8)


def connect(address: SourceAddress, size: Size | None, fps: float) -> Any:
    """Start and return a camera.

    Raises
    ------
    SourceError
        When the library or the camera is missing, or the camera is in use or cannot be started.
    """
    number = _camera_number(address)
    try:
        from picamera2 import Picamera2
    except ImportError as error:
        raise address.error(INSTALL) from error
    # Picamera2 also logs the errors that it raises, at every retry.
    logging.getLogger("picamera2").setLevel(logging.CRITICAL)
    # A closed camera holds two descriptors until its reference cycle is collected.
    gc.collect()
    # The camera number is the index in this list.
    models = [info.get("Model", "unnamed") for info in Picamera2.global_camera_info()]
    if number >= len(models):
        found = ", ".join(f"{place} ({model})" for place, model in enumerate(models)) or "none"
        raise address.error(f"no such camera; cameras here: {found}")
    # Created in two steps, so that a camera that fails to open can be cleaned up.
    camera = Picamera2.__new__(Picamera2)
    try:
        camera.__init__(number)
    except Exception as error:  # RuntimeError or IndexError, depending on the version
        _release_camera(camera)
        why = error.__cause__ or error
        raise address.error(f"cannot be opened: {why}; is another program using it?") from error
    try:
        got = _start_camera(camera, size, fps)
    except Exception as error:
        _close_camera(camera, address)
        asked = size or DEFAULT_SIZE
        raise address.error(
            f"cannot be started with {asked.width}x{asked.height}: {error}"
        ) from error
    log.info("source %s: %s, %d x %d at %g fps", address, models[number], *got, fps)
    return camera


def attached() -> list[str]:
    """Return the addresses of the cameras on the Pi's camera connectors."""
    try:
        from picamera2 import Picamera2

        cameras = Picamera2.global_camera_info()
    except Exception as error:  # ValueError if the library was built for another numpy
        log.debug("the Pi's own cameras cannot be listed: %s", error)
        return []
    # USB cameras are listed, too; they are read through V4L2.
    own = [place for place, info in enumerate(cameras) if "usb" not in info.get("Id", "").lower()]
    return [f"picamera2://{place}" for place in own]


def _start_camera(camera: Any, size: Size | None, fps: float) -> Size:
    """Start a camera; return the size of its pictures."""
    controls = {}
    if "FrameDurationLimits" in camera.camera_controls:  # setting an unknown control is an error
        duration_us = round(1e6 / fps)
        controls["FrameDurationLimits"] = (duration_us, duration_us)
    mode = whole_view(_sensor_modes(camera), size or DEFAULT_SIZE, fps)
    camera.configure(
        camera.create_video_configuration(
            main={"format": FORMAT, "size": tuple(size or _in_shape_of(mode))},
            sensor=mode and {"output_size": mode["size"], "bit_depth": mode["bit_depth"]},
            raw=None,  # saves memory
            buffer_count=BUFFERS,
            queue=False,  # deliver the next picture, not a queued one
            controls=controls,
        )
    )
    camera.start()
    return Size(*camera.camera_configuration()["main"]["size"])


def whole_view(
    modes: Sequence[Mapping[str, Any]], size: Size, fps: float
) -> Mapping[str, Any] | None:
    """Return the smallest sensor mode with the full field of view; None if there is none.

    By default libcamera selects the mode of the nearest size. The small modes of many sensors
    show only the centre, some of them less than half of the width.

    Parameters
    ----------
    modes : sequence of mapping
        Picamera2's `sensor_modes`.
    size : Size
        Requested size of the pictures.
    fps : float
        Requested rate in Hz; modes that are slower are not considered.
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


def _sensor_modes(camera: Any) -> list[dict[str, Any]]:
    """Return the modes of a sensor on the Pi's connector; empty for other cameras."""
    if "ColorFilterArrangement" not in camera.camera_properties:
        return []
    try:
        modes: list[dict[str, Any]] = camera.sensor_modes
    except (
        Exception
    ) as error:  # Picamera2 tries each mode; a small Pi may not have enough memory for it
        log.warning("picamera2: modes cannot be read: %s; part of the view may be lost", error)
        return []
    return modes


def _in_shape_of(mode: Mapping[str, Any] | None) -> Size:
    """Return a picture size of a mode's aspect ratio, `DEFAULT_SIZE` without a mode."""
    if mode is None:
        return DEFAULT_SIZE
    width, height = Size(*mode["size"]).within(DEFAULT_SIZE.width)
    return Size(width, height - height % 2)  # libcamera also rounds odd heights down


def _release_camera(camera: Any) -> None:
    """Release the resources of a camera that failed to open, including its pipe."""
    with suppress(Exception):  # fails if the camera is only partly initialised
        camera.close()
    with suppress(Exception):
        if not camera.notifymeread.closed:  # else both ends are closed
            camera.notifymeread.close()
            os.close(camera.notifyme_w)


def _close_camera(camera: Any, address: SourceAddress) -> None:
    """Close a camera; give up after `CLOSE_S` and log it."""
    closing = threading.Thread(target=camera.close, name="camera:close", daemon=True)
    closing.start()
    closing.join(CLOSE_S)
    if closing.is_alive():
        log.warning("source %s: cannot be closed; restart the service to release it", address)


def _camera_number(address: SourceAddress) -> int:
    text = address.path or "0"
    if not text.isascii() or not text.isdigit():
        raise address.error(f'camera is "{text}"; expected its number such as 0')
    return int(text)
