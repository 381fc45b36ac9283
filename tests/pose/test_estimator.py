"""The estimator with real models, on the demo's picture."""

import weakref
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from edgepose.camera import sources
from edgepose.errors import ModelError, UsageError
from edgepose.geometry import box_around
from edgepose.people.follower import Follower
from edgepose.people.posture import PostureReader
from edgepose.people.tracking import Tracker
from edgepose.pose.decoders import Limits
from edgepose.pose.estimator import PoseEstimator
from edgepose.skeleton import oks
from edgepose.timing import NS_PER_S
from edgepose.types import Box, FallenPose, Image, Pose, Size

PAIR = "posenet-uint8+movenet-lightning-int8"
PERSON = (slice(40, 350), slice(90, 260))  # a walking person in the demo's first picture


@cache
def street() -> Image:
    """Return a picture with two people."""
    with closing(sources.open_source("demo://", realtime=False, once=True)) as source:
        return next(iter(source.frames())).image


@cache
def estimator(model: str, policy: str = "auto") -> PoseEstimator:
    return PoseEstimator(model, policy=policy, threads=1)  # type: ignore[arg-type]


def walk(steps: int, *, away: range = range(0)) -> Iterator[tuple[int, Image]]:
    """Move the person across a wide grey floor; during `away` the floor is empty."""
    for step in range(steps):
        canvas = np.full((720, 1280, 3), 128, dtype=np.uint8)
        if step not in away:
            left = 100 + 40 * step
            canvas[300:610, left : left + 170] = street()[PERSON]
        yield step, canvas


class Seen(NamedTuple):
    """People and crops of one frame."""

    crops: list[bool]
    """For each crop: whether it was of a person, not the whole picture."""

    people: list[Pose]


def middle(pose: Pose) -> float:
    return box_around(pose.keypoints, 0.3).centre[0]


def test_it_is_prepare_infer_and_decode_in_a_row() -> None:
    """`prepare`, `infer` and `decode` give the same result as `estimate`."""
    looker = estimator("movenet-multipose")

    inputs = looker.prepare(street())
    poses = looker.decode(inputs, looker.infer(inputs))

    once = looker.estimate(street())
    assert len(once) == len(poses) == 2
    for a, b in zip(once, poses, strict=True):
        np.testing.assert_array_equal(a.keypoints, b.keypoints)


def test_it_lets_the_networks_input_go_before_the_network_runs() -> None:
    """The input tensor is released before the network runs, to save memory."""
    looker = estimator("movenet-multipose")
    inputs = looker.prepare(street())
    held = weakref.ref(inputs.crops[0].tensor)  # type: ignore[type-var]
    engine = looker.networks[0].engine
    seen = []
    invoke = engine._interpreter.invoke

    engine._interpreter.invoke = lambda: (seen.append(held()), invoke())
    looker.infer(inputs)

    assert seen == [None]


@pytest.mark.parametrize(
    ("model", "policy"),
    [("movenet-multipose", "whole"), ("movenet-lightning", "follow"), (PAIR, "refine")],
)
def test_auto_takes_what_suits_the_model(model: str, policy: str) -> None:
    """Multi-person models get the picture, single-person models crops, pairs refine."""
    assert estimator(model).policy.name == policy


def test_refine_takes_the_usual_second_model_where_none_is_named() -> None:
    """`refine` without a second model uses the default refiner."""
    looker = estimator("posenet-uint8", "refine")

    assert looker.name.startswith("posenet-uint8+movenet-")
    assert [network.decoder.people == 1 for network in looker.networks] == [False, True]


@pytest.mark.parametrize(
    ("model", "policy"),
    [
        (PAIR, "whole"),
        (PAIR, "follow"),
        ("movenet-multipose", "follow"),
        ("movenet-lightning", "folow"),
        ("movenet-lightning", "refine"),
        ("movenet-lightning+movenet-thunder", "auto"),
        ("movenet-multipose+posenet", "auto"),
        ("movenet-multipose+", "auto"),
        ("movenet-multipose|posenet", "auto"),
        ("movenet-multipose+thunder", "auto"),
    ],
)
def test_a_pair_that_makes_no_sense_is_refused(model: str, policy: str) -> None:
    """An invalid combination of model and policy is refused at construction."""
    with pytest.raises((UsageError, ModelError), match=r"expected|use|known|needs"):
        PoseEstimator(model, policy=policy)  # type: ignore[arg-type]


def test_refine_asks_for_a_model_that_finds_several() -> None:
    """The error names the model that was given, not the added refiner."""
    with pytest.raises(UsageError, match="several people, such as movenet-multipose") as caught:
        PoseEstimator("movenet-lightning", policy="refine")

    assert "+" not in str(caught.value)


def test_a_second_look_finds_the_same_people_more_surely() -> None:
    """Refinement keeps each person once, and raises the keypoint scores."""
    coarse = estimator("movenet-multipose").estimate(street())

    fine = estimator("movenet-multipose+movenet-thunder").estimate(street())

    assert len(fine) == len(coarse)
    for pose in fine:
        assert (
            max(oks(pose.keypoints, c.keypoints, c.box.area, min_score=0.3) for c in coarse) > 0.6
        )
    assert sum(p.keypoints[:, 2].mean() for p in fine) > sum(
        p.keypoints[:, 2].mean() for p in coarse
    )


def test_a_still_picture_is_looked_at_twice_by_a_network_for_one() -> None:
    """In a still picture the crop around the person is estimated again, which raises scores."""
    far = np.full((900, 1600, 3), 128, dtype=np.uint8)
    far[500:810, 300:470] = street()[PERSON]

    (once,) = estimator("movenet-lightning", "whole").estimate(far, limits=Limits(1, 0))
    (twice,) = estimator("movenet-lightning").estimate(far, limits=Limits(1, 0))

    assert twice.keypoints[:, 2].mean() > once.keypoints[:, 2].mean()


