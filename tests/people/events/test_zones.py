"""Zone events: entering, leaving, occupancy, dwell time."""

import itertools

import numpy as np

from edgepose.people.events.presence import PresenceDetector
from edgepose.people.events.zones import ZoneDetector
from edgepose.people.tracking import TrackerOptions
from edgepose.people.zones import Zone, locate
from edgepose.timing import NS_PER_S
from edgepose.types import Box, Event, Pose, Size, Track
from tests.support.contracts.event import DetectorContract

FRAME = Size(400, 200)
SOFA = Zone("sofa", ((0.25, 0.5), (0.5, 0.5), (0.5, 1.0), (0.25, 1.0)), kind="rest")
DOOR = Zone("door", ((0.45, 0.5), (0.75, 0.5), (0.75, 1.0), (0.45, 1.0)))


def someone(x: float, person: int = 7, zones: tuple[Zone, ...] = (SOFA,)) -> list[Track]:
    """Return a person with the feet at `x` pixels; the sofa extends from 100 to 200."""
    keypoints = np.zeros((17, 3), dtype=np.float32)
    keypoints[15:] = x, 150, 0.9
    return locate([Track(person, Pose(keypoints, 0.8, Box(x, 50, 40, 120)), 0)], zones, FRAME)


def feed(detector: ZoneDetector, moments: list[tuple[float, list[Track]]]) -> list[Event]:
    return [
        event
        for seconds, tracks in moments
        for event in detector.update(tracks, round(seconds * NS_PER_S))
    ]


def test_an_event_needs_half_a_second_on_the_other_side() -> None:
    """Events fire after 0.5 s inside or outside, not on brief border crossings."""
    detector = ZoneDetector([SOFA])
    walk = {0.0: 150, 0.3: 90, 0.4: 150, 0.8: 150, 0.9: 150, 2.0: 150}
    moments = [(s, someone(x)) for s, x in walk.items()] + [(3.0, []), (5.0, [])]

    events = [
        (seconds, event.type)
        for seconds, tracks in moments
        for event in detector.update(tracks, round(seconds * NS_PER_S))
    ]

    assert events == [(0.9, "zone_entered"), (5.0, "zone_left")]


def test_nobody_leaves_whose_id_still_waits() -> None:
    """A lost person stays in the zone for as long as the tracker keeps the id."""
    detector = ZoneDetector([SOFA])
    feed(detector, [(s / 10, someone(150)) for s in range(10)])

    said = [(s / 10, feed(detector, [(1 + s / 10, [])])) for s in range(40)]

    assert [s for s, events in said if events] == [TrackerOptions().lost_s]


def test_leaving_says_which_zone_and_for_how_long() -> None:
    """`dwell_s` is the time from the first frame inside to the first one outside."""
    detector = ZoneDetector([SOFA])
    inside = [(s / 10, someone(150)) for s in range(10, 100)]
    outside = [(s / 10, someone(300)) for s in range(100, 120)]

    entered, left = feed(detector, inside + outside)

    assert (entered.type, entered.data, entered.person) == ("zone_entered", {"zone": "sofa"}, 7)
    assert (left.type, left.data) == ("zone_left", {"zone": "sofa", "dwell_s": 9.0})
    assert left.at_ns == round(10.5 * NS_PER_S)


def test_a_restless_foot_on_the_border_rings_nothing() -> None:
    """Crossing the border ten times a second gives no event."""
    detector = ZoneDetector([SOFA])

    events = feed(detector, [(s / 10, someone(99 + s % 2 * 4)) for s in range(100)])

    assert events == []


def test_a_person_missed_for_a_moment_stays_where_they_were() -> None:
    """Missed frames neither restart entering nor cause leaving."""
    detector = ZoneDetector([SOFA])
    moments = [(s / 10, someone(150) if s % 3 else []) for s in range(1, 100)]

    events = feed(detector, moments)

    assert [event.type for event in events] == ["zone_entered"]
    assert events[0].at_ns <= round(0.7 * NS_PER_S)


def test_a_person_missed_for_a_second_has_left_nothing() -> None:
    """An absence of 1.5 s does not split the visit; `dwell_s` ends at the last detection."""
    detector = ZoneDetector([SOFA])
    seen = [*range(20), *range(35, 60)]
    moments = [(s / 10, someone(150) if s in seen else []) for s in range(90)]

    entered, left = feed(detector, moments)

    assert (entered.type, left.type) == ("zone_entered", "zone_left")
    assert left.data["dwell_s"] == 6.0


def test_zones_that_overlap_are_entered_both() -> None:
    """A person where two zones overlap is in both."""
    detector = ZoneDetector([SOFA, DOOR])
    both = (SOFA, DOOR)

    events = feed(detector, [(s / 10, someone(190, zones=both)) for s in range(10)])

    assert [event.data["zone"] for event in events] == ["sofa", "door"]
    assert detector.state == {
        "zones": {
            "sofa": {"occupied": True, "count": 1},
            "door": {"occupied": True, "count": 1},
        }
    }


def test_every_zone_has_a_state_before_anybody_came() -> None:
    """The initial state of every zone is unoccupied with count 0."""
    detector = ZoneDetector([SOFA, DOOR])

    empty = {"occupied": False, "count": 0}
    assert detector.state == {"zones": {"sofa": empty, "door": empty}}


def test_the_count_of_a_zone_outlasts_a_short_absence() -> None:
    """The zone's count does not change during a short absence, also with a new id."""
    detector = ZoneDetector([SOFA], off_s=5.0)
    counts = []
    moments = [(s / 10, someone(150, person=7)) for s in range(50)]
    moments += [(s / 10, []) for s in range(50, 75)]
    moments += [(s / 10, someone(150, person=8)) for s in range(75, 100)]
    moments += [(s / 10, []) for s in range(100, 200)]

    events = []
    for seconds, tracks in moments:
        events += detector.update(tracks, round(seconds * NS_PER_S))
        counts.append(detector.state["zones"]["sofa"]["count"])

    assert [(event.type, event.person) for event in events] == [
        ("zone_entered", 7),
        ("zone_left", 7),
        ("zone_entered", 8),
        ("zone_left", 8),
    ]
    assert [count for count, _ in itertools.groupby(counts)] == [0, 1, 0]


def test_people_in_a_zone_are_counted() -> None:
    """Two of three people are inside, so the count is 2."""
    detector = ZoneDetector([SOFA])
    two = [(s / 10, someone(150, 1) + someone(120, 2) + someone(300, 3)) for s in range(10)]

    events = feed(detector, two)

    assert [event.person for event in events] == [1, 2]
    assert detector.state["zones"]["sofa"] == {"occupied": True, "count": 2}


class TestZoneDetector(DetectorContract):
    def detector(self) -> ZoneDetector:
        return ZoneDetector([SOFA])


def test_a_zone_forgets_people_as_soon_as_the_camera_does() -> None:
    """A zone's count never exceeds the camera's."""
    zone, camera = ZoneDetector([SOFA], off_s=5.0), PresenceDetector(off_s=5.0)
    counts = []
    for tenth in range(120):
        tracks = someone(150) if tenth < 30 else []
        for detector in (zone, camera):
            detector.update(tracks, round(tenth / 10 * NS_PER_S))
        counts.append((zone.state["zones"]["sofa"]["count"], camera.state["count"]))

    assert all(inside <= there for inside, there in counts)
    assert counts[-1] == (0, 0)
    assert (1, 1) in counts
