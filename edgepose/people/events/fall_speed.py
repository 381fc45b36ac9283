"""How fast a person fell: body heights a second, and metres a second with a floor."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from edgepose.people.body_measures import measure
from edgepose.people.events.fall_window import GAP_S, WINDOW_S, speeds, windows
from edgepose.people.events.successors import Successors
from edgepose.timing import NS_PER_S
from edgepose.types import Event, Floats, Track

PATIENCE_S: Final = 60.0  # a lost person keeps speed and height for this long
PERIOD_S: Final = 0.5  # time between two heights
HEIGHTS: Final = 60  # number of latest heights that are kept: half a minute
FEW: Final = 4  # minimum number of heights of a standing person
HEAD: Final = 0.928  # middle of the head above the floor, in statures (Drillis and Contini)
SUSPECTED: Final = "fall_suspected"
FALLS: Final = (SUSPECTED, "fall_confirmed", "fall_recovered")


@dataclass(slots=True)
class _Faller:
    """The recent past of one person."""

    looks: deque[tuple[int, Floats]] = field(default_factory=deque)
    """Times and keypoints (17, 3) of the last seconds."""

    heights: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=HEIGHTS))
    """Times and heights of the head in metres, while standing."""

    found: dict[str, float] = field(default_factory=dict)
    """Fields of the latest fall."""

    def look(self, track: Track, at_ns: int) -> None:
        """Add an observation."""
        self.looks.append((at_ns, track.pose.keypoints))
        while at_ns - self.looks[0][0] > (WINDOW_S + GAP_S) * NS_PER_S:
            self.looks.popleft()
        height = track.place.height if track.place is not None else None
        if height is None or track.posture != "standing":
            return
        if not self.heights or at_ns - self.heights[-1][0] >= PERIOD_S * NS_PER_S:
            self.heights.append((at_ns, height))

    def fall(self, at_ns: int, least: float) -> dict[str, float]:
        """Return `speed_heights` and, with a floor, `speed` of a fall before `at_ns`."""
        ats, keypoints = zip(*self.looks, strict=True)
        seconds = (np.array(ats) - at_ns) / NS_PER_S
        inputs, known = windows(measure(np.stack(keypoints), least), seconds, np.zeros(1))
        # The drops of shoulders and hips in 0.5 s add up to their mean drop per second.
        heights_s = float(speeds(inputs)[0])
        if not known[0] or not np.isfinite(heights_s):
            return {}
        found = {"speed_heights": round(heights_s, 2)}
        if len(self.heights) >= FEW:
            stature = float(np.median([height for _, height in self.heights])) / HEAD
            found["speed"] = round(heights_s * stature, 2)
        return found


class FallSpeeds:
    """Adds the speed to the fall events of one camera. Costs nothing until a fall happens."""

    def __init__(self, least: float) -> None:
        self._least = least
        self._successors = Successors(PATIENCE_S)
        self._people: dict[int, _Faller] = {}

    def add(self, events: Sequence[Event], tracks: Sequence[Track], at_ns: int) -> list[Event]:
        """Return the events of a frame, those of falls with the speed; `tracks` are its people."""
        keys = self._successors.update(tracks, at_ns)
        for key, track in zip(keys, tracks, strict=True):
            self._people.setdefault(key, _Faller()).look(track, at_ns)
        known = self._successors.keys
        self._people = {key: person for key, person in self._people.items() if key in known}
        return [self._described(event, at_ns) if event.type in FALLS else event for event in events]

    def _described(self, event: Event, at_ns: int) -> Event:
        key = self._successors.key_of(event.person)
        person = None if key is None else self._people.get(key)
        if person is None:
            return event
        if event.type == SUSPECTED:
            person.found = person.fall(at_ns, self._least)
        return replace(event, data={**event.data, **person.found})
