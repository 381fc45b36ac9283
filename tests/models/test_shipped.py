"""The model files inside the package."""

import csv
import hashlib
import importlib
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import edgepose
from edgepose.models.catalog import PRESETS
from edgepose.pose.estimator import PoseEstimator

ROOT: Final = Path(__file__).parents[2]
DATA: Final = Path(edgepose.__file__).with_name("data")
CATALOGUE: Final[dict[str, dict[str, Any]]] = {
    name: row
    for name, row in tomllib.loads((DATA / "models.toml").read_text()).items()
    if "url" not in row
}
TESTDATA: Final = ROOT.parent / "shared" / "testdata"
FILMS: Final = ROOT.parent / "shared" / "films" / "clips"
EMPTY: Final = (
    "le2i_000",
    "le2i_077",
    "le2i_152",
    "kal_sit",
    "leo_home",
    "cw_chair",
    "thanh_fall07",
)
"""Videos of seven places that begin without people."""

KEYS: Final = {
    "file": str,
    "sha256": str,
    "bytes": int,
    "family": str,
    "people": str,
    "min_pose_score": float,
    "input": str,
    "licence": str,
    "origin": str,
    "description": str,
}
POSENET_HEADS: Final = {
    "heatmap": 17,
    "short_offset": 34,
    "displacement_fwd": 32,
    "displacement_bwd": 32,
}
MOVENET_HEADS: Final = {"center": 1, "heatmap": 17, "regress": 34, "offset": 34}

every_model = pytest.mark.parametrize("name", sorted(CATALOGUE))


class Network:
    """A model file loaded by the installed runtime, resized as in the catalogue."""

    def __init__(self, name: str, size: tuple[int, int] | None = None) -> None:
        runtime = _runtime()
        path = DATA / CATALOGUE[name]["file"]
        self.interpreter = runtime.Interpreter(model_path=str(path), num_threads=1)
        (self.entry,) = self.interpreter.get_input_details()
        height, width = size or _size(name)
        self.interpreter.resize_tensor_input(self.entry["index"], (1, height, width, 3))
        self.interpreter.allocate_tensors()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the outputs' shapes by name, in the file's order, for a grey picture."""
        (self.entry,) = self.interpreter.get_input_details()
        return {
            name: array.shape for name, array in self.run(np.zeros(self.entry["shape"])).items()
        }

    def run(self, picture: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the outputs for one input."""
        self.interpreter.set_tensor(self.entry["index"], picture.astype(self.entry["dtype"]))
        self.interpreter.invoke()
        details = self.interpreter.get_output_details()
        return {d["name"]: self.interpreter.get_tensor(d["index"]) for d in details}


def _runtime() -> Any:
    for module in ("ai_edge_litert.interpreter", "tflite_runtime.interpreter"):
        try:
            return importlib.import_module(module)
        except ImportError:
            continue
    pytest.skip("no TFLite runtime is installed")


def _size(name: str) -> tuple[int, int]:
    height, width = CATALOGUE[name]["input"].split("x")
    return int(height), int(width)


