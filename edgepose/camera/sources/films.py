"""Reads video files with PyAV if it is installed, else with OpenCV.

Both use FFmpeg. Only PyAV gives the whole display matrix, the time of each picture and the actual
end of the video.
"""

import importlib.util
import math
import mmap
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import cv2
import numpy as np

from edgepose import extras
from edgepose.camera.sources.capture import FrameCapture, bgr_to_rgb
from edgepose.camera.sources.demuxer import Converter, Demuxer, has_timestamps, pts_ns
from edgepose.camera.sources.file_kinds import FD, FileKind, kind_of_content
from edgepose.camera.sources.iso_boxes import film_orientation
from edgepose.camera.sources.losses import LossCounter, ends_within_packet
from edgepose.camera.sources.orientation import Orientation
from edgepose.errors import SourceError
from edgepose.timing import NS_PER_MS, NS_PER_S
from edgepose.types import Image, Picture

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


MAX_FAILURES: Final = 100
"""Consecutive failures after which reading ends."""

MAX_HELD: Final = 16
"""Maximum number of pictures that are sorted together: H.264's reorder limit (H.264, A.3.1)."""

TOLERANCE_S, TOLERANCE_PART = 0.5, 0.01
"""Tolerance of the stated duration, in seconds and relative: containers round, and audio may be
longer."""

ISO_HEADS: Final = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"})
"""Types of the first box of MP4 and MOV files."""

ANIMATION_CHUNK: Final = 16
"""Pictures of an animation decoded per call; each call decodes all earlier pictures again."""


@dataclass(frozen=True, slots=True)
class FilmPicture:
    """A decoded picture; `image` is valid until the next picture is read."""

    at_ns: int | None
    """Time on the film's own clock; None if the container has no times."""

    image: Callable[[], Picture | None]
    """Returns the upright picture; None if it is damaged."""


class Film(Protocol):
    """An open video file; its pictures can be read once."""

    fps: float | None
    """Average frame rate in Hz; None if the container has none."""

    length: int | None
    """Estimated number of pictures; None if unknown."""

    @property
    def damaged(self) -> int:
        """Number of pictures lost to damage so far."""

    def pictures(self) -> Iterator[FilmPicture]:
        """Yield the pictures that can be decoded, in display order."""

    def truncation(self) -> str:
        """Return where the film ends if it is cut off, in words; empty if it is complete."""

    def close(self) -> None:
        """Release the file. Thread-safe and idempotent."""


def open_film(path: Path, format: str | None = None) -> Film:  # noqa: A002  # FFmpeg's word
    """Open a video file and decode its first picture.

    Parameters
    ----------
    path : Path
        Path of the file; its name is not interpreted.
    format : str, optional
        FFmpeg's name of the container, if it cannot be detected.

    Raises
    ------
    SourceError
        When no picture can be decoded.
    """
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError as error:
        msg = f"video {path}: cannot be read: {(error.strerror or '').lower()}"
        raise SourceError(msg) from error
    if not head:
        raise SourceError(f"video {path}: found an empty file; expected a video or a picture")
    if kind_of_content(head) in {FileKind.HEIF, FileKind.SEQUENCE} and not has_pyav():
        need = f"HEIC and AVIF need a library: {extras.install('stream')}"
        raise SourceError(f"picture {path}: {need}; or convert it")
    return AvFilm(path, format) if has_pyav() else CvFilm(path)


def read_heif(path: Path) -> Image:
    """Read a HEIC or AVIF picture as RGB, upright by its metadata.

    Raises
    ------
    SourceError
        When it cannot be read or is incomplete.
    """
    with closing(open_film(path)) as film:
        image = next(film.pictures()).image()
    if image is None:
        raise no_picture(path)
    return image if isinstance(image, np.ndarray) else image.to_rgb()


def has_pyav() -> bool:
    """Return whether PyAV is installed."""
    try:
        return importlib.util.find_spec("av") is not None
    except ValueError:  # a failed import left a partial module in `sys.modules`
        return False


