"""Draws skeleton pictures of a camera, on black or, if configured, on the camera's picture."""

import itertools
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from edgepose import drawing
from edgepose.config.schema import Camera
from edgepose.mqtt.topics import CameraTopics
from edgepose.timing import NS_PER_S
from edgepose.types import Box, Event, Frame, Image, Message, Pose, Size, Track

EVENTS: Final = {"fall": ("fall_suspected", "fall_confirmed"), "gesture": ("gesture",)}
"""Event types by the names in `snapshot_on`."""

LIVE_S: Final = 2.0  # minimum between two live pictures: the broker stores each of them
LIVE_PX: Final = 640
LIVE_QUALITY: Final = 75
FIRST_SIZE: Final = Size(640, 360)  # until the first frame arrives
AREA: Final = (90, 90, 90)
REST: Final = (60, 90, 140)
LINE: Final = (200, 200, 60)
REVISIONS: Final = itertools.count(1)


class Snapshots:
    """Draws one camera's newest frame, on request and on events.

    Parameters
    ----------
    topics : CameraTopics
        Topics of the camera.
    camera : Camera
        Configures the background and the events.
    min_score : float
        Keypoints below it are not drawn.
    """

    def __init__(self, topics: CameraTopics, camera: Camera, min_score: float) -> None:
        self._topics = topics
        self._shown = camera.snapshot == "camera"
        self._on = {type_ for name in camera.snapshot_on for type_ in EVENTS[name]}
        self._lock = threading.Lock()
        self._newest: tuple[Frame, tuple[Track, ...]] | None = None
        self.min_score = min_score

    def see(self, frame: Frame, tracks: Sequence[Track], events: Sequence[Event]) -> list[Message]:
        """Store a frame; return its picture if `snapshot_on` names one of the events."""
        with self._lock:
            self._newest = (frame, tuple(tracks))
        if any(event.type in self._on for event in events):
            return [self._draw_snapshot(frame, tracks)]
        return []

    def take(self) -> Message | None:
        """Return a picture of the newest frame; None before the first. Thread-safe."""
        with self._lock:
            newest = self._newest
        return None if newest is None else self._draw_snapshot(*newest)

    @property
    def newest(self) -> Frame | None:
        """The newest frame; None before the first and while paused."""
        with self._lock:
            return self._newest and self._newest[0]

    def forget(self) -> None:
        """Drop the newest frame: the camera is paused."""
        with self._lock:
            self._newest = None

    def _draw_snapshot(self, frame: Frame, tracks: Sequence[Track]) -> Message:
        if self._shown:
            picture = drawing.draw(frame.image, tracks, min_score=self.min_score)
        else:
            picture = drawing.skeleton_picture(frame.size, tracks, min_score=self.min_score)
        jpeg = drawing.jpeg(picture)
        return Message(self._topics.snapshot, jpeg, "snapshot", content_type="image/jpeg")


class LivePicture:
    """Draws one camera's live picture, at most every `LIVE_S` seconds and only when it changes.

    The picture is retained by the broker, so that there is always one.

    Parameters
    ----------
    topics : CameraTopics
        Topics of the camera.
    camera : Camera
        Configures the background, zones and lines.
    min_score : float
        Keypoints below it are not drawn.
    """

    def __init__(self, topics: CameraTopics, camera: Camera, min_score: float) -> None:
        self._topics, self._camera = topics, camera
        self._size = FIRST_SIZE
        self._sent_ns: int | None = None
        self._shows_people = False
        self.min_score = min_score
        self.paused = False

    def see(self, frame: Frame, tracks: Sequence[Track], _: Sequence[Event]) -> list[Message]:
        """Return a new picture if one is due."""
        if self.paused or self._camera.live == "off" or not self._is_due(frame, tracks):
            return []
        revision = next(REVISIONS)
        self._sent_ns, self._shows_people = frame.captured_ns, bool(tracks)
        self._size = frame.size.within(LIVE_PX)
        if self._camera.live == "camera":
            canvas = np.array(drawing.shrink(frame.image, LIVE_PX))
        else:
            canvas = drawing.black(self._size)
        scale = self._size.width / frame.size.width
        return [self._message(canvas, [scaled(track, scale) for track in tracks], revision)]

    def empty(self) -> Message | None:
        """Return a picture without people, for a start or a pause; None if `live` is off."""
        self._sent_ns = None
        if self._camera.live == "off":
            return None
        return self._message(drawing.black(self._size), (), next(REVISIONS))

    def _is_due(self, frame: Frame, tracks: Sequence[Track]) -> bool:
        sent_ns = self._sent_ns  # `empty` may reset it in another thread
        if sent_ns is None:
            return True
        if not (tracks or self._shows_people or self._camera.live == "camera"):
            return False
        since_s = (frame.captured_ns - sent_ns) / NS_PER_S
        return since_s >= LIVE_S or since_s < 0  # negative if a file begins again

    def _message(self, canvas: Image, tracks: Sequence[Track], revision: int) -> Message:
        draw_places(canvas, self._camera)
        picture = drawing.draw(canvas, tracks, min_score=self.min_score)
        return Message(
            self._topics.live,
            drawing.jpeg(picture, quality=LIVE_QUALITY),
            "state",
            retain=True,
            content_type="image/jpeg",
            revision=revision,  # a picture drawn before a pause must not replace the paused one
        )


def draw_places(canvas: Image, camera: Camera) -> None:
    """Draw a camera's zones and lines onto a picture of its whole frame."""
    for zone in camera.zones:
        colour = REST if zone.kind == "rest" else AREA
        drawing.draw_path(canvas, zone.polygon, colour, closed=True)
    for line in camera.lines:
        drawing.draw_path(canvas, line.points, LINE)


def scaled(track: Track, scale: float) -> Track:
    """Return a track in the pixels of a picture scaled by `scale`."""
    pose = track.pose
    keypoints = pose.keypoints.copy()
    keypoints[:, :2] = (keypoints[:, :2] + 0.5) * scale - 0.5
    box = Box(*(value * scale for value in pose.box))
    return replace(track, pose=Pose(keypoints, pose.score, box))
