"""How a body lies, read from several looks at it.

Models misplace the joints of people who lie, for half a second at a time: one look
tells little. Over some seconds the middle value of each joint's place is where it is,
and that tells lying from kneeling, crouching, sitting on the floor and crawling.
All lengths are in torsos of the same person, measured while upright.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from edgepose.skeleton import Figure
from edgepose.timing import NS_PER_S
from edgepose.types import Floats

SHOULDERS, HIPS, KNEES, ANKLES = range(4)
"""Rows of `Sight.joints`."""

TRUNK: Final = 0.288 / (0.288 + 0.491)  # of shoulders to ankles; lengths as in `zones`

SMOOTH_S: Final = 0.12  # time constant; shorter than any fall


class _Body(NamedTuple):
    """A body as its limbs lie in one plane, in degrees; turned forwards is positive."""

    trunk: float
    """From straight up."""

    thigh: float = 0
    shank: float = 0
    """From straight down."""

    other: tuple[float, float] | None = None
    """Thigh and shank of the other leg, where they are not the same."""


# In the plane of the floor: straight, and more and more curled up on either side.
LYING: Final = (
    _Body(0),
    *(
        _Body(0, side * thigh, side * shank)
        for thigh, shank in ((15, -10), (37, -13), (60, -20))
        for side in (1, -1)
    ),
)
# In a plane that stands on the floor.
OTHERS: Final = (
    _Body(0),  # standing
    *(_Body(trunk, 0, -12) for trunk in (60, 95)),  # bending
    *(_Body(trunk, 88, 2) for trunk in (0, 40)),  # sitting on a chair,
    *(_Body(trunk, 90, 72) for trunk in (-8, -30)),  # on the floor
    *(_Body(trunk, 95, -5, (15, -95)) for trunk in (10, 45, 70)),  # on one knee,
    *(_Body(trunk, 5, -88) for trunk in (10, 45)),  # on both
    *(_Body(trunk, 117, -22) for trunk in (20, 45, 70)),  # crouching
    _Body(35, 85, -20),  # squatting
    _Body(50, 100, -85),  # kneeling, sitting on the heels
)
ALL_FOURS: Final = (_Body(84, 2, -86), _Body(102, 14, -88))  # on the hands, on the elbows
LEG: Final = 0.85  # thigh and shank each, in torsos; lengths as in `zones`,
CHILDS_LEG: Final = 0.72  # and of a child
HEADINGS_DEG: Final = range(0, 360, 15)
PITCHES_DEG: Final = range(0, 45, 5)  # of the camera
SCALES: Final = (0.85, 1.15)  # so wrong may the size be that was measured upright


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


def lying(sights: Sequence[Sight], size: float) -> float:
    """Return by how much most of the looks are nearer to a body that lies than to any other.

    Positive: it seems to lie. The body is compared with generated views of bodies that lie,
    and of bodies that stand, bend, sit, kneel, crouch and crawl, from any side. 0.1 is a
    tenth of a torso in each joint.
    """
    joints = np.array([sight.joints for sight in sights])
    # Against the hips, because not every look shows every joint of a body that moves.
    places = _middles(joints - joints[:, HIPS : HIPS + 1]) / size
    lying_views, other_views = _all_views()
    return _distance(places, other_views) - _distance(places, lying_views)


def _distance(places: Floats, views: Floats) -> float:
    """Return how far joints (4, 2) are from the nearest of views (n, 4, 2), wherever it is.

    The root of the mean square over the joints that are shown, in torsos.
    """
    shown = ~np.isnan(places[:, 0])
    seen, views = places[shown] - places[shown].mean(axis=0), views[:, shown]
    centre = np.einsum("njc->nc", views)
    along = np.einsum("njc,jc->n", views, seen)
    square = np.einsum("njc,njc->n", views, views)
    square -= np.einsum("nc,nc->n", centre, centre) / len(seen)
    scale = np.clip(along / np.maximum(square, 1e-9), *SCALES)
    error = scale * (scale * square - 2 * along) + (seen**2).sum()
    return float(np.sqrt(max(0.0, error.min()) / len(seen)))


@cache
def _all_views() -> tuple[Floats, Floats]:
    """Return bodies that lie and all others, (n, 4, 2), as cameras see them, in torsos."""
    lie = [_chain(body, LEG) for body in LYING]
    others = [_chain(body, LEG) for body in OTHERS + ALL_FOURS]
    others += [_chain(body, CHILDS_LEG) for body in ALL_FOURS]
    return _views(np.array(lie), flat=True), _views(np.array(others), flat=False)


def _chain(body: _Body, leg: float) -> Floats:
    """Return shoulders, hips, knees and ankles (4, 2) in the body's plane, forwards and up."""
    legs = np.radians([(body.thigh, body.shank), body.other or (body.thigh, body.shank)])
    thigh, shank = leg * np.stack([np.sin(legs), -np.cos(legs)], axis=-1).mean(axis=0)
    trunk = np.radians(body.trunk)
    return np.array([(np.sin(trunk), np.cos(trunk)), (0, 0), thigh, thigh + shank], np.float32)


def _views(chains: Floats, *, flat: bool) -> Floats:
    """Return bodies (n, 4, 2) as cameras far away see them, torsos of length 1 when upright."""
    forwards, up = chains[..., 0], chains[..., 1]
    heading = np.radians(HEADINGS_DEG)[:, np.newaxis, np.newaxis]
    away, aside = forwards * np.cos(heading), forwards * np.sin(heading)
    if flat:
        away, aside = away - up * np.sin(heading), aside + up * np.cos(heading)
    above = np.zeros_like(up) if flat else up
    pitch = np.radians(PITCHES_DEG)[:, np.newaxis, np.newaxis, np.newaxis]
    views = np.stack([-aside / np.cos(pitch), -above - away * np.tan(pitch)], axis=-1)
    return views.reshape(-1, 4, 2).astype(np.float32)


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


def spread(places: Floats) -> tuple[float, float]:
    """Return how far places (n, 2) are spread across and up, whatever a few stray ones do.

    The median distance from the median, scaled so that it is the standard deviation of
    normal errors; of a swing to and fro it is more than that.
    """
    across, high = 1.4826 * np.median(np.abs(places - np.median(places, axis=0)), axis=0)
    return float(across), float(high)
