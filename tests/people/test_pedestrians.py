"""Ids, lines and falls on a real clip of people who walk behind each other.

The tests share one run of the pose model.
"""

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from edgepose.config.loading import loads
from edgepose.people import build
from edgepose.people.tracking import Tracker, TrackerOptions
from edgepose.types import Event, Size
from tests.support.clips import pedestrians

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SIZE = Size(768, 576)

LINES = """
[[camera]]
id = "square"
source = "demo://"
[[camera.line]]
id = "west"
points = [[0.26, 0.25], [0.26, 0.72]]
sides = ["right", "left"]
[[camera.line]]
id = "east"
points = [[0.703, 0.2], [0.703, 0.72]]
sides = ["right", "left"]
"""

BY_HAND = {
    ("west", "right"): 7,
    ("west", "left"): 5,
    ("east", "right"): 18,
    ("east", "left"): 15,
}
"""People in the pedestrians' clip who cross two upright lines, by line and the side they leave.

Counted in slit images: the column of pixels at the line of each frame, side by side, shows
everybody who passes; three frames around each passage show the direction. Two people who step on
the line and turn back, and those whose feet are beyond its ends, do not count.
"""

CROSSINGS = (
    (284, (350, 196), (272, 217), 304, (220, 196), (333, 190)),
    (303, (225, 197), (316, 247), 320, (317, 208), (269, 237)),
    (473, (568, 277), (667, 347), 494, (631, 316), (585, 302)),
    (487, (521, 301), (592, 309), 510, (673, 363), (551, 272)),
    (582, (604, 214), (687, 275), 598, (676, 248), (593, 249)),
    (613, (656, 357), (580, 341), 635, (553, 303), (652, 274)),
    (619, (134, 173), (81, 213), 635, (125, 172), (158, 201)),
    (685, (313, 200), (418, 281), 701, (387, 217), (284, 250)),
    (718, (472, 241), (584, 246), 744, (621, 267), (554, 215)),
    (750, (411, 254), (520, 214), 770, (523, 279), (407, 227)),
)
"""Pairs of people in `vtest.avi` who pass each other, found by eye: frame and middles of the two
before, and after. Two more pairs pass behind a sign and a pole and exchange their ids."""


def events(every: int) -> Iterator[Event]:
    """Yield the events of every n-th frame, with two lines."""
    config = loads(LINES, "test")
    follower = build.follower(config, config.cameras[0])
    for at_ns, poses in pedestrians()[::every]:
        yield from follower.follow(poses, at_ns, SIZE)[1]


def test_ids_are_about_as_many_as_people() -> None:
    """With a real model and clip the number of ids is about the number of people."""
    tracker, lives = Tracker(), Counter[int]()

    for at_ns, poses in pedestrians()[:400:2]:
        lives.update(track.id for track in tracker.update(poses, at_ns))

    assert 10 <= len(lives) <= 22
    assert np.median(list(lives.values())) > 20


def test_people_who_pass_each_other_keep_their_ids() -> None:
    """All of the pairs that are in view, but for one at most."""
    tracker = Tracker(TrackerOptions(birth_score=0.15, sure_score=0.25))
    frames = [tracker.update(poses, at_ns) for at_ns, poses in pedestrians()]

    def at(frame: int, place: tuple[int, int]) -> int | None:
        """Return the id of the person at a place."""
        apart = [
            (math.dist(track.pose.box.centre, place), track.id)
            for around in frames[frame - 2 : frame + 3]
            for track in around
        ]
        distance, id_ = min(apart, default=(math.inf, None))
        return id_ if distance < 30 else None

    kept = [
        None not in {at(before, a), at(before, b)}
        and at(before, a) == at(after, later_a)
        and at(before, b) == at(after, later_b)
        for before, a, b, after, later_a, later_b in CROSSINGS
    ]

    assert sum(kept) >= len(CROSSINGS) - 1


def test_people_on_lines_are_counted_as_by_hand() -> None:
    """At least 90 % of the hand-counted crossings in a video are found, and no false ones."""
    found = dict.fromkeys(BY_HAND, 0)

    for event in events(every=1):
        if event.type == "line_crossed":
            found[event.data["line"], event.data["from"]] += 1

    assert all(found[key] <= count for key, count in BY_HAND.items())
    assert sum(found.values()) >= 0.9 * sum(BY_HAND.values())


@pytest.mark.parametrize("every", [1, 2])
def test_people_who_walk_behind_each_other_do_not_fall(every: int) -> None:
    """With all frames or half of them, at most one fall is suspected and none confirmed."""
    found = Counter(event.type for event in events(every))

    assert found["fall_suspected"] <= 1
    assert found["fall_confirmed"] == 0
