"""The speed of falls: body heights a second, and metres a second with a floor."""

import numpy as np
import pytest

from edgepose.people.events.falls import FallDetector
from edgepose.people.floor import Floor
from edgepose.people.kinematics import KinematicsReader
from edgepose.people.posture import PostureReader
from edgepose.people.zones import locate
from edgepose.types import Event
from tests.support.body import Actor, Camera, Scene, adult, fall, stand

CAMERA = Camera(1.8).aimed_at(4.5)
CORNERS = np.array([(3.5, 1.0, 0.0), (3.5, -1.0, 0.0), (5.5, -1.0, 0.0), (5.5, 1.0, 0.0)])


def known_floor() -> Floor:
    """Return the floor calibration of `CAMERA`."""
    pixels, _ = CAMERA.project(CORNERS)
    parts = (pixels + 0.5) / [CAMERA.size.width, CAMERA.size.height]
    places = [(float(x), float(y)) for x, y, _ in CORNERS]
    return Floor(tuple((float(x), float(y)) for x, y in parts), tuple(places), "map")


def falls_of(seconds: float, floor: Floor | None, *, stature: float = 1.75) -> list[Event]:
    """Return the events of a person who falls sideways in `seconds`."""
    actor = Actor.doing(
        stand(4), fall("left", seconds, stay=15), at=(4.5, 0.0), build=adult(stature)
    )
    reader, kinematics = PostureReader(), KinematicsReader(floor)
    detector, events = FallDetector(), []
    for moment in Scene((actor,), CAMERA).truth(10):
        tracks = reader.update(locate(moment.tracks(), (), moment.size), moment.at_ns)
        tracks = kinematics.update(tracks, moment.at_ns, moment.size)
        events += detector.update(tracks, moment.at_ns)
    return events


def test_it_tells_metres_a_second_with_a_floor() -> None:
    """`speed` is `speed_heights` times the person's height, within 10 %."""
    events = falls_of(0.9, known_floor())

    for event in events:
        assert event.data["speed"] / event.data["speed_heights"] == pytest.approx(1.75, rel=0.1)
    assert [event.type for event in events] == ["fall_suspected", "fall_confirmed"]


def test_without_a_floor_it_tells_body_heights_only() -> None:
    """Without a floor events have `speed_heights`, but no `speed`."""
    for event in falls_of(0.9, None):
        assert event.data["speed_heights"] > 0.5
        assert "speed" not in event.data


def test_a_fast_fall_has_a_higher_speed() -> None:
    """A faster fall has a higher `speed_heights`."""
    told = [falls_of(seconds, None)[0].data["speed_heights"] for seconds in (0.6, 1.0, 1.7)]

    assert told == sorted(told, reverse=True)
    assert told[0] > 1.3 * told[-1]


def test_every_event_of_a_fall_has_the_same_speed() -> None:
    """All events of a fall have the speed of the fall."""
    first, *later = falls_of(1.0, known_floor())

    assert later
    assert {event.data["speed"] for event in later} == {first.data["speed"]}
