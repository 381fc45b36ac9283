"""Skeletons are drawn at people's positions, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from edgepose.drawing import COLOURS, draw, skeleton_picture
from edgepose.geometry import box_around
from edgepose.skeleton import JOINTS, LEFT_WRIST, LIMBS, MIRRORED, NOSE, RIGHT_WRIST
from edgepose.types import Floats, Image, Pose, Size, Track

WIDE = Size(640, 360)
MARGIN_PX = 12  # half a line or joint, with antialiasing


def person(x: float, y: float, *, score: float = 0.9, height: float = 200.0) -> Pose:
    """Return a person with arms and legs spread, head at (x, y)."""
    across = [0, 1, -1, 2, -2, 4, -4, 7, -7, 10, -10, 3, -3, 4, -4, 5, -5]
    down = [0, -1, -1, 0, 0, 4, 4, 4, 4, 4, 4, 12, 12, 17, 17, 22, 22]
    unit = height / 23
    keypoints = np.empty((JOINTS, 3), dtype=np.float32)
    keypoints[:, 0] = x + unit * np.array(across)
    keypoints[:, 1] = y + unit * np.array(down)
    keypoints[:, 2] = score
    return Pose(keypoints, score, box_around(keypoints))


def but(pose: Pose, joint: int, **values: float) -> Pose:
    """Return the same person with one joint's x, y or score changed."""
    keypoints = pose.keypoints.copy()
    for name, value in values.items():
        keypoints[joint, ("x", "y", "score").index(name)] = value
    return replace(pose, keypoints=keypoints)


def painted(image: Image) -> np.ndarray:
    """Return (height, width) bools: pixels that are not black."""
    return np.asarray(image.any(axis=2))


def near(shape: tuple[int, ...], points: Floats, margin: float = MARGIN_PX) -> np.ndarray:
    """Return (height, width) bools: the box around points with a margin."""
    mask = np.zeros(shape[:2], dtype=bool)
    left, top = np.maximum(points.min(axis=0) - margin, 0).astype(int)
    right, bottom = np.maximum(points.max(axis=0) + margin, 0).astype(int)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def test_it_changes_nothing_but_the_neighbourhood_of_people() -> None:
    """Outside of the people's neighbourhood the picture is unchanged."""
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 256, (WIDE.height, WIDE.width, 3), dtype=np.uint8)
    before = rgb.copy()
    people = [person(180, 60), person(480, 100)]

    drawn = draw(rgb, people)

    changed = (drawn != rgb).any(axis=2)
    allowed = near(rgb.shape, people[0].keypoints[:, :2])
    allowed |= near(rgb.shape, people[1].keypoints[:, :2])
    assert changed.any()
    assert not (changed & ~allowed).any()
    assert np.array_equal(rgb, before)
    assert not np.shares_memory(rgb, drawn)


def test_it_draws_every_joint_and_limb_of_every_person() -> None:
    """Each joint and the middle of each limb is drawn, for every person."""
    people = [person(180, 60), person(480, 100)]

    drawn = painted(skeleton_picture(WIDE, people))

    for pose in people:
        spots = [*pose.keypoints, *((pose.keypoints[a] + pose.keypoints[b]) / 2 for a, b in LIMBS)]
        assert all(drawn[round(y), round(x)] for x, y, _ in np.array(spots).tolist())


def test_it_draws_joints_at_the_threshold_and_none_below() -> None:
    """Joints at or above the threshold are drawn, joints below are not."""
    at, below = np.float32(0.5), np.nextafter(np.float32(0.5), np.float32(0))
    sure = person(180, 60, score=float(at))
    unsure = person(480, 100, score=float(below))

    drawn = painted(skeleton_picture(WIDE, [sure, unsure], min_score=float(at)))

    assert (drawn & near(drawn.shape, sure.keypoints[:, :2])).any()
    assert not (drawn & ~near(drawn.shape, sure.keypoints[:, :2])).any()


def test_it_asks_each_person_for_their_own_scores() -> None:
    """Hidden joints are determined for each person separately."""
    first = but(person(180, 60), LEFT_WRIST, score=0.1)
    second = but(person(480, 100), RIGHT_WRIST, score=0.1)

    drawn = painted(skeleton_picture(WIDE, [first, second]))

    def shown(pose: Pose, joint: int) -> bool:
        x, y, _ = pose.keypoints[joint].tolist()
        return bool(drawn[round(y), round(x)])

    assert [shown(first, LEFT_WRIST), shown(first, RIGHT_WRIST)] == [False, True]
    assert [shown(second, LEFT_WRIST), shown(second, RIGHT_WRIST)] == [True, False]


