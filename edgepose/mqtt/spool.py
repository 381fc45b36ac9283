"""Events on disk, from their happening to the broker's acknowledgement; bounded, in order.

The spool is a folder of segments, files that are only ever appended to. A line is a
record: a checksum, a space and JSON, either an event with its number or the numbers
of events that are done with. A segment goes as a whole once it and all before it
hold nothing that waits, so no byte is ever rewritten, and what a power cut tears is
one line that its checksum gives away.

An event is in the file before `put` returns: from then on it survives the end of
this process, however it ends. It is forced onto the disk when it has waited for
`SYNC_S`: while the broker answers, the file is emptied again before the kernel writes
it, and an SD card is spared. A power cut may so take events of the last `SYNC_S`.

Delivery is at least once, and always with the same id: an event whose
acknowledgement was lost, or whose "done" the disk had not seen, is sent again.
"""

import fcntl
import logging
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from errno import ENOSPC
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from edgepose.system import storage
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Message

log: Final = logging.getLogger(__name__)

WINDOW: Final = 16  # sent and not yet acknowledged; paho has 20 under way for all of us
SYNC_S: Final = 1.0  # a broker that is there has answered by then
REFUSED_S: Final = 300.0  # an access list that was mended is noticed after this time
SEGMENT_BYTES: Final = 256 * 1024
SUFFIX: Final = ".events"
SINCE_2025_S: Final = 1_735_689_600
"""A Pi starts without knowing the time: what was stamped before is of unknown age."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait; the oldest goes first."""

    count: int = 10_000
    """Events: a busy house makes so many in some days."""

    age_s: float = 7 * 24 * 3600
    """Nobody acts on what happened a week ago."""

    size_bytes: int = 32 * 1024 * 1024
    """On disk, done with or not."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that the broker has not acknowledged."""

    number: int
    message: Message
    since_ns: int
    """When it came, on the monotonic clock; before it began for those of an earlier run."""


class _Record(msgspec.Struct, omit_defaults=True):
    """A line of a segment."""

    n: int = 0
    at: float = 0.0
    topic: str = ""
    payload: str = ""
    done: tuple[int, ...] = ()


@dataclass(slots=True, eq=False)
class _Segment:
    """One file."""

    path: Path
    size: int = 0
    waiting: set[int] = field(default_factory=set)


