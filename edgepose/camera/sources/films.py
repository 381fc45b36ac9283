"""Films, picture by picture: with PyAV where it is installed, else with OpenCV.

Both read with FFmpeg. PyAV tells more: the whole display matrix, each picture's own time,
and where a film really ends.
"""

import importlib.util
import math
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
from edgepose.errors import SourceError
from edgepose.timing import NS_PER_MS, NS_PER_S
from edgepose.types import Image

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


MAX_FAILURES: Final = 100
"""Failures in a row after which nothing readable is expected any more."""

MAX_HELD: Final = 16
"""Pictures that are put into order together: the most that H.264 keeps back (H.264, A.3.1)."""

TOLERANCE_S, TOLERANCE_PART = 0.5, 0.01
"""How much earlier than stated a film may end: containers round, and sound may be longer."""

ANIMATION_CHUNK: Final = 16
"""Pictures of an animation decoded at once: each chunk decodes those before it again."""


@dataclass(frozen=True, slots=True)
class FilmPicture:
    """A picture that has been found, and can be had as RGB until the next one is asked for."""

    at_ns: int | None
    """Its time on the film's own clock; None where the container has none."""

    image: Callable[[], Image | None]
    """Returns it upright; None where it is damaged."""


class Film(Protocol):
    """The pictures of one film, once."""

    fps: float | None
    """Pictures a second on average; None where the container does not say."""

    length: int | None
    """How many pictures there are, as far as the container can tell."""

    damaged: int
    """How many parts of the film could not be decoded so far."""

    def pictures(self) -> Iterator[FilmPicture]:
        """Yield the pictures that can be decoded, in the order in which they are shown."""

    def missing_s(self) -> float:
        """Return how many seconds before its stated end the film has ended; 0 if it is whole."""

    def close(self) -> None:
        """Let go of the file, also from another thread; twice is fine."""


