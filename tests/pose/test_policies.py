"""Tests of the policies, which choose the crops."""

from dataclasses import replace

import numpy as np
import pytest

from edgepose.geometry import Letterbox, box_around, rotation
from edgepose.pose.policies import (
    AGREEMENT,
    SEARCH_SCORE,
    Crop,
    CropResult,
    Follow,
    Refine,
    Whole,
    body_crop,
    everything,
    in_turn,
    lean,
    likeness,
    oks_nms,
    person_crop,
    with_frame_budget,
)
from edgepose.skeleton import LEFT_HIP, LEFT_SHOULDER, RIGHT_HIP, RIGHT_SHOULDER
from edgepose.types import Box, CandidatePose, FallenPose, Floats, Pose, Size

WIDE = Size(1280, 720)

STANDING: Floats = np.array(
    [
        (0, -95), (3, -99), (-3, -99), (8, -97), (-8, -97), (20, -75), (-20, -75), (26, -40),
        (-26, -40), (28, -5), (-28, -5), (13, 0), (-13, 0), (14, 45), (-14, 45), (15, 90),
        (-15, 90),
    ],
    dtype=np.float32,
)  # fmt: skip
"""(17, 2): joints relative to the hips of a person 190 pixels tall."""


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


@pytest.mark.parametrize("policy", [Whole(), Follow(), Refine(detectors=2)])
def test_it_looks_at_everything_while_nobody_is_known(policy: Whole | Follow | Refine) -> None:
    """Without known people the whole picture is used."""
    crops = policy.crops(WIDE, [], 0)

    assert {crop.region for crop in crops} == {(0, 0, 1280, 720)}
    assert all(crop.person is None for crop in crops)


def test_it_follows_with_room_on_every_side() -> None:
    """The crop contains all joints, with room for the movement between two frames."""
    known = person(900, 400)

    (crop,) = Follow().crops(WIDE, [person(200, 300, score=0.3), known], 0)

    assert crop.person is known
    assert holds(crop.region, known)
    assert holds(crop.region, person(930, 420))
    assert crop.region[2] == crop.region[3] < 720


def test_a_hand_stretched_far_is_in_the_crop() -> None:
    """A hand stretched far out is inside of the crop."""
    known = person(600, 500)
    known.keypoints[9, :2] = (620, 330)

    assert holds(body_crop(known, WIDE), known)


def test_it_follows_only_by_joints_that_are_sure() -> None:
    """Joints with low scores do not enlarge the crop."""
    known, guessed = person(600, 400), person(600, 400)
    guessed.keypoints[15] = (1200, 20, 0.05)

    assert body_crop(guessed, WIDE) == body_crop(known, WIDE)


@pytest.mark.parametrize("hidden", [(), (LEFT_HIP, RIGHT_HIP)], ids=["all", "no hips"])
@pytest.mark.parametrize("corner", [(0, 0), (1280, 720), (640, 360)])
def test_a_crop_grows_with_the_person_and_moves_with_them(
    hidden: tuple[int, ...], corner: tuple[int, int]
) -> None:
    """The crop scales with the person and contains it, also with hidden hips."""
    x, y = corner
    small, large = person(x, y, scale=0.4), person(x, y, scale=0.8)
    for pose in (small, large):
        pose.keypoints[list(hidden), 2] = 0

    regions = [body_crop(pose, WIDE) for pose in (small, large)]

    assert regions[1][2] == pytest.approx(2 * regions[0][2], abs=2)
    assert all(holds(r, p) for r, p in zip(regions, (small, large), strict=True))


def test_it_looks_at_everything_when_the_crop_would_be_larger() -> None:
    """The whole picture is used if the crop would be larger than it."""
    assert body_crop(person(640, 360, scale=6), WIDE) == everything(WIDE)


def test_a_look_at_a_crop_maps_back_exactly() -> None:
    """Joints beyond the picture's edge are mapped back exactly."""
    pose = person(3, 716)
    region, _ = person_crop(pose)
    letterbox = Letterbox.fit(region, Size(256, 256))

    there = letterbox.to_model(pose.keypoints[:, :2])

    assert letterbox.region[0] < 0
    np.testing.assert_allclose(letterbox.to_frame(there), pose.keypoints[:, :2], atol=1e-3)


