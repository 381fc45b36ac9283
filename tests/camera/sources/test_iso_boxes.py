"""Boxes of MP4, HEIC and AVIF files."""

import struct
from pathlib import Path

import pytest

from edgepose.camera.sources.iso_boxes import count_photographs, film_orientation
from edgepose.camera.sources.orientation import Orientation
from edgepose.types import Size
from tests.support.moving import avif_of_tiles, box, numbered

Matrix = tuple[int, int, int, int]


def track(handler: bytes, shown: Matrix, version: int = 0) -> bytes:
    a, b, c, d = shown
    matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    times = bytes(20 if version == 0 else 32)
    header = box(b"tkhd", times, bytes(16), matrix, bytes(8), full=True, version=version)
    media = box(b"mdia", box(b"hdlr", bytes(4), handler, bytes(13), full=True))
    return box(b"trak", header, media)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize(
    "first", [b"", box(b"free", bytes(40)), struct.pack(">I4sQ", 1, b"mdat", 16)]
)
def test_the_orientation_is_that_of_the_video(version: int, first: bytes) -> None:
    """The orientation is that of the video track, not of a sound track before it."""
    sound = track(b"soun", (1, 0, 0, 1))
    video = track(b"vide", (-1, 0, 0, 1), version)

    found = film_orientation(box(b"ftyp", b"isom") + first + box(b"moov", sound, video))

    assert found == Orientation(mirrored=True)


@pytest.mark.parametrize("size", range(0, 260, 7))
def test_a_cut_off_file_has_no_orientation(size: int) -> None:
    """A truncated file gives None or the right orientation, without an exception."""
    whole = box(b"ftyp", b"isom") + box(b"moov", track(b"vide", (0, 1, -1, 0)))

    assert film_orientation(whole[:size]) in {None, Orientation(transposed=True, mirrored=True)}


@pytest.mark.parametrize(("apart", "count"), [(False, 1), (True, 3)])
def test_tiles_are_one_photograph(tmp_path: Path, apart: bool, count: int) -> None:
    """Tiles of one photo count once, separate pictures of a burst each."""
    path = avif_of_tiles(tmp_path / "a.avif", numbered(20, Size(64, 64)), 3, apart=apart)
    data = path.read_bytes()

    assert count_photographs(data) == count
    for size in range(0, 700, 13):
        assert count_photographs(data[:size]) in range(count + 1)


def items(*rows: tuple[int, bytes, int], references: bytes = b"") -> bytes:
    """Return a HEIC file of items: number, type, hidden."""
    infos = [
        struct.pack(">I4sBBBBHH4sx", 21, b"infe", 2, 0, 0, hidden, item, 0, kind)
        for item, kind, hidden in rows
    ]
    listed = box(b"iinf", struct.pack(">H", len(infos)), *infos, full=True)
    return box(b"ftyp", b"heic") + box(b"meta", listed, references, full=True)


def test_thumbnails_and_depth_are_no_photographs() -> None:
    """Thumbnails, depth maps, hidden items and metadata are not counted."""
    refs = box(
        b"iref",
        box(b"thmb", struct.pack(">HHH", 2, 1, 1)),
        box(b"auxl", struct.pack(">HHH", 3, 1, 1)),
        full=True,
    )
    rows = [(1, b"hvc1", 0), (2, b"hvc1", 0), (3, b"hvc1", 0), (4, b"hvc1", 1), (5, b"Exif", 0)]

    assert count_photographs(items(*rows, references=refs)) == 1
    assert count_photographs(items(*rows)) == 3


@pytest.mark.parametrize("name", [b"tkhd", b"hdlr"])
def test_an_empty_box_has_no_orientation(name: bytes) -> None:
    """A box without content at the end of the data is skipped."""
    media = box(b"mdia", box(b"hdlr", bytes(4), b"vide", bytes(13), full=True))
    data = box(b"moov", box(b"trak", media, struct.pack(">I4s", 8, name)))

    assert film_orientation(data) is None


@pytest.mark.parametrize("name", [b"iinf", b"iref"])
def test_an_empty_list_of_items_counts_nothing(name: bytes) -> None:
    """A box without content at the end of the data is skipped."""
    data = box(b"meta", bytes(4), struct.pack(">I4s", 8, name))

    assert count_photographs(data) == 0
