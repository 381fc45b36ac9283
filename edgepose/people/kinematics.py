"""Velocity, orientation and, with a floor, position in metres of tracked people."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import mul
from typing import Final

from edgepose.people.floor import Floor, FloorView
from edgepose.people.zones import Point
from edgepose.skeleton import (
    LEFT_HIP,
    LEFT_SHOULDER,
    NOSE,
    RIGHT_HIP,
    RIGHT_SHOULDER,
    figure,
)
from edgepose.timing import NS_PER_S
from edgepose.types import Place, Size, Track

WINDOW_S: Final = 1.0  # length of the window for the velocity fit
FEW: Final = 3  # minimum observations for a velocity
SHORT_S: Final = 0.3  # minimum time span for a velocity
STANDS: Final = 0.25  # metres per second; below it, the heading would be jitter
FORGET_S: Final = 2.0  # a track unseen for longer is dropped

SHOULDERS: Final = 0.76  # width of the shoulders in torso lengths
ASIDE: Final = 0.4  # part of that width; a narrower body is seen from the side
HEAD_ASIDE: Final = 0.1  # torso lengths; minimum offset of the nose to tell left from right


@dataclass(slots=True)
class _Course:
    """Positions of one person within the last `WINDOW_S`."""

    seen: deque[tuple[int, Point, Point | None]] = field(default_factory=deque)
    """Time, ground point in pixels, and the same point on the floor in metres."""

    def look(self, at_ns: int, ground: Point, place: Point | None) -> None:
        """Add an observation."""
        if self.seen and at_ns - self.seen[-1][0] > FORGET_S * NS_PER_S:
            self.seen.clear()
        self.seen.append((at_ns, ground, place))
        while at_ns - self.seen[0][0] > WINDOW_S * NS_PER_S:
            self.seen.popleft()

    def pixels(self) -> tuple[Point, Point] | None:
        """Return position and velocity in pixels; None with too few observations."""
        return _fit_line([(at_ns, ground) for at_ns, ground, _ in self.seen])

    def metres(self) -> tuple[Point, Point] | None:
        """Return position and velocity on the floor in metres; None with too few observations."""
        return _fit_line([(at_ns, place) for at_ns, _, place in self.seen if place is not None])


def _fit_line(looks: Sequence[tuple[int, Point]]) -> tuple[Point, Point] | None:
    """Fit a line by least squares; return its latest position and the velocity per second.

    For ten observations numpy takes four times as long.
    """
    count, (last_ns, _) = len(looks), looks[-1] if looks else (0, None)
    if count < FEW or last_ns - looks[0][0] < SHORT_S * NS_PER_S:
        return None
    seconds = [(at_ns - last_ns) / NS_PER_S for at_ns, _ in looks]
    middle = sum(seconds) / count
    offsets = [at_s - middle for at_s in seconds]
    spread = sum(map(mul, offsets, offsets))
    xs, ys = [x for _, (x, _) in looks], [y for _, (_, y) in looks]
    dx, dy = sum(map(mul, offsets, xs)) / spread, sum(map(mul, offsets, ys)) / spread
    return (sum(xs) / count - middle * dx, sum(ys) / count - middle * dy), (dx, dy)


def facing_deg(track: Track, min_score: float = 0.3) -> float | None:
    """Return the direction that the body faces, in degrees within (-180, 180].

    0 is towards the camera, 180 away from it, 90 to the right of the picture. None where the
    body is seen from the side, as left or right is unknown, or shoulders or hips are hidden.
    """
    points: list[list[float]] = track.pose.keypoints.tolist()
    left, right = points[LEFT_SHOULDER], points[RIGHT_SHOULDER]
    hips = [hip for hip in points[LEFT_HIP : RIGHT_HIP + 1] if hip[2] >= min_score]
    if min(left[2], right[2]) < min_score or not hips:
        return None
    middle = (left[0] + right[0]) / 2, (left[1] + right[1]) / 2
    torso = math.dist(middle, [sum(axis) / len(hips) for axis in zip(*hips, strict=True)][:2])
    if torso <= 0:
        return None
    width = (left[0] - right[0]) / (SHOULDERS * torso)
    if abs(width) < ASIDE:
        return None
    nose = points[NOSE]
    if nose[2] < min_score:  # from behind, shoulders do not tell left from right
        return 180.0 if width < 0 else None
    turned = math.degrees(math.acos(max(-1.0, min(1.0, width))))
    aside = (nose[0] - middle[0]) / torso
    return -turned if aside < -HEAD_ASIDE and turned < 180 else turned


class KinematicsReader:
    """Sets `velocity`, `facing_deg` and, with a floor, `place` of the tracks of one camera."""

    def __init__(self, floor: Floor | None = None, min_score: float = 0.3) -> None:
        self.floor = floor
        self.min_score = min_score
        self._people: dict[int, _Course] = {}

    def update(self, tracks: Sequence[Track], at_ns: int, size: Size) -> list[Track]:
        """Return the tracks with their kinematics set; `at_ns` is the frame's time."""
        view = self.floor.view(size) if self.floor is not None else None
        moved = [self._add_motion(track, at_ns, view) for track in tracks]
        self._people = {
            id_: way
            for id_, way in self._people.items()
            if at_ns - way.seen[-1][0] <= FORGET_S * NS_PER_S
        }
        return moved

    def _add_motion(self, track: Track, at_ns: int, view: FloorView | None) -> Track:
        if track.ground is None:
            return track
        way = self._people.setdefault(track.id, _Course())
        way.look(at_ns, track.ground, view.position(track.ground) if view else None)
        pixels = way.pixels()
        return replace(
            track,
            velocity=pixels[1] if pixels else None,
            facing_deg=facing_deg(track, self.min_score),
            place=self._floor_place(track, way, view) if view else None,
        )

    def _floor_place(self, track: Track, way: _Course, view: FloorView) -> Place | None:
        here = way.seen[-1][2]
        if here is None:
            return None
        fitted = way.metres()
        at, velocity = fitted if fitted else (here, None)
        speed = math.hypot(*velocity) if velocity else None
        heading = (
            math.degrees(math.atan2(velocity[1], velocity[0]))
            if velocity and speed is not None and speed >= STANDS
            else None
        )
        head = figure(track.pose.keypoints, self.min_score).head
        height = None if head is None else view.height(at, (float(head[0]), float(head[1])))
        return Place(at, speed, heading, height)


def nearest_m(tracks: Sequence[Track]) -> dict[int, float]:
    """Return the distance to the nearest other person in metres, by track id.

    Covers people with a floor position; empty for fewer than two.
    """
    places = [(track.id, track.place.at) for track in tracks if track.place is not None]
    return {
        id_: min(math.dist(at, other) for other_id, other in places if other_id != id_)
        for id_, at in places
        if len(places) > 1
    }
