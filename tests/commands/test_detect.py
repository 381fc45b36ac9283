"""`edgepose detect`: complete output, also after an interruption."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edgepose.camera.sources import Source
from edgepose.cli import main
from edgepose.commands import detect
from edgepose.mqtt.messages import PosesMessage
from edgepose.types import Frame
from tests.pose.test_estimator import PERSON, street
from tests.support.clips import PEDESTRIANS
from tests.support.moving import clip

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "person.jpg"
MODEL = ("-m", "movenet-lightning")


def test_a_single_picture_says_its_posture(capsys: pytest.CaptureFixture[str]) -> None:
    """Each picture gives one message with posture and without ids."""
    assert main(["detect", str(PICTURE), *MODEL, "--json"]) == 0

    (person,) = json.loads(capsys.readouterr().out)["poses"]
    assert person["posture"] == "standing"
    assert person["id"] is None


def test_people_who_are_small_in_the_picture_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The default model finds small people that the fastest multi-person model misses."""
    canvas = np.full((720, 1280, 3), 128, dtype=np.uint8)
    person = cv2.resize(street()[PERSON], (60, 110), interpolation=cv2.INTER_AREA)
    for number in range(4):
        left, top = 150 + 260 * number, 150 + 120 * number
        canvas[top : top + 110, left : left + 60] = person
    path = tmp_path / "small.png"
    cv2.imwrite(str(path), canvas[:, :, ::-1])

    counts = []
    for model in ((), ("-m", "movenet-multipose")):
        assert main(["detect", str(path), *model, "--json"]) == 0
        counts.append(len(json.loads(capsys.readouterr().out)["poses"]))

    assert counts[0] >= 3 > counts[1]


def test_one_picture_cannot_hold_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Several pictures, a folder or a video are refused before any work is done."""
    out = tmp_path / "out.png"

    for words in ([str(PICTURE), str(PICTURE)], ["demo://"], [str(PICTURE.parent)]):
        assert main(["detect", *words, *MODEL, "-o", str(out)]) == 2
        assert "expected a folder's name" in capsys.readouterr().err

    assert not out.exists()


def test_what_cannot_be_read_does_not_stop_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is reported, the others are processed, and the exit code is 3."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")

    assert main(["detect", str(broken), str(PICTURE), *MODEL]) == 3

    assert "1 person" in capsys.readouterr().out


def test_each_message_names_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each message contains its file's name, so that results can be assigned."""
    names = ["a.png", 'b "c".png', "日本.png", os.fsdecode(b"stra\xdfe.png")]
    for name in names:
        (tmp_path / name).write_bytes(cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1])
    film = clip(tmp_path / "film.avi", 2)

    assert main(["detect", str(tmp_path), str(film), *MODEL, "--json"]) == 0

    messages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = [Path(message["file"]).name for message in messages]
    expected = [os.fsencode(name).decode("utf-8", "replace") for name in names]
    assert sorted(found) == sorted([*expected, "film.avi", "film.avi"])
    assert all(msgspec.convert(message, PosesMessage) for message in messages)


@pytest.mark.slow
@pytest.mark.parametrize("code", ["latin-1", "ascii", "utf-8"])
@pytest.mark.parametrize("json_asked", [True, False])
def test_names_beyond_the_terminals_encoding_are_escaped(
    tmp_path: Path, code: str, json_asked: bool
) -> None:
    """Unencodable names are escaped; JSON output stays valid and equivalent."""
    names = ["1-日本.png", "2-straße.png", "3-\U0001f600.png", os.fsdecode(b"4-\xdf.png"), "5.png"]
    for name in names:
        (tmp_path / name).write_bytes(cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1])
    command = [sys.executable, "-m", "edgepose", "detect", str(tmp_path), *MODEL]

    done = subprocess.run(
        [*command, "--json"] if json_asked else command,
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": code},
        check=False,
    )

    lines = done.stdout.decode(code).splitlines()
    assert done.returncode == 0
    assert done.stderr == b""
    assert len(lines) == len(names)
    if json_asked:
        found = [Path(json.loads(line)["file"]).name for line in lines]
        assert found == [os.fsencode(name).decode("utf-8", "replace") for name in names]


