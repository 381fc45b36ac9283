"""Tests for the random scenes."""

import numpy as np

from tests.support.random_scenes import CONTROLLED, HALF_S, drill


def test_people_who_lie_down_move_slowly() -> None:
    """Shoulders move within half a second as far as the limit, a little farther in small bodies."""
    farthest = []
    for seed in range(300):
        (actor,) = drill(seed).scene.actors
        ends = np.cumsum([act.seconds for act in actor.acts])
        for act, end in zip(actor.acts, ends.tolist(), strict=True):
            if act.name == "lie_down" and act.seconds > HALF_S:
                times = np.arange(end - act.seconds, end - HALF_S, 0.02)
                moved = actor.joints(times + HALF_S) - actor.joints(times)
                shoulders = np.linalg.norm(moved[:, 5:7].mean(axis=1), axis=-1)
                farthest.append(float(shoulders.max()) / actor.build.stature)

    assert len(farthest) > 60
    assert 0.8 * CONTROLLED[1] < max(farthest) < 1.1 * CONTROLLED[1]
