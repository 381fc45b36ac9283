"""Steady movements to and fro: the sine wave that fits a joint's way best."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from edgepose.timing import NS_PER_S

Array = np.ndarray[Any, np.dtype[np.float64]]

RATES_HZ: Final = np.arange(0.9, 3.01, 0.1)  # people wave once to twice a second, seldom faster
SHORTEST_S: Final = 0.7
FEWEST: Final = 7  # places: a trend and a wave go through any four
PER_WAVE: Final = 2.5  # places: with fewer a quick wave looks like a slow one
STEADY: Final = 0.5  # part of what moves that is the wave: jitter is all rates at once
BRISK: Final = 0.35  # torsos a second: width times rate; jitter is quick or wide, seldom both
ALIKE: Final = 1e-6  # sine and cosine less apart than this, at the moments seen, are one


def count_swings(path: Sequence[tuple[int, float]]) -> int:
    """Count the turns of a steady movement to and fro; 0 if there is none.

    Parameters
    ----------
    path : sequence of (nanoseconds, torsos)
        When a joint was where, in order; steps may be of any length.
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
    # A trend has two numbers, a wave with its rate three: they fit some of any jitter.
    steady = (1 - part) / (seen - 5) <= (1 - STEADY) / (seen - 2)
    return round(2 * rate_hz * span_s) if steady and width * rate_hz >= BRISK else 0


def _best_wave(seconds: Array, places: Array, rates_hz: Array) -> tuple[float, float, float]:
    """Return the rate of the wave that fits best, its width, and its part of what moves.

    Parameters
    ----------
    seconds, places : (N,)
        When, and where.
    rates_hz : (R,)
        The rates to try.

    Notes
    -----
    A mean, a trend and a sine wave by least squares, at one rate after the other: the
    generalised Lomb-Scargle periodogram [1]_ with a trend besides. All turns count
    together, so it finds waves that are no wider than the jitter upon them.

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
    """Take the mean and the trend over time out of each row of (M, N)."""
    since = seconds - seconds.mean()
    level = rows - rows.mean(axis=1, keepdims=True)
    return level - np.multiply.outer(level @ since / (since @ since), since)  # type: ignore[no-any-return]
