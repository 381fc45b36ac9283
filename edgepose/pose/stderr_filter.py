"""Keeps what C libraries write to `stderr` by themselves off the terminal and the journal.

TFLite's logger, libjpeg and libpng write to C's `stderr` and have no switch in Python. So
that variable is pointed elsewhere for a moment. The file descriptor stays as it is: the
log, other threads, children and the report of a crash are not affected.
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
    # libjpeg's warnings (jerror.h): it goes on, and the picture is there
    b"Application transferred too",
    b"Corrupt JPEG data",
    b"Inconsistent progression",
    b"Invalid SOS parameters",
    b"Premature end of JPEG",
    b"Unknown Adobe color",
    b"Warning: unknown JFIF",
)
"""How lines begin that require no action."""


class Stream(NamedTuple):
    """A stream of C that writes into memory."""

    file: ctypes.c_void_p
    text: ctypes.c_char_p
    size: ctypes.c_size_t


class StderrCapture:
    """Points C's `stderr` into memory while at least one thread asks for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._real: int | None = None
        self._read = 0

    def begin(self, stderr: ctypes.c_void_p, stream: Stream) -> None:
        """Redirect, for one caller more."""
        with self._lock:
            if self._users == 0:
                self._real, stderr.value = stderr.value, stream.file.value
            self._users += 1

    def end(self, libc: ctypes.CDLL, stderr: ctypes.c_void_p, stream: Stream) -> bytes:
        """Redirect for one caller less; return what nobody has been given yet."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                stderr.value = self._real
            libc.fflush(stream.file)
            if (size := stream.size.value) == self._read == 0:
                return b""
            written = ctypes.string_at(stream.text, size)[self._read :]
            self._read = size
            if self._users == 0:  # else another thread may write between the reading and this
                libc.rewind(stream.file)
                self._read = 0
            return written


_capture: Final = StderrCapture()


@contextmanager
def filtered_stderr() -> Iterator[None]:
    """Let what C code writes to `stderr` meanwhile come afterwards, without remarks.

    In any number of threads at once. Where the C library is another than GNU's or musl's,
    nothing happens.
    """
    opened = _open()
    if opened is None:
        yield
        return
    libc, stderr, stream = opened
    _capture.begin(stderr, stream)
    try:
        yield
    finally:
        _repeat(_capture.end(libc, stderr, stream))


@cache
def _open() -> tuple[ctypes.CDLL, ctypes.c_void_p, Stream] | None:
    """Open the one stream, and never close it: another thread may just write to it."""
    try:
        libc = ctypes.CDLL(None)
        stderr = ctypes.c_void_p.in_dll(libc, "stderr")
        libc.open_memstream.restype = ctypes.c_void_p
        text, size = ctypes.c_char_p(), ctypes.c_size_t()
        file = libc.open_memstream(ctypes.byref(text), ctypes.byref(size))
    except (AttributeError, OSError, ValueError):
        return None
    return (libc, stderr, Stream(ctypes.c_void_p(file), text, size)) if file else None


def _repeat(said: bytes) -> None:
    for line in said.splitlines(keepends=True):
        if not line.startswith(REMARKS):
            os.write(2, line)