def test_a_hidden_joint_takes_its_limbs_along() -> None:
    """Limbs of a hidden joint are not drawn."""
    away = but(person(180, 60), LEFT_WRIST, x=600.0, y=340.0, score=0.1)

    drawn = painted(skeleton_picture(WIDE, [away]))

    assert not (drawn & ~near(drawn.shape, person(180, 60).keypoints[:, :2])).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e9, -1e9, 1e30, -5000.0, 5000.0])
@pytest.mark.parametrize("field", ["x", "y"])
def test_it_survives_joints_at_impossible_places(field: str, value: float) -> None:
    """Joints outside of the frame, beyond 32 bits or NaN do not affect the others."""
    pose = but(person(180, 60), LEFT_WRIST, **{field: value})

    drawn = painted(skeleton_picture(WIDE, [pose]))

    x, y, _ = pose.keypoints[RIGHT_WRIST].tolist()
    assert drawn[round(y), round(x)]


@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_a_score_that_is_none_is_not_drawn(value: float) -> None:
    """A NaN or negative score is not drawn, even at a minimum score of 0."""
    pose = person(180, 60, score=value)

    assert not painted(skeleton_picture(WIDE, [pose], min_score=0.0)).any()


def test_a_track_keeps_its_colour() -> None:
    """The colour depends on the track's id, not on its place in the list."""
    tracks = [Track(number, person(320, 60), 0) for number in (3, 4)]

    alone = skeleton_picture(WIDE, tracks[:1], labels=False)
    second = skeleton_picture(WIDE, [Track(9, person(5000, 60), 0), tracks[0]], labels=False)
    other = skeleton_picture(WIDE, tracks[1:], labels=False)

    assert np.array_equal(alone, second)
    assert not np.array_equal(alone, other)
    assert len(set(COLOURS)) == len(COLOURS)


def test_left_and_right_are_told_apart() -> None:
    """Swapping left and right joints changes the colours."""
    facing = person(320, 60)
    away = replace(facing, keypoints=facing.keypoints[list(MIRRORED)])

    drawn = skeleton_picture(WIDE, [facing])

    assert not np.array_equal(drawn, skeleton_picture(WIDE, [away]))
    left, right = (facing.keypoints[joint].round().astype(int) for joint in (9, 10))
    assert drawn[left[1], left[0]].sum() > drawn[right[1], right[0]].sum()


def test_strokes_grow_with_the_picture() -> None:
    """Line widths are relative to the picture's size."""

    def part(scale: int) -> float:
        size = Size(WIDE.width * scale // 2, WIDE.height * scale // 2)
        pose = person(160.0 * scale, 30.0 * scale, height=100.0 * scale)
        return float(painted(skeleton_picture(size, [pose])).mean())

    assert part(8) == pytest.approx(part(4), rel=0.3)


def test_a_label_names_the_person_inside_the_picture() -> None:
    """Id and posture are drawn above the head, inside of the picture; not for poses."""
    pose = person(10, 5)
    track = Track(12, pose, 0, posture="standing")

    plain = skeleton_picture(WIDE, [pose])
    unlabelled = skeleton_picture(WIDE, [track], labels=False)
    numbered = skeleton_picture(WIDE, [replace(track, posture="unknown")])
    labelled = skeleton_picture(WIDE, [track])

    counts = [painted(picture).sum() for picture in (unlabelled, numbered, labelled)]
    assert counts == sorted(set(counts))
    assert painted(plain).sum() == counts[0]
    assert not painted(labelled)[pose.keypoints[NOSE].round().astype(int)[1] + 60 :, 200:].any()


def test_nobody_is_drawn_as_nobody() -> None:
    """Without people the picture is unchanged."""
    rgb = np.full((4, 7, 3), 9, dtype=np.uint8)

    assert np.array_equal(draw(rgb, []), rgb)
    assert not skeleton_picture(Size(7, 4), []).any()


def test_it_draws_on_any_layout() -> None:
    """Mirrored and cropped views of arrays are accepted."""
    rgb = np.zeros((WIDE.height, WIDE.width, 3), dtype=np.uint8)
    rgb.flags.writeable = False

    drawn = draw(rgb[:, ::-1], [person(180, 60)])

    assert drawn.flags.c_contiguous
    assert painted(drawn).any()
