"""Draws skeleton pictures of a camera, on black or, if configured, on the camera's picture."""

import threading
from collections.abc import Sequence
from typing import Final

from edgepose import drawing
from edgepose.config.schema import Camera
from edgepose.mqtt.topics import CameraTopics
from edgepose.types import Event, Frame, Message, Track

EVENTS: Final = {"fall": ("fall_suspected", "fall_confirmed"), "gesture": ("gesture",)}
"""Event types by the names in `snapshot_on`."""


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
            return [self._draw(frame, tracks)]
        return []

    def take(self) -> Message | None:
        """Return a picture of the newest frame; None before the first. Thread-safe."""
        with self._lock:
            newest = self._newest
        return None if newest is None else self._draw(*newest)

    @property
    def newest(self) -> Frame | None:
        """The newest frame; None before the first and while paused."""
        with self._lock:
            return self._newest and self._newest[0]

    def forget(self) -> None:
        """Drop the newest frame: the camera is paused."""
        with self._lock:
            self._newest = None

    def _draw(self, frame: Frame, tracks: Sequence[Track]) -> Message:
        if self._shown:
            picture = drawing.draw(frame.image, tracks, min_score=self.min_score)
        else:
            picture = drawing.skeleton_picture(frame.size, tracks, min_score=self.min_score)
        jpeg = drawing.jpeg(picture)
        return Message(self._topics.snapshot, jpeg, "snapshot", content_type="image/jpeg")
