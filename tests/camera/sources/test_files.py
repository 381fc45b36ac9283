"""Pictures, folders, globs and videos."""

import logging
import os
import shutil
import struct
import threading
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.camera.sources import Source, open_source
from edgepose.camera.sources.files import natural, read_picture
from edgepose.camera.sources.films import FilmPicture
from edgepose.errors import SourceError
from edgepose.timing import NS_PER_MS, NS_PER_S, Clock
from edgepose.types import Size
from tests.support.contracts.source import SourceContract
from tests.support.moving import clip, number_of, numbered, picture

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


class Hands(Clock):
    """A clock that advances only by waiting."""

    def __init__(self) -> None:
        self.at_ns = 5 * NS_PER_S
        self.waits_ns: list[int] = []

    def now_ns(self) -> int:
        return self.at_ns

    def wait(self, seconds: float) -> bool:
        self.waits_ns.append(round(seconds * NS_PER_S))
        self.at_ns += round(seconds * NS_PER_S)
        return False


class TestVideo(SourceContract):
    live = False

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Callable[[], Source]:
        path = clip(tmp_path / "clip.avi", 8)
        return lambda: open_source(str(path), realtime=False)


class TestPacedVideo(SourceContract):
    live = False

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Callable[[], Source]:
        path = clip(tmp_path / "clip.avi", 8, fps=100.0)
        return lambda: open_source(str(path))


class TestFolder(SourceContract):
    live = False

    @pytest.fixture
    def opened(self, tmp_path: Path) -> Callable[[], Source]:
        for index in range(4):
            picture(tmp_path / f"{index}.png", numbered(index))
        return lambda: open_source(str(tmp_path), realtime=False)


BANDS = Size(90, 60)


def bands(size: Size = BANDS) -> np.ndarray:
    """Return a picture of red, green and blue from left to right."""
    rgb = np.zeros((size.height, size.width, 3), dtype=np.uint8)
    for index, colour in enumerate((RED, GREEN, BLUE)):
        rgb[:, index * size.width // 3 : (index + 1) * size.width // 3] = colour
    return rgb


def test_a_video_is_rgb(tmp_path: Path) -> None:
    """The channels are red, green and blue, in this order."""
    path = tmp_path / "bands.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (90, 60))
    writer.write(cv2.cvtColor(bands(), cv2.COLOR_RGB2BGR))
    writer.release()

    (frame,) = open_source(str(path), realtime=False).frames()

    assert np.abs(frame.image[30, [15, 45, 75]].astype(int) - [RED, GREEN, BLUE]).max() < 30


def test_a_video_is_repeated_if_asked(tmp_path: Path) -> None:
    """It begins again with continuing times; with `once`, and without the option, it ends."""
    path = clip(tmp_path / "clip.avi", 8, fps=10.0)
    source = open_source(f"file://{path}?loop=1", realtime=False)

    times_ns = [frame.captured_ns for frame in islice(source.frames(), 20)]
    source.close()

    steps_ms = {round((b - a) / 1e6) for a, b in pairwise(times_ns)}
    assert source.length is None
    assert steps_ms == {100}
    for uri, once in ((f"file://{path}?loop=1", True), (f"file://{path}", False)):
        assert len(list(open_source(uri, realtime=False, once=once).frames())) == 8


def test_pictures_are_not_repeated(tmp_path: Path) -> None:
    """The option is refused for a picture and for a folder."""
    path = picture(tmp_path / "bands.png", bands())

    for what in (path, tmp_path):
        with pytest.raises(SourceError, match="loop=1 is for videos"):
            open_source(f"file://{what}?loop=1")


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "webp", "tiff", "ppm"])
def test_a_picture_is_rgb(tmp_path: Path, ending: str) -> None:
    """A still picture is one frame with the file's name, in each format."""
    path = picture(tmp_path / f"bands.{ending}", bands())

    source = open_source(str(path))
    (frame,) = source.frames()

    assert np.abs(frame.image[30, [15, 45, 75]].astype(int) - [RED, GREEN, BLUE]).max() < 30
    assert frame.name == str(path)
    assert source.length == 1


