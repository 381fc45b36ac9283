"""Changes of posture, and the posture of the nearest person."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from edgepose.config.schema import Config
from edgepose.people.zones import Zone
from edgepose.timing import NS_PER_S
from edgepose.types import Event, Posture, Track

GONE_S: Final = 10.0  # a track's posture is kept this long: models lose lying people for seconds
ABSENT_S: Final = 1.0  # the state keeps the posture for this long after the last person
LARGER: Final = 1.2  # hysteresis: a person this much larger replaces the nearest one


class PostureDetector:
    """Emits `posture_changed`; the state has the posture of the largest person.

    "unknown" is skipped: sitting, unknown, sitting raises no event.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Posture, int]] = {}
        self._nearest: Posture = "unknown"
        self._nearest_id: int | None = None
        self._nearest_ns: int | None = None

    @classmethod
    def configured(cls, config: Config, zones: Sequence[Zone]) -> Self:
        """Create the detector from the configuration."""
        return cls()

    @property
    def state(self) -> Mapping[str, Any]:
        """`posture` of the largest person, usually the nearest; "unknown" without one."""
        return {"posture": self._nearest}

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Event]:
        """Return a `posture_changed` event for each changed posture."""
        self._choose(tracks, at_ns)
        events = [event for track in tracks for event in self._compare(track, at_ns)]
        self._known = {
            id_: (posture, seen_ns)
            for id_, (posture, seen_ns) in self._known.items()
            if at_ns - seen_ns <= GONE_S * NS_PER_S
        }
        return events

    def _choose(self, tracks: Sequence[Track], at_ns: int) -> None:
        if tracks:
            largest = max(tracks, key=_size)
            before = (track for track in tracks if track.id == self._nearest_id)
            nearest = next(before, largest)
            if _size(largest) > LARGER * _size(nearest):
                nearest = largest
            self._nearest, self._nearest_id = nearest.posture, nearest.id
            self._nearest_ns = at_ns
        elif self._nearest_ns is None or at_ns - self._nearest_ns > ABSENT_S * NS_PER_S:
            self._nearest = "unknown"

    def _compare(self, track: Track, at_ns: int) -> list[Event]:
        before, _ = self._known.get(track.id, ("unknown", 0))
        now = before if track.posture == "unknown" else track.posture
        self._known[track.id] = (now, at_ns)
        if now == before:
            return []
        data = {"posture": now, "before": before}
        return [Event("posture_changed", at_ns, track.id, track.pose.score, data)]


def _size(track: Track) -> float:
    """Return the longer side of the box: narrow for a profile, flat for a lying person."""
    return float(max(track.pose.box[2:]))
