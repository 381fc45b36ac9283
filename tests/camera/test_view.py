"""Rotated, mirrored, cropped and masked pictures: coordinates, left and right, and privacy."""

from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pytest

from edgepose.camera.health import CameraHealth
from edgepose.camera.pipeline import Pipeline
from edgepose.camera.sources.files import read_picture
from edgepose.camera.view import ImageTransform, region
from edgepose.config.schema import Camera
from edgepose.geometry import box_around
from edgepose.mqtt import topics
from edgepose.mqtt.snapshots import Snapshots
from edgepose.people.follower import Follower
from edgepose.people.posture import PostureReader
from edgepose.people.tracking import Tracker
from edgepose.people.zones import Zone
from edgepose.pose.estimator import PoseEstimator
from edgepose.skeleton import LEFT_WRIST, MIRRORED, RIGHT_WRIST, oks
from edgepose.timing import Clock
from edgepose.types import Event, Floats, Frame, Image, Message, Pose, Size, Track

PERSON: Final = Path(__file__).parents[2] / "docs" / "images" / "person.jpg"
ALIKE: Final = 0.8  # OKS between a network's results for the same person in two pictures
MODELS: Final = ("movenet-lightning", "posenet-uint8")
PAIR: Final = "posenet-uint8+movenet-lightning-int8"
TURNS: Final = (0, 90, 180, 270)
RIGHT_HALF: Final = (0.5, 0.0, 0.5, 1.0)

ROTATE: Final = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: 2}


def framed(image: Image, number: int = 0) -> Frame:
    at_ns = number * 10**8
    return Frame(image, at_ns, at_ns, at_ns)


def marked(x: int, y: int) -> Image:
    """Return a black picture with one white pixel."""
    image = np.zeros((90, 160, 3), dtype=np.uint8)
    image[y, x] = 255
    return image


def white(image: Image) -> tuple[int, int]:
    """Return the position of the white pixel."""
    (y,), (x,) = np.nonzero(image[:, :, 0])
    return int(x), int(y)


def someone(x: float, y: float) -> Pose:
    """Return a person whose joints spread from a point to the right and down."""
    spread = np.arange(17, dtype=np.float32)
    points = np.stack([x + spread, y + 2 * spread, 0.5 + spread / 40], axis=1)
    return Pose(points.astype(np.float32), 0.9, box_around(points))


@cache
def person() -> Image:
    return read_picture(PERSON)


@cache
def estimator(model: str) -> PoseEstimator:
    return PoseEstimator(model, threads=1)


class Walk:
    """A pipeline with a real network that records its last tracks and frame."""

    def __init__(self, view: ImageTransform, model: str, zones: Sequence[Zone] = ()) -> None:
        self.tracks: list[Track] = []
        self.frame = framed(marked(0, 0))
        self.health = CameraHealth()
        follower = Follower(
            tracker=Tracker(),
            smoother=None,
            zones=zones,
            posture=PostureReader(),
            detectors=(),
        )
        self.pipeline = Pipeline(
            estimator(model),
            follower,
            self._note,
            self.health,
            Clock(),
            view=view,
            keeps_picture=True,
        )

    def _note(
        self, frame: Frame, tracks: Sequence[Track], events: Sequence[Event]
    ) -> list[Message]:
        self.frame, self.tracks = frame, list(tracks)
        return []

    def see(self, image: Image, times: int = 3) -> Floats:
        """Process a picture repeatedly until people are tracked; return the best keypoints."""
        for number in range(times):
            self.pipeline.process(framed(image, number))
        assert self.tracks
        return max(self.tracks, key=lambda track: track.pose.score).pose.keypoints


def likeness(a: Floats, b: Floats) -> float:
    box = box_around(a, 0.3)
    return oks(a, b, box.area, min_score=0.3)


def flipped(keypoints: Floats, width: int) -> Floats:
    """Return the positions of the same joints in the mirrored picture."""
    moved = keypoints.copy()
    moved[:, 0] = width - 1 - moved[:, 0]
    return moved


def test_nothing_asked_for_costs_nothing() -> None:
    """Without options frames and poses are returned unchanged, and no stage is timed."""
    view = ImageTransform()
    frame, people = framed(marked(3, 4)), [someone(5, 6)]

    assert view.apply(frame) is frame
    assert view.crop_to_roi(frame.image) is frame.image
    assert view.to_roi(people, frame.size) is people
    assert view.to_frame(people, frame.size) is people
    assert "show" not in Walk(view, MODELS[0]).health.stages


