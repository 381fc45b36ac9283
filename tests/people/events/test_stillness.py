"""Stillness: people who have not moved for long; a lost track is no movement."""

from dataclasses import replace

import numpy as np
import pytest

from edgepose.config.loading import loads
from edgepose.config.schema import Camera
from edgepose.people import build
from edgepose.people.events.stillness import StillnessDetector
from edgepose.timing import NS_PER_S
from edgepose.types import Box, Event, Pose, Track
from tests.support.contracts.event import DetectorContract


def person(number: int = 7, *, moving: bool = False, x: float = 100) -> Track:
    pose = Pose(np.zeros((17, 3), np.float32), 0.8, Box(x, 100, 60, 200))
    return replace(Track(number, pose, 0), moving=moving)


def feed(
    detector: StillnessDetector, tracks: list[Track], start_s: float, end_s: float
) -> list[Event]:
    times = np.arange(start_s, end_s, 0.5).tolist()
    return [event for s in times for event in detector.update(tracks, round(s * NS_PER_S))]


def test_it_is_told_once_and_again_when_the_person_moves() -> None:
    """Both events contain the duration; the state has the time of the last movement."""
    detector = StillnessDetector(still_s=30)
    feed(detector, [person(moving=True)], 0, 10)

    still = feed(detector, [person()], 10, 60)
    state = detector.state
    moved = feed(detector, [person(moving=True)], 60, 61)

    assert [(e.type, e.person, e.data["still_s"]) for e in still] == [("person_still", 7, 30)]
    assert state == {"moving": False, "still": True, "still_since_ns": round(9.5 * NS_PER_S)}
    assert [(e.type, e.data["still_s"]) for e in moved] == [("person_moved", 50.5)]
    assert detector.state == {"moving": True, "still": False, "still_since_ns": None}


def test_one_who_moves_is_movement_of_the_camera() -> None:
    """The event is per person; the camera's state is still only if all people are."""
    detector = StillnessDetector(still_s=30)

    events = feed(detector, [person(), person(8, moving=True, x=900)], 0, 60)

    assert [(event.type, event.person) for event in events] == [("person_still", 7)]
    assert detector.state["still"] is False
    assert detector.state["moving"] is True


def test_a_lost_and_found_person_has_not_moved() -> None:
    """A new id at the same place is no movement."""
    detector = StillnessDetector(still_s=60)
    events = []
    for number in range(1, 9):
        start_s = 10.0 * number
        events += feed(detector, [person(number)], start_s, start_s + 5)
        events += feed(detector, [], start_s + 5, start_s + 10)

    assert [event.type for event in events] == ["person_still"]


def test_the_cameras_movement_outlasts_a_pause() -> None:
    """The camera's `moving` stays on during short pauses, to limit the number of messages."""
    detector = StillnessDetector()
    feed(detector, [person(moving=True)], 0, 1)

    feed(detector, [person()], 1, 5)
    pause = detector.state["moving"]
    feed(detector, [person()], 5, 8)

    assert pause
    assert not detector.state["moving"]


def test_an_empty_room_is_not_still() -> None:
    """Without people the state is not still."""
    detector = StillnessDetector(still_s=30, gone_s=20)
    feed(detector, [person()], 0, 40)
    before = detector.state["still"]

    feed(detector, [], 40, 70)

    assert before
    assert detector.state == {"moving": False, "still": False, "still_since_ns": None}


@pytest.mark.parametrize(("seconds", "there"), [(0, False), (120, True)])
def test_zero_seconds_turn_it_off(seconds: int, there: bool) -> None:
    config = loads(f"[events]\nstill_s = {seconds}\n", "test")

    found = [
        isinstance(each, StillnessDetector)
        for each in build.detectors(config, Camera(id="hall", source="-"))
    ]

    assert any(found) is there


class TestContract(DetectorContract):
    def detector(self) -> StillnessDetector:
        return StillnessDetector(still_s=5)
