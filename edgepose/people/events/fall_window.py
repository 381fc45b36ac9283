"""Input vectors of the fall network: the last seconds of one person.

Positions are relative to the body and in parts of its stature, so they do not depend on the
distance to the camera or the resolution. The stature is estimated from the relatively longest
limb, since foreshortening can only make a limb look shorter.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgepose.people.body_measures import HIPS, POINTS, SHOULDERS, Array, Looks
from edgepose.types import Floats

Flags = NDArray[np.bool_]

STEP_S: Final = 0.25
STEPS: Final = 13
WINDOW_S: Final = STEP_S * (STEPS - 1)
GRID_S: Final[Array] = np.arange(1 - STEPS, 1, dtype=np.float64) * STEP_S
GAP_S: Final = 0.5  # maximum time between two observations for interpolation
HOLD_S: Final = 0.2  # an observation is extrapolated by at most this time
FARTHEST: Final = 3.0  # statures: limit of positions; a joint farther away is stray
INPUTS: Final = STEPS * (3 * POINTS + 1)

QUANTILE: Final = 0.8  # of the single statures: the maximum would be that of a stray joint


def windows(looks: Looks, seconds: Array, ends: Array) -> tuple[Floats, Flags]:
    """Return the network's inputs for windows with the given ends.

    Parameters
    ----------
    looks : Looks
        One body over time; n observations.
    seconds : (n,)
        Times of the observations, ascending.
    ends : (m,)
        End times of the windows; later observations are ignored.

    Returns
    -------
    inputs : (m, INPUTS)
        Positions, visibility and shoulder width at each step; 0 where not known.
    known : (m,)
        Whether the window contains a body of known size.
    """
    last = np.searchsorted(seconds, ends + 1e-6)
    first = np.searchsorted(seconds, ends - WINDOW_S - GAP_S)
    size, centre = np.full(len(ends), np.nan), np.full((len(ends), 2), np.nan)
    trunk = np.concatenate([looks.points[:, SHOULDERS], looks.points[:, HIPS]], axis=1)
    for row, (a, b) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        statures = looks.stature[a:b]
        statures = statures[~np.isnan(statures)]
        places = trunk[a:b].reshape(-1, 2)
        places = places[~np.isnan(places[:, 0])]
        if len(statures) and len(places):
            size[row] = np.quantile(statures, QUANTILE)
            centre[row] = np.median(places, axis=0)
    known = size > 0
    grid = np.zeros((len(ends), STEPS, POINTS, 2))
    shown = np.zeros((len(ends), STEPS, POINTS), bool)
    for point in range(POINTS):
        places, seen = _resample(seconds, looks.points[:, point], ends)
        shown[:, :, point] = seen
        grid[:, :, point] = (places - centre[:, None]) / size[:, None, None]
    width, seen = _resample(seconds, looks.width[:, None], ends)
    wide = np.where(seen, width[..., 0] / size[:, None], 0.0)
    grid = np.clip(np.where(shown[..., None], grid, 0.0), -FARTHEST, FARTHEST)
    parts = [grid.reshape(len(ends), -1), shown.reshape(len(ends), -1), wide]
    inputs = np.concatenate(parts, axis=1).astype(np.float32)
    return np.where(known[:, None], inputs, np.float32(0)), known


def speeds(inputs: Floats) -> Floats:
    """Return the largest movement of the trunk within half a second, per window (n, INPUTS).

    The largest displacement of the shoulders plus that of the hips, in statures; NaN where
    either was never seen half a second apart.
    """
    count = len(inputs)
    places = inputs[:, : 2 * STEPS * POINTS].reshape(count, STEPS, POINTS, 2)
    shown = inputs[:, 2 * STEPS * POINTS : 3 * STEPS * POINTS].reshape(count, STEPS, POINTS) > 0
    trunk = (SHOULDERS, HIPS)
    moved = np.linalg.norm(places[:, 2:, trunk] - places[:, :-2, trunk], axis=-1)
    seen = shown[:, 2:, trunk] & shown[:, :-2, trunk]
    farthest = np.where(seen, moved, -1).max(axis=1)
    return np.where((farthest >= 0).all(axis=1), farthest.sum(axis=1), np.float32(np.nan))


def _resample(seconds: Array, values: Array, ends: Array) -> tuple[Array, Flags]:
    """Interpolate values (n, k), which may be NaN, at the steps of each window.

    Returns the values (m, STEPS, k) and whether each is known (m, STEPS).
    """
    seen = ~np.isnan(values[:, 0])
    times, places = seconds[seen], values[seen]
    moments = ends[:, None] + GRID_S
    if not len(times):
        return np.zeros((*moments.shape, values.shape[1])), np.zeros(moments.shape, bool)
    after = np.searchsorted(times, moments - 1e-6)
    end = np.searchsorted(times, ends + 1e-6)[:, None]
    a, b = np.maximum(after - 1, 0), np.minimum(after, len(times) - 1)
    has_before, has_after = after > 0, after < end
    before_s, after_s = moments - times[a], times[b] - moments
    between = has_before & has_after & (before_s + after_s <= GAP_S)
    held = has_before & (before_s <= HOLD_S)
    ahead = has_after & (after_s <= HOLD_S)
    part = np.where(between, before_s / np.maximum(before_s + after_s, 1e-6), np.where(held, 0, 1))
    found = (1 - part)[..., None] * places[a] + part[..., None] * places[b]
    return found, between | held | ahead
