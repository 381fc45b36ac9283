"""Metres on the floor: positions and heights of known bodies under known cameras."""

import math
from typing import Final

import numpy as np
import pytest

from edgepose.config.loading import loads
from edgepose.errors import ConfigError
from edgepose.people import build
from edgepose.people.floor import Floor, FloorView
from edgepose.people.kinematics import KinematicsReader, facing_deg, nearest_m
from edgepose.people.zones import Point, locate
from edgepose.timing import NS_PER_S
from edgepose.types import Size, Track
from tests.support.body import Actor, Camera, Scene, stand, walk

HEAD: Final = 0.936  # height of the head's centre relative to the stature, in the tests' body
CAMERAS = [Camera(height, fov_deg=80).aimed_at(4.0, 0.6) for height in (1.2, 1.8, 2.6)]


def floor(camera: Camera, moved_px: float = 0, seed: int = 0) -> Floor:
    """Return a 2 m square, 3 to 5 m away, with one corner displaced by `moved_px`."""
    metres = ((3.0, 1.0), (3.0, -1.0), (5.0, -1.0), (5.0, 1.0))
    pixels, _ = camera.project(np.array([(x, y, 0.0) for x, y in metres]))
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi)
    pixels[rng.integers(4)] += moved_px * np.array([np.cos(angle), np.sin(angle)])
    width, height = camera.size
    points = tuple((float(x + 0.5) / width, float(y + 0.5) / height) for x, y in pixels)
    return Floor(points, metres, "hall")


def standing(camera: Camera, at: Point, heading: float = 180) -> Track:
    scene = Scene((Actor.doing(stand(1), at=at, heading_deg=heading),), camera)
    return locate(next(iter(scene.truth())).tracks(), [], camera.size)[0]


def found(view: FloorView, track: Track) -> tuple[Point, float]:
    """Return the person's position and the height of the head."""
    assert track.ground is not None
    at = view.position(track.ground)
    assert at is not None
    head = track.pose.keypoints[:5, :2].mean(axis=0)
    height = view.height(at, (float(head[0]), float(head[1])))
    assert height is not None
    return at, height


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("distance", [2, 4, 6])
def test_a_body_is_where_it_stands(camera: Camera, distance: float) -> None:
    """Positions are within 2 cm and heights within 5 cm, at three distances and cameras."""
    for aside in (-0.7, 0.0, 0.7):
        track = standing(camera, (distance, aside))

        at, height = found(floor(camera).view(camera.size), track)

        assert math.dist(at, (distance, aside)) < 0.02
        assert height == pytest.approx(HEAD * 1.75, abs=0.05)


@pytest.mark.parametrize(("distance", "limit_m"), [(2, 0.1), (4, 0.1), (6, 0.3)])
def test_a_point_that_is_five_pixels_off_costs_centimetres(distance: float, limit_m: float) -> None:
    """With one corner off by 5 pixels, 90 % of the errors are below the limit."""
    camera = CAMERAS[1]
    track = standing(camera, (distance, 0.5))

    errors = [
        math.dist(found(floor(camera, 5, seed).view(camera.size), track)[0], (distance, 0.5))
        for seed in range(20)
    ]

    assert np.quantile(errors, 0.9) < limit_m


def test_frames_of_any_size_give_the_same_metres() -> None:
    """Positions do not depend on the frame's size, as the corners are relative."""
    camera = CAMERAS[1]
    plan = floor(camera)
    pixels = np.array([700.0, 500.0])

    large = plan.view(camera.size).position((float(pixels[0]), float(pixels[1])))
    small = plan.view(Size(640, 360)).position(
        (float(pixels[0] + 0.5) / 2 - 0.5, float(pixels[1] + 0.5) / 2 - 0.5)
    )

    assert large is not None
    assert small == pytest.approx(large, abs=1e-6)


def test_axes_may_turn_either_way() -> None:
    """A left-handed floor gives positive heights, too."""
    camera = CAMERAS[1]
    plan = floor(camera)
    other = Floor(plan.points, tuple((x, -y) for x, y in plan.metres), "hall")

    at, height = found(other.view(camera.size), standing(camera, (4, 0.5)))

    assert at == pytest.approx((4, -0.5), abs=0.02)
    assert height == pytest.approx(HEAD * 1.75, abs=0.03)


def test_the_sky_is_nowhere() -> None:
    """Points above the horizon have no position."""
    assert floor(CAMERAS[1]).view(CAMERAS[1].size).position((640, -600)) is None


def test_a_camera_that_looks_straight_down_gives_places_without_heights() -> None:
    """From straight above there are positions but no heights."""
    square = ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))
    view = Floor(square, ((0, 0), (2, 0), (2, 2), (0, 2)), "hall").view(Size(500, 500))

    assert view.position((249.5, 249.5)) == pytest.approx((1, 1))
    assert view.height((1, 1), (249.5, 200)) is None