SHAPES = (Size(256, 256), Size(160, 256), Size(256, 160), Size(192, 256), Size(256, 192))


def turned(pose: Pose, angle_deg: float) -> Pose:
    """Return a person rotated clockwise around the hips."""
    keypoints = pose.keypoints.copy()
    middle = keypoints[[LEFT_HIP, RIGHT_HIP], :2].mean(axis=0)
    keypoints[:, :2] = (keypoints[:, :2] - middle) @ rotation(angle_deg).T + middle
    return Pose(keypoints, pose.score, box_around(keypoints))


@pytest.mark.parametrize("scale", [0.15, 0.7, 3.1])
@pytest.mark.parametrize("angle_deg", range(-180, 180, 20))
def test_a_crop_shows_the_whole_person_in_its_shape(angle_deg: int, scale: float) -> None:
    """All joints are inside with a margin, nearly as large as in a square, in no more pixels."""
    pose = turned(person(700, 400, scale=scale), angle_deg)

    ((_, region, _, _, size, angle, _),) = Refine(shapes=SHAPES).refine_crops(WIDE, [pose])

    assert size is not None
    letterbox = Letterbox.fit(region, size, angle_deg=angle)
    joints = letterbox.to_model(pose.keypoints[:, :2])
    room = np.minimum(joints.min(axis=0), np.array(size) - joints.max(axis=0))
    assert room.min() > 15
    square = Refine(shapes=SHAPES[:1]).refine_crops(WIDE, [pose])[0]
    in_square = Letterbox.fit(square.region, square.size or SHAPES[0])
    assert letterbox.scale[0] > 0.95 * in_square.scale[0]
    assert size.width * size.height <= 256 * 256


@pytest.mark.parametrize(
    ("angle_deg", "shape"), [(0, Size(160, 256)), (90, Size(256, 160)), (180, Size(160, 256))]
)
def test_a_narrow_person_takes_the_narrowest_shape(angle_deg: int, shape: Size) -> None:
    """A standing person with the arms down gets the narrowest shape."""
    pose = turned(person(700, 400), angle_deg)

    (crop,) = Refine(shapes=SHAPES, upright=False).refine_crops(WIDE, [pose])

    assert crop.size == shape


def test_of_one_shape_that_is_no_square_the_crop_has_its_sides() -> None:
    """A refiner with a 192x256 input gets a region of that aspect ratio."""
    (crop,) = Refine(shapes=(Size(192, 256),)).refine_crops(WIDE, [person(700, 400, scale=1.5)])

    assert crop.region[2] / crop.region[3] == pytest.approx(192 / 256, rel=0.02)


@pytest.mark.parametrize("angle_deg", range(-180, 180, 15))
def test_who_lies_is_turned_upright(angle_deg: int) -> None:
    """Above 45 degrees the crop is rotated so that the torso is upright; below it is not."""
    pose = turned(person(700, 400), angle_deg)

    (crop,) = Refine(shapes=SHAPES).refine_crops(WIDE, [pose])

    letterbox = Letterbox.fit(crop.region, crop.size or SHAPES[0], angle_deg=crop.angle_deg)
    joints = letterbox.to_model(pose.keypoints[:, :2])
    up = joints[[LEFT_SHOULDER, RIGHT_SHOULDER]].mean(axis=0)
    up -= joints[[LEFT_HIP, RIGHT_HIP]].mean(axis=0)
    if abs(angle_deg) > 45:
        assert up[1] < 0
        assert abs(up[0]) < 0.02 * -up[1]
    if abs(angle_deg) < 45:
        assert crop.angle_deg == 0


def test_without_a_torso_nothing_is_turned() -> None:
    """Without hips or shoulders the lean is 0."""
    for hidden in ([LEFT_HIP, RIGHT_HIP], [LEFT_SHOULDER, RIGHT_SHOULDER]):
        pose = turned(person(700, 400), 90)
        pose.keypoints[hidden, 2] = 0

        assert lean(pose) == 0