def test_every_frame_comes_once_and_in_order(tmp_path: Path) -> None:
    """No frame is dropped, in real time or faster."""
    path = clip(tmp_path / "clip.avi", 12, fps=200.0)

    fast = open_source(str(path), realtime=False)
    paced = open_source(str(path))

    assert fast.length == 12
    assert fast.fps == pytest.approx(200)
    for source in (fast, paced):
        assert [number_of(frame.image) for frame in source.frames()] == list(range(12))


def test_a_video_is_read_by_an_older_opencv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV 4.6, as in 32-bit Debian 12, lacks CAP_PROP_N_THREADS."""
    path = clip(tmp_path / "clip.avi", 3)
    monkeypatch.delattr(cv2, "CAP_PROP_N_THREADS")

    frames = open_source(str(path), realtime=False).frames()

    assert [number_of(frame.image) for frame in frames] == [0, 1, 2]


def test_frames_stand_apart_as_the_container_says(tmp_path: Path) -> None:
    """Times are those of the container, in real time or not."""
    path = clip(tmp_path / "clip.avi", 6, fps=12.5)
    clock = Hands()

    source = open_source(str(path), clock=clock, realtime=False)
    moments = [frame.captured_ns for frame in source.frames()]

    assert moments[0] == clock.now_ns()
    assert np.diff(moments) == pytest.approx(NS_PER_S / 12.5, abs=NS_PER_S / 1000)


@pytest.mark.parametrize(
    "stamps",
    [[0, 0, 0, 0], [0, 100, 50, 60], [70, 20, 10, 0], [None] * 4, [None, 100, None, 300]],
)
def test_times_grow_where_the_container_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stamps: list[float | None]
) -> None:
    """Times increase also with missing, repeated or decreasing timestamps."""
    source = open_source(str(clip(tmp_path / "clip.avi", 4, fps=10.0)), realtime=False)
    given = iter(source._film.pictures())  # type: ignore[attr-defined]
    pictures = [
        FilmPicture(None if ms is None else round(ms * NS_PER_MS), lambda: numbered(0))
        for _, ms in zip(given, stamps, strict=True)
    ]
    monkeypatch.setattr(source._film, "pictures", lambda: iter(pictures))  # type: ignore[attr-defined]

    moments = [frame.captured_ns for frame in source.frames()]

    assert len(moments) == 4
    assert (np.diff(moments) > 0).all()


def test_a_paced_video_waits_for_each_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames are read when due; the reader's own time is subtracted from the wait."""
    path = clip(tmp_path / "clip.avi", 4, fps=10.0)
    clock = Hands()
    source = open_source(str(path), clock=clock)
    monkeypatch.setattr(source._closed, "wait", clock.wait)  # type: ignore[attr-defined]

    frames = source.frames()
    first = next(frames)
    second = next(frames)
    clock.at_ns += NS_PER_S // 20
    third = next(frames)

    assert first.read_ns == first.captured_ns
    assert second.read_ns >= second.captured_ns == first.captured_ns + NS_PER_S // 10
    assert third.read_ns >= third.captured_ns
    assert clock.waits_ns == pytest.approx([NS_PER_S // 10, NS_PER_S // 20], abs=1000)


def test_closing_cuts_a_wait_short(tmp_path: Path) -> None:
    """`close` interrupts a long wait between frames."""
    for index in range(2):
        picture(tmp_path / f"{index}.png", numbered(index))
    source = open_source(str(tmp_path), fps=1 / 3600)
    frames = source.frames()
    next(frames)
    rest: list[object] = []

    reader = threading.Thread(target=lambda: rest.extend(frames), daemon=True)
    reader.start()
    source.close()
    reader.join(20)

    assert not reader.is_alive()
    assert rest == []


def test_a_picture_stands_upright(tmp_path: Path) -> None:
    """The EXIF orientation is applied, also in a folder."""
    wide = bands(Size(90, 30))
    path = picture(tmp_path / "held.jpg", wide)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x112, 3, 1, 6, 0) + bytes(4)
    data = path.read_bytes()
    marker = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    path.write_bytes(data[:2] + marker + data[2:])

    (frame,) = open_source(str(path)).frames()

    assert frame.size == Size(30, 90)
    assert np.abs(frame.image[[15, 45, 75], 15].astype(int) - [RED, GREEN, BLUE]).max() < 30


def test_a_telephone_held_upright_films_upright(tmp_path: Path) -> None:
    """The container's rotation is applied."""
    path = tmp_path / "held.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (96, 32))
    writer.write(cv2.cvtColor(bands(Size(96, 32)), cv2.COLOR_RGB2BGR))
    writer.release()
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)

    (frame,) = open_source(str(path), realtime=False).frames()

    assert frame.size == Size(32, 96)
    assert np.abs(frame.image[[16, 48, 80], 16].astype(int) - [RED, GREEN, BLUE]).max() < 60


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("grey", np.full((20, 30), 128, dtype=np.uint8)),
        ("deep", np.full((20, 30, 3), 128 * 257, dtype=np.uint16)),
        ("grey_deep", np.full((20, 30), 128 * 257, dtype=np.uint16)),
        ("clear", np.full((20, 30, 4), 128, dtype=np.uint8)),
    ],
)
def test_other_depths_become_rgb_bytes(tmp_path: Path, name: str, pixels: np.ndarray) -> None:
    """Grey, alpha and 16-bit pictures become 8-bit RGB of the same brightness."""
    path = tmp_path / f"{name}.png"
    cv2.imwrite(str(path), pixels)

    (frame,) = open_source(str(path)).frames()

    assert frame.image.dtype == np.uint8
    assert frame.image.shape == (20, 30, 3)
    assert np.abs(frame.image.astype(int) - 128).max() <= 1


