"""Pictures on request: skeletons, and the room only where its owner wants it."""

import cv2
import numpy as np
import pytest

from edgepose.config.schema import Camera
from edgepose.geometry import box_around
from edgepose.mqtt.snapshots import Snapshots
from edgepose.mqtt.topics import Topics
from edgepose.types import Event, Frame, Image, Message, Pose, Track

TOPICS = Topics("edgepose", "pi").camera("hall")
ROOM = Frame(np.full((240, 320, 3), 180, np.uint8), 1, 1, 1)


def snapshots(**settings: object) -> Snapshots:
    camera = Camera(id="hall", source="demo://", **settings)  # type: ignore[arg-type]
    return Snapshots(TOPICS, camera, 0.3)


def someone(score: float = 0.9) -> Track:
    draw = np.random.default_rng(3)
    places = draw.uniform((40, 40), (280, 200), (17, 2))
    keypoints = np.column_stack([places, np.full(17, score)]).astype(np.float32)
    return Track(1, Pose(keypoints, score, box_around(keypoints)), 0)


def event(type_: str) -> Event:
    return Event(type_, 1, 1, 0.9)


def shown(message: Message | None) -> Image:
    """Return a message's picture."""
    assert message is not None
    assert (message.topic, message.kind) == (TOPICS.snapshot, "snapshot")
    assert (message.content_type, message.retain) == ("image/jpeg", False)
    picture = cv2.imdecode(np.frombuffer(message.payload, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def test_it_shows_a_skeleton_on_black() -> None:
    """As large as the frame, and nothing of the room."""
    taker = snapshots()

    taker.see(ROOM, [someone()], [])
    picture = shown(taker.take())

    assert picture.shape == ROOM.image.shape
    assert 0 < np.mean(picture.max(axis=2) > 40) < 0.5


def test_it_shows_the_room_where_the_owner_wants_it() -> None:
    """`snapshot = "camera"` puts the picture behind the skeleton."""
    taker = snapshots(snapshot="camera")

    taker.see(ROOM, [], [])

    assert shown(taker.take()).mean() == pytest.approx(180, abs=3)


def test_it_leaves_out_doubtful_joints() -> None:
    """By the least score that is in force now."""
    taker = snapshots()
    taker.see(ROOM, [someone(0.4)], [])
    sure = shown(taker.take()).max()

    taker.min_score = 0.5

    assert sure > 100
    assert shown(taker.take()).max() < 40


def test_it_sends_one_by_itself_where_that_is_asked_for() -> None:
    """On both events of a fall, on no others; never where nothing was asked for."""
    quiet, watchful = snapshots(), snapshots(snapshot_on=("fall",))
    kinds = ("fall_suspected", "fall_confirmed", "gesture", "person_left")

    sent = [len(watchful.see(ROOM, [], [event(kind)])) for kind in kinds]
    unasked = [len(quiet.see(ROOM, [], [event(kind)])) for kind in kinds]

    assert sent == [1, 1, 0, 0]
    assert unasked == [0, 0, 0, 0]


def test_it_has_nothing_to_show_before_the_first_frame_or_in_a_pause() -> None:
    """A paused camera forgets what it saw."""
    taker = snapshots()
    before = taker.take()

    taker.see(ROOM, [], [])
    taker.forget()

    assert before is None
    assert taker.take() is None
