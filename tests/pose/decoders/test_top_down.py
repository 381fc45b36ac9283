"""SimCC heads and heat maps to one person, with tiny networks that are executed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgepose.errors import ModelError
from edgepose.geometry import box_around
from edgepose.models.info import ModelInfo, Outputs, Quantisation, TensorInfo
from edgepose.pose import decoders
from edgepose.pose.decoders import Limits
from edgepose.pose.decoders.top_down import MEAN, TopDownDecoder
from edgepose.pose.estimator import PoseEstimator
from edgepose.skeleton import JOINTS
from edgepose.types import Floats, Pose, Size
from tests.support import networks
from tests.support.contracts.decoder import DecoderContract, match
from tests.support.posenet_truth import stand

SIZE = Size(192, 256)
ONE = stand(90, 120, scale=0.9)[None]


def bins(person: Floats, score: float = 0.8, size: Size = SIZE) -> tuple[Floats, Floats]:
    """Return SimCC heads, two bins per pixel, with a peak at each joint."""
    heads = []
    for axis, length in enumerate(size):
        position = np.arange(2 * length, dtype=np.float32)[None] / 2
        gap = position - person[:, axis : axis + 1]
        heads.append((score * np.exp(-(gap**2) / 18))[None].astype(np.float32))
    return heads[0], heads[1]


def cells(person: Floats, score: float = 0.8, size: Size = SIZE, stride: int = 4) -> Floats:
    """Return a heat map (1, h, w, 17) with a peak at each joint."""
    rows, columns = np.indices((size.height // stride, size.width // stride))
    x, y = person[:, 0] / stride, person[:, 1] / stride
    gap = (columns[..., None] - x) ** 2 + (rows[..., None] - y) ** 2
    return (score * np.exp(-gap / 8))[None].astype(np.float32)


def said(*outputs: tuple[str, Floats], size: Size = SIZE) -> Outputs:
    tensors = tuple(TensorInfo(name, values.shape, "float32") for name, values in outputs)
    picture = TensorInfo("image", (1, size.height, size.width, 3), "float32")
    return Outputs(ModelInfo("m", (picture,), tensors), tuple(values for _, values in outputs))


def simcc(person: Floats, score: float = 0.8) -> Outputs:
    x, y = bins(person, score)
    return said(("Identity", x), ("Identity_1", y))


class TestSimCC(DecoderContract):
    pixel_tolerance = 0.36  # bins of half a pixel

    def crowded(self) -> Outputs:
        return simcc(ONE[0])

    def empty(self) -> Outputs:
        return simcc(ONE[0], 0.1)

    def truth(self) -> Floats:
        return ONE


class TestHeatmap(DecoderContract):
    pixel_tolerance = 1.5  # a quarter of a cell of four pixels, along both axes

    def crowded(self) -> Outputs:
        return said(("heatmap", cells(ONE[0])))

    def empty(self) -> Outputs:
        return said(("heatmap", cells(ONE[0], 0.1)))

    def truth(self) -> Floats:
        return ONE


def found(outputs: Outputs) -> Floats:
    people = decoders.recognise(outputs.model).decode(outputs, Limits())
    return np.array([person.keypoints[:, :2] for person in people])


def test_the_order_of_simcc_heads_does_not_matter() -> None:
    """For a non-square input the heads' lengths distinguish x and y."""
    x, y = bins(ONE[0])

    assert match(found(said(("a", y), ("b", x))), ONE) < 0.36


@pytest.mark.parametrize("names", [("simcc_x", "simcc_y"), ("pred_x", "pred_y"), ("X:0", "Y:0")])
def test_of_a_square_input_names_tell_x_from_y(names: tuple[str, str]) -> None:
    """For a square input names distinguish x and y; without them ModelError is raised."""
    size = Size(256, 256)
    x, y = bins(ONE[0], size=size)

    for outputs in (((names[0], x), (names[1], y)), ((names[1], y), (names[0], x))):
        assert match(found(said(*outputs, size=size)), ONE) < 0.36
    with pytest.raises(ModelError, match="expected names that end in x and y"):
        decoders.recognise(said(("a", x), ("b", y), size=size).model)


