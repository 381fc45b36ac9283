"""Time: one monotonic base for everything, wall time only in payloads."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
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
