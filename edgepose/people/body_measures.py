"""Body points and sizes from keypoints: the inputs of posture and fall recognition."""

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepose.skeleton import (
    JOINTS,
    LEFT_ANKLE,
    LEFT_HIP,
    LEFT_KNEE,
    LEFT_SHOULDER,
    LEFT_WRIST,
)
from edgepose.types import Floats

Array = NDArray[np.float64]

POINTS: Final = 6
HEAD, SHOULDERS, WRISTS, HIPS, KNEES, ANKLES = range(POINTS)
"""Rows of `Looks.points`: means of the joints of both sides."""

# Lengths as parts of the stature (Drillis and Contini, as in `zones`).
TRUNK: Final = 0.288
THIGH: Final = 0.245
SHANK: Final = 0.246
WIDTH: Final = 0.25  # of the shoulders; deliberately a little too large


LIMBS: Final = ((SHOULDERS, HIPS, KNEES), (HIPS, KNEES, ANKLES))
"""First and last points of trunk, thigh and shank."""

PARTS: Final[Array] = np.array([TRUNK, THIGH, SHANK])
MEMBERS: Final[Array] = np.zeros((POINTS, JOINTS))
"""(6, 17): 1 where a joint belongs to a point."""

MEMBERS[HEAD, :LEFT_SHOULDER] = 1
for _point, _left in (
    (SHOULDERS, LEFT_SHOULDER),
    (WRISTS, LEFT_WRIST),
    (HIPS, LEFT_HIP),
    (KNEES, LEFT_KNEE),
    (ANKLES, LEFT_ANKLE),
):
    MEMBERS[_point, _left : _left + 2] = 1


class Looks(NamedTuple):
    """Measures of n observations: several bodies, or one body over time."""

    points: Array
    """(n, 6, 2): x and y in pixels; NaN where hidden."""

    width: Array
    """(n,): width of the shoulders in pixels; NaN where hidden."""

    stature: Array
    """(n,): stature in pixels, estimated from the relatively longest limb; NaN without a limb."""


def measure(keypoints: Floats, min_score: float) -> Looks:
    """Return the measures of keypoints (n, 17, 3), read-only; joints below `min_score` are hidden.

    Several readers measure the same people of a frame: the latest results are kept.
    """
    return _measure(np.ascontiguousarray(keypoints, np.float32).tobytes(), min_score)


@lru_cache(maxsize=4)
def _measure(content: bytes, min_score: float) -> Looks:
    keypoints = np.frombuffer(content, np.float32).reshape(-1, JOINTS, 3)
    shown = keypoints[..., 2] >= min_score
    places = np.where(shown[..., None], keypoints[..., :2], 0.0).astype(np.float64)
    with np.errstate(invalid="ignore"):
        points = MEMBERS @ places / (shown @ MEMBERS.T)[..., None]
    left, right = keypoints[:, LEFT_SHOULDER], keypoints[:, LEFT_SHOULDER + 1]
    both = shown[:, LEFT_SHOULDER] & shown[:, LEFT_SHOULDER + 1]
    width = np.where(both, np.hypot(left[:, 0] - right[:, 0], left[:, 1] - right[:, 1]), np.nan)
    ends = points[:, LIMBS[1]] - points[:, LIMBS[0]]
    lengths = np.hypot(ends[..., 0], ends[..., 1]) / PARTS
    stature = np.fmax(np.fmax.reduce(lengths, axis=1), width / WIDTH)
    for part in (points, width, stature):
        part.flags.writeable = False
    return Looks(points, width, stature)