def open_film(path: Path, format: str | None = None) -> Film:  # noqa: A002  # FFmpeg's word
    """Open a film that has a picture that can be decoded.

    Parameters
    ----------
    path : Path
        Of any name.
    format : str, optional
        FFmpeg's name of the container, where its content does not tell.

    Raises
    ------
    SourceError
        When it is no film, or a broken one; says what was found.
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
    """Read a HEIC or AVIF picture, upright as it says.

    Raises
    ------
    SourceError
        When it cannot be read, or only a part of it.
    """
    with closing(open_film(path)) as film:
        image = next(film.pictures()).image()
    if image is None:
        raise no_picture(path)
    return image


def has_pyav() -> bool:
    """Say whether PyAV is installed."""
    try:
        return importlib.util.find_spec("av") is not None
    except ValueError:  # what it left in `sys.modules` when it could not be imported
        return False


class AvFilm:
    """A film, through PyAV."""

    def __init__(self, path: Path, format: str | None = None) -> None:  # noqa: A002
        import av

        self.damaged = 0
        self._path = path
        container = _open_container(path, format)
        stream = _stream_of(container, path)
        self._demuxer = Demuxer(container, stream, every_stream=True)
        # The network runs on the other cores.
        stream.codec_context.thread_count = 1
        self._converter = Converter()
        self._errors = av.error.FFmpegError
        rate = stream.average_rate
        self.fps: float | None = float(rate) if rate else None
        self._stated_s = _stated_s(container, stream)
        count = stream.frames or round((self._stated_s or 0) * (self.fps or 0))
        self.length: int | None = count or None
        self._spans: dict[int, tuple[int, int]] = {}
        """By the number of a stream, the beginning of its first packet and the end of its last."""

        self._disordered = False
        self._shown: float = -math.inf
        self._pictures: Iterator[VideoFrame] = self._ordered()
        self._first = next(self._pictures, None)
        if self._first is None:
            self.close()
            raise no_picture(path)

    def pictures(self) -> Iterator[FilmPicture]:
        """Yield the pictures; damaged ones are counted and passed over."""
        picture = self._first
        while picture is not None and not self._demuxer.closed.is_set():
            yield FilmPicture(pts_ns(picture), partial(self._converter.convert, picture, "rgb24"))
            picture = next(self._pictures, None)
        self._pictures = iter(())  # it refers to the film, and would keep its decoder in memory

    def missing_s(self) -> float:
        """Return how much earlier than stated the last packet of any stream ends."""
        if self._stated_s is None or self._demuxer.closed.is_set():
            return 0.0
        units = {s.index: float(s.time_base or 0) for s in self._demuxer.container.streams}
        first_s = min((span[0] * units[i] for i, span in self._spans.items()), default=0.0)
        if "matroska" in self._demuxer.container.format.name:
            first_s = min(first_s, 0.0)  # it states the time of its end, not how long it takes
        last_s = max((span[1] * units[i] for i, span in self._spans.items()), default=0.0)
        missing_s = self._stated_s - (last_s - first_s)
        period_s = 1 / self.fps if self.fps else 0.0
        tolerance_s = max(TOLERANCE_S, TOLERANCE_PART * self._stated_s, 2 * period_s)
        return missing_s if missing_s > tolerance_s else 0.0

    def close(self) -> None:
        """Let go of the file."""
        self._demuxer.close()

    def _ordered(self) -> "Iterator[VideoFrame]":
        """Put the pictures that follow upon a damaged one into the order of their times.

        The decoder confuses the order until the next key picture.
        """
        held: list[VideoFrame] = []
        for picture in self._decoded():
            if self._disordered and not picture.key_frame and len(held) < MAX_HELD:
                held.append(picture)
                continue
            yield from self._sorted([*held, picture])
            held = []
            self._disordered &= not picture.key_frame
        yield from self._sorted(held)

    def _sorted(self, pictures: "list[VideoFrame]") -> "Iterator[VideoFrame]":
        """Yield pictures by their times; after a damaged one, those that come too late are none."""
        for picture in sorted(pictures, key=lambda one: one.pts or 0):
            if self._disordered and picture.pts is not None and picture.pts <= self._shown:
                self.damaged += 1
                continue
            self._shown = self._shown if picture.pts is None else picture.pts
            yield picture

    def _decoded(self) -> "Iterator[VideoFrame]":
        failures = 0
        while failures < MAX_FAILURES:
            try:
                packet = self._demuxer.read()
                if packet is None:
                    return
                self._note_end(packet)
                ours = packet.stream is self._demuxer.stream
                decoded = self._demuxer.decode(packet) if ours else []
            except self._errors:
                failures += 1
                self.damaged += 1
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

    av.logging.set_level(None)  # what is wrong with a film is said by us, in one sentence
    try:
        return av.open(f"file:{path}", format=format)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise no_picture(path) from error


def no_picture(path: Path) -> SourceError:
    """Return the error of a file without a single picture."""
    return SourceError(
        f"video {path}: found no frame that can be decoded; expected a video or a picture:"
        " is the file complete?"
    )


def _stream_of(container: "InputContainer", path: Path) -> "VideoStream":
    """Choose the stream that is the film: neither a cover, nor a thumbnail, nor a tile."""
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
    # A sequence of pictures has its cover in another stream, and so has a photograph.
    return max(films, key=lambda s: (s.frames, s.codec_context.width * s.codec_context.height))


def _stated_s(container: "InputContainer", stream: "VideoStream") -> float | None:
    """Return how long the container says that it takes; None where it does not say."""
    import av

    if not has_timestamps(container) or not container.duration:
        return None  # where FFmpeg says something, it has divided the file's size by a rate
    stated_s = container.duration / av.time_base
    if container.format.name == "avi" and stream.frames and stream.average_rate:
        # The length of an AVI that was cut off follows from what is left of it.
        stated_s = max(stated_s, float(stream.frames / stream.average_rate))
    return stated_s


class CvFilm:
    """A film, through OpenCV: without the time of each picture in some containers.

    A film that is to be shown mirrored is turned instead, and of one that has no count of
    pictures nothing is said where it ends early.
    """

    def __init__(self, path: Path) -> None:
        self.damaged = 0
        with path.open("rb") as file:
            if not _grabs(_connect(FD.format(file.fileno()))):
                raise no_picture(path)
            self._capture = FrameCapture(_connect(FD.format(file.fileno())))
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps: float | None = rate if 0 < rate <= 1000 else None
        # An estimate: some containers count packets, some tell a duration, some nothing.
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length: int | None = count if count > 0 else None
        self._end_s = 0.0

    def pictures(self) -> Iterator[FilmPicture]:
        """Yield the pictures; OpenCV fails once at a damaged one, and goes on behind it."""
        failures = 0
        while failures < MAX_FAILURES and not self._capture.closed.is_set():
            if not self._capture.grab():
                failures += 1
                continue
            self.damaged += failures
            failures = 0
            at_ns = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * NS_PER_MS)
            self._end_s = max(self._end_s, at_ns / NS_PER_S)
            yield FilmPicture(at_ns, self._capture.retrieve)

    def missing_s(self) -> float:
        """Return how much earlier the last picture came than their number and rate say."""
        if self._capture.closed.is_set() or self.length is None or not self.fps:
            return 0.0
        missing_s = (self.length - 1) / self.fps - self._end_s
        return missing_s if missing_s > max(TOLERANCE_S, TOLERANCE_PART * self._end_s) else 0.0

    def close(self) -> None:
        """Let go of the file."""
        self._capture.close()


def _grabs(capture: cv2.VideoCapture) -> bool:
    """Say whether a picture can be had; the first ones may be damaged."""
    return any(capture.grab() for _ in range(MAX_FAILURES))


def _connect(name: str) -> cv2.VideoCapture:
    # OpenCV 4.6, the only one of a 32-bit Debian 12, cannot be told
    threads = [cv2.CAP_PROP_N_THREADS, 1] if hasattr(cv2, "CAP_PROP_N_THREADS") else []
    return cv2.VideoCapture(name, cv2.CAP_FFMPEG, threads)


class Animation:
    """An animated picture that FFmpeg does not read: WebP, through OpenCV."""

    damaged = 0
    fps: float | None = None

    def __init__(self, path: Path) -> None:
        self._data = np.fromfile(path, dtype=np.uint8)
        self._closed = False
        self._first = self._chunk(0)
        if not self._first:
            raise no_picture(path)
        self.length: int | None = None

    def pictures(self) -> Iterator[FilmPicture]:
        """Yield the pictures, at the times that their durations give."""
        at_ms, count, chunk = 0, 0, self._first
        while chunk:
            for bgr, ms in chunk:
                if self._closed:
                    return
                yield FilmPicture(at_ms * NS_PER_MS, partial(bgr_to_rgb, bgr))
                at_ms += ms
            count += len(chunk)
            chunk = self._chunk(count)

    def missing_s(self) -> float:
        """Return 0: an animation that was cut off is refused."""
        return 0.0

    def close(self) -> None:
        """Yield no more pictures."""
        self._closed = True

    def _chunk(self, start: int) -> list[tuple[Image, int]]:
        """Decode the pictures from the one of that number on; none behind the last."""
        _, found = cv2.imdecodeanimation(self._data, start=start, count=ANIMATION_CHUNK)
        frames = [np.asarray(frame, dtype=np.uint8) for frame in found.frames]
        return list(zip(frames, (int(ms) for ms in found.durations), strict=True))