class AvFilm:
    """A video file read with PyAV."""

    def __init__(self, path: Path, format: str | None = None) -> None:  # noqa: A002
        import av

        self._path = path
        container = _open_container(path, format)
        stream = _stream_of(container, path)
        self._demuxer = Demuxer(container, stream, every_stream=True)
        # One decoder thread: the network needs the other cores.
        stream.codec_context.thread_count = 1
        self._converter = Converter()
        self._errors = av.error.FFmpegError
        rate = stream.average_rate
        self.fps: float | None = float(rate) if rate else None
        self._stated_s = _stated_s(container, stream)
        count = stream.frames or round((self._stated_s or 0) * (self.fps or 0))
        self.length: int | None = count or None
        self._spans: dict[int, tuple[int, int]] = {}
        """Start of the first packet and end of the last one, by stream index."""

        self._losses = LossCounter(stream)
        self._disordered = False
        self._shown: float = -math.inf
        self._pictures: Iterator[VideoFrame] = self._in_order()
        self._first = next(self._pictures, None)
        if self._first is None:
            self.close()
            raise no_picture(path)

    def pictures(self) -> Iterator[FilmPicture]:
        """Yield the pictures; damaged ones are counted and skipped."""
        picture = self._first
        while picture is not None and not self._demuxer.closed.is_set():
            self._losses.note_shown(picture)
            yield FilmPicture(pts_ns(picture), partial(self._converter.picture, picture))
            picture = next(self._pictures, None)
        self._pictures = iter(())  # breaks a reference cycle that keeps the decoder in memory

    @property
    def damaged(self) -> int:
        """Number of pictures lost to damage so far."""
        return self._losses.lost

    def truncation(self) -> str:
        """Return where the film ends if it is cut off; empty if it is complete."""
        if self._demuxer.closed.is_set():
            return ""
        if self._demuxer.container.format.name == "mpegts" and ends_within_packet(self._path):
            return "within a packet"
        return before_end(self._missing_s())

    def _missing_s(self) -> float:
        """Return the seconds from the end of the last packet of all streams to the stated end."""
        if self._stated_s is None:
            return 0.0
        units = {s.index: float(s.time_base or 0) for s in self._demuxer.container.streams}
        first_s = min((span[0] * units[i] for i, span in self._spans.items()), default=0.0)
        if "matroska" in self._demuxer.container.format.name:
            first_s = min(first_s, 0.0)  # Matroska states the end time, not the duration
        last_s = max((span[1] * units[i] for i, span in self._spans.items()), default=0.0)
        missing_s = self._stated_s - (last_s - first_s)
        period_s = 1 / self.fps if self.fps else 0.0
        tolerance_s = max(TOLERANCE_S, TOLERANCE_PART * self._stated_s, 2 * period_s)
        return missing_s if missing_s > tolerance_s else 0.0

    def close(self) -> None:
        """Let go of the file."""
        self._demuxer.close()

    def _in_order(self) -> "Iterator[VideoFrame]":
        """Yield pictures, sorted by time after a damaged one.

        After damage the decoder returns pictures out of order until the next key frame.
        """
        held: list[VideoFrame] = []
        for picture in self._decode_pictures():
            if self._disordered and not picture.key_frame and len(held) < MAX_HELD:
                held.append(picture)
                continue
            yield from self._sort_by_time([*held, picture])
            held = []
            self._disordered &= not picture.key_frame
        yield from self._sort_by_time(held)

    def _sort_by_time(self, pictures: "list[VideoFrame]") -> "Iterator[VideoFrame]":
        """Yield pictures by time; after damage, those before the last yielded one are skipped."""
        for picture in sorted(pictures, key=lambda one: one.pts or 0):
            if self._disordered and picture.pts is not None and picture.pts <= self._shown:
                continue
            self._shown = self._shown if picture.pts is None else picture.pts
            yield picture

    def _decode_pictures(self) -> "Iterator[VideoFrame]":
        failures = 0
        while failures < MAX_FAILURES:
            try:
                packet = self._demuxer.read()
                if packet is None:
                    return
                self._losses.restore_times(packet)
                self._losses.note_packet(packet)
                self._note_end(packet)
                ours = packet.stream is self._demuxer.stream
                decoded = self._demuxer.decode(packet) if ours else []
            except self._errors:
                failures += 1
                self._losses.note_error()
                self._disordered = True
                continue
            failures = 0
            yield from decoded

    def _note_end(self, packet: "Packet[Any]") -> None:
        if packet.pts is None:
            return
        end = packet.pts + (packet.duration or 0)
        first, last = self._spans.get(packet.stream_index, (packet.pts, end))
        self._spans[packet.stream_index] = min(first, packet.pts), max(last, end)


def _open_container(path: Path, format: str | None) -> "InputContainer":  # noqa: A002
    import av

    av.logging.set_level(None)  # errors are raised as `SourceError` instead
    try:
        return av.open(f"file:{path}", format=format)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise no_picture(path) from error


def no_picture(path: Path) -> SourceError:
    """Return the error for a file without a decodable picture."""
    return SourceError(
        f"video {path}: found no frame that can be decoded; expected a video or a picture:"
        " is the file complete?"
    )


def before_end(missing_s: float) -> str:
    """Return how long before its stated end a film ends; empty for 0."""
    return f"{missing_s:.1f} s before its stated end" if missing_s else ""


def _stream_of(container: "InputContainer", path: Path) -> "VideoStream":
    """Return the main video stream: not a cover, thumbnail or tile."""
    from av.stream import Disposition

    videos = [s for s in container.streams.video if s.codec_context is not None]
    if any(s.disposition & Disposition.dependent for s in videos):
        container.close()
        msg = (
            f"picture {path}: found a HEIC or AVIF picture in {len(videos)} tiles, which cannot be"
            " put together here; convert it to JPEG, such as with heif-convert"
        )
        raise SourceError(msg)
    apart = Disposition.attached_pic | Disposition.timed_thumbnails
    films = [s for s in videos if not s.disposition & apart]
    if not films:
        kinds = ", ".join(stream.type for stream in container.streams) or "nothing"
        container.close()
        raise SourceError(f"video {path}: found {kinds}; expected a video or a picture")
    # Picture sequences and photographs have their cover in a separate stream.
    return max(films, key=lambda s: (s.frames, s.codec_context.width * s.codec_context.height))


