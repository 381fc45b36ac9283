"""Places where a person dropped, to search for people on the floor that detectors miss."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from edgepose.geometry import box_around, extent
from edgepose.people.zones import Point
from edgepose.skeleton import (
    LEFT_ANKLE,
    LEFT_HIP,
    LEFT_SHOULDER,
    RIGHT_ANKLE,
    RIGHT_HIP,
    RIGHT_SHOULDER,
)
from edgepose.timing import NS_PER_S
from edgepose.types import Box, FallenPose, Floats, Pose, Size, Track

DROP: Final = 0.5  # minimum drop of the shoulders relative to the ankles, in torso lengths
DROP_S: Final = 2.0  # length of the history in which a drop is found
QUICK: Final = 0.6  # the same for the shoulders alone, within `QUICK_S`: too fast for a walker
QUICK_S: Final = 0.6
UPRIGHT_DEG: Final = 45.0  # maximum lean of the torso of a person who stands or sits
UP_S: Final = 1.0  # a search ends when the person has been upright for this long
SEARCH_S: Final = 60.0  # a search ends when the person has not been seen for this long
NEAR: Final = 1.5  # body sizes: a track within this distance of the place is the same person
LANDS_S: Final = 1.0  # a person seen later than this after the start of a search has landed
SURE_BODY: Final = 0.3  # minimum mean joint score of a person seen where they lie
EDGE: Final = 0.02  # part of the frame: a box this near to its edge may have left the frame
SURE_JOINT: Final = 0.2  # minimum score of a joint of the torso

SHOULDERS: Final = slice(LEFT_SHOULDER, RIGHT_SHOULDER + 1)
HIPS: Final = slice(LEFT_HIP, RIGHT_HIP + 1)
ANKLES: Final = slice(LEFT_ANKLE, RIGHT_ANKLE + 1)


class _TrunkLook(NamedTuple):
    """One observation of a person whose torso is visible; y and lengths in pixels."""

    at_ns: int
    shoulders: float
    """y of the shoulders."""

    torso: float
    """Length of the torso."""

    length: float
    """Longer side of the body's bounding box."""

    feet: float
    """y of the lower edge of that box."""

    ankles: float | None
    """y of the ankles; None where hidden."""


@dataclass(slots=True, eq=False)
class _History:
    """Torso measurements of one track over the last `DROP_S`."""

    pose: Pose
    """The latest pose."""

    looks: deque[_TrunkLook] = field(default_factory=deque)
    """Observations of the last `DROP_S`."""

    def add(self, pose: Pose, at_ns: int) -> None:
        """Add an observation."""
        self.pose = pose
        torso = _torso_ends(pose.keypoints)
        if torso is not None:
            box = box_around(pose.keypoints)
            seen = [y for _, y, score in pose.keypoints[ANKLES].tolist() if score > SURE_JOINT]
            self.looks.append(
                _TrunkLook(
                    at_ns,
                    shoulders=torso[0][1],
                    torso=math.dist(*torso),
                    length=max(box[2:]),
                    feet=box.y + box.height,
                    ankles=sum(seen) / len(seen) if seen else None,
                )
            )
        while self.looks and at_ns - self.looks[0].at_ns > DROP_S * NS_PER_S:
            self.looks.popleft()

    def dropped(self) -> bool:
        """Whether the shoulders came down quickly, or by more than the ankles.

        Both come down in the picture when a person walks towards a camera above.
        """
        if len(self.looks) < 2:
            return False
        before, now = self.highest(), self.looks[-1]
        down, torso = now.shoulders - before.shoulders, max(*(k.torso for k in self.looks), 1.0)
        if before.ankles is not None and now.ankles is not None:
            down -= max(0.0, now.ankles - before.ankles)
        if down > DROP * torso:
            return True
        since_ns = now.at_ns - QUICK_S * NS_PER_S
        recent = [look.shoulders for look in self.looks if look.at_ns >= since_ns]
        return now.shoulders - min(recent) > QUICK * torso

    def highest(self) -> _TrunkLook:
        """Return the first observation with the shoulders at their highest."""
        return min(self.looks, key=lambda look: look.shoulders)

    def length(self) -> float:
        """Return the greatest length of the body in pixels."""
        return max(look.length for look in self.looks)


@dataclass(slots=True, eq=False)
class _Search:
    """The search for one person who dropped."""

    pose: Pose
    """The last pose of the person."""

    length: float
    """Length of the body in pixels, before the drop."""

    feet: float | None
    """y of the feet before the drop, while the person has not been seen where they lie."""

    began_ns: int
    seen_ns: int
    up_ns: int | None = None
    """Start of the present upright period; None while the person is not upright."""

    visible: bool = False
    others: set[int] = field(default_factory=set)
    """Ids of tracks seen elsewhere before: other people who came near."""


