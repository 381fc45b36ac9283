"""Clips: an animation of the seconds around an event, and its poses as a recording.

The poses of the last seconds are kept in memory. A clip shows them with zones and lines on a
black background, or on the camera's picture where the configuration enables that.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edgepose import drawing
from edgepose.config.schema import Camera
from edgepose.config.schema import Clips as ClipSettings
from edgepose.mqtt import encoding
from edgepose.mqtt.snapshots import draw_places, scaled
from edgepose.mqtt.topics import CameraTopics
from edgepose.recording import webp
from edgepose.timing import NS_PER_S, rfc3339
from edgepose.types import Event, Frame, Image, Message, Size, Track

log: Final = logging.getLogger(__name__)

BEFORE_S: Final = 5.0
AFTER_S: Final = 5.0
MAX_BYTES: Final = 200_000
POSES_FPS: Final = 10.0
TRIGGERS: Final = {"fall": "fall_suspected", "long_lie": "long_lie"}
"""From values of `clip_on` to event types."""

LEVELS: Final = ((480, 8, 70), (480, 5, 50), (360, 5, 35), (240, 4, 20), (160, 2, 10))
"""Longest side in pixels, frames per second, quality; the first within `MAX_BYTES` is used."""

PICTURE_PX: Final = LEVELS[0][0]
PICTURE_QUALITY: Final = 70  # JPEG quality of the camera's pictures in memory


@dataclass(frozen=True, slots=True, eq=False)
class ClipMoment:
    """One frame in memory for a clip."""

    frame: Frame
    """The frame without its picture."""

    tracks: tuple[Track, ...]
    jpeg: bytes | None
    """The camera's picture, reduced; None unless clips show it."""


