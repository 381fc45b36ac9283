"""Detects from its content how a picture or video file is read."""

import mmap
import re
import struct
from enum import Enum
from pathlib import Path
from typing import Final, Literal

import cv2

from edgepose.camera.sources.iso_boxes import Bytes, count_photographs

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
MP_ENTRIES: Final = 0xB002  # tag of the list of pictures (CIPA DC-007, 5.2.3)
MP_SAME_SCENE: Final = 0x020000  # type of the pictures of a panorama, stereo or burst picture
TIFF_HEADS: Final = (b"II*\0", b"MM\0*")

JP2_HEAD: Final = b"\0\0\0\x0cjP  \r\n\x87\n"
J2K_HEAD: Final = b"\xff\x4f\xff\x51"

TIFF_SIZES: Final = {3: 2, 4: 4, 5: 8, 9: 4, 10: 8, 12: 8}
"""Size in bytes of a TIFF value by its type; 1 for other types."""

MAX_TAGS, MAX_TAG_BYTES = 512, 4096
IMAGE_WIDTH: Final = 0x0100  # TIFF tag; every picture has it

SUBFILE_TYPE, SUB_IFDS, DNG_VERSION = 0x00FE, 0x014A, 0xC612
"""TIFF tags: value 1 for a reduced picture; offsets of further pictures; version of DNG."""

RAW_HEADS: Final = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM")
"""First bytes of raw photographs of Olympus, Panasonic, Fujifilm, Sigma and Minolta."""

RAW_BRAND: Final = b"crx "  # Canon's CR3


class FileKind(Enum):
    """How a file is read."""

    PICTURE = "one picture"
    PICTURES = "several pictures, of which only the first can be read"
    ANIMATION = "an animation that OpenCV reads"
    JPEGS = "JPEG pictures one after the other"
    HEIF = "a HEIC or AVIF picture"
    RAW = "a raw photograph"
    SEQUENCE = "a sequence of HEIC or AVIF pictures"
    FILM = "a moving picture that FFmpeg reads"
    UNKNOWN = "a film, or no picture"


MORE: Final = frozenset(
    {FileKind.PICTURES, FileKind.ANIMATION, FileKind.JPEGS, FileKind.SEQUENCE, FileKind.FILM}
)
"""Kinds with several pictures."""


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


def holds_more(path: Path) -> bool:
    """Return whether a picture file holds further pictures, which are not read.

    Raises
    ------
    OSError, ValueError
        When the file cannot be read or is empty.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if kind_of_content(data) is FileKind.HEIF:
            return count_photographs(data) > 1
    return kind_of(path) in MORE


def kind_of_content(data: Bytes) -> FileKind | None:
    """Return the kind of a file's content; None if only its decoder can decide."""
    brands = _iso_brands(data)
    if brands & HEIF_BRANDS:
        return FileKind.SEQUENCE if brands & SEQUENCE_BRANDS else FileKind.HEIF
    if RAW_BRAND in brands or bytes(data[:16]).startswith(RAW_HEADS) or _is_raw(data):
        return FileKind.RAW
    if data[:3] == b"\xff\xd8\xff":
        return _kind_of_jpeg(data)
    if _is_moving(data):
        return FileKind.FILM
    if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X" and len(data) > 20 and data[20] & 2:
        # supported since OpenCV 4.12
        return FileKind.ANIMATION if hasattr(cv2, "imdecodeanimation") else FileKind.PICTURES
    return FileKind.PICTURES if _another_follows(data) else None


def _is_moving(data: Bytes) -> bool:
    """Return whether a file is a GIF or a moving PNG."""
    if data[:4] == b"GIF8":
        return True
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return False
    return data.find(b"acTL", 0, data.find(b"IDAT")) >= 0


def _iso_brands(data: Bytes) -> set[bytes]:
    """Return the brands of a file in ISO's format (ISO 14496-12, 4.3)."""
    if data[4:8] != b"ftyp":
        return set()
    names = data[8:12] + data[16 : min(int.from_bytes(data[:4]), 256)]
    return {names[at : at + 4] for at in range(0, len(names), 4)}


def _another_follows(data: Bytes) -> bool:
    """Return whether another picture of the same format follows the first one."""
    for head in (JP2_HEAD, J2K_HEAD):
        if data[: len(head)] == head:
            return data.find(head, len(head)) >= 0
    if data[:4] in TIFF_HEADS:
        return _another_tiff_follows(data)
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


def _kind_of_jpeg(data: Bytes) -> FileKind:
    """Return the kind of a file that begins with a JPEG.

    Telephones append depth, gain maps and previews to a photograph, and list them in a
    segment called MPF (CIPA DC-007); thumbnails are inside other segments.
    """
    at = 2
    while (head := data[at : at + 4]) and len(head) == 4 and head[0] == 0xFF:
        marker, length = struct.unpack(">xBH", head)
        if marker == START_OF_SCAN:
            return FileKind.JPEGS if NEXT_JPEG.search(data, at) else FileKind.PICTURE
        if data[at + 4 : at + 8] == MULTI_PICTURE:
            more = _pictures_of_mpf(data[at + 8 : at + 2 + length]) > 1
            return FileKind.PICTURES if more else FileKind.PICTURE
        at += 2 + length
    return FileKind.PICTURE


def _pictures_of_mpf(mpf: bytes) -> int:
    """Return the number of pictures of the same scene that a segment MPF lists."""
    entries = _tiff_tags(mpf, 0).get(MP_ENTRIES, b"")
    order: Literal["little", "big"] = "little" if mpf[:2] == b"II" else "big"
    kinds = [int.from_bytes(entries[i : i + 4], order) for i in range(0, len(entries) - 15, 16)]
    return sum(kind & 0xFF0000 == MP_SAME_SCENE for kind in kinds)


def _is_raw(data: Bytes) -> bool:
    """Return whether a TIFF is a raw photograph; OpenCV would read only its small preview."""
    if data[:4] not in TIFF_HEADS:
        return False
    if data[8:10] == b"CR":
        return True  # Canon's CR2
    tags = _tiff_tags(data, 0)
    return DNG_VERSION in tags or (SUB_IFDS in tags and any(tags.get(SUBFILE_TYPE, b"")))


def _another_tiff_follows(data: Bytes) -> bool:
    head = data[:4]
    at = data.find(head, 8)
    while at >= 0:
        if IMAGE_WIDTH in _tiff_tags(data, at):
            return True
        at = data.find(head, at + 4)
    return False


def _tiff_tags(data: Bytes, start: int) -> dict[int, bytes]:
    """Return the tags of the first directory of a TIFF structure (TIFF 6.0, 2); empty if bad."""
    tags = {}
    end = "<" if data[start : start + 2] == b"II" else ">"
    try:
        (ifd,) = struct.unpack_from(f"{end}I", data, start + 4)
        (count,) = struct.unpack_from(f"{end}H", data, start + ifd)
        for index in range(min(count, MAX_TAGS)):
            at = start + ifd + 2 + 12 * index
            tag, kind, number, place = struct.unpack_from(f"{end}HHII", data, at)
            size = number * TIFF_SIZES.get(kind, 1)
            value = at + 8 if size <= 4 else start + place
            tags[tag] = bytes(data[value : value + min(size, MAX_TAG_BYTES)])
    except struct.error:
        return {}
    return tags
