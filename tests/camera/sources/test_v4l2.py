"""V4L2 cameras without hardware: OpenCV reads a clip in their place."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from edgepose.camera.sources import Source, open_source, v4l2
from edgepose.errors import SourceError
from edgepose.timing import NS_PER_S, Clock
from tests.support.contracts.source import SourceContract
from tests.support.moving import clip, number_of

NODE = "v4l2:///dev/null"  # a character device that all users may open


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let OpenCV open a clip in place of the device node."""
    path = clip(tmp_path / "camera.avi", 12)
    monkeypatch.setattr(v4l2, "open_device", lambda _: cv2.VideoCapture(str(path)))
    return path


class TestCamera(SourceContract):
    live = True

    @pytest.fixture
    def opened(self, tmp_path: Path, plugged: Path) -> Callable[[], Source]:
        clip(plugged, 4000)
        return lambda: open_source(NODE)


@pytest.mark.usefixtures("plugged")
def test_a_camera_that_stops_is_an_error() -> None:
    """The pictures before the failure are delivered, then SourceError is raised."""
    source = open_source(NODE)
    numbers = []

    with pytest.raises(SourceError, match="stopped delivering"):
        numbers.extend(number_of(frame.image) for frame in source.frames())

    assert list(source.frames()) == []


@pytest.mark.usefixtures("plugged")
def test_latency_counts_from_the_moment_of_capture() -> None:
    """A timestamp of another clock is ignored: capture time and read time are equal."""

    class Late(Clock):
        def now_ns(self) -> int:
            return 10**6 * NS_PER_S

    frame = next(iter(open_source(NODE, clock=Late()).frames()))

    assert frame.captured_ns == frame.read_ns == Late().now_ns()


@pytest.mark.usefixtures("plugged")
def test_a_stamp_of_the_driver_is_believed() -> None:
    """A driver's timestamp shortly before now is the capture time."""

    class Now(Clock):
        def now_ns(self) -> int:
            return NS_PER_S // 2  # the timestamp of the clip's second frame is 0.05 s

    frame = next(iter(open_source(NODE, clock=Now()).frames()))

    assert frame.captured_ns == pytest.approx(NS_PER_S // 20, abs=NS_PER_S // 1000)


def test_a_dead_node_is_told_by_its_missing_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that opens but delivers no picture raises SourceError."""

    class Dead:
        def __init__(self) -> None:
            self.nothing = cv2.VideoCapture()

        def __getattr__(self, name: str) -> Any:
            return (lambda: True) if name == "isOpened" else getattr(self.nothing, name)

    monkeypatch.setattr(v4l2, "open_device", lambda _: Dead())

    with pytest.raises(SourceError, match="delivers no picture"):
        open_source(NODE)


def test_what_is_no_camera_is_refused_by_the_real_back_end() -> None:
    """OpenCV's V4L2 back end refuses a device that is no camera."""
    with pytest.raises(SourceError, match="cannot be opened as a camera"):
        open_source(NODE)


def test_a_plain_file_is_no_camera(tmp_path: Path) -> None:
    """A plain file with the camera's scheme is refused."""
    path = tmp_path / "video0"
    path.write_bytes(b"")

    with pytest.raises(SourceError, match="is not a device"):
        open_source(f"v4l2://{path}")


def test_a_node_that_is_not_ours_names_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the group `video`."""
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may open every device

    with pytest.raises(SourceError, match="group video"):
        open_source(NODE)
