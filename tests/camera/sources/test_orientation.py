"""The eight orientations of videos and pictures, in matrices and EXIF."""

import struct
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.camera.sources import open_source
from edgepose.camera.sources.orientation import Orientation
from edgepose.types import Image, Size
from tests.support.moving import with_matrix
from tests.support.streams import Camera

av = pytest.importorskip("av")

MATRICES = [
    *product((1, -1), (0,), (0,), (1, -1)),
    *product((0,), (1, -1), (1, -1), (0,)),
]
"""Everything that a right angle and a mirror can do."""

SIZE = Size(64, 48)
COLOURS = np.array([[(250, 0, 0), (0, 250, 0)], [(0, 0, 250), (250, 250, 250)]], np.uint8)
QUARTERS: Image = COLOURS.repeat(SIZE.height // 2, axis=0).repeat(SIZE.width // 2, axis=1)
"""Red and green above blue and white."""


def shown(image: Image, a: int, b: int, c: int, d: int) -> Image:
    """Move each pixel by the matrix: the definition, pixel by pixel."""
    height, width = image.shape[:2]
    ys, xs = np.mgrid[:height, :width]
    right, down = a * xs + c * ys, b * xs + d * ys
    right, down = right - right.min(), down - down.min()
    moved = np.zeros((down.max() + 1, right.max() + 1, 3), np.uint8)
    moved[down, right] = image
    return moved


def film(path: Path) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, tuple(SIZE))
    for _ in range(5):
        writer.write(cv2.cvtColor(QUARTERS, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def difference(one: Image, other: Image) -> float:
    """Return the mean difference of two pictures in grey levels."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other).mean())


@pytest.mark.parametrize("matrix", MATRICES)
def test_a_matrix_moves_each_pixel_as_it_says(matrix: tuple[int, int, int, int]) -> None:
    """Rotation, mirroring and both are applied to pictures of any shape."""
    image = np.random.default_rng(3).integers(0, 255, (5, 7, 3), np.uint8)

    assert np.array_equal(Orientation.of_matrix(*matrix).apply(image), shown(image, *matrix))


@pytest.mark.parametrize("matrix", MATRICES)
def test_a_film_is_shown_as_its_matrix_says(
    tmp_path: Path, matrix: tuple[int, int, int, int]
) -> None:
    """The matrix is applied to every frame of a file."""
    path = with_matrix(film(tmp_path / "film.mp4"), *matrix)

    frames = list(open_source(str(path), realtime=False).frames())

    assert len(frames) == 5
    assert all(difference(frame.image, shown(QUARTERS, *matrix)) < 15 for frame in frames)


@pytest.mark.parametrize("matrix", MATRICES)
def test_a_film_over_http_is_shown_as_its_matrix_says(
    tmp_path: Path, matrix: tuple[int, int, int, int]
) -> None:
    """The matrix is applied to frames and thumbnails of a video over HTTP."""
    path = with_matrix(film(tmp_path / "film.mp4"), *matrix)
    thumbnails: list[Image] = []

    def note(_: int, thumbnail: object = None) -> bool:
        thumbnails.append(thumbnail())  # type: ignore[operator]
        return True

    with Camera() as camera:
        camera.file = path.read_bytes()
        source = open_source(camera.url("file.mp4"), realtime=False, once=True)
        frame = next(source.frames(note))
        source.close()

    assert difference(frame.image, shown(QUARTERS, *matrix)) < 15
    grey = cv2.cvtColor(shown(QUARTERS, *matrix), cv2.COLOR_RGB2GRAY)
    assert difference(thumbnails[0], grey) < 15


def avif(path: Path, *properties: bytes) -> Path:
    """Write an AVIF picture with transformative properties (ISO 23008-12, 6.5)."""
    good, encoded = cv2.imencode(".avif", cv2.cvtColor(QUARTERS, cv2.COLOR_RGB2BGR))
    assert good
    data = bytearray(encoded.tobytes())
    grown = 0
    for prop in properties:
        at = data.index(b"ipco") - 4
        length = int.from_bytes(data[at : at + 4])
        index = 1 + count_boxes(data[at + 8 : at + length])
        data[at + length : at + length] = prop
        ipma = data.index(b"ipma") - 4
        associations = ipma + 18  # the item's number of properties
        end = ipma + int.from_bytes(data[ipma : ipma + 4])
        data[end:end] = bytes((0x80 | index,))
        data[associations] += 1
        for name, more in ((b"ipco", len(prop)), (b"ipma", 1)):
            enlarge(data, name, more)
        for name in (b"iprp", b"meta"):
            enlarge(data, name, len(prop) + 1)
        grown += len(prop) + 1
    iloc = data.index(b"iloc") - 4
    offset = iloc + int.from_bytes(data[iloc : iloc + 4]) - 8
    place = int.from_bytes(data[offset : offset + 4]) + grown
    data[offset : offset + 4] = place.to_bytes(4)
    path.write_bytes(data)
    return path


def enlarge(data: bytearray, name: bytes, more: int) -> None:
    at = data.index(name) - 4
    data[at : at + 4] = (int.from_bytes(data[at : at + 4]) + more).to_bytes(4)


def count_boxes(data: bytearray) -> int:
    at = count = 0
    while at < len(data):
        at += int.from_bytes(data[at : at + 4])
        count += 1
    return count


@pytest.mark.skipif(not cv2.haveImageWriter("x.avif"), reason="this OpenCV writes no AVIF")
@pytest.mark.parametrize(
    ("properties", "matrix"),
    [
        ((), (1, 0, 0, 1)),
        ((b"\0\0\0\x09irot\x01",), (0, -1, 1, 0)),
        ((b"\0\0\0\x09irot\x02",), (-1, 0, 0, -1)),
        ((b"\0\0\0\x09irot\x03",), (0, 1, -1, 0)),
        ((b"\0\0\0\x09imir\x01",), (-1, 0, 0, 1)),
        ((b"\0\0\0\x09imir\x00",), (1, 0, 0, -1)),
    ],
)
def test_an_avif_picture_is_shown_as_it_says(
    tmp_path: Path, properties: tuple[bytes, ...], matrix: tuple[int, int, int, int]
) -> None:
    """The transformative properties of an AVIF picture are applied."""
    path = avif(tmp_path / "photo.avif", *properties)

    (frame,) = open_source(str(path)).frames()

    assert frame.name == str(path)
    assert difference(frame.image, shown(QUARTERS, *matrix)) < 15


def with_exif(photo: bytes, orientation: int) -> bytes:
    """Insert EXIF with the one entry `Orientation` (CIPA DC-008, 4.6.4)."""
    tiff = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0)
    body = b"Exif\0\0" + tiff
    return photo[:2] + struct.pack(">2sH", b"\xff\xe1", 2 + len(body)) + body + photo[2:]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpegs_in_a_row_are_shown_as_their_exif_says(tmp_path: Path, orientation: int) -> None:
    """Concatenated JPEGs have the same orientation as the single picture, also mirrored ones."""
    photo = cv2.imencode(".jpg", cv2.cvtColor(QUARTERS, cv2.COLOR_RGB2BGR))[1].tobytes()
    one, many = tmp_path / "one.jpg", tmp_path / "many.mjpeg"
    one.write_bytes(with_exif(photo, orientation))
    many.write_bytes(with_exif(photo, orientation) * 3)

    (alone,) = open_source(str(one)).frames()
    frames = list(open_source(str(many), realtime=False).frames())

    assert len(frames) == 3
    assert max(difference(frame.image, alone.image) for frame in frames) < 15