@pytest.mark.slow
def test_an_interrupt_leaves_whole_lines_and_a_whole_video(tmp_path: Path) -> None:
    """After Ctrl-C every line is a complete message, and the video can be played."""
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
    """A full disk is reported as such, not as an internal error."""
    command = [sys.executable, "-m", "edgepose", "detect", str(PICTURE), *MODEL, "--json"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == 1
    assert "the disk is full" in done.stderr


def test_a_picture_of_nobody_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A picture without people prints "nobody"."""
    empty = tmp_path / "empty.png"
    cv2.imwrite(str(empty), np.full((240, 320, 3), 90, np.uint8))

    assert main(["detect", str(empty), *MODEL]) == 0
    assert "nobody" in capsys.readouterr().out


def test_a_film_tells_of_people_from_its_first_frame(capsys: pytest.CaptureFixture[str]) -> None:
    """In video people are reported from the first frame, without a confirmation."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detect, "_with_progress", lambda source, *_, **__: first(source, 3))
        assert main(["detect", "demo://", *MODEL, "--json"]) == 0

    frames = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(frame["poses"]) for frame in frames] == [1, 1, 1]
    assert {frame["poses"][0]["id"] for frame in frames} == {1}


def first(source: Source, count: int) -> Iterator[Frame]:
    """Yield the first frames of a source."""
    return islice(source.frames(), count)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--policy", "follow", "-m", "movenet-multipose"], 'policy "follow" follows one person'),
        (["--policy", "sideways"], "sideways"),
        (["-o", "out.xyz"], "cannot be written as .xyz; expected one of .jpg"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Invalid options exit with code 2 and one sentence, before any work is done."""
    assert main(["detect", str(PICTURE), *words]) == 2

    heard = capsys.readouterr()
    assert said in heard.err
    assert heard.out == ""


@pytest.mark.parametrize("model", ["movenet-multipose", "posenet"])
def test_single_is_one_person_with_every_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    """`--single` gives one person although two are in the picture."""
    person = cv2.imread(str(PICTURE))
    assert person is not None
    cv2.imwrite(str(tmp_path / "two.png"), np.hstack([person, person]))

    assert main(["detect", str(tmp_path / "two.png"), "-m", model]) == 0
    assert main(["detect", str(tmp_path / "two.png"), "-m", model, "--single"]) == 0

    both, single = capsys.readouterr().out.splitlines()
    assert "2 people" in both
    assert "1 person" in single


def test_the_policy_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """`--policy refine` adds a refiner, which the message names."""
    words = ["detect", str(PICTURE), "-m", "posenet-uint8", "--json"]

    assert main(words) == 0
    assert main([*words, "--policy", "refine"]) == 0

    once, twice = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (once["model"], twice["model"]) == (
        "posenet-uint8",
        "posenet-uint8+movenet-thunder-int8",
    )


@pytest.mark.slow
def test_by_default_small_people_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The default model finds pedestrians of 60 to 120 pixels in pictures of a video."""
    if not PEDESTRIANS.exists():
        pytest.skip("no clip: apt install opencv-doc")
    film = cv2.VideoCapture(str(PEDESTRIANS))
    for number in range(5):
        film.set(cv2.CAP_PROP_POS_FRAMES, 20 + 150 * number)
        cv2.imwrite(str(tmp_path / f"{number}.png"), film.read()[1])

    assert main(["detect", str(tmp_path), "--json"]) == 0

    people = [len(json.loads(line)["poses"]) for line in capsys.readouterr().out.splitlines()]
    assert len(people) == 5
    assert min(people) >= 1
    assert sum(people) >= 15
