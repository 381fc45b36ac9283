"""Writes video files: H.264 with a time for each frame (PyAV), or MPEG-4 at a fixed rate."""

import logging
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Final, Protocol, cast

import cv2
import numpy as np

from edgepose import extras
from edgepose.errors import UsageError, in_words
from edgepose.timing import NS_PER_S
from edgepose.types import Image, Size

log = logging.getLogger(__name__)

ENCODERS: Final = ("libx264", "libvpx-vp9", "mpeg4")
"""Encoders in order of preference; browsers play the first two."""

OPTIONS: Final = {
    # No B-frames: reordered frames make a video of varying rate seem shorter.
    "libx264": {"preset": "veryfast", "crf": "20", "bf": "0"},
    "libvpx-vp9": {"crf": "30"},
}
TICK: Final = Fraction(1, 90_000)
"""Time base in seconds, 90 kHz: the periods of all common frame rates are multiples of it."""

MIN_FPS: Final = 1.0


class FilmWriter(Protocol):
    """Interface of an open video file."""

    def write(self, rgb: Image, at_ns: int) -> None:
        """Add a frame; it is scaled if its size differs from the first.

        Parameters
        ----------
        rgb : (height, width, 3)
            RGB, uint8.
        at_ns : int
            Presentation time from the beginning of the video.
        """

    def close(self) -> None:
        """Complete the film."""


def open_writer(path: Path, size: Size, fps: float) -> FilmWriter:
    """Create a video file.

    Parameters
    ----------
    path : Path
        The extension selects the container. Missing folders are created.
    size : Size
        Size of the frames.
    fps : float
        Average frames per second.

    Raises
    ------
    UsageError
        When the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_bytes(b"")
    except OSError as error:
        msg = f"-o {path}: cannot be written: {in_words(error)}; expected the name of a film"
        raise UsageError(msg) from error
    try:
        import av  # noqa: F401
    except ImportError:
        log.warning(
            "-o %s: written as MPEG-4, %g pictures a second throughout, which browsers do not"
            " play; with %s it is H.264, each picture at its time",
            path,
            max(MIN_FPS, fps),
            extras.install("stream"),
        )
        return CvWriter(path, size, fps)
    return AvWriter(path, size, fps)


class AvWriter:
    """Writes H.264, or the next of `ENCODERS` that PyAV has; Motion JPEG for AVI."""

    def __init__(self, path: Path, size: Size, fps: float) -> None:
        import av

        av.logging.set_level(None)
        self._is_avi = path.suffix.lower() == ".avi"
        encoder = "mjpeg" if self._is_avi else next(e for e in ENCODERS if e in av.codecs_available)
        # The index comes before the frames, so that browsers play while loading.
        head = {"movflags": "+faststart"} if path.suffix.lower() in {".mp4", ".mov"} else {}
        self._container = av.open(f"file:{path}", "w", options=head)
        rate = Fraction(fps).limit_denominator(1001)
        self._stream = self._container.add_stream(encoder, rate, options=OPTIONS.get(encoder, {}))
        self._size = Size(size.width + size.width % 2, size.height + size.height % 2)
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuvj420p" if self._is_avi else "yuv420p"
        # AVI has a fixed frame rate.
        self._tick = 1 / rate if self._is_avi else TICK
        self._stream.time_base = self._stream.codec_context.time_base = self._tick
        self._duration = max(1, round(1 / rate / self._tick))
        self._last = -1

    def write(self, rgb: Image, at_ns: int) -> None:
        """Add a frame at its time, at least one tick after the previous frame."""
        import av

        frame = av.VideoFrame.from_ndarray(_fit_size(rgb, self._size), format="rgb24")
        self._last = max(round(Fraction(at_ns, NS_PER_S) / self._tick), self._last + 1)
        frame.pts, frame.time_base, frame.duration = self._last, self._tick, self._duration
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Complete the film."""
        self._container.mux(self._stream.encode())
        self._container.close()


class CvWriter:
    """Writes MPEG-4, or Motion JPEG for AVI, with OpenCV at a fixed frame rate."""

    def __init__(self, path: Path, size: Size, fps: float) -> None:
        self._size = size
        # FFmpeg reads text before a colon as a protocol; OpenCV crashes on non-UTF-8 names.
        self._folder = tempfile.TemporaryDirectory()
        link = Path(self._folder.name) / f"film{path.suffix.lower()}"
        link.symlink_to(path.absolute())
        code = cv2.VideoWriter.fourcc(*("MJPG" if link.suffix == ".avi" else "mp4v"))
        self._video = cv2.VideoWriter(str(link), code, max(MIN_FPS, fps), tuple(size))
        if not self._video.isOpened():
            self._folder.cleanup()
            raise UsageError(f"-o {path}: OpenCV cannot write such a film; expected another ending")

    def write(self, rgb: Image, at_ns: int) -> None:
        """Add a frame after the previous one; `at_ns` is not used."""
        self._video.write(cv2.cvtColor(_fit_size(rgb, self._size), cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Complete the film."""
        self._video.release()
        self._folder.cleanup()


def _fit_size(rgb: Image, size: Size) -> Image:
    """Return an image of this size: scaled, or with the last row or column duplicated."""
    right, below = size.width - rgb.shape[1], size.height - rgb.shape[0]
    if (right, below) == (0, 0):
        return rgb
    if {right, below} <= {0, 1}:
        bordered = cv2.copyMakeBorder(rgb, 0, below, 0, right, cv2.BORDER_REPLICATE)
        return cast(Image, bordered)
    return np.asarray(cv2.resize(rgb, tuple(size)), dtype=np.uint8)