@pytest.mark.parametrize("turn", TURNS)
def test_it_turns_clockwise_and_then_mirrors(turn: Any) -> None:
    """Rotation is clockwise, followed by mirroring."""
    places = {0: (2, 1), 90: (88, 2), 180: (157, 88), 270: (1, 157)}
    x, y = places[turn]
    frame = framed(marked(2, 1))

    turned = ImageTransform(rotate=turn).apply(frame)
    mirrored = ImageTransform(rotate=turn, mirror=True).apply(frame)

    assert white(turned.image) == (x, y)
    assert white(mirrored.image) == (turned.size.width - 1 - x, y)
    assert turned.size == ((160, 90) if turn % 180 == 0 else (90, 160))
    assert (turned.captured_ns, turned.unix_ns) == (frame.captured_ns, frame.unix_ns)


@pytest.mark.parametrize(("turn", "mirror"), [*product(TURNS, (False, True))])
def test_the_part_and_the_frame_have_the_same_points(turn: Any, mirror: bool) -> None:
    """Points of the region are mapped to the frame and back."""
    view = ImageTransform(rotate=turn, mirror=mirror, roi=(0.25, 0.1, 0.7, 0.85))
    shown = view.apply(framed(marked(80, 45)))

    x, y = white(view.crop_to_roi(shown.image))
    (pose,) = view.to_frame([someone(x, y)], shown.size)
    (again,) = view.to_roi([pose], shown.size)

    joint = MIRRORED.index(0)
    assert tuple(pose.keypoints[joint, :2]) == white(shown.image)
    assert np.allclose(again.keypoints, someone(x, y).keypoints)
    assert again.box == pytest.approx(someone(x, y).box)
    assert pose.box == pytest.approx(box_around(pose.keypoints))


@pytest.mark.parametrize("roi", [(0, 0, 1, 1), (0.999, 0.999, 0.001, 0.001), (0, 0.3, 1e-9, 0.7)])
@pytest.mark.parametrize("size", [Size(1, 1), Size(7, 5), Size(1280, 720)])
def test_a_region_is_in_the_frame_and_never_empty(roi: Any, size: Size) -> None:
    """A region has at least one pixel and is inside of the frame."""
    x, y, width, height = region(roi, size)

    assert 0 <= x < x + width <= size.width
    assert 0 <= y < y + height <= size.height


def test_halves_make_a_whole() -> None:
    """Two adjacent regions neither overlap nor leave a gap."""
    left, right = (region((x, 0, 0.5, 1), Size(641, 480)) for x in (0, 0.5))

    assert left[0] + left[2] == right[0]
    assert left[2] + right[2] == 641


def test_masks_are_black_and_the_source_keeps_its_picture() -> None:
    """Masks are drawn into a copy; the rest of the picture is unchanged."""
    image = np.full((90, 160, 3), 200, dtype=np.uint8)
    corners = ((0.25, 0.2), (0.75, 0.2), (0.75, 0.8), (0.25, 0.8))

    shown = ImageTransform(masks=[corners, ((0, 0), (0.1, 0), (0, 0.1))]).apply(framed(image)).image

    assert (image == 200).all()
    assert not shown[18:72, 40:120].any()
    assert not shown[0, 0].any()
    assert (shown[:16, 30:] == 200).all()
    assert (shown[74:] == 200).all()
    assert (shown[20:70, 123:] == 200).all()


def test_a_mask_stands_in_the_turned_picture() -> None:
    """Masks apply after rotation and mirroring."""
    image = np.full((90, 160, 3), 200, dtype=np.uint8)
    top = ((0, 0), (1, 0), (1, 0.25), (0, 0.25))

    shown = ImageTransform(rotate=90, mirror=True, masks=[top]).apply(framed(image)).image

    assert not shown[:40].any()
    assert (shown[42:] == 200).all()


@pytest.mark.parametrize("model", [*MODELS, PAIR])
def test_a_mirrored_person_keeps_their_left(model: str) -> None:
    """In a mirrored picture left and right joints keep their names."""
    width = person().shape[1]

    plain = Walk(ImageTransform(), model).see(person())
    mirrored = Walk(ImageTransform(mirror=True), model).see(person())

    swapped = mirrored[list(MIRRORED)]
    assert likeness(flipped(plain, width), mirrored) > ALIKE
    assert likeness(flipped(plain, width), swapped) < likeness(flipped(plain, width), mirrored) / 2
    for wrist in (LEFT_WRIST, RIGHT_WRIST):
        assert abs(width - 1 - plain[wrist, 0] - mirrored[wrist, 0]) < 0.05 * width


