"""Presence: who is there, who came, who went."""

import itertools

import numpy as np

from edgepose.people.events.presence import PresenceDetector
from edgepose.timing import NS_PER_S
from edgepose.types import Box, Event, Pose, Track
from tests.support.contracts.event import DetectorContract

POSE = Pose(np.zeros((17, 3), dtype=np.float32), 0.8, Box(100, 50, 40, 120))


def people(*ids: int) -> list[Track]:
    return [Track(id_, POSE, 0) for id_ in ids]


def feed(
    detector: PresenceDetector, seen: dict[float, list[Track]]
) -> list[tuple[float, str, int | None]]:
    """Feed frames and return what happened, and when in seconds."""
    return [
        (seconds, event.type, event.person)
        for seconds, tracks in seen.items()
        for event in detector.update(tracks, round(seconds * NS_PER_S))
    ]


def frames(start: float, end: float, *ids: int) -> dict[float, list[Track]]:
    """Ten frames a second with these people, from `start` to before `end`."""
    count = round((end - start) * 10)
    return {round(start + i / 10, 3): people(*ids) for i in range(count)}


def test_nobody_is_said_before_anybody_was_seen() -> None:
    """An empty room is a state of its own, from the first moment."""
    assert PresenceDetector().state == {"occupied": False, "count": 0}


def test_a_person_who_stays_is_there_after_half_a_second() -> None:
    """One event, and the state with it; nothing before."""
    detector = PresenceDetector()

    early = feed(detector, frames(0, 0.5, 7))
    before = detector.state
    late = feed(detector, frames(0.5, 2, 7))

    assert early == []
    assert before == {"occupied": False, "count": 0}
    assert late == [(0.5, "person_appeared", 7)]
    assert detector.state == {"occupied": True, "count": 1}


def test_a_glimpse_is_nobody() -> None:
    """What a model sees in single frames does not turn the light on."""
    seen = {}
    for second in range(10):
        seen |= frames(second, second + 0.2, second) | frames(second + 0.2, second + 1)
    detector = PresenceDetector()

    events = feed(detector, seen)

    assert events == []
    assert detector.state["occupied"] is False


def test_a_person_missed_in_every_third_frame_is_there_all_the_same() -> None:
    """Models miss people; presence does not wait for a flawless half second."""
    seen = frames(0, 2, 7)
    for missed in list(seen)[1::3]:
        seen[missed] = []
    detector = PresenceDetector()

    events = feed(detector, seen)

    assert [(type_, person) for _, type_, person in events] == [("person_appeared", 7)]
    assert events[0][0] <= 0.7


def test_leaving_takes_five_seconds_of_absence() -> None:
    """The time runs from the first frame without the person, and is said as the stay's end."""
    detector = PresenceDetector()
    feed(detector, frames(0, 10, 7))

    events = feed(detector, frames(10, 20))

    assert events == [(15.0, "person_left", 7)]
    assert detector.state == {"occupied": False, "count": 0}


def test_a_person_left_says_how_long_they_stayed() -> None:
    """From the first frame to the last, without the times it took to believe it."""
    detector = PresenceDetector()
    feed(detector, frames(3, 10, 7))

    left: list[Event] = []
    for seconds in frames(10, 20):
        left += detector.update([], round(seconds * NS_PER_S))

    assert [event.data for event in left] == [{"stayed_s": 7.0}]
    assert left[0].score == POSE.score


def test_a_short_absence_is_none() -> None:
    """Coming back within the time changes nothing, and the time starts anew."""
    detector = PresenceDetector()
    feed(detector, frames(0, 2, 7))

    events = feed(detector, frames(2, 6.5) | frames(6.5, 6.6, 7) | frames(6.6, 11))

    assert events == []
    assert detector.state["occupied"] is True


def test_a_dead_camera_empties_no_room() -> None:
    """Ten minutes without a frame say nothing; the first frame without anybody starts the time."""
    detector = PresenceDetector()
    feed(detector, frames(0, 2, 7))

    first = feed(detector, {600.0: []})
    then = feed(detector, frames(600.1, 606))

    assert first == []
    assert then == [(605.0, "person_left", 7)]


def test_a_track_that_breaks_is_not_counted_twice() -> None:
    """The count follows the people in the picture, not their ids."""
    detector = PresenceDetector()
    counts = []

    for seconds, tracks in (frames(0, 5, 7) | frames(5, 10, 8)).items():
        detector.update(tracks, round(seconds * NS_PER_S))
        counts.append(detector.state["count"])

    assert [count for count, _ in itertools.groupby(counts)] == [0, 1]


def test_people_are_counted_one_by_one() -> None:
    """Up with each who stays half a second, down with each who is gone for five."""
    detector = PresenceDetector()
    seen = frames(0, 2, 1) | frames(2, 4, 1, 2) | frames(4, 6, 1, 2, 3) | frames(6, 14, 3)
    counts = []

    for seconds, tracks in seen.items():
        detector.update(tracks, round(seconds * NS_PER_S))
        counts.append((detector.state["count"], seconds))

    changes = [next(group) for _, group in itertools.groupby(counts, key=lambda pair: pair[0])]
    assert changes == [(0, 0.0), (1, 0.5), (2, 2.5), (3, 4.5), (1, 11.0)]


def test_the_times_are_settings() -> None:
    """Zero means at once."""
    detector = PresenceDetector(on_s=0, off_s=0)

    events = feed(detector, {0.0: people(7), 0.1: []})

    assert events == [(0.0, "person_appeared", 7), (0.1, "person_left", 7)]


def test_who_comes_back_after_leaving_appears_anew() -> None:
    """Each stay has its own two events."""
    detector = PresenceDetector()

    events = feed(detector, frames(0, 2, 7) | frames(2, 10) | frames(10, 12, 7))

    assert [(type_, person) for _, type_, person in events] == [
        ("person_appeared", 7),
        ("person_left", 7),
        ("person_appeared", 7),
    ]


class TestPresenceDetector(DetectorContract):
    def detector(self) -> PresenceDetector:
        return PresenceDetector()
