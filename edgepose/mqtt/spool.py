"""A bounded queue on disk that holds events in order until the broker acknowledges them.

`put` writes an event to a file before it returns, so that the event survives a crash of the
process. The file is synced to disk only after `SYNC_S`: while the broker answers, it is emptied
before the kernel writes it, which reduces the wear of an SD card. A power cut may therefore lose
the events of the last `SYNC_S`.

Delivery is at least once, always with the same id: an event is sent again if its acknowledgement
or its "done" record was lost.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgepose.mqtt.spool_segments import SegmentFolder, SpoolRecord
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Message

log: Final = logging.getLogger(__name__)

WINDOW: Final = 16  # maximum events in flight; the client allows 20 messages in flight
SYNC_S: Final = 1.0  # a reachable broker has answered by then
RETRY_REFUSED_S: Final = 300.0  # pause before a refused topic is tried again
SINCE_2025_S: Final = 1_735_689_600
"""Unix seconds. A Pi without a clock starts in the past: the age of older stamps is unknown."""


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """Limits of the spool; the oldest events are dropped first."""

    count: int = 10_000
    """Maximum number of events; a few days of a busy house."""

    age_s: float = 7 * 24 * 3600
    """Maximum age of an event in seconds."""

    size_bytes: int = 32 * 1024 * 1024
    """Maximum size of all segments except the open one."""


@dataclass(frozen=True, slots=True)
class SpooledEvent:
    """An event that the broker has not acknowledged."""

    number: int
    message: Message
    since_ns: int
    """Monotonic time of the event; negative for some events of an earlier run."""


class Spool:
    """Holds events until they are acknowledged. Not thread-safe.

    Parameters
    ----------
    folder : Path or None
        Folder of the segments. None: in memory only.
    clock : Clock, optional
        For the age of events.
    limits : SpoolLimits, optional
        Limits of count, age and size.
    """

    def __init__(
        self, folder: Path | None, clock: Clock | None = None, limits: SpoolLimits | None = None
    ) -> None:
        self.dropped = 0
        """Number of events dropped because of the limits."""

        self._clock = clock or Clock()
        self._limits = limits or SpoolLimits()
        self._waiting: dict[int, SpooledEvent] = {}
        self._unsent: deque[int] = deque()
        self._in_flight: set[int] = set()
        self._refused: dict[int, None] = {}
        self._refused_topics: dict[str, int] = {}
        self._disk = SegmentFolder(folder)
        self._unsynced_ns: int | None = None
        self._next = 1
        self._has_warned = False
        self._load_records()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_ours(self) -> bool:
        """Whether this process has the spool folder for itself."""
        return self._disk.is_ours

    def put(self, message: Message) -> None:
        """Store an event. Once this returns, it survives a crash of the process."""
        now_ns = self._clock.now_ns()
        entry = SpooledEvent(self._next, message, now_ns)
        self._next += 1
        self._waiting[entry.number] = entry
        self._unsent.append(entry.number)
        at_s = self._clock.unix_ns(now_ns) / NS_PER_S
        text = message.payload.decode("utf-8")
        self._disk.append(SpoolRecord(entry.number, round(at_s, 3), message.topic, text))
        if self._unsynced_ns is None:
            self._unsynced_ns = now_ns
        self._apply_limits(now_ns)

    def waiting(self) -> list[SpooledEvent]:
        """Return all events that are not acknowledged, oldest first."""
        return list(self._waiting.values())

    @property
    def is_ready(self) -> bool:
        """Whether `next` has something to send."""
        return bool(self._unsent) and len(self._in_flight) < WINDOW

    @property
    def is_idle(self) -> bool:
        """Whether no event can be sent, now or after the next acknowledgement."""
        return not self._unsent

    def next(self) -> SpooledEvent | None:
        """Return the oldest event that can be sent, if any, and mark it as in flight."""
        now_ns = self._clock.now_ns()
        self._apply_limits(now_ns)
        while self.is_ready:
            number = self._unsent.popleft()
            entry = self._waiting.get(number)
            if entry is None:
                continue
            if entry.message.topic in self._refused_topics:
                self._refused[number] = None
                continue
            self._in_flight.add(number)
            return entry
        return None

    def requeue(self, number: int) -> None:
        """Mark an event as not sent."""
        if number in self._in_flight:
            self._in_flight.discard(number)
            self._unsent.appendleft(number)

    def acknowledge(self, number: int, *, accepted: bool) -> None:
        """Record the broker's answer. A refused event waits; later ones must not overtake it."""
        self._in_flight.discard(number)
        if number not in self._waiting:
            return
        if accepted:
            self._remove_records([number])
            return
        self._refused[number] = None
        self._refused_topics[self._waiting[number].message.topic] = self._clock.now_ns()

    def restart(self) -> None:
        """Mark all events as not sent: those in flight may not have arrived."""
        self._in_flight.clear()
        self._refused.clear()
        self._refused_topics.clear()
        self._unsent = deque(self._waiting)

    def due_s(self) -> float | None:
        """Return the seconds until `retry_refused` or `to_sync` has work; None if neither has."""
        dues = [at_ns + int(RETRY_REFUSED_S * NS_PER_S) for at_ns in self._refused_topics.values()]
        if self._unsynced_ns is not None and self._disk.is_open:
            dues.append(self._unsynced_ns + int(SYNC_S * NS_PER_S))
        if not dues:
            return None
        return max(0.0, (min(dues) - self._clock.now_ns()) / NS_PER_S)

    def to_sync(self) -> Callable[[], None] | None:
        """Return a function that syncs the events to disk; None if that is not due.

        Call it without a lock: an SD card may take a second.
        """
        since_ns = self._unsynced_ns
        if since_ns is None or self._clock.now_ns() - since_ns < SYNC_S * NS_PER_S:
            return None
        self._unsynced_ns = None
        return self._disk.sync()

    def retry_refused(self) -> None:
        """Release the events of topics that were refused `RETRY_REFUSED_S` ago, in order."""
        long_ago_ns = self._clock.now_ns() - int(RETRY_REFUSED_S * NS_PER_S)
        if not self._refused_topics or min(self._refused_topics.values()) > long_ago_ns:
            return
        self._refused_topics.clear()
        self._unsent = deque(sorted((*self._unsent, *self._refused)))
        self._refused.clear()

    def close(self) -> None:
        """Sync the events to disk and release the folder. May be called twice."""
        self._disk.close()

    def _remove_records(self, numbers: list[int]) -> None:
        for number in numbers:
            del self._waiting[number]
        if self._waiting:
            self._disk.mark_done(numbers)
            return
        self._disk.clear()
        self._unsynced_ns = None
        self._has_warned = False

    def _apply_limits(self, now_ns: int) -> None:
        oldest_ns = now_ns - int(self._limits.age_s * NS_PER_S)
        too_many = len(self._waiting) - self._limits.count
        gone = []
        for place, entry in enumerate(self._waiting.values()):
            if place >= too_many and entry.since_ns >= oldest_ns:
                break
            gone.append(entry.number)
        while self._disk.size > self._limits.size_bytes:
            gone += [number for number in self._disk.delete_oldest() if number not in gone]
        if gone:
            self._drop_records(gone)

    def _drop_records(self, numbers: list[int]) -> None:
        self.dropped += len(numbers)
        if not self._has_warned:
            log.warning("events: the spool is full; the oldest are dropped")
            self._has_warned = True
        gone = set(numbers)
        self._in_flight -= gone
        self._unsent = deque(number for number in self._unsent if number not in gone)
        self._refused = {number: None for number in self._refused if number not in gone}
        self._remove_records([number for number in numbers if number in self._waiting])

    def _load_records(self) -> None:
        now_ns, unix_s = self._clock.now_ns(), self._clock.unix_ns() / NS_PER_S
        for record in self._disk.load():
            age_s = unix_s - record.at if record.at > SINCE_2025_S else 0.0
            message = Message(record.topic, record.payload.encode(), "event", qos=1)
            since_ns = now_ns - int(max(0.0, age_s) * NS_PER_S)
            self._waiting[record.n] = SpooledEvent(record.n, message, since_ns)
            self._next = record.n + 1
        self._unsent = deque(self._waiting)
        if self._waiting:
            log.info("events: %d from an earlier run are waiting", len(self._waiting))
