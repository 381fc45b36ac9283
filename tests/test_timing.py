"""Time."""

import time
from datetime import UTC, datetime
from itertools import count

import pytest

from edgepose.timing import NS_PER_MS, NS_PER_S, Clock, median_ms, rfc3339


@pytest.mark.parametrize("unix_ns", [0, 1_795_464_301_123_999_999, 4_102_444_799_999_000_000])
def test_a_moment_can_be_read_back_to_the_millisecond(unix_ns: int) -> None:
    """Times are UTC, rounded down to milliseconds."""
    read = datetime.fromisoformat(rfc3339(unix_ns))

    assert read.tzinfo == UTC
    assert round(read.timestamp() * 1000) == unix_ns // NS_PER_MS


def test_the_past_lies_as_far_back_on_both_clocks() -> None:
    """Differences of times are equal on both clocks."""
    clock = Clock()
    now_ns = clock.now_ns()

    apart_ns = clock.unix_ns(now_ns) - clock.unix_ns(now_ns - 3 * NS_PER_S)

    assert abs(apart_ns - 3 * NS_PER_S) < NS_PER_S // 100


def test_one_slow_time_does_not_count() -> None:
    """The median ignores a single slow call."""
    turns = count()

    took_ms = median_ms(lambda: time.sleep(0.2 if next(turns) == 1 else 0.0), 5)

    assert next(turns) == 5
    assert 0 < took_ms < 100
