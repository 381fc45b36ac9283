"""Long lies: a person lies outside every rest zone for longer than allowed.

Does not depend on a detected fall, so it also covers slow falls, falls out of view and
people who cannot get up.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from edgepose.config.schema import Config
from edgepose.people.events.successors import Successors
from edgepose.people.zones import Zone
from edgepose.skeleton import figure
from edgepose.timing import NS_PER_S
from edgepose.types import Event, Track

# Chosen on generated scenes (tests/support/homes.py); docs/events.md has the table.
MEMORY_S: Final = 4.0  # time constant of the vote between lying and not lying
STEP_S: Final = 1.0  # maximum time that one observation is weighted with
BEGINS: Final = 0.6  # a long lie begins when the vote reaches this
ENDS: Final = 0.3  # a long lie ends when the vote falls below this
FEW: Final = 8  # minimum observations of lying
READABLE: Final = 0.15  # minimum share of lying in all observations since the beginning
MOSTLY: Final = 0.7  # minimum share of lying in the observations with a known posture
LATELY: Final = 0.5  # of `long_lie_s`: maximum time since the last observation of lying


@dataclass(slots=True)
class _Lie:
    """Accumulated observations of one person."""

    seen_ns: int
    """Time of the last observation of any kind."""

    lying: float = 0.0
    """Exponential mean of the votes for lying outside the rest zones, within [0, 1]."""

    since_ns: int | None = None
    """Time of the first observation of the present lie; None while there is none."""

    lay_ns: int = 0
    """Time of the last observation of lying."""

    looks: int = 0
    """Observations since `since_ns`."""

    readable_looks: int = 0
    """Observations with a known posture since `since_ns`."""

    lying_looks: int = 0
    """Observations of lying since `since_ns`."""

    told: bool = False
    score: float = 0.0
    where: tuple[float, float] = (0.0, 0.0)
    """Position of the hips in pixels, or the centre of the box."""

    def look(self, track: Track, at_ns: int, *, resting: bool) -> None:
        """Add an observation of the person."""
        step_s = min(STEP_S, (at_ns - self.seen_ns) / NS_PER_S)
        self.seen_ns = at_ns
        self.looks += 1
        if track.posture == "unknown":
            return
        self.readable_looks += 1
        lies = track.posture == "lying" and not resting
        keep = math.exp(-step_s / MEMORY_S)
        self.lying = keep * self.lying + (1 - keep) * lies
        if lies:
            self._add_look(track, at_ns)
        if self.lying < ENDS and (self.told or not lies):
            self.end()

    def _add_look(self, track: Track, at_ns: int) -> None:
        if self.since_ns is None:
            self.since_ns = at_ns
            self.looks, self.readable_looks, self.lying_looks = 1, 1, 0
        self.lay_ns = at_ns
        self.lying_looks += 1
        self.score = track.pose.score
        hips = figure(track.pose.keypoints).hips
        x, y = track.pose.box.centre if hips is None else (float(hips[0]), float(hips[1]))
        self.where = (round(x, 1), round(y, 1))

    def end(self) -> None:
        """End the present lie."""
        self.since_ns, self.told = None, False

    def lasts(self, long_lie_s: float, at_ns: int) -> bool:
        """Whether the observations show that the person has been lying for that long."""
        if self.since_ns is None or at_ns - self.since_ns < long_lie_s * NS_PER_S:
            return False
        lately = at_ns - self.lay_ns <= LATELY * long_lie_s * NS_PER_S
        least = max(FEW, READABLE * self.looks, MOSTLY * self.readable_looks)
        return lately and self.lying_looks >= least and self.lying >= BEGINS


class LongLieDetector:
    """Emits `long_lie` when a person lies outside every rest zone for `long_lie_s`.

    Frames without the person, or with an unknown posture, do not change the vote. A person
    unseen for `gone_s` is dropped.
    """

    def __init__(
        self, zones: Sequence[Zone] = (), *, long_lie_s: float = 60.0, gone_s: float = 60.0
    ) -> None:
        self._rest = {zone.id for zone in zones if zone.kind == "rest"}
        self._long_lie_s = long_lie_s
        self._successors = Successors(gone_s)
        self._people: dict[int, _Lie] = {}

    @classmethod
    def from_config(cls, config: Config, zones: Sequence[Zone]) -> Self | None:
        """Create the detector from the configuration; None if it is disabled."""
        events = config.events
        if not events.long_lie_s:
            return None
        return cls(zones, long_lie_s=events.long_lie_s, gone_s=events.fall_gone_s)

    @property
    def state(self) -> Mapping[str, Any]:
        """`long_lie`: whether any reported long lie has not ended."""
        return {"long_lie": any(lie.told for lie in self._people.values())}

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Event]:
        """Return the `long_lie` events of one frame."""
        keys = self._successors.update(tracks, at_ns)
        for key, track in zip(keys, tracks, strict=True):
            lie = self._people.setdefault(key, _Lie(at_ns))
            lie.look(track, at_ns, resting=bool(self._rest.intersection(track.zones)))
        self._people = {k: lie for k, lie in self._people.items() if k in self._successors.keys}
        ids = dict(zip(keys, (track.id for track in tracks), strict=True))
        return [
            self._lie_event(ids.get(key, key), lie, at_ns)
            for key, lie in self._people.items()
            if not lie.told and lie.lasts(self._long_lie_s, at_ns)
        ]

    @staticmethod
    def _lie_event(person: int, lie: _Lie, at_ns: int) -> Event:
        assert lie.since_ns is not None
        lie.told = True
        duration_s = round((at_ns - lie.since_ns) / NS_PER_S, 1)
        data = {"duration_s": duration_s, "where": list(lie.where)}
        return Event("long_lie", at_ns, person, lie.score, data)
