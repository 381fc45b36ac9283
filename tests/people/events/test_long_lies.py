"""Long lies: reported if a person lies on the floor for too long, not otherwise."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from edgepose.config.loading import loads
from edgepose.config.schema import Camera
from edgepose.people import build
from edgepose.people.events.long_lies import LongLieDetector
from edgepose.people.posture import PostureReader
from edgepose.timing import NS_PER_S
from edgepose.types import Box, Event, Pose, Posture, Track
from tests.support.contracts.event import DetectorContract
from tests.support.homes import CALM, LONG, Minutes, many
from tests.support.scenes import REST

FLOOR = Box(100, 100, 200, 60)


def lying(posture: Posture = "lying", person: int = 7, box: Box = FLOOR) -> list[Track]:
    """Return one person on the floor with a given posture."""
    return [Track(person, Pose(np.zeros((17, 3), np.float32), 0.8, box), 0, posture)]


def feed(
    detector: LongLieDetector, tracks: Iterable[list[Track]], first_s: float = 0, fps: int = 5
) -> list[Event]:
    moments = enumerate(tracks)
    return [
        event
        for n, seen in moments
        for event in detector.update(seen, round((first_s + n / fps) * NS_PER_S))
    ]


def seconds(tracks: list[Track], length_s: float, fps: int = 5) -> list[list[Track]]:
    return [tracks] * round(length_s * fps)


def told(scene: Minutes) -> tuple[list[Event], LongLieDetector]:
    """Run a generated scene through posture and the detector."""
    reader, detector = PostureReader(), LongLieDetector([REST])
    events: list[Event] = []
    for moment in scene.scene.observe(scene.fps, scene.seed):
        tracks = reader.update(moment.tracks(), moment.at_ns)
        if scene.resting:
            tracks = [replace(track, zones=(REST.id,)) for track in tracks]
        events += detector.update(tracks, moment.at_ns)
    return events, detector


def test_it_is_told_once_and_held_until_the_person_is_up() -> None:
    """The event comes once; the state is on until the person stands."""
    detector = LongLieDetector()

    events = feed(detector, seconds(lying(), 90))
    held = detector.state["long_lie"]
    again = feed(detector, seconds(lying("standing"), 10), 90)

    assert [event.type for event in events] == ["long_lie"]
    assert events[0].data["duration_s"] == pytest.approx(60, abs=0.5)
    assert events[0].data["where"] == [200.0, 130.0]
    assert held
    assert again == []
    assert detector.state == {"long_lie": False}


def test_lost_looks_and_new_ids_change_nothing() -> None:
    """Gaps in detection and new ids do not reset the time."""
    detector = LongLieDetector()
    looks = []
    for person in range(1, 11):
        looks += seconds(lying(person=person), 4) + seconds([], 4)

    events = feed(detector, looks)

    assert [event.type for event in events] == ["long_lie"]
    assert 60 <= events[0].at_ns / NS_PER_S <= 66


def test_who_is_gone_ends_it() -> None:
    """The state is off `gone_s` after the last detection."""
    detector = LongLieDetector(gone_s=30)
    feed(detector, seconds(lying(), 70))

    feed(detector, seconds([], 25), 70)
    before = detector.state["long_lie"]
    feed(detector, seconds([], 10), 95)

    assert before
    assert not detector.state["long_lie"]


def test_somebody_else_far_away_does_not_go_on_with_it() -> None:
    """A person elsewhere does not continue the time of another one."""
    detector = LongLieDetector()
    feed(detector, seconds(lying(), 20))

    events = feed(detector, seconds(lying(person=8, box=Box(900, 100, 200, 60)), 55), 20)

    assert events == []


@pytest.mark.parametrize("other", ["sitting", "standing"])
def test_a_person_misread_now_and_then_does_not_lie(other: Posture) -> None:
    """A posture that is wrong in a third of the frames does not raise an alarm."""
    detector = LongLieDetector()
    looks = [lying() if n % 9 < 3 else lying(other) for n in range(5 * 300)]

    assert feed(detector, looks) == []


def test_lying_in_a_rest_zone_is_none() -> None:
    """Lying in a rest zone does not count, also after lying outside of it."""
    detector = LongLieDetector([REST])
    (person,) = lying()

    events = feed(detector, seconds([person], 40))
    events += feed(detector, seconds([replace(person, zones=("bed",))], 200), 40)

    assert events == []
    assert not detector.state["long_lie"]


def test_zero_seconds_turn_it_off() -> None:
    """With `long_lie_s = 0` there is no detector and no state."""
    config = loads("[events]\nlong_lie_s = 0\n", "test")

    assert not any(
        isinstance(each, LongLieDetector)
        for each in build.detectors(config, Camera(id="hall", source="-"))
    )


@pytest.mark.slow
def test_whoever_lies_too_long_is_told_of() -> None:
    """At least six of seven generated long lies are reported."""
    scenes = many(6, list(LONG), 7_000)
    found = 0
    for scene in scenes:
        truth = next(label for label in scene.scene.labels if label.name == "lying")
        at_s = [event.at_ns / NS_PER_S for event in told(scene)[0]]
        found += any(truth.start_s + 50 <= each <= truth.end_s for each in at_s)

    assert found >= len(scenes) * 6 / 7


@pytest.mark.slow
@pytest.mark.parametrize("kind", CALM)
def test_daily_life_tells_of_none(kind: str) -> None:
    """Generated daily activities of minutes give at most one false alarm in six."""
    false = sum(len(told(scene)[0]) for scene in many(6, [kind], 7_000))

    assert false <= 1


class TestContract(DetectorContract):
    def detector(self) -> LongLieDetector:
        return LongLieDetector(long_lie_s=8)
