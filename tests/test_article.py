"""The article's steps from picture to drawing, without its mistakes."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgepose
from edgepose.cli import main
from edgepose.pose.decoders import Limits
from edgepose.types import Image, Pose

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "article.md"
PICTURE = ROOT / "docs" / "images" / "person.jpg"
BODY = slice(5, 17)


@pytest.fixture(scope="module")
def rgb() -> Image:
    bgr = cv2.imread(str(PICTURE))
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def single(model: str, rgb: Image) -> Pose:
    estimator = edgepose.PoseEstimator(model, limits=Limits(single=True), policy="whole")
    (person,) = estimator.estimate(rgb)
    return person


def off(a: Pose, b: Pose) -> float:
    """Return the median distance of the body's joints, in pixels."""
    distance = np.linalg.norm(a.keypoints[BODY, :2] - b.keypoints[BODY, :2], axis=1)
    return float(np.median(distance))


def test_it_finds_the_person_in_pixels_of_the_original(rgb: Image) -> None:
    """The 9 x 9 grid agrees with a finer one, in pixels of the original."""
    coarse, fine = single("posenet-257", rgb), single("posenet@481x641", rgb)

    assert coarse.score > 0.8
    assert coarse.keypoints[:, 0].max() > 500  # beyond the network's 257 pixels
    assert off(coarse, fine) < 20


def test_it_feeds_red_green_blue(rgb: Image) -> None:
    """The network gets RGB; with BGR the score is lower."""
    right, wrong = (single("posenet-257", picture) for picture in (rgb, rgb[:, :, ::-1].copy()))

    assert right.score > wrong.score


def test_it_does_not_stretch_the_picture(rgb: Image) -> None:
    """The aspect ratio of the picture is kept."""
    border = 480
    wide = cv2.copyMakeBorder(rgb, 0, 0, border, border, cv2.BORDER_REPLICATE)
    estimator = edgepose.PoseEstimator("posenet-257", limits=Limits(single=True), policy="whole")

    inputs = estimator.prepare(np.asarray(wide, dtype=np.uint8))

    across, down = inputs.crops[0].letterbox.scale
    assert across == pytest.approx(down, rel=0.01)


def test_it_draws_on_the_original(rgb: Image) -> None:
    """The drawing has the original's size, and the original is unchanged."""
    before = rgb.copy()

    drawn = edgepose.draw(rgb, [single("posenet-257", rgb)])

    assert drawn.shape == rgb.shape
    assert np.array_equal(rgb, before)
    assert not np.array_equal(drawn, rgb)


@pytest.mark.parametrize("model", ["posenet-uint8", "posenet", "posenet@353x353"])
def test_it_takes_other_grids_and_whole_numbers(model: str, rgb: Image) -> None:
    """Every PoseNet file gives the same result, of any size and type."""
    assert off(single(model, rgb), single("posenet@481x641", rgb)) < 20


def test_the_first_step_prints_inputs_and_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    """`models show` prints the article's inputs and outputs in readable form."""
    assert main(["models", "show", "posenet-257"]) == 0

    printed = capsys.readouterr().out.splitlines()
    told = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("  ")]
    assert [line.split()[0] for line in told].count("output") == 4
    assert {line for line in told if line.split()[0] in {"input", "output"}} <= set(printed)


def test_the_last_step_draws_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`detect -o` writes the drawing."""
    out = tmp_path / "out.png"

    code = main(["detect", str(PICTURE), "-m", "posenet-257", "--single", "-o", str(out)])

    assert code == 0
    assert "1 person" in capsys.readouterr().out
    assert cv2.imread(str(out)).shape == cv2.imread(str(PICTURE)).shape


def test_every_test_that_the_page_names_exists() -> None:
    """The tests in the page's table of mistakes exist."""
    named = re.findall(r"`tests/([\w/]+\.py)::([\w:]+)`", PAGE.read_text("utf-8"))

    assert len(named) >= 11
    for file, test in named:
        assert f"def {test.rpartition('::')[2]}(" in (ROOT / "tests" / file).read_text("utf-8")
