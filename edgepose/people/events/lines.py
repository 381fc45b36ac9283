"""Crossings of lines on the floor, with their direction."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any, Final, NamedTuple

from edgepose.people.zones import Point
from edgepose.timing import NS_PER_S
from edgepose.types import Event, Size, Track

SMOOTH_S: Final = 0.4  # window of the median ground point: ankles are sometimes misplaced
SETTLE_S: Final = 0.3  # a crossing is decided after this time off the line
MARGIN: Final = 0.1  # of the box's longer side: a person this near to the line is on it
FORGET_S: Final = 10.0  # a track unseen for longer is dropped


class Line(NamedTuple):
    """A line of one or more straight segments."""

    id: str
    points: tuple[Point, ...]
    """(x, y) as parts of the frame, within [0, 1]."""

    sides: tuple[str, str]
    """Names of the left and the right side in the picture, along the order of points."""

    def on(self, size: Size) -> list[Point]:
        """Return the points in pixels of a frame of this size."""
        return [(x * size.width - 0.5, y * size.height - 0.5) for x, y in self.points]


def side(start: Point, end: Point, point: Point) -> float:
    """Return a value above 0 if the point is to the right of the line from start to end."""
    (x0, y0), (x1, y1), (x, y) = start, end, point
    return (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)


def crossings(points: Sequence[Point], start: Point, end: Point) -> int:
    """Sum the crossings of a line by a straight step: +1 to its right, -1 to its left."""
    total = 0
    for a, b in pairwise(points):
        before, after = side(a, b, start) > 0, side(a, b, end) > 0
        if before != after and (side(start, end, a) > 0) != (side(start, end, b) > 0):
            total += 1 if after else -1
    return total


def distance(points: Sequence[Point], point: Point) -> float:
    """Return the distance from a point to a line."""
    return min(_from_piece(a, b, point) for a, b in pairwise(points))


def _from_piece(a: Point, b: Point, point: Point) -> float:
    along = (b[0] - a[0], b[1] - a[1])
    offset = (point[0] - a[0], point[1] - a[1])
    length = along[0] ** 2 + along[1] ** 2
    part = min(1.0, max(0.0, (along[0] * offset[0] + along[1] * offset[1]) / length))
    x, y = offset[0] - part * along[0], offset[1] - part * along[1]
    return float((x * x + y * y) ** 0.5)


@dataclass(slots=True)
class _Side:
    """State of one person relative to one line."""

    net: int = 0
    """Crossings to the right minus to the left, since the last decision."""

    crossed_ns: int = 0
    off_since_ns: int | None = None

    def step(self, line: Sequence[Point], way: tuple[Point, Point], at_ns: int) -> None:
        """Add one step of the person."""
        if turns := crossings(line, *way):
            self.net += turns
            self.crossed_ns = at_ns

    def settle(self, off: bool, at_ns: int) -> int:
        """Return the direction (+1 right, -1 left) after `SETTLE_S` off the line, else 0."""
        if not off:
            self.off_since_ns = None
            return 0
        if self.off_since_ns is None:
            self.off_since_ns = at_ns
        if at_ns - self.off_since_ns < SETTLE_S * NS_PER_S:
            return 0
        net, self.net = self.net, 0
        return (net > 0) - (net < 0)


@dataclass(slots=True)
class _Walker:
    """Recent ground points of one person."""

    seen: deque[tuple[int, Point]] = field(default_factory=deque)
    """Ground points of the last `SMOOTH_S` in pixels."""

    at: Point | None = None
    """Their median at the last observation."""

    seen_ns: int = 0
    walks: dict[str, _Side] = field(default_factory=dict)

    def go(self, ground: Point, at_ns: int) -> tuple[Point, Point]:
        """Add an observation; return the step of the median since the last one."""
        self.seen.append((at_ns, ground))
        while at_ns - self.seen[0][0] > SMOOTH_S * NS_PER_S:
            self.seen.popleft()
        self.seen_ns = at_ns
        now = (median(p[0] for _, p in self.seen), median(p[1] for _, p in self.seen))
        before, self.at = self.at or now, now
        return before, now


class LineDetector:
    """Emits `line_crossed` when a person's ground point has crossed a line.

    Crossings to and fro cancel out until the person is off the line for `SETTLE_S`. So turning
    back on the line, standing on it or walking around its end raises no event.
    """

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = tuple(lines)
        self._people: dict[int, _Walker] = {}

    @property
    def state(self) -> Mapping[str, Any]:
        """Empty: counts of crossings are kept elsewhere, since they outlive a detector."""
        return {}

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Event]:
        """Return the `line_crossed` events of one frame."""
        events = [event for track in tracks for event in self._follow_track(track, at_ns)]
        self._people = {
            id_: person
            for id_, person in self._people.items()
            if at_ns - person.seen_ns <= FORGET_S * NS_PER_S
        }
        return events

    def _follow_track(self, track: Track, at_ns: int) -> list[Event]:
        if track.ground is None or track.frame is None:
            return []
        person = self._people.setdefault(track.id, _Walker())
        way = person.go(track.ground, at_ns)
        margin = MARGIN * max(track.pose.box.width, track.pose.box.height)
        events = []
        for line in self._lines:
            points, walk = line.on(track.frame), person.walks.setdefault(line.id, _Side())
            walk.step(points, way, at_ns)
            direction = walk.settle(distance(points, way[1]) > margin, at_ns)
            if direction:
                events.append(_crossing_event(track, line, walk.crossed_ns, direction))
        return events


def _crossing_event(track: Track, line: Line, at_ns: int, direction: int) -> Event:
    left, right = line.sides
    origin, target = (left, right) if direction > 0 else (right, left)
    data = {"line": line.id, "from": origin, "to": target}
    return Event("line_crossed", at_ns, track.id, track.pose.score, data)
