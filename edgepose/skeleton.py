"""Joints, limbs and mirroring of the human skeleton, and object keypoint similarity."""

from typing import Final, NamedTuple

import numpy as np

from edgepose.types import KEYPOINTS, Floats

JOINT_NAMES: Final = KEYPOINTS

JOINTS: Final = len(JOINT_NAMES)

(
    NOSE,
    LEFT_EYE,
    RIGHT_EYE,
    LEFT_EAR,
    RIGHT_EAR,
    LEFT_SHOULDER,
    RIGHT_SHOULDER,
    LEFT_ELBOW,
    RIGHT_ELBOW,
    LEFT_WRIST,
    RIGHT_WRIST,
    LEFT_HIP,
    RIGHT_HIP,
    LEFT_KNEE,
    RIGHT_KNEE,
    LEFT_ANKLE,
    RIGHT_ANKLE,
) = range(JOINTS)

LIMBS: Final = (
    (NOSE, LEFT_EYE),
    (LEFT_EYE, LEFT_EAR),
    (NOSE, RIGHT_EYE),
    (RIGHT_EYE, RIGHT_EAR),
    (LEFT_SHOULDER, RIGHT_SHOULDER),
    (LEFT_SHOULDER, LEFT_ELBOW),
    (LEFT_ELBOW, LEFT_WRIST),
    (RIGHT_SHOULDER, RIGHT_ELBOW),
    (RIGHT_ELBOW, RIGHT_WRIST),
    (LEFT_SHOULDER, LEFT_HIP),
    (RIGHT_SHOULDER, RIGHT_HIP),
    (LEFT_HIP, RIGHT_HIP),
    (LEFT_HIP, LEFT_KNEE),
    (LEFT_KNEE, LEFT_ANKLE),
    (RIGHT_HIP, RIGHT_KNEE),
    (RIGHT_KNEE, RIGHT_ANKLE),
)
"""Pairs of joints that are connected by a line."""

MIRRORED: Final = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""Index of each joint's counterpart in a mirrored image."""

OKS_SIGMAS: Final[Floats] = np.array(
    [26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89], dtype=np.float32
) / np.float32(1000)
"""(17,): COCO's spread of the annotations of each joint, relative to the person's size."""


def oks(a: Floats, b: Floats, area: float, *, min_score: float = 0.0) -> float:
    """Return the object keypoint similarity of two people: 1 for equal keypoints, 0 for distant.

    Parameters
    ----------
    a, b : (17, 3)
        Keypoints ``x, y, score`` in the same coordinates.
    area : float
        The person's area in squared units of those coordinates.
    min_score : float
        Joints below this score in either person are ignored.

    Returns
    -------
    float
        Mean similarity of the remaining joints; 0 if none remain.

    References
    ----------
    COCO keypoint evaluation: ``exp(-d² / (2 area (2 sigma)²))``, mean over joints.
    """
    shared = (a[:, 2] >= min_score) & (b[:, 2] >= min_score)
    if area <= 0 or not shared.any():
        return 0.0
    squared = ((a[shared, :2] - b[shared, :2]) ** 2).sum(axis=1)
    spread = 2 * area * (2 * OKS_SIGMAS[shared]) ** 2
    return float(np.exp(-squared / spread).mean())


class MidJoints(NamedTuple):
    """Midpoints of the body's joints, ``(x, y)``; None if all scores are too low."""

    head: Floats | None
    """Mean of nose, eyes and ears."""

    shoulders: Floats | None
    wrists: Floats | None
    hips: Floats | None
    knees: Floats | None
    ankles: Floats | None


def figure(keypoints: Floats, min_score: float = 0.3) -> MidJoints:
    """Reduce ``(17, 3)`` keypoints to the midpoints of the body's joints.

    The midpoint of a pair does not change if a model swaps left and right, which happens with
    people seen from behind or from the side. If only one joint of a pair reaches `min_score`, its
    position is used.
    """
    joints: list[list[float]] = keypoints.tolist()
    return MidJoints(
        _middle_of(joints[:LEFT_SHOULDER], min_score),
        *(
            _middle_of(joints[left : left + 2], min_score)
            for left in (LEFT_SHOULDER, LEFT_WRIST, LEFT_HIP, LEFT_KNEE, LEFT_ANKLE)
        ),
    )


def _middle_of(joints: list[list[float]], min_score: float) -> Floats | None:
    """Return the mean position of the joints of at least `min_score`; None if there is none."""
    sure = [joint for joint in joints if joint[2] >= min_score]
    if not sure:
        return None
    # Ten times as fast as numpy's mean, which took most of the time of a pose.
    x, y = sum(joint[0] for joint in sure), sum(joint[1] for joint in sure)
    return np.array((x / len(sure), y / len(sure)), dtype=np.float32)