@pytest.mark.parametrize(("turn", "model"), [*product(TURNS, MODELS)])
def test_a_camera_on_its_side_sees_people_upright(turn: Any, model: str) -> None:
    """With `rotate` the person is found as in the upright picture."""
    back = (360 - turn) % 360
    sideways = np.asarray(cv2.rotate(person(), ROTATE[back])) if turn else person()

    upright = Walk(ImageTransform(), model).see(person())
    walk = Walk(ImageTransform(rotate=turn), model)
    seen = walk.see(sideways)

    assert np.allclose(seen, upright, atol=1e-3)
    assert walk.frame.size == Size(person().shape[1], person().shape[0])


@pytest.mark.parametrize(("side", "model"), [*product((0, 1), MODELS)])
def test_only_the_region_is_looked_at(side: int, model: str) -> None:
    """Only the person in the region is found, in frame coordinates."""
    both = np.hstack([person(), person()])
    width = person().shape[1]

    alone = Walk(ImageTransform(), model).see(person())
    walk = Walk(ImageTransform(roi=(side / 2, 0.0, 0.5, 1.0)), model)
    seen = walk.see(both)

    assert len(walk.tracks) == 1
    assert np.allclose(seen - alone, (side * width, 0, 0), atol=1e-2)


def test_a_mirrored_region_is_where_the_mirror_shows_it() -> None:
    """Rotation, mirroring and region work together while a person is tracked."""
    pair = np.hstack([person(), np.zeros_like(person())])
    sideways = np.asarray(cv2.rotate(pair, ROTATE[270]))
    width = pair.shape[1]

    plain = Walk(ImageTransform(), MODELS[0]).see(person())
    seen = Walk(ImageTransform(rotate=90, mirror=True, roi=RIGHT_HALF), MODELS[0]).see(sideways)

    assert likeness(flipped(plain, width), seen) > ALIKE


@pytest.mark.parametrize("model", MODELS)
def test_people_behind_a_mask_are_not_found(model: str) -> None:
    """A masked person is not found."""
    both = np.hstack([person(), person()])
    left = ((0, 0), (0.5, 0), (0.5, 1), (0, 1))

    seen = Walk(ImageTransform(masks=[left]), model)
    none = Walk(ImageTransform(masks=[((0, 0), (1, 0), (1, 1), (0, 1))]), model)
    people = seen.see(both)
    for number in range(3):
        none.pipeline.process(framed(both, number))

    assert box_around(people, 0.3).centre[0] > person().shape[1]
    assert len(seen.tracks) == 1
    assert none.tracks == []


@pytest.mark.parametrize("turn", TURNS)
def test_zones_are_parts_of_the_turned_frame(turn: Any) -> None:
    """Zones refer to the rotated frame."""
    both = np.hstack([np.zeros_like(person()), person()])
    sideways = np.asarray(cv2.rotate(both, ROTATE[360 - turn])) if turn else both
    halves = [
        Zone(name, ((x, 0), (x + 0.5, 0), (x + 0.5, 1), (x, 1)))
        for name, x in (("left", 0.0), ("right", 0.5))
    ]

    walk = Walk(ImageTransform(rotate=turn, roi=RIGHT_HALF), MODELS[0], halves)
    walk.see(sideways)

    assert [track.zones for track in walk.tracks] == [("right",)]


def test_a_snapshot_of_the_camera_hides_what_is_masked() -> None:
    """The snapshot is the masked, rotated picture."""
    image = np.full((90, 160, 3), 200, dtype=np.uint8)
    top = ((0, 0), (1, 0), (1, 0.5), (0, 0.5))
    camera = Camera(id="hall", source="demo://", snapshot="camera")
    snapshots = Snapshots(topics.Topics("b", "d").camera("hall"), camera, 0.3)
    walk = Walk(ImageTransform(rotate=90, masks=[top]), MODELS[0])
    walk.pipeline.process(framed(image))

    snapshots.see(walk.frame, [], [])
    message = snapshots.take()

    assert message is not None
    sent = cv2.imdecode(np.frombuffer(message.payload, dtype=np.uint8), cv2.IMREAD_COLOR)
    assert sent is not None
    assert sent.shape == (160, 90, 3)
    assert sent[:76].max() < 30  # JPEG artefacts
    assert sent[84:].min() > 170