class ClipRecorder:
    """Keeps one camera's last seconds in memory and makes clips from them.

    Parameters
    ----------
    topics : CameraTopics
        Topics of the clips.
    camera : Camera
        Settings of triggers and content.
    settings : ClipSettings
        Settings of the storage on disk.
    min_score : float
        Keypoints below it are not drawn.
    publish : callable
        Sends a message; called from a separate thread.
    """

    def __init__(
        self,
        topics: CameraTopics,
        camera: Camera,
        settings: ClipSettings,
        min_score: float,
        publish: Callable[[Message], object],
    ) -> None:
        self.min_score = min_score
        self._topics = topics
        self._camera = camera
        self._settings = settings
        self._publish = publish
        self._on = {TRIGGERS[name] for name in camera.clip_on}
        self._lock = threading.Lock()
        self._moments: deque[ClipMoment] = deque()
        self._due_ns: int | None = None

    def see(self, frame: Frame, tracks: Sequence[Track], events: Sequence[Event]) -> list[Message]:
        """Add a frame; start a clip `AFTER_S` after a triggering event.

        Always returns an empty list: clips are published later, from a thread.
        """
        jpeg = None
        if self._camera.clip == "camera":
            jpeg = drawing.jpeg(drawing.shrink(frame.image, PICTURE_PX), quality=PICTURE_QUALITY)
        at_ns = frame.captured_ns
        with self._lock:
            if self._moments and at_ns < self._moments[-1].frame.captured_ns:
                self._moments.clear()
            self._moments.append(ClipMoment(frame.without_picture(), tuple(tracks), jpeg))
            while at_ns - self._moments[0].frame.captured_ns > (BEFORE_S + AFTER_S) * NS_PER_S:
                self._moments.popleft()
            if self._due_ns is None and any(event.type in self._on for event in events):
                self._due_ns = at_ns + round(AFTER_S * NS_PER_S)
            due = self._due_ns is not None and at_ns >= self._due_ns
            if due:
                self._due_ns = None
                moments = list(self._moments)
        if due:
            threading.Thread(
                target=self._send_clip, args=(moments,), name="clip", daemon=True
            ).start()
        return []

    def take(self) -> list[Message]:
        """Return a clip of the last seconds and its poses; empty before the first frame.

        Thread-safe. Can take several seconds.
        """
        with self._lock:
            moments = list(self._moments)
        messages = self._clip_messages(moments) if moments else []
        return [replace(message, is_requested=True) for message in messages]

    def forget(self) -> None:
        """Discard all frames, as for a paused camera."""
        with self._lock:
            self._moments.clear()
            self._due_ns = None

    def _send_clip(self, moments: Sequence[ClipMoment]) -> None:
        for message in self._clip_messages(moments):
            self._publish(message)

    def _clip_messages(self, moments: Sequence[ClipMoment]) -> list[Message]:
        picture, lines = self._draw_animation(moments), self._pose_lines(moments)
        if self._settings.keep:
            name = rfc3339(moments[0].frame.unix_ns).replace(":", "-")
            files = {f"{name}.webp": picture, f"{name}.jsonl": lines}
            keep(Path(self._settings.keep), self._camera.id, files, self._settings.keep_mb)
        return [
            Message(self._topics.clip, picture, "snapshot", content_type=webp.MEDIA_TYPE),
            Message(self._topics.clip_poses, lines, "snapshot", content_type="application/jsonl"),
        ]

    def _pose_lines(self, moments: Sequence[ClipMoment]) -> bytes:
        """Return the poses as JSON Lines for `replay` and `score`: one `C/poses` message a line."""
        messages = (
            encoding.poses(
                self._topics, moment.frame, moment.tracks, seq=number, latency_ms=0.0, model="clip"
            )
            for number, moment in enumerate(dict.fromkeys(thinned(moments, POSES_FPS)), 1)
        )
        return b"".join(message.payload + b"\n" for message in messages)

    def _draw_animation(self, moments: Sequence[ClipMoment]) -> bytes:
        """Return the animation at the best of `LEVELS` that fits `MAX_BYTES`, else the last."""
        content = b""
        for longest_px, fps, quality in LEVELS:
            chosen = thinned(moments, fps)
            frames = [self._draw_frame(moment, longest_px) for moment in chosen]
            content = webp.animation(frames, round(1000 / fps), quality=quality)
            if len(content) <= MAX_BYTES:
                break
        return content

    def _draw_frame(self, moment: ClipMoment, longest_px: int) -> Image:
        full = moment.frame.size
        size = full.within(longest_px)
        canvas = _background_at(moment, size)
        draw_places(canvas, self._camera)
        tracks = [scaled(track, size.width / full.width) for track in moment.tracks]
        return drawing.draw(canvas, tracks, min_score=self.min_score)


def thinned(moments: Sequence[ClipMoment], fps: float) -> list[ClipMoment]:
    """Resample moments to `fps`: the latest moment at each step of `1 / fps` seconds."""
    first_ns = moments[0].frame.captured_ns
    last_ns = moments[-1].frame.captured_ns
    steps = round((last_ns - first_ns) / NS_PER_S * fps)
    chosen, index = [], 0
    for step in range(steps + 1):
        at_ns = first_ns + step * NS_PER_S / fps
        while index + 1 < len(moments) and moments[index + 1].frame.captured_ns <= at_ns:
            index += 1
        chosen.append(moments[index])
    return chosen


def _background_at(moment: ClipMoment, size: Size) -> Image:
    if moment.jpeg is None:
        return drawing.black(size)
    bgr = cv2.imdecode(np.frombuffer(moment.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.asarray(cv2.cvtColor(cv2.resize(bgr, size), cv2.COLOR_BGR2RGB), dtype=np.uint8)


def keep(folder: Path, camera: str, files: dict[str, bytes], limit_mb: float) -> None:
    """Write files to the camera's folder and remove its oldest clips beyond the limit.

    Logs a warning if the files cannot be written.
    """
    place = folder / camera
    try:
        place.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (place / name).write_bytes(content)
        known = sorted(path for path in place.iterdir() if path.suffix in {".webp", ".jsonl"})
        total = sum(path.stat().st_size for path in known)
        for path in known[: -len(files)]:
            if total <= limit_mb * 1e6:
                break
            total -= path.stat().st_size
            path.unlink()
    except OSError as error:
        log.warning("%s: a clip cannot be kept: %s", place, error.strerror)
