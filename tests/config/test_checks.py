"""Checks across several values."""

import math
import random
import time
from itertools import combinations

import pytest

from edgepose.config.checks import _check_polygon, _crossing_edges, _do_cross
from edgepose.config.loading import loads
from edgepose.errors import ConfigError


def edges(corners: list[tuple[float, float]]) -> list[tuple[tuple[float, float], ...]]:
    return list(zip(corners, [*corners[1:], corners[0]], strict=True))


@pytest.mark.parametrize("grid", [3, 8, 1000])
def test_crossing_edges_are_found_as_by_comparing_all(grid: int) -> None:
    """The sweep agrees with comparing all pairs, also for vertical and touching edges."""
    make = random.Random(grid)
    for _ in range(2000):
        corners = [
            (make.randint(0, grid) / grid, make.randint(0, grid) / grid)
            for _ in range(make.randint(3, 7))
        ]
        pairs = combinations(enumerate(edges(corners), 1), 2)
        crossing = {(i, j) for (i, a), (j, b) in pairs if _do_cross(a, b)}

        found = _crossing_edges(edges(corners))

        assert found in crossing if crossing else found is None


@pytest.mark.parametrize("turned", [False, True])
def test_polygons_of_many_corners_are_checked_quickly(*, turned: bool) -> None:
    """A circle, and a comb whose edges all overlap on one axis, are checked quickly."""
    angles = [2 * math.pi * i / 6000 for i in range(6000)]
    circle = [(0.5 + 0.4 * math.cos(angle), 0.5 + 0.4 * math.sin(angle)) for angle in angles]
    comb = [(0.1 if i % 2 else 0.8, i / 3000) for i in range(3000)]
    comb += [(x + 0.01, y) for x, y in reversed(comb)]
    before_s = time.process_time()

    for corners in (circle, comb):
        assert not list(_check_polygon((), [(y, x) if turned else (x, y) for x, y in corners]))

    assert time.process_time() - before_s < 2


@pytest.mark.parametrize(
    ("first", "second", "is_valid"),
    [
        ("127.0.0.1", "192.0.2.5", True),
        ("127.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", "0.0.0.0", False),
    ],
)
def test_page_and_metrics_share_a_port_on_different_addresses_only(
    first: str, second: str, is_valid: bool
) -> None:
    """One port on two addresses is valid; an address for all of them needs another port."""
    text = f'[metrics]\nlisten = "{first}:9000"\n[web]\nlisten = "{second}:9000"\n'

    if is_valid:
        assert loads(text, "test").web.listen == f"{second}:9000"
    else:
        with pytest.raises(ConfigError, match="another port"):
            loads(text, "test")
