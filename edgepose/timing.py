"""Clocks, time formats and duration statistics. Times are monotonic; payloads use wall time."""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import accumulate
from typing import Final

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000


class Clock:
    """The monotonic and the wall clock. Sources and wiring read them; pipeline stages do not."""

    def now_ns(self) -> int:
        """Return the monotonic clock in nanoseconds, the clock of cameras' time stamps."""
        return time.monotonic_ns()

    def unix_ns(self, at_ns: int | None = None) -> int:
        """Return the Unix time in nanoseconds of a moment on the monotonic clock; default: now.

        The difference between the clocks is measured at each call: a Pi has no battery-backed
        clock, and its wall clock jumps when NTP sets it.
        """
        now_ns = self.now_ns()
        return time.time_ns() - (now_ns - (now_ns if at_ns is None else at_ns))


def rfc3339(unix_ns: int) -> str:
    """Format Unix nanoseconds as RFC 3339 in UTC with milliseconds, rounded down.

    Examples
    --------
    >>> rfc3339(1_795_464_301_123_999_999)
    '2026-11-23T20:05:01.123Z'
    """
    seconds, rest_ns = divmod(unix_ns, NS_PER_S)
    moment = datetime.fromtimestamp(seconds, UTC)
    # `strftime` takes ten times as long as `isoformat`.
    return f"{moment.isoformat()[:19]}.{rest_ns // NS_PER_MS:03d}Z"


def median_ms(do: Callable[[], None], times: int) -> float:
    """Return the median duration of a call in milliseconds, over `times` calls (an odd number).

    Does not use `statistics` or numpy: importing them takes too long here.
    """
    took_ns = []
    for _ in range(times):
        started_ns = time.perf_counter_ns()
        do()
        took_ns.append(time.perf_counter_ns() - started_ns)
    return sorted(took_ns)[times // 2] / NS_PER_MS


WINDOW: Final = 512  # latest durations used for percentiles; about 20 s at 25 frames a second

BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the histogram buckets in seconds; they cover frame times on a Pi."""

BOUNDS_NS: Final = tuple(round(bound * NS_PER_S) for bound in BOUNDS_S)


class Durations:
    """Durations of one operation: a histogram of all, and percentiles of the latest `WINDOW`."""

    def __init__(self) -> None:
        self._ns: deque[int] = deque(maxlen=WINDOW)
        self._counts = [0] * (len(BOUNDS_NS) + 1)
        self._sum_ns = 0

    @property
    def latest_ns(self) -> int:
        """The duration that was added last; 0 before the first."""
        return self._ns[-1] if self._ns else 0

    def add(self, duration_ns: int) -> None:
        """Add one duration."""
        self._ns.append(duration_ns)
        self._counts[bisect_left(BOUNDS_NS, duration_ns)] += 1
        self._sum_ns += duration_ns

    def histogram(self) -> tuple[list[int], float]:
        """Return the cumulative counts by `BOUNDS_S` and in total, and the sum in seconds."""
        return list(accumulate(self._counts)), self._sum_ns / NS_PER_S

    def percentiles_ms(self) -> tuple[float, float] | None:
        """Return the median and the 99th percentile in milliseconds; None without durations."""
        ordered = sorted(self._ns.copy())
        if not ordered:
            return None
        last = len(ordered) - 1
        return tuple(ordered[round(last * part)] / NS_PER_MS for part in (0.50, 0.99))  # type: ignore[return-value]  # two parts, two numbers


def unix_ns(moment: str) -> int:
    """Parse RFC 3339 to Unix nanoseconds, exact to the microsecond.

    Raises
    ------
    ValueError
        When the time is malformed or has no time zone.
    """
    read = datetime.fromisoformat(moment)
    if read.tzinfo is None:
        msg = f"time {moment!r} has no zone"
        raise ValueError(msg)
    return int(read.replace(microsecond=0).timestamp()) * NS_PER_S + read.microsecond * 1000