def test_ten_people_cost_no_more_looks_than_three() -> None:
    """The number of crops per frame is bounded."""
    policy = Refine(detectors=1, looks=3)

    counts = [len(policy.crops(WIDE, crowd(people), 7)) for people in (3, 6, 10)]

    assert counts == [4, 4, 4]


@pytest.mark.parametrize("count", [4, 7, 10])
def test_everybody_gets_a_turn(count: int) -> None:
    """Over `count` frames each person is refined equally often, and once per frame at most."""
    people = crowd(count)

    looked = [id(pose) for turn in range(10, 10 + count) for pose in in_turn(people, 3, turn)]

    assert {looked.count(id(pose)) for pose in people} == {3}


def test_the_finders_rest_only_while_everybody_is_looked_at() -> None:
    """The detectors pause only while all people are refined in every frame."""
    policy = Refine(detectors=1, looks=3, every=4)

    detections = {
        count: [
            any(crop.person is None for crop in policy.crops(WIDE, crowd(count), turn))
            for turn in range(8)
        ]
        for count in (0, 2, 4)
    }

    assert detections == {0: [True] * 8, 2: [True, False, False, False] * 2, 4: [True] * 8}


def test_a_second_look_replaces_the_first_where_they_agree() -> None:
    """The merged pose has the joints and the score of the refined one."""
    find, look = person(400, 300, score=0.3), person(404, 303, score=0.8)

    (merged,) = Refine().merge([CropResult(Crop(1, person_crop(find)[0], find), [look])])

    assert merged.keypoints is look.keypoints
    assert merged.score == pytest.approx(0.8)


def test_a_second_look_at_someone_else_changes_nobody() -> None:
    """In a still picture the detected pose is kept with a lower score, without a second person."""
    find, other = person(400, 300), person(400 + (AGREEMENT + 0.05) * 285, 300)
    region, _ = person_crop(find)

    (kept,) = Refine().merge([CropResult(Crop(1, region, find, found=True), [other])])

    assert region[2] == pytest.approx(285, abs=10)
    assert kept.keypoints is find.keypoints
    assert kept.score < find.score / 2


def test_whom_a_film_only_expects_is_not_there_until_seen() -> None:
    """In video a tracked person is dropped if the refinement finds none; detections are kept."""
    expected, elsewhere = person(400, 300), person(900, 300)
    blank = person(400, 300, score=0.0)

    look = CropResult(Crop(1, person_crop(expected)[0], expected), [blank])

    with_finder = Refine().merge([CropResult(Crop(0, everything(WIDE)), [elsewhere]), look])
    without = Refine().merge([look])

    assert with_finder == [elsewhere]
    assert without == []


def test_find_and_second_look_are_one_person() -> None:
    """Detections of a refined person are dropped."""
    known = person(400, 300, score=0.7)
    detections = [person(406, 295, score=0.9), person(700, 300, score=0.4)]

    merged = Refine(detectors=2).merge(
        [
            CropResult(Crop(0, everything(WIDE)), detections),
            CropResult(Crop(1, everything(WIDE)), [person(395, 306, score=0.2)]),
            CropResult(Crop(2, person_crop(known)[0], known), [known]),
        ]
    )

    assert [pose.keypoints for pose in merged] == [known.keypoints, detections[1].keypoints]


def test_two_people_close_together_stay_two() -> None:
    """A refined pose replaces one detection only."""
    known, near = person(400, 300, score=0.7), person(418, 300, score=0.6)

    merged = Refine().merge(
        [
            CropResult(Crop(0, everything(WIDE)), [person(401, 301), near]),
            CropResult(Crop(1, person_crop(known)[0], known), [known]),
        ]
    )

    assert [pose.keypoints for pose in merged] == [known.keypoints, near.keypoints]


def test_a_followed_person_whom_the_finder_does_not_see_is_doubted() -> None:
    """A refined person without a detection gets a lower score."""
    known = person(400, 300, score=0.5)
    look = CropResult(Crop(1, person_crop(known)[0], known), [known])

    (alone,) = Refine().merge([look])
    (doubted,) = Refine().merge([CropResult(Crop(0, everything(WIDE)), []), look])

    assert alone.score == pytest.approx(0.5)
    assert doubted.score < alone.score


