"""What `import edgepose` offers: exactly this, and quickly."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgepose

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "person.jpg"


def test_it_offers_what_the_readme_names_and_nothing_else() -> None:
    """A name that is not here may change without notice."""
    assert sorted(edgepose.__all__) == ["Pose", "PoseEstimator", "draw", "subscribe"]
    assert all(hasattr(edgepose, name) for name in edgepose.__all__)
    with pytest.raises(AttributeError, match="no attribute 'estimate'"):
        edgepose.estimate  # noqa: B018  # the attribute is what is asked for


def test_importing_it_loads_no_runtime() -> None:
    """A configuration is checked without waiting for a network runtime or OpenCV."""
    code = "import edgepose, sys; print([m for m in ('cv2', 'numpy', 'paho') if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_picture_becomes_people_in_its_own_pixels() -> None:
    """The lines of the readme, run."""
    rgb = np.asarray(cv2.cvtColor(cv2.imread(str(PICTURE)), cv2.COLOR_BGR2RGB), dtype=np.uint8)
    estimator = edgepose.PoseEstimator("posenet")

    people = estimator.estimate(rgb)

    assert len(people) == 1
    assert isinstance(people[0], edgepose.Pose)
    assert people[0].keypoints.shape == (17, 3)
    assert people[0].keypoints.dtype == np.float32
    assert edgepose.draw(rgb, people).shape == rgb.shape


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused_in_words(picture: np.ndarray) -> None:  # type: ignore[type-arg]
    """A caller's mistake is said before the network sees it."""
    with pytest.raises(ValueError, match=r"expected uint8|empty"):
        edgepose.PoseEstimator("posenet-257").estimate(picture)
