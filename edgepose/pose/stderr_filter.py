"""Filters informational messages of C libraries out of `stderr`.

TFLite's logger, libjpeg and libpng write to C's `stderr` and cannot be silenced from
Python, so the C variable `stderr` is redirected temporarily. The file descriptor is
unchanged: the log, other threads, child processes and crash reports are not affected.
"""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final, NamedTuple

REMARKS: Final = (
    b"INFO: ",  # TFLite
    b"libpng ",
    # libjpeg's warnings (jerror.h): the image is decoded in spite of them
    b"Application transferred too",
    b"Corrupt JPEG data",
    b"Inconsistent progression",
    b"Invalid SOS parameters",
    b"Premature end of JPEG",
    b"Unknown Adobe color",
    b"Warning: unknown JFIF",
)
"""Prefixes of lines that require no action."""


class Stream(NamedTuple):
    """A C stream that writes to memory."""

    file: ctypes.c_void_p
    text: ctypes.c_char_p
    size: ctypes.c_size_t


class StderrCapture:
    """Redirects C's `stderr` to memory while at least one thread requests it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._real: int | None = None
        self._read = 0

    def begin(self, stderr: ctypes.c_void_p, stream: Stream) -> None:
        """Add a caller; the first one redirects the stream."""
        with self._lock:
            if self._users == 0:
                self._real, stderr.value = stderr.value, stream.file.value
            self._users += 1

    def end(self, libc: ctypes.CDLL, stderr: ctypes.c_void_p, stream: Stream) -> bytes:
        """Remove a caller, the last one restores the stream; return the text not yet returned."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                stderr.value = self._real
            libc.fflush(stream.file)
            if (size := stream.size.value) == self._read == 0:
                return b""
            written = ctypes.string_at(stream.text, size)[self._read :]
            self._read = size
            if self._users == 0:  # else another caller may write before the rewind
                libc.rewind(stream.file)
                self._read = 0
            return written


_capture: Final = StderrCapture()


@contextmanager
def filtered_stderr() -> Iterator[None]:
    """Buffer C-level stderr and write it afterwards, without lines that begin with `REMARKS`.

    Thread-safe. Has no effect with C libraries other than glibc and musl.
    """
    opened = _open_stream()
    if opened is None:
        yield
        return
    libc, stderr, stream = opened
    _capture.begin(stderr, stream)
    try:
        yield
    finally:
        _repeat_lines(_capture.end(libc, stderr, stream))


@cache
def _open_stream() -> tuple[ctypes.CDLL, ctypes.c_void_p, Stream] | None:
    """Open the stream; never closed, since another thread may be writing to it."""
    try:
        libc = ctypes.CDLL(None)
        stderr = ctypes.c_void_p.in_dll(libc, "stderr")
        libc.open_memstream.restype = ctypes.c_void_p
        text, size = ctypes.c_char_p(), ctypes.c_size_t()
        file = libc.open_memstream(ctypes.byref(text), ctypes.byref(size))
    except (AttributeError, OSError, ValueError):
        return None
    return (libc, stderr, Stream(ctypes.c_void_p(file), text, size)) if file else None


def _repeat_lines(said: bytes) -> None:
    for line in said.splitlines(keepends=True):
        if not line.startswith(REMARKS):
            os.write(2, line)
