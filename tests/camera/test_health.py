"""Health: counters and rates of a camera."""

import pytest

from edgepose.camera.health import CameraHealth
from edgepose.timing import NS_PER_S


def test_the_first_rate_counts_from_the_beginning() -> None:
    """The first rate is computed from the start."""
    health = CameraHealth(since_ns=7 * NS_PER_S)
    health.processed = 30

    first = health.rate_hz(9 * NS_PER_S)

    assert first == pytest.approx(15)


def test_each_rate_is_of_the_time_since_the_last_one() -> None:
    """Each rate covers the time since the last call."""
    health = CameraHealth()
    health.processed = 30
    health.rate_hz(NS_PER_S)

    health.processed += 5
    after = [health.rate_hz(seconds * NS_PER_S) for seconds in (2, 3)]

    assert after == pytest.approx([5, 0])
