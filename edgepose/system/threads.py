"""Queues and events between threads: `LatestSlot`, `FairQueue`, `InOrder`, `WakeEvent`."""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestSlot(Generic[T]):
    """A queue of one item between two threads.

    Parameters
    ----------
    newest_wins : bool
        True for live sources: a newer item replaces the pending one. False for finite
        sources: `put` waits until the previous item was taken.
    """

    def __init__(self, *, newest_wins: bool) -> None:
        self._newest_wins = newest_wins
        self._changed = threading.Condition()
        self._held: deque[T] = deque()
        self._closed = False
        self.dropped = 0

    def put(self, item: T) -> bool:
        """Add an item; return False once closed."""
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
        """Wait for an item and return it; None once closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._held))
            if not self._held:
                return None
            item = self._held.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Wake both sides; a pending item may still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class FairQueue(Generic[T]):
    """A queue with one lane per producer, served in turn. A lane holds one item.

    All cameras share the interpreters; serving them in turn prevents a fast camera from starving
    a slow one.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lanes: dict[str, T] = {}
        self._last_turn: dict[str, int] = {}
        self._turn = 0
        self._closed = False

    def wait_until_free(self, lane: str) -> bool:
        """Wait until a lane is free, so that its next item is recent; return False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or lane not in self._lanes)
            return not self._closed

    def put(self, lane: str, item: T) -> bool:
        """Add an item to a lane once it is free; return False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or lane not in self._lanes)
            if self._closed:
                return False
            self._lanes[lane] = item
            self._changed.notify_all()
            return True

    def take(self) -> T | None:
        """Return the item of the lane that was served longest ago; None once closed and empty."""
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
        """Wake all threads; pending items may still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class InOrder(Generic[T]):
    """A queue of work done by several threads, which returns items in the order they were begun.

    Parameters
    ----------
    limit : int
        Maximum number of items in progress or not taken yet.
    """

    def __init__(self, limit: int) -> None:
        self._changed = threading.Condition()
        self._limit = limit
        self._items: deque[T] = deque()
        self._done: set[int] = set()
        self._ended = False
        self._closed = False

    def wait_for_room(self) -> bool:
        """Wait until another item may begin; return False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._limit)
            return not self._closed

    def begin(self, item: T) -> None:
        """Append an item; called by a single thread, after `wait_for_room`."""
        with self._changed:
            self._items.append(item)

    def done(self, item: T) -> None:
        """Mark an item as done. Thread-safe."""
        with self._changed:
            if any(one is item for one in self._items):
                self._done.add(id(item))
                self._changed.notify_all()

    def end(self) -> None:
        """Mark the end: no further item begins."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def take(self) -> T | None:
        """Wait until the oldest item is done and take it; None after the last or once closed."""
        with self._changed:
            self._changed.wait_for(self._is_decided)
            if not self._is_first_done():
                return None
            item = self._items.popleft()
            self._done.discard(id(item))
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Wake all threads; finished items may still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _is_first_done(self) -> bool:
        return bool(self._items) and id(self._items[0]) in self._done

    def _is_decided(self) -> bool:
        return self._closed or self._is_first_done() or (self._ended and not self._items)


class WakeEvent:
    """An event that may be set in a signal handler of the thread that waits for it.

    The waiting thread may hold the lock of a `threading.Event` when the signal arrives; setting
    the event in the handler would then deadlock. `SimpleQueue.put` is reentrant.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Wake the waiting thread, or make the next wait return at once."""
        self._calls.put(None)

    def wait(self, seconds: float) -> None:
        """Wait until `set` or the timeout; several calls of `set` end one wait."""
        with suppress(Empty):
            self._calls.get(timeout=seconds)
            while True:
                self._calls.get_nowait()


class FirstError:
    """The first error of any worker thread, for the main thread to raise."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._lock = threading.Lock()
        self.error: BaseException | None = None

    def report(self, error: BaseException) -> None:
        """Store the first error and request the end of the daemon."""
        with self._lock:
            self.error = self.error or error
        self._stop()
