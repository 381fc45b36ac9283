"""How a body lies: read from many looks at exact and at noisy bodies."""

import numpy as np
import pytest

from edgepose.people.events.falls import SEEMS
from edgepose.people.events.lying import (
    ANKLES,
    HIPS,
    KNEES,
    SHOULDERS,
    Sight,
    joints_of,
    lying,
    smoothed,
    spread,
)
from edgepose.skeleton import figure
from edgepose.timing import NS_PER_S
from tests.support.body import (
    ALL_FOURS,
    BENT,
    CROUCHING,
    KNEELING,
    ON_BACK,
    ON_FACE,
    SITTING,
    SITTING_ON_FLOOR,
    STANDING,
    Actor,
    Camera,
    Scene,
    Stance,
    hold,
    stand,
)

HEADINGS = range(0, 360, 30)


def watched(stance: Stance, heading_deg: float, height: float, *, noisy: bool) -> bool | None:
    """Say whether a body lies that holds still for five seconds; None when its hips are hidden."""

    def looks(holding: Stance) -> list[Sight]:
        camera = Camera(height).aimed_at(4.5)
        actor = Actor.doing(hold("still", holding, 5.0), at=(4.5, 0), heading_deg=heading_deg)
        scene = Scene((actor,), camera)
        seen = scene.observe(10, 7) if noisy else scene.truth(10)
        joints = [
            (m.at_ns, joints_of(figure(pose.keypoints), None))
            for m in seen
            for pose in m.people.values()
        ]
        return [Sight.at(at_ns, each) for at_ns, each in joints if each is not None]

    size = float(np.median([look.torso for look in looks(STANDING)]))
    seen = looks(stance)
    return lying(seen, size) > 0 if seen else None


@pytest.mark.parametrize("height", [0.9, 1.8, 2.6])
@pytest.mark.parametrize("stance", [ON_BACK, ON_FACE], ids=["on the back", "on the face"])
def test_most_of_those_who_lie_are_seen_to(stance: Stance, height: float) -> None:
    """From nearly all sides, exactly seen or with a model's noise."""
    exact = [watched(stance, heading, height, noisy=False) for heading in HEADINGS]
    noisy = [watched(stance, heading, height, noisy=True) for heading in HEADINGS]

    assert exact.count(False) <= 2
    assert exact.count(True) >= 6
    assert noisy.count(False) <= 2


@pytest.mark.parametrize("height", [0.9, 1.8, 2.6])
@pytest.mark.parametrize(
    "stance", [STANDING, SITTING, BENT, CROUCHING], ids=["stands", "sits", "bends", "crouches"]
)
def test_who_is_up_never_lies(stance: Stance, height: float) -> None:
    """From no side, exactly seen."""
    assert not any(watched(stance, heading, height, noisy=False) for heading in HEADINGS)


@pytest.mark.parametrize(
    "stance", [KNEELING, SITTING_ON_FLOOR, ALL_FOURS], ids=["kneels", "sits on the floor", "crawls"]
)
def test_who_is_low_on_purpose_hardly_ever_lies(stance: Stance) -> None:
    """What else tells them is the way down; from the side the body alone does."""
    seen = [watched(stance, heading, 1.6, noisy=False) for heading in HEADINGS]

    assert seen.count(True) <= 1
    assert not watched(stance, 90, 1.6, noisy=False)


def test_a_few_wild_looks_change_nothing() -> None:
    """A third of the looks with a joint across the room leave the body where it is."""
    actor = Actor.doing(stand(3), at=(4.5, 0))
    sights, wild = [], np.array([[0, 0], [0, 0], [900, 0], [0, -500]], np.float32)
    for n, moment in enumerate(Scene((actor,)).truth(10)):
        joints = joints_of(figure(moment.people[0].keypoints), None)
        assert joints is not None
        sights.append(Sight.at(moment.at_ns, joints if n % 3 else joints + wild))
    calm = [sight for n, sight in enumerate(sights) if n % 3]

    assert lying(sights, 100) == pytest.approx(lying(calm, 100), abs=0.1)


def test_hidden_joints_stay_hidden() -> None:
    """A look at somebody who stands without feet is no lying one; without hips there is none."""
    pose = next(iter(Scene((Actor.doing(stand(1)),)).truth())).people[0]
    points = pose.keypoints.copy()
    points[15:, 2] = 0.1
    footless = joints_of(figure(points), None)
    points[11:13, 2] = 0.1

    assert footless is not None
    assert np.isnan(footless[ANKLES]).all()
    assert lying([Sight.at(0, footless)], Sight.at(0, footless).torso) < 0
    assert joints_of(figure(points), None) is None


@pytest.mark.parametrize("pitch_deg", [0, 12, 20])
def test_a_body_in_a_line_on_the_floor_lies_and_upright_does_not(pitch_deg: float) -> None:
    """From any heading, under a level camera and one that looks down, anywhere in any size."""
    line = np.zeros((4, 2))
    line[[SHOULDERS, KNEES, ANKLES], 0] = -1, 0.85, 1.7
    pitch, size = np.radians(pitch_deg), 80.0

    def seen(heading: float, at: tuple[float, float], size: float, *, upright: bool) -> float:
        away, aside = line[:, 0] * np.cos(heading), line[:, 0] * np.sin(heading)
        flat = np.stack([aside, -away * np.sin(pitch)], axis=1)
        stands = np.stack([0 * aside, line[:, 0] * np.cos(pitch)], axis=1)
        joints = np.array(at) + (stands if upright else flat) * size / np.cos(pitch)
        return lying([Sight.at(0, joints.astype(np.float32))], size)

    for heading in np.radians(np.arange(0, 360, 7)):
        down = seen(heading, (0, 0), size, upright=False)

        assert down > SEEMS
        assert seen(heading, (500, 300), 3 * size, upright=False) == pytest.approx(down, abs=1e-3)
        assert seen(heading, (0, 0), size, upright=True) < -0.03


def test_smoothing_follows_and_forgets_nothing() -> None:
    """Far apart looks are taken as they are; a hidden joint does not hide the next one."""
    before = Sight.at(0, np.zeros((4, 2), np.float32))
    now = np.full((4, 2), 10, np.float32)

    assert smoothed(before, 10 * NS_PER_S, now) == pytest.approx(now)
    assert (smoothed(before, NS_PER_S // 100, now) < 1).all()
    hidden = replace_joint(before, np.nan)
    assert smoothed(hidden, NS_PER_S // 100, now)[HIPS] == pytest.approx([10, 10])


def replace_joint(sight: Sight, value: float) -> Sight:
    joints = sight.joints.copy()
    joints[HIPS] = value
    return sight._replace(joints=joints)


def test_spread_tells_swinging_from_trembling() -> None:
    """Of normal errors it is the deviation, whatever a few stray ones do; a swing is more."""
    rng = np.random.default_rng(1)
    places = rng.normal(0, 0.1, (400, 2)).astype(np.float32)
    places[::20] += 5
    swing = np.stack([np.zeros(400), 0.3 * np.sin(np.arange(400) / 5)], axis=1).astype(np.float32)

    assert spread(places) == pytest.approx((0.1, 0.1), rel=0.2)
    assert spread(swing)[1] > 0.25
    assert spread(swing)[0] == 0
