"""Walking: rated by the feet, the same for left and right and for any size."""

import numpy as np
import pytest

from edgepose.people.body_measures import measure
from edgepose.people.gait import INPUTS, gait_inputs, walking_logit
from edgepose.skeleton import MIRRORED
from edgepose.types import Floats
from tests.support.body import Act, Actor, Camera, Scene, squats, stand, turn, walk

FPS = 5.0


def seen(act: Act, heading_deg: float = 90.0, *, scale: float = 1.0) -> list[Floats]:
    """Return the exact keypoints of the last second and a half of an act."""
    actor = Actor.doing(act, at=(4.5, -1.0), heading_deg=heading_deg)
    moments = list(Scene((actor,), Camera(1.6).aimed_at(4.5)).truth(FPS))
    poses = [moment.people[0].keypoints.copy() for moment in moments[-8:]]
    for pose in poses:
        pose[:, :2] *= scale
        pose[:, 2] = 0.9
    return poses


def inputs(poses: list[Floats]) -> Floats | None:
    bodies = np.stack(poses)
    return gait_inputs(np.arange(len(poses)) / FPS, bodies, measure(bodies, 0.2).stature, 0.2)


def logit(poses: list[Floats]) -> float:
    found = inputs(poses)
    assert found is not None and found.shape == (INPUTS,)
    return walking_logit(found)


@pytest.mark.parametrize("heading", [0, 45, 90, 135, 180, 270])
def test_a_person_who_walks_is_rated_higher_than_one_who_does_not(heading: float) -> None:
    """From any side."""
    others = [stand(2), turn(120, 2), squats(2, 1.5)]

    assert logit(seen(walk(2.0, 1.1), heading)) > 0
    assert max(logit(seen(act, heading)) for act in others) < 0


def test_the_size_and_the_side_do_not_matter() -> None:
    """A body twice as large, or seen in a mirror, gives the same inputs."""
    poses = seen(walk(2.0, 1.1))
    mirrored = [pose[list(MIRRORED)] * np.array([-1, 1, 1], np.float32) for pose in poses]

    assert inputs(seen(walk(2.0, 1.1), scale=2.0)) == pytest.approx(inputs(poses), abs=1e-3)
    assert inputs(mirrored) == pytest.approx(inputs(poses), abs=1e-3)


def test_hidden_feet_give_no_answer() -> None:
    """Neither do too few observations."""
    poses = seen(walk(2.0, 1.1))
    hidden = [pose.copy() for pose in poses]
    for pose in hidden:
        pose[15, 2] = 0

    assert inputs(hidden) is None
    assert inputs(poses[:3]) is None
