"""What a file holds, by its content."""

import logging
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.camera.sources import open_source
from edgepose.camera.sources.file_kinds import FileKind, kind_of
from tests.support.moving import numbered, picture


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
    """Whatever telephones put into it and behind it."""
    path = tmp_path / "photo"
    path.write_bytes(data)

    assert kind_of(path) is FileKind.PICTURE


@pytest.mark.parametrize("count", [2, 5])
def test_jpegs_one_after_the_other_are_several(tmp_path: Path, count: int) -> None:
    """Also when each has a thumbnail."""
    path = tmp_path / "walk"
    path.write_bytes(with_segment(jpeg(), 0xE1, b"Exif\0\0" + jpeg(1)) * count)

    assert kind_of(path) is FileKind.JPEGS


@pytest.mark.parametrize("ending", ["png", "webp", "bmp", "tiff", "ppm", "jp2"])
def test_other_pictures_are_known_without_their_ending(tmp_path: Path, ending: str) -> None:
    """By what OpenCV reads."""
    picture(tmp_path / f"a.{ending}", numbered(3)).rename(tmp_path / "a")

    assert kind_of(tmp_path / "a") is FileKind.PICTURE


@pytest.mark.parametrize("ending", ["png", "webp", "bmp", "ppm", "pgm"])
def test_pictures_behind_the_first_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    """As `ffmpeg -f image2pipe` writes them: of those only the first is looked at."""
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
    """Such as padding and what editors append."""
    path = tmp_path / "photo"
    path.write_bytes(cv2.imencode(f".{ending}", numbered(0))[1].tobytes() + more)

    assert kind_of(path) is FileKind.PICTURE


def test_pages_that_are_not_looked_at_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a TIFF of several pages the first one counts, and the log says so."""
    path = tmp_path / "pages.tiff"
    assert cv2.imwritemulti(str(path), [np.full((20, 30, 3), 90, np.uint8)] * 3)

    with caplog.at_level(logging.WARNING):
        frames = list(open_source(str(path)).frames())

    assert len(frames) == 1
    assert "holds several pictures; only the first is looked at" in caplog.text


def test_an_animation_in_a_folder_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder holds pictures; of one that moves the first is taken, and the log says so."""
    (tmp_path / "1.jpg").write_bytes(jpeg() + jpeg(1))
    (tmp_path / "2.jpg").write_bytes(jpeg())

    with caplog.at_level(logging.WARNING):
        frames = list(open_source(str(tmp_path), realtime=False).frames())

    assert len(frames) == 2
    assert ["1.jpg" in record.message for record in caplog.records] == [True]
