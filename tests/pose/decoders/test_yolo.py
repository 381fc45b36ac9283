"""YOLO-pose exports to people: a tiny network with that signature, run for real."""

from dataclasses import replace

import numpy as np
import pytest

from edgepose.models.info import ModelInfo, Outputs, Quantisation, TensorInfo
from edgepose.pose import decoders
from edgepose.pose.decoders import Limits
from edgepose.pose.decoders.yolo import YoloPoseDecoder
from edgepose.skeleton import JOINTS
from edgepose.types import Floats, ModelPose, Size
from tests.support import networks
from tests.support.contracts.decoder import DecoderContract, match
from tests.support.posenet_truth import quantise, stand
from tests.support.runtimes import Interpreter

SIZE = Size(320, 256)
ANCHORS = 40 * 32 + 20 * 16 + 10 * 8
TWO = np.array([stand(90, 120), stand(150, 130, scale=1.2)])


def rows(people: Floats, scores: tuple[float, ...], size: Size = SIZE) -> Floats:
    """Return (N, 56) in pixels: each person from three anchors, and noise from all others."""
    random = np.random.default_rng(0)
    said = np.zeros((ANCHORS, 56), dtype=np.float32)
    said[:, :2] = random.uniform(0, 1, (ANCHORS, 2)) * size
    said[:, 2:4] = random.uniform(1, 60, (ANCHORS, 2))
    said[:, 4] = random.uniform(0, 0.05, ANCHORS)
    for index, (person, score) in enumerate(zip(people, scores, strict=True)):
        low, high = person.min(axis=0), person.max(axis=0)
        for again in range(3):
            row = said[100 * index + again]
            row[:4] = [*(low + high) / 2 + again, *(high - low)]
            row[4] = score - 0.01 * again
            row[5:] = np.column_stack([person, np.full(JOINTS, 0.9)]).reshape(-1)
            row[5::3] += again
    return said


def in_parts(said: Floats, size: Size = SIZE) -> Floats:
    """Return rows as those exports write them that divide by the size of the input."""
    scaled = said.copy()
    scaled[:, [0, 2]] /= size.width
    scaled[:, [1, 3]] /= size.height
    scaled[:, 5::3] /= size.width
    scaled[:, 6::3] /= size.height
    return scaled


def run(said: Floats, dtype: str = "float32") -> Outputs:
    """Build a network that says this, and run it in the runtime."""
    stored, quantisation = quantise(said[None], dtype)
    content = networks.build(
        (1, SIZE.height, SIZE.width, 3), [("Identity", stored, quantisation)], dtype="float32"
    )
    loaded = decoders.load(content, "yolo")
    interpreter = Interpreter(model_content=loaded.content)
    interpreter.allocate_tensors()
    interpreter.invoke()
    detail = interpreter.get_output_details()[0]
    return Outputs(loaded.model, (interpreter.get_tensor(detail["index"]).copy(),))


def find(outputs: Outputs) -> list[ModelPose]:
    return decoders.recognise(outputs.model).decode(outputs, Limits())


def places(people: list[ModelPose]) -> Floats:
    return np.array([person.keypoints[:, :2] for person in people])


class TestYoloInParts(DecoderContract):
    def crowded(self) -> Outputs:
        return run(in_parts(rows(TWO, (0.9, 0.8))).T)

    def empty(self) -> Outputs:
        return run(in_parts(rows(TWO[:0], ())).T)

    def truth(self) -> Floats:
        return TWO


class TestYoloInPixels(TestYoloInParts):
    def crowded(self) -> Outputs:
        return run(rows(TWO, (0.9, 0.8)).T)

    def empty(self) -> Outputs:
        return run(rows(TWO[:0], ()).T)


class TestYoloQuantised(TestYoloInParts):
    # Places from 0 to 1 in 8 bits are steps of more than a pixel.
    pixel_tolerance = 2.0

    def crowded(self) -> Outputs:
        return run(in_parts(rows(TWO, (0.9, 0.8))).T, "int8")

    def empty(self) -> Outputs:
        return run(in_parts(rows(TWO[:0], ())).T, "int8")


class TestYoloRowsFirst(TestYoloInParts):
    def crowded(self) -> Outputs:
        return run(in_parts(rows(TWO, (0.9, 0.8))))


def test_it_says_the_box() -> None:
    """Centre and size become a corner and a size, in model pixels."""
    best = find(run(in_parts(rows(TWO, (0.9, 0.8))).T))[0]

    low, high = TWO[0].min(axis=0), TWO[0].max(axis=0)
    assert best.score == pytest.approx(0.9)
    assert best.box == pytest.approx((*low, *(high - low)), abs=0.01)


def test_it_keeps_two_people_whose_boxes_overlap() -> None:
    """Only boxes that share most of themselves are one person."""
    close = np.array([stand(120, 120), stand(155, 120)])

    people = find(run(in_parts(rows(close, (0.9, 0.8))).T))

    assert match(places(people), close) < 0.05


@pytest.mark.parametrize(
    "shape", [(1, 6, 56), (1, 56, 56), (1, 84, 8400), (1, 56, 20), (56, 8400), (1, 1, 17, 3)]
)
def test_it_is_only_taken_for_what_it_is(shape: tuple[int, ...]) -> None:
    """MoveNet's six rows, a detector's 84 channels and what fits both ways are not YOLO-pose."""
    model = ModelInfo(
        "m",
        (TensorInfo("image", (1, 256, 320, 3), "float32"),),
        (TensorInfo("out", shape, "float32"),),
    )

    assert YoloPoseDecoder.recognise(model) is None


def test_it_takes_pictures_from_0_to_1() -> None:
    """Black is 0 and white 1, also for networks of whole numbers."""
    model = run(in_parts(rows(TWO, (0.9, 0.8))).T).model
    quantised = replace(model.inputs[0], dtype="int8", quantisation=Quantisation(1 / 255, -128))

    for picture in (model.inputs[0], quantised):
        pixels = decoders.recognise(replace(model, inputs=(picture,))).pixels
        assert pixels.shift == (0, 0, 0)
        assert 255 * pixels.scale == pytest.approx(1)