def _figures(height: int, width: int) -> NDArray[np.uint8]:
    """Draw two stick figures on a textured wall, so that every head responds."""
    rng = np.random.default_rng(7)
    wall = rng.integers(60, 200, (height // 8, width // 8, 3), dtype=np.uint8)
    picture = cv2.resize(wall, (width, height), interpolation=cv2.INTER_CUBIC)
    for x, y, size, colour in ((0.3, 0.1, 0.8, (200, 40, 30)), (0.7, 0.3, 0.6, (30, 60, 220))):
        at = np.array([x * width, y * height])
        body = np.array([[0, 0.1], [0, 0.5], [-0.1, 1], [0, 0.5], [0.1, 1]])
        arms = np.array([[-0.25, 0.45], [0, 0.2], [0.25, 0.05]])
        for line in (body, arms):
            points = np.rint(at + line * size * height).astype(np.int32)
            cv2.polylines(picture, [points], isClosed=False, color=colour, thickness=height // 18)
        head = np.rint(at).astype(int).tolist()
        cv2.circle(picture, head, round(0.09 * size * height), (190, 150, 120), -1)
    return np.asarray(picture, dtype=np.uint8)


def test_it_names_files_with_typed_facts() -> None:
    """Every entry has the same keys with the same types."""
    found = {
        name: {key: type(value) for key, value in row.items()} for name, row in CATALOGUE.items()
    }

    assert found == dict.fromkeys(CATALOGUE, KEYS)


@every_model
def test_it_ships_the_very_file_it_names(name: str) -> None:
    """Size and checksum are those of the file."""
    entry = CATALOGUE[name]

    data = (DATA / entry["file"]).read_bytes()

    assert len(data) == entry["bytes"]
    assert hashlib.sha256(data).hexdigest() == entry["sha256"]


def test_it_ships_no_file_without_an_entry() -> None:
    """Every file in the package has an entry."""
    files = {path.name for path in DATA.glob("*.tflite")}

    assert files == {entry["file"] for entry in CATALOGUE.values()}


@every_model
def test_it_documents_every_file(name: str) -> None:
    """models/README.md has name, file and checksum of each model."""
    readme = (ROOT / "models" / "README.md").read_text()

    assert f"`{name}`" in readme
    assert CATALOGUE[name]["file"] in readme
    assert CATALOGUE[name]["sha256"] in readme


def test_the_wheel_takes_them_along() -> None:
    """The wheel contains the whole package without exclusions."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"][
        "targets"
    ]["wheel"]

    assert "edgepose" in wheel["packages"]
    assert "exclude" not in wheel
    assert DATA == ROOT / "edgepose" / "data"


def test_version_control_keeps_them() -> None:
    """Git does not ignore the files, as the wheel's builder would omit them."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    files = [str(path) for path in DATA.iterdir()]

    found = subprocess.run(
        ["git", "check-ignore", "--no-index", *files], cwd=ROOT, capture_output=True, check=False
    )

    assert found.stdout == b""
    assert found.returncode == 1  # git's code for: none is ignored


@every_model
def test_it_takes_rgb_pictures(name: str) -> None:
    """Inputs are uint8, except for posenet-257, which takes -1 to 1 as the published one does."""
    network = Network(name)

    height, width = _size(name)
    assert network.entry["dtype"] == (np.float32 if name == "posenet-257" else np.uint8)
    assert network.interpreter.get_input_details()[0]["shape"].tolist() == [1, height, width, 3]


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("posenet", (23, 31)),
        ("posenet-uint8", (23, 31)),
        ("posenet-481x641", (31, 41)),
        ("posenet-257", (9, 9)),
    ],
)
def test_posenet_gives_four_heads_on_a_grid(name: str, grid: tuple[int, int]) -> None:
    """The heads have distinct names, as both displacements have the same shape."""
    shapes = Network(name).shapes()

    assert shapes == {head: (1, *grid, channels) for head, channels in POSENET_HEADS.items()}


@pytest.mark.parametrize("size", [(257, 257), (225, 161), (513, 289)])
def test_posenet_takes_any_size_of_16n_plus_1(size: tuple[int, int]) -> None:
    """The grid has one cell per 16 pixels, the first and the last on the border."""
    shapes = Network("posenet", size).shapes()

    rows, columns = ((side - 1) // 16 + 1 for side in size)
    assert shapes["heatmap"] == (1, rows, columns, 17)


def test_stride_32_is_every_second_cell_of_stride_16() -> None:
    """At stride 32 the outputs equal every second cell of stride 16."""
    picture = _figures(257, 257)[None]

    fine = Network("posenet", (257, 257)).run(picture)
    coarse = Network("posenet-257").run(picture / 127.5 - 1)

    for head, values in coarse.items():
        np.testing.assert_allclose(values, fine[head][:, ::2, ::2], atol=1e-3)
        assert values.std() > 1


def test_movenet_says_where_one_person_is() -> None:
    """The output has y, x and score of 17 joints."""
    shapes = Network("movenet-lightning").shapes()

    assert shapes == {"keypoints": (1, 1, 17, 3)}


@pytest.mark.parametrize(
    "name", ["movenet-lightning-int8", "movenet-thunder-int8", "movenet-thunder"]
)
def test_movenet_stops_at_its_heads(name: str) -> None:
    """The outputs are heads with one cell per four pixels."""
    shapes = Network(name).shapes()

    cells = _size(name)[0] // 4
    assert shapes == {head: (1, cells, cells, n) for head, n in MOVENET_HEADS.items()}


@pytest.mark.parametrize("name", ["posenet-uint8", "movenet-lightning-int8"])
def test_whole_numbers_carry_their_scale(name: str) -> None:
    """Every output has a scale; MoveNet's scores span 0 to 1."""
    network = Network(name)

    for detail in network.interpreter.get_output_details():
        scale, zero_point = detail["quantization"]
        assert detail["dtype"] == np.uint8
        assert scale > 0
        if detail["name"] == "center":
            assert (scale, zero_point) == pytest.approx((1 / 256, 0))


@pytest.mark.parametrize("size", [(256, 256), (192, 256), (320, 224)])
def test_multipose_takes_any_size_of_32n(size: tuple[int, int]) -> None:
    """The output has six people of 17 keypoints, a box and a score, for each size."""
    network = Network("movenet-multipose", size)

    people = network.run(_figures(*size)[None])["people"]

    assert people.shape == (1, 6, 56)
    assert np.isfinite(people).all()


def test_whole_numbers_agree_with_16_bits() -> None:
    """8-bit PoseNet finds joints within a few pixels of the float16 model."""
    path = TESTDATA / "test_couple.jpg"
    if not path.exists():
        pytest.skip("needs a photograph of people")
    bgr = cv2.imread(str(path))
    picture = cv2.resize(bgr, (481, 353), interpolation=cv2.INTER_AREA)[None, :, :, ::-1]

    real = Network("posenet").run(picture)
    network = Network("posenet-uint8")
    stored = network.run(picture)

    joints = real["heatmap"] > 0
    details = {d["name"]: d["quantization"] for d in network.interpreter.get_output_details()}
    scale, zero_point = details["heatmap"]
    logits = (stored["heatmap"].astype(float) - zero_point) * scale
    assert joints.sum() > 50
    assert np.abs(logits - real["heatmap"])[joints].mean() < 0.5
    scale, zero_point = details["short_offset"]
    offsets = (stored["short_offset"].astype(float) - zero_point) * scale
    twice = np.concatenate([joints, joints], axis=-1)
    assert np.abs(offsets - real["short_offset"])[twice].mean() < 1.5


def test_movenet_sees_what_another_training_sees() -> None:
    """The keypoints agree with a published reference within its tolerance."""
    if not TESTDATA.exists():
        pytest.skip("needs a photograph and its reference")
    reference = TESTDATA / "movenet_single_pose_lightning_ptq_reference.csv"
    rows = list(csv.DictReader(reference.open()))
    truth = np.array([[float(row[f"keypoint_{axis}"]) for axis in "xy"] for row in rows])
    sure = np.array([float(row["keypoint_score"]) for row in rows]) > 0.4
    height, width = _size("movenet-lightning")
    bgr = cv2.imread(str(TESTDATA / "squat.png"))

    picture = cv2.resize(bgr, (width, height), interpolation=cv2.INTER_LINEAR)[None, :, :, ::-1]
    found = Network("movenet-lightning").run(picture)["keypoints"][0, 0, :, 1::-1]

    assert sure.sum() >= 12
    assert np.abs(found - truth)[sure].max() < 0.04


@pytest.mark.slow
@pytest.mark.parametrize("name", [*sorted(CATALOGUE), *PRESETS])
def test_nobody_is_found_where_nobody_is(name: str) -> None:
    """At its own minimum score a model finds people in at most one of seven empty places."""
    if not FILMS.exists():
        pytest.skip("the films are not here")
    estimator = PoseEstimator(name, threads=1)
    found = []
    for film in EMPTY:
        _, picture = cv2.VideoCapture(str(FILMS / f"{film}.mp4")).read()
        if estimator.estimate(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)):
            found.append(film)

    assert len(found) <= 1, found
