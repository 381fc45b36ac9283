"""Image sources, selected by URI.

To add a source, write `sources/<scheme>.py`, add a row to `SOURCES` and inherit the contract test
of `tests/support/contracts/source.py`. The class or function of a row is called with a
`SourceAddress` and `SourceSettings`. It reads the first picture where that is cheap, and returns
a `Source` or raises `SourceError`.
"""

import glob
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, Self, runtime_checkable
from urllib.parse import parse_qsl, unquote

from edgepose import registry
from edgepose.config.loading import Origin, with_config_location
from edgepose.config.schema import Config
from edgepose.errors import SourceError
from edgepose.timing import Clock
from edgepose.types import Frame, Image, Size
from edgepose.urls import NOT_STDIN, STDIN, redact, user_path

SOURCES: Final = {
    "demo": "edgepose.camera.sources.demo:DemoSource",
    "picamera2": "edgepose.camera.sources.picamera2:Picamera2Source",
    "v4l2": "edgepose.camera.sources.v4l2:V4l2Source",
    "rtsp": "edgepose.camera.sources.ffmpeg:StreamSource",
    "rtsps": "edgepose.camera.sources.ffmpeg:StreamSource",
    "http": "edgepose.camera.sources.ffmpeg:open_http",
    "https": "edgepose.camera.sources.ffmpeg:open_http",
    "file": "edgepose.camera.sources.files:open_files",
}
"""Class, or function that selects one, by URI scheme."""

EXAMPLES: Final = {
    "v4l2": "/dev/video0",
    "picamera2": "picamera2://0",
    "rtsp": "rtsp://HOST/PATH",
    "http": "http://HOST/PATH",
}
"""Example addresses of cameras, for error messages."""

WORDS_FOR_CAMERAS: Final = {
    "camera": "v4l2",
    "picam": "picamera2",
    "picamera": "picamera2",
    "usb": "v4l2",
    "video": "v4l2",
    "webcam": "v4l2",
}
"""Scheme to suggest for the word that another program uses for a camera."""

NETWORK: Final = frozenset({"rtsp", "rtsps", "http", "https"})
"""Schemes of addresses with a host."""

HOST_AND_PORT: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[^\s:\[\]]+)(?::(\d{1,5}))?")

FINITE: Final = frozenset({"demo", "file"})
"""Schemes of sources that have an end and lose no frames while they are not read."""

Thumbnail = Callable[[], Image | None]
"""Returns a thumbnail, (height, width) grey or (height, width, 3) RGB; None for a damaged picture.

Cheaper than decoding the whole picture.
"""

THUMBNAIL_PX: Final = 80
"""Minimum pixels of a thumbnail's longer side, unless the picture is smaller."""


class FrameFilter(Protocol):
    """Decides whether a picture is delivered."""

    def __call__(self, at_ns: int, thumbnail: Thumbnail | None = None, /) -> bool:
        """Return False to drop the picture that was captured at `at_ns`, on the frames' clock."""


def accept_all(at_ns: int, thumbnail: Thumbnail | None = None, /) -> bool:
    """Accept every picture."""
    return True


