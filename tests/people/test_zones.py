"""Zones: points inside, and the ground point of a person."""

import math
import subprocess
import sys

import numpy as np
import pytest

from edgepose import skeleton
from edgepose.people.zones import Zone, ground_point, locate
from edgepose.types import Box, Pose, Size, Track

SQUARE = Zone("square", ((0.2, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.6)))
# An L shape: the upper right quarter is missing.
CORNER = Zone("corner", ((0, 0), (0.5, 0), (0.5, 0.5), (1, 0.5), (1, 1), (0, 1)))

UPRIGHT = {
    "left_shoulder": (640, 200),
    "right_shoulder": (600, 200),
    "left_hip": (635, 300),
    "right_hip": (605, 300),
    "left_knee": (635, 385),
    "right_knee": (605, 385),
    "left_ankle": (635, 470),
    "right_ankle": (605, 470),
}


def pose(joints: dict[str, tuple[float, float]], hidden: tuple[str, ...] = ()) -> Pose:
    """Return a person with these joints visible; all others are hidden at the origin."""
    keypoints = np.zeros((17, 3), dtype=np.float32)
    for name, (x, y) in joints.items():
        score = 0.1 if any(name.endswith(part) for part in hidden) else 0.9
        keypoints[skeleton.JOINT_NAMES.index(name)] = x, y, score
    return Pose(keypoints, 0.8, Box(590, 150, 60, 330))


def track(x: float, y: float) -> Track:
    return Track(1, pose({"left_ankle": (x, y), "right_ankle": (x, y)}), 0)


@pytest.mark.parametrize("start", range(6))
@pytest.mark.parametrize("reverse", [False, True])
def test_any_corner_first_and_either_way_round_is_the_same_zone(start: int, reverse: bool) -> None:
    """The order and direction of the corners do not matter."""
    corners = CORNER.polygon[start:] + CORNER.polygon[:start]
    zone = Zone("same", tuple(reversed(corners)) if reverse else corners)
    grid = [(x / 40, y / 40) for x in range(-2, 43) for y in range(-2, 43)]

    inside = [zone.contains(point) for point in grid]

    assert inside == [0 <= x <= 1 and 0 <= y <= 1 and (x <= 0.5 or y >= 0.5) for x, y in grid]


def test_the_border_and_the_corners_are_inside() -> None:
    """Points on the border are inside, on all sides."""
    edges = [(0.2, 0.4), (0.6, 0.4), (0.4, 0.2), (0.4, 0.6)]

    inside = [SQUARE.contains(point) for point in (*edges, *SQUARE.polygon)]

    assert all(inside)


def test_a_slanted_edge_holds_its_own_points() -> None:
    """Points on a slanted edge are inside despite rounding."""
    triangle = Zone("triangle", ((0.1, 0.1), (0.9, 0.3), (0.3, 0.9)))

    inside = [triangle.contains((0.1 + 0.8 * t, 0.1 + 0.2 * t)) for t in np.linspace(0, 1, 99)]

    assert all(inside)


def test_a_zone_agrees_with_the_angles_around_a_point() -> None:
    """`contains` agrees with the winding number."""
    star = Zone("star", ((0.5, 0.0), (0.6, 0.4), (1.0, 0.4), (0.65, 0.6), (0.8, 1.0), (0.2, 0.7)))

    def winds(x: float, y: float) -> bool:
        angles = [math.atan2(b - y, a - x) for a, b in star.polygon]
        turns = np.diff([*angles, angles[0]])
        return abs(((turns + math.pi) % (2 * math.pi) - math.pi).sum()) > math.pi

    points = np.random.default_rng(4).random((500, 2)).tolist()

    differing = [p for p in points if star.contains((p[0], p[1])) != winds(*p)]

    assert differing == []


def test_a_person_stands_between_the_ankles() -> None:
    """The ground point is between the ankles, or at the visible one."""
    both = ground_point(pose(UPRIGHT))
    one = ground_point(pose(UPRIGHT, hidden=("left_ankle",)))

    assert both == (620, 470)
    assert one == (605, 470)


@pytest.mark.parametrize("hidden", [("ankle",), ("ankle", "knee")])
def test_hidden_feet_are_found_by_the_proportions_of_the_body(hidden: tuple[str, ...]) -> None:
    """Hidden feet are extrapolated to within a tenth of a leg."""
    x, y = ground_point(pose(UPRIGHT, hidden=hidden))

    assert x == pytest.approx(620)
    assert y == pytest.approx(470, abs=17)


def test_hidden_feet_follow_the_body_when_it_leans_or_lies() -> None:
    """The extrapolation rotates with the person."""
    angle = math.radians(90)
    turned = {
        name: (400 + x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle))
        for name, (x, y) in UPRIGHT.items()
    }

    upright = ground_point(pose(UPRIGHT, hidden=("ankle",)))
    lying = ground_point(pose(turned, hidden=("ankle",)))

    assert lying == pytest.approx((400 - upright[1], upright[0]), abs=1e-3)


def test_hidden_feet_of_a_seated_person_are_below_the_knees() -> None:
    """For a seated person hidden feet are below the knees."""
    seated = UPRIGHT | {"left_knee": (715, 310), "right_knee": (685, 310)}

    x, y = ground_point(pose(seated, hidden=("ankle",)))

    assert x == 700
    assert 380 < y < 410


def test_without_a_sure_joint_the_box_says_where() -> None:
    """Without visible joints it is the middle of the box's bottom edge."""
    nobody_sure = pose(UPRIGHT, hidden=("ankle", "knee", "hip", "shoulder"))

    assert ground_point(nobody_sure) == (620, 480)


def test_zones_scale_with_the_frame() -> None:
    """Zones are relative to the frame's size."""
    where = [
        locate([track(0.4 * w - 0.5, 0.4 * h - 0.5)], [SQUARE, CORNER], Size(w, h))[0].zones
        for w, h in ((1280, 720), (320, 240), (481, 353))
    ]

    assert where == [("square", "corner")] * 3


def test_half_a_pixel_decides_at_the_border() -> None:
    """Keypoints refer to pixel centres: 99.5 of 400 pixels is a quarter of the width."""
    right = Zone("right", ((0.25, 0.0), (1.0, 0.0), (1.0, 1.0), (0.25, 1.0)))

    where = [locate([track(x, 50)], [right], Size(400, 100))[0].zones for x in (99.4, 99.6)]

    assert where == [(), ("right",)]


def test_locating_says_only_where_people_are() -> None:
    """`locate` changes only the zones; a person outside has none."""
    someone = track(1200, 100)

    (located,) = locate([someone], [SQUARE, CORNER], Size(1280, 720))

    assert located.zones == ()
    assert located.pose is someone.pose
    assert (located.id, located.since_ns) == (someone.id, someone.since_ns)


def test_feet_cut_off_by_the_picture_are_at_its_edge() -> None:
    """A ground point below the picture is moved to its edge."""
    floor = Zone("floor", ((0.3, 0.8), (0.7, 0.8), (0.7, 1.0), (0.3, 1.0)))

    (located,) = locate([track(640, 900)], [floor], Size(1280, 720))

    assert located.zones == ("floor",)


def test_a_zone_needs_no_library() -> None:
    """The zones module does not import numpy."""
    code = "import sys, edgepose.people.zones; sys.exit('numpy' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], check=False)

    assert done.returncode == 0
