"""Places where a person dropped: to look again while detectors do not see who lies there."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from edgepose.geometry import box_around, extent
from edgepose.skeleton import LEFT_HIP, LEFT_SHOULDER, RIGHT_HIP, RIGHT_SHOULDER
from edgepose.timing import NS_PER_S
from edgepose.types import Box, FallenPose, Floats, Pose, Size, Track

DROP: Final = 0.5  # least drop of the shoulders, in torso lengths
DROP_S: Final = 2.0  # within this time
UPRIGHT_DEG: Final = 45.0  # a torso that leans less stands or sits
UP_S: Final = 1.0  # upright for so long, the person got up
SEARCH_S: Final = 60.0  # without a sight of the person the search ends after so long
NEAR: Final = 1.5  # in sizes of the person: a person this near to the place is the one searched
EDGE: Final = 0.02  # of the frame: a box this near to its edge may have left the frame
SURE_JOINT: Final = 0.2

SHOULDERS: Final = (LEFT_SHOULDER, RIGHT_SHOULDER)
HIPS: Final = (LEFT_HIP, RIGHT_HIP)


@dataclass(slots=True, eq=False)
class _History:
    """The torso of one track over the last `DROP_S`."""

    pose: Pose
    """The newest."""

    at_ns: deque[int] = field(default_factory=deque)
    shoulders: deque[float] = field(default_factory=deque)
    """y in pixels."""

    torsos: deque[float] = field(default_factory=deque)
    """Lengths in pixels."""

    lengths: deque[float] = field(default_factory=deque)
    """Longer sides of the body in pixels."""

    def add(self, pose: Pose, at_ns: int) -> None:
        """Take a sighting."""
        self.pose = pose
        torso = _torso(pose.keypoints)
        if torso is not None:
            self.at_ns.append(at_ns)
            self.shoulders.append(float(torso[0, 1]))
            self.torsos.append(float(np.linalg.norm(torso[0] - torso[1])))
            self.lengths.append(max(box_around(pose.keypoints)[2:]))
        while self.at_ns and at_ns - self.at_ns[0] > DROP_S * NS_PER_S:
            for values in (self.at_ns, self.shoulders, self.torsos, self.lengths):
                values.popleft()

    def dropped(self) -> bool:
        """Say whether the shoulders came down by more than `DROP` torso lengths."""
        if len(self.at_ns) < 2:
            return False
        down = self.shoulders[-1] - min(self.shoulders)
        return down > DROP * max(*self.torsos, 1.0)


@dataclass(slots=True, eq=False)
class _Search:
    """One place."""

    pose: Pose
    """Where the person was seen last."""

    length: float
    """Of the body in pixels, before it dropped."""

    seen_ns: int
    up_ns: int | None = None
    """Since when the person has been upright."""

    visible: bool = False
    others: set[int] = field(default_factory=set)
    """Tracks seen elsewhere: of people who come near, not of the one who fell."""


class FallenWatch:
    """Remembers where tracked people dropped and were lost, or lie.

    It reads no clock and no picture: the same tracks give the same places.
    """

    def __init__(self) -> None:
        self._histories: dict[int, _History] = {}
        self._searches: list[_Search] = []

    def update(self, tracks: Sequence[Track], at_ns: int, size: Size) -> None:
        """Take the tracks that are visible in one frame of this size."""
        here = {track.id for track in tracks}
        for track in tracks:
            history = self._histories.setdefault(track.id, _History(track.pose))
            history.add(track.pose, at_ns)
            if history.dropped() and not _is_upright(track.pose.keypoints):
                self._start(history, at_ns)
        for id_ in self._histories.keys() - here:
            history = self._histories.pop(id_)
            if history.dropped() and not _leaves(history.pose, size):
                self._start(history, at_ns)
        for search in self._searches:
            _advance(search, tracks, at_ns)
        self._searches = [entry for entry in self._searches if not _is_over(entry, at_ns)]

    def poses(self) -> list[FallenPose]:
        """Return the places to look at."""
        return [_place(entry) for entry in self._searches]

    def clear(self) -> None:
        """Remember nothing."""
        self._histories.clear()
        self._searches.clear()

    def _start(self, history: _History, at_ns: int) -> None:
        if not any(_is_near(entry, history.pose) for entry in self._searches):
            self._searches.append(_Search(history.pose, max(history.lengths), at_ns))


def _place(search: _Search) -> FallenPose:
    """Return the pose seen last, with a square box as large as the body was."""
    x, y = box_around(search.pose.keypoints).centre
    side = max(search.length, *search.pose.box[2:])
    box = Box(x - side / 2, y - side / 2, side, side)
    return FallenPose(search.pose.keypoints, search.pose.score, box, search.visible)


def _advance(search: _Search, tracks: Sequence[Track], at_ns: int) -> None:
    """Go on with the person who is at the place, if one is seen."""
    search.others |= {track.id for track in tracks if not _is_near(search, track.pose)}
    near = [track.pose for track in tracks if track.id not in search.others]
    search.visible = bool(near)
    if not near:
        search.up_ns = None
        return
    search.pose, search.seen_ns = max(near, key=lambda pose: pose.score), at_ns
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
    torso = _torso(keypoints)
    if torso is None:
        return False
    x, y = (torso[0] - torso[1]).tolist()
    return abs(math.degrees(math.atan2(x, -y))) < UPRIGHT_DEG


def _torso(keypoints: Floats) -> Floats | None:
    """Return (2, 2): the middles of shoulders and hips; None where either is hidden."""
    middles = []
    for pair in (SHOULDERS, HIPS):
        joints = keypoints[list(pair)]
        sure = joints[joints[:, 2] > SURE_JOINT, :2]
        if not len(sure):
            return None
        middles.append(sure.mean(axis=0))
    return np.array(middles, dtype=np.float32)


def _leaves(pose: Pose, size: Size) -> bool:
    """Say whether a person at the edge of the frame may have gone out of it."""
    box = box_around(pose.keypoints)
    x, y = EDGE * size.width, EDGE * size.height
    inside = box.x > x and box.x + box.width < size.width - x
    return not (inside and box.y + box.height < size.height - y)
