"""Oscillation: the sine wave that fits a joint's path best, or none."""

import math

import numpy as np
import pytest

from edgepose.people.events.oscillation import count_swings
from edgepose.timing import NS_PER_S

Path = list[tuple[int, float]]


def way(
    rate_hz: float,
    width: float,
    *,
    fps: float = 10,
    seconds: float = 2,
    jitter: float = 0,
    seed: int = 0,
) -> Path:
    """Return the path of an oscillating and drifting joint with jitter."""
    rng = np.random.default_rng(seed)
    times = np.arange(0, seconds + 0.5 / fps, 1 / fps)
    places = 0.3 - 0.4 * times + width / 2 * np.sin(math.tau * rate_hz * times + rng.uniform(0, 6))
    places += rng.normal(0, jitter, len(times))
    return [(round(t * NS_PER_S), p) for t, p in zip(times.tolist(), places.tolist(), strict=True)]


@pytest.mark.parametrize("fps", [5, 10, 30])
@pytest.mark.parametrize("rate_hz", [1.0, 1.4, 1.8])
def test_a_wave_has_two_turns_at_any_frame_rate(rate_hz: float, fps: float) -> None:
    """Each period has two swings, at any frame rate and with drift."""
    assert abs(count_swings(way(rate_hz, 0.5, fps=fps)) - 4 * rate_hz) <= 1


def test_a_wave_under_jitter_is_found_and_jitter_is_none() -> None:
    """Waves with jitter are mostly counted, jitter alone hardly ever."""
    waves = [count_swings(way(1.6, 0.5, jitter=0.12, seed=seed)) for seed in range(100)]
    still = [count_swings(way(1.6, 0.0, jitter=0.12, seed=seed)) for seed in range(100)]

    assert sum(5 <= turns <= 8 for turns in waves) >= 85
    assert sum(turns > 0 for turns in still) <= 5


@pytest.mark.parametrize(
    "path",
    [
        way(0.3, 0.5),
        way(1.5, 0.1),
        way(1.5, 0.0),
        way(1.5, 0.5, seconds=0.5, fps=30),
        way(1.5, 0.5, fps=2),
        [(0, 0.5)],
    ],
    ids=["slow", "tiny", "straight", "short", "seldom", "once"],
)
def test_what_is_no_steady_movement_has_no_turns(path: Path) -> None:
    """Slow, small or short movements, or too few samples, give no swings."""
    assert count_swings(path) == 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(50))
def test_any_way_has_a_number_of_turns(seed: int) -> None:
    """Duplicate times, few samples, gaps or no movement cause no error."""
    rng = np.random.default_rng(seed)
    moments = rng.choice([1, 2, 3, 5, 60])
    times = np.sort(rng.choice(rng.integers(0, 2 * NS_PER_S, moments), rng.integers(1, 80)))
    places = rng.choice([0, 1e-9, 0.1, 1e6]) * rng.choice([0, rng.normal(size=len(times))[0]])
    path = [
        (int(t), float(p))
        for t, p in zip(times, places + rng.normal(0, rng.choice([0, 1]), len(times)), strict=True)
    ]

    with np.errstate(all="raise", under="ignore"):
        turns = count_swings(path)

    assert 0 <= turns <= 12