class Spool:
    """Holds events until they are acknowledged; one thread at a time.

    Parameters
    ----------
    folder : Path or None
        Where the segments lie. None: in memory only.
    clock : Clock, optional
        For the age of events.
    limits : Limits, optional
        How much may wait.
    """

    def __init__(
        self, folder: Path | None, clock: Clock | None = None, limits: Limits | None = None
    ) -> None:
        self.dropped = 0
        """Events that were given up because of the limits."""

        self._clock = clock or Clock()
        self._limits = limits or Limits()
        self._waiting: dict[int, Waiting] = {}
        self._unsent: deque[int] = deque()
        self._under_way: set[int] = set()
        self._refused: dict[int, None] = {}
        self._refused_topics: dict[str, int] = {}
        self._disk = _Disk(folder)
        self._unsynced_ns: int | None = None
        self._next = 1
        self._said = False
        self._load()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def ours(self) -> bool:
        """Whether there is a folder that no other process uses."""
        return self._disk.ours

    def put(self, message: Message) -> None:
        """Take an event; it survives this process once this returns."""
        now_ns = self._clock.now_ns()
        entry = Waiting(self._next, message, now_ns)
        self._next += 1
        self._waiting[entry.number] = entry
        self._unsent.append(entry.number)
        at_s = self._clock.unix_ns(now_ns) / NS_PER_S
        text = message.payload.decode("utf-8")
        self._disk.append(_Record(entry.number, round(at_s, 3), message.topic, text))
        if self._unsynced_ns is None:
            self._unsynced_ns = now_ns
        self._keep_limits(now_ns)

    def waiting(self) -> list[Waiting]:
        """Return all events that are not acknowledged, oldest first."""
        return list(self._waiting.values())

    @property
    def ready(self) -> bool:
        """Whether `next` has something to send."""
        return bool(self._unsent) and len(self._under_way) < WINDOW

    @property
    def resting(self) -> bool:
        """Whether there is nothing to send, nor will be after the next acknowledgement."""
        return not self._unsent

    def next(self) -> Waiting | None:
        """Return the oldest event that is to be sent now, and count it as under way."""
        now_ns = self._clock.now_ns()
        self._keep_limits(now_ns)
        while self.ready:
            number = self._unsent.popleft()
            entry = self._waiting.get(number)
            if entry is None:
                continue
            if entry.message.topic in self._refused_topics:
                self._refused[number] = None
                continue
            self._under_way.add(number)
            return entry
        return None

    def back(self, number: int) -> None:
        """Take back an event that could not be handed over."""
        if number in self._under_way:
            self._under_way.discard(number)
            self._unsent.appendleft(number)

    def settle(self, number: int, *, accepted: bool) -> None:
        """Note the broker's answer; what it refuses waits, so that nothing overtakes it."""
        self._under_way.discard(number)
        if number not in self._waiting:
            return
        if accepted:
            self._forget([number])
            return
        self._refused[number] = None
        self._refused_topics[self._waiting[number].message.topic] = self._clock.now_ns()

    def restart(self) -> None:
        """Begin anew with the oldest: what was under way in the last session is unsure."""
        self._under_way.clear()
        self._refused.clear()
        self._refused_topics.clear()
        self._unsent = deque(self._waiting)

    def due_s(self) -> float | None:
        """Return in how many seconds `ask_again` or `to_sync` has something to do."""
        dues = [at_ns + int(REFUSED_S * NS_PER_S) for at_ns in self._refused_topics.values()]
        if self._unsynced_ns is not None and self._disk.used:
            dues.append(self._unsynced_ns + int(SYNC_S * NS_PER_S))
        if not dues:
            return None
        return max(0.0, (min(dues) - self._clock.now_ns()) / NS_PER_S)

    def to_sync(self) -> Callable[[], None] | None:
        """Return what forces the events onto the disk; None when that can wait.

        Whoever calls it does so without a lock: an SD card may take a second.
        """
        since_ns = self._unsynced_ns
        if since_ns is None or self._clock.now_ns() - since_ns < SYNC_S * NS_PER_S:
            return None
        self._unsynced_ns = None
        return self._disk.sync()

    def close(self) -> None:
        """Make what waits last, and let go of the folder; twice is fine."""
        self._disk.close()

    def _forget(self, numbers: list[int]) -> None:
        for number in numbers:
            del self._waiting[number]
        if self._waiting:
            self._disk.forget(numbers)
            return
        self._disk.clear()
        self._unsynced_ns = None
        self._said = False

    def ask_again(self) -> None:
        """Send to topics that were refused long ago, in the old order."""
        long_ago_ns = self._clock.now_ns() - int(REFUSED_S * NS_PER_S)
        if not self._refused_topics or min(self._refused_topics.values()) > long_ago_ns:
            return
        self._refused_topics.clear()
        self._unsent = deque(sorted((*self._unsent, *self._refused)))
        self._refused.clear()

    def _keep_limits(self, now_ns: int) -> None:
        oldest_ns = now_ns - int(self._limits.age_s * NS_PER_S)
        too_many = len(self._waiting) - self._limits.count
        gone = []
        for place, entry in enumerate(self._waiting.values()):
            if place >= too_many and entry.since_ns >= oldest_ns:
                break
            gone.append(entry.number)
        while self._disk.size > self._limits.size_bytes:
            gone += [number for number in self._disk.oldest() if number not in gone]
        if gone:
            self._drop(gone)

    def _drop(self, numbers: list[int]) -> None:
        self.dropped += len(numbers)
        if not self._said:
            log.warning("events: more wait than may be kept; the oldest are dropped")
            self._said = True
        gone = set(numbers)
        self._under_way -= gone
        self._unsent = deque(number for number in self._unsent if number not in gone)
        self._refused = {number: None for number in self._refused if number not in gone}
        self._forget([number for number in numbers if number in self._waiting])

    def _load(self) -> None:
        now_ns, unix_s = self._clock.now_ns(), self._clock.unix_ns() / NS_PER_S
        for record in self._disk.load():
            age_s = unix_s - record.at if record.at > SINCE_2025_S else 0.0
            message = Message(record.topic, record.payload.encode(), "event", qos=1)
            since_ns = now_ns - int(max(0.0, age_s) * NS_PER_S)
            self._waiting[record.n] = Waiting(record.n, message, since_ns)
            self._next = record.n + 1
        self._unsent = deque(self._waiting)
        if self._waiting:
            log.info("events: %d wait from before", len(self._waiting))


