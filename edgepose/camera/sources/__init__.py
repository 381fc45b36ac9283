"""Where pictures come from: a URI chooses a source.

To add one: write `sources/<scheme>.py`, add one row here, inherit the contract
test of `tests/support/contracts/source.py`. What a row names is called with an `SourceAddress`
and `SourceSettings`, looks at the first picture where that is cheap, and returns a
`Source` or raises `SourceError`.
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
"""URI scheme to class, or to a function that chooses one."""

EXAMPLES: Final = {
    "v4l2": "/dev/video0",
    "picamera2": "picamera2://0",
    "rtsp": "rtsp://HOST/PATH",
    "http": "http://HOST/PATH",
}
"""How cameras are written."""

WORDS_FOR_CAMERAS: Final = {
    "camera": "v4l2",
    "picam": "picamera2",
    "picamera": "picamera2",
    "usb": "v4l2",
    "video": "v4l2",
    "webcam": "v4l2",
}
"""Words of other programs for kinds of sources."""

FINITE: Final = frozenset({"demo", "file"})
"""Schemes of the sources that have an end, and lose nothing while nobody reads."""

Thumbnail = Callable[[], Image | None]
"""Returns a small version of a picture, (height, width) grey or (height, width, 3) RGB, for less
than decoding it in full; None where it is damaged."""

THUMBNAIL_PX: Final = 80
"""Minimum pixels along a thumbnail's longer side, where the picture has as many."""


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
    """True when frames are lost unless taken at once: the newest one wins."""

    fps: float | None
    """Frames a second at the source's own rate; None where it does not say."""

    length: int | None
    """How many frames there will be, as far as the source can tell; None for no end."""

    def frames(self, accept: FrameFilter = accept_all) -> Iterator[Frame]:
        """Yield frames in order until the end; a live source raises SourceError when it fails.

        Asked for once: after the end, or after an error, open the source anew.

        Parameters
        ----------
        accept : callable
            Called for each picture, before it is decoded where the source can; False drops
            it. Live sources pass a thumbnail.
        """

    def close(self) -> None:
        """Let go of the device or file; ends `frames`, also from another thread; twice is fine."""


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """What the caller asks of any source."""

    clock: Clock = field(default_factory=Clock)

    realtime: bool = True
    """Finite sources: pictures come at their own time; False: as fast as they are taken."""

    fps: float | None = None
    """The most pictures a second that the caller uses: a camera is asked for no more where
    its address says nothing else, and still pictures follow each other at this rate. Every
    frame of a video is delivered all the same."""

    once: bool = False
    """A source that would begin again at its end stops there instead."""


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """A source's URI, taken apart."""

    uri: str
    """As the user wrote it, credentials included: for libraries, never for messages."""

    scheme: str
    """A key of `SOURCES`."""

    path: str
    """What stands between the scheme and the options."""

    options: Mapping[str, str] = field(default_factory=dict)
    """What stands behind the question mark."""

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Take a URI, a device node or a path apart; a path is taken as it is."""
        scheme, separator, rest = uri.partition("://")
        if separator and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
            path, _, query = rest.partition("?")
            options = dict(parse_qsl(query, keep_blank_values=True))
            # A name of a file may be in another encoding than UTF-8.
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
        """Refuse options that this kind of source does not have."""
        for name in self.options:
            if name not in known:
                expected = ", ".join(sorted(known)) or "none"
                raise self.error(f'unknown option "{name}"; known: {expected}')

    def size(self) -> Size | None:
        """Return the option ``size``, such as ``1280x720``."""
        if "size" not in self.options:
            return None
        found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", self.options["size"])
        if found is None:
            text = self.options["size"]
            raise self.error(f'size is "{text}"; expected width and height such as 1280x720')
        return Size(int(found[1]), int(found[2]))

    def fps(self) -> float | None:
        """Return the option ``fps``, frames a second."""
        if "fps" not in self.options:
            return None
        text = self.options["fps"]
        if not re.fullmatch(r"\d+(\.\d+)?", text) or not 0 < float(text) <= 1000:
            raise self.error(f'fps is "{text}"; expected frames a second such as 30')
        return float(text)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return an option that is on (1) or off (0)."""
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
        What frames are stamped with.
    realtime, fps, once
        See `SourceSettings`.

    Raises
    ------
    SourceError
        When there is nothing to be had from it; says what to do.
    """
    address = check(uri)
    make: Callable[[SourceAddress, SourceSettings], Source] = registry.load(SOURCES[address.scheme])
    return make(address, SourceSettings(clock or Clock(), realtime, fps, once))


def check(uri: str) -> SourceAddress:
    """Take a source's URI apart, without looking at what is there.

    Raises
    ------
    SourceError
        When it is of no known kind.
    """
    address = SourceAddress.parse(uri)
    if uri in STDIN:
        raise address.error(NOT_STDIN)
    if not address.path and address.scheme == "file":
        raise SourceError('source "": expected a path, a device or a URI')
    if address.scheme not in SOURCES:
        known = ", ".join(f"{scheme}://" for scheme in sorted(SOURCES))
        raise address.error(f'unknown scheme "{address.scheme}"; known: {known}, or a path')
    return address


def check_all(config: Config, origin: Origin | None) -> None:
    """Refuse cameras of no known kind; `origin` tells where they are configured."""
    for index, camera in enumerate(config.cameras):
        with with_config_location(origin, "camera", index, "source"):
            check(camera.source)


def check_paths(config: Config, origin: Origin | None) -> None:
    """Refuse cameras whose file is not there; `origin` tells where they are configured."""
    for index, camera in enumerate(config.cameras):
        with with_config_location(origin, "camera", index, "source"):
            check_path(check(camera.source))


def check_path(address: SourceAddress) -> None:
    """Refuse a file, folder or glob that is not there; other sources are not looked at.

    Raises
    ------
    SourceError
        Says what was probably meant.
    """
    path = user_path(address.path)
    if address.scheme != "file" or path.exists():
        return
    # Path.glob takes no absolute pattern.
    if glob.has_magic(str(path)) and next(glob.iglob(str(path), recursive=True), None):  # noqa: PTH207
        return
    raise address.error(
        f"no such file or folder;{_meant(path)} expected a picture, a video, a folder or a"
        f" glob; cameras are {', '.join(EXAMPLES.values())}"
    )


def _meant(path: Path) -> str:
    """Return the question for a camera that was probably meant; empty where it was a file."""
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
    """Return how many frames a second there are to look at.

    A file at its own rate has every frame looked at, however few a camera is asked for.
    """
    if is_live(uri) or not realtime:
        return fps
    try:
        with closing(open_source(uri, fps=fps)) as source:
            return source.fps or fps
    except SourceError:  # whoever looks at it tells
        return fps


def is_live(uri: str) -> bool:
    """Say, without opening it, whether a source keeps only its newest frame."""
    scheme = SourceAddress.parse(uri).scheme
    return scheme in SOURCES and scheme not in FINITE
