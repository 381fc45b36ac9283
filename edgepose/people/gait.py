"""Walking: steps of the feet and movement of the body over the last second and a half.

A small network rates measures of the feet relative to the stature: how far they swing against
each other, how often they change sides, and how far the body travels meanwhile. Walking
hardly moves the hips against each other, so their movement measures the pose model's jitter.
Trained on generated bodies (`tools/train_posture_details.py`).
"""

from functools import cache
from typing import Final

import numpy as np

from edgepose.people.body_measures import Array
from edgepose.people.perceptron import Perceptron
from edgepose.skeleton import LEFT_ANKLE, LEFT_HIP, LEFT_KNEE, LEFT_SHOULDER
from edgepose.types import Floats

WEIGHTS: Final = "walking.npz"
WINDOW_S: Final = 1.5  # about three steps
SHORT_S: Final = 0.8  # minimum time span of a window
FEW: Final = 4  # minimum observations of the feet
INPUTS: Final = 18
LIMIT: Final = 4.0  # inputs are limited to this: a joint that jumps is misplaced

JOINTS: Final = np.array(
    [k for left in (LEFT_SHOULDER, LEFT_HIP, LEFT_KNEE, LEFT_ANKLE) for k in (left, left + 1)]
)
"""Left and right shoulder, hip, knee, ankle."""


def gait_inputs(seconds: Array, keypoints: Floats, statures: Array, least: float) -> Floats | None:
    """Return the network's inputs (INPUTS,) for the observations of one person.

    None where both feet are seen too rarely. The inputs are the
    same for left and right, and for both directions along the picture.

    Parameters
    ----------
    seconds : (n,)
        Times, ascending, within `WINDOW_S`.
    keypoints : (n, 17, 3)
        Joints below `least` are hidden.
    statures : (n,)
        Pixels; NaN where unknown.
    """
    points = keypoints[:, JOINTS]
    shown = points[..., 2] >= least
    whole = shown[:, 6:].all(axis=1) & (statures > 0)
    if whole.sum() < FEW:
        return None
    seconds = seconds[whole]
    if seconds[-1] - seconds[0] < SHORT_S:
        return None
    scale = float(np.sort(statures[whole])[whole.sum() // 2])
    places = np.where(shown[..., None], points[..., :2], np.nan)[whole].astype(np.float64) / scale
    left, right = places[:, 0::2], places[:, 1::2]
    apart, middle = _filled(left - right), _filled((left + right) / 2)
    length = middle[:, 3] - middle[:, 0]
    trunk = (middle[:, 0] + middle[:, 1]) / 2
    below = (middle[:, 2:] - middle[:, 1:2]).reshape(len(places), 4)
    series = np.concatenate([trunk, length[:, 1:], apart.reshape(len(places), 8), below], axis=1)
    varying = series - series.sum(axis=0) / len(series)
    offset = seconds - seconds.sum() / len(seconds)
    slopes = offset @ varying[:, :3] / (offset @ offset)
    spreads = np.sqrt((varying[:, 3:] ** 2).sum(axis=0) / len(series))
    side = (apart[:, 3] @ _axis(varying[:, 9:11])) > 0
    turns = np.count_nonzero(side[1:] != side[:-1]) / float(seconds[-1] - seconds[0])
    part = np.count_nonzero(side) / len(side)
    rest = (turns / 2, 2 * min(part, 1 - part), np.abs(length[:, 1]).sum() / len(length))
    found = np.concatenate([np.abs(slopes), 4 * spreads, rest])
    return np.asarray(np.minimum(found, LIMIT), np.float32)


def _filled(places: Array) -> Array:
    """Replace NaN by the mean of the visible places over time, or by 0."""
    hidden = np.isnan(places)
    if not hidden.any():
        return places
    count = (~hidden).sum(axis=0)
    means = np.where(hidden, 0, places).sum(axis=0) / np.maximum(count, 1)
    return np.asarray(np.where(hidden, means, places))


def _axis(swing: Array) -> Array:
    """Return the direction (2,) in which centred (n, 2) places vary most."""
    (xx, xy), (_, yy) = swing.T @ swing
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    return np.array([np.cos(angle), np.sin(angle)])


def walking_logit(inputs: Floats) -> float:
    """Return the logit of walking rather than not, for `gait_inputs`."""
    return float(_network().logits(inputs)[0])


@cache
def _network() -> Perceptron:
    return Perceptron.load(WEIGHTS)
