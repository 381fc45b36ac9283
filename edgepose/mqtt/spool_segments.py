"""Events on disk: a folder of append-only segment files.

Each line of a segment is a record: a checksum, a space and JSON, either an event with its number
or the numbers of events that are done. A segment is deleted as a whole once neither it nor an
earlier one holds a pending event. No byte is rewritten, so a power cut damages at most one line,
which its checksum detects.
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

log: Final = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 256 * 1024
SUFFIX: Final = ".events"


class SpoolRecord(msgspec.Struct, omit_defaults=True):
    """A line of a segment."""

    n: int = 0
    """Number of the event; 0 if the line has no event."""

    at: float = 0.0
    """Time of the event in Unix seconds."""

    topic: str = ""
    payload: str = ""
    done: tuple[int, ...] = ()
    """Numbers of events that are done."""


@dataclass(slots=True, eq=False)
class Segment:
    """One segment file."""

    path: Path
    size: int = 0
    waiting: set[int] = field(default_factory=set)
    """Numbers of its pending events."""


def is_in_use(folder: Path) -> bool:
    """Return whether a process uses this folder now."""
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


class SegmentFolder:
    """The segments of one spool. Empty without a folder, or while the folder is not writable.

    Parameters
    ----------
    folder : Path or None
        It is locked, because two processes would use the same event numbers.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._segments: deque[Segment] = deque()
        self._handle: int | None = None
        self._lock: int | None = None
        self._number = 0
        self._failed = False
        if folder is not None and not self._lock_folder(folder):
            self._folder = None

    @property
    def is_ours(self) -> bool:
        """Whether the folder is locked for this process."""
        return self._folder is not None

    @property
    def is_open(self) -> bool:
        """Whether a segment is being written to."""
        return self._handle is not None

    @property
    def size(self) -> int:
        """Bytes of all segments except the open one."""
        return sum(segment.size for segment in list(self._segments)[:-1])

    def _lock_folder(self, folder: Path) -> bool:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            busy = isinstance(error, BlockingIOError)
            why = "another edgepose with this device id uses it" if busy else error.strerror
            log.warning("%s: %s; waiting events are kept in memory only", folder, why)
            self._unlock_folder()
            return False
        return True

    def load(self) -> list[SpoolRecord]:
        """Return the pending events, oldest first; sets damaged files aside."""
        if self._folder is None:
            return []
        found: dict[int, SpoolRecord] = {}
        damaged = []
        for path in sorted(self._folder.glob(f"*{SUFFIX}"), key=_number):
            segment = Segment(path)
            self._segments.append(segment)
            if not self._read_segment(segment, found):
                damaged.append(segment)
        for segment in self._segments:
            segment.waiting.intersection_update(found)
        self._number = max((_number(segment.path) for segment in self._segments), default=0)
        if damaged:
            self._rewrite_damaged(damaged, found)
        self._delete_done()
        return [found[number] for number in sorted(found)]

    def _read_segment(self, segment: Segment, found: dict[int, SpoolRecord]) -> bool:
        """Read a segment's records into `found`; return False if a part of it is damaged."""
        try:
            content = segment.path.read_bytes()
        except OSError as error:
            log.warning("%s: cannot be read: %s", segment.path, error.strerror)
            return False
        segment.size = len(content)
        is_whole = True
        for record in _parse_records(content):
            if record is None:
                is_whole = False
                continue
            for number in record.done:
                found.pop(number, None)
            if record.n:
                found[record.n] = record
                segment.waiting.add(record.n)
        return is_whole

    def _rewrite_damaged(self, damaged: list[Segment], found: dict[int, SpoolRecord]) -> None:
        """Write the valid records into a new segment and set the damaged files aside."""
        lines = b"".join(_encode_line(found[number]) for number in sorted(found))
        log.warning(
            "%s: a part cannot be read, as after a power cut; set aside as *%s; %d events are fine",
            damaged[0].path,
            storage.SET_ASIDE,
            len(found),
        )
        self._number += 1
        fresh = Segment(self._path_of(self._number), len(lines), set(found))
        try:
            storage.write(fresh.path, lines)
            for segment in self._segments:
                if segment in damaged:
                    storage.set_aside(segment.path)
                else:
                    segment.path.unlink()
        except OSError as error:
            self._report_error(error)
        self._segments = deque([fresh])

    def append(self, record: SpoolRecord) -> None:
        """Append one record."""
        if self._folder is None:
            return
        line = _encode_line(record)
        try:
            segment = self._open_segment()
            self._write_line(segment, line)
        except OSError as error:
            self._report_error(error)
            return
        self._failed = False
        if record.n:
            segment.waiting.add(record.n)
        if segment.size >= SEGMENT_BYTES:
            self._end_segment()

    def mark_done(self, numbers: list[int]) -> None:
        """Record that events are done; deletes segments without pending events."""
        for segment in self._segments:
            segment.waiting.difference_update(numbers)
        self.append(SpoolRecord(done=tuple(numbers)))
        self._delete_done()

    def clear(self) -> None:
        """Remove all records. Truncates the open file, which is cheaper than deleting it."""
        try:
            while self._segments and (len(self._segments) > 1 or self._handle is None):
                self._segments.popleft().path.unlink(missing_ok=True)
            if self._handle is not None:
                os.ftruncate(self._handle, 0)
                self._segments[0].size = 0
                self._segments[0].waiting.clear()
        except OSError as error:
            self._report_error(error)

    def delete_oldest(self) -> list[int]:
        """Delete the oldest segment and return the numbers of its pending events."""
        segment = self._segments.popleft()
        segment.path.unlink(missing_ok=True)
        return sorted(segment.waiting)

    def sync(self) -> Callable[[], None] | None:
        """Return a function that syncs the open file and its name to disk."""
        if self._handle is None or self._folder is None:
            return None
        return partial(_sync_file, os.dup(self._handle), self._folder)

    def close(self) -> None:
        """Sync to disk and release the folder."""
        self._end_segment()
        self._unlock_folder()
        self._folder = None

    def _open_segment(self) -> Segment:
        """Return the open segment; opens a new one after a start or when it is full."""
        if self._handle is None:
            self._number += 1
            path = self._path_of(self._number)
            flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC
            # Events show when people are at home: readable by this user only.
            self._handle = os.open(path, flags, 0o600)
            self._segments.append(Segment(path))
        return self._segments[-1]

    def _write_line(self, segment: Segment, line: bytes) -> None:
        """Append a line, or nothing on an error."""
        assert self._handle is not None
        written = os.write(self._handle, line)
        if written != len(line):
            os.ftruncate(self._handle, segment.size)
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        segment.size += written

    def _path_of(self, number: int) -> Path:
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
            self._report_error(error)
        finally:
            os.close(handle)

    def _report_error(self, error: OSError) -> None:
        if not self._failed:
            log.error("%s: %s; events are kept in memory meanwhile", self._folder, error.strerror)
        self._failed = True

    def _delete_done(self) -> None:
        """Delete finished segments, oldest first: later ones hold their "done" records."""
        while self._segments and not self._segments[0].waiting:
            if len(self._segments) == 1 and self._handle is not None:
                return
            self._segments.popleft().path.unlink(missing_ok=True)

    def _unlock_folder(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _sync_file(handle: int, folder: Path) -> None:
    """Sync a file to disk and close it."""
    try:
        os.fsync(handle)
        storage.sync_folder(folder)
    except OSError as error:
        log.warning("%s: cannot be forced onto the disk: %s", folder, error.strerror)
    finally:
        os.close(handle)


def _encode_line(record: SpoolRecord) -> bytes:
    text = msgspec.json.encode(record)
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _parse_records(content: bytes) -> Iterator[SpoolRecord | None]:
    """Yield the records of a segment's content; None for each damaged line."""
    *lines, rest = content.split(b"\n")
    yield from map(_parse_record, lines)
    if rest:
        yield None


def _parse_record(line: bytes) -> SpoolRecord | None:
    checksum, _, text = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        return msgspec.json.decode(text, type=SpoolRecord)
    except (ValueError, msgspec.DecodeError):
        return None


def _number(path: Path) -> int:
    stem = path.name.removesuffix(SUFFIX)
    return int(stem) if stem.isdecimal() else 0
