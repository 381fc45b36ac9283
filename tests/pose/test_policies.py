"""Tests of where to look."""

import numpy as np
import pytest

from edgepose.geometry import Letterbox, box_around
from edgepose.pose.policies import (
    AGREEMENT,
    Aim,
    Follow,
    Refine,
    Seen,
    Whole,
    body_crop,
    crop,
    everything,
    in_turn,
    likeness,
    pace,
    single_out,
)
from edgepose.skeleton import LEFT_HIP, RIGHT_HIP
from edgepose.types import Floats, Pose, Size

WIDE = Size(1280, 720)

STANDING: Floats = np.array(
    [
        (0, -95), (3, -99), (-3, -99), (8, -97), (-8, -97), (20, -75), (-20, -75), (26, -40),
        (-26, -40), (28, -5), (-28, -5), (13, 0), (-13, 0), (14, 45), (-14, 45), (15, 90),
        (-15, 90),
    ],
    dtype=np.float32,
)  # fmt: skip
"""(17, 2): joints around the hips of somebody 190 pixels tall."""


def person(x: float, y: float, *, scale: float = 1.0, score: float = 0.6) -> Pose:
    keypoints = np.full((17, 3), score, dtype=np.float32)
    keypoints[:, :2] = STANDING * scale + (x, y)
    return Pose(keypoints, score, box_around(keypoints))


def crowd(count: int) -> list[Pose]:
    return [person(100 + 110 * index, 360, score=0.5) for index in range(count)]


def holds(region: tuple[int, int, int, int], pose: Pose) -> bool:
    low = np.array(region[:2])
    inside = (pose.keypoints[:, :2] > low) & (pose.keypoints[:, :2] < low + region[2:])
    return bool(inside.all())


@pytest.mark.parametrize("policy", [Whole(), Follow(), Refine(finders=2)])
def test_it_looks_at_everything_while_nobody_is_known(policy: Whole | Follow | Refine) -> None:
    """Somebody who comes in is seen wherever they come in."""
    aims = policy.aims(WIDE, [], 0)

    assert {aim.region for aim in aims} == {(0, 0, 1280, 720)}
    assert all(aim.person is None for aim in aims)


def test_it_follows_with_room_on_every_side() -> None:
    """The crop holds all joints and the way a person goes between two frames."""
    known = person(900, 400)

    (aim,) = Follow().aims(WIDE, [person(200, 300, score=0.3), known], 0)

    assert aim.person is known
    assert holds(aim.region, known)
    assert holds(aim.region, person(930, 420))
    assert aim.region[2] == aim.region[3] < 720


def test_a_hand_stretched_far_is_in_the_crop() -> None:
    """Somebody who reaches up does not lose the hand."""
    known = person(600, 500)
    known.keypoints[9, :2] = (620, 330)

    assert holds(body_crop(known, WIDE), known)


def test_it_follows_only_by_joints_that_are_sure() -> None:
    """A foot that the network guesses on the far wall does not make the crop larger."""
    known, guessed = person(600, 400), person(600, 400)
    guessed.keypoints[15] = (1200, 20, 0.05)

    assert body_crop(guessed, WIDE) == body_crop(known, WIDE)


@pytest.mark.parametrize("hidden", [(), (LEFT_HIP, RIGHT_HIP)], ids=["all", "no hips"])
@pytest.mark.parametrize("corner", [(0, 0), (1280, 720), (640, 360)])
def test_a_crop_grows_with_the_person_and_moves_with_them(
    hidden: tuple[int, ...], corner: tuple[int, int]
) -> None:
    """Scale and place do not matter, also at a desk and at the edges of the picture."""
    x, y = corner
    small, large = person(x, y, scale=0.4), person(x, y, scale=0.8)
    for pose in (small, large):
        pose.keypoints[list(hidden), 2] = 0

    regions = [body_crop(pose, WIDE) for pose in (small, large)]

    assert regions[1][2] == pytest.approx(2 * regions[0][2], abs=2)
    assert all(holds(r, p) for r, p in zip(regions, (small, large), strict=True))


def test_it_looks_at_everything_when_the_crop_would_be_larger() -> None:
    """Somebody right before the camera fills the picture."""
    assert body_crop(person(640, 360, scale=6), WIDE) == everything(WIDE)


def test_a_look_at_a_crop_maps_back_exactly() -> None:
    """What is seen in a crop beyond the picture's edge lies where it is in the picture."""
    pose = person(3, 716)
    letterbox = Letterbox.fit(crop(pose), Size(256, 256))

    there = letterbox.to_model(pose.keypoints[:, :2])

    assert letterbox.region[0] < 0
    np.testing.assert_allclose(letterbox.to_frame(there), pose.keypoints[:, :2], atol=1e-3)


def test_ten_people_cost_no_more_looks_than_three() -> None:
    """The time a frame takes stays bounded as the room fills."""
    policy = Refine(finders=1, looks=3)

    counts = [len(policy.aims(WIDE, crowd(people), 7)) for people in (3, 6, 10)]

    assert counts == [4, 4, 4]


@pytest.mark.parametrize("count", [4, 7, 10])
def test_everybody_gets_a_turn(count: int) -> None:
    """Within as many frames as a round takes each person is looked at again, nobody twice."""
    people = crowd(count)

    looked = [id(pose) for turn in range(10, 10 + count) for pose in in_turn(people, 3, turn)]

    assert {looked.count(id(pose)) for pose in people} == {3}


