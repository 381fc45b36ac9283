"""Damaged, truncated and uneven videos, and unusual file names."""

import logging
import os
import shutil
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.camera.sources import films, open_source
from edgepose.errors import SourceError
from edgepose.timing import NS_PER_MS
from edgepose.types import Frame, Size
from tests.support.moving import avif_of_tiles, clip, h264, number_of, numbered, with_matrix


@pytest.fixture(params=["pyav", "opencv"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Use each library in turn."""
    if request.param == "opencv":
        monkeypatch.setattr(films, "has_pyav", lambda: False)
    else:
        pytest.importorskip("av")
    return str(request.param)


def frames_of(path: Path | str) -> list[Frame]:
    return list(open_source(str(path), realtime=False).frames())


def times_ms(frames: list[Frame]) -> list[int]:
    return [round((f.captured_ns - frames[0].captured_ns) / NS_PER_MS) for f in frames]


def jpegs_at(data: bytes) -> list[int]:
    """Return the offsets of the pictures in an MJPEG video."""
    places, at = [], data.find(b"\xff\xd8\xff")
    while at >= 0:
        places.append(at)
        at = data.find(b"\xff\xd8\xff", at + 3)
    return places


@pytest.mark.parametrize("damaged", [{10}, {10, 11, 12}, {3, 17, 29}, {0}, {0, 1}])
def test_damaged_pictures_do_not_end_a_film(
    tmp_path: Path, reader: str, damaged: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    """The other frames come with their times, and the log counts the damaged ones."""
    path = clip(tmp_path / "clip.avi", 40, fps=20.0)
    data = bytearray(path.read_bytes())
    places = jpegs_at(data)
    for number in damaged:
        begin, end = places[number], places[number + 1] - 24
        data[begin:end] = bytes(end - begin)
    path.write_bytes(data)

    with caplog.at_level(logging.WARNING):
        frames = frames_of(path)

    whole = [number for number in range(40) if number not in damaged]
    assert [number_of(frame.image) for frame in frames] == whole
    assert times_ms(frames) == [50 * (number - whole[0]) for number in whole]
    if reader == "pyav" or 0 not in damaged:
        assert f"damaged pictures left out: {len(damaged)}" in caplog.text
    assert "complete" not in caplog.text


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_a_damaged_packet_of_h264_does_not_end_a_film(
    tmp_path: Path, reader: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The other frames are delivered, in containers with and without an index."""
    pytest.importorskip("av")
    path = h264(tmp_path / name, [100 * index for index in range(30)])
    data = bytearray(path.read_bytes())
    nals = slices(data)
    data[nals[10] : nals[10] + 30] = bytes(30)
    path.write_bytes(data)

    frames = frames_of(path)

    assert len(frames) >= 28
    assert number_of(frames[-1].image) == 29
    assert times_ms(frames)[-1] == 2900
    assert "complete" not in caplog.text


MATRICES = [(-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1), (0, 1, -1, 0), (0, 1, 1, 0)]
MATRICES += [(0, -1, -1, 0), (0, -1, 1, 0), (1, 0, 0, 1)]


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("name", ["film.mp4", "film.mov"])
def test_a_film_is_shown_as_players_show_it(
    tmp_path: Path, reader: str, name: str, matrix: tuple[int, int, int, int]
) -> None:
    """Rotation and mirroring are applied with either library."""
    pytest.importorskip("av")
    a, b, c, d = matrix
    path = with_matrix(gradient(tmp_path / name), a, b, c, d)

    image = frames_of(path)[0].image

    # red grows to the right with x, green grows downwards with y
    height, width = image.shape[:2]
    assert (width, height) == ((96, 48) if a else (48, 96))
    red = image[..., 0].astype(int)
    green = image[..., 1].astype(int)
    shown_x = (red[height // 2, -4] - red[height // 2, 4], red[-4, width // 2] - red[4, width // 2])
    shown_y = (
        green[height // 2, -4] - green[height // 2, 4],
        green[-4, width // 2] - green[4, width // 2],
    )
    assert [round(step / 160) for step in shown_x] == [a, b]
    assert [round(step / 160) for step in shown_y] == [c, d]


def gradient(path: Path) -> Path:
    """Write a video whose red grows with x and whose green grows with y."""
    import av

    xs = np.tile(np.linspace(20, 200, 96, dtype=np.uint8), (48, 1))
    ys = np.tile(np.linspace(20, 200, 48, dtype=np.uint8)[:, None], (1, 96))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 96, 48, "yuv420p"
        for _ in range(3):
            rgb = np.dstack([xs, ys, np.full_like(xs, 90)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("part", [0.2, 0.4, 0.6, 0.75])
def test_pictures_after_damage_keep_their_order_and_times(tmp_path: Path, part: float) -> None:
    """Frames after the damage are in order, also with B-frames."""
    pytest.importorskip("av")
    path = h264(tmp_path / "film.mp4", [100 * i for i in range(60)], size=Size(320, 240), group=10)
    data = bytearray(path.read_bytes())
    begin, end = data.index(b"mdat"), data.index(b"moov")
    at = begin + round(part * (end - begin))
    noise = np.random.default_rng(1).integers(0, 256, (end - begin) // 10, np.uint8)
    data[at : at + len(noise)] = noise.tobytes()
    path.write_bytes(data)

    times = times_ms(frames_of(path))

    assert times == sorted(set(times))
    assert set(times) <= {100 * i for i in range(60)}
    assert times[-1] == 5900
    assert len(times) >= 40


def slices(data: bytes) -> list[int]:
    """Return the offsets of the key frames' lengths: NAL units of type 5."""
    found, at = [], data.find(b"\0\0")
    while 0 <= at < len(data) - 8:
        length = int.from_bytes(data[at : at + 4])
        if 4 < length < 4000 and data[at + 4] == 0x65:
            found.append(at)
            at += length
        at = data.find(b"\0\0", at + 1)
    return found


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4"])
def test_a_pause_in_a_film_is_no_missing_part(
    tmp_path: Path, reader: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A pause in a video does not cause a warning about missing frames."""
    pytest.importorskip("av")
    stamps = [100 * index + (3000 if index > 9 else 0) for index in range(20)]
    path = h264(tmp_path / name, stamps)

    with caplog.at_level(logging.WARNING):
        frames = frames_of(path)

    assert times_ms(frames) == stamps
    assert caplog.text == ""


@pytest.mark.parametrize("name", ["film.mkv", "film.avi", "film.flv"])
def test_a_film_that_was_cut_off_is_noticed(
    tmp_path: Path, reader: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The readable part is delivered, and a warning is logged."""
    pytest.importorskip("av")
    if (reader, name) == ("opencv", "film.flv"):
        pytest.skip("OpenCV tells no length of it")
    make = clip if name == "film.avi" else lambda path, _: h264(path, [50 * i for i in range(80)])
    path = make(tmp_path / name, 80)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])

    with caplog.at_level(logging.WARNING):
        frames = frames_of(path)

    assert 5 < len(frames) < 70
    assert "is the file complete?" in caplog.text


@pytest.mark.parametrize(
    "name",
    ["12:30:05.avi", "front:01", "concat:a|b", b"stra\xdfe.avi", "walk%03d.avi", 'a\'b "c".avi'],
)
def test_any_name_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, name: str | bytes
) -> None:
    """Relative names with a colon, and names in any encoding, can be read."""
    monkeypatch.chdir(tmp_path)
    text = os.fsdecode(name)
    shutil.copy(clip(tmp_path / "plain.avi", 3), tmp_path / text)

    assert len(frames_of(text)) == 3
    assert len(frames_of(tmp_path / text)) == 3


def test_a_folder_may_have_any_name(tmp_path: Path, reader: str) -> None:
    """Folder names in other encodings can be read."""
    folder = tmp_path / os.fsdecode(b"gr\xfcn: 1")
    folder.mkdir()
    shutil.copy(clip(tmp_path / "plain.avi", 3), folder / "film.avi")

    assert len(frames_of(folder / "film.avi")) == 3


Maker = Callable[[Path], object]


def animated(path: Path) -> object:
    """Write an animation of six numbered pictures, 0.1 s each but the third: 0.5 s."""
    if not hasattr(cv2, "imwriteanimation"):
        pytest.skip("this OpenCV writes no animation")
    animation = cv2.Animation()
    animation.frames = [numbered(6 * index) for index in range(6)]
    animation.durations = np.array([100, 100, 500, 100, 100, 100])
    assert cv2.imwriteanimation(str(path), animation)
    return path


@pytest.mark.parametrize("ending", ["webp", "png", "avif", "gif"])
@pytest.mark.parametrize("named", [True, False])
def test_every_picture_of_an_animation_comes(
    tmp_path: Path, reader: str, ending: str, named: bool
) -> None:
    """All pictures come with their times, whatever the file's name."""
    if (reader, ending) == ("opencv", "avif"):
        pytest.skip("needs PyAV, and says so")
    animated(tmp_path / f"moving.{ending}")
    path = tmp_path / (f"moving.{ending}" if named else "moving")
    (tmp_path / f"moving.{ending}").rename(path)

    frames = frames_of(path)

    assert [number_of(frame.image) for frame in frames] == [6 * index for index in range(6)]
    assert times_ms(frames) == [0, 100, 200, 700, 800, 900]


def test_a_gif_without_its_ending_is_whole(tmp_path: Path, reader: str) -> None:
    """A missing final byte does not matter."""
    animated(tmp_path / "moving.gif")
    data = (tmp_path / "moving.gif").read_bytes()
    (tmp_path / "moving.gif").write_bytes(data[:-1])

    assert len(frames_of(tmp_path / "moving.gif")) == 6


@pytest.mark.parametrize("name", ["walk.mjpeg", "walk.jpg", "walk"])
@pytest.mark.parametrize("between", [b"", bytes(37), b"\r\n"])
def test_jpeg_after_jpeg_is_a_film(tmp_path: Path, reader: str, name: str, between: bytes) -> None:
    """Raw MJPEG gives all pictures at a default rate."""
    pictures = [cv2.imencode(".jpg", numbered(index))[1].tobytes() for index in range(7)]
    (tmp_path / name).write_bytes(between.join(pictures))

    frames = frames_of(tmp_path / name)

    assert [number_of(frame.image) for frame in frames] == list(range(7))
    assert times_ms(frames) == [40 * index for index in range(7)]


def test_a_picture_in_tiles_is_refused_in_words(tmp_path: Path) -> None:
    """A tiled picture is refused: FFmpeg would return only the first tile."""
    pytest.importorskip("av")
    path = avif_of_tiles(tmp_path / "photo", numbered(20, Size(64, 64)), 3)

    with pytest.raises(SourceError, match=r"HEIC or AVIF picture in 3 tiles.*convert it to JPEG"):
        open_source(str(path))


def test_what_needs_pyav_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyAV a HEIC picture is refused with the pip command."""
    path = tmp_path / "photo.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(1000))
    monkeypatch.setitem(sys.modules, "av", None)

    with pytest.raises(SourceError, match=r"HEIC.*pip install 'av"):
        open_source(str(path))


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4"])
@pytest.mark.parametrize("start_s", [0, 20])
def test_a_film_may_begin_later_than_zero(
    tmp_path: Path, name: str, start_s: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A video may start at a time other than zero."""
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(30):
            picture = av.VideoFrame(64, 48, "yuv420p")
            picture.pts, picture.time_base = 10 * start_s + index, Fraction(1, 10)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())

    with caplog.at_level(logging.WARNING):
        frames = frames_of(tmp_path / name)

    assert times_ms(frames) == [100 * index for index in range(30)]
    assert "complete" not in caplog.text


def test_sound_is_no_film(tmp_path: Path) -> None:
    """An audio file is refused."""
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "music.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), layout="mono")
        samples.sample_rate = 8000
        container.mux(stream.encode(samples))

    with pytest.raises(SourceError, match="found audio; expected a video"):
        open_source(str(tmp_path / "music.mkv"))


def test_the_libraries_say_nothing_themselves(
    tmp_path: Path, reader: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The libraries' own messages about a damaged video are suppressed."""
    path = clip(tmp_path / "clip.avi", 20)
    data = bytearray(path.read_bytes())
    for place in jpegs_at(data)[1:]:
        data[place + 300 : place + 320] = bytes(20)
    path.write_bytes(data)

    frames_of(path)

    assert capfd.readouterr().err == ""
