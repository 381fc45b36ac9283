"""Streams from real servers on this machine: pictures, failures, and no passwords in logs."""

import logging
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edgepose.camera.sources import Source, is_live, open_source
from edgepose.errors import SourceError
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Frame
from tests.support.brokers import free_port
from tests.support.contracts.source import SourceContract
from tests.support.moving import WIDE, clip, h264, number_of
from tests.support.streams import PASSWORD, USER, Camera, Rtsp

pytest.importorskip("av")

LOGIN = f"{USER}:{PASSWORD}"
WRONG = f"{USER}:n0t-it"


@pytest.fixture
def camera() -> Iterator[Camera]:
    with Camera() as running:
        yield running


class TestStream(SourceContract):
    live = True

    @pytest.fixture
    def opened(self, camera: Camera) -> Callable[[], Source]:
        return lambda: open_source(camera.url("live"))


class TestSnapshot(SourceContract):
    """A still picture's URL as source."""

    live = True

    @pytest.fixture
    def opened(self, camera: Camera) -> Callable[[], Source]:
        return lambda: open_source(camera.url("still.jpg"), fps=50)


class TestStoredStream(SourceContract):
    """A video served over HTTP."""

    live = True

    @pytest.fixture
    def opened(self, camera: Camera, tmp_path: Path) -> Callable[[], Source]:
        camera.file = clip(tmp_path / "film.avi", 20, fps=20).read_bytes()
        return lambda: open_source(camera.url("file.avi"))


def take(source: Source, count: int) -> list[Frame]:
    with closing(source):
        return [frame for _, frame in zip(range(count), source.frames(), strict=False)]


def until_it_fails(uri: str) -> tuple[list[Frame], str]:
    """Read until the error; return the frames before it, and its message."""
    frames: list[Frame] = []
    with pytest.raises(SourceError) as caught:
        frames.extend(open_source(uri).frames())
    return frames, str(caught.value)


def test_pictures_come_in_order_and_size(camera: Camera) -> None:
    """Each picture comes once, in the size that the camera sends."""
    frames = take(open_source(camera.url("live")), 30)

    numbers = [number_of(frame.image) for frame in frames]
    assert numbers == list(range(30))
    assert {frame.size for frame in frames} == {WIDE}


def test_red_is_first(camera: Camera) -> None:
    """Frames are RGB, whatever the stream's own order is."""
    camera.picture = np.full((48, 96, 3), (200, 90, 20), dtype=np.uint8)

    (frame,) = take(open_source(camera.url("live")), 1)

    assert np.allclose(frame.image.mean(axis=(0, 1)), (200, 90, 20), atol=8)


def test_a_picture_is_stamped_when_it_came(camera: Camera) -> None:
    """The capture time is the arrival of the picture, on the system's clock."""
    clock = Clock()
    before_ns = clock.now_ns()

    (frame,) = take(open_source(camera.url("live"), clock=clock), 1)

    assert before_ns < frame.captured_ns == frame.read_ns < clock.now_ns()
    assert abs(frame.unix_ns - clock.unix_ns(frame.captured_ns)) < NS_PER_S / 10


def test_the_end_of_the_server_is_the_end(camera: Camera) -> None:
    """The end of the stream is no error."""
    frames = list(open_source(camera.url("ends")).frames())

    assert len(frames) == 20


@pytest.mark.slow
def test_a_frozen_stream_is_an_error(camera: Camera) -> None:
    """A stream without data raises SourceError after the timeout."""
    frames, words = until_it_fails(camera.url("freezes#timeout=1"))

    assert len(frames) == 20
    assert "no data for 1 s" in words


def test_a_reset_line_ends_the_stream(camera: Camera) -> None:
    """A connection reset raises SourceError or ends the stream."""
    source = open_source(camera.url("resets"))

    try:
        frames = list(source.frames())
    except SourceError as error:
        assert "reset" in str(error)
    else:
        assert frames

    assert list(source.frames()) == []


