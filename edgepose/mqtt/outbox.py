"""Outgoing messages with a delivery policy per kind: drop, keep latest, or spool."""

import threading
from collections import deque
from dataclasses import dataclass

from edgepose.mqtt.spool import Spool
from edgepose.types import Kind, Message


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The next message to send."""

    message: Message
    number: int | None = None
    """Number in the spool, for an event."""


class Outbox:
    """Outgoing messages with a delivery policy per kind.

    Poses, statistics and pictures are transient: accepted only while there is a session, and
    only a few are queued. The latest state of each topic is kept and sent again in each session.
    Events stay in the spool until the broker has acknowledged them.

    Parameters
    ----------
    spool : Spool, optional
        Holds events; in memory by default.
    """

    DEPTH = 8
    """Maximum number of queued transient messages; above it the oldest is dropped."""

    def __init__(self, spool: Spool | None = None) -> None:
        self._changed = threading.Condition()
        self._online = False
        self._closed = False
        self._transient: deque[Message] = deque()
        self._states: dict[str, Message] = {}
        self._unsent: dict[str, None] = {}
        self._spool = Spool(None) if spool is None else spool
        self._events_turn = False
        self.dropped: dict[Kind, int] = {"poses": 0, "stats": 0, "snapshot": 0, "state": 0}

    @property
    def is_exclusive(self) -> bool:
        """Whether this process is the only one that uses the device's spool folder."""
        return self._spool.is_ours

    def put(self, message: Message) -> None:
        """Queue a message; never waits for the network."""
        with self._changed:
            if message.kind == "state":
                self._put_state(message)
            elif message.kind == "event":
                self._spool.put(message)
            else:
                self._put_transient(message)
            self._changed.notify_all()

    def _put_state(self, message: Message) -> None:
        latest = self._states.get(message.topic)
        if latest is not None and 0 < message.revision < latest.revision:
            return
        self._states[message.topic] = message
        self._unsent[message.topic] = None

    def _put_transient(self, message: Message) -> None:
        if not self._online:
            self._drop_message(message)
            return
        if len(self._transient) >= self.DEPTH:
            self._drop_message(self._transient.popleft())
        self._transient.append(message)

    def _drop_message(self, message: Message) -> None:
        self.dropped[message.kind] = self.dropped.get(message.kind, 0) + 1

    def wait(self) -> bool:
        """Wait until `next` or `maintain` has work; return False once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over() or self._is_ready(), self._spool.due_s())
            return not self._is_over()

    def next(self) -> Outgoing | None:
        """Return the next message to send, states first; None if there is none."""
        with self._changed:
            if not self._is_ready():
                return None
            if self._unsent:
                topic = next(iter(self._unsent))
                del self._unsent[topic]
                return Outgoing(self._states[topic])
            return self._next_event() or self._next_transient()

    def _next_event(self) -> Outgoing | None:
        """Return an event every other time: a backlog of events must not block poses."""
        self._events_turn = not self._events_turn or not self._transient
        entry = self._spool.next() if self._events_turn else None
        return None if entry is None else Outgoing(entry.message, entry.number)

    def _next_transient(self) -> Outgoing | None:
        return Outgoing(self._transient.popleft()) if self._transient else None

    def _is_ready(self) -> bool:
        return self._online and bool(self._unsent or self._transient or self._spool.is_ready)

    def _is_over(self) -> bool:
        nothing = not (self._unsent or self._transient) and self._spool.is_idle
        return self._closed and (nothing or not self._online)

    def requeue(self, outgoing: Outgoing) -> None:
        """Return a message that could not be sent to its queue."""
        message = outgoing.message
        with self._changed:
            if outgoing.number is not None:
                self._spool.requeue(outgoing.number)
            elif message.kind == "state":
                self._unsent = {message.topic: None} | self._unsent
            else:
                self._drop_message(message)

    def acknowledge(self, outgoing: Outgoing, *, accepted: bool) -> None:
        """Record the broker's answer to an event, or to a cleared topic."""
        with self._changed:
            if outgoing.number is not None:
                self._spool.acknowledge(outgoing.number, accepted=accepted)
                self._changed.notify_all()
            elif accepted and self._states.get(outgoing.message.topic) is outgoing.message:
                self._unsent.pop(outgoing.message.topic, None)
                del self._states[outgoing.message.topic]

    def set_online(self, online: bool) -> None:
        """Record the start or end of a session; all states are sent again at its start."""
        with self._changed:
            self._online = online
            if online:
                self._spool.restart()
                self._unsent = dict.fromkeys(self._states)
            else:
                for message in self._transient:
                    self._drop_message(message)
                self._transient.clear()
            self._changed.notify_all()

    def repeat(self) -> None:
        """Send all states again."""
        with self._changed:
            self._unsent = dict.fromkeys(self._states)
            self._changed.notify_all()

    def maintain(self) -> None:
        """Sync events to disk and retry refused topics, if due."""
        with self._changed:
            self._spool.retry_refused()
            force = self._spool.to_sync()
        if force is not None:
            force()

    def counts(self) -> dict[str, int]:
        """Return the number of dropped messages by kind."""
        counts: dict[str, int] = {str(kind): count for kind, count in self.dropped.items()}
        return counts | {"event": self._spool.dropped}

    def waiting(self) -> int:
        """Return the number of events that the broker has not acknowledged."""
        return len(self._spool)

    def close(self) -> None:
        """End `wait` once all messages are sent, or at once without a session."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def end(self) -> None:
        """Close the spool; unsent events stay on disk."""
        with self._changed:
            self._spool.close()
