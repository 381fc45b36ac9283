"""Published networks, executed and compared with published references.

The files are Coral's and TensorFlow's, and not part of the project: without them
these tests are skipped. Tolerances are 1.5 times the deviation measured with
the same files; resizing and letterboxing are those of the references.
"""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.geometry import Letterbox
from edgepose.models.info import Outputs
from edgepose.pose import decoders
from edgepose.pose.decoders import Limits
from edgepose.types import Floats, Image, ModelPose, Size
from tests.support.runtimes import REFERENCE_PX, Interpreter

ROOT = Path(__file__).parents[3]
GIVEN = ROOT.parent / "shared" / "testdata"
SHIPPED = ROOT / "edgepose" / "data"

pytestmark = pytest.mark.skipif(not GIVEN.is_dir(), reason="the published files are not here")


def read_picture(name: str) -> Image:
    return np.asarray(cv2.cvtColor(cv2.imread(str(GIVEN / name)), cv2.COLOR_BGR2RGB))


def read_reference(name: str, width: float = 1, height: float = 1) -> Floats:
    """Return (P, 17, 3): x and y in model pixels, and score."""
    with (GIVEN / name).open() as file:
        rows = [
            [row["keypoint_x"], row["keypoint_y"], row["keypoint_score"]]
            for row in csv.DictReader(file)
        ]
    points = np.array(rows, dtype=np.float32).reshape(-1, 17, 3)
    return points * np.float32([width, height, 1])


def pose_scores(name: str) -> list[float]:
    with (GIVEN / name).open() as file:
        return [float(row["pose_score"]) for row in csv.DictReader(file)][::17]


def estimate(
    path: Path, picture: Image, interpolation: int = cv2.INTER_LINEAR, *, single: bool = False
) -> list[ModelPose]:
    """Stretch a picture to the network's input and decode the outputs."""
    loaded = decoders.load(path.read_bytes(), path.stem)
    tensor = cv2.resize(picture, loaded.model.input_size, interpolation=interpolation)[None]
    if loaded.model.inputs[0].dtype == "float32":
        pixels = loaded.decoder.pixels
        tensor = (tensor * pixels.scale + pixels.shift).astype(np.float32)
    interpreter = Interpreter(model_content=loaded.content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tensor)
    interpreter.invoke()
    arrays = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
    limits = Limits(max_people=20, single=single)
    return loaded.decoder.decode(Outputs(loaded.model, tuple(arrays)), limits)


def test_it_agrees_with_project_posenet() -> None:
    """Every joint and score of both people agrees."""
    name = "posenet_mobilenet_v1_075_353_481_quant_decoder"
    truth = read_reference(f"{name}_reference.csv")

    # The reference was made with half-pixel nearest neighbour.
    people = estimate(
        GIVEN / f"{name}.tflite", read_picture("test_couple.jpg"), cv2.INTER_NEAREST_EXACT
    )

    assert len(people) == len(truth) == 2
    found = np.array([person.keypoints for person in people])
    assert np.abs(found - truth)[..., :2].max() < 1.5 * REFERENCE_PX
    assert np.abs(found - truth)[..., 2].max() < 1.5 * 0.046
    assert [person.score for person in people] == pytest.approx(
        pose_scores(f"{name}_reference.csv"), abs=1.5 * 0.004
    )


def test_it_agrees_with_corals_test_data() -> None:
    """Another PoseNet with other scales: every confident joint and both scores agree."""
    name = "posenet_mobilenet_v1_075_353_481_16_quant_decoder"
    truth = read_reference(f"{name}_reference.csv", 481, 353)

    people = estimate(GIVEN / f"{name}.tflite", read_picture("test_image.png"))

    assert len(people) == len(truth) == 2
    found = np.array([person.keypoints for person in people])
    sure = truth[..., 2] > 0.7
    assert sure.sum() > 20
    assert np.abs(found - truth)[sure, :2].max() < 1.5 * 3.7
    assert [person.score for person in people] == pytest.approx(
        pose_scores(f"{name}_reference.csv"), abs=1.5 * 0.005
    )


