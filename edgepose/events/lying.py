"""How a body lies, read from several looks at it.

Models misplace the joints of people who lie, for half a second at a time: one look
tells little. Over some seconds the middle value of each joint's place is where it is,
and that tells lying from kneeling, crouching, sitting on the floor and crawling.
All lengths are in torsos of the same person, measured while upright.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from edgepose.skeleton import Figure
from edgepose.structures import Floats
from edgepose.timing import NS_PER_S

SHOULDERS, HIPS, KNEES, ANKLES = range(4)
"""Rows of `Sight.joints`."""

TRUNK: Final = 0.288 / (0.288 + 0.491)  # of shoulders to ankles; lengths as in `zones`

# Chosen on generated scenes (tests/scenes.py); docs/events.md has the table.
HANGING: Final = 0.52  # knees below hips: on all fours 0.6 and more, lying 0.5
ASIDE: Final = (1.5, 1.0)  # hips to ankles, and down: legs that reach so far aside do not kneel
UNDER: Final = -0.3  # shoulders so far below the ankles: the head is towards the camera
ACROSS_DEG: Final = 50.0  # a torso that lies across the picture
LOW: Final = 1.15  # shoulders above ankles of one who lies across the picture
REACHING: Final = 1.3  # and no more than this part of hips to ankles; kneeling 1.6
RISE: Final = 0.62  # shoulders above hips of one who lies along the line of sight; sitting 0.7
BETWEEN: Final = (0.2, 0.7)  # of the way from hips to ankles: knees of one who lies 0.5, on
# all fours 0.8, and of one who crouches above the hips or little below
FAR: Final = (1.3, 1.25)  # shoulders above ankles at most, leg at least as long as so many torsos:
NEARLY: Final = (1.0, 0.9)  # so either; crouching 1.1 and 0.8, kneeling 1.3 and 1.1
TINY: Final = (0.5, 0.65)  # torso and height of one who can only lie, whatever the legs look like

SMOOTH_S: Final = 0.12  # time constant; shorter than any fall


class Sight(NamedTuple):
    """One look at one person."""

    at_ns: int
    joints: Floats
    """(4, 2): middles of shoulders, hips, knees and ankles, x and y in pixels; NaN where hidden.
    Shoulders and hips are never hidden."""

    torso: float
    """Shoulders to hips, in pixels."""

    torso_deg: float
    """Between the torso and the picture's vertical: 0 upright, 90 level, 180 head down."""

    height: float
    """Shoulders above ankles, in pixels; NaN where the feet are hidden."""

    @classmethod
    def at(cls, at_ns: int, joints: Floats) -> "Sight":
        """Measure a body."""
        (across, up), height = joints[SHOULDERS] - joints[HIPS], joints[ANKLES] - joints[SHOULDERS]
        return cls(
            at_ns,
            joints,
            float(np.hypot(across, up)),
            float(np.degrees(np.arctan2(abs(across), -up))),
            float(height[1]),
        )


class Lie(NamedTuple):
    """A body as most of the looks show it, in torsos."""

    torso_deg: float
    torso: float
    rise: float
    """Shoulders above hips."""

    height: float
    """Shoulders above ankles; like what follows NaN where the feet or knees are hidden."""

    leg: float
    """From the hips to the ankles in a straight line."""

    knees: float
    """Below the hips."""

    ankles: float
    """Below the hips."""


def joints_of(body: Figure, size: float | None) -> Floats | None:
    """Return the joints (4, 2) that `Sight` holds; None when shoulders or hips are hidden."""
    hips = _hips(body, size)
    if body.shoulders is None or hips is None:
        return None
    hidden = np.full(2, np.nan, np.float32)
    parts = (body.shoulders, hips, body.knees, body.ankles)
    return np.array([hidden if part is None else part for part in parts], np.float32)


def _hips(body: Figure, size: float | None) -> Floats | None:
    """Return the hips, or where they are in a straight body whose trunk hides them.

    A body that is high and hides its hips bends towards the camera: it is not straight.
    """
    if body.hips is not None or body.shoulders is None or body.ankles is None:
        return body.hips
    if size is None or body.ankles[1] - body.shoulders[1] > size:
        return None
    return np.asarray(body.shoulders + TRUNK * (body.ankles - body.shoulders))


def smoothed(before: Sight, at_ns: int, joints: Floats) -> Floats:
    """Follow the joints with a small lag, the same at any frame rate."""
    keep = float(np.exp((before.at_ns - at_ns) / (SMOOTH_S * NS_PER_S)))
    mixed = keep * before.joints + (1 - keep) * joints
    return np.asarray(np.where(np.isnan(mixed), joints, mixed), np.float32)


def lie(sights: Sequence[Sight], size: float) -> Lie:
    """Return how most of the looks show the body."""
    joints = np.array([sight.joints for sight in sights])
    # Against the hips, because not every look shows every joint of a body that moves.
    places = _middles(joints - joints[:, HIPS : HIPS + 1]) / size
    across, up = places[SHOULDERS].tolist()
    ankles = places[ANKLES]
    return Lie(
        torso_deg=float(np.degrees(np.arctan2(abs(across), -up))),
        torso=float(np.hypot(across, up)),
        rise=-float(up),
        height=float(ankles[1] - up),
        leg=float(np.hypot(*ankles)),
        knees=float(places[KNEES, 1]),
        ankles=float(ankles[1]),
    )


def _middles(joints: Floats) -> Floats:
    """Return the medians (4, 2) of (n, 4, 2) over the looks that show each joint; NaN for none."""
    shown = ~np.isnan(joints[:, :, 0])
    middles = [
        np.median(joints[shown[:, joint], joint], axis=0)
        if shown[:, joint].any()
        else (np.nan,) * 2
        for joint in range(joints.shape[1])
    ]
    return np.array(middles, np.float32)


def lies(body: Lie) -> bool:
    """Say whether a body lies, across the picture or along the line of sight.

    Comparisons with what is hidden are false.
    """
    aside = body.leg >= ASIDE[0] and body.ankles <= ASIDE[1]
    if body.knees > HANGING and not aside:
        return False
    if body.height <= UNDER:
        return True
    return _lies_across(body) or _lies_along(body)


def _lies_across(body: Lie) -> bool:
    """Tell lying from kneeling: the shoulders are low, and the legs reach away."""
    if body.torso_deg < ACROSS_DEG:
        return False
    return bool(np.isnan(body.height)) or body.height <= min(LOW, REACHING * body.leg)


def _lies_along(body: Lie) -> bool:
    """Tell lying from squatting and crawling: all is shortened alike, the knees between."""
    if body.torso <= TINY[0] and body.height <= TINY[1] and not np.isnan(body.knees):
        return True
    above, below = BETWEEN
    if body.rise > RISE or not above * body.ankles <= body.knees <= below * body.ankles:
        return False
    return any(body.height <= low and body.leg >= leg * body.torso for low, leg in (FAR, NEARLY))


def spread(places: Floats) -> tuple[float, float]:
    """Return how far places (n, 2) are spread across and up, whatever a few stray ones do.

    The median distance from the median, scaled so that it is the standard deviation of
    normal errors; of a swing to and fro it is more than that.
    """
    across, high = 1.4826 * np.median(np.abs(places - np.median(places, axis=0)), axis=0)
    return float(across), float(high)
