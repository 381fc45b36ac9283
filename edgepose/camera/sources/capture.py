"""A thread-safe wrapper of `cv2.VideoCapture`, and picture decoding with OpenCV."""

import os
import threading
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.pose.stderr_filter import filtered_stderr
from edgepose.types import Image

# Errors are reported as `SourceError`, so FFmpeg's messages on stderr are turned off. The variable
# is read when the first video is opened; -8 is "quiet".
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
if "OPENCV_LOG_LEVEL" not in os.environ:
    # the same for OpenCV's own messages; in OpenCV 4.6 the function is in another module
    (getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(1)  # fatal errors only


class FrameCapture:
    """`cv2.VideoCapture` with a lock: it is not released during a read."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture
        self._lock = threading.Lock()
        self._bgr: Image | None = None
        self.closed = threading.Event()

    def grab(self) -> bool:
        """Fetch the next picture; False at the end, on failure or once closed."""
        with self._lock:
            grabbed = not self.closed.is_set() and bool(self._capture.grab())
        return not self._release_if_closed() and grabbed

    def retrieve(self) -> Image | None:
        """Return the grabbed picture as a new RGB array; None if it is damaged or once closed."""
        with self._lock:
            if self.closed.is_set():
                return None
            with filtered_stderr():
                decoded, bgr = self._capture.retrieve(self._bgr)
            if not decoded:
                return None
            # OpenCV reuses this memory for the next picture, which saves page faults.
            self._bgr = cast(Image, bgr)
            return bgr_to_rgb(self._bgr)

    def get(self, prop: int) -> float:
        """Return a property such as `cv2.CAP_PROP_FPS`; 0 once closed."""
        with self._lock:
            return 0.0 if self.closed.is_set() else float(self._capture.get(prop))

    def replace(self, capture: cv2.VideoCapture) -> None:
        """Replace the capture and release the previous one."""
        with self._lock:
            self._capture.release()
            self._capture = capture
        self._release_if_closed()

    def close(self) -> None:
        """Release the capture; if another thread reads, after that read. Does not wait."""
        self.closed.set()
        # Does not wait for the lock: a stalled camera may block the reader for long, and the
        # reader releases the capture itself.
        if self._lock.acquire(blocking=False):
            self._capture.release()
            self._lock.release()

    def _release_if_closed(self) -> bool:
        if not self.closed.is_set():
            return False
        with self._lock:
            self._capture.release()
        return True


def bgr_to_rgb(bgr: Image) -> Image:
    """Convert OpenCV's BGR, BGRA or grey to a new RGB array."""
    if bgr.ndim == 2:
        return cast(Image, cv2.cvtColor(bgr, cv2.COLOR_GRAY2RGB))
    code = cv2.COLOR_BGRA2RGB if bgr.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return cast(Image, cv2.cvtColor(bgr, code))


def decode_picture(data: NDArray[np.uint8]) -> Image | None:
    """Decode a picture of any format that OpenCV supports as RGB, upright by its EXIF data.

    Returns None for data that cannot be decoded: truncated, with more pixels than OpenCV accepts,
    or with an invalid header. Grey is expanded, 16 bits are reduced to 8, alpha is dropped.
    """
    try:
        with filtered_stderr():
            bgr = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if bgr is None else bgr_to_rgb(cast(Image, np.asarray(bgr, dtype=np.uint8)))