@pytest.mark.parametrize("size", [Size(1, 1), Size(3, 500), Size(4001, 2)])
def test_a_picture_has_any_size(tmp_path: Path, size: Size) -> None:
    """Odd, tiny and long pictures keep their size."""
    path = picture(tmp_path / "odd.png", numbered(3, size))

    (frame,) = open_source(str(path)).frames()

    assert frame.size == size


def test_a_folder_is_read_as_a_person_counts(tmp_path: Path) -> None:
    """2 comes before 10; other files, folders and hidden files are skipped."""
    for index in (10, 9, 1, 2):
        picture(tmp_path / f"frame{index}.png", numbered(index))
    picture(tmp_path / ".frame3.png", numbered(3))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "old.png").mkdir()

    frames = list(open_source(str(tmp_path), realtime=False).frames())

    assert [number_of(frame.image) for frame in frames] == [1, 2, 9, 10]
    assert Path(frames[0].name).name == "frame1.png"


def test_a_glob_takes_the_pictures_it_matches(tmp_path: Path) -> None:
    """Globs may span folders; a file with that literal name is preferred."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    picture(tmp_path / "a" / "1.png", numbered(1))
    picture(tmp_path / "b" / "2.png", numbered(2))
    literal = picture(tmp_path / "a" / "[3].png", numbered(3))

    matched = open_source(str(tmp_path / "**" / "?.png"), realtime=False)
    named = open_source(str(literal))

    assert [number_of(frame.image) for frame in matched.frames()] == [1, 2]
    assert [number_of(frame.image) for frame in named.frames()] == [3]


def test_a_broken_picture_does_not_end_a_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once and skipped."""
    picture(tmp_path / "1.png", numbered(1))
    (tmp_path / "2.png").write_bytes(b"this is no picture")
    (tmp_path / "3.jpg").write_bytes(b"")
    picture(tmp_path / "4.png", numbered(4))

    with caplog.at_level(logging.WARNING):
        frames = list(open_source(str(tmp_path), realtime=False).frames())

    assert [number_of(frame.image) for frame in frames] == [1, 4]
    assert ["2.png" in record.message for record in caplog.records] == [True, False]


