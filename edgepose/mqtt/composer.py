"""Messages of one camera from its poses, people and events."""

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from edgepose.mqtt import encoding
from edgepose.mqtt import topics as mqtt_topics
from edgepose.people.follower import Follower
from edgepose.timing import NS_PER_MS, Clock
from edgepose.types import Compose, Event, Frame, Message, Track

REVISIONS: Final = itertools.count(1)
"""Shared by all cameras: one that a reload starts anew does not begin with low numbers."""


class Composer:
    """Puts what a frame brought into messages for one camera's topics.

    Parameters
    ----------
    extra : mapping, optional
        Keys of `C/state` that no detector knows.
    picture : callable, optional
        Takes what `compose` takes and returns pictures to send with it.
    packed : bool
        Whether poses are said in MessagePack too.
    counted : callable, optional
        Takes the events of a frame, counts them and returns `lines` of `C/state`; thread-safe.
    """

    def __init__(
        self,
        topics: mqtt_topics.CameraTopics,
        *,
        model: Callable[[], str],
        follower: Follower,
        clock: Clock,
        extra: Mapping[str, Any] = MappingProxyType({}),
        picture: Compose | None = None,
        packed: bool = False,
        counted: Callable[[Sequence[Event]], Mapping[str, Any]] = lambda _: {},
    ) -> None:
        self.extra = extra
        self._picture = picture
        self._packed = packed
        self._counted = counted
        self._topics = topics
        self._model = model
        self._follower = follower
        self._clock = clock
        self._seq = 0
        self._seen: dict[str, Any] = {}
        self._state: dict[str, Any] | None = None
        self._lock = threading.Lock()
        self._frame: Frame | None = None

    def compose(
        self, frame: Frame, tracks: Sequence[Track], events: Sequence[Event]
    ) -> list[Message]:
        """Return the frame's poses, what has happened, and the state if it is another now."""
        self._seq += 1
        self._frame = frame.without_picture()
        latency_ms = (self._clock.now_ns() - frame.read_ns) / NS_PER_MS
        composed = [
            encoding.poses(
                self._topics,
                frame,
                tracks,
                seq=self._seq,
                latency_ms=latency_ms,
                model=self._model(),
                frame_id=self._follower.frame_id,
            )
        ]
        if self._packed:
            composed.append(encoding.packed(self._topics, composed[0]))
        composed += [encoding.event(self._topics, event, frame) for event in events]
        if self._picture is not None:
            composed += self._picture(frame, tracks, events)
        if events:
            self._counted(events)
        self._seen = self._follower.state
        with self._lock:
            if self._state != self._now():
                composed.append(self._compose_state())
        return composed

    def forget(self) -> None:
        """Know nothing of the camera until its next frame; any thread."""
        self._seen = {}

    def tell(self) -> Message:
        """Return the camera's state; thread-safe."""
        with self._lock:
            return self._compose_state()

    def _compose_state(self) -> Message:
        """Read and number the state; the outbox drops one that a later one overtook."""
        self._state = self._now()
        message = encoding.state(self._topics, [self._state], self._frame)
        return replace(message, revision=next(REVISIONS))

    def _now(self) -> dict[str, Any]:
        """Return the state; while paused it says that no person is there."""
        empty: dict[str, Any] = {"zones": {zone.id: {} for zone in self._follower.zones}}
        seen = {} if self.extra.get("paused") else self._seen
        return {**empty, "lines": self._counted(()), **seen, **self.extra}