@pytest.mark.slow
def test_pictures_that_cannot_be_decoded_are_an_error_in_the_end(camera: Camera) -> None:
    """Undecodable packets are skipped; without a picture for the timeout SourceError is raised."""
    frames, words = until_it_fails(camera.url("breaks#timeout=1"))

    assert len(frames) == 20
    assert "no picture that can be decoded within 1 s" in words


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere", "check the path"),
        ("login", "check user and password"),
        ("sound", "found audio; expected a stream of pictures"),
        ("page", "source http"),
    ],
)
def test_what_gives_no_pictures_is_refused_in_words(camera: Camera, path: str, words: str) -> None:
    """The error says what to check: not found, not allowed, not a picture."""
    with pytest.raises(SourceError) as caught:
        open_source(camera.url(path))

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("rtsp://127.0.0.1/x#transport=pigeon", 'transport is "pigeon"; expected one of tcp'),
        ("rtsp://127.0.0.1/x#timeout=soon", 'timeout is "soon"; expected whole seconds'),
        ("rtsp://127.0.0.1/x#timeout=0", "from 1 to 60"),
        ("rtsp://127.0.0.1/x#speed=2", 'unknown option "speed"; known: timeout, transport'),
        ("http://127.0.0.1/x#transport=udp", 'unknown option "transport"; known: timeout'),
        ("http://127.0.0.1:{free}/x", "connection refused"),
        ("http://camera.invalid/x", "the host does not exist"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(uri: str, words: str) -> None:
    """An invalid URI raises SourceError with one sentence."""
    with pytest.raises(SourceError) as caught:
        open_source(uri.format(free=free_port()))

    assert words in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "words"),
    [("rtsp", "started no stream within 1 s"), ("http", "no data for")],
)
def test_a_server_that_says_nothing_is_told(scheme: str, words: str) -> None:
    """A server that accepts but sends nothing raises SourceError after the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]

        with pytest.raises(SourceError, match=words):
            open_source(f"{scheme}://127.0.0.1:{port}/x#timeout=1")


@pytest.mark.parametrize("path", ["still", "still.jpg", "still%20%d.jpg?size=%d"])
def test_a_still_picture_is_asked_for_again_and_again(camera: Camera, path: str) -> None:
    """A still picture is requested at the configured rate, without an end."""
    began_s = time.monotonic()

    frames = take(open_source(camera.url(path), fps=20), 12)

    numbers = [number_of(frame.image) for frame in frames]
    assert all(b > a for a, b in pairwise(numbers))
    assert time.monotonic() - began_s >= 0.9 * 11 / 20


def test_a_still_picture_may_be_asked_for_once(camera: Camera) -> None:
    """With `once` it is requested once; its name contains no password."""
    uri = camera.url("still.jpg", WRONG)

    (frame,) = open_source(uri, realtime=False, once=True).frames()

    assert "still.jpg" in frame.name
    assert "n0t-it" not in frame.name


def test_a_still_picture_that_fails_for_a_moment_is_no_loss(camera: Camera) -> None:
    """Failing requests raise SourceError only after the timeout."""
    source = open_source(camera.url("still.jpg#timeout=1"), fps=20)
    frames = source.frames()
    next(frames)
    camera.frozen.set()
    threading.Timer(0.5, camera.frozen.clear).start()

    assert next(frames)

    camera.frozen.set()
    with pytest.raises(SourceError, match="cannot be read"):
        list(frames)


def test_a_still_picture_stands_upright(camera: Camera) -> None:
    """The EXIF orientation is applied."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x112, 3, 1, 6, 0) + bytes(4)
    camera.exif = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif

    for path in ("still.jpg", "live"):
        (frame,) = take(open_source(camera.url(path), fps=20), 1)
        assert frame.size == (WIDE.height, WIDE.width)


def test_a_film_over_http_plays_at_its_own_rate(camera: Camera, tmp_path: Path) -> None:
    """In real time it is paced by its own times; else it is read as fast as possible."""
    camera.file = clip(tmp_path / "film.avi", 20, fps=20).read_bytes()
    began_s = time.monotonic()

    paced = take(open_source(camera.url("file.avi")), 20)
    between_s = time.monotonic()
    fast = take(open_source(camera.url("file.avi"), realtime=False, once=True), 20)

    assert between_s - began_s > 0.8
    assert time.monotonic() - between_s < 0.5
    for frames in (paced, fast):
        steps = np.diff([frame.captured_ns for frame in frames])
        assert steps == pytest.approx(NS_PER_S / 20, rel=0.1)


def test_bursts_are_handed_on_evenly(camera: Camera, tmp_path: Path) -> None:
    """Frames of a stream that arrives in bursts are paced evenly, and none is dropped."""
    path = h264(tmp_path / "film.ts", [50 * index for index in range(80)])
    camera.file = path.read_bytes()
    camera.pieces = 4
    read_s = []
    frames = []

    with closing(open_source(camera.url("pieces.ts"))) as source:
        for frame in source.frames():
            frames.append(frame)
            read_s.append(time.monotonic())

    last = len(frames) // 2
    assert len(frames) >= 78
    assert np.diff([frame.captured_ns for frame in frames[last:]]) == pytest.approx(
        NS_PER_S / 20, rel=0.1
    )
    assert np.median(np.diff(read_s[last:])) > 0.03
    assert all(frame.captured_ns <= frame.read_ns for frame in frames)


def test_a_login_is_used(camera: Camera) -> None:
    """User and password of the URI are used."""
    assert take(open_source(camera.url("login", LOGIN)), 3)


