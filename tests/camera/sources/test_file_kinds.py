"""The kind of a file is recognised by its content."""

import logging
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.camera.sources import open_source
from edgepose.camera.sources.file_kinds import FileKind, kind_of
from edgepose.errors import SourceError
from edgepose.types import Size
from tests.support.moving import avif_of_tiles, number_of, numbered, picture


def jpeg(index: int = 0) -> bytes:
    return cv2.imencode(".jpg", numbered(index))[1].tobytes()


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body


def with_segment(photo: bytes, marker: int, body: bytes) -> bytes:
    return photo[:2] + segment(marker, body) + photo[2:]


@pytest.mark.parametrize(
    "data",
    [
        jpeg(),
        with_segment(jpeg(), 0xE1, b"Exif\0\0" + jpeg(1)),
        with_segment(jpeg(), 0xE1, b"Exif\0\0" + jpeg(1) + jpeg(2)),
        with_segment(jpeg(), 0xE2, b"MPF\0" + bytes(80)) + jpeg(1),
        with_segment(with_segment(jpeg(), 0xE2, b"MPF\0" + bytes(80)), 0xE1, b"Exif") + jpeg(1),
        jpeg() + b"\0\0\0\x18ftypmp42" + bytes(900),
        jpeg()[:-2],
    ],
    ids=["plain", "thumbnail", "two previews", "gain map", "exif first", "motion", "cut off"],
)
def test_a_photograph_is_one_picture(tmp_path: Path, data: bytes) -> None:
    """A photo is one picture, despite thumbnails and appended data."""
    path = tmp_path / "photo"
    path.write_bytes(data)

    assert kind_of(path) is FileKind.PICTURE


@pytest.mark.parametrize("count", [2, 5])
def test_jpegs_one_after_the_other_are_several(tmp_path: Path, count: int) -> None:
    """Concatenated JPEGs are several pictures, also with thumbnails."""
    path = tmp_path / "walk"
    path.write_bytes(with_segment(jpeg(), 0xE1, b"Exif\0\0" + jpeg(1)) * count)

    assert kind_of(path) is FileKind.JPEGS


@pytest.mark.parametrize("ending", ["png", "webp", "bmp", "tiff", "ppm", "jp2"])
def test_other_pictures_are_known_without_their_ending(tmp_path: Path, ending: str) -> None:
    """Picture formats are recognised without an extension."""
    picture(tmp_path / f"a.{ending}", numbered(3)).rename(tmp_path / "a")

    assert kind_of(tmp_path / "a") is FileKind.PICTURE


@pytest.mark.parametrize("ending", ["png", "webp", "bmp", "ppm", "pgm"])
def test_pictures_behind_the_first_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    """Of concatenated pictures, as by `ffmpeg -f image2pipe`, the first is read, with a warning."""
    pixels = numbered(0)[..., 0] if ending == "pgm" else numbered(0)
    path = tmp_path / "walk"
    path.write_bytes(cv2.imencode(f".{ending}", pixels)[1].tobytes() * 3)

    with caplog.at_level(logging.WARNING):
        frames = list(open_source(str(path)).frames())

    assert len(frames) == 1
    assert "holds several pictures; only the first is looked at" in caplog.text


@pytest.mark.parametrize("ending", ["png", "webp", "bmp", "ppm"])
@pytest.mark.parametrize("more", [b"", bytes(40), b"P"])
def test_other_data_behind_a_picture_are_no_picture(
    tmp_path: Path, ending: str, more: bytes
) -> None:
    """Padding and data appended by editors do not matter."""
    path = tmp_path / "photo"
    path.write_bytes(cv2.imencode(f".{ending}", numbered(0))[1].tobytes() + more)

    assert kind_of(path) is FileKind.PICTURE


