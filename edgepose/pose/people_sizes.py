"""How large the people in view are, from the tracks of all cameras; for `model.name = "auto"`."""

import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from edgepose.system.storage import StateFile
from edgepose.timing import NS_PER_S
from edgepose.types import Size, Track

FILE: Final = "people-sizes.json"
SMALL: Final = 96 / 640
"""Size below which a person is small, in longer sides of the picture: COCO's border between
medium and large people, in a picture of COCO's usual width."""

PERSON_PART: Final = 0.53  # share of a box that the person covers, as in `edgepose eval`
EVERY_NS: Final = NS_PER_S  # at most one observation per second and camera
ENOUGH_S: Final = 600.0  # minimum observed time of people before their size is considered
MEMORY_S: Final = 14_400.0  # above this total, all earlier observations are halved

PeopleSize = Literal["near", "mixed", "small"]

SHARES: Final[dict[PeopleSize, float]] = {"near": 0.05, "mixed": 0.5, "small": 0.95}
"""Assumed share of small people, for the accuracy of a model."""

ENTER: Final[dict[PeopleSize, tuple[float, float]]] = {"near": (0.0, 0.1), "small": (0.7, 1.0)}
STAY: Final[dict[PeopleSize, tuple[float, float]]] = {"near": (0.0, 0.25), "small": (0.5, 1.0)}
"""Ranges of the measured share of small people. A detector misses more of the small ones."""


class _Seconds(msgspec.Struct):
    """Seconds of people in view, and the size derived from them."""

    near: float = 0.0
    small: float = 0.0
    kind: PeopleSize = "mixed"


class SizeReport(NamedTuple):
    """The size of the people in view."""

    kind: PeopleSize
    small: float
    """Measured share of small people, within [0, 1]."""

    seconds: float
    """Seconds of people in view that the share was measured in."""

    def __str__(self) -> str:
        if self.kind == "mixed":
            return ""
        share = self.small if self.kind == "small" else 1 - self.small
        return f"the people in view are {self.kind} in {share:.0%} of {self.seconds / 60:.0f} min"


class PeopleSizes:
    """Counts for how long small and large people are in view; survives restarts.

    Parameters
    ----------
    folder : Path or None
        The state directory; if None, nothing is stored.
    """

    def __init__(self, folder: Path | None) -> None:
        self._file = StateFile(folder and folder / FILE, _Seconds)
        self._seconds: _Seconds = self._file.read() or _Seconds()
        self._due_ns: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, camera: str, tracks: Sequence[Track], size: Size, at_ns: int) -> None:
        """Add the visible people of a camera's frame. Thread-safe.

        Parameters
        ----------
        size : Size
            Size of the picture that the model gets: the camera's region of interest.
        """
        if not tracks or at_ns < self._due_ns.get(camera, at_ns):
            return
        self._due_ns[camera] = at_ns + EVERY_NS
        border = SMALL * max(size)
        small = sum(_body_px(track) < border for track in tracks)
        with self._lock:
            counted = self._seconds
            counted.small += small
            counted.near += len(tracks) - small
            if counted.near + counted.small > MEMORY_S:
                counted.near, counted.small = counted.near / 2, counted.small / 2

    def report(self) -> SizeReport:
        """Return the present size of the people. Thread-safe.

        It changes only when the share of small people has clearly left the range of the last
        one, so that a share near a border does not change the selection back and forth.
        """
        with self._lock:
            counted = self._seconds
            seconds = counted.near + counted.small
            share = counted.small / seconds if seconds else 0.0
            if seconds >= ENOUGH_S:
                counted.kind = _classify(share, counted.kind)
            return SizeReport(counted.kind, share, seconds)

    def store(self) -> None:
        """Write the counts to disk. Thread-safe."""
        with self._lock:
            self._file.write(self._seconds)


def _classify(share: float, last: PeopleSize) -> PeopleSize:
    for ranges, kinds in ((STAY, [last]), (ENTER, list(ENTER))):
        for kind in kinds:
            low, high = ranges.get(kind, (2.0, 2.0))
            if low <= share <= high:
                return kind
    return "mixed"


def _body_px(track: Track) -> float:
    """Return the square root of the person's area, as COCO measures size."""
    _, _, width, height = track.pose.box
    return math.sqrt(PERSON_PART * max(width, 0.0) * max(height, 0.0))
