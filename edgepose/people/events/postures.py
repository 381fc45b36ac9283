"""Changes of posture and of its detail, and the posture of the nearest person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from edgepose.config.schema import Config
from edgepose.people.zones import Zone
from edgepose.timing import NS_PER_S
from edgepose.types import Event, Posture, PostureDetail, Track

GONE_S: Final = 10.0  # a track's posture is kept this long: models lose lying people for seconds
ABSENT_S: Final = 1.0  # the state keeps the posture for this long after the last person
LARGER: Final = 1.2  # hysteresis: size ratio from which another person becomes the nearest
HELD_S: Final = 1.0  # a change of the posture detail must last this long to be an event


@dataclass(slots=True)
class _Detail:
    """Detail of one track's posture: the reported one, and one that may follow it."""

    told: PostureDetail | None = None
    now: PostureDetail | None = None
    since_ns: int = 0
    seen_ns: int = 0

    def look(self, detail: PostureDetail | None, at_ns: int) -> bool:
        """Add an observation; return whether the detail has changed and lasted `HELD_S`."""
        self.seen_ns = at_ns
        if detail != self.now:
            self.now, self.since_ns = detail, at_ns
        return self.now != self.told and at_ns - self.since_ns >= HELD_S * NS_PER_S


class PostureDetector:
    """Emits `posture_changed` and `posture_detail_changed`.

    The state has the posture of the largest person. "unknown" is skipped: sitting, unknown,
    sitting raises no event. Nor does walking, which begins and ends too often.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Posture, int]] = {}
        self._details: dict[int, _Detail] = {}
        self._nearest: Posture = "unknown"
        self._detail: PostureDetail | None = None
        self._nearest_id: int | None = None
        self._nearest_ns: int | None = None

    @classmethod
    def from_config(cls, config: Config, zones: Sequence[Zone]) -> Self:
        """Create the detector from the configuration."""
        return cls()

    @property
    def state(self) -> Mapping[str, Any]:
        """`posture` of the largest person, usually the nearest, and its `posture_detail`.

        "unknown" and None without a person.
        """
        return {"posture": self._nearest, "posture_detail": self._detail}

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Event]:
        """Return an event for each changed posture and each changed detail."""
        self._choose_person(tracks, at_ns)
        events = [event for track in tracks for event in self._compare_posture(track, at_ns)]
        events += [event for track in tracks for event in self._compare_detail(track, at_ns)]
        self._details = {
            id_: detail
            for id_, detail in self._details.items()
            if at_ns - detail.seen_ns <= GONE_S * NS_PER_S
        }
        self._known = {
            id_: (posture, seen_ns)
            for id_, (posture, seen_ns) in self._known.items()
            if at_ns - seen_ns <= GONE_S * NS_PER_S
        }
        return events

    def _choose_person(self, tracks: Sequence[Track], at_ns: int) -> None:
        if tracks:
            largest = max(tracks, key=_box_length)
            before = (track for track in tracks if track.id == self._nearest_id)
            nearest = next(before, largest)
            if _box_length(largest) > LARGER * _box_length(nearest):
                nearest = largest
            self._nearest, self._nearest_id = nearest.posture, nearest.id
            self._detail = nearest.posture_detail
            self._nearest_ns = at_ns
        elif self._nearest_ns is None or at_ns - self._nearest_ns > ABSENT_S * NS_PER_S:
            self._nearest, self._detail = "unknown", None

    def _compare_posture(self, track: Track, at_ns: int) -> list[Event]:
        before, _ = self._known.get(track.id, ("unknown", 0))
        now = before if track.posture == "unknown" else track.posture
        self._known[track.id] = (now, at_ns)
        if now == before:
            return []
        data = {"posture": now, "before": before}
        return [Event("posture_changed", at_ns, track.id, track.pose.score, data)]

    def _compare_detail(self, track: Track, at_ns: int) -> list[Event]:
        known = self._details.setdefault(track.id, _Detail())
        walks = track.posture_detail == "walking"
        if not known.look(None if walks else track.posture_detail, at_ns):
            return []
        data = {"posture_detail": known.now, "before": known.told}
        known.told = known.now
        return [Event("posture_detail_changed", at_ns, track.id, track.pose.score, data)]


def _box_length(track: Track) -> float:
    """Return the longer side of the box: narrow for a profile, flat for a lying person."""
    return float(max(track.pose.box[2:]))
