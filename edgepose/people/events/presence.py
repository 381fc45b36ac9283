"""Presence: occupancy, number of people, arrivals and departures."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from edgepose.config.schema import Config
from edgepose.people.events.debounce import Debounce
from edgepose.people.zones import Zone
from edgepose.timing import NS_PER_S
from edgepose.types import Event, Track

GAP_S: Final = 0.25  # models miss a person in single frames: tolerates two at 10 per second


class PresenceDetector:
    """Detects arrivals and departures of people and counts them, debounced.

    The count does not depend on ids: "at least one", "at least two" and so on are
    debounced separately, so a person whose track breaks is not counted twice.
    """

    def __init__(self, *, on_s: float = 0.5, off_s: float = 5.0) -> None:
        self._on_s = on_s
        self._off_s = off_s
        self._at_least: list[Debounce] = []
        self._people: dict[int, Debounce] = {}
        self._scores: dict[int, float] = {}

    @classmethod
    def from_config(cls, config: Config, zones: Sequence[Zone]) -> Self:
        """Create the detector from the configuration."""
        events = config.events
        return cls(on_s=events.presence_on_s, off_s=events.presence_off_s)

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Event]:
        """Return `person_appeared` and `person_left` events."""
        self._count_people(len(tracks), at_ns)
        seen = {track.id: track.pose.score for track in tracks}
        self._scores.update(seen)
        for person in seen:
            if person not in self._people:
                self._people[person] = self._new_debounce()
        events = [
            self._presence_event(person, settling, at_ns)
            for person, settling in self._people.items()
            if settling.update(person in seen, at_ns)
        ]
        self._forget_left()
        return events

    @property
    def state(self) -> Mapping[str, Any]:
        """`occupied` and `count`, also while there is nobody."""
        count = sum(level.value for level in self._at_least)
        return {"occupied": count > 0, "count": count}

    def _new_debounce(self) -> Debounce:
        return Debounce(self._on_s, self._off_s, min(GAP_S, self._on_s))

    def _count_people(self, people: int, at_ns: int) -> None:
        while len(self._at_least) < people:
            self._at_least.append(self._new_debounce())
        for below, level in enumerate(self._at_least):
            level.update(people > below, at_ns)

    def _presence_event(self, person: int, settling: Debounce, at_ns: int) -> Event:
        score = self._scores[person]
        if settling.value:
            return Event("person_appeared", at_ns, person, score)
        stayed_s = round(settling.lasted_ns / NS_PER_S, 1)
        return Event("person_left", at_ns, person, score, {"stayed_s": stayed_s})

    def _forget_left(self) -> None:
        """Drop people who have left or were seen too briefly."""
        gone = [person for person, settling in self._people.items() if settling.quiet]
        for person in gone:
            del self._people[person], self._scores[person]
