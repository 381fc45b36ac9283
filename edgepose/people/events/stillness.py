"""Stillness: people in view without movement for a long time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from edgepose.config.schema import Config
from edgepose.people.events.successors import Successors
from edgepose.people.zones import Zone
from edgepose.timing import NS_PER_S
from edgepose.types import Event, Track

MOVING_NS: Final = 5 * NS_PER_S  # hold time of `moving`: limits the rate of state messages


@dataclass(slots=True)
class _Rest:
    """The last movement of one person."""

    moved_ns: int
    """Time of the last movement; initially the time of appearance."""

    told: bool = False
    score: float = 0.0
    track: int = 0


class StillnessDetector:
    """Emits `person_still` after `still_s` without movement, then `person_moved`.

    Uses `moving` of the tracks. Losing a person and finding them again nearby is no movement.
    A person unseen for `gone_s` is dropped.
    """

    def __init__(self, *, still_s: float = 300.0, gone_s: float = 60.0) -> None:
        self._still_ns = int(still_s * NS_PER_S)
        self._successors = Successors(gone_s)
        self._people: dict[int, _Rest] = {}
        self._moved_ns: int | None = None
        self._moving = False

    @classmethod
    def from_config(cls, config: Config, zones: Sequence[Zone]) -> Self | None:
        """Create the detector from the configuration; None if it is disabled."""
        events = config.events
        return cls(still_s=events.still_s, gone_s=events.fall_gone_s) if events.still_s else None

    @property
    def state(self) -> Mapping[str, Any]:
        """`moving`, `still`, and `still_since_ns`: time of the last movement of any person."""
        still = bool(self._people) and all(stay.told for stay in self._people.values())
        since_ns = max((stay.moved_ns for stay in self._people.values()), default=None)
        return {
            "moving": self._moving,
            "still": still,
            "still_since_ns": since_ns if still else None,
        }

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Event]:
        """Return the `person_still` and `person_moved` events of one frame."""
        events: list[Event] = []
        if any(track.moving for track in tracks):
            self._moved_ns = at_ns
        self._moving = self._moved_ns is not None and at_ns - self._moved_ns <= MOVING_NS
        keys = self._successors.update(tracks, at_ns)
        for key, track in zip(keys, tracks, strict=True):
            stay = self._people.setdefault(key, _Rest(at_ns))
            stay.track, stay.score = track.id, track.pose.score
            if track.moving:
                events += self._check_movement(stay, at_ns)
        self._people = {k: stay for k, stay in self._people.items() if k in self._successors.keys}
        return events + [
            self._stillness_event("person_still", stay, at_ns)
            for stay in self._people.values()
            if not stay.told and at_ns - stay.moved_ns >= self._still_ns
        ]

    def _check_movement(self, stay: _Rest, at_ns: int) -> list[Event]:
        said = [self._stillness_event("person_moved", stay, at_ns)] if stay.told else []
        stay.told, stay.moved_ns = False, at_ns
        return said

    @staticmethod
    def _stillness_event(kind: str, stay: _Rest, at_ns: int) -> Event:
        stay.told = True
        still_s = round((at_ns - stay.moved_ns) / NS_PER_S, 1)
        return Event(kind, at_ns, stay.track, stay.score, {"still_s": still_s})
