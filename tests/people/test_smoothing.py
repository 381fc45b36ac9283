"""Smoothing: less jitter, little delay."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from edgepose.geometry import box_around
from edgepose.people.smoothing import Smoother, SmootherOptions
from edgepose.skeleton import LEFT_WRIST, NOSE
from edgepose.timing import NS_PER_S
from edgepose.types import Box, Floats, Pose, Track
from tests.support.walks import LOOSE, Noise, Walker

BODY = cast(Floats, Walker(((0, 600, 600), (100, 600, 600))).body(0))
HEIGHT = 200.0
FOREVER_S = 20.0


def track(keypoints: Floats, person: int = 1, score: float = 0.8) -> Track:
    keypoints = keypoints.copy()
    keypoints[:, 2] = np.minimum(keypoints[:, 2], score)
    return Track(person, Pose(keypoints, score, box_around(keypoints)), 0)


def noisy(body: Floats, rng: np.random.Generator) -> Floats:
    spread = Noise().jitter * HEIGHT * LOOSE[:, None]
    return body + np.pad(rng.normal(0, spread, (17, 2)), ((0, 0), (0, 1))).astype(np.float32)


def waving(at_s: float) -> Floats:
    """Move the left wrist on a circle of radius height / 6, once per second."""
    body = BODY.copy()
    turn = 2 * np.pi * at_s
    body[LEFT_WRIST, :2] += HEIGHT / 6 * np.array([np.cos(turn), np.sin(turn) - 2])
    return body


def film(
    fps: float, *, wave: bool, options: SmootherOptions | None = None
) -> tuple[Floats, Floats, Floats]:
    """Return true, observed and smoothed keypoints (frames, 17, 2)."""
    rng, smoother = np.random.default_rng(0), Smoother(options)
    times = np.arange(0, FOREVER_S, 1 / fps)
    truth = [waving(at_s) if wave else BODY for at_s in times]
    seen = [noisy(body, rng) for body in truth]
    smooth = [
        smoother.smooth([track(body)], round(at_s * NS_PER_S))[0].pose.keypoints
        for body, at_s in zip(seen, times, strict=True)
    ]
    return np.stack(truth)[:, :, :2], np.stack(seen)[:, :, :2], np.stack(smooth)[:, :, :2]


def shake(bodies: Floats) -> float:
    """Return the root mean square difference between frames, in pixels."""
    return float(np.sqrt((np.diff(bodies, axis=0) ** 2).mean()))


def late_s(truth: Floats, smooth: Floats, fps: float) -> float:
    """Return the wrist's delay at one turn per second, by its phase."""
    times = np.arange(len(truth)) / fps
    turn = np.exp(-2j * np.pi * times)
    was, came = ((b[:, LEFT_WRIST, 0] - b[:, LEFT_WRIST, 0].mean()) @ turn for b in (truth, smooth))
    return float(-np.angle(came / was) / (2 * np.pi))


def wrist_reach(truth: Floats, smooth: Floats) -> float:
    """Return the wrist's smoothed amplitude relative to the true one."""
    spread = smooth[:, LEFT_WRIST].std(axis=0) / truth[:, LEFT_WRIST].std(axis=0)
    return float(spread.min())


@pytest.mark.parametrize(("fps", "part"), [(10, 0.35), (15, 0.25), (30, 0.16)])
def test_a_person_standing_still_stands_still(fps: float, part: float) -> None:
    """The jitter is reduced, the more so at higher frame rates."""
    _, seen, smooth = film(fps, wave=False)

    assert shake(smooth) < part * shake(seen)


@pytest.mark.parametrize("fps", [10, 15, 30])
def test_a_waving_hand_is_hardly_late(fps: float) -> None:
    """At one turn per second the wrist lags less than 30 ms and keeps its amplitude."""
    truth, _, smooth = film(fps, wave=True)

    assert abs(late_s(truth, smooth, fps)) < 0.03
    assert wrist_reach(truth, smooth) > 0.95


