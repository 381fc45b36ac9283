"""Time: one monotonic base for everything, wall time only in payloads."""

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
    """The two clocks of this machine; stages never read them, sources and wiring do."""

    def now_ns(self) -> int:
        """Return nanoseconds since boot: the clock that cameras stamp their frames with."""
        return time.monotonic_ns()

    def unix_ns(self, at_ns: int | None = None) -> int:
        """Return the wall time of a moment on the monotonic clock, as Unix nanoseconds.

        The difference between the clocks is read anew each time, because a Pi
        starts without knowing the time and jumps once the network tells it.
        """
        now_ns = self.now_ns()
        return time.time_ns() - (now_ns - (now_ns if at_ns is None else at_ns))


def rfc3339(unix_ns: int) -> str:
    """Write Unix nanoseconds as RFC 3339 in UTC with milliseconds, rounded down.

    Examples
    --------
    >>> rfc3339(1_795_464_301_123_999_999)
    '2026-11-23T20:05:01.123Z'
    """
    seconds, rest_ns = divmod(unix_ns, NS_PER_S)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest_ns // NS_PER_MS:03d}Z"


def median_ms(do: Callable[[], None], times: int) -> float:
    """Return how long something takes, in ms: the median of so many times, an odd number.

    `statistics` and numpy know medians too, and take longer to load than this may.
    """
    took_ns = []
    for _ in range(times):
        started_ns = time.perf_counter_ns()
        do()
        took_ns.append(time.perf_counter_ns() - started_ns)
    return sorted(took_ns)[times // 2] / NS_PER_MS


WINDOW: Final = 512  # measurements a percentile looks at; about 20 s at 25 frames a second

BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper ends of the buckets that all durations are counted in: what frames take on a Pi."""

BOUNDS_NS: Final = tuple(round(bound * NS_PER_S) for bound in BOUNDS_S)


class Durations:
    """The durations of one thing: the latest, and how many of each length there were."""

    def __init__(self) -> None:
        self._ns: deque[int] = deque(maxlen=WINDOW)
        self._counts = [0] * (len(BOUNDS_NS) + 1)
        self._sum_ns = 0

    def add(self, duration_ns: int) -> None:
        """Note one duration."""
        self._ns.append(duration_ns)
        self._counts[bisect_left(BOUNDS_NS, duration_ns)] += 1
        self._sum_ns += duration_ns

    def histogram(self) -> tuple[list[int], float]:
        """Return how many took no longer than each bound, all at the end; and their sum in s."""
        return list(accumulate(self._counts)), self._sum_ns / NS_PER_S

    def percentiles_ms(self) -> tuple[float, float] | None:
        """Return the median and the 99th percentile in milliseconds; None before the first."""
        ordered = sorted(self._ns.copy())
        if not ordered:
            return None
        last = len(ordered) - 1
        return tuple(ordered[round(last * part)] / NS_PER_MS for part in (0.50, 0.99))  # type: ignore[return-value]  # two parts, two numbers


def unix_ns(moment: str) -> int:
    """Read RFC 3339 as Unix nanoseconds, exact to the microsecond."""
    read = datetime.fromisoformat(moment)
    if read.tzinfo is None:
        msg = f"time {moment!r} has no zone"
        raise ValueError(msg)
    return int(read.replace(microsecond=0).timestamp()) * NS_PER_S + read.microsecond * 1000