@pytest.mark.parametrize("heading", [0, 60, 180, 250])
def test_who_walks_has_speed_and_heading(heading: float) -> None:
    """Speed and heading are those of the walk; a standing person has no heading."""
    camera = CAMERAS[1]
    towards = np.radians(heading)
    start = (4.2 - 1.2 * float(np.cos(towards)), -1.2 * float(np.sin(towards)))
    actor = Actor.doing(stand(2), walk(3, 0.8), at=start, heading_deg=heading)
    reader, last = KinematicsReader(floor(camera)), []
    for moment in Scene((actor,), camera).truth():
        tracks = locate(moment.tracks(), [], camera.size)
        last.append(reader.update(tracks, moment.at_ns, camera.size)[0].place)

    still, walking = last[15], last[42]

    assert still is not None
    assert walking is not None
    assert still.heading_deg is None
    assert still.speed == pytest.approx(0, abs=0.1)
    assert walking.speed == pytest.approx(0.8, abs=0.2)
    assert walking.heading_deg is not None
    assert math.cos(math.radians(walking.heading_deg - heading)) > math.cos(math.radians(15))


@pytest.mark.parametrize("turned", [0, 30, -30, 50, -50, 180, 150, -150])
def test_the_shoulders_tell_which_way_a_person_faces(turned: float) -> None:
    """The facing is accurate to 31 degrees; 0 is towards the camera, 90 right in the picture."""
    # A body with heading 180 looks back along x, at the camera; turning left is to its left,
    # which is the right of the picture.
    track = standing(Camera(1.4, 0), (4, 0), heading=180 + turned)

    faced = facing_deg(track)

    assert faced is not None
    assert math.cos(math.radians(faced - turned)) > math.cos(math.radians(31))


@pytest.mark.parametrize("heading", [90, 270])
def test_from_the_side_the_facing_is_unknown(heading: float) -> None:
    """In a side view the facing is None."""
    assert facing_deg(standing(Camera(1.4, 0), (4, 0), heading=heading)) is None


def test_without_a_floor_there_is_a_velocity_in_pixels() -> None:
    """Without a floor the velocity is in pixels and there is no position."""
    camera = CAMERAS[1]
    actor = Actor.doing(walk(3, 1.0), at=(4, -1), heading_deg=90)
    reader, last = KinematicsReader(), []
    for moment in Scene((actor,), camera).truth():
        tracks = locate(moment.tracks(), [], camera.size)
        last = reader.update(tracks, moment.at_ns, camera.size)

    (track,) = last
    assert track.place is None
    assert track.velocity is not None
    # 1 m/s at 4 m; y grows towards the camera's left.
    assert track.velocity[0] == pytest.approx(-camera.focal / 4.2, rel=0.2)


def test_the_nearest_of_three_is_told_of_each() -> None:
    """Each person's nearest neighbour is in metres; a single person has none."""
    camera = CAMERAS[1]
    reader = KinematicsReader(floor(camera))
    tracks = [
        Track(n, standing(camera, at).pose, 0, ground=standing(camera, at).ground)
        for n, at in enumerate([(3, 0), (3, 1), (6, 0)], 1)
    ]

    placed = reader.update(tracks, NS_PER_S, camera.size)

    assert nearest_m(placed) == pytest.approx({1: 1, 2: 1, 3: 3}, abs=0.1)
    assert nearest_m(placed[:1]) == {}


TABLE = """
[[camera]]
id = "hall"
source = "demo://"
[camera.floor]
"""
POINTS = "points = [[0.3, 0.6], [0.7, 0.6], [0.9, 0.9], [0.1, 0.9]]\n"


def test_a_rectangle_needs_two_lengths_only() -> None:
    """Of `size` the first side is x and the second y; the frame is named after the camera."""
    config = loads(TABLE + POINTS + "size = [2, 3]\n", "test")

    made = build.follower(config, config.cameras[0]).kinematics.floor

    assert made is not None
    assert made.metres == ((0, 0), (2, 0), (2, 3), (0, 3))
    assert made.frame == "hall_floor"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("points = [[0.3, 0.6], [0.7, 0.6], [0.9, 0.9]]", "four points"),
        ("points = [[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]", "in order around"),
        ("points = [[0.1, 0.1], [0.2, 0.2], [0.3, 0.3], [0.1, 0.9]]", "on a line"),
        ("metres = [[0, 0], [1, 0], [1, 1], [0, 1]]", "four points of the picture"),
        (POINTS + "metres = [[0, 0], [1, 0], [2, 0], [0, 1]]", "on a line"),
        (POINTS + "size = [0, 1]", "above 0"),
    ],
)
def test_points_that_are_no_floor_are_refused(text: str, what: str) -> None:
    """Invalid points raise ConfigError, which says what was expected."""
    with pytest.raises(ConfigError, match=what):
        loads(TABLE + text + "\n", "test")