@pytest.mark.parametrize("factor", [0.25, 4])
def test_near_and_far_people_are_treated_alike(factor: float) -> None:
    """The result scales with the size of the person."""
    rng, small, large = np.random.default_rng(0), Smoother(), Smoother()
    for frame in range(30):
        body = noisy(waving(frame / 10), rng)
        grown = body * np.array([factor, factor, 1], np.float32)

        one = small.smooth([track(body)], frame * NS_PER_S // 10)[0].pose
        other = large.smooth([track(grown)], frame * NS_PER_S // 10)[0].pose

        assert other.keypoints[:, :2] == pytest.approx(factor * one.keypoints[:, :2], rel=1e-4)


def test_two_short_steps_do_what_a_long_one_does() -> None:
    """With an unchanged pose in between, the result depends on the elapsed time only."""
    options = SmootherOptions(prompt=0)
    moved = BODY + np.array([30, 0, 0], np.float32)
    once, twice = Smoother(options), Smoother(options)
    for smoother in (once, twice):
        smoother.smooth([track(BODY)], 0)

    at_once = once.smooth([track(moved)], NS_PER_S // 5)[0].pose.keypoints
    twice.smooth([track(moved)], NS_PER_S // 20)
    in_steps = twice.smooth([track(moved)], NS_PER_S // 5)[0].pose.keypoints

    assert in_steps == pytest.approx(at_once, abs=1e-3)


def test_after_a_gap_it_starts_anew() -> None:
    """After a gap the pose is not smoothed."""
    smoother = Smoother()
    smoother.smooth([track(BODY)], 0)
    moved = BODY + np.array([300, 0, 0], np.float32)

    after = smoother.smooth([track(moved)], NS_PER_S)[0].pose

    assert after.keypoints[:, :2] == pytest.approx(moved[:, :2])


def test_a_doubtful_keypoint_drags_nothing() -> None:
    """A keypoint with a low score is not smoothed and does not affect later frames."""
    disturbed, calm = Smoother(), Smoother()
    for smoother in (disturbed, calm):
        smoother.smooth([track(BODY)], 0)
    astray = BODY.copy()
    astray[NOSE] = (0, 0, 0.05)
    moved = track(BODY + np.array([5, 0, 0], np.float32))

    during = disturbed.smooth([track(astray)], NS_PER_S // 10)[0].pose.keypoints
    after = disturbed.smooth([moved], NS_PER_S // 5)[0].pose.keypoints

    assert during[NOSE] == pytest.approx(astray[NOSE])
    expected = calm.smooth([moved], NS_PER_S // 5)[0].pose.keypoints
    assert after[NOSE] == pytest.approx(expected[NOSE])


def test_a_joint_that_was_long_hidden_starts_anew() -> None:
    """A joint that was hidden for a second is not smoothed when it returns."""
    smoother = Smoother(SmootherOptions(prompt=0))
    smoother.smooth([track(BODY)], 0)
    hidden, elsewhere = BODY.copy(), BODY.copy()
    hidden[LEFT_WRIST, 2] = 0.05
    elsewhere[LEFT_WRIST, :2] += 100
    for frame in range(1, 10):
        smoother.smooth([track(hidden)], frame * NS_PER_S // 10)

    back = smoother.smooth([track(elsewhere)], NS_PER_S)[0].pose.keypoints

    assert back[LEFT_WRIST, :2] == pytest.approx(elsewhere[LEFT_WRIST, :2])


def test_people_do_not_touch_each_other() -> None:
    """Two people are smoothed independently, in any order."""
    rng = np.random.default_rng(0)
    both, alone = Smoother(), Smoother()
    for frame in range(20):
        at_ns = frame * NS_PER_S // 10
        one = track(noisy(BODY, rng))
        other = track(noisy(BODY, rng) + np.array([200, 0, 0], np.float32), person=2)
        pair = [one, other] if frame % 2 else [other, one]

        together = both.smooth(pair, at_ns)
        single = alone.smooth([one], at_ns)[0]

        assert [t.id for t in together] == [t.id for t in pair]
        assert together[pair.index(one)].pose.keypoints == pytest.approx(single.pose.keypoints)


def test_it_changes_positions_and_nothing_else() -> None:
    """Scores, id, times, posture and zones are unchanged; the box moves with the keypoints."""
    smoother, rng = Smoother(), np.random.default_rng(0)
    given = [replace(track(noisy(BODY, rng)), posture="sitting", zones=("sofa",)) for _ in range(2)]

    smoother.smooth(given[:1], 0)
    result = smoother.smooth(given[1:], NS_PER_S // 10)[0]

    assert (result.id, result.since_ns) == (given[1].id, given[1].since_ns)
    assert (result.posture, result.zones) == ("sitting", ("sofa",))
    assert (result.pose.keypoints[:, 2] == given[1].pose.keypoints[:, 2]).all()
    assert result.pose.score == given[1].pose.score
    low, high = sorted([given[0].pose.box.x, given[1].pose.box.x])
    assert low <= result.pose.box.x <= high


@pytest.mark.filterwarnings("error")
def test_times_that_do_not_increase_move_nothing() -> None:
    """A pose at the same or an earlier time has no effect."""
    smoother = Smoother()
    first = smoother.smooth([track(BODY)], NS_PER_S)[0].pose
    moved = track(BODY + np.array([50, 0, 0], np.float32))

    again = smoother.smooth([moved], NS_PER_S)[0].pose
    earlier = smoother.smooth([moved], NS_PER_S - 1)[0].pose

    for pose in (again, earlier):
        assert pose.keypoints == pytest.approx(first.keypoints)


@pytest.mark.filterwarnings("error")
def test_strange_bodies_leave_no_trace_of_nan() -> None:
    """Empty boxes, coincident points and zero scores give finite numbers."""
    smoother, rng = Smoother(), np.random.default_rng(0)
    point = np.tile(np.array([[5, 5, 0.9]], np.float32), (17, 1))

    for frame in range(50):
        body = point * np.array([1, 1, rng.integers(0, 2)], np.float32)
        pose = Pose(body, 0.5, Box(5, 5, 0, 0))
        at_ns = int(frame * rng.choice([0, 1, 3]) * NS_PER_S / 30)
        for result in smoother.smooth([Track(1, pose, 0)], at_ns):
            assert np.isfinite(result.pose.keypoints).all()
            assert np.isfinite(result.pose.box).all()


def test_whoever_is_gone_leaves_nothing_behind() -> None:
    """Only recent people are remembered, so memory is bounded."""
    smoother = Smoother()

    for frame in range(500):
        smoother.smooth([track(BODY, person=frame)], frame * NS_PER_S // 10)
    remembered = len(smoother._known)
    smoother.smooth([], 100 * NS_PER_S)

    assert remembered <= 10
    assert not smoother._known
