"""Poses that a real model finds in a real clip, if both are installed."""

from functools import cache
from pathlib import Path

import pytest

from edgepose.timing import NS_PER_S
from edgepose.types import Pose

PEDESTRIANS = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
"""Of Debian's package opencv-doc: 80 s of people crossing a place, 768 x 576 at 10 Hz."""

RATE_HZ = 10
MODEL = "movenet-multipose@384x512"
WEAK = 0.15  # poses with scores this low are passed on, to continue existing tracks


@cache
def pedestrians() -> list[tuple[int, list[Pose]]]:
    """Return the poses of all frames, with their times.

    Skips the test if the clip is missing.
    """
    if not PEDESTRIANS.exists():
        pytest.skip("no clip: apt install opencv-doc")
    import cv2

    from edgepose.pose.decoders import Limits
    from edgepose.pose.estimator import PoseEstimator

    estimator = PoseEstimator(MODEL, limits=Limits(max_people=6, min_pose_score=WEAK))
    clip = cv2.VideoCapture(str(PEDESTRIANS))
    frames: list[tuple[int, list[Pose]]] = []
    while True:
        is_read, picture = clip.read()
        if not is_read:
            return frames
        rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        frames.append((len(frames) * NS_PER_S // RATE_HZ, estimator.estimate(rgb)))
