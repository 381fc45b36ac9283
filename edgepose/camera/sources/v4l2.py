"""USB cameras and other V4L2 devices (`/dev/videoN`)."""

import logging
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import cv2

from edgepose.camera.sources import FrameFilter, SourceAddress, SourceSettings, accept_all
from edgepose.camera.sources.capture import FrameCapture
from edgepose.timing import NS_PER_MS, NS_PER_S
from edgepose.types import Frame, Size

log = logging.getLogger(__name__)

NODES: Final = Path("/dev/v4l/by-id")
"""Nodes of USB cameras by maker and serial number, which are the same after a reboot."""

FORMATS: Final = {"mjpeg": "MJPG", "yuyv": "YUYV"}
"""V4L2 pixel format by option; USB 2 carries large pictures only when compressed."""

DEFAULT_SIZE: Final = Size(640, 480)  # supported by all cameras; no model uses more pixels
DEFAULT_FPS: Final = 30.0
STALE_NS: Final = 2 * NS_PER_S  # older time stamps are from another clock
SILENCE_S: Final = 5  # longer than any camera needs for its first picture

# Read when the first camera is opened; OpenCV's default is ten seconds.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(SILENCE_S))


class V4l2Source:
    """A live camera read with OpenCV's V4L2 back end."""

    live = True
    length: int | None = None

    def __init__(self, address: SourceAddress, settings: SourceSettings) -> None:
        address.check(("format", "fps", "size"))
        self._address = address
        self._clock = settings.clock
        size = address.size() or DEFAULT_SIZE
        fps = address.fps() or settings.fps or DEFAULT_FPS
        self._device = connect(address, size, fps)
        self.fps: float | None = self._device.get(cv2.CAP_PROP_FPS) or fps

    def frames(self, accept: FrameFilter = accept_all) -> Iterator[Frame]:
        """Yield pictures as the camera delivers them; dropped ones are not decoded.

        Raises
        ------
        SourceError
            When the camera stops delivering, for example because it was unplugged.
        """
        while self._device.grab():
            read_ns = self._clock.now_ns()
            captured_ns = self._captured_ns(read_ns)
            retrieve = cache(self._device.retrieve)
            if not accept(captured_ns, retrieve):
                continue
            image = retrieve()
            if image is None:
                break
            yield Frame(image, captured_ns, self._clock.unix_ns(captured_ns), captured_ns)
        if not self._device.closed.is_set():
            self.close()
            raise self._address.error("the camera stopped delivering pictures; is it plugged in?")

    def close(self) -> None:
        """Release the device and end `frames`."""
        self._device.close()

    def _captured_ns(self, read_ns: int) -> int:
        """Return the driver's time stamp if it is on the monotonic clock, else `read_ns`."""
        stamp_ns = round(self._device.get(cv2.CAP_PROP_POS_MSEC) * NS_PER_MS)
        return stamp_ns if 0 <= read_ns - stamp_ns < STALE_NS else read_ns


def connect(address: SourceAddress, size: Size, fps: float) -> FrameCapture:
    """Open a camera in the requested mode, or the nearest one that its driver offers.

    Raises
    ------
    SourceError
        When the camera is missing, not accessible, busy, or delivers no picture.
    """
    four = _requested_format(address)
    _check_node(address)
    device = open_device(address.path)
    if not device.isOpened():
        raise address.error("cannot be opened as a camera; is another program using it?")
    device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*four))
    device.set(cv2.CAP_PROP_FRAME_WIDTH, size.width)
    device.set(cv2.CAP_PROP_FRAME_HEIGHT, size.height)
    device.set(cv2.CAP_PROP_FPS, fps)
    # A node of an unplugged camera can be opened, too, so a picture is read.
    if not device.grab():
        device.release()
        raise address.error(
            "opened, but delivers no picture; unplug the camera and plug it in again"
        )
    _log_mode(address, device)
    return FrameCapture(device)


def attached() -> list[str]:
    """Return the device nodes of the attached USB cameras."""
    # A camera's second node, index1, is for metadata.
    return sorted(str(node) for node in NODES.glob("*-video-index0"))


def open_device(path: str) -> cv2.VideoCapture:
    """Open a device node with OpenCV."""
    return cv2.VideoCapture(path, cv2.CAP_V4L2)


def _check_node(address: SourceAddress) -> None:
    path = Path(address.path)
    if not path.exists():
        others = ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "none"
        raise address.error(f"no such device; cameras here: {others}")
    if not path.is_char_device():
        raise address.error("is not a device; expected a camera such as /dev/video0")
    if not os.access(path, os.R_OK | os.W_OK):
        raise address.error("not allowed to open it; add the user to the group video")


def _requested_format(address: SourceAddress) -> str:
    name = address.options.get("format", "mjpeg")
    if name not in FORMATS:
        raise address.error(f'format is "{name}"; expected {" or ".join(FORMATS)}')
    return FORMATS[name]


def _log_mode(address: SourceAddress, device: cv2.VideoCapture) -> None:
    code = int(device.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
    log.info(
        "source %s: %d x %d %s at %g fps",
        address,
        device.get(cv2.CAP_PROP_FRAME_WIDTH),
        device.get(cv2.CAP_PROP_FRAME_HEIGHT),
        code.to_bytes(4, "little").decode("ascii", "replace").strip("\0"),
        device.get(cv2.CAP_PROP_FPS),
    )
