"""Composes the messages of one camera from its poses, people and events."""

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
"""Revision numbers of states, shared by all cameras so that they keep rising after a reload."""


class Composer:
    """Composes the messages of each frame for one camera's topics.

    Parameters
    ----------
    extra : mapping, optional
        Keys of `C/state` that do not come from a detector.
    picture : callable, optional
        Called with the arguments of `compose`; returns pictures to send as well.
    packed : bool
        Whether poses are also sent as MessagePack.
    counted : callable, optional
        Counts the events of a frame and returns `lines` of `C/state`; thread-safe.
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
        """Return the messages of a frame: poses, events, and the state if it changed."""
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
            if self._state != self._current_fields():
                composed.append(self._compose_state())
        return composed

    def forget(self) -> None:
        """Reset the state to that before the first frame. Thread-safe."""
        self._seen = {}

    def tell(self) -> Message:
        """Return the `C/state` message. Thread-safe."""
        with self._lock:
            return self._compose_state()

    def _compose_state(self) -> Message:
        """Compose and number the state; the outbox drops a state older than the last one sent."""
        self._state = self._current_fields()
        message = encoding.state(self._topics, [self._state], self._frame)
        return replace(message, revision=next(REVISIONS))

    def _current_fields(self) -> dict[str, Any]:
        """Return the fields of the state; while paused, those for no person."""
        empty: dict[str, Any] = {"zones": {zone.id: {} for zone in self._follower.zones}}
        seen = {} if self.extra.get("paused") else self._seen
        return {**empty, "lines": self._counted(()), **seen, **self.extra}
