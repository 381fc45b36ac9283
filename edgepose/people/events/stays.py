"""Long stays in zones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from edgepose.config.schema import Config
from edgepose.people.events.successors import Successors
from edgepose.people.zones import Zone
from edgepose.timing import NS_PER_S
from edgepose.types import Event, Track

LEAVES_S: Final = 1.0  # a stay ends after this time outside of the zone
LOST_S: Final = 10.0  # a stay continues if the person is found again nearby within this time
STEP_S: Final = 10  # resolution of `longest_s`: limits the rate of state messages


@dataclass(slots=True)
class _Stay:
    """The stay of one person in one zone."""

    since_ns: int
    inside_ns: int
    """Time of the last observation inside."""

    told: bool = False


class StayDetector:
    """Emits `zone_dwelling` after a stay of the zone's `dwell_s`; the state has the longest stay.

    A stay continues when a person is lost and found again nearby.
    """

    def __init__(self, zones: Sequence[Zone]) -> None:
        self._zones = {zone.id: zone for zone in zones}
        self._successors = Successors(LOST_S)
        self._stays: dict[tuple[int, str], _Stay] = {}

    @classmethod
    def from_config(cls, config: Config, zones: Sequence[Zone]) -> Self | None:
        """Create the detector from the configuration; None if it is disabled."""
        return cls(zones) if zones else None

    @property
    def state(self) -> Mapping[str, Any]:
        """`zones`: `longest_s` of the present stays in each zone, in steps of `STEP_S`."""
        longest = dict.fromkeys(self._zones, 0)
        for (_, zone), stay in self._stays.items():
            lasted_s = (stay.inside_ns - stay.since_ns) / NS_PER_S
            if lasted_s >= self._zones[zone].min_dwell_s:
                longest[zone] = max(longest[zone], int(lasted_s // STEP_S) * STEP_S)
        return {"zones": {zone: {"longest_s": seconds} for zone, seconds in longest.items()}}

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Event]:
        """Return the `zone_dwelling` events of one frame."""
        events: list[Event] = []
        keys = self._successors.update(tracks, at_ns)
        for key, track in zip(keys, tracks, strict=True):
            for zone in self._zones.values():
                if zone.id in track.zones:
                    events += self._check_stay(key, track, zone, at_ns)
                else:
                    self._leave_zone(key, zone, at_ns)
        known = self._successors.keys
        self._stays = {place: stay for place, stay in self._stays.items() if place[0] in known}
        return events

    def _check_stay(self, key: int, track: Track, zone: Zone, at_ns: int) -> list[Event]:
        stay = self._stays.setdefault((key, zone.id), _Stay(at_ns, at_ns))
        stay.inside_ns = at_ns
        dwell_s = (at_ns - stay.since_ns) / NS_PER_S
        if stay.told or not zone.dwell_s or dwell_s < max(zone.dwell_s, zone.min_dwell_s):
            return []
        stay.told = True
        data = {"zone": zone.id, "dwell_s": round(dwell_s, 1)}
        return [Event("zone_dwelling", at_ns, track.id, track.pose.score, data)]

    def _leave_zone(self, key: int, zone: Zone, at_ns: int) -> None:
        stay = self._stays.get((key, zone.id))
        if stay is not None and at_ns - stay.inside_ns >= LEAVES_S * NS_PER_S:
            del self._stays[key, zone.id]