def test_the_finders_rest_only_while_everybody_is_looked_at() -> None:
    """Whom no second look shows this time must be found, or they would vanish."""
    policy = Refine(finders=1, looks=3, every=4)

    finds = {
        count: [
            any(aim.person is None for aim in policy.aims(WIDE, crowd(count), turn))
            for turn in range(8)
        ]
        for count in (0, 2, 4)
    }

    assert finds == {0: [True] * 8, 2: [True, False, False, False] * 2, 4: [True] * 8}


def test_a_second_look_replaces_the_first_where_they_agree() -> None:
    """The joints are the second look's, and so is the score."""
    find, look = person(400, 300, score=0.3), person(404, 303, score=0.8)

    (merged,) = Refine().merge([Seen(Aim(1, crop(find), find), [look])])

    assert merged.keypoints is look.keypoints
    assert merged.score == pytest.approx(0.8)


def test_a_second_look_at_someone_else_changes_nobody() -> None:
    """In a still picture the find stays, less sure; the neighbour is not doubled."""
    find, other = person(400, 300), person(400 + (AGREEMENT + 0.05) * 285, 300)
    region = crop(find)

    (kept,) = Refine().merge([Seen(Aim(1, region, find, found=True), [other])])

    assert region[2] == pytest.approx(285, abs=10)
    assert kept.keypoints is find.keypoints
    assert kept.score < find.score / 2


def test_whom_a_film_only_expects_is_not_there_until_seen() -> None:
    """A person who has left does not go on as a ghost; whoever is found is kept."""
    expected, elsewhere = person(400, 300), person(900, 300)
    blank = person(400, 300, score=0.0)

    look = Seen(Aim(1, crop(expected), expected), [blank])

    with_finder = Refine().merge([Seen(Aim(0, everything(WIDE)), [elsewhere]), look])
    without = Refine().merge([look])

    assert with_finder == [elsewhere]
    assert without == []


def test_find_and_second_look_are_one_person() -> None:
    """Each finder's find of a person who is looked at again is not a second person."""
    known = person(400, 300, score=0.7)
    finds = [person(406, 295, score=0.9), person(700, 300, score=0.4)]

    merged = Refine(finders=2).merge(
        [
            Seen(Aim(0, everything(WIDE)), finds),
            Seen(Aim(1, everything(WIDE)), [person(395, 306, score=0.2)]),
            Seen(Aim(2, crop(known), known), [known]),
        ]
    )

    assert [pose.keypoints for pose in merged] == [known.keypoints, finds[1].keypoints]


def test_two_people_close_together_stay_two() -> None:
    """A second look claims one find only: an embrace is not one person."""
    known, near = person(400, 300, score=0.7), person(418, 300, score=0.6)

    merged = Refine().merge(
        [
            Seen(Aim(0, everything(WIDE)), [person(401, 301), near]),
            Seen(Aim(1, crop(known), known), [known]),
        ]
    )

    assert [pose.keypoints for pose in merged] == [known.keypoints, near.keypoints]


def test_a_followed_person_whom_the_finder_does_not_see_is_doubted() -> None:
    """A coat that was once taken for a person has to convince more than a person."""
    known = person(400, 300, score=0.5)
    look = Seen(Aim(1, crop(known), known), [known])

    (alone,) = Refine().merge([look])
    (doubted,) = Refine().merge([Seen(Aim(0, everything(WIDE)), []), look])

    assert alone.score == pytest.approx(0.5)
    assert doubted.score < alone.score


def test_nobody_is_found_twice() -> None:
    """Of several finds of one person the best stays, in any order of finding."""
    best, second, other = person(400, 300), person(401, 300, score=0.5), person(800, 300, score=0.4)

    assert single_out([second, other, best]) == [best, other]


def test_likeness_does_not_depend_on_place_or_size() -> None:
    """The same difference in parts of the body is the same likeness."""
    near = likeness(person(400, 300), person(410, 300))
    far = likeness(person(40, 30, scale=0.1), person(41, 30, scale=0.1))

    assert near == pytest.approx(far, rel=1e-3)
    assert 0 < near < 1


@pytest.mark.parametrize("fps", [1, 5, 10, 30])
@pytest.mark.parametrize(
    ("find_s", "look_s"), [(0.02, 0.012), (0.1, 0.06), (0.4, 0.2), (0.01, 0.5)]
)
def test_what_fits_into_a_frame_is_what_is_done(fps: int, find_s: float, look_s: float) -> None:
    """On average finds and looks take no longer than the frames, unless one look does."""
    policy = pace(Refine(), 1 / fps, find_s=find_s, look_s=look_s)

    spent_s = find_s / policy.every + look_s * policy.looks

    assert 1 <= policy.every <= fps
    assert policy.looks >= 1
    assert spent_s <= 1 / fps or policy.looks == 1


def test_more_time_means_more_looks() -> None:
    """A slower camera lets more people be looked at again."""
    looks = [pace(Refine(), 1 / fps, find_s=0.02, look_s=0.012).looks for fps in (20, 10, 5, 1)]

    assert looks == sorted(set(looks))
