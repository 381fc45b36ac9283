"""The human skeleton."""

import numpy as np
import pytest

from edgepose.skeleton import JOINT_NAMES, LEFT_HIP, LIMBS, MIRRORED, RIGHT_HIP, figure, oks

RNG = np.random.default_rng(3)


def someone() -> np.ndarray:  # type: ignore[type-arg]
    place = RNG.uniform(0, 200, (17, 2))
    return np.column_stack([place, np.ones(17)]).astype(np.float32)


def test_mirroring_swaps_left_and_right_and_nothing_else() -> None:
    """Mirroring twice is the identity; the nose stays."""
    for joint, other in enumerate(MIRRORED):
        swapped = JOINT_NAMES[joint].replace("left", "x").replace("right", "left")
        assert JOINT_NAMES[other] == swapped.replace("x", "right")
        assert MIRRORED[other] == joint


def test_limbs_join_different_joints_once() -> None:
    """Each limb joins two different joints and occurs once."""
    pairs = {frozenset(limb) for limb in LIMBS}

    assert len(pairs) == len(LIMBS)
    assert all(len(pair) == 2 for pair in pairs)


def test_likeness_falls_with_distance_and_not_with_scale() -> None:
    """OKS is 1 for equal poses, falls with distance, and does not depend on scale."""
    person = someone()
    near, far = person.copy(), person.copy()
    near[:, 0] += 5
    far[:, 0] += 40

    assert oks(person, person, 10_000) == pytest.approx(1)
    assert 1 > oks(person, near, 10_000) > oks(person, far, 10_000) > 0
    doubled = oks(2 * person, 2 * near, 40_000)
    assert doubled == pytest.approx(oks(person, near, 10_000), rel=1e-5)


def test_without_a_joint_in_common_there_is_no_likeness() -> None:
    """Without a common joint or area OKS is 0."""
    a, b = someone(), someone()
    a[:8, 2] = 0
    b[8:, 2] = 0

    assert oks(a, b, 10_000, min_score=0.3) == 0
    assert oks(a, a, 0) == 0


def test_middles_are_means_of_the_sure_joints() -> None:
    """The centre is the mean of the joints above the minimum score, or None."""
    for _ in range(50):
        person = someone()
        person[:, 2] = RNG.uniform(0, 1, 17)
        body = figure(person, 0.5)

        for joints, middle in (
            (person[:5], body.head),
            (person[[LEFT_HIP, RIGHT_HIP]], body.hips),
        ):
            sure = joints[joints[:, 2] >= 0.5, :2]
            if len(sure):
                assert middle == pytest.approx(sure.mean(axis=0), rel=1e-6)
            else:
                assert middle is None