def test_nobody_is_found_twice() -> None:
    """Of several poses of one person the best is kept, in any order."""
    best, second, other = person(400, 300), person(401, 300, score=0.5), person(800, 300, score=0.4)

    assert oks_nms([second, other, best]) == [best, other]


def test_likeness_does_not_depend_on_place_or_size() -> None:
    """OKS depends on the difference relative to the body's size only."""
    near = likeness(person(400, 300), person(410, 300))
    far = likeness(person(40, 30, scale=0.1), person(41, 30, scale=0.1))

    assert near == pytest.approx(far, rel=1e-3)
    assert 0 < near < 1


@pytest.mark.parametrize("fps", [1, 5, 10, 30])
@pytest.mark.parametrize(
    ("detect_s", "refine_s"), [(0.02, 0.012), (0.1, 0.06), (0.4, 0.2), (0.01, 0.5)]
)
def test_what_fits_into_a_frame_is_what_is_done(fps: int, detect_s: float, refine_s: float) -> None:
    """The average cost per frame fits the frame budget, unless one refinement exceeds it."""
    policy = with_frame_budget(Refine(), 1 / fps, detect_s=detect_s, refine_s=refine_s)

    spent_s = detect_s / policy.every + refine_s * policy.looks

    assert 1 <= policy.every <= fps
    assert policy.looks >= 1
    assert spent_s <= 1 / fps or policy.looks == 1


def test_more_time_means_more_looks() -> None:
    """A lower frame rate allows more refinements."""
    looks = [
        with_frame_budget(Refine(), 1 / fps, detect_s=0.02, refine_s=0.012).looks
        for fps in (20, 10, 5, 1)
    ]

    assert looks == sorted(set(looks))


def fallen(pose: Pose, *, visible: bool = False) -> FallenPose:
    box = Box(pose.box.centre[0] - 100, pose.box.centre[1] - 100, 200, 200)
    return FallenPose(pose.keypoints, pose.score, box, visible)


@pytest.mark.parametrize("policy", [Whole(), Follow(), Refine(detectors=2)])
def test_a_place_where_somebody_fell_is_searched_in_all_rotations(
    policy: Whole | Follow | Refine,
) -> None:
    """At most one search per frame; over some frames upright, on both sides and head down."""
    place = fallen(person(600, 400))

    frames = [policy.crops(WIDE, [place], turn) for turn in range(40)]

    searched = [[crop for crop in crops if crop.person is place] for crops in frames]
    assert max(map(len, searched)) == 1
    assert {crops[0].angle_deg for crops in searched if crops} == {0, 90, -90, 180}
    assert all(holds(crops[0].region, person(600, 400)) for crops in searched if crops)
    everywhere = [any(crop.region == everything(WIDE) for crop in crops) for crops in frames]
    assert sum(everywhere) >= len(frames) / 2


@pytest.mark.parametrize("policy", [Whole(), Refine()])
@pytest.mark.parametrize(("score", "people"), [(SEARCH_SCORE + 0.05, 1), (SEARCH_SCORE - 0.05, 0)])
def test_a_search_finds_a_person_from_a_score_on(
    policy: Whole | Refine, score: float, people: int
) -> None:
    """A pose found by a search needs a minimum score."""
    place = fallen(person(600, 400))
    look = turned(person(600, 420), 90)
    look.keypoints[:, 2] = score
    (search,) = [crop for crop in policy.crops(WIDE, [place], 0) if crop.person is place]

    merged = policy.merge([CropResult(Crop(0, everything(WIDE)), []), CropResult(search, [look])])

    assert len(merged) == people
    assert all(pose.score == pytest.approx(score) for pose in merged)


@pytest.mark.parametrize(("detected", "kept"), [(SEARCH_SCORE - 0.05, False), (0.6, True)])
def test_only_an_unsure_detection_is_replaced_by_the_result_of_a_search(
    detected: float, kept: bool
) -> None:
    """Of a person that both found, the detection counts if its joints are sure enough."""
    place = fallen(person(600, 400))
    look = turned(person(600, 420), 90)
    coarse = Pose(look.keypoints[::-1].copy(), 0.9, look.box)
    coarse.keypoints[:, 2] = detected
    other = person(1000, 300)
    (search,) = [crop for crop in Whole().crops(WIDE, [place], 0) if crop.person is place]

    merged = Whole().merge(
        [CropResult(Crop(0, everything(WIDE)), [coarse, other]), CropResult(search, [look])]
    )

    expected = [coarse if kept else look, other]
    assert len(merged) == 2
    for pose, right in zip(merged, expected, strict=True):
        assert pose.keypoints is right.keypoints


