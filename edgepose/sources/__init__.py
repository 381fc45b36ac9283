"""Where pictures come from: a URI chooses a source.

To add one: write `sources/<scheme>.py`, add one row here, inherit the contract
test of `tests/contracts/source.py`.
"""

from collections.abc import Iterator
from typing import Final, Protocol, runtime_checkable

from edgepose.structures import Frame

SOURCES: Final = {
    "demo": "edgepose.sources.demo:DemoSource",
    "v4l2": "edgepose.sources.v4l2:V4l2Source",
    "file": "edgepose.sources.files:FileSource",
}
"""URI scheme to class."""


@runtime_checkable
class Source(Protocol):
    """A stream of frames from one place."""

    live: bool
    """True when frames are lost unless taken at once: the newest one wins."""

    def frames(self) -> Iterator[Frame]:
        """Yield frames in order until the end; a live source raises SourceError when it fails."""

    def close(self) -> None:
        """Let go of the device or file; ends `frames`, also from another thread; twice is fine."""
