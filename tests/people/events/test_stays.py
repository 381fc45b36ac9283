"""Stays: a long stay in a zone is reported while it lasts."""

from dataclasses import replace

import numpy as np
import pytest

from edgepose.config.loading import loads
from edgepose.people import build
from edgepose.people.events.stays import StayDetector
from edgepose.people.events.zones import ZoneDetector
from edgepose.people.zones import Zone
from edgepose.timing import NS_PER_S
from edgepose.types import Box, Event, Pose, Size, Track
from tests.support.contracts.event import DetectorContract

SQUARE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))
SOFA = Zone("sofa", SQUARE, dwell_s=30)
SHOP = Zone("shop", SQUARE, min_dwell_s=12)


def person(number: int = 7, *zones: str, x: float = 100) -> Track:
    pose = Pose(np.zeros((17, 3), np.float32), 0.8, Box(x, 100, 60, 200))
    return replace(Track(number, pose, 0), zones=zones)


def feed(
    detector: StayDetector | ZoneDetector, tracks: list[Track], start_s: float, end_s: float
) -> list[Event]:
    times = np.arange(start_s, end_s, 0.2).tolist()
    return [event for s in times for event in detector.update(tracks, round(s * NS_PER_S))]


def longest_s(detector: StayDetector, zone: str = "sofa") -> int:
    return int(detector.state["zones"][zone]["longest_s"])


def test_a_long_stay_is_told_once_while_it_lasts() -> None:
    """The event fires once per stay; a stay after leaving is a new one."""
    detector = StayDetector([SOFA])

    first = feed(detector, [person(7, "sofa")], 0, 70)
    state = longest_s(detector)
    feed(detector, [person(7)], 70, 75)
    left = longest_s(detector)
    second = feed(detector, [person(7, "sofa")], 75, 110)

    assert [(e.type, e.person, e.data) for e in first] == [
        ("zone_dwelling", 7, {"zone": "sofa", "dwell_s": 30.0})
    ]
    assert (state, left) == (60, 0)
    assert [event.at_ns / NS_PER_S for event in second] == [pytest.approx(105, abs=0.3)]


def test_a_step_outside_or_a_lost_look_does_not_end_it() -> None:
    """Half a second outside, or 5 s out of view with a new id, does not end the stay."""
    detector = StayDetector([SOFA])
    feed(detector, [person(7, "sofa")], 0, 10)
    feed(detector, [person(7)], 10, 10.5)
    feed(detector, [person(7, "sofa")], 10.5, 15)
    feed(detector, [], 15, 20)

    events = feed(detector, [person(8, "sofa")], 20, 40)

    assert [(event.person, event.at_ns / NS_PER_S) for event in events] == [
        (8, pytest.approx(30, abs=0.3))
    ]


def test_the_longest_of_several_counts() -> None:
    detector = StayDetector([SOFA])
    feed(detector, [person(7, "sofa")], 0, 20)

    feed(detector, [person(7, "sofa"), person(8, "sofa", x=900)], 20, 41)

    assert longest_s(detector) == 40


def test_who_passes_through_does_not_occupy_a_zone() -> None:
    """With `min_dwell_s` a person counts only after that time."""
    zones, stays = ZoneDetector([SHOP]), StayDetector([SHOP])
    events = feed(zones, [person(7, "shop")], 0, 10) + feed(zones, [person(7)], 10, 20)
    passing = zones.state["zones"]["shop"]["count"]

    events += feed(zones, [person(7, "shop")], 20, 33)
    feed(stays, [person(7, "shop")], 20, 30.5)
    short = longest_s(stays, "shop")
    feed(stays, [person(7, "shop")], 30.5, 33)

    assert [event.type for event in events] == ["zone_entered"]
    assert (passing, zones.state["zones"]["shop"]["count"]) == (0, 1)
    assert (short, longest_s(stays, "shop")) == (0, 10)


def test_a_zones_state_has_the_keys_of_both_detectors() -> None:
    """The state has occupied, count and longest_s."""
    text = """
[[camera]]
id = "hall"
source = "demo://"
[[camera.zone]]
id = "sofa"
polygon = [[0, 0], [1, 0], [1, 1], [0, 1]]
"""
    config = loads(text, "test")
    follower = build.follower(config, config.cameras[0])

    follower.follow([], 0, Size(100, 100))

    assert follower.state["zones"] == {"sofa": {"occupied": False, "count": 0, "longest_s": 0}}


class TestContract(DetectorContract):
    def detector(self) -> StayDetector:
        return StayDetector([SOFA])
