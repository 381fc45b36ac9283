"""The generated bodies of the event tests: bones, floor, camera and noise."""

from dataclasses import replace

import numpy as np
import pytest

from edgepose.skeleton import LEFT_WRIST, LIMBS, NOSE, RIGHT_WRIST, oks
from tests.support.body import (
    FILMED,
    POINTING_LEFT,
    Act,
    Actor,
    Camera,
    Furniture,
    Noise,
    Scene,
    bend_down,
    child,
    crawl,
    fall,
    gesture,
    get_down,
    lie_down,
    push_ups,
    sit,
    sit_down,
    sit_ups,
    squats,
    stand,
    tie_shoes,
    turn,
    walk,
    wave,
)

ACTS: dict[str, list[Act]] = {
    "walk": [walk(3, turn_deg=90)],
    "sit": [sit_down(), sit(3)],
    "bend": bend_down(),
    "tie": tie_shoes(2),
    "squat": [squats(2)],
    "lie": lie_down(stay=2),
    "exercise": [*get_down(), push_ups(2), sit_ups(2)],
    "crawl": [crawl(2)],
    "fall": fall("left", stay=2),
    "wave": [wave(2)],
}


@pytest.mark.parametrize("acts", ACTS.values(), ids=ACTS.keys())
def test_bones_keep_their_length_and_nothing_sinks_into_the_floor(acts: list[Act]) -> None:
    """In every act the bone lengths are constant and all joints are above the floor."""
    actor = Actor.doing(acts, build=child())
    world = actor.joints(np.arange(0, actor.seconds, 0.05))

    for a, b in LIMBS:
        assert np.ptp(np.linalg.norm(world[:, a] - world[:, b], axis=1)) < 1e-9
    assert world[:, :, 2].min() > 0


def test_a_fall_ends_flat_and_a_label_says_when() -> None:
    """The person is upright before the label of a fall and flat after it."""
    actor = Actor.doing(walk(2), fall("backwards", seconds=0.8, stay=3))
    (label,) = [label for label in actor.labels() if label.name == "fall"]

    before, after = actor.joints(np.array([label.start_s - 0.1, label.start_s + 1.0]))

    assert before[NOSE, 2] > 1.4
    assert after[:, 2].max() < 0.5
    assert label.end_s == pytest.approx(actor.seconds)


def test_left_is_the_persons_own_left() -> None:
    """A person facing the camera who points left points to the picture's right."""
    scene = Scene((Actor.doing(gesture("point", POINTING_LEFT, 2.0)),))

    keypoints = list(scene.truth())[-1].people[0].keypoints

    assert keypoints[LEFT_WRIST, 0] > keypoints[NOSE, 0]
    assert keypoints[LEFT_WRIST, 0] - keypoints[NOSE, 0] > 2 * abs(
        keypoints[RIGHT_WRIST, 0] - keypoints[NOSE, 0]
    )


def test_a_back_has_no_face_and_a_table_hides_legs() -> None:
    """The nose of a person who faces away is hidden, as are ankles behind a block."""
    actor = Actor.doing(stand(1), turn(180), stand(1))
    table = Furniture((2.5, -1, 0), (2.7, 1, 0.8))

    front, *_, back = [m.people[0].keypoints[:, 2] for m in Scene((actor,)).truth()]
    behind = next(iter(Scene((actor,), furniture=(table,)).truth())).people[0].keypoints[:, 2]

    assert (front == 1).all()
    assert back[NOSE] == 0
    assert behind[NOSE] == 1
    assert (behind[-2:] == 0).all()


def test_size_falls_with_distance_and_grows_with_focal_length() -> None:
    """The size doubles with half the distance and with twice the focal length."""
    heights = []
    for distance, fov in (
        (4.0, 60.0),
        (8.0, 60.0),
        (8.0, np.degrees(2 * np.arctan(0.5 * np.tan(np.pi / 6)))),
    ):
        scene = Scene(
            (Actor.doing(stand(1), at=(distance, 0)),), Camera(0.9, 0.0, fov_deg=float(fov))
        )
        heights.append(next(iter(scene.truth())).people[0].box.height)

    near, far, zoomed = heights

    assert near == pytest.approx(2 * far, rel=0.05)
    assert zoomed == pytest.approx(2 * far, rel=0.01)


def test_the_same_seed_gives_the_same_poses_and_another_one_others() -> None:
    """A scene depends on its seed alone."""
    scene = Scene((Actor.doing(walk(3)),))
    first, again, other = (
        [m.people[0].keypoints for m in scene.observe(seed=seed) if m.people] for seed in (1, 1, 2)
    )

    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not (first[0] == other[0]).all()


def test_the_noise_is_that_of_a_small_model() -> None:
    """OKS against the truth is near a small model's on well visible people (0.74 measured)."""
    values = []
    for seed in range(12):
        scene = Scene(
            (Actor.doing(walk(3, turn_deg=40.0 * seed), at=(5, 0)),), Camera().aimed_at(5)
        )
        for seen, true in zip(scene.observe(seed=seed), scene.truth(), strict=True):
            if seen.people:
                pose = true.people[0]
                values.append(oks(seen.people[0].keypoints, pose.keypoints, pose.box.area))

    assert 0.70 < float(np.mean(values)) < 0.84


def test_people_who_lie_are_missed_more_often() -> None:
    """Drop-outs are as frequent as requested, and more frequent for lying people."""
    scene = Scene((Actor.doing(fall("left", stay=60)),))
    noise = replace(Noise(), lost_lying=0.3)

    found = [bool(m.people) for seed in range(6) for m in scene.observe(seed=seed, noise=noise)]

    assert 0.6 < np.mean(found) < 0.8


def test_errors_as_on_films_stay_while_a_body_rests() -> None:
    """Networks err alike on like pictures: at rest joints hardly move, and hidden ones show."""
    lying = Actor.doing(fall("left", stay=6), heading_deg=120)
    scene = Scene((lying,), Camera(2.0).aimed_at(4.0))

    def rest(noise: Noise) -> tuple[float, float]:
        moments = [m for m in scene.observe(10, 3, noise) if m.seconds > 2 and m.people]
        points = np.array([m.people[0].keypoints for m in moments])
        extent = np.ptp(points[..., :2], axis=1).max()
        moved = np.linalg.norm(np.diff(points[..., :2], axis=0), axis=-1)
        return float(np.median(moved) / extent), float((points[..., 2] >= 0.2).mean())

    (filmed, shown), (usual, fewer) = rest(FILMED), rest(Noise())

    assert filmed < 0.4 * usual
    assert shown > max(0.9, fewer)
