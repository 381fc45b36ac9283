"""Keeps what a library says to itself off the terminal.

TFLite's logger writes to C's `stderr` and has no switch in Python. So that variable
is pointed elsewhere for a moment. The file descriptor stays as it is: the log, other
threads, children and the report of a crash never notice.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final, NamedTuple

REMARKS: Final = b"INFO: "  # how TFLite begins what nobody has to act on


class Stream(NamedTuple):
    """A stream of C that writes into memory."""

    file: ctypes.c_void_p
    text: ctypes.c_char_p
    size: ctypes.c_size_t


@contextmanager
def unheard() -> Iterator[None]:
    """Let what C code writes to `stderr` meanwhile come afterwards, without remarks.

    For one caller at a time: two would put back what the other has put there. Where the C
    library is another than GNU's or musl's, nothing happens.
    """
    opened = _open()
    if opened is None:
        yield
        return
    libc, stderr, stream = opened
    before = stream.size.value
    real, stderr.value = stderr.value, stream.file.value
    try:
        yield
    finally:
        stderr.value = real
        libc.fflush(stream.file)
        _repeat(ctypes.string_at(stream.text, stream.size.value)[before:])


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
