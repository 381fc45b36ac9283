"""Smoothing of keypoints: strong at rest, with little delay in motion.

A One-Euro filter for every joint and for the corners of the box. Speeds are scaled by
the person's size, so the filter acts the same at any distance and resolution. Time
steps come from the frames: the rate may change and frames may be missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepose.geometry import extent
from edgepose.skeleton import JOINTS
from edgepose.timing import NS_PER_S
from edgepose.types import Box, Floats, Pose, Track

Times = NDArray[np.int64]

NEVER_NS: Final = -(2**62)
JITTER_SPEED: Final = 0.4  # sizes per second: apparent speed of a resting joint due to model jitter
TINY_S: Final = 1e-9  # avoids division by zero for two frames with the same time


@dataclass(frozen=True, slots=True)
class SmootherOptions:
    """Parameters of the One-Euro filter; `docs/tracking.md` shows their effect."""

    still_hz: float = 0.7
    """Cut-off frequency of a joint at rest: lower is steadier, with more delay."""

    prompt: float = 3.0
    """Increase of the cut-off frequency in hertz, per body size per second of speed."""

    speed_hz: float = 1.0
    """Cut-off frequency of the speed estimate."""

    joint_score: float = 0.2
    """Keypoints below it are passed through and do not update the filter, within [0, 1]."""

    gap_s: float = 0.5
    """The filter of a joint that is hidden for longer is reset."""


class Points(NamedTuple):
    """Filter state of one person; of n people with (n,) in front of each shape."""

    smooth: Floats
    """(19, 2): filtered joints, then two corners of the box; pixels."""

    seen: Floats
    """(19, 2): the last unfiltered values; pixels."""

    speed: Floats
    """(19, 2): filtered velocity, pixels per second."""

    seen_ns: Times
    """(19,): time of each point's last update; `NEVER_NS` at first."""


class Smoother:
    """Smooths the tracks of one camera.

    Parameters
    ----------
    options : SmootherOptions, optional
        May be replaced between frames.
    """

    def __init__(self, options: SmootherOptions | None = None) -> None:
        self.options = options or SmootherOptions()
        self._known: dict[int, Points] = {}

    def smooth(self, tracks: Sequence[Track], at_ns: int) -> list[Track]:
        """Return the tracks of one frame with their keypoints and boxes smoothed.

        Scores do not change. Without an increase of the time the filters keep their values;
        a jump back by more than `SmootherOptions.gap_s` resets them.
        """
        self._drop_gone(at_ns)
        if not tracks:
            return []
        seen = points_of([track.pose for track in tracks])
        known = [self._known.get(t.id) or unknown(row) for t, row in zip(tracks, seen, strict=True)]
        before = Points(*map(np.array, zip(*known, strict=True)))
        after = step(before, seen, at_ns, self.options)

        for track, *parts in zip(tracks, *after, strict=True):
            self._known[track.id] = Points(*parts)
        sure = seen[:, :, 2] >= self.options.joint_score
        np.copyto(seen[:, :, :2], after.smooth, where=sure[:, :, None])
        boxes = seen[:, JOINTS:, :2].reshape(-1, 4).tolist()
        return [
            dress(track, points[:JOINTS], box)
            for track, points, box in zip(tracks, seen, boxes, strict=True)
        ]

    def _drop_gone(self, at_ns: int) -> None:
        gap_ns = self.options.gap_s * NS_PER_S
        self._known = {
            person: points
            for person, points in self._known.items()
            if abs(at_ns - int(points.seen_ns[-1])) <= gap_ns
        }


def points_of(poses: Sequence[Pose]) -> Floats:
    """Return joints and box corners with scores (n, 19, 3); box corners have score 1."""
    points = np.ones((len(poses), JOINTS + 2, 3), np.float32)
    points[:, :JOINTS] = [pose.keypoints for pose in poses]
    boxes = np.array([pose.box for pose in poses], np.float32)
    points[:, JOINTS, :2] = boxes[:, :2]
    points[:, JOINTS + 1, :2] = boxes[:, :2] + boxes[:, 2:]
    return points


def dress(track: Track, keypoints: Floats, corners: Sequence[float]) -> Track:
    """Return a copy of the track with the given joints (17, 3) and box corners."""
    left, top, right, bottom = corners
    box = Box(left, top, right - left, bottom - top)
    return replace(track, pose=Pose(keypoints, track.pose.score, box))


def unknown(seen: Floats) -> Points:
    """Return the initial filter state of a new person from observed points (19, 3)."""
    place = seen[:, :2]
    return Points(place, place, np.zeros_like(place), np.full(len(place), NEVER_NS))


def step(before: Points, seen: Floats, at_ns: int, options: SmootherOptions) -> Points:
    """Update the filters of n people with a frame.

    Parameters
    ----------
    before : Points
        Filter state of n people.
    seen : (n, 19, 3)
        Joints and box corners of this frame, with scores.
    at_ns : int
        The frame's time.
    options : SmootherOptions
        Filter parameters.

    Returns
    -------
    Points
        The new state. Points below `SmootherOptions.joint_score` keep theirs.

    Notes
    -----
    The One-Euro filter [1]_: a low-pass whose cut-off rises with speed. Deviations from
    the paper: the step is exact for its length, ``1 - exp(-2 pi cutoff seconds)``, so two
    short steps equal one long step. Speed is the length of the velocity, not its value
    per axis, so the result does not depend on the camera's rotation. Speed is measured in
    sizes of the person, less the apparent speed `JITTER_SPEED` of jitter.

    References
    ----------
    .. [1] Casiez, Roussel and Vogel, "1 € Filter", CHI 2012
    """
    place, sure = seen[:, :, :2], seen[:, :, 2] >= options.joint_score
    seconds = (at_ns - before.seen_ns) / NS_PER_S
    fresh = sure & (np.abs(seconds) > options.gap_s)
    moved = sure & ~fresh & (seconds > 0)
    seconds = np.where(moved, seconds, TINY_S)

    velocity = ((place - before.seen) / seconds[:, :, None]).astype(np.float32)
    speed = mix(before.speed, velocity, low_pass(options.speed_hz, seconds))
    sizes = extent(place[:, -1] - place[:, -2])[:, None]
    pace = np.hypot(speed[:, :, 0], speed[:, :, 1]) / sizes
    cutoff_hz = options.still_hz + options.prompt * np.maximum(pace - JITTER_SPEED, 0)
    smooth = mix(before.smooth, place, low_pass(cutoff_hz, seconds))
    return Points(
        choose(fresh, place, choose(moved, smooth, before.smooth)),
        choose(fresh | moved, place, before.seen),
        choose(fresh, np.zeros_like(speed), choose(moved, speed, before.speed)),
        np.where(fresh | moved, at_ns, before.seen_ns),
    )


def low_pass(cutoff_hz: float | NDArray[np.floating], seconds: NDArray[np.floating]) -> Floats:
    """Return the weight of the new value in a low-pass step of the given length."""
    return np.asarray(1 - np.exp(-2 * np.pi * cutoff_hz * seconds), np.float32)


def mix(old: Floats, new: Floats, part: Floats) -> Floats:
    """Interpolate points (n, 19, 2) from old (part 0) to new (part 1); part is (n, 19)."""
    return np.asarray(old + part[:, :, None] * (new - old), np.float32)


def choose(which: NDArray[np.bool_], yes: Floats, no: Floats) -> Floats:
    """Return points (n, 19, 2) from `yes` where `which` (n, 19) is true, else from `no`."""
    return np.where(which[:, :, None], yes, no)