def test_what_a_search_found_is_looked_at_again_upright() -> None:
    """A candidate is refined upright in each of the next frames, until it is a track."""
    place = fallen(person(600, 400))
    found = turned(person(600, 420), 90)
    candidate = CandidatePose(found.keypoints, found.score, found.box)

    frames = [Whole().crops(WIDE, [candidate, place], turn)[1:] for turn in range(4)]

    assert [[crop.angle_deg for crop in crops] for crops in frames] == [
        [pytest.approx(90, abs=1)]
    ] * 4


def refined(weak: Pose, score: float, angle_deg: float = 0.0) -> CropResult:
    """Return the refinement of a detection with this score in every joint."""
    crop = Crop(1, (300, 200, 200, 200), weak, found=True, angle_deg=angle_deg)
    keypoints = weak.keypoints.copy()
    keypoints[:, 2] = score
    return CropResult(crop, [replace(weak, keypoints=keypoints)])


def test_what_is_not_confirmed_is_refined_again_turned() -> None:
    """An unconfirmed detection is refined again in a rotated crop; confirmed ones are not."""
    sure, doubtful = refined(person(400, 300), 0.4), refined(person(900, 300), 0.1, angle_deg=90.0)

    crops = Refine().turned_crops([sure, doubtful])

    assert [crop.angle_deg for crop in crops] == [-90.0, 0.0]
    assert all(crop.person is doubtful.crop.person for crop in crops)
    assert Refine(upright=False).turned_crops([sure, doubtful]) == []


@pytest.mark.parametrize(
    ("detected", "score", "counts"),
    [(0.3, 0.22, True), (0.15, 0.22, False), (0.15, 0.26, True), (0.3, 0.18, False)],
)
def test_a_turned_look_must_be_surer_where_the_detector_doubts(
    detected: float, score: float, counts: bool
) -> None:
    """After a weak detection a rotated crop needs a higher score."""
    weak = person(400, 300, score=detected)
    first = refined(weak, 0.1)
    crop = Refine().turned_crops([first])[0]

    people = Refine().merge([first, refined(weak, score)._replace(crop=crop)])

    assert any(pose.score == pytest.approx(score) for pose in people) == counts


def test_candidates_take_the_looks_that_are_left() -> None:
    """Tracked people are refined first; candidates get at most two crops."""
    ghosts = [
        CandidatePose(*[getattr(p, n) for n in ("keypoints", "score", "box")]) for p in crowd(7)
    ]
    policy = Refine(detectors=1, looks=4)

    counts = [len(policy.crops(WIDE, [*crowd(known), *ghosts], 3)) - 1 for known in (0, 1, 3, 4, 9)]

    assert counts == [2, 3, 4, 4, 4]


def test_a_candidate_is_a_person_only_if_the_second_look_agrees() -> None:
    """A weak detection alone is not a person."""
    weak = person(400, 300, score=0.15)
    candidate = CandidatePose(weak.keypoints, weak.score, weak.box)
    (crop,) = [crop for crop in Refine().crops(WIDE, [candidate], 0) if crop.person is candidate]

    agreed = Refine().merge(
        [CropResult(Crop(0, everything(WIDE)), [weak]), CropResult(crop, [person(402, 301)])]
    )
    alone = Refine().merge(
        [CropResult(Crop(0, everything(WIDE)), []), CropResult(crop, [person(900, 300)])]
    )

    assert [pose.score for pose in agreed] == [pytest.approx(0.6)]
    assert alone == []


@pytest.mark.parametrize("fps", [2, 5, 10, 30])
def test_searches_come_a_few_times_a_second(fps: int) -> None:
    """There are 2 to 6 searches per second at any frame rate."""
    every = with_frame_budget(Refine(), 1 / fps, detect_s=0.001, refine_s=0.001).search_every

    assert 2 <= fps / every <= 6
