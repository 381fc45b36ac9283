"""Annotated pictures and videos: complete, and never overwriting the source."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.commands.output import OutputWriter
from edgepose.errors import UsageError
from edgepose.types import Frame, Image

CLIP = Path(__file__).parents[2] / "edgepose" / "data" / "demo.mp4"
WIDE: Image = np.full((48, 80, 3), 200, np.uint8)


def frame(name: str = "") -> Frame:
    return Frame(WIDE, 0, 0, 0, name)


def photograph(path: Path) -> bytes:
    """Write a picture; return the file's content."""
    cv2.imwrite(str(path), WIDE[::-1] // 2)
    return path.read_bytes()


@pytest.mark.parametrize("output", ["photo.png", "."])
def test_a_picture_is_never_written_over_itself(tmp_path: Path, output: str) -> None:
    """A source is not overwritten, by its own name or through its folder."""
    path = tmp_path / "photo.png"
    before = photograph(path)
    output = OutputWriter(tmp_path / output)

    with pytest.raises(UsageError, match="source itself"):
        output.put(frame(str(path)), WIDE, source=str(path), fps=1)

    assert path.read_bytes() == before


@pytest.mark.parametrize("output", ["walk.mp4", "."])
def test_a_video_is_never_written_over_itself(tmp_path: Path, output: str) -> None:
    """A video that is being read is not overwritten."""
    path = tmp_path / "walk.mp4"
    path.write_bytes(CLIP.read_bytes())
    output = OutputWriter(tmp_path / output)

    with pytest.raises(UsageError, match="source itself"):
        output.put(frame(), WIDE, source=str(path), fps=25)

    assert path.read_bytes() == CLIP.read_bytes()


def test_pictures_of_one_name_stand_beside_each_other(tmp_path: Path) -> None:
    """Pictures of the same name in two folders get different output names."""
    output = OutputWriter(tmp_path / "out")

    for folder in ("a", "b"):
        name = f"{folder}/1.png"
        output.put(frame(name), WIDE, source=name, fps=1)

    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_video_is_whole_after_closing(tmp_path: Path) -> None:
    """Every written frame can be read back, also if the source had not ended."""
    output = OutputWriter(tmp_path / "out.mp4")
    for _ in range(9):
        output.put(frame(), WIDE, source="walk.mp4", fps=25)

    output.close()

    video = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert sum(video.read()[0] for _ in range(20)) == 9
