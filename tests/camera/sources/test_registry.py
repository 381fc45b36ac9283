"""The registry finds the source of a URI, or raises an error that says why not."""

from pathlib import Path

import pytest

from edgepose import registry
from edgepose.camera.sources import SOURCES, SourceAddress, check, check_path, open_source, rate
from edgepose.errors import SourceError
from tests.support.moving import clip


@pytest.mark.parametrize(
    ("uri", "scheme", "path", "options"),
    [
        ("photo.jpg", "file", "photo.jpg", {}),
        ("what?.jpg", "file", "what?.jpg", {}),
        ("file:///a/b%20c.mp4", "file", "/a/b c.mp4", {}),
        ("file:///a/caf%C3%A9.mp4", "file", "/a/café.mp4", {}),
        ("file:///a/caf%E9.mp4", "file", "/a/caf\udce9.mp4", {}),
        ("/dev/video0", "v4l2", "/dev/video0", {}),
        ("/dev/video2?size=1280x720", "v4l2", "/dev/video2", {"size": "1280x720"}),
        ("v4l2:///dev/video0?fps=15", "v4l2", "/dev/video0", {"fps": "15"}),
        ("/dev/v4l/by-id/usb-cam-index0", "v4l2", "/dev/v4l/by-id/usb-cam-index0", {}),
        ("DEMO://", "demo", "", {}),
    ],
)
def test_an_address_is_taken_apart(
    uri: str, scheme: str, path: str, options: dict[str, str]
) -> None:
    """Paths are kept as written; devices and URIs may have options."""
    address = SourceAddress.parse(uri)

    assert (address.scheme, address.path, address.options) == (scheme, path, options)
    assert address.uri == uri


def test_a_password_is_never_shown() -> None:
    """The password is replaced by stars in texts and errors."""
    address = SourceAddress.parse("rtsp://anna:s3cret@camera/stream")

    assert "s3cret" not in str(address)
    assert "s3cret" not in str(address.error("is away"))
    assert "anna" in str(address)


def test_every_row_names_something_that_can_be_called() -> None:
    """Every entry of the registry can be loaded."""
    for row in SOURCES.values():
        assert callable(registry.load(row))


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("", "expected a path"),
        ("-", "standard input is not read; write it to a file"),
        ("/dev/stdin", "standard input is not read; write it to a file"),
        ("gopher://somewhere", 'unknown scheme "gopher"; known: demo://'),
        ("nowhere/nothing.jpg", "no such file"),
        ("nowhere/*.jpg", "no picture among 0 files"),
        ("demo://elsewhere", "expected nothing"),
        ("demo://?speed=2", 'unknown option "speed"; known: loop'),
        ("demo://?loop=maybe", 'loop is "maybe"; expected 1 or 0'),
        ("/dev/video987", "no such device"),
        ("v4l2:///dev/null?format=h264", 'format is "h264"; expected mjpeg or yuyv'),
        ("v4l2:///dev/null?size=big", 'size is "big"; expected width and height'),
        ("v4l2:///dev/null?fps=0", 'fps is "0"; expected frames a second'),
    ],
)
def test_what_cannot_be_opened_is_said_in_words(uri: str, words: str) -> None:
    """The error says where, what was found, and what was expected."""
    with pytest.raises(SourceError) as caught:
        open_source(uri)

    assert words in str(caught.value)
    assert not str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("rtsp//ann:s3cret@192.0.2.7/x", "rtsp://ann:***@192.0.2.7/x"),
        ("rtsp:/192.0.2.7/x", "rtsp://192.0.2.7/x"),
        ("http/192.0.2.7/x.mjpg", "http://192.0.2.7/x.mjpg"),
        ("picamera2", "picamera2://0"),
        ("picamera2:1", "picamera2://1"),
        ("usb:0", "/dev/video0"),
        ("webcam:2", "/dev/video2"),
        ("demo", "demo://"),
        ("hall.mp4", None),
        ("rtsp.mp4", None),
        ("films/rtsp/x.mp4", None),
    ],
)
def test_a_camera_that_was_meant_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, meant: str | None
) -> None:
    """A misspelt camera is suggested, also after the path was made absolute."""
    monkeypatch.chdir(tmp_path)

    for uri in (written, str(tmp_path / written)):
        with pytest.raises(SourceError, match="no such file or folder") as caught:
            open_source(uri)

        hint = f'did you mean "{meant}"?'
        assert (hint in str(caught.value)) if meant else ("did you mean" not in str(caught.value))
        assert "s3cret" not in str(caught.value)


def test_a_file_with_options_is_an_address(tmp_path: Path) -> None:
    """Options behind a bare path are part of its name: the address that was meant is suggested."""
    (tmp_path / "hall.mp4").touch()

    with pytest.raises(SourceError, match="no such file or folder") as caught:
        check_path(check(f"{tmp_path}/hall.mp4?loop=1"))

    assert f'did you mean "file://{tmp_path}/hall.mp4?loop=1"?' in str(caught.value)


def test_a_file_may_be_named_by_uri(tmp_path: Path) -> None:
    """``file://`` and the bare path are the same."""
    path = clip(tmp_path / "a clip.avi", 3)

    by_uri = open_source(path.as_uri(), realtime=False)
    by_path = open_source(str(path), realtime=False)

    assert len(list(by_uri.frames())) == len(list(by_path.frames())) == 3


def test_a_file_at_its_own_rate_is_looked_at_in_full(tmp_path: Path) -> None:
    """The rate of a video in real time is its own; other sources have the requested rate."""
    film = clip(tmp_path / "film.avi", 5, fps=20)
    nothing = tmp_path / "none.avi"

    rates = [rate(str(uri), fps=7, realtime=True) for uri in (film, nothing, "/dev/video0")]

    assert rates == [20, 7, 7]
    assert rate(str(film), fps=7, realtime=False) == 7


@pytest.mark.parametrize(
    ("uri", "good"),
    [
        ("rtsp://192.0.2.7/x", True),
        ("rtsp://u:p@ss[1]@cam.lan:554/x", True),
        ("http://[2001:db8::7]:8080/x?a=b:c", True),
        ("http://[fe80::1%eth0]/x", True),
        ("http:///x", False),
        ("http://:80/x", False),
        ("http://cam:99999/x", False),
        ("http://cam:0/x", False),
        ("http://cam:abc/x", False),
        ("http://[::1/x", False),
        ("rtsp://user@", False),
    ],
)
def test_an_address_without_host_or_port_is_refused(uri: str, good: bool) -> None:
    """Before anything is opened, so `config check` finds it."""
    if good:
        assert check(uri).uri == uri
        return
    with pytest.raises(SourceError, match="expected an address such as"):
        check(uri)
