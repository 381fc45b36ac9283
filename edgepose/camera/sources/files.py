"""Pictures and videos from the file system."""

import glob
import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from edgepose.camera.sources import (
    FrameFilter,
    Source,
    SourceAddress,
    SourceSettings,
    accept_all,
    check_path,
    exists,
)
from edgepose.camera.sources.capture import decode_picture
from edgepose.camera.sources.file_kinds import FileKind, holds_more, kind_of, kind_of_content
from edgepose.camera.sources.films import Animation, Film, open_film, read_heif
from edgepose.errors import SourceError
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Frame, Image, Picture
from edgepose.urls import user_path

log = logging.getLogger(__name__)

PICTURES: Final = frozenset(
    {
        ".avif",
        ".bmp",
        ".heic",
        ".heif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    }
)
"""Extensions of the files that are read from folders and globs."""

VIDEOS: Final = frozenset(
    {
        ".3gp",
        ".avi",
        ".flv",
        ".gif",
        ".m2ts",
        ".m4v",
        ".mjpeg",
        ".mjpg",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpg",
        ".mpo",
        ".ts",
        ".webm",
        ".wmv",
    }
)
RAWS: Final = frozenset({".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"})
"""Extensions of raw photographs; these and videos are left out of folders, with a message."""

SINGLE: Final = frozenset({FileKind.PICTURE, FileKind.PICTURES, FileKind.HEIF, FileKind.RAW})
"""Kinds that are read as one picture, or refused as one."""

STILL_FPS: Final = 1.0  # rate of still pictures if the caller gives none
VIDEO_FPS: Final = 25.0  # for containers without a frame rate


def open_files(address: SourceAddress, settings: SourceSettings) -> Source:
    """Open a picture, a video, a folder or a glob of pictures.

    A video given as ``file:///path?loop=1`` starts again at its end.
    """
    address.check(("loop",))
    source = _open(address, settings)
    if isinstance(source, PictureSource) and address.flag("loop", default=False):
        raise address.error("loop=1 is for videos; pictures are read once")
    return source


def _open(address: SourceAddress, settings: SourceSettings) -> Source:
    path = user_path(address.path)
    is_there = exists(address, path)
    if path.is_dir():
        return PictureSource(address, settings, _sorted_pictures(address, path.iterdir()))
    if path.is_file():
        return _open_file(address, settings, path)
    if is_there:
        raise address.error("is neither a file nor a folder; cameras are /dev/video0 and the like")
    if glob.has_magic(str(path)):
        # Path.glob takes no absolute pattern.
        found = map(Path, glob.iglob(str(path), recursive=True))  # noqa: PTH207
        return PictureSource(address, settings, _sorted_pictures(address, found))
    check_path(address)
    raise address.error("no such file or folder")  # deleted in the meantime


def _open_file(address: SourceAddress, settings: SourceSettings, path: Path) -> Source:
    kind = _kind_of(path)
    named_picture = kind is FileKind.UNKNOWN and path.suffix.lower() in PICTURES
    if named_picture or kind in SINGLE:
        read_picture(path)
        return PictureSource(address, settings, [path])
    loop = address.flag("loop", default=False) and not settings.once
    if kind is FileKind.ANIMATION:
        return VideoSource(path, settings, partial(Animation, path), loop=loop)
    container = "mjpeg" if kind is FileKind.JPEGS else None
    return VideoSource(path, settings, partial(open_film, path, container), loop=loop)


def _kind_of(path: Path) -> FileKind:
    """Return a file's kind; `UNKNOWN` for empty and unreadable files, which fail when read."""
    try:
        return kind_of(path)
    except (OSError, ValueError):
        return FileKind.UNKNOWN


def _sorted_pictures(address: SourceAddress, found: Iterable[Path]) -> list[Path]:
    """Return the pictures among the paths, in natural order."""
    files = [path for path in found if path.is_file() and not path.name.startswith(".")]
    pictures = [path for path in files if path.suffix.lower() in PICTURES]
    others = sorted(path.name for path in files if path.suffix.lower() in VIDEOS | RAWS)
    if others and pictures:
        log.warning("source %s: no pictures, left out: %s", address, listed(others))
    if not pictures:
        endings = " ".join(sorted(PICTURES))
        raise address.error(f"no picture among {len(files)} files; expected some of {endings}")
    return sorted(pictures, key=natural)


def listed(names: list[str]) -> str:
    """Return the first three names, and the number of the others."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def natural(path: Path) -> list[tuple[int, str]]:
    """Return a sort key that puts ``frame2`` before ``frame10``."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts]


def read_picture(path: Path) -> Image:
    """Read a picture of any format that OpenCV supports as RGB, upright by its EXIF data.

    Returns
    -------
    Image
        (height, width, 3), uint8. Grey is expanded, 16 bits are reduced to 8, alpha is dropped.

    Raises
    ------
    SourceError
        When the picture cannot be read.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        msg = f"picture {path}: cannot be read: {reason.lower()}"
        raise SourceError(msg) from error
    kind = kind_of_content(data.tobytes()) if len(data) else None
    if kind is FileKind.HEIF:
        return read_heif(path)
    if kind is FileKind.RAW:
        need = "convert it to JPEG or TIFF, such as with darktable-cli"
        raise SourceError(f"picture {path}: found a raw photograph, which cannot be read; {need}")
    image = decode_picture(data) if len(data) else None
    if image is None:
        found = f"{len(data)} bytes that are no picture" if len(data) else "an empty file"
        msg = f"picture {path}: found {found}; expected JPEG, PNG or the like: is it complete?"
        raise SourceError(msg)
    return image


def _warn_of_more(path: Path) -> None:
    """Warn if a file contains several pictures, of which only the first is read."""
    if holds_more(path):
        log.warning("picture %s: holds several pictures; only the first is looked at", path)


class Pace:
    """Computes the capture times of pictures and, if `realtime`, waits for them."""

    def __init__(self, clock: Clock, *, realtime: bool, closed: threading.Event) -> None:
        self._clock = clock
        self._realtime = realtime
        self._closed = closed
        self._start_ns: int | None = None

    def wait(self, at_ns: int) -> int | None:
        """Wait until `at_ns` after the first picture; return that time, or None once closed."""
        if self._start_ns is None:
            self._start_ns = self._clock.now_ns() - at_ns
        due_ns = self._start_ns + at_ns
        while self._realtime and (left_ns := due_ns - self._clock.now_ns()) > 0:
            if self._closed.wait(left_ns / NS_PER_S):
                break
        return None if self._closed.is_set() else due_ns

    def frame(self, picture: Picture, due_ns: int, read_ns: int, name: str = "") -> Frame:
        """Return a frame with its times."""
        return Frame(picture, due_ns, self._clock.unix_ns(due_ns), read_ns, name)


class PictureSource:
    """Delivers still pictures one after the other."""

    live = False

    def __init__(self, address: SourceAddress, settings: SourceSettings, paths: list[Path]) -> None:
        self._address = address
        self._clock = settings.clock
        self._paths = paths
        self._closed = threading.Event()
        self._pace = Pace(settings.clock, realtime=settings.realtime, closed=self._closed)
        self.fps: float | None = settings.fps or STILL_FPS
        self.length: int | None = len(paths)

    def frames(self, accept: FrameFilter = accept_all) -> Iterator[Frame]:
        """Yield the pictures; unreadable ones are logged and skipped.

        Raises
        ------
        SourceError
            When no picture can be read.
        """
        period_ns = round(NS_PER_S / (self.fps or STILL_FPS))
        readable = 0
        for index, path in enumerate(self._paths):
            due_ns = self._pace.wait(index * period_ns)
            if due_ns is None:
                return
            if not accept(due_ns):
                readable += 1  # not decoded, so counted as readable
                continue
            read_ns = self._clock.now_ns()
            try:
                image = read_picture(path)
            except SourceError as error:
                log.warning("%s; left out", error)
                continue
            readable += 1
            _warn_of_more(path)
            yield self._pace.frame(image, due_ns, read_ns, str(path))
        if not readable and not self._closed.is_set():
            raise self._address.error(f"none of {len(self._paths)} pictures can be read")

    def close(self) -> None:
        """End `frames`."""
        self._closed.set()


class VideoSource:
    """Delivers every frame of a video in order, at the times of its container.

    Parameters
    ----------
    path : Path
        Path of the file, for messages.
    open_film : callable
        Opens the film; called for each lap, because seeking is exact in few containers.
    loop : bool
        Whether to start again at the end; the capture times continue.
    """

    live = False

    def __init__(
        self,
        path: Path,
        settings: SourceSettings,
        open_film: Callable[[], Film],
        *,
        loop: bool = False,
    ) -> None:
        self._path = path
        self._clock = settings.clock
        self._open_film = open_film
        self._loop = loop
        self._closed = threading.Event()
        self._pace = Pace(settings.clock, realtime=settings.realtime, closed=self._closed)
        self._film = open_film()
        self.fps: float | None = self._film.fps or VIDEO_FPS
        self.length: int | None = None if loop else self._film.length

    def frames(self, accept: FrameFilter = accept_all) -> Iterator[Frame]:
        """Yield the frames; a looping video starts again at its end with continuing times."""
        start_ns = 0
        while True:
            last_ns = start_ns
            for at_ns, frame in self._play_once(start_ns, accept):
                last_ns = at_ns
                if frame is not None:
                    yield frame
            self._film.close()
            if not self._loop or self._closed.is_set():
                return
            self._film = self._open_film()
            if self._closed.is_set():
                self._film.close()
            start_ns = last_ns + self._period_ns

    def close(self) -> None:
        """Release the file and end `frames`."""
        self._closed.set()
        self._film.close()

    @property
    def _period_ns(self) -> int:
        return round(NS_PER_S / (self.fps or VIDEO_FPS))

    def _play_once(self, start_ns: int, accept: FrameFilter) -> Iterator[tuple[int, Frame | None]]:
        """Yield each frame's time, counted from `start_ns`, and the frame, None if dropped."""
        count = unreadable = 0
        first_ns, last_ns = 0, -1
        for picture in self._film.pictures():
            if picture.at_ns is not None and last_ns < 0:
                first_ns = picture.at_ns
            at_ns = last_ns if picture.at_ns is None else picture.at_ns - first_ns
            if at_ns <= last_ns:  # no time stamps, or decreasing ones
                at_ns = last_ns + self._period_ns if last_ns >= 0 else 0
            due_ns = self._pace.wait(start_ns + at_ns)
            if due_ns is None:
                break
            read_ns, frame = self._clock.now_ns(), None
            if accept(due_ns):
                image = picture.image()
                if image is None:
                    unreadable += 1
                    continue
                frame = self._pace.frame(image, due_ns, read_ns)
            count, last_ns = count + 1, at_ns
            yield start_ns + at_ns, frame
        self._warn_if_damaged(count, unreadable)

    def _warn_if_damaged(self, count: int, unreadable: int) -> None:
        if self._closed.is_set():
            return
        if damaged := self._film.damaged + unreadable:
            log.warning("video %s: damaged pictures left out: %d", self._path, damaged)
        if truncation := self._film.truncation():
            log.warning(
                "video %s: ends after %d frames, %s; is the file complete?",
                self._path,
                count,
                truncation,
            )