@pytest.mark.parametrize(
    "path", ["live", "nowhere", "login", "ends", "resets", "sound", "page", "live#speed=2"]
)
def test_no_password_is_ever_said(
    camera: Camera,
    path: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The password is not in logs, errors, tracebacks or FFmpeg's output."""
    caplog.set_level(logging.DEBUG)
    said = ""

    try:
        take(open_source(camera.url(path, WRONG)), 25)
    except SourceError as error:
        said = "".join(traceback.format_exception(error))

    streams = capfd.readouterr()
    assert "n0t-it" not in said + caplog.text + streams.out + streams.err
    assert USER in said + caplog.text


def test_a_password_with_a_hash_is_not_shown() -> None:
    """An unescaped `#` in a password raises an error that suggests %23 and hides the password."""
    with pytest.raises(SourceError, match="%23") as caught:
        open_source("rtsp://anna:n0t#it@127.0.0.1/x")

    assert "it@" not in str(caught.value)


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyAV the error names the pip command."""
    monkeypatch.setitem(sys.modules, "av", None)

    with pytest.raises(SourceError, match=r"pip install 'av"):
        open_source("rtsp://127.0.0.1/x")

    assert is_live("rtsp://127.0.0.1/x")


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "options"), [("h264", ""), ("mjpeg", ""), ("h264", "udp")])
def test_an_rtsp_camera_is_read(codec: str, options: str) -> None:
    """TCP is the default, UDP an option; frames are RGB."""
    with Rtsp(codec) as server:
        fragment = f"#transport={options}" if options else ""
        frames = take(open_source(server.url() + fragment), 10)

    assert len(frames) == 10
    assert {frame.size for frame in frames} == {server.size}
    red, *others = frames[-1].image.mean(axis=(0, 1))
    assert red > 150
    assert max(others) < 80


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "words"),
    [
        ("unknown", "in a code that FFmpeg here does not know; try H.264"),
        ("lying", "no picture that can be decoded within 1 s"),
    ],
)
def test_an_rtsp_camera_that_gives_no_pictures_is_told(
    codec: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """An unknown or wrong codec raises SourceError with our own message."""
    with Rtsp(codec, USER, PASSWORD) as server:
        frames, told = until_it_fails(server.url(LOGIN) + "#timeout=1")

    assert frames == []
    assert words in told
    assert PASSWORD not in told + "".join(capfd.readouterr())


@pytest.mark.slow
def test_an_rtsp_camera_wants_its_password(capfd: pytest.CaptureFixture[str]) -> None:
    """With a wrong password the error says to check it; passwords are never printed."""
    with Rtsp("mjpeg", USER, PASSWORD) as server:
        frames = take(open_source(server.url(LOGIN)), 3)
        with pytest.raises(SourceError, match="check user and password") as caught:
            open_source(server.url(WRONG))

    assert len(frames) == 3
    assert "n0t-it" not in str(caught.value)
    assert PASSWORD not in "".join(capfd.readouterr())


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_an_rtsp_camera_that_freezes_is_an_error(transport: str) -> None:
    """A stream that stops with an open connection raises SourceError after the timeout."""
    with Rtsp("mjpeg") as server:
        frames = open_source(f"{server.url()}#timeout=2&transport={transport}").frames()
        next(frames)
        server.signal(signal.SIGUSR1)

        with pytest.raises(SourceError, match="no data for 2 s"):
            list(frames)


@pytest.mark.slow
def test_an_rtsp_server_that_dies_ends_the_stream() -> None:
    """The stream ends when the server is killed."""
    with Rtsp("mjpeg") as server:
        source = open_source(server.url())
        frames = source.frames()
        next(frames)
        server.signal(signal.SIGKILL)

        assert len(list(frames)) < 1000  # it ends

    assert list(source.frames()) == []


def test_a_film_that_cannot_be_read_over_http_is_told(camera: Camera, tmp_path: Path) -> None:
    """An MP4 with its index at the end, from a server that sends the whole file only."""
    film = h264(tmp_path / "film.mp4", [50 * index for index in range(20)]).read_bytes()
    index_at = film.index(b"moov") - 4
    gap = struct.pack(">I4s", 1 << 22, b"free") + bytes((1 << 22) - 8)
    camera.file = film[:index_at] + gap + film[index_at:]
    source = open_source(camera.url("file.mp4"), realtime=False)

    with pytest.raises(SourceError, match="ended before a picture"):
        list(source.frames())


def test_a_scheme_may_be_written_in_capitals(camera: Camera) -> None:
    """FFmpeg knows the small ones only."""
    source = open_source(camera.url("live").replace("http", "HTTP"))

    assert len(take(source, 2)) == 2
