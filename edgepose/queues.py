"""Where threads meet, and nowhere else: `Slot`, `Lanes`, `Outbox`."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from edgepose.structures import Kind, Message

T = TypeVar("T")


class Slot(Generic[T]):
    """Holds one thing between two threads.

    Parameters
    ----------
    newest_wins : bool
        True for live sources: a newer thing replaces the one that waits. False
        for finite ones: whoever puts waits until the other has taken.
    """

    def __init__(self, *, newest_wins: bool) -> None:
        self._newest_wins = newest_wins
        self._changed = threading.Condition()
        self._held: deque[T] = deque()
        self._closed = False
        self.dropped = 0

    def put(self, item: T) -> bool:
        """Leave a thing for the other side; False once closed."""
        with self._changed:
            if self._newest_wins:
                self.dropped += len(self._held)
                self._held.clear()
            else:
                self._changed.wait_for(lambda: self._closed or not self._held)
            if self._closed:
                return False
            self._held.append(item)
            self._changed.notify_all()
            return True

    def take(self) -> T | None:
        """Wait for a thing and take it; None once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._held))
            if not self._held:
                return None
            item = self._held.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Let both sides go; what waits may still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Lanes(Generic[T]):
    """Many givers, one taker, equal turns: a lane holds one thing and its giver waits.

    The engine is shared by all cameras; taking turns keeps a quick camera from
    starving a slow one.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lanes: dict[str, T] = {}
        self._last_turn: dict[str, int] = {}
        self._turn = 0
        self._closed = False

    def wait_until_free(self, lane: str) -> bool:
        """Wait until a lane is free, so that what is made ready is fresh; False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or lane not in self._lanes)
            return not self._closed

    def put(self, lane: str, item: T) -> bool:
        """Leave a thing in a lane as soon as it is free; False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or lane not in self._lanes)
            if self._closed:
                return False
            self._lanes[lane] = item
            self._changed.notify_all()
            return True

    def take(self) -> T | None:
        """Take from the lane whose turn is longest ago; None once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._lanes))
            if not self._lanes:
                return None
            lane = min(self._lanes, key=lambda name: self._last_turn.get(name, 0))
            self._turn += 1
            self._last_turn[lane] = self._turn
            item = self._lanes.pop(lane)
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Let everybody go; what waits may still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Outbox:
    """Messages on their way to the sink, each kind with its own patience.

    Poses and stats are worthless when late: they are taken only while there is a
    connection, and few wait. Of a state the latest of each topic is kept, and
    handed out again in each new session.
    """

    DEPTH = 8
    """Pose frames that may wait for a slow network before the oldest is dropped."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._online = False
        self._closed = False
        self._moments: deque[Message] = deque()
        self._states: dict[str, Message] = {}
        self._unsent: dict[str, None] = {}
        self.dropped: dict[Kind, int] = {"poses": 0, "stats": 0, "state": 0, "event": 0}

    def put(self, message: Message) -> None:
        """Hand a message over; never waits."""
        with self._changed:
            if message.kind == "state":
                self._states[message.topic] = message
                self._unsent[message.topic] = None
            else:
                self._put_moment(message)
            self._changed.notify_all()

    def _put_moment(self, message: Message) -> None:
        if not self._online:
            self.dropped[message.kind] += 1
            return
        if len(self._moments) >= self.DEPTH:
            self.dropped[self._moments.popleft().kind] += 1
        self._moments.append(message)

    def take(self) -> Message | None:
        """Wait for the next message to send, states first; None once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._ready())
            if not self._ready():
                return None
            if self._unsent:
                topic = next(iter(self._unsent))
                del self._unsent[topic]
                return self._states[topic]
            return self._moments.popleft()

    def _ready(self) -> bool:
        return self._online and bool(self._unsent or self._moments)

    def back(self, message: Message) -> None:
        """Take back a message that could not be sent."""
        with self._changed:
            if message.kind == "state":
                self._unsent = {message.topic: None} | self._unsent
            else:
                self.dropped[message.kind] += 1

    def set_online(self, online: bool) -> None:
        """Tell of a new session, in which all states are sent again, or of its end."""
        with self._changed:
            self._online = online
            if online:
                self._unsent = dict.fromkeys(self._states)
            else:
                for message in self._moments:
                    self.dropped[message.kind] += 1
                self._moments.clear()
            self._changed.notify_all()

    def counts(self) -> dict[str, int]:
        """Return how many messages of each kind were dropped."""
        return {str(kind): count for kind, count in self.dropped.items()}

    def close(self) -> None:
        """Let the sink's thread go once the rest is sent, or at once when offline."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Failure:
    """The first error of any worker thread, for the main thread to raise."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._lock = threading.Lock()
        self.error: BaseException | None = None

    def report(self, error: BaseException) -> None:
        """Keep the first error and ask the daemon to stop."""
        with self._lock:
            self.error = self.error or error
        self._stop()
