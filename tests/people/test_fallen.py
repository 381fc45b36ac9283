"""Places where a person fell."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from edgepose.geometry import box_around, rotation
from edgepose.people.fallen import SEARCH_S, UP_S, FallenWatch
from edgepose.people.follower import Follower
from edgepose.people.posture import PostureReader
from edgepose.people.tracking import Tracker
from edgepose.timing import NS_PER_S
from edgepose.types import CandidatePose, FallenPose, Pose, Size, Track
from tests.pose.test_policies import STANDING

WIDE = Size(1280, 720)


def person(x: float, y: float, angle_deg: float = 0.0, score: float = 0.6) -> Pose:
    keypoints = np.full((17, 3), score, dtype=np.float32)
    keypoints[:, :2] = STANDING @ rotation(angle_deg).T + (x, y)
    return Pose(keypoints, score, box_around(keypoints))


def fall(x: float, y: float, angle_deg: float = 80.0) -> Iterator[Pose]:
    """Yield a fall from standing, with the hips at x, y, within 0.5 s at 10 fps."""
    for part in np.linspace(0, 1, 6):
        yield person(x, y + 90 * float(part), angle_deg * float(part))


def watch_of(poses: Iterator[Pose], lost_s: float, id_: int = 1) -> tuple[FallenWatch, int]:
    """Show one person for some frames, then an empty picture."""
    watch, at_ns = FallenWatch(), 0
    for pose in poses:
        watch.update([Track(id_, pose, 0)], at_ns, WIDE)
        at_ns += NS_PER_S // 10
    for _ in range(round(lost_s * 10)):
        watch.update([], at_ns, WIDE)
        at_ns += NS_PER_S // 10
    return watch, at_ns


@pytest.mark.parametrize("angle_deg", [80.0, -80.0, 175.0])
def test_who_dropped_and_is_lost_is_looked_for_at_the_place(angle_deg: float) -> None:
    """The search covers a body's height around the last position, for a minute at most."""
    watch, _ = watch_of(fall(600, 400, angle_deg), 20.0)
    later, _ = watch_of(fall(600, 400, angle_deg), SEARCH_S + 1)

    (place,) = watch.poses()
    assert not place.visible
    assert np.hypot(*np.subtract(place.box.centre, (600, 490))) < 120
    assert 180 < place.box.width == place.box.height < 260
    assert later.poses() == []


def test_who_is_lost_while_falling_is_looked_for_at_the_feet() -> None:
    """A body that falls comes to lie lower than it was last seen."""
    upright = box_around(person(600, 400).keypoints)
    watch, _ = watch_of(itertools.islice(fall(600, 400), 4), 2.0)

    (place,) = watch.poses()
    seen = box_around(place.keypoints)
    assert seen.centre[1] < upright.y + upright.height - 20
    assert place.box.centre == pytest.approx((seen.centre[0], upright.y + upright.height))


def test_who_was_seen_where_they_lie_is_looked_for_there() -> None:
    """A later, certain detection of the lying body replaces the place of the feet."""
    lying = person(600, 450, 85)
    watch, _ = watch_of(itertools.chain(fall(600, 400), [lying] * 15), 2.0)

    (place,) = watch.poses()
    assert place.box.centre == pytest.approx(box_around(lying.keypoints).centre)


@pytest.mark.parametrize("walk", [0.0, 60.0])
def test_who_stands_or_walks_away_is_not_looked_for(walk: float) -> None:
    """A missed detection of a standing or walking person starts no search."""
    watch, _ = watch_of((person(300 + walk * step, 400) for step in range(10)), 3.0)

    assert watch.poses() == []


def test_who_walks_towards_a_camera_above_is_not_looked_for() -> None:
    """The shoulders come down in the picture, but the feet do too."""
    watch, _ = watch_of((person(600, 200 + 4 * step) for step in range(25)), 3.0)

    assert watch.poses() == []


def test_a_quick_drop_of_the_whole_body_counts() -> None:
    """A person who falls towards the camera may be lost before the feet stop moving down."""
    watch, _ = watch_of((person(600, 200 + 20 * step) for step in range(8)), 3.0)

    assert len(watch.poses()) == 1


def test_who_leaves_through_the_lower_edge_is_not_looked_for() -> None:
    """Leaving through the lower edge starts no search, although the shoulders drop."""
    watch, _ = watch_of((person(600, 400 + 40 * step) for step in range(9)), 3.0)

    assert watch.poses() == []


def test_the_search_ends_when_the_person_gets_up() -> None:
    """The search ends after the person was upright at the place for `UP_S`."""
    watch, at_ns = watch_of(fall(600, 400), 2.0)
    counts = []
    for step in range(round(20 * UP_S)):
        watch.update([Track(2, person(620, 420), 0)], at_ns + step * NS_PER_S // 10, WIDE)
        counts.append(len(watch.poses()))

    assert counts[:8] == [1] * 8
    assert counts[-1] == 0


def test_somebody_who_comes_to_help_does_not_end_it() -> None:
    """A person who came from elsewhere does not end the search."""
    watch, at_ns = watch_of(fall(600, 400), 1.0)
    for step in range(60):
        helper = person(min(600, 100 + 20 * step), 400)
        watch.update([Track(2, helper, 0)], at_ns + step * NS_PER_S // 10, WIDE)

    assert len(watch.poses()) == 1


def test_the_follower_hands_on_candidates_and_places() -> None:
    """`expect` returns unconfirmed poses, and the places of lost fallen people."""
    people = Follower(
        tracker=Tracker(),
        smoother=None,
        zones=(),
        posture=PostureReader(),
        detectors=(),
        searches=True,
    )
    weak = person(1000, 300, score=0.1)
    at_ns = 0
    for pose in [person(600, 400)] * 5 + list(fall(600, 400)):
        people.follow([pose], at_ns, WIDE)
        at_ns += NS_PER_S // 10
    for _ in range(5):
        people.follow([weak], at_ns, WIDE)
        at_ns += NS_PER_S // 10

    expected = people.predict_people(at_ns)

    assert {type(pose) for pose in expected} == {CandidatePose, FallenPose}
    assert [p.score for p in expected if isinstance(p, CandidatePose)] == [weak.score]
    people.forget(())
    assert people.predict_people(at_ns) == []