def _stated_s(container: "InputContainer", stream: "VideoStream") -> float | None:
    """Return the container's stated duration in seconds; None if it has none."""
    import av

    if not has_timestamps(container) or not container.duration:
        return None  # FFmpeg would estimate it from file size and bit rate
    stated_s = container.duration / av.time_base
    if container.format.name == "avi" and stream.frames and stream.average_rate:
        # For a truncated AVI, FFmpeg derives the duration from the remaining data.
        stated_s = max(stated_s, float(stream.frames / stream.average_rate))
    return stated_s


class CvFilm:
    """A video file read with OpenCV.

    Limits: some containers give no time for each picture, only MP4 and MOV files are mirrored,
    pictures that refer to a damaged one are not counted as lost, and a truncated file is not
    detected if the container has no picture count.
    """

    def __init__(self, path: Path) -> None:
        self.damaged = 0
        with path.open("rb") as file:
            if not _can_read(_open_capture(FD.format(file.fileno()))):
                raise no_picture(path)
            capture = _open_capture(FD.format(file.fileno()))
        self._orientation = _orientation(path)
        if self._orientation is not None:
            # OpenCV applies a mirrored display matrix as a rotation
            capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        self._capture = FrameCapture(capture)
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps: float | None = rate if 0 < rate <= 1000 else None
        # An estimate: from packet counts or the duration, depending on the container.
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length: int | None = count if count > 0 else None
        self._end_s = 0.0

    def pictures(self) -> Iterator[FilmPicture]:
        """Yield the pictures; at a damaged one `grab` fails once, then continues after it."""
        failures = 0
        while failures < MAX_FAILURES and not self._capture.closed.is_set():
            if not self._capture.grab():
                failures += 1
                continue
            self.damaged += failures
            failures = 0
            at_ns = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * NS_PER_MS)
            self._end_s = max(self._end_s, at_ns / NS_PER_S)
            yield FilmPicture(at_ns, self._upright)

    def _upright(self) -> Image | None:
        image = self._capture.retrieve()
        if image is None or self._orientation is None:
            return image
        return self._orientation.apply(image)

    def truncation(self) -> str:
        """Return where the film ends if it is cut off, from picture count and frame rate."""
        if self._capture.closed.is_set() or self.length is None or not self.fps:
            return ""
        missing_s = (self.length - 1) / self.fps - self._end_s
        tolerance_s = max(TOLERANCE_S, TOLERANCE_PART * self._end_s)
        return before_end(missing_s if missing_s > tolerance_s else 0.0)

    def close(self) -> None:
        """Let go of the file."""
        self._capture.close()


def _orientation(path: Path) -> Orientation | None:
    """Return the orientation that the file states, of MP4 and MOV; None for other containers."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return film_orientation(data) if data[4:8] in ISO_HEADS else None


def _can_read(capture: cv2.VideoCapture) -> bool:
    """Return whether a picture can be read; the first ones may be damaged."""
    return any(capture.grab() for _ in range(MAX_FAILURES))


def _open_capture(name: str) -> cv2.VideoCapture:
    # OpenCV 4.6, the version of 32-bit Debian 12, lacks this property
    threads = [cv2.CAP_PROP_N_THREADS, 1] if hasattr(cv2, "CAP_PROP_N_THREADS") else []
    return cv2.VideoCapture(name, cv2.CAP_FFMPEG, threads)


class Animation:
    """An animated WebP picture, which FFmpeg does not read, through OpenCV."""

    damaged = 0
    fps: float | None = None

    def __init__(self, path: Path) -> None:
        self._data = np.fromfile(path, dtype=np.uint8)
        self._closed = False
        self._first = self._decode_chunk(0)
        if not self._first:
            raise no_picture(path)
        self.length: int | None = None

    def pictures(self) -> Iterator[FilmPicture]:
        """Yield the pictures at times computed from their durations."""
        at_ms, count, chunk = 0, 0, self._first
        while chunk:
            for bgr, ms in chunk:
                if self._closed:
                    return
                yield FilmPicture(at_ms * NS_PER_MS, partial(bgr_to_rgb, bgr))
                at_ms += ms
            count += len(chunk)
            chunk = self._decode_chunk(count)

    def truncation(self) -> str:
        """Return "": truncated animations are refused when opened."""
        return ""

    def close(self) -> None:
        """End `pictures`."""
        self._closed = True

    def _decode_chunk(self, start: int) -> list[tuple[Image, int]]:
        """Decode up to `ANIMATION_CHUNK` pictures from index `start`; empty after the last."""
        _, found = cv2.imdecodeanimation(self._data, start=start, count=ANIMATION_CHUNK)
        frames = [np.asarray(frame, dtype=np.uint8) for frame in found.frames]
        return list(zip(frames, (int(ms) for ms in found.durations), strict=True))
