"""The shared data types."""

from dataclasses import FrozenInstanceError, fields, is_dataclass

import numpy as np
import pytest

from edgepose import types
from edgepose.types import KEYPOINTS, Box, Frame, Pose, Size

NOUNS = [kind for kind in vars(types).values() if is_dataclass(kind)]


@pytest.mark.parametrize("kind", NOUNS)
def test_nobody_changes_what_others_hold(kind: type) -> None:
    """Instances are frozen and accept no new attributes."""
    noun = object.__new__(kind)

    for name in (fields(kind)[0].name, "another"):
        with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
            setattr(noun, name, 1)


def test_boxes_share_what_both_cover() -> None:
    """IoU is 1 for equal, 0 for separate or touching boxes, and symmetric."""
    room = Box(100, 50, 40, 20)
    corner = Box(120, 60, 20, 10)

    assert room.iou(room) == 1
    assert room.iou(Box(140, 50, 40, 20)) == room.iou(Box(500, 50, 40, 20)) == 0
    assert room.iou(corner) == corner.iou(room) == pytest.approx(0.25)
    assert room.iou(Box(120, 50, 40, 20)) == pytest.approx(1 / 3)
    assert corner.centre == (130, 65)
    assert room.contains(100, 70)
    assert not room.contains(99, 70)
    assert not room.contains(120, 71)


def test_a_frame_without_its_picture_is_as_large() -> None:
    """Size and times stay, without the picture's memory."""
    frame = Frame(np.full((480, 640, 3), 7, np.uint8), 1, 2, 3, "a.jpg")

    bare = frame.without_picture()

    assert frame.size == bare.size == Size(640, 480)
    assert (bare.captured_ns, bare.unix_ns, bare.read_ns, bare.name) == (1, 2, 3, "a.jpg")
    assert not bare.image.any()
    assert bare.image.base is None or bare.image.base.nbytes < 10


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (Size(1280, 720), Size(80, 45)),
        (Size(720, 1280), Size(45, 80)),
        (Size(60, 80), Size(60, 80)),
        (Size(9000, 1), Size(80, 1)),
    ],
)
def test_a_size_fits_within_a_length_in_its_own_shape(size: Size, expected: Size) -> None:
    """The size is never enlarged, and no side becomes 0."""
    assert size.within(80) == expected


def test_a_keypoint_is_had_by_its_name() -> None:
    """Keypoints can be accessed by name; a wrong name raises KeyError with a suggestion."""
    pose = Pose(np.arange(51, dtype=np.float32).reshape(17, 3), 0.9, Box(0, 0, 1, 1))

    assert dict(pose).keys() == set(KEYPOINTS)
    for index, name in enumerate(KEYPOINTS):
        assert np.array_equal(pose[name], pose.keypoints[index])
    with pytest.raises(KeyError, match='did you mean "left_elbow"'):
        pose["left_elbo"]