class FallenWatch:
    """Keeps the places where tracked people dropped and were lost, or lie.

    Reads no clock and no picture: the same tracks give the same places.
    """

    def __init__(self) -> None:
        self._histories: dict[int, _History] = {}
        self._searches: list[_Search] = []

    def update(self, tracks: Sequence[Track], at_ns: int, size: Size) -> None:
        """Start, continue and end searches from one frame's visible tracks."""
        here = {track.id for track in tracks}
        for track in tracks:
            history = self._histories.setdefault(track.id, _History(track.pose))
            history.add(track.pose, at_ns)
            if history.dropped() and not _is_upright(track.pose.keypoints):
                self._start_search(history, at_ns)
        for id_ in self._histories.keys() - here:
            history = self._histories.pop(id_)
            if history.dropped() and not _is_at_edge(history.pose, size):
                self._start_search(history, at_ns)
        for search in self._searches:
            _advance_search(search, tracks, at_ns)
        self._searches = [entry for entry in self._searches if not _is_over(entry, at_ns)]

    def poses(self) -> list[FallenPose]:
        """Return the places to search, one for each person."""
        return [_search_place(entry) for entry in self._searches]

    def clear(self) -> None:
        """Clear all histories and searches."""
        self._histories.clear()
        self._searches.clear()

    def _start_search(self, history: _History, at_ns: int) -> None:
        if not any(_is_near(entry, history.pose) for entry in self._searches):
            length, feet = history.length(), history.highest().feet
            self._searches.append(_Search(history.pose, length, feet, at_ns, at_ns))


def _search_place(search: _Search) -> FallenPose:
    """Return the last pose with a square box of the body's length before the drop.

    A person who is lost while falling comes to lie at the height of the feet, lower than last
    seen.
    """
    x, y = box_around(search.pose.keypoints).centre
    if search.feet is not None and not search.visible:
        y = max(y, search.feet)
    side = max(search.length, *search.pose.box[2:])
    box = Box(x - side / 2, y - side / 2, side, side)
    return FallenPose(search.pose.keypoints, search.pose.score, box, search.visible)


def _advance_search(search: _Search, tracks: Sequence[Track], at_ns: int) -> None:
    """Update a search with the most confident track near its place, if any."""
    search.others |= {track.id for track in tracks if not _is_near(search, track.pose)}
    near = [track.pose for track in tracks if track.id not in search.others]
    search.visible = bool(near)
    if not near:
        search.up_ns = None
        return
    search.pose, search.seen_ns = max(near, key=lambda pose: pose.score), at_ns
    landed = at_ns - search.began_ns >= LANDS_S * NS_PER_S
    if landed and float(search.pose.keypoints[:, 2].mean()) >= SURE_BODY:
        search.feet = None
    if _is_upright(search.pose.keypoints):
        search.up_ns = at_ns if search.up_ns is None else search.up_ns
    else:
        search.up_ns = None


def _is_over(search: _Search, at_ns: int) -> bool:
    if search.up_ns is not None and at_ns - search.up_ns >= UP_S * NS_PER_S:
        return True
    return at_ns - search.seen_ns > SEARCH_S * NS_PER_S


def _is_near(search: _Search, pose: Pose) -> bool:
    sides = np.array([search.pose.box[2:], pose.box[2:]], dtype=np.float32)
    return math.dist(search.pose.box.centre, pose.box.centre) < NEAR * float(extent(sides).max())


def _is_upright(keypoints: Floats) -> bool:
    torso = _torso_ends(keypoints)
    if torso is None:
        return False
    (x, y), (hip_x, hip_y) = torso
    return abs(math.degrees(math.atan2(x - hip_x, hip_y - y))) < UPRIGHT_DEG


def _torso_ends(keypoints: Floats) -> tuple[Point, Point] | None:
    """Return the midpoints of shoulders and hips; None where either is hidden."""
    shoulders, hips = (
        [(x, y) for x, y, score in keypoints[pair].tolist() if score > SURE_JOINT]
        for pair in (SHOULDERS, HIPS)
    )
    return (_middle(shoulders), _middle(hips)) if shoulders and hips else None


def _middle(points: Sequence[Point]) -> Point:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)


def _is_at_edge(pose: Pose, size: Size) -> bool:
    """Whether a person is so near to the frame's edge that they may have left the frame."""
    box = box_around(pose.keypoints)
    x, y = EDGE * size.width, EDGE * size.height
    inside = box.x > x and box.x + box.width < size.width - x
    return not (inside and box.y + box.height < size.height - y)
