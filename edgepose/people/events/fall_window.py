"""Input vectors of the fall network: the last seconds of one person.

Positions are relative to the body and in parts of its stature, so they do not depend on the
distance to the camera or the resolution. The stature is estimated from the relatively longest
limb, since foreshortening can only make a limb look shorter.
"""

import math
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
NEVER_S: Final = 1e9  # time of a missing observation
TINY_S: Final = 1e-10  # below a nanosecond, above the error of floats
FARTHEST: Final = 3.0  # statures: limit of positions; a joint farther away is stray
INPUTS: Final = STEPS * (3 * POINTS + 1)
NUMBERS: Final = np.arange(STEPS)[:, None]
TRUNK: Final = slice(SHOULDERS, HIPS + 1, HIPS - SHOULDERS)
"""Shoulders and hips among the points; as a slice it needs no copy."""

UNSEEN: Final = 0.6  # statures: limit of an unobserved movement; the neutral value of `speeds`
STILL_HIPS: Final = 0.1  # statures: hips that move less within half a second stay in place
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
    first = np.searchsorted(seconds, ends - WINDOW_S - GAP_S - TINY_S)
    scales = np.array(
        [
            _scale(looks.stature[a:b], looks.points[a:b, TRUNK].reshape(-1, 2))
            for a, b in zip(first.tolist(), last.tolist(), strict=True)
        ],
        np.float64,
    )
    size, x, y = scales.reshape(-1, 3).T[:, :, None, None]
    known = (size[:, 0, 0] > 0) & ~np.isnan(x[:, 0, 0])
    wide = np.stack([looks.width, looks.width], axis=1)
    places, seen = _resample_windows(
        seconds, np.concatenate([looks.points, wide[:, None]], axis=1), ends
    )
    grid = (places[:, :, :POINTS] - np.stack([x, y], axis=-1)) / size[..., None]
    shown = seen[:, :, :POINTS]
    grid = np.clip(np.where(shown[..., None], grid, 0.0), -FARTHEST, FARTHEST)
    width = np.where(seen[:, :, POINTS], places[:, :, POINTS, 0] / size[..., 0], 0.0)
    parts = [grid.reshape(len(ends), -1), shown.reshape(len(ends), -1), width]
    inputs = np.concatenate(parts, axis=1).astype(np.float32)
    return np.where(known[:, None], inputs, np.float32(0)), known


def _scale(statures: Array, trunk: Array) -> tuple[float, float, float]:
    """Return the size of a body and its centre (x, y); NaN if unknown."""
    x, y = trunk.T
    size = _quantile(np.sort(statures), QUANTILE)
    return size, _quantile(np.sort(x), 0.5), _quantile(np.sort(y), 0.5)


def _quantile(ordered: Array, part: float) -> float:
    """Return a quantile of sorted values, NaN last, with linear interpolation; NaN if unknown.

    `numpy.quantile` takes ten times as long.
    """
    at = part * (int(np.count_nonzero(~np.isnan(ordered))) - 1)
    if at < 0:
        return math.nan
    low, high = float(ordered[int(at)]), float(ordered[math.ceil(at)])
    return low + (at - int(at)) * (high - low)


def speeds(inputs: Floats) -> Floats:
    """Return the largest movement of the trunk within half a second, per window (n, ...).

    The largest displacement of the shoulders plus that of the hips, in statures; NaN where
    one of them has no two observations half a second apart. 0 if the hips stay in place: then
    only the trunk leans over. A displacement while the body was hidden for longer counts as
    `UNSEEN` at most: it may have been fast or slow.
    """
    places, shown = _trunk_path(inputs)
    moved = _lengths(places[:, 2:] - places[:, :-2])
    farthest = np.where(shown[:, 2:] & shown[:, :-2], moved, -1).max(axis=1)
    speed = np.where((farthest >= 0).all(axis=1), farthest.sum(axis=1), np.float32(np.nan))
    still = (farthest[:, 1] >= 0) & (farthest[:, 1] < STILL_HIPS)
    speed = np.where(still, np.minimum(speed, 0), speed)
    hidden = _unseen_moves(places, shown)
    if hidden is None:
        return np.asarray(speed, np.float32)
    unseen = np.minimum(hidden.sum(axis=1), UNSEEN)
    return np.asarray(np.where(unseen > 0, np.fmax(speed, unseen), speed), np.float32)


def _trunk_path(inputs: Floats) -> tuple[Floats, Flags]:
    """Return shoulders and hips at each step (n, STEPS, 2, 2), and whether they are visible."""
    count = len(inputs)
    places = inputs[:, : 2 * STEPS * POINTS].reshape(count, STEPS, POINTS, 2)
    shown = inputs[:, 2 * STEPS * POINTS : 3 * STEPS * POINTS].reshape(count, STEPS, POINTS) > 0
    return places[:, :, TRUNK], shown[:, :, TRUNK]


def _unseen_moves(places: Floats, shown: Flags) -> Floats | None:
    """Return the largest displacement (n, 2) of each point while it was hidden, 0 if never.

    None if no point was hidden between two observations.
    """
    latest = np.maximum.accumulate(np.where(shown, NUMBERS, -1), axis=1)[:, :-1]
    gaps = shown[:, 1:] & (latest >= 0) & (NUMBERS[1:] - latest > 2)
    if not gaps.any():
        return None
    row, step, point = gaps.nonzero()
    before = places[row, latest[row, step, point], point]
    farthest = np.zeros((len(places), places.shape[2]), np.float32)
    np.maximum.at(farthest, (row, point), _lengths(places[row, step + 1, point] - before))
    return farthest


def _lengths(vectors: Floats) -> Floats:
    return np.asarray(np.hypot(vectors[..., 0], vectors[..., 1]), np.float32)


def _resample_windows(seconds: Array, values: Array, ends: Array) -> tuple[Array, Flags]:
    """Interpolate points (n, p, 2), NaN where hidden, at the steps of each window.

    Returns the values (m, STEPS, p, 2) and whether each is known (m, STEPS, p).
    """
    count = len(seconds)
    seen = ~np.isnan(values[..., 0])
    number = np.arange(1, count + 1)[:, None]
    # Rows 0 and n + 1 stand for no observation before or after: far away in time.
    times = np.concatenate([[-NEVER_S], seconds, [NEVER_S]])
    places = np.zeros((count + 2, *values.shape[1:]))
    np.copyto(places[1:-1], values, where=seen[..., None])
    before, after = np.zeros((2, count + 1, seen.shape[1]), np.intp)
    after[count] = count + 1
    np.maximum.accumulate(np.where(seen, number, 0), out=before[1:])
    after[:count] = np.minimum.accumulate(np.where(seen, number, count + 1)[::-1])[::-1]
    moments = ends[:, None] + GRID_S
    at = np.searchsorted(seconds, moments - 1e-6)
    a, b, moments = before[at], after[at], moments[..., None]
    before_s, after_s = moments - times[a], times[b] - moments
    has_after = times[b] < ends[:, None, None] + 1e-6
    between = has_after & (before_s + after_s <= GAP_S)
    held = before_s <= HOLD_S
    ahead = has_after & (after_s <= HOLD_S)
    part = np.where(between, before_s / np.maximum(before_s + after_s, 1e-6), np.where(held, 0, 1))
    point = np.arange(seen.shape[1])
    found = (1 - part)[..., None] * places[a, point] + part[..., None] * places[b, point]
    return found, between | held | ahead