def is_in_use(folder: Path) -> bool:
    """Say whether a process keeps its events in this folder now."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


class _Disk:
    """The segments; without a folder, or while it cannot be written, nothing at all."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._segments: deque[_Segment] = deque()
        self._handle: int | None = None
        self._lock: int | None = None
        self._number = 0
        self._failed = False
        if folder is not None and not self._take(folder):
            self._folder = None

    @property
    def ours(self) -> bool:
        """Whether the folder could be taken."""
        return self._folder is not None

    @property
    def used(self) -> bool:
        """Whether events are on disk at all."""
        return self._handle is not None

    @property
    def size(self) -> int:
        """Bytes of all segments but the one that is written to."""
        return sum(segment.size for segment in list(self._segments)[:-1])

    def _take(self, folder: Path) -> bool:
        """Make the folder ours; two processes in one would mix their numbers."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            busy = isinstance(error, BlockingIOError)
            why = "another edgepose of this device id uses it" if busy else error.strerror
            log.warning("%s: %s; events that wait are kept in memory only", folder, why)
            self._unlock()
            return False
        return True

    def load(self) -> list[_Record]:
        """Read what waits, oldest first; what cannot be read is set aside."""
        if self._folder is None:
            return []
        found: dict[int, _Record] = {}
        damaged = []
        for path in sorted(self._folder.glob(f"*{SUFFIX}"), key=_number):
            segment = _Segment(path)
            self._segments.append(segment)
            if not self._read(segment, found):
                damaged.append(segment)
        for segment in self._segments:
            segment.waiting.intersection_update(found)
        self._number = max((_number(segment.path) for segment in self._segments), default=0)
        if damaged:
            self._mend(damaged, found)
        self._remove_done()
        return [found[number] for number in sorted(found)]

    def _read(self, segment: _Segment, found: dict[int, _Record]) -> bool:
        """Read a segment's records into `found`; False when a part of it is no record."""
        try:
            content = segment.path.read_bytes()
        except OSError as error:
            log.warning("%s: cannot be read: %s", segment.path, error.strerror)
            return False
        segment.size = len(content)
        whole = True
        for record in _records(content):
            if record is None:
                whole = False
                continue
            for number in record.done:
                found.pop(number, None)
            if record.n:
                found[record.n] = record
                segment.waiting.add(record.n)
        return whole

    def _mend(self, damaged: list[_Segment], found: dict[int, _Record]) -> None:
        """Write the good records anew and keep the damaged file for human eyes."""
        assert self._folder is not None
        lines = b"".join(_line(found[number]) for number in sorted(found))
        log.warning(
            "%s: a part cannot be read, as after a power cut; set aside as *%s; %d events are fine",
            damaged[0].path,
            storage.SET_ASIDE,
            len(found),
        )
        self._number += 1
        fresh = _Segment(self._path(self._number), len(lines), set(found))
        try:
            storage.write(fresh.path, lines)
            for segment in self._segments:
                if segment in damaged:
                    storage.set_aside(segment.path)
                else:
                    segment.path.unlink()
        except OSError as error:
            self._fail(error)
        self._segments = deque([fresh])

    def append(self, record: _Record) -> None:
        """Write one record behind all others."""
        if self._folder is None:
            return
        line = _line(record)
        try:
            segment = self._open()
            self._write(segment, line)
        except OSError as error:
            self._fail(error)
            return
        self._failed = False
        if record.n:
            segment.waiting.add(record.n)
        if segment.size >= SEGMENT_BYTES:
            self._end_segment()

    def forget(self, numbers: list[int]) -> None:
        """Note that these are done with."""
        for segment in self._segments:
            segment.waiting.difference_update(numbers)
        self.append(_Record(done=tuple(numbers)))
        self._remove_done()

    def clear(self) -> None:
        """Nothing waits any more: empty the file, which costs less than to delete it."""
        try:
            while self._segments and (len(self._segments) > 1 or self._handle is None):
                self._segments.popleft().path.unlink(missing_ok=True)
            if self._handle is not None:
                os.ftruncate(self._handle, 0)
                self._segments[0].size = 0
                self._segments[0].waiting.clear()
        except OSError as error:
            self._fail(error)

    def oldest(self) -> list[int]:
        """Give up the oldest segment; return what waited in it."""
        segment = self._segments.popleft()
        segment.path.unlink(missing_ok=True)
        return sorted(segment.waiting)

    def sync(self) -> Callable[[], None] | None:
        """Return what forces the open file and its name onto the disk."""
        if self._handle is None or self._folder is None:
            return None
        return partial(_sync, os.dup(self._handle), self._folder)

    def close(self) -> None:
        """Force what waits onto the disk and let go."""
        self._end_segment()
        self._unlock()
        self._folder = None

    def _open(self) -> _Segment:
        """Return the segment that is written to; a new one after a start or when it is full."""
        if self._handle is None:
            self._number += 1
            path = self._path(self._number)
            flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC
            # Events say who is at home: for nobody else's eyes.
            self._handle = os.open(path, flags, 0o600)
            self._segments.append(_Segment(path))
        return self._segments[-1]

    def _write(self, segment: _Segment, line: bytes) -> None:
        """Append a whole line or nothing."""
        assert self._handle is not None
        written = os.write(self._handle, line)
        if written != len(line):
            os.ftruncate(self._handle, segment.size)
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        segment.size += written

    def _path(self, number: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{number:010d}{SUFFIX}"

    def _end_segment(self) -> None:
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        try:
            if self._segments and self._segments[-1].waiting:
                os.fsync(handle)
                storage.sync_folder(self._segments[-1].path.parent)
        except OSError as error:
            self._fail(error)
        finally:
            os.close(handle)

    def _fail(self, error: OSError) -> None:
        if not self._failed:
            log.error("%s: %s; events are kept in memory meanwhile", self._folder, error.strerror)
        self._failed = True

    def _remove_done(self) -> None:
        """Delete segments from the oldest on; later ones say what of the earlier is done."""
        while self._segments and not self._segments[0].waiting:
            if len(self._segments) == 1 and self._handle is not None:
                return
            self._segments.popleft().path.unlink(missing_ok=True)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _sync(handle: int, folder: Path) -> None:
    """Force a file onto the disk and close it."""
    try:
        os.fsync(handle)
        storage.sync_folder(folder)
    except OSError as error:
        log.warning("%s: cannot be forced onto the disk: %s", folder, error.strerror)
    finally:
        os.close(handle)


def _line(record: _Record) -> bytes:
    text = msgspec.json.encode(record)
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _records(content: bytes) -> Iterator[_Record | None]:
    """Read lines; None for each that is none of ours."""
    *lines, rest = content.split(b"\n")
    yield from map(_record, lines)
    if rest:
        yield None


def _record(line: bytes) -> _Record | None:
    checksum, _, text = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        return msgspec.json.decode(text, type=_Record)
    except (ValueError, msgspec.DecodeError):
        return None


def _number(path: Path) -> int:
    stem = path.name.removesuffix(SUFFIX)
    return int(stem) if stem.isdecimal() else 0
