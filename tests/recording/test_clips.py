"""Clips: small, without the camera's picture by default, with poses to replay."""

import threading
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from edgepose.config.loading import loads
from edgepose.config.schema import Clips as ClipSettings
from edgepose.mqtt.topics import Topics
from edgepose.recording import webp
from edgepose.recording.clips import MAX_BYTES, ClipRecorder
from edgepose.recording.reader import open_recording
from edgepose.recording.replay import rederive
from edgepose.timing import NS_PER_S
from edgepose.types import Event, Frame, Image, Message
from tests.support.body import Actor, Moment, Scene, fall, stand

TOPICS = Topics("edgepose", "pi").camera("hall")
FALL_S = 6.0
BLACK = np.broadcast_to(np.uint8(0), (720, 1280, 3))
ROOM = np.broadcast_to(np.uint8(180), (720, 1280, 3))


class Taker:
    """A camera's clips and the messages they send."""

    def __init__(self, keep: str = "", keep_mb: float = 50, **settings: Any) -> None:
        text = """
[[camera]]
id = "hall"
source = "demo://"
[[camera.zone]]
id = "sofa"
polygon = [[0, 0.5], [0.2, 0.5], [0.2, 0.9]]
[[camera.line]]
id = "door"
points = [[0.7, 0.9], [0.9, 0.9]]
"""
        (camera,) = loads(text, "test").cameras
        camera = msgspec.structs.replace(camera, **settings)
        self.sent: list[Message] = []
        self.done = threading.Event()
        clips = ClipSettings(keep=keep, keep_mb=keep_mb)
        self.clips = ClipRecorder(TOPICS, camera, clips, 0.3, self._publish)

    def _publish(self, message: Message) -> None:
        self.sent.append(message)
        if message.topic == TOPICS.clip_poses:
            self.done.set()

    def watch(
        self, seconds: float = 20, people: int = 1, fps: float = 10, image: Image = BLACK
    ) -> None:
        """Show people who fall; an event reports the fall at `FALL_S`."""
        actors = tuple(
            Actor.doing(
                stand(4), *fall("left", stay=20), at=(4 + 0.4 * n, 0.8 * n - 1), heading_deg=90 * n
            )
            for n in range(people)
        )
        told = False
        nobody = (Moment(n / fps, round(n / fps * NS_PER_S), {}) for n in range(10**6))
        for moment in Scene(actors).observe(fps, 1) if actors else nobody:
            if moment.seconds > seconds:
                break
            events = []
            if moment.seconds >= FALL_S and not told:
                told = True
                events = [Event("fall_suspected", moment.at_ns, 1, 0.9)]
            frame = Frame(image, moment.at_ns, 10**18 + moment.at_ns, moment.at_ns)
            assert self.clips.see(frame, moment.tracks(), events) == []

    def clip(self) -> tuple[Message, Message]:
        """Return the clip of the event and its poses."""
        assert self.done.wait(60)
        picture, poses = self.sent
        return picture, poses


def frames(message: Message) -> list[Image]:
    """Return the frames of a clip, as OpenCV reads them."""
    if not hasattr(cv2, "imdecodeanimation"):
        pytest.skip("this OpenCV reads no animations")
    found, read = cv2.imdecodeanimation(np.frombuffer(message.payload, np.uint8))
    assert found
    return [np.asarray(frame[..., :3], np.uint8) for frame in read.frames]


def test_a_fall_sends_ten_seconds_around_it() -> None:
    """The clip covers 5 s before and after the event; the picture is sent before the poses."""
    taker = Taker()

    taker.watch()
    picture, poses = taker.clip()

    assert (picture.topic, picture.content_type) == (TOPICS.clip, "image/webp")
    assert poses.topic == TOPICS.clip_poses
    assert not picture.retain
    times = [msgspec.json.decode(line)["captured_at"] for line in poses.payload.splitlines()]
    assert (times[0][-7:], times[-1][-7:]) == ("41.000Z", "51.000Z")  # 10**9 s end in :40
    assert len(times) == 101


