"""Presence: people who are there, appear and leave."""

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
    """Process frames; return the events with their times in seconds."""
    return [
        (seconds, event.type, event.person)
        for seconds, tracks in seen.items()
        for event in detector.update(tracks, round(seconds * NS_PER_S))
    ]


def frames(start: float, end: float, *ids: int) -> dict[float, list[Track]]:
    """Return frames at 10 fps with these people, from `start` to before `end`."""
    count = round((end - start) * 10)
    return {round(start + i / 10, 3): people(*ids) for i in range(count)}


def test_nobody_is_said_before_anybody_was_seen() -> None:
    """The initial state is unoccupied with count 0."""
    assert PresenceDetector().state == {"occupied": False, "count": 0}


def test_a_person_who_stays_is_there_after_half_a_second() -> None:
    """`person_appeared` fires after 0.5 s in view; the state changes with it."""
    detector = PresenceDetector()

    early = feed(detector, frames(0, 0.5, 7))
    before = detector.state
    late = feed(detector, frames(0.5, 2, 7))

    assert early == []
    assert before == {"occupied": False, "count": 0}
    assert late == [(0.5, "person_appeared", 7)]
    assert detector.state == {"occupied": True, "count": 1}


def test_a_glimpse_is_nobody() -> None:
    """Detections of 0.2 s do not change the state."""
    seen = {}
    for second in range(10):
        seen |= frames(second, second + 0.2, second) | frames(second + 0.2, second + 1)
    detector = PresenceDetector()

    events = feed(detector, seen)

    assert events == []
    assert detector.state["occupied"] is False


def test_a_person_missed_in_every_third_frame_is_there_all_the_same() -> None:
    """Missing every third frame delays the event by at most 0.2 s."""
    seen = frames(0, 2, 7)
    for missed in list(seen)[1::3]:
        seen[missed] = []
    detector = PresenceDetector()

    events = feed(detector, seen)

    assert [(type_, person) for _, type_, person in events] == [("person_appeared", 7)]
    assert events[0][0] <= 0.7


def test_leaving_takes_five_seconds_of_absence() -> None:
    """`person_left` fires 5 s after the last frame with the person."""
    detector = PresenceDetector()
    feed(detector, frames(0, 10, 7))

    events = feed(detector, frames(10, 20))

    assert events == [(15.0, "person_left", 7)]
    assert detector.state == {"occupied": False, "count": 0}


def test_a_person_left_says_how_long_they_stayed() -> None:
    """`stayed_s` is the time from the first to the last frame with the person."""
    detector = PresenceDetector()
    feed(detector, frames(3, 10, 7))

    left: list[Event] = []
    for seconds in frames(10, 20):
        left += detector.update([], round(seconds * NS_PER_S))

    assert [event.data for event in left] == [{"stayed_s": 7.0}]
    assert left[0].score == POSE.score


def test_a_short_absence_is_none() -> None:
    """A return within 5 s gives no event and restarts the time."""
    detector = PresenceDetector()
    feed(detector, frames(0, 2, 7))

    events = feed(detector, frames(2, 6.5) | frames(6.5, 6.6, 7) | frames(6.6, 11))

    assert events == []
    assert detector.state["occupied"] is True


def test_a_dead_camera_empties_no_room() -> None:
    """A gap without frames does not count as absence."""
    detector = PresenceDetector()
    feed(detector, frames(0, 2, 7))

    first = feed(detector, {600.0: []})
    then = feed(detector, frames(600.1, 606))

    assert first == []
    assert then == [(605.0, "person_left", 7)]


def test_a_track_that_breaks_is_not_counted_twice() -> None:
    """The count does not change if a track continues under a new id."""
    detector = PresenceDetector()
    counts = []

    for seconds, tracks in (frames(0, 5, 7) | frames(5, 10, 8)).items():
        detector.update(tracks, round(seconds * NS_PER_S))
        counts.append(detector.state["count"])

    assert [count for count, _ in itertools.groupby(counts)] == [0, 1]


def test_people_are_counted_one_by_one() -> None:
    """The count rises 0.5 s after a person appears, and falls 5 s after one has gone."""
    detector = PresenceDetector()
    seen = frames(0, 2, 1) | frames(2, 4, 1, 2) | frames(4, 6, 1, 2, 3) | frames(6, 14, 3)
    counts = []

    for seconds, tracks in seen.items():
        detector.update(tracks, round(seconds * NS_PER_S))
        counts.append((detector.state["count"], seconds))

    changes = [next(group) for _, group in itertools.groupby(counts, key=lambda pair: pair[0])]
    assert changes == [(0, 0.0), (1, 0.5), (2, 2.5), (3, 4.5), (1, 11.0)]


def test_the_times_are_settings() -> None:
    """With times of zero the events fire at once."""
    detector = PresenceDetector(on_s=0, off_s=0)

    events = feed(detector, {0.0: people(7), 0.1: []})

    assert events == [(0.0, "person_appeared", 7), (0.1, "person_left", 7)]


def test_who_comes_back_after_leaving_appears_anew() -> None:
    """A return after leaving is a new `person_appeared`."""
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
