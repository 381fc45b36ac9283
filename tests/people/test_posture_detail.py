"""Crouching, kneeling, bending, on all fours and walking, measured on generated bodies."""

from collections import Counter

import numpy as np
import pytest

from edgepose.people.posture import network_inputs
from edgepose.people.posture_detail import DETAILS, PostureDetailReader, detail_shares
from edgepose.timing import NS_PER_S
from edgepose.types import Box, Pose, Track
from tests.support.body import (
    ALL_FOURS,
    BENT,
    CROUCHING,
    KNEELING,
    ON_BACK,
    SITTING,
    STANDING,
    Act,
    Actor,
    Camera,
    Scene,
    Stance,
    hold,
    stand,
    walk,
)
from tests.support.posture_details import LOST, NO_DETAIL, detailed, told

CLEAR = {
    "crouching": CROUCHING,
    "kneeling": KNEELING,
    "bending": BENT,
    "on_all_fours": ALL_FOURS,
}
NONE = {"standing": STANDING, "sitting": SITTING, "lying": ON_BACK}
FIRST = 3_000_000  # seeds that no network was trained on


def settled(
    acts: list[Act], heading_deg: float = 90.0, at: tuple[float, float] = (4.5, -1.0)
) -> list[str | None]:
    """Return the detail of each exact frame of a person some metres away, ten a second."""
    actor = Actor.doing(acts, at=at, heading_deg=heading_deg)
    reader, found = PostureDetailReader(), []
    for moment in Scene((actor,), Camera(1.6).aimed_at(4.5)).truth(10):
        found += [track.posture_detail for track in reader.update(moment.tracks(), moment.at_ns)]
    return found


@pytest.mark.parametrize("name", CLEAR)
@pytest.mark.parametrize("heading", [60, 120, 240, 300])
def test_a_clear_view_is_read_rightly(name: str, heading: float) -> None:
    """Obliquely from the front and from behind, on both sides."""
    assert settled([hold("low", CLEAR[name], 2.0)], heading)[-1] == name


@pytest.mark.parametrize("stance", NONE.values(), ids=NONE)
def test_a_usual_posture_has_no_detail(stance: Stance) -> None:
    """Standing, sitting and lying need none, from any side."""
    for heading in range(0, 360, 45):
        assert set(settled([hold("usual", stance, 2.0)], heading)) == {None}


@pytest.mark.parametrize("heading", [0, 90, 180])
def test_walking_begins_and_ends_with_the_steps(heading: float) -> None:
    """Within two seconds after the first and the last step."""
    found = settled([stand(3), walk(3, 1.1), stand(4)], heading, at=(6.5, -1.0))

    assert set(found[:30]) == {None}
    assert found[55] == "walking"
    assert set(found[-15:]) == {None}


def test_it_is_right_on_generated_bodies() -> None:
    """With large errors of pose models, under any camera; docs/events.md has the whole table."""
    right, seen, false, calm = Counter[str](), Counter[str](), 0, 0
    for seed in range(FIRST, FIRST + 60):
        scene = detailed(seed, walks=False)
        for frame, word in enumerate(told(scene)):
            recent = set(scene.details[max(0, frame - round(scene.fps)) : frame + 1].tolist())
            truth = int(scene.details[frame])
            if word == LOST or len(recent) > 1 or truth < 0:
                continue
            if truth:
                seen[DETAILS[truth - 1]] += 1
                right[DETAILS[truth - 1]] += word == DETAILS[truth - 1]
            else:
                calm, false = calm + 1, false + (word != NO_DETAIL)

    assert all(right[name] > 0.5 * seen[name] for name in DETAILS)
    assert false < 0.16 * calm


def test_walking_is_right_on_generated_bodies() -> None:
    """Settled walks of all speeds and directions, against standing, turning and exercise."""
    right = walks = false = calm = 0
    for seed in range(FIRST, FIRST + 40):
        scene = detailed(seed, walks=True)
        for frame, word in enumerate(told(scene)):
            window = scene.walks[max(0, frame - round(2 * scene.fps)) : frame + 1]
            if word == LOST or len(set(window.tolist())) > 1:
                continue
            walks, right = walks + window[0], right + (window[0] and word == "walking")
            calm, false = calm + (not window[0]), false + (not window[0] and word == "walking")

    assert right > 0.6 * walks
    assert false < 0.05 * calm


def test_a_lost_person_is_forgotten() -> None:
    """Who comes back later begins anew, and nothing stays in memory."""
    reader = PostureDetailReader()
    moment = next(iter(Scene((Actor.doing(hold("low", BENT, 1.0)),)).truth()))
    reader.update(moment.tracks(), 0)

    assert reader.update([], 3 * NS_PER_S) == []
    assert not reader._people


def test_a_body_without_a_visible_joint_has_no_detail() -> None:
    """Its numbers are no NaN."""
    nothing = np.zeros((1, 17, 3), np.float32)
    shares = detail_shares(network_inputs(nothing, 0.2))

    assert shares.sum() == pytest.approx(1, abs=1e-4)
    track = Track(1, Pose(nothing[0], 0.3, Box(0, 0, 1, 1)), 0)
    assert PostureDetailReader().update([track], 0)[0].posture_detail is None