def film(looker: PoseEstimator, frames: Iterator[tuple[int, Image]]) -> dict[int, Seen]:
    """Run frames through the daemon's stages; return people and crops of each frame."""
    follower = Follower(
        tracker=Tracker(), smoother=None, zones=(), posture=PostureReader(), detectors=()
    )
    seen = {}
    for step, image in frames:
        at_ns = step * NS_PER_S // 5
        inputs = looker.prepare(image, follower.predict_people(at_ns), step)
        poses = looker.decode(inputs, looker.infer(inputs))
        tracks, _ = follower.follow(poses, at_ns, Size(image.shape[1], image.shape[0]))
        seen[step] = Seen(
            [look.crop.person is not None for look in inputs.crops],
            [track.pose for track in tracks],
        )
    return seen


def test_it_follows_a_person_across_the_picture_and_finds_them_again() -> None:
    """It follows a person by crops, reports none while away, and finds the person again."""
    away = range(9, 13)

    seen = film(estimator("movenet-lightning"), walk(20, away=away))

    for step in (4, 5, 6, 7, 8, 17, 18, 19):
        (pose,) = seen[step].people
        assert seen[step].crops == [True]
        assert middle(pose) == pytest.approx(185 + 40 * step, abs=40)
    assert not any(seen[step].people for step in away)
    assert seen[11].crops == [False]


def test_it_looks_again_at_a_known_person_in_a_film() -> None:
    """The detector gets the whole picture, the refiner the person's predicted crop."""
    seen = film(estimator(PAIR), walk(8))

    assert seen[0].crops == [False]
    for step in (4, 5, 6, 7):
        (pose,) = seen[step].people
        assert seen[step].crops == [False, True]
        assert middle(pose) == pytest.approx(185 + 40 * step, abs=40)


@pytest.mark.parametrize("model", ["movenet-multipose", "movenet-lightning", PAIR])
def test_it_finds_somebody_who_lies_where_one_fell(model: str) -> None:
    """A search around a fall finds a person who lies sideways or head down."""
    for turns in (1, 2, 3):
        image = np.full((480, 640, 3), 128, dtype=np.uint8)
        lying = np.rot90(street()[PERSON], turns)
        image[100 : 100 + lying.shape[0], 150 : 150 + lying.shape[1]] = lying
        centre = 150 + lying.shape[1] / 2, 100 + lying.shape[0] / 2
        keypoints = np.full((17, 3), 0.5, dtype=np.float32)
        keypoints[:, :2] = centre
        place = FallenPose(keypoints, 0.5, Box(centre[0] - 120, centre[1] - 120, 240, 240))
        looker = estimator(model)
        found = []
        for turn in range(8):
            inputs = looker.prepare(image, [place], turn)
            if any(look.crop.person is place for look in inputs.crops):
                found += looker.decode(inputs, looker.infer(inputs))

        heads = [
            pose.keypoints[0, :2] - pose.keypoints[[11, 12], :2].mean(axis=0) for pose in found
        ]
        up = np.array([(0, -1), (-1, 0), (0, 1), (1, 0)][turns])
        sure = [head @ up > 0.8 * np.hypot(*head) for head in heads]
        assert any(sure)


def test_scores_of_a_detector_are_put_on_the_scale_of_second_looks() -> None:
    """Detection scores are scaled so that the threshold of `refine` applies to them."""
    alone, pair = (
        estimator("movenet-multipose"),
        estimator("movenet-multipose+movenet-thunder-int8"),
    )
    limits = Limits(6, 0.0)

    inputs = pair.prepare(street())
    found = pair.decode(inputs, pair.infer(inputs), limits=limits)

    scores = [pose.score for pose in found if pose.score > 0.3]
    own = [pose.score for pose in alone.estimate(street(), limits=limits)][: len(scores)]
    factor = pair.min_pose_score / alone.min_pose_score
    assert len(scores) >= 2
    assert scores == pytest.approx([min(1.0, factor * score) for score in own])
    assert factor > 1


def test_keeping_pace_bounds_the_looks() -> None:
    """A short frame budget allows one refinement per frame, a long one all of them."""
    looker = PoseEstimator(PAIR, threads=1)
    people = looker.estimate(street()) * 5

    looker.set_frame_budget(1000)
    hurried = looker.prepare(street(), people, 3)
    looker.set_frame_budget(0.1)
    calm = looker.prepare(street(), people, 3)

    assert sum(look.crop.person is not None for look in hurried.crops) == 1
    assert sum(look.crop.person is not None for look in calm.crops) == len(people)


def test_limits_hold_for_second_looks_too() -> None:
    """The maximum number and minimum score apply after refinement, too."""
    looker = estimator(PAIR)
    everybody = looker.estimate(street(), limits=Limits(10, 0.0))

    best = looker.estimate(street(), limits=Limits(1, 0.0))
    sure = looker.estimate(street(), limits=Limits(10, everybody[0].score - 1e-6))

    assert len(everybody) >= 2
    assert len(best) == len(sure) == 1


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)],
    ids=["grey", "floats", "empty"],
)
def test_a_picture_that_is_none_is_refused(picture: Image) -> None:
    """An array of another shape or type raises ValueError."""
    with pytest.raises(ValueError, match="picture is"):
        estimator("movenet-multipose").estimate(picture)


def test_tracks_are_predicted_only_for_policies_that_use_them() -> None:
    """Who looks at the whole picture needs the places of falls alone."""
    assert PoseEstimator("movenet-lightning").uses_tracks
    assert not PoseEstimator("movenet-multipose").uses_tracks
