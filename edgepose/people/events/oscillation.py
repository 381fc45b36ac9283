"""Detection of oscillating joints by the best-fitting sine wave."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from edgepose.timing import NS_PER_S

Array = np.ndarray[Any, np.dtype[np.float64]]

RATES_HZ: Final = np.arange(0.9, 3.01, 0.1)  # people wave once or twice a second, seldom faster
SHORTEST_S: Final = 0.7  # minimum time span of a path
FEWEST: Final = 7  # minimum samples: a trend and a wave fit any four exactly
PER_WAVE: Final = 2.5  # minimum samples per period, against aliasing
STEADY: Final = 0.5  # minimum part of the variance in the wave: jitter has a wide spectrum
BRISK: Final = 0.35  # torsos per second: minimum width times rate; jitter seldom has both
ALIKE: Final = 1e-6  # minimum determinant per squared sample count; below it, too collinear


def count_swings(path: Sequence[tuple[int, float]]) -> int:
    """Count the turning points of a steady oscillation; 0 if there is none.

    Parameters
    ----------
    path : sequence of (nanoseconds, torsos)
        Times and positions of a joint, in order of time; steps may be irregular.
    """
    seen = len(path)
    span_s = (path[-1][0] - path[0][0]) / NS_PER_S
    if seen < FEWEST or span_s < SHORTEST_S:
        return 0
    rates_hz = RATES_HZ[: np.searchsorted(RATES_HZ, seen / (PER_WAVE * span_s))]
    if not len(rates_hz):
        return 0
    at_ns, places = zip(*path, strict=True)
    seconds = (np.array(at_ns) - at_ns[0]) / NS_PER_S
    rate_hz, width, part = _best_wave(seconds, np.array(places), rates_hz)
    # Degrees of freedom: a trend has two parameters, a wave with its rate three.
    steady = (1 - part) / (seen - 5) <= (1 - STEADY) / (seen - 2)
    return round(2 * rate_hz * span_s) if steady and width * rate_hz >= BRISK else 0


def _best_wave(seconds: Array, places: Array, rates_hz: Array) -> tuple[float, float, float]:
    """Return rate in hertz, peak-to-peak width and part of the variance of the best wave.

    Parameters
    ----------
    seconds, places : (N,)
        Times and positions.
    rates_hz : (R,)
        Rates to try.

    Notes
    -----
    A least-squares fit of mean, trend and sine wave at each rate: the generalised
    Lomb-Scargle periodogram [1]_ with an added trend. It uses all samples, so it also
    finds waves no wider than the jitter.

    References
    ----------
    .. [1] Zechmeister and Kürster, "The generalised Lomb-Scargle periodogram", A&A 2009
    """
    phase = np.multiply.outer(2 * np.pi * rates_hz, seconds)
    rows = _without_trend(seconds, np.concatenate([np.sin(phase), np.cos(phase), [places]]))
    sine, cosine, place = rows[: len(rates_hz)], rows[len(rates_hz) : -1], rows[-1]
    ss, cc, sc = (sine**2).sum(axis=1), (cosine**2).sum(axis=1), (sine * cosine).sum(axis=1)
    sp, cp = sine @ place, cosine @ place
    apart = ss * cc - sc**2
    apart[apart < ALIKE * len(seconds) ** 2] = np.inf
    a, b = (cc * sp - sc * cp) / apart, (ss * cp - sc * sp) / apart
    fitted = a * sp + b * cp
    best = int(fitted.argmax())
    moved = float(place @ place)
    return rates_hz[best], 2 * np.hypot(a[best], b[best]), fitted[best] / moved if moved else 0.0


def _without_trend(seconds: Array, rows: Array) -> Array:
    """Return rows (M, N) without their mean and linear trend over time."""
    since = seconds - seconds.mean()
    level = rows - rows.mean(axis=1, keepdims=True)
    return level - np.multiply.outer(level @ since / (since @ since), since)  # type: ignore[no-any-return]
