"""Reads the boxes of MP4, MOV, HEIC and AVIF files (ISO 14496-12 and 23008-12).

Only what OpenCV and FFmpeg do not report: a mirrored display matrix, and several photographs in
one file.
"""

import mmap
import struct
from collections.abc import Iterator
from typing import Final

from edgepose.camera.sources.orientation import Orientation

Bytes = bytes | mmap.mmap

VIDEO: Final = b"vide"
PICTURES: Final = frozenset(
    {b"hvc1", b"hev1", b"av01", b"avc1", b"jpeg", b"grid", b"iovl", b"iden"}
)
"""Types of items that are pictures, whole or derived from others (ISO 23008-12, 6)."""

PARTS_FROM: Final = frozenset({b"thmb", b"auxl"})
"""References from an item that belongs to another one: thumbnail, depth or alpha."""

PARTS_TO: Final = b"dimg"
"""Reference from a derived picture to its inputs, such as tiles."""


def film_orientation(data: Bytes) -> Orientation | None:
    """Return the orientation of the first video track; None if the file has none."""
    for trak in _inside(data, (b"moov", b"trak")):
        handlers = [data[at + 8 : at + 12] for at, _ in _inside(data, (b"mdia", b"hdlr"), trak)]
        if handlers != [VIDEO]:
            continue
        for at, end in _inside(data, (b"tkhd",), trak):
            matrix = at + 4 + (20 if data[at] == 0 else 32) + 16
            if matrix + 20 <= end:
                a, b, _, c, d = struct.unpack_from(">5i", data, matrix)
                return Orientation.of_matrix(a, b, c, d)
    return None


def count_photographs(data: Bytes) -> int:
    """Return the number of separate pictures of a HEIC or AVIF file: no tiles, no thumbnails."""
    items: set[int] = set()
    for at, end in _inside(data, (b"meta", b"iinf")):
        start = at + (6 if data[at] == 0 else 8)
        infos = (data[i:j] for kind, i, j in _boxes(data, start, end) if kind == b"infe")
        items |= {item for item in map(_shown_item, infos) if item is not None}
    for at, end in _inside(data, (b"meta", b"iref")):
        items -= _part_items(data, at, end)
    return len(items)


def _shown_item(infe: bytes) -> int | None:
    """Return the number of an item if it is a picture that is not hidden; else None."""
    if len(infe) < 12:
        return None
    version, is_hidden = infe[0], infe[3] & 1
    at = 4 + (2 if version == 2 else 4)
    if version < 2 or is_hidden or infe[at + 2 : at + 6] not in PICTURES:
        return None
    return int.from_bytes(infe[4:at])


def _part_items(data: Bytes, at: int, end: int) -> set[int]:
    """Return the items that are parts of others by the references of a box ``iref``."""
    parts: set[int] = set()
    width = 2 if data[at] == 0 else 4
    for kind, start, stop in _boxes(data, at + 4, end):
        numbers = data[start : start + width], data[start + width + 2 : stop]
        if kind in PARTS_FROM:
            parts.add(int.from_bytes(numbers[0]))
        elif kind == PARTS_TO:
            to = numbers[1]
            parts |= {int.from_bytes(to[i : i + width]) for i in range(0, len(to), width)}
    return parts


def _inside(
    data: Bytes, path: tuple[bytes, ...], within: tuple[int, int] | None = None
) -> Iterator[tuple[int, int]]:
    """Yield begin and end of the content of each box with this path."""
    start, end = within or (0, len(data))
    for kind, at, stop in _boxes(data, start, end):
        if kind != path[0]:
            continue
        if len(path) == 1:
            if at < stop:
                yield at, stop
        else:
            yield from _inside(data, path[1:], (at + 4 if kind == b"meta" else at, stop))


def _boxes(data: Bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield type, begin and end of the content of each box; ends at a damaged one."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= end:
            size, head = struct.unpack_from(">Q", data, start + 8)[0], 16
        stop = end if size == 0 else start + size
        if stop > end or 0 < size < head:
            return
        yield kind, start + head, stop
        start = stop