def test_pages_that_are_not_looked_at_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a TIFF with several pages the first is read, with a warning."""
    path = tmp_path / "pages.tiff"
    assert cv2.imwritemulti(str(path), [np.full((20, 30, 3), 90, np.uint8)] * 3)

    with caplog.at_level(logging.WARNING):
        frames = list(open_source(str(path)).frames())

    assert len(frames) == 1
    assert "holds several pictures; only the first is looked at" in caplog.text


@pytest.mark.parametrize("ending", ["tiff", "jp2"])
def test_pictures_of_unknown_length_may_be_several(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    """Of concatenated TIFF and JPEG 2000 files the first picture is read, with a warning."""
    path = tmp_path / "walk"
    path.write_bytes(cv2.imencode(f".{ending}", numbered(7))[1].tobytes() * 2)

    with caplog.at_level(logging.WARNING):
        frames = list(open_source(str(path)).frames())

    assert len(frames) == 1
    assert "holds several pictures; only the first is looked at" in caplog.text


def mpf(*kinds: int) -> bytes:
    """Return a segment MPF that lists pictures of these types (CIPA DC-007, 5.2)."""
    entries = b"".join(struct.pack("<IIIHH", kind, 900, 0, 0, 0) for kind in kinds)
    tag = struct.pack("<HHII", 0xB002, 7, len(entries), 8 + 2 + 12 + 4)
    return b"MPF\0II*\0" + struct.pack("<IH", 8, 1) + tag + bytes(4) + entries


@pytest.mark.parametrize(
    ("kinds", "several"),
    [
        ((0x020002, 0x020002), True),
        ((0x20020003, 0x020003, 0x020003), True),
        ((0x030000, 0x000000), False),
        ((0x030000, 0x010001), False),
        ((), False),
    ],
    ids=["stereo", "angles", "gain map", "preview", "none"],
)
def test_an_mpo_of_several_photographs_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kinds: tuple[int, ...], several: bool
) -> None:
    """Stereo pictures, panoramas and bursts give a warning; previews and gain maps do not."""
    path = tmp_path / "photo.mpo"
    path.write_bytes(with_segment(jpeg(), 0xE2, mpf(*kinds)) + jpeg(1))

    with caplog.at_level(logging.WARNING):
        frames = list(open_source(str(path)).frames())

    assert len(frames) == 1
    assert ("holds several pictures" in caplog.text) == several


def test_several_photographs_in_one_avif_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a burst in one file, as phones store it, the first picture is read, with a warning."""
    pytest.importorskip("av")
    path = avif_of_tiles(tmp_path / "burst.heic", numbered(20, Size(64, 64)), 3, apart=True)

    with caplog.at_level(logging.WARNING):
        frames = list(open_source(str(path)).frames())

    assert [number_of(frame.image) for frame in frames] == [20]
    assert "holds several pictures; only the first is looked at" in caplog.text


def tiff_with(order: str, *tags: tuple[int, int, int, int]) -> bytes:
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    rows = b"".join(
        struct.pack(f"{order}HHI", tag, kind, number)
        + (struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value))
        for tag, kind, number, value in tags
    )
    return head + struct.pack(f"{order}H", len(tags)) + rows + bytes(400)


RAW = {
    "dng": tiff_with("<", (0x100, 3, 1, 160), (0xC612, 4, 1, 0x401)),
    "nef": tiff_with(">", (0xFE, 4, 1, 1), (0x100, 4, 1, 160), (0x14A, 4, 1, 900)),
    "cr2": b"II*\0\x10\0\0\0CR\2\0" + bytes(400),
    "cr3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(400),
    "raf": b"FUJIFILMCCD-RAW 0201" + bytes(400),
    "orf": b"IIRO\x08\0\0\0" + bytes(400),
    "rw2": b"IIU\0\x08\0\0\0" + bytes(400),
}


@pytest.mark.parametrize("kind", RAW)
def test_a_raw_photograph_is_refused_in_words(tmp_path: Path, kind: str) -> None:
    """A raw photo is refused: TIFF readers would return its small preview."""
    path = tmp_path / "photo"
    path.write_bytes(RAW[kind])

    with pytest.raises(SourceError, match=r"found a raw photograph.*convert it to JPEG"):
        open_source(str(path))


def test_films_in_a_folder_of_pictures_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Only pictures are read; the warning lists the files that were skipped."""
    (tmp_path / "1.jpg").write_bytes(jpeg())
    for name in ("a.dng", "b.mp4", "c.MOV", "d.gif", "notes.txt"):
        (tmp_path / name).write_bytes(b"1")

    with caplog.at_level(logging.WARNING):
        frames = list(open_source(str(tmp_path), realtime=False).frames())

    assert len(frames) == 1
    assert "no pictures, left out: a.dng, b.mp4, c.MOV and 1 more" in caplog.text


def test_an_animation_in_a_folder_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of an animation in a folder the first picture is read, with a warning."""
    (tmp_path / "1.jpg").write_bytes(jpeg() + jpeg(1))
    (tmp_path / "2.jpg").write_bytes(jpeg())

    with caplog.at_level(logging.WARNING):
        frames = list(open_source(str(tmp_path), realtime=False).frames())

    assert len(frames) == 2
    assert ["1.jpg" in record.message for record in caplog.records] == [True]
