"""Entering and leaving of zones, and the number of people in each."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from edgepose.config.schema import Config
from edgepose.people.events.debounce import Debounce
from edgepose.people.zones import Zone
from edgepose.timing import NS_PER_S
from edgepose.types import LOST_S, Event, Track

SETTLE_S: Final = 0.5  # debounce time: a person on the border must not raise events at 10 Hz


class ZoneDetector:
    """Emits `zone_entered` and `zone_left` for each person, debounced.

    Uses `zones` of the tracks. A lost track counts as leaving. A zone's count falls only
    after `off_s`, like the camera's, so that a person missed for a moment does not switch
    off a light.
    """

    def __init__(
        self, zones: Sequence[Zone], *, settle_s: float = SETTLE_S, off_s: float = 5.0
    ) -> None:
        self._settle_s = {zone.id: (max(settle_s, zone.min_dwell_s), settle_s) for zone in zones}
        self._off_s = off_s
        self._people: dict[int, _Whereabouts] = {}
        self._at_least: dict[str, list[Debounce]] = {zone.id: [] for zone in zones}

    @classmethod
    def from_config(cls, config: Config, zones: Sequence[Zone]) -> Self:
        """Create the detector from the configuration."""
        return cls(zones, off_s=config.events.presence_off_s)

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Event]:
        """Return the `zone_entered` and `zone_left` events of one frame."""
        seen = {track.id: track for track in tracks}
        for person in seen:
            if person not in self._people:
                self._people[person] = _Whereabouts(self._settle_s)
        events = [
            event
            for person, whereabouts in self._people.items()
            for event in whereabouts.update(person, seen.get(person), at_ns)
        ]
        gone = [person for person, where in self._people.items() if where.forgotten]
        for person in gone:
            del self._people[person]
        self._count_people(at_ns)
        return events

    @property
    def state(self) -> Mapping[str, Any]:
        """`zones`: `occupied` and `count` of each zone."""
        counts = {
            zone: sum(level.value for level in levels) for zone, levels in self._at_least.items()
        }
        return {"zones": {zone: {"occupied": n > 0, "count": n} for zone, n in counts.items()}}

    def _count_people(self, at_ns: int) -> None:
        for zone, levels in self._at_least.items():
            people = sum(where.is_seen_in(zone) for where in self._people.values())
            while len(levels) < people:
                levels.append(Debounce(0.0, self._off_s))
            for below, level in enumerate(levels):
                level.update(people > below, at_ns)


class _Whereabouts:
    """State of one person in every zone."""

    def __init__(self, settle_s: Mapping[str, tuple[float, float]]) -> None:
        self.inside = {zone: Debounce(on_s, off_s) for zone, (on_s, off_s) in settle_s.items()}
        self._missing_ns: int | None = None
        self._score = 0.0
        self.forgotten = False

    def update(self, person: int, track: Track | None, at_ns: int) -> list[Event]:
        """Process the person's track in one frame, None if not seen; return new events."""
        if track is None:
            return self._leave_all(person, at_ns)
        self._missing_ns = None
        self._score = track.pose.score
        return [
            self._zone_event(person, zone, settling, at_ns)
            for zone, settling in self.inside.items()
            if settling.update(zone in track.zones, at_ns)
        ]

    def is_seen_in(self, zone: str) -> bool:
        """Whether the person is in view and in the zone."""
        return self._missing_ns is None and self.inside[zone].value

    def _leave_all(self, person: int, at_ns: int) -> list[Event]:
        """Leave all zones after `LOST_S` of absence: models miss small people for a second."""
        if self._missing_ns is None:
            self._missing_ns = at_ns
        if at_ns - self._missing_ns < LOST_S * NS_PER_S:
            return []
        self.forgotten = True
        return [
            self._zone_event(person, zone, settling, at_ns)
            for zone, settling in self.inside.items()
            if settling.end(self._missing_ns)
        ]

    def _zone_event(self, person: int, zone: str, settling: Debounce, at_ns: int) -> Event:
        if settling.value:
            return Event("zone_entered", at_ns, person, self._score, {"zone": zone})
        dwell_s = round(settling.lasted_ns / NS_PER_S, 1)
        data = {"zone": zone, "dwell_s": dwell_s}
        return Event("zone_left", at_ns, person, self._score, data)
