"""Video output: frame times, sizes and file names."""

import os
import sys
from pathlib import Path

import cv2
import pytest

from edgepose.commands.film_writer import open_writer
from edgepose.errors import UsageError
from edgepose.timing import NS_PER_MS
from edgepose.types import Size
from tests.support.moving import WIDE, number_of, numbered

STAMPS_MS = [0, 100, 200, 3000, 3040, 9000]


@pytest.fixture(params=["pyav", "opencv"])
def writer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Use each library in turn."""
    if request.param == "opencv":
        monkeypatch.setitem(sys.modules, "av", None)
    else:
        pytest.importorskip("av")
    return str(request.param)


def write(path: Path, size: Size = WIDE) -> Path:
    film = open_writer(path, size, 10)
    for index, stamp_ms in enumerate(STAMPS_MS):
        film.write(numbered(index, size), stamp_ms * NS_PER_MS)
    film.close()
    return path


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "avi"])
def test_each_picture_is_shown_at_its_time(tmp_path: Path, ending: str) -> None:
    """Frames keep their times; the last one lasts for the average duration."""
    av = pytest.importorskip("av")

    path = write(tmp_path / f"out.{ending}")

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        pictures = [(p.pts * p.time_base, p.to_ndarray(format="rgb24")) for p in container.decode()]
        length_s = container.duration / av.time_base
    tolerance = 0.1 if ending == "avi" else 0.002
    shown = [float(at_s) for at_s, _ in pictures]
    assert shown == pytest.approx([ms / 1000 for ms in STAMPS_MS], abs=tolerance)
    assert [number_of(image) for _, image in pictures] == list(range(6))
    assert length_s == pytest.approx(9.1, abs=0.15)
    if ending != "avi":
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"  # the format that browsers play


def test_a_browser_can_play_it_while_it_loads(tmp_path: Path) -> None:
    """The index comes before the pictures, so that browsers can stream it."""
    pytest.importorskip("av")

    data = write(tmp_path / "out.mp4").read_bytes()

    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("size", [Size(97, 48), Size(96, 49), Size(97, 49), Size(2, 2)])
def test_pictures_may_have_any_size(tmp_path: Path, writer: str, size: Size) -> None:
    """Videos have even sides: an odd side changes by one pixel."""
    path = write(tmp_path / "out.mkv", size)

    good, image = cv2.VideoCapture(str(path)).read()
    assert good
    assert abs(image.shape[1] - size.width) <= 1
    assert abs(image.shape[0] - size.height) <= 1


def test_pictures_of_other_sizes_are_scaled(tmp_path: Path, writer: str) -> None:
    """All frames are scaled to the size of the first."""
    film = open_writer(tmp_path / "out.mp4", WIDE, 10)
    film.write(numbered(1), 0)
    film.write(numbered(2, Size(300, 200)), 100 * NS_PER_MS)
    film.close()

    video = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert [video.read()[1].shape[:2] for _ in range(2)] == [(WIDE.height, WIDE.width)] * 2


@pytest.mark.parametrize("name", ["12:30.mp4", b"gr\xfcn.mp4", "a|b.avi", "50%d.mkv"])
def test_any_name_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str, name: str | bytes
) -> None:
    """Unusual file names are written, also into a new folder with such a name."""
    monkeypatch.chdir(tmp_path)
    text = os.fsdecode(name)

    for path in (Path(text), Path(os.fsdecode(b"\xe4: 1")) / text):
        assert write(path).stat().st_size > 500
    assert {path.name for path in tmp_path.iterdir()} == {text, os.fsdecode(b"\xe4: 1")}


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path, writer: str) -> None:
    """An unwritable path raises UsageError before any work is done."""
    (tmp_path / "out.mp4").mkdir()

    with pytest.raises(UsageError, match="cannot be written"):
        open_writer(tmp_path / "out.mp4", WIDE, 10)
