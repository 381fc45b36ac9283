"""Snapshots: skeletons, with the camera's picture only if configured."""

import cv2
import numpy as np
import pytest

from edgepose.config.schema import Camera, CameraZone
from edgepose.geometry import box_around
from edgepose.mqtt.snapshots import FIRST_SIZE, LIVE_PX, LIVE_S, LivePicture, Snapshots
from edgepose.mqtt.topics import Topics
from edgepose.timing import NS_PER_S
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
    """The picture has the frame's size and contains nothing but skeletons."""
    taker = snapshots()

    taker.see(ROOM, [someone()], [])
    picture = shown(taker.take())

    assert picture.shape == ROOM.image.shape
    assert 0 < np.mean(picture.max(axis=2) > 40) < 0.5


def test_it_shows_the_room_where_the_owner_wants_it() -> None:
    """`snapshot = "camera"` draws the skeleton over the camera's picture."""
    taker = snapshots(snapshot="camera")

    taker.see(ROOM, [], [])

    assert shown(taker.take()).mean() == pytest.approx(180, abs=3)


def test_it_leaves_out_doubtful_joints() -> None:
    """Joints below the current minimum score are not drawn."""
    taker = snapshots()
    taker.see(ROOM, [someone(0.4)], [])
    sure = shown(taker.take()).max()

    taker.min_score = 0.5

    assert sure > 100
    assert shown(taker.take()).max() < 40


def test_it_sends_one_by_itself_where_that_is_asked_for() -> None:
    """Fall events send a snapshot with `snapshot_on`, other events do not."""
    quiet, watchful = snapshots(), snapshots(snapshot_on=("fall",))
    kinds = ("fall_suspected", "fall_confirmed", "gesture", "person_left")

    sent = [len(watchful.see(ROOM, [], [event(kind)])) for kind in kinds]
    unasked = [len(quiet.see(ROOM, [], [event(kind)])) for kind in kinds]

    assert sent == [1, 1, 0, 0]
    assert unasked == [0, 0, 0, 0]


def test_it_has_nothing_to_show_before_the_first_frame_or_in_a_pause() -> None:
    """`take` returns None before the first frame and after `forget`."""
    taker = snapshots()
    before = taker.take()

    taker.see(ROOM, [], [])
    taker.forget()

    assert before is None
    assert taker.take() is None


class TestLivePicture:
    @staticmethod
    def live(**settings: object) -> LivePicture:
        camera = Camera(id="hall", source="demo://", **settings)  # type: ignore[arg-type]
        return LivePicture(TOPICS, camera, 0.3)

    @staticmethod
    def at(seconds: float, size: tuple[int, int] = (320, 240)) -> Frame:
        at_ns = 1 + round(seconds * NS_PER_S)
        return Frame(np.full((size[1], size[0], 3), 180, np.uint8), at_ns, at_ns, at_ns)

    @staticmethod
    def picture(message: Message | None) -> Image:
        assert message is not None
        assert (message.topic, message.kind, message.retain) == (TOPICS.live, "state", True)
        found = cv2.imdecode(np.frombuffer(message.payload, np.uint8), cv2.IMREAD_COLOR)
        return np.asarray(found, np.uint8)

    def test_there_is_one_before_the_first_frame(self) -> None:
        """The first picture is black with the zones, so that a dashboard has one from the start."""
        zone = CameraZone(id="sofa", polygon=((0.1, 0.1), (0.9, 0.1), (0.9, 0.9)))

        bare = self.picture(self.live().empty())
        zoned = self.picture(self.live(zones=(zone,)).empty())

        assert bare.shape[1::-1] == FIRST_SIZE
        assert bare.max() < 10
        assert zoned.max() > 60

    def test_it_changes_at_most_every_two_seconds(self) -> None:
        """Pictures come at most every `LIVE_S`, as the broker writes each one to disk."""
        live = self.live()
        sent = [s / 10 for s in range(100) if live.see(self.at(s / 10), [someone()], [])]

        assert len(sent) == 5
        assert np.diff(sent) == pytest.approx(LIVE_S)

    def test_it_is_sent_once_more_when_everybody_has_left(self) -> None:
        """After all people have left one more picture is sent, then none."""
        live = self.live()
        live.see(self.at(0), [someone()], [])

        later = [s for s in range(1, 60) if live.see(self.at(s), [], [])]

        assert later == [2]

    def test_it_is_small_and_whole(self) -> None:
        """A large frame is reduced to `LIVE_PX`, with its skeletons."""
        large = self.live().see(self.at(0, (1280, 720)), [someone()], [])[0]

        picture = self.picture(large)
        people = np.argwhere(picture.max(axis=2) > 60)
        assert picture.shape[1] == LIVE_PX
        assert people.max(axis=0)[1] <= 290 / 2

    def test_the_room_is_seen_only_where_its_owner_wants_it(self) -> None:
        """The camera's picture is included only with `live = "camera"`."""
        private, open_ = self.live(), self.live(live="camera")

        assert self.picture(private.see(self.at(0), [], [])[0]).mean() < 5
        assert self.picture(open_.see(self.at(0), [], [])[0]).mean() > 150

    def test_off_and_paused_send_nothing(self) -> None:
        """With `off` and in a pause nothing is sent, except for an empty picture at its start."""
        off, paused = self.live(live="off"), self.live()
        paused.see(self.at(0), [someone()], [])
        paused.paused = True

        assert off.see(self.at(0), [someone()], []) == []
        assert off.empty() is None
        assert paused.see(self.at(9), [someone()], []) == []
        assert self.picture(paused.empty()).max() < 10

    def test_a_picture_that_was_begun_before_the_pause_is_outdated(self) -> None:
        """It has an older revision than the empty picture, so that the outbox drops it."""
        live = self.live()
        begun = live.see(self.at(0), [someone()], [])[0]

        empty = live.empty()

        assert empty is not None
        assert begun.revision < empty.revision