@runtime_checkable
class Source(Protocol):
    """A stream of frames from one place."""

    live: bool
    """Whether frames are lost unless read at once; then only the newest one is kept."""

    fps: float | None
    """The source's own frame rate in Hz; None if unknown."""

    length: int | None
    """Estimated number of frames; None if endless or unknown."""

    def frames(self, accept: FrameFilter = accept_all) -> Iterator[Frame]:
        """Yield frames in order until the end.

        Can be called once. After the end or an error, the source must be opened again.

        Parameters
        ----------
        accept : callable
            Called for each picture, if possible before it is decoded; False drops it. Live
            sources pass a thumbnail.

        Raises
        ------
        SourceError
            When a live source fails.
        """

    def close(self) -> None:
        """Release the device or file and end `frames`. Thread-safe and idempotent."""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Settings that apply to all sources."""

    clock: Clock = field(default_factory=Clock)

    realtime: bool = True
    """Whether finite sources deliver frames at their own times; else as fast as read."""

    fps: float | None = None
    """Maximum frame rate in Hz that the caller uses. It is the rate of still pictures, and of a
    camera unless its address has another one. All frames of a video are delivered."""

    once: bool = False
    """Whether a source that loops stops at its end."""


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """A parsed source URI."""

    uri: str
    """The unchanged URI with its credentials; not for messages."""

    scheme: str
    """A key of `SOURCES`."""

    path: str
    """The part between the scheme and the options."""

    options: Mapping[str, str] = field(default_factory=dict)
    """The options after the question mark."""

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Parse a URI, a device node or a path; a path is not unquoted."""
        scheme, separator, rest = uri.partition("://")
        if separator and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
            path, _, query = rest.partition("?")
            options = dict(parse_qsl(query, keep_blank_values=True))
            # File names may be in another encoding than UTF-8.
            return cls(uri, scheme.lower(), unquote(path, errors="surrogateescape"), options)
        if uri.startswith("/dev/"):
            path, _, query = uri.partition("?")
            return cls(uri, "v4l2", path, dict(parse_qsl(query, keep_blank_values=True)))
        return cls(uri, "file", uri)

    def __str__(self) -> str:
        return redact(self.uri)

    def error(self, what: str) -> SourceError:
        """Return an error about this source."""
        return SourceError(f"source {self}: {what}")

    def check(self, known: Collection[str]) -> None:
        """Raise `SourceError` for options that are not in `known`."""
        for name in self.options:
            if name not in known:
                expected = ", ".join(sorted(known)) or "none"
                raise self.error(f'unknown option "{name}"; known: {expected}')

    def size(self) -> Size | None:
        """Return the option ``size``, such as ``1280x720``; None if it is not given."""
        if "size" not in self.options:
            return None
        found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", self.options["size"])
        if found is None:
            text = self.options["size"]
            raise self.error(f'size is "{text}"; expected width and height such as 1280x720')
        return Size(int(found[1]), int(found[2]))

    def fps(self) -> float | None:
        """Return the option ``fps``, the frame rate in Hz; None if it is not given."""
        if "fps" not in self.options:
            return None
        text = self.options["fps"]
        if not re.fullmatch(r"\d+(\.\d+)?", text) or not 0 < float(text) <= 1000:
            raise self.error(f'fps is "{text}"; expected frames a second such as 30')
        return float(text)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean option: 1 or 0."""
        text = self.options.get(name, "1" if default else "0")
        if text not in ("0", "1"):
            raise self.error(f'{name} is "{text}"; expected 1 or 0')
        return text == "1"


def open_source(
    uri: str,
    *,
    clock: Clock | None = None,
    realtime: bool = True,
    fps: float | None = None,
    once: bool = False,
) -> Source:
    """Open a camera, video, picture, folder or glob of pictures, or the demo.

    Parameters
    ----------
    uri : str
        ``scheme://…``, a device node under ``/dev``, or a path.
    clock : Clock, optional
        Clock of the frames' capture times.
    realtime, fps, once
        See `SourceSettings`.

    Raises
    ------
    SourceError
        When the source cannot be opened.
    """
    address = check(uri)
    make: Callable[[SourceAddress, SourceSettings], Source] = registry.load(SOURCES[address.scheme])
    return make(address, SourceSettings(clock or Clock(), realtime, fps, once))


def check(uri: str) -> SourceAddress:
    """Parse a source's URI without opening the source.

    Raises
    ------
    SourceError
        When the URI is invalid or its scheme unknown.
    """
    address = SourceAddress.parse(uri)
    if uri in STDIN:
        raise address.error(NOT_STDIN)
    if not address.path and address.scheme == "file":
        raise SourceError('source "": expected a path, a device or a URI')
    if address.scheme not in SOURCES:
        known = ", ".join(f"{scheme}://" for scheme in sorted(SOURCES))
        raise address.error(f'unknown scheme "{address.scheme}"; known: {known}, or a path')
    if address.scheme in NETWORK and not _has_host(uri):
        raise address.error(f"expected an address such as {address.scheme}://HOST:PORT/PATH")
    return address


def _has_host(uri: str) -> bool:
    """Return whether a network address has a host, and a port from 1 to 65535 if it has one."""
    if "@" in uri.partition("#")[2]:
        return True  # a password with "#" is reported by another check
    authority = re.split(r"[/?#]", uri.partition("://")[2], maxsplit=1)[0]
    found = HOST_AND_PORT.fullmatch(authority.rpartition("@")[2])
    return found is not None and (found[1] is None or 0 < int(found[1]) <= 65535)


def check_all(config: Config, origin: Origin | None) -> None:
    """Raise for invalid camera URIs; `origin` gives the position in the configuration."""
    for index, camera in enumerate(config.cameras):
        with with_config_location(origin, "camera", index, "source"):
            check(camera.source)


def check_paths(config: Config, origin: Origin | None) -> None:
    """Raise for files of cameras that are missing, or that cannot be read as pictures.

    The first picture of each is decoded. `origin` gives the position in the configuration.
    """
    for index, camera in enumerate(config.cameras):
        with with_config_location(origin, "camera", index, "source"):
            address = check(camera.source)
            check_path(address)
            if address.scheme == "file":
                open_source(camera.source, realtime=False).close()


def check_path(address: SourceAddress) -> None:
    """Raise if a file, folder or glob does not exist. Other sources are not checked.

    Raises
    ------
    SourceError
        When it does not exist; the message suggests a camera where that is likely.
    """
    path = user_path(address.path)
    if address.scheme != "file" or exists(address, path):
        return
    # Path.glob takes no absolute pattern.
    if glob.has_magic(str(path)) and next(glob.iglob(str(path), recursive=True), None):  # noqa: PTH207
        return
    raise address.error(
        f"no such file or folder;{_suggest_source(path)} expected a picture, a video, a folder or a"
        f" glob; cameras are {', '.join(EXAMPLES.values())}"
    )


def exists(address: SourceAddress, path: Path) -> bool:
    """Return whether a source's path exists.

    Raises
    ------
    SourceError
        When the system cannot tell: the name is too long, or a folder is not accessible.
    """
    try:
        return path.exists()
    except OSError as error:
        raise address.error(f"cannot be read: {(error.strerror or str(error)).lower()}") from error


def _suggest_source(path: Path) -> str:
    """Return a suggestion of a file with options or of a camera; empty if there is none."""
    name, _, options = str(path).partition("?")
    if options and Path(name).exists():
        return f' did you mean "{Path(name).absolute().as_uri()}?{options}"?'
    there = next((folder for folder in path.parents if folder.exists()), Path())
    missing = str(path.relative_to(there))
    word, _, rest = re.sub(r"[:/]+", " ", missing, count=1).partition(" ")
    meant = WORDS_FOR_CAMERAS.get(word.lower(), word.lower())
    if meant not in SOURCES or (meant in FINITE and rest):
        return ""
    if meant in {"v4l2", "picamera2"}:
        rest = rest if rest.isdecimal() else "0"
        return f' did you mean "{EXAMPLES[meant].replace("0", rest)}"?'
    return f' did you mean "{redact(f"{meant}://{rest}")}"?'


def rate(uri: str, *, fps: float, realtime: bool) -> float:
    """Return the number of frames a second to process.

    For a file at its own rate this is the file's rate: all its frames are processed.
    """
    if is_live(uri) or not realtime:
        return fps
    try:
        with closing(open_source(uri, fps=fps)) as source:
            return source.fps or fps
    except SourceError:  # reported when the source is opened
        return fps


def is_live(uri: str) -> bool:
    """Return, without opening it, whether a source keeps only its newest frame."""
    scheme = SourceAddress.parse(uri).scheme
    return scheme in SOURCES and scheme not in FINITE
