"""Detects from its content how a picture or video file is read."""

import mmap
import re
import struct
from enum import Enum
from pathlib import Path
from typing import Final

import cv2

Bytes = bytes | mmap.mmap

HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"}
)
"""Brands of HEIC and AVIF files: single pictures and sequences."""

SEQUENCE_BRANDS: Final = frozenset({b"hevc", b"hevx", b"msf1", b"avis"})

NEXT_JPEG: Final = re.compile(rb"\xff\xd9[\0\xff\r\n ]{0,4096}\xff\xd8\xff")
"""End of a JPEG, padding, and start of the next JPEG."""

FD: Final = "/proc/self/fd/{}"
"""Path of an open file descriptor, for OpenCV.

FFmpeg takes a colon in a file name for a protocol, and OpenCV crashes on names that are not UTF-8.
"""

PNG_END: Final = b"IEND\xaeB`\x82"

PNM_HEAD: Final = re.compile(rb"P([56])" + 3 * rb"(?:\s|#[^\n]*\n)+(\d+)" + rb"\s")
"""Header of a raw PNM: type (grey or RGB), width, height and maximum value."""

START_OF_SCAN, MULTI_PICTURE = 0xDA, b"MPF\0"
TIFF_HEADS: Final = (b"II*\0", b"MM\0*")


class FileKind(Enum):
    """How a file is read."""

    PICTURE = "one picture"
    PICTURES = "several pictures, of which only the first can be read"
    ANIMATION = "an animation that OpenCV reads"
    JPEGS = "JPEG pictures one after the other"
    HEIF = "a HEIC or AVIF picture"
    SEQUENCE = "a sequence of HEIC or AVIF pictures"
    FILM = "a moving picture that FFmpeg reads"
    UNKNOWN = "a film, or no picture"


def kind_of(path: Path) -> FileKind:
    """Return the kind of a file that is not empty, from its content only.

    Raises
    ------
    OSError
        When the file cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        kind = kind_of_content(data)
        if kind is None:
            node = FD.format(file.fileno())
            kind = FileKind.PICTURE if cv2.haveImageReader(node) else FileKind.UNKNOWN
            if kind is FileKind.PICTURE and data[:4] in TIFF_HEADS and cv2.imcount(node) > 1:
                return FileKind.PICTURES
        return kind


def kind_of_content(data: Bytes) -> FileKind | None:
    """Return the kind of a file's content; None if only its decoder can decide."""
    brands = _brands(data)
    if brands & HEIF_BRANDS:
        return FileKind.SEQUENCE if brands & SEQUENCE_BRANDS else FileKind.HEIF
    if data[:4] == b"GIF8":
        return FileKind.FILM
    if data[:3] == b"\xff\xd8\xff":
        return FileKind.JPEGS if _holds_more_jpegs(data) else FileKind.PICTURE
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        first = data.find(b"IDAT")
        if data.find(b"acTL", 0, first) >= 0:
            return FileKind.FILM
    if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X" and data[20] & 2:
        # supported since OpenCV 4.12
        return FileKind.ANIMATION if hasattr(cv2, "imdecodeanimation") else FileKind.PICTURES
    return FileKind.PICTURES if _another_follows(data) else None


def _brands(data: Bytes) -> set[bytes]:
    """Return the brands of a file in ISO's format (ISO 14496-12, 4.3)."""
    if data[4:8] != b"ftyp":
        return set()
    names = data[8:12] + data[16 : min(int.from_bytes(data[:4]), 256)]
    return {names[at : at + 4] for at in range(0, len(names), 4)}


def _another_follows(data: Bytes) -> bool:
    """Return whether another picture of the same format follows a picture of known length."""
    length = _length_of_first(data)
    return length > 0 and data[length : length + 2] == data[:2]


def _length_of_first(data: Bytes) -> int:
    """Return the length in bytes of the first PNG, WebP, BMP or raw PNM picture; 0 if unknown."""
    if data[:4] == b"\x89PNG":
        end = data.find(PNG_END)
        return 0 if end < 0 else end + len(PNG_END)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        length = int.from_bytes(data[4:8], "little")
        return 8 + length + length % 2
    if data[:2] == b"BM":
        return int.from_bytes(data[2:6], "little")
    if head := PNM_HEAD.match(data):
        samples = int(head[2]) * int(head[3]) * (3 if head[1] == b"6" else 1)
        return head.end() + samples * (2 if int(head[4]) > 255 else 1)
    return 0


def _holds_more_jpegs(data: Bytes) -> bool:
    """Return whether a second JPEG follows that is not part of the first.

    Telephones append depth, gain maps and previews to a photograph, and list them in a
    segment called MPF (CIPA DC-007); thumbnails are inside other segments.
    """
    at = 2
    while (head := data[at : at + 4]) and len(head) == 4 and head[0] == 0xFF:
        marker, length = struct.unpack(">xBH", head)
        if marker == START_OF_SCAN:
            return NEXT_JPEG.search(data, at) is not None
        if data[at + 4 : at + 8] == MULTI_PICTURE:
            return False
        at += 2 + length
    return False
