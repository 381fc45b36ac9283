"""Writes annotated pictures and videos; files are complete even after Ctrl-C."""

import re
from pathlib import Path
from typing import Final

import cv2

from edgepose.commands.film_writer import FilmWriter, open_writer
from edgepose.errors import UsageError
from edgepose.timing import NS_PER_S
from edgepose.types import Frame, Image

PICTURES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
VIDEOS: Final = (".mp4", ".avi", ".mkv", ".mov")


class OutputWriter:
    """Writes annotated frames to one picture, one video, or a folder of pictures and videos.

    Parameters
    ----------
    output : Path
        A file if the extension is that of a picture or video; else a folder.

    Raises
    ------
    UsageError
        When the extension is that of another kind of file.
    """

    def __init__(self, output: Path) -> None:
        if looks_like_a_file(output):
            msg = (
                f"-o {output}: cannot be written as {output.suffix}; expected one of "
                f"{', '.join(PICTURES + VIDEOS)}, or a folder's name"
            )
            raise UsageError(msg)
        self._output = output
        self._ending = output.suffix.lower()
        self._is_file = self._ending in PICTURES + VIDEOS and not output.is_dir()
        self._taken: set[Path] = set()
        self._expected = False
        self._video: FilmWriter | None = None
        self._began_ns: int | None = None
        self._offset_ns = self._next_ns = 0

    def require_capacity(self, frames: int | None) -> None:
        """Raise `UsageError`, before any work, if one picture file must hold several frames.

        Parameters
        ----------
        frames : int or None
            Number of frames to come; None if unknown.
        """
        if self._is_file and self._ending in PICTURES and (frames != 1 or self._expected):
            raise UsageError(self._one_picture())
        self._expected = True

    def _one_picture(self) -> str:
        return f"-o {self._output}: is one picture, but there are several; expected a folder's name"

    def put(self, frame: Frame, annotated: Image, *, source: str, fps: float) -> None:
        """Write one annotated frame.

        Parameters
        ----------
        source : str
            Path or URL of the frame's picture or video.
        fps : float
            The video's frame rate in Hz.

        Raises
        ------
        UsageError
            When the frame does not fit the output, or the output is the source file.
        """
        if frame.name and not (self._is_file and self._ending in VIDEOS):
            self._put_picture(Path(source), annotated)
        else:
            self._put_frame(annotated, frame, Path(source), fps)

    def end_of_source(self) -> None:
        """Complete the video of the source, unless all sources go to one file."""
        self._began_ns, self._offset_ns = None, self._next_ns
        if not self._is_file:
            self.close()

    def close(self) -> None:
        """Complete the open video. Idempotent."""
        if self._video is not None:
            self._video.close()
            self._video = None
        self._offset_ns = self._next_ns = 0

    def _put_picture(self, source: Path, annotated: Image) -> None:
        if self._is_file:
            path = self._output
            if path in self._taken:
                raise UsageError(self._one_picture())
        else:
            ending = source.suffix.lower() if source.suffix.lower() in PICTURES else ".png"
            path = self._unused_path(source.stem, ending)
        self._taken.add(path)
        _keep_source(source, path)
        _write_picture(path, annotated)

    def _put_frame(self, annotated: Image, frame: Frame, source: Path, fps: float) -> None:
        if self._is_file and self._ending in PICTURES:
            msg = f"-o {self._output}: a picture, and the source is a video; expected such as x.mp4"
            raise UsageError(msg)
        if self._video is None:
            path = self._output if self._is_file else self._unused_path(source.stem, ".mp4")
            self._taken.add(path)
            _keep_source(source, path)
            self._video = open_writer(path, frame.size, fps)
        self._began_ns = frame.captured_ns if self._began_ns is None else self._began_ns
        at_ns = self._offset_ns + frame.captured_ns - self._began_ns
        self._video.write(annotated, at_ns)
        self._next_ns = at_ns + round(NS_PER_S / fps)

    def _unused_path(self, stem: str, ending: str) -> Path:
        """Return a path in the folder that was not used yet in this run."""
        path, number = self._output / f"{stem}{ending}", 2
        while path in self._taken:
            path, number = self._output / f"{stem}-{number}{ending}", number + 1
        return path


def looks_like_a_file(output: Path) -> bool:
    """Return whether a name has the extension of a file type that is not supported."""
    ending = output.suffix.lower()
    return (
        re.fullmatch(r"\.[a-z][a-z0-9]{1,4}", ending) is not None
        and ending not in PICTURES + VIDEOS
        and not output.is_dir()
    )


def _keep_source(source: Path, path: Path) -> None:
    """Raise `UsageError` if the output is the source file."""
    if source.exists() and path.exists() and path.samefile(source):
        msg = f"-o {path}: is the source itself; expected another name or folder"
        raise UsageError(msg)


def _write_picture(path: Path, rgb: Image) -> None:
    """Write a picture atomically, through a temporary file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, encoded = cv2.imencode(path.suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    if not done:
        msg = f"-o {path}: cannot be written as {path.suffix}; expected {', '.join(PICTURES)}"
        raise UsageError(msg)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(encoded.tobytes())
    part.replace(path)