def test_a_folder_of_broken_pictures_is_an_error(tmp_path: Path) -> None:
    """If no picture can be read, SourceError is raised."""
    (tmp_path / "1.png").write_bytes(b"this is no picture")

    with pytest.raises(SourceError, match="none of 1 pictures can be read"):
        list(open_source(str(tmp_path), realtime=False).frames())


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("photo.jpg", b"", "an empty file"),
        ("photo.png", b"GIF? no", "7 bytes that are no picture"),
        ("film.mp4", b"", "an empty file"),
        ("film.mp4", b"not a film" * 100, "no frame that can be decoded"),
        ("notes", b"just text", "expected a video or a picture"),
    ],
)
def test_what_is_no_picture_is_refused(
    tmp_path: Path, name: str, data: bytes, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Opening it raises SourceError with its name; libraries print nothing."""
    path = tmp_path / name
    path.write_bytes(data)

    with pytest.raises(SourceError) as caught:
        open_source(str(path))

    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    """The error lists the accepted extensions."""
    (tmp_path / "notes.txt").write_text("text")

    with pytest.raises(SourceError, match=r"no picture among 1 files; expected some of .*\.png"):
        open_source(str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    """The error says "permission denied"."""
    path = picture(tmp_path / "secret.png", numbered(1))
    path.chmod(0)

    with pytest.raises(SourceError, match="permission denied"):
        open_source(str(path))


def test_the_name_of_a_picture_does_not_matter(tmp_path: Path) -> None:
    """A single file is recognised by its content; its name may contain any characters."""
    shown = picture(tmp_path / "bands.png", bands())
    path = shutil.copy(shown, tmp_path / "ein Bild – 写真")

    (frame,) = open_source(str(path)).frames()

    assert np.array_equal(frame.image, bands())


@pytest.mark.parametrize("name", ["~no-such-user.png", "~.png", "~no-such-user"])
def test_a_name_may_begin_with_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A leading tilde is part of the file's name, not a home directory."""
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "bands.png", bands()).rename(tmp_path / name)

    (frame,) = open_source(name).frames()

    assert np.array_equal(frame.image, bands())
    with pytest.raises(SourceError, match="no such file"):
        open_source("~another.png")


def test_a_truncated_video_gives_what_it_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The readable part is delivered, then a warning is logged."""
    path = clip(tmp_path / "clip.avi", 40)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])

    with caplog.at_level(logging.WARNING):
        numbers = [number_of(f.image) for f in open_source(str(path), realtime=False).frames()]

    assert 5 < len(numbers) < 40
    assert numbers == list(range(len(numbers)))
    assert f"ends after {len(numbers)} frames" in caplog.text


def test_a_whole_video_ends_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A complete video logs no warning."""
    path = clip(tmp_path / "clip.avi", 10)

    with caplog.at_level(logging.WARNING):
        list(open_source(str(path), realtime=False).frames())

    assert caplog.records == []


def test_natural_order_is_a_total_order() -> None:
    """Names that mix digits and letters are sorted consistently."""
    names = ["b", "a10", "a9", "10", "9a", "a", "a09"]

    ordered = [str(path) for path in sorted(map(Path, names), key=natural)]

    assert ordered == ["9a", "10", "a", "a09", "a9", "a10", "b"]


def test_a_picture_that_vanished_is_said_in_words(tmp_path: Path) -> None:
    """A file deleted after listing raises SourceError."""
    with pytest.raises(SourceError, match="no such file"):
        read_picture(tmp_path / "gone.png")


@pytest.mark.parametrize("path", [300 * "a", 300 * "a" + "/b.jpg", 300 * "a" + "*", 5000 * "a/"])
def test_a_name_that_is_too_long_is_refused(tmp_path: Path, path: str) -> None:
    """A file name that is too long raises SourceError."""
    with pytest.raises(SourceError, match="cannot be read: file name too long"):
        open_source(str(tmp_path / path))