@pytest.mark.parametrize("people", [0, 1, 6])
@pytest.mark.parametrize("fps", [5, 30])
def test_a_clip_is_small_and_moves(people: int, fps: float) -> None:
    """A clip has at most 200 kB, with six people, too, and frames of equal size."""
    taker = Taker()
    taker.watch(11, people, fps)

    picture, poses = taker.clips.take()

    assert len(picture.payload) <= MAX_BYTES
    assert len(poses.payload.splitlines()) <= 102
    shown = frames(picture)
    assert len({frame.shape for frame in shown}) == 1
    assert len(shown) >= 20
    assert (people == 0) is all(np.array_equal(shown[0], frame) for frame in shown)


def test_a_clip_shows_zones_and_lines_and_nothing_of_the_room() -> None:
    """The background is black; zone and line are drawn at their positions."""
    taker = Taker()
    taker.watch(3, 0, image=ROOM)

    first = frames(taker.clips.take()[0])[0]

    height, width = first.shape[:2]
    lit = first.max(axis=2) > 30
    assert lit[:, : width // 4].any()
    assert lit[round(0.88 * height) : round(0.92 * height), round(0.75 * width)].any()
    assert lit.mean() < 0.05


def test_the_room_is_shown_where_the_owner_wants_it() -> None:
    """`clip = "camera"` draws the skeletons over the camera's picture."""
    taker = Taker(clip="camera")
    taker.watch(3, 0, image=ROOM)

    first = frames(taker.clips.take()[0])[0]

    assert np.median(first) == pytest.approx(180, abs=5)


def test_the_poses_can_be_replayed(tmp_path: Path) -> None:
    """The recording contains the same people, and events are derived from it."""
    taker = Taker()
    taker.watch()
    file = tmp_path / "clip.jsonl"
    file.write_bytes(taker.clip()[1].payload)

    steps = list(rederive(open_recording(file), loads("", "test")))

    assert {track.id for step in steps for track in step.tracks} == {1}
    assert "person_appeared" in {event.type for step in steps for event in step.events}


def test_events_that_were_not_asked_for_send_nothing() -> None:
    """With an empty `clip_on` clips are sent only on request."""
    taker = Taker(clip_on=())

    taker.watch()

    assert not taker.done.wait(0.2)
    assert taker.sent == []
    assert len(taker.clips.take()) == 2


def test_a_pause_forgets_all() -> None:
    """After `forget` a clip contains nothing from before."""
    taker = Taker()
    taker.watch(7)

    taker.clips.forget()

    assert taker.clips.take() == []


def test_kept_clips_stay_within_their_limit(tmp_path: Path) -> None:
    """Picture and poses are stored; the oldest are deleted at the limit."""
    taker = Taker(keep=str(tmp_path), keep_mb=0.5)
    for second in range(0, 200, 20):
        taker.watch(11)
        taker.clips.take()
        taker.clips.forget()
        folder = tmp_path / "hall"
        for path in folder.iterdir():  # as if recorded at another time
            if not path.name.startswith("1999-"):
                path.rename(folder / f"1999-{second:03}{path.suffix}")
    taker.watch(11)
    taker.clips.take()

    kept = sorted(path.name for path in (tmp_path / "hall").iterdir())

    assert sum(path.stat().st_size for path in (tmp_path / "hall").iterdir()) <= 500_000
    assert "1999-000.webp" not in kept
    assert any(not name.startswith("1999-") for name in kept)


def test_a_folder_that_cannot_be_written_costs_the_file_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The clip is sent, and the log says why it is not stored."""
    (tmp_path / "file").touch()
    taker = Taker(keep=str(tmp_path / "file"))
    taker.watch(3)

    messages = taker.clips.take()

    assert len(messages) == 2
    assert "cannot be kept" in caplog.text


def test_an_animation_has_its_frames_in_order() -> None:
    """Frames are in order, with the given duration."""
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    pictures = [np.full((33, 47, 3), colour, np.uint8) for colour in colours]

    content = webp.animation(pictures, 120, quality=90)

    shown = frames(Message("", content, "snapshot"))
    assert [frame[16, 20].argmax() for frame in shown] == [2, 1, 0]  # blue is channel 0
    assert all(frame.shape == (33, 47, 3) for frame in shown)
