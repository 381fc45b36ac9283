"""`edgepose detect`: what is written is whole, whatever ends it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.cli import main

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "person.jpg"
MODEL = ("-m", "movenet-lightning")


def test_a_single_picture_says_its_posture(capsys: pytest.CaptureFixture[str]) -> None:
    """One line a picture, the message of the contract, posture included; nobody is followed."""
    assert main(["detect", str(PICTURE), *MODEL, "--json"]) == 0

    (person,) = json.loads(capsys.readouterr().out)["poses"]
    assert person["posture"] == "standing"
    assert person["id"] is None


def test_one_picture_cannot_hold_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused before any work is done, for two pictures, a folder and a video alike."""
    out = tmp_path / "out.png"

    for words in ([str(PICTURE), str(PICTURE)], ["demo://"], [str(PICTURE.parent)]):
        assert main(["detect", *words, *MODEL, "-o", str(out)]) == 2
        assert "expected a folder's name" in capsys.readouterr().err

    assert not out.exists()


def test_what_cannot_be_read_does_not_stop_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sentence for one, a result for the other, and an exit code that tells."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")

    assert main(["detect", str(broken), str(PICTURE), *MODEL]) == 3

    assert "1 person" in capsys.readouterr().out


@pytest.mark.slow
def test_an_interrupt_leaves_whole_lines_and_a_whole_video(tmp_path: Path) -> None:
    """Ctrl-C in the middle: every line is a message, the video plays to where it was."""
    out = tmp_path / "out.mp4"
    command = [sys.executable, "-m", "edgepose", "detect", "demo://", *MODEL, "--json"]
    with subprocess.Popen([*command, "-o", str(out)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(10)]
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)

    lines = [json.loads(line) for line in [*first, *rest.splitlines()]]
    video = cv2.VideoCapture(str(out))
    frames = 0
    while video.read()[0]:
        frames += 1
    assert process.returncode == 130
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert len(lines) - 1 <= frames <= len(lines)


@pytest.mark.slow
def test_a_full_disk_is_said_in_words() -> None:
    """Not as a bug to be reported."""
    command = [sys.executable, "-m", "edgepose", "detect", str(PICTURE), *MODEL, "--json"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == 1
    assert "the disk is full" in done.stderr


def test_a_picture_of_nobody_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty room is an answer."""
    empty = tmp_path / "empty.png"
    cv2.imwrite(str(empty), np.full((240, 320, 3), 90, np.uint8))

    assert main(["detect", str(empty), *MODEL]) == 0
    assert "nobody" in capsys.readouterr().out