def test_it_finds_the_couple_also_where_the_heads_saturate() -> None:
    """With offsets clipped at 10 pixels both people are found near their true positions."""
    truth = read_reference("posenet_mobilenet_v1_075_353_481_quant_decoder_reference.csv")

    people = estimate(
        GIVEN / "posenet_mobilenet_v1_075_353_481_quant.tflite",
        read_picture("test_couple.jpg"),
        cv2.INTER_NEAREST_EXACT,
    )

    found = np.array([person.keypoints for person in people])
    assert np.abs(found - truth)[..., :2].max() < 1.5 * 12.3


def test_it_agrees_with_corals_movenet() -> None:
    """Every joint of the squatting man agrees, relative to the picture; scores may differ."""
    truth = read_reference("movenet_single_pose_lightning_ptq_reference.csv")

    (person,) = estimate(
        GIVEN / "movenet_single_pose_lightning_ptq.tflite", read_picture("squat.png")
    )

    assert np.abs(person.keypoints[:, :2] / 192 - truth[0, :, :2]).max() < 1.5 * 0.030


def test_it_finds_tensorflows_dancer() -> None:
    """Letterboxed and mapped back, every joint agrees with the published truth."""
    picture = read_picture("image1.png")
    with (GIVEN / "pose_landmark_truth_image1.csv").open() as file:
        row = list(csv.reader(file))[1]
    truth = np.array([float(value) for value in row[-34:]]).reshape(17, 2)
    height, width = picture.shape[:2]
    letterbox = Letterbox.fit((0, 0, width, height), Size(192, 192))
    left, top, inner_width, inner_height = letterbox.inner
    square = np.zeros((192, 192, 3), dtype=np.uint8)
    square[top : top + inner_height, left : left + inner_width] = cv2.resize(
        picture, (inner_width, inner_height)
    )

    (person,) = estimate(GIVEN / "movenet_single_pose_lightning_ptq.tflite", square)

    found = letterbox.to_frame(person.keypoints[:, :2])
    assert np.abs(found - truth).max() < 1.5 * 13.2


FLOATS = {"lightning": "lightning_float16", "thunder": "thunder_heads_float16"}


@pytest.mark.parametrize("network", FLOATS)
def test_it_does_behind_the_heads_what_the_whole_network_does(network: str) -> None:
    """8-bit MoveNet, decoded from its heads, gives the same joints as the float network."""
    picture = read_picture("squat.png")

    (heads,) = estimate(SHIPPED / f"movenet_{network}_int8.tflite", picture)
    (whole,) = estimate(SHIPPED / f"movenet_{FLOATS[network]}.tflite", picture)

    sure = whole.keypoints[:, 2] > 0.4
    assert sure.sum() > 8
    side = 192 if network == "lightning" else 256
    assert np.abs(heads.keypoints - whole.keypoints)[sure, :2].max() < 0.03 * side


@pytest.mark.parametrize("name", ["posenet_075_353x481_uint8", "posenet_075_257_stride32_float16"])
@pytest.mark.parametrize("single", [False, True])
def test_it_finds_the_man_with_the_shipped_posenets(name: str, single: bool) -> None:
    """The confident joints of each shipped PoseNet agree with MoveNet's."""
    picture = read_picture("squat.png")
    (reference,) = estimate(SHIPPED / "movenet_thunder_heads_float16.tflite", picture)

    person = estimate(SHIPPED / f"{name}.tflite", picture, single=single)[0]

    size = decoders.load((SHIPPED / f"{name}.tflite").read_bytes(), name).model.input_size
    found, truth = person.keypoints[:, :2] / size, reference.keypoints[:, :2] / 256
    sure = (person.keypoints[:, 2] > 0.5) & (reference.keypoints[:, 2] > 0.5)
    assert sure.sum() > 6
    assert np.median(np.abs(found - truth)[sure]) < 0.03
