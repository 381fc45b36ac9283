"""Lines: each crossing counts once, turning on the line does not count."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pytest

from edgepose.config.loading import loads
from edgepose.config.schema import Camera
from edgepose.errors import ConfigError
from edgepose.people import build
from edgepose.people.events.lines import Line, LineDetector, crossings
from edgepose.people.zones import Point
from edgepose.timing import NS_PER_S
from edgepose.types import Box, Event, Pose, Size, Track
from tests.support.contracts.event import DetectorContract

FRAME = Size(400, 200)
DOOR = Line("door", ((0.5, 0.25), (0.5, 0.75)), ("street", "hall"))
"""Drawn downwards, so that the street is at the right of the picture."""


def at(x: float, y: float = 100, person: int = 7) -> Track:
    pose = Pose(np.zeros((17, 3), np.float32), 0.8, Box(x - 20, y - 90, 40, 100))
    return Track(person, pose, 0, ground=(x, y), frame=FRAME)


def walk(detector: LineDetector, way: Iterable[Sequence[Track]], fps: float = 10) -> list[Event]:
    return [
        event
        for n, tracks in enumerate(way)
        for event in detector.update(tracks, round(n * NS_PER_S / fps))
    ]


def path(*places: Point, steps: int = 15, noise: float = 0, seed: int = 0) -> list[list[Track]]:
    """Return a path of straight lines with noise."""
    rng = np.random.default_rng(seed)
    way = []
    for (x0, y0), (x1, y1) in pairwise(places):
        for part in np.linspace(0, 1, steps):
            dx, dy = rng.normal(0, 1, 2) * noise
            way.append([at(x0 + part * (x1 - x0) + dx, y0 + part * (y1 - y0) + dy)])
    return way


def told(events: Iterable[Event]) -> list[tuple[str, str]]:
    return [(event.data["from"], event.data["to"]) for event in events]


@pytest.mark.parametrize("noise", [0, 4])
def test_a_person_who_crosses_counts_once_in_that_direction(noise: float) -> None:
    """Crossing there and back are two events with their directions."""
    detector = LineDetector([DOOR])

    events = walk(detector, path((100, 100), (300, 100), (100, 100), noise=noise))

    assert told(events) == [("hall", "street"), ("street", "hall")]
    assert {(event.type, event.person, event.data["line"]) for event in events} == {
        ("line_crossed", 7, "door")
    }


@pytest.mark.parametrize("beyond", [0, 4, 20])
@pytest.mark.parametrize("noise", [0, 4])
def test_a_person_who_turns_on_the_line_does_not_count(beyond: float, noise: float) -> None:
    """Turning just before, on or after the line is no crossing."""
    turn = (200 + beyond, 100.0)
    rest = [turn] * (1 if beyond > 10 else 4)

    steps = 4 if beyond > 10 else 15
    ways = [path((100, 100), *rest, (100, 100), steps=steps, noise=noise, seed=s) for s in range(9)]

    assert [event for way in ways for event in walk(LineDetector([DOOR]), way)] == []


@pytest.mark.parametrize("y", [20, 180])
def test_a_person_who_goes_around_the_end_does_not_count(y: float) -> None:
    """Passing beyond the end of the line is no crossing."""
    assert walk(LineDetector([DOOR]), path((100, y), (300, y))) == []


def test_a_person_lost_on_the_line_and_found_beyond_it_counts() -> None:
    """A track lost on the line and continued beyond it crosses it."""
    way = path((100, 100), (195, 100)) + [[]] * 12 + path((240, 100), (300, 100))

    assert told(walk(LineDetector([DOOR]), way)) == [("hall", "street")]


def test_two_people_at_once_are_two() -> None:
    """Two people who cross at once in opposite directions are two events."""
    there = path((100, 100), (300, 100))
    back = path((300, 120), (100, 120))
    both = [
        [a, at(*b.ground, person=8)] for (a,), (b,) in zip(there, back, strict=True) if b.ground
    ]

    events = walk(LineDetector([DOOR]), both)

    assert {(event.person, event.data["to"]) for event in events} == {(7, "street"), (8, "hall")}


@pytest.mark.parametrize("seed", range(20))
def test_any_way_crosses_as_often_as_its_ends_tell(seed: int) -> None:
    """For an infinite line the crossings sum up to the change of side, for any path."""
    rng = np.random.default_rng(seed)
    corners = [(float(x), float(y)) for x, y in rng.uniform(0, 9, (4, 2))]
    line = [(-99.0, 4.0), *sorted(corners), (99.0, 4.0)]
    way = [
        (0.0, -50.0),
        *((float(x), float(y)) for x, y in rng.uniform(0, 9, (30, 2))),
        (0.0, 50.0),
    ]

    assert sum(crossings(line, a, b) for a, b in pairwise(way)) == 1


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('id = "a"\npoints = [[0, 0], [1, 1]]\nsides = ["x", "x"]', "two different ids"),
        ('id = "a"\npoints = [[0, 0], [0, 0]]', "differ from the one before"),
        ('id = "a"\npoints = [[0, 0]]', "two or more points"),
        ('id = "a"\npoints = [[0, 0], [1, 2]]', "from 0 to 1"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused(line: str, what: str) -> None:
    """An invalid line raises ConfigError, which says what was expected."""
    text = f'[[camera]]\nid = "hall"\nsource = "demo://"\n[[camera.line]]\n{line}\n'

    with pytest.raises(ConfigError, match=what):
        loads(text, "test")


def test_cameras_without_lines_run_no_detector() -> None:
    config = loads("", "test")

    found = build.detectors(config, Camera(id="hall", source="-"))

    assert not any(isinstance(each, LineDetector) for each in found)


class TestContract(DetectorContract):
    def detector(self) -> LineDetector:
        return LineDetector([DOOR])
