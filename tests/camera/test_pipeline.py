"""The pipeline: the stages of a frame."""

from collections.abc import Sequence
from itertools import count

import numpy as np
import pytest

from edgepose.camera.health import CameraHealth
from edgepose.camera.pipeline import Pipeline
from edgepose.geometry import box_around
from edgepose.people.follower import Follower
from edgepose.people.posture import PostureReader
from edgepose.people.smoothing import Smoother
from edgepose.people.tracking import Tracker
from edgepose.pose.estimator import PoseEstimator
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Event, Frame, Message, Pose, Size, Track

SIZE = Size(1280, 720)


def follower() -> Follower:
    return Follower(
        tracker=Tracker(ids=count(1)),
        smoother=Smoother(),
        zones=(),
        posture=PostureReader(),
        detectors=(),
    )


def somebody(x: float) -> Pose:
    """Return a person somewhere in a picture."""
    joint = np.arange(17)
    columns = [x + 30 * (joint % 4), 200 + 25 * (joint // 2), np.full(17, 0.9)]
    keypoints = np.stack(columns, axis=1).astype(np.float32)
    return Pose(keypoints, 0.9, box_around(keypoints))


def test_people_in_stills_count_at_once() -> None:
    """In still pictures each person is reported at once."""
    people = follower()

    seen = [
        people.follow([somebody(x), somebody(x + 300)], at * NS_PER_S // 10, SIZE, still=True)[0]
        for at, x in enumerate((100, 700, 200))
    ]

    assert [len(tracks) for tracks in seen] == [2, 2, 2]


def test_keypoints_in_stills_are_where_they_were_found() -> None:
    """Still pictures are not smoothed."""
    people = follower()

    for at, x in enumerate((100, 104, 109, 130)):
        ((track,), _) = people.follow([somebody(x)], at * NS_PER_S // 10, SIZE, still=True)
        assert track.pose.keypoints == pytest.approx(somebody(x).keypoints)


def test_a_flicker_in_a_video_is_nobody() -> None:
    """In video a new person is not reported after a single frame."""
    people = follower()

    seen = [people.follow(poses, 0, SIZE)[0] for poses in ([somebody(100)], [])]

    assert seen == [[], []]


@pytest.mark.parametrize("keeps_picture", [True, False])
def test_a_picture_that_nobody_shows_goes_before_the_frame_is_composed(keeps_picture: bool) -> None:
    """The picture is released before the messages are composed, unless it is needed."""
    composed = []

    def compose(frame: Frame, _: Sequence[Track], __: Sequence[Event]) -> list[Message]:
        composed.append(frame)
        return []

    pipeline = Pipeline(
        PoseEstimator("movenet-lightning"),
        follower(),
        compose,
        CameraHealth(),
        Clock(),
        keeps_picture=keeps_picture,
    )
    image = np.full((720, 1280, 3), 9, dtype=np.uint8)

    pipeline.process(Frame(image, 0, 0, 0))

    (frame,) = composed
    assert frame.size == SIZE
    assert bool(frame.image.any()) == keeps_picture
    assert (frame.image.base is None) == keeps_picture
