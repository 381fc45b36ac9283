"""Clears retained topics of cameras that were removed.

The broker keeps a retained message after its camera was removed. So the topics in use are stored
in the state directory, and topics no longer in use are cleared, also if the configuration or the
device id was changed while the daemon was stopped.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from edgepose.config.schema import Config
from edgepose.mqtt.topics import Topics
from edgepose.system.storage import StateFile
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Message

SETTLE_S: Final = 6.0
"""Seconds from a change or connection until topics are cleared. By then Home Assistant has
removed the entities, whose templates do not accept an empty state."""


def topics_of(config: Config, topics: Topics) -> Iterator[str]:
    """Yield every retained topic of a configuration."""
    yield from (topics.availability, topics.status)
    for camera in config.cameras:
        of_camera = topics.camera(camera.id)
        yield from (of_camera.availability, of_camera.state)
        if camera.live != "off":
            yield of_camera.live


class StaleTopicCleaner:
    """Clears the retained topics that are no longer configured. Thread-safe.

    Parameters
    ----------
    note : StateFile
        Stores the topics; of type `list[str]`.
    put : callable
        Sends a message once there is a session, and again until the broker acknowledges it.
    """

    def __init__(self, note: StateFile, put: Callable[[Message], None], clock: Clock) -> None:
        self._note, self._put, self._clock = note, put, clock
        self._lock = threading.Lock()
        self._kept: frozenset[str] = frozenset()
        self._gone: set[str] = set(note.read() or ())
        self._since_ns: int | None = None
        """When the session began or the topics changed; None without a session."""

    def configure(self, topics: Iterable[str]) -> None:
        """Set the topics in use."""
        with self._lock:
            before = self._kept
            self._kept = frozenset(topics)
            self._gone = (self._gone | before) - self._kept
            if self._since_ns is not None:
                self._since_ns = self._clock.now_ns()
            self._write_topics()

    def connected(self) -> None:
        """Record the start of a session."""
        with self._lock:
            self._since_ns = self._clock.now_ns()

    def disconnected(self) -> None:
        """Record the end of a session."""
        with self._lock:
            self._since_ns = None

    def clear_due(self) -> None:
        """Clear stale topics once `SETTLE_S` have passed."""
        with self._lock:
            due_ns = None if self._since_ns is None else self._since_ns + SETTLE_S * NS_PER_S
            if due_ns is None or self._clock.now_ns() < due_ns:
                return
            gone = sorted(self._gone)
        for topic in gone:
            self._put(Message(topic, b"", "state", qos=1, retain=True))

    def note_cleared(self, topic: str) -> None:
        """Record that the broker has cleared a topic or refuses to."""
        with self._lock:
            self._gone.discard(topic)
            self._write_topics()

    def _write_topics(self) -> None:
        self._note.write(sorted(self._kept | self._gone))
