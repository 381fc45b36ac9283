"""Body points and sizes from keypoints: the inputs of posture and fall recognition."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepose.skeleton import LEFT_ANKLE, LEFT_HIP, LEFT_KNEE, LEFT_SHOULDER, LEFT_WRIST
from edgepose.types import Floats

Array = NDArray[np.float64]

POINTS: Final = 6
HEAD, SHOULDERS, WRISTS, HIPS, KNEES, ANKLES = range(POINTS)
"""Rows of `Looks.points`: means of the joints of both sides."""

# Lengths as parts of the stature (Drillis and Contini, as in `zones`).
TRUNK: Final = 0.288
THIGH: Final = 0.245
SHANK: Final = 0.246
WIDTH: Final = 0.25  # of the shoulders, chosen rather too large


class Looks(NamedTuple):
    """Measures of n observations: several bodies, or one body over time."""

    points: Array
    """(n, 6, 2): x and y in pixels; NaN where hidden."""

    width: Array
    """(n,): width of the shoulders in pixels; NaN where hidden."""

    stature: Array
    """(n,): stature in pixels, estimated from the relatively longest limb; NaN without a limb."""


def measure(keypoints: Floats, min_score: float) -> Looks:
    """Return the measures of keypoints (n, 17, 3); joints below `min_score` are hidden."""
    shown = keypoints[..., 2] >= min_score
    groups = [slice(0, LEFT_SHOULDER)] + [
        slice(left, left + 2)
        for left in (LEFT_SHOULDER, LEFT_WRIST, LEFT_HIP, LEFT_KNEE, LEFT_ANKLE)
    ]
    places = np.where(shown[..., None], keypoints[..., :2], 0.0).astype(np.float64)
    with np.errstate(invalid="ignore"):
        points = np.stack(
            [
                places[:, group].sum(axis=1) / shown[:, group].sum(axis=1, keepdims=True)
                for group in groups
            ],
            axis=1,
        )
    left, right = keypoints[:, LEFT_SHOULDER], keypoints[:, LEFT_SHOULDER + 1]
    both = shown[:, LEFT_SHOULDER] & shown[:, LEFT_SHOULDER + 1]
    width = np.where(both, np.hypot(left[:, 0] - right[:, 0], left[:, 1] - right[:, 1]), np.nan)
    limbs = [
        np.hypot(*(points[:, a] - points[:, b]).T) / part
        for a, b, part in (
            (SHOULDERS, HIPS, TRUNK),
            (HIPS, KNEES, THIGH),
            (KNEES, ANKLES, SHANK),
        )
    ]
    return Looks(points, width, np.fmax.reduce([*limbs, width / WIDTH]))