@pytest.mark.parametrize("stride", [2, 4, 8])
@pytest.mark.parametrize("channels_first", [False, True])
def test_heat_maps_of_any_stride_and_order(stride: int, channels_first: bool) -> None:
    """Channels may come first or last, and the stride may be 2, 4 or 8."""
    heat = cells(ONE[0], stride=stride)
    heat = heat.transpose(0, 3, 1, 2) if channels_first else heat

    assert match(found(said(("heatmap", heat))), ONE) < 0.375 * stride


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, JOINTS, 384)],
        [(1, JOINTS, 384), (1, JOINTS, 500)],
        [(1, JOINTS, 384), (1, JOINTS, 512), (1, 1)],
        [(1, 64, 48, 16)],
        [(1, 64, 40, JOINTS)],
        [(1, 256, 192, JOINTS)],
        [(1, 21, 64, 48)],
        [(1, JOINTS, 3)],
    ],
)
def test_what_does_not_fit_the_input_is_none_of_these(shapes: list[tuple[int, ...]]) -> None:
    """Other numbers of joints, cells or outputs are not recognised."""
    tensors = tuple(TensorInfo(f"o{i}", shape, "float32") for i, shape in enumerate(shapes))
    picture = TensorInfo("image", (1, 256, 192, 3), "float32")

    assert TopDownDecoder.recognise(ModelInfo("m", (picture,), tensors)) is None


def test_an_open_input_is_refused() -> None:
    """An input of unknown size is not recognised: the bins' size would be unknown."""
    model = simcc(ONE[0]).model
    picture = replace(model.inputs[0], shape=(1, -1, -1, 3))

    assert TopDownDecoder.recognise(replace(model, inputs=(picture,))) is None


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("kind", ["simcc", "heatmap", "heatmap in 8 bits"])
def test_a_file_of_ones_own_looks_again(tmp_path: Path, kind: str, channels_first: bool) -> None:
    """A custom file after a + is used as refiner; its joints are mapped to the picture."""
    picture = (1, 3, 256, 192) if channels_first else (1, 256, 192, 3)
    heat = cells(ONE[0])
    stored = np.round(heat * 255).astype(np.uint8)
    outputs = {
        "simcc": [(n, v, None) for n, v in zip(("x", "y"), bins(ONE[0]), strict=True)],
        "heatmap": [("heatmap", heat, None)],
        "heatmap in 8 bits": [("heatmap", stored, Quantisation(1 / 255, 0))],
    }[kind]
    path = tmp_path / "mine.tflite"
    path.write_bytes(networks.build(picture, outputs))
    estimator = PoseEstimator(f"movenet-multipose+{path}", threads=1, limits=Limits(6, 0.0))
    image = np.zeros((480, 640, 3), dtype=np.uint8)
    keypoints = np.column_stack([ONE[0] * 1.5 + (100, 20), np.full(JOINTS, 0.6)]).astype(np.float32)
    known = Pose(keypoints, 0.6, box_around(keypoints))

    inputs = estimator.prepare(image, [known], 1)
    (look,) = [look for look in inputs.crops if look.crop.person is known]
    assert look.tensor is not None
    assert look.tensor.shape == picture
    assert look.letterbox.region[2] / look.letterbox.region[3] == pytest.approx(0.75, abs=0.01)
    black = -np.array(MEAN) / 57.63
    corner = look.tensor[0, :, 0, 0] if channels_first else look.tensor[0, 0, 0]
    assert corner == pytest.approx(black, abs=1e-3)
    expected = look.letterbox.to_frame(ONE[0])
    outputs_of = estimator.infer(inputs)
    index = inputs.crops.index(look)
    (pose,) = estimator._decode_crops(look, outputs_of[index], Limits(6, 0.0)).poses
    assert np.abs(pose.keypoints[:, :2] - expected).max() < 3
