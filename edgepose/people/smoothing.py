"""Steady keypoints: still when the person is still, prompt when the person moves.

A One-Euro filter for every joint and for the corners of the box, in pixels scaled by
the person's size, so that near and far people and any camera are treated alike. Steps
come from the frames' times: rates may change, frames may be missing.
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
TREMBLE: Final = 0.4  # in sizes a second: so fast the models' jitter alone makes a joint look
TINY_S: Final = 1e-9  # the clock's own step: keeps a second look at the same time finite


@dataclass(frozen=True, slots=True)
class SmootherOptions:
    """How still and how prompt; `docs/tracking.md` shows what these do."""

    still_hz: float = 0.7
    """Cut-off for a joint at rest: lower is steadier and later."""

    prompt: float = 3.0
    """Hertz by which the cut-off rises for each size of the body a second."""

    speed_hz: float = 1.0
    """Cut-off for the speed itself."""

    joint_score: float = 0.2
    """Keypoints below it pass as they are and leave no trace, within [0, 1]."""

    gap_s: float = 0.5
    """A joint out of sight for longer starts anew."""


class Points(NamedTuple):
    """The filters of one person, or of several: then with (n,) in front of each shape."""

    smooth: Floats
    """(19, 2): the joints, then two corners of the box; pixels."""

    seen: Floats
    """(19, 2): the same as they came last."""

    speed: Floats
    """(19, 2): pixels a second."""

    seen_ns: Times
    """(19,): when each came last; `NEVER_NS` at first."""


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

        Scores stay as they are. When the time does not increase, nothing moves; a jump
        back by more than `SmootherOptions.gap_s` starts anew.
        """
        self._drop_gone(at_ns)
        if not tracks:
            return []
        seen = np.stack([points_of(track.pose) for track in tracks])
        known = [self._known.get(t.id) or unknown(row) for t, row in zip(tracks, seen, strict=True)]
        before = Points(*(np.stack(parts) for parts in zip(*known, strict=True)))
        after = step(before, seen, at_ns, self.options)

        for track, *parts in zip(tracks, *after, strict=True):
            self._known[track.id] = Points(*parts)
        sure = seen[:, :, 2] >= self.options.joint_score
        shown = choose(sure, after.smooth, seen[:, :, :2])
        return [dress(track, row) for track, row in zip(tracks, shown, strict=True)]

    def _drop_gone(self, at_ns: int) -> None:
        gap_ns = self.options.gap_s * NS_PER_S
        self._known = {
            person: points
            for person, points in self._known.items()
            if abs(at_ns - int(points.seen_ns[-1])) <= gap_ns
        }


def points_of(pose: Pose) -> Floats:
    """Return joints and box corners with their scores (19, 3); those of the box are sure."""
    left, top, width, height = pose.box
    corners = [(left, top, 1), (left + width, top + height, 1)]
    return np.concatenate([pose.keypoints, np.array(corners, np.float32)])


def dress(track: Track, points: Floats) -> Track:
    """Return the track with these joints and box corners (19, 2)."""
    keypoints = np.column_stack([points[:JOINTS], track.pose.keypoints[:, 2]])
    left, top, right, bottom = points[JOINTS:].ravel().tolist()
    box = Box(left, top, right - left, bottom - top)
    return replace(track, pose=Pose(keypoints, track.pose.score, box))


def unknown(seen: Floats) -> Points:
    """Return the filters of somebody who has just come: (19, 3) to one `Points`."""
    place = seen[:, :2]
    return Points(place, place, np.zeros_like(place), np.full(len(place), NEVER_NS))


def step(before: Points, seen: Floats, at_ns: int, options: SmootherOptions) -> Points:
    """Move the filters of several people on to a frame.

    Parameters
    ----------
    before : Points
        Of n people.
    seen : (n, 19, 3)
        Joints and box corners of this frame, with scores.

    Returns
    -------
    Points
        Points that are not sure have theirs as before.

    Notes
    -----
    The One-Euro filter [1]_: a low-pass whose cut-off rises with speed. We differ in
    that a step is exact for its length, ``1 - exp(-2 pi cutoff seconds)``, so that two
    short steps do what a long one does; that speed is taken along the way, not along
    the axes, so that turning the camera changes nothing; and that it counts in sizes
    of the person, less the speed `TREMBLE` that jitter feigns.

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
    cutoff_hz = options.still_hz + options.prompt * np.maximum(pace - TREMBLE, 0)
    smooth = mix(before.smooth, place, low_pass(cutoff_hz, seconds))
    return Points(
        choose(fresh, place, choose(moved, smooth, before.smooth)),
        choose(fresh | moved, place, before.seen),
        choose(fresh, np.zeros_like(speed), choose(moved, speed, before.speed)),
        np.where(fresh | moved, at_ns, before.seen_ns),
    )


def low_pass(cutoff_hz: float | NDArray[np.floating], seconds: NDArray[np.floating]) -> Floats:
    """Return the part of the way to the new value that a low-pass goes in a time."""
    return np.asarray(1 - np.exp(-2 * np.pi * cutoff_hz * seconds), np.float32)


def mix(old: Floats, new: Floats, part: Floats) -> Floats:
    """Return points (n, 19, 2) a part (n, 19) of the way from old to new."""
    return np.asarray(old + part[:, :, None] * (new - old), np.float32)


def choose(which: NDArray[np.bool_], yes: Floats, no: Floats) -> Floats:
    """Take points (n, 19, 2) from `yes` where `which` (n, 19) holds, else from `no`."""
    return np.where(which[:, :, None], yes, no)
