"""The public API of `import edgepose`, and its import time."""

import pydoc
import rlcompleter
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgepose
from edgepose import errors
from edgepose.mqtt import messages

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "person.jpg"


def test_every_public_name_is_there() -> None:
    """Each name is loaded once from its module."""
    assert {"PoseEstimator", "Pose", "Limits", "draw", "subscribe", "open_source"} <= set(
        edgepose.__all__
    )
    assert set(edgepose.__all__) <= set(dir(edgepose))
    for name in edgepose.__all__:
        assert getattr(edgepose, name) is getattr(edgepose, name)
    with pytest.raises(AttributeError, match="no attribute 'estimate'"):
        edgepose.estimate  # noqa: B018  # the attribute is what is asked for


def test_every_message_and_error_is_public() -> None:
    """All messages and errors can be used without importing from inner packages."""
    structs = {type_.__name__ for type_ in messages.BY_TOPIC.values()}
    raised = {
        name
        for name, found in vars(errors).items()
        if isinstance(found, type) and issubclass(found, errors.EdgeposeError)
    }

    assert structs | raised <= set(edgepose.__all__)


@pytest.mark.parametrize(
    ("module", "name", "instead"),
    [
        ("messages", "PosesMessage", "edgepose.PosesMessage"),
        ("messages", "BY_TOPIC", "edgepose.mqtt.messages.BY_TOPIC"),
        ("sources", "open_source", "edgepose.open_source"),
        ("decoders", "Limits", "edgepose.Limits"),
    ],
)
def test_documented_names_of_the_earlier_layout_still_work(
    module: str, name: str, instead: str
) -> None:
    """Old names work for one version, with a warning that names the new ones."""
    old = import_module(f"edgepose.{module}")

    with pytest.warns(DeprecationWarning, match=f"use {instead}"):
        found = getattr(old, name)

    assert callable(found) or name == "BY_TOPIC"
    with pytest.raises(AttributeError):
        old.nonsense  # noqa: B018  # the attribute is what is asked for


def test_importing_it_loads_no_runtime() -> None:
    """Neither runtime, numpy nor OpenCV is imported."""
    code = "import edgepose, sys; print([m for m in ('cv2', 'numpy', 'paho') if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_picture_becomes_people_in_its_own_pixels() -> None:
    """The example of the readme works."""
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
    """An invalid picture raises ValueError before inference."""
    with pytest.raises(ValueError, match=r"expected uint8|empty"):
        edgepose.PoseEstimator("posenet-257").estimate(picture)


def test_names_are_completed_and_explained() -> None:
    """Completion and `help()` show all names and the shapes of arrays."""
    complete = rlcompleter.Completer({"edgepose": edgepose}).complete
    offered = {complete("edgepose.", number) for number in range(60)}

    assert {"edgepose.Pose", "edgepose.KEYPOINTS"} <= {str(name).rstrip("()") for name in offered}
    text = pydoc.plain(pydoc.render_doc(edgepose))
    assert "class PoseEstimator" in text
    assert "subscribe(" in text
    assert "(17, 3)" in pydoc.plain(pydoc.render_doc(edgepose.Pose))
    assert "(height, width, 3)" in pydoc.plain(pydoc.render_doc(edgepose.Frame))
    assert "(height, width, 3)" in pydoc.plain(pydoc.render_doc(edgepose.PoseEstimator.estimate))
    assert "(height, width, 3)" in pydoc.plain(pydoc.render_doc(edgepose.draw))
