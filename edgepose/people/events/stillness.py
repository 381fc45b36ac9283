"""Stillness: people who are there and have not moved for long."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from edgepose.config.schema import Config
from edgepose.people.events.successors import Successors
from edgepose.people.zones import Zone
from edgepose.timing import NS_PER_S
from edgepose.types import Event, Track

MOVING_NS: Final = 5 * NS_PER_S  # a state that changed with each gesture would flood the broker


@dataclass(slots=True)
class _Rest:
    """When one person moved last."""

    moved_ns: int
    """The last movement; at first the moment at which the person appeared."""

    told: bool = False
    score: float = 0.0
    track: int = 0


class StillnessDetector:
    """Tells who has not moved for `still_s`, and who moves again.

    Reads `moving` of the tracks. A person who is lost and found again near by has not moved
    by that, and one who is not seen for `gone_s` is gone.
    """

    def __init__(self, *, still_s: float = 300.0, gone_s: float = 60.0) -> None:
        self._still_ns = int(still_s * NS_PER_S)
        self._successors = Successors(gone_s)
        self._people: dict[int, _Rest] = {}
        self._moved_ns: int | None = None
        self._moving = False

    @classmethod
    def configured(cls, config: Config, zones: Sequence[Zone]) -> Self | None:
        """Make what the configuration asks for; None for nothing."""
        events = config.events
        return cls(still_s=events.still_s, gone_s=events.fall_gone_s) if events.still_s else None

    @property
    def state(self) -> Mapping[str, Any]:
        """`moving`, and `still` with the moment of the last movement of anybody."""
        still = bool(self._people) and all(stay.told for stay in self._people.values())
        since_ns = max((stay.moved_ns for stay in self._people.values()), default=None)
        return {
            "moving": self._moving,
            "still": still,
            "still_since_ns": since_ns if still else None,
        }

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Event]:
        """Take the people of one frame; say who is still now, and who moves again."""
        events: list[Event] = []
        if any(track.moving for track in tracks):
            self._moved_ns = at_ns
        self._moving = self._moved_ns is not None and at_ns - self._moved_ns <= MOVING_NS
        keys = self._successors.update(tracks, at_ns)
        for key, track in zip(keys, tracks, strict=True):
            stay = self._people.setdefault(key, _Rest(at_ns))
            stay.track, stay.score = track.id, track.pose.score
            if track.moving:
                events += self._move(stay, at_ns)
        self._people = {k: stay for k, stay in self._people.items() if k in self._successors.keys}
        return events + [
            self._event("person_still", stay, at_ns)
            for stay in self._people.values()
            if not stay.told and at_ns - stay.moved_ns >= self._still_ns
        ]

    def _move(self, stay: _Rest, at_ns: int) -> list[Event]:
        said = [self._event("person_moved", stay, at_ns)] if stay.told else []
        stay.told, stay.moved_ns = False, at_ns
        return said

    @staticmethod
    def _event(kind: str, stay: _Rest, at_ns: int) -> Event:
        stay.told = True
        still_s = round((at_ns - stay.moved_ns) / NS_PER_S, 1)
        return Event(kind, at_ns, stay.track, stay.score, {"still_s": still_s})
