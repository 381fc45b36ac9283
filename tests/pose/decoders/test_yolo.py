"""YOLO-pose exports to people, with a tiny network that is executed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgepose.errors import ModelError
from edgepose.models.info import ModelInfo, Outputs, Quantisation, TensorInfo
from edgepose.pose import decoders
from edgepose.pose.decoders import Limits
from edgepose.pose.decoders.yolo import YoloPoseDecoder
from edgepose.pose.estimator import PoseEstimator
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


def in_parts(said: Floats, size: Size = SIZE, *, boxes: bool = True, points: bool = True) -> Floats:
    """Return rows in units relative to the input's size, as some exports have them."""
    scaled = said.copy()
    if boxes:
        scaled[:, [0, 2]] /= size.width
        scaled[:, [1, 3]] /= size.height
    if points:
        scaled[:, 5::3] /= size.width
        scaled[:, 6::3] /= size.height
    return scaled


def sorted_out(said: Floats, count: int = 300) -> Floats:
    """Return rows of a network with built-in NMS: corners, class, zeros at the end."""
    best = said[said[:, 4] > 0.3]
    best = best[np.argsort(-best[:, 4])][::3]  # each person comes from three anchors
    out = np.zeros((count, 57), dtype=np.float32)
    out[: len(best), :2] = best[:, :2] - best[:, 2:4] / 2
    out[: len(best), 2:4] = best[:, :2] + best[:, 2:4] / 2
    out[: len(best), 4] = best[:, 4]
    out[: len(best), 6:] = best[:, 5:]
    return out


def build(said: Floats, dtype: str = "float32", *, channels_first: bool = False) -> bytes:
    """Build a network with these outputs."""
    stored, quantisation = quantise(said[None], dtype)
    sides = (SIZE.height, SIZE.width)
    picture = (1, 3, *sides) if channels_first else (1, *sides, 3)
    return networks.build(picture, [("Identity", stored, quantisation)], dtype="float32")


def run(said: Floats, dtype: str = "float32", *, channels_first: bool = False) -> Outputs:
    """Build a network with these outputs and run it."""
    content = build(said, dtype, channels_first=channels_first)
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
    # Relative positions in 8 bits have steps of more than a pixel.
    pixel_tolerance = 2.0

    def crowded(self) -> Outputs:
        return run(in_parts(rows(TWO, (0.9, 0.8))).T, "int8")

    def empty(self) -> Outputs:
        return run(in_parts(rows(TWO[:0], ())).T, "int8")


class TestYoloRowsFirst(TestYoloInParts):
    def crowded(self) -> Outputs:
        return run(in_parts(rows(TWO, (0.9, 0.8))))


class TestYoloKeypointsInPixels(TestYoloInParts):
    """Boxes relative to the input, keypoints in pixels."""

    def crowded(self) -> Outputs:
        return run(in_parts(rows(TWO, (0.9, 0.8)), points=False).T)

    def empty(self) -> Outputs:
        return run(in_parts(rows(TWO[:0], ()), points=False).T)


class TestYoloBoxesInPixels(TestYoloInParts):
    """Boxes in pixels, keypoints relative to the input, rows first."""

    def crowded(self) -> Outputs:
        return run(in_parts(rows(TWO, (0.9, 0.8)), boxes=False))

    def empty(self) -> Outputs:
        return run(in_parts(rows(TWO[:0], ()), boxes=False))


class TestYoloPictureWithChannelsFirst(TestYoloInParts):
    def crowded(self) -> Outputs:
        return run(in_parts(rows(TWO, (0.9, 0.8))).T, channels_first=True)

    def empty(self) -> Outputs:
        return run(in_parts(rows(TWO[:0], ())).T, channels_first=True)


class TestYoloSortedOut(TestYoloInParts):
    """Output [1, 300, 57] of a network with built-in NMS, in relative units."""

    def crowded(self) -> Outputs:
        return run(sorted_out(in_parts(rows(TWO, (0.9, 0.8)))))

    def empty(self) -> Outputs:
        return run(sorted_out(rows(TWO[:0], ())))


class TestYoloSortedOutInPixels(TestYoloSortedOut):
    def crowded(self) -> Outputs:
        return run(sorted_out(rows(TWO, (0.9, 0.8)), 100), channels_first=True)


UNITS = [(boxes, points) for boxes in (True, False) for points in (True, False)]


@pytest.mark.parametrize(("boxes", "points"), UNITS)
@pytest.mark.parametrize("places", [(90, 120), (35, 75), (290, 170)])
@pytest.mark.parametrize("already", [True, False])
def test_units_are_told_by_a_single_person(
    boxes: bool, points: bool, places: tuple[int, int], already: bool
) -> None:
    """The unit is recognised from one person, also near the corner with small pixel values."""
    person = np.array([stand(*places)])
    said = in_parts(rows(person, (0.5,)), boxes=boxes, points=points)

    (found,) = find(run(sorted_out(said) if already else said.T))

    assert np.abs(found.keypoints[:, :2] - person[0]).max() < 0.5
    low, high = person[0].min(axis=0), person[0].max(axis=0)
    assert found.box == pytest.approx((*low, *(high - low)), abs=0.5)


@pytest.mark.parametrize("outside", [-3.0, 2.5, 9.0])
def test_a_keypoint_far_outside_does_not_tell_the_unit(outside: float) -> None:
    """Joints cut off by the picture's edge do not affect the recognised unit."""
    said = in_parts(rows(TWO, (0.9, 0.8)))
    said[:, 5 + 3 * 15] = said[:, 5 + 3 * 16] = outside

    people = find(run(said.T))

    assert np.abs(places(people)[:, :15] - TWO[:, :15]).max() < 0.5


def test_people_who_are_sorted_out_are_not_suppressed_again() -> None:
    """No NMS is applied to the output of a network with built-in NMS."""
    close = np.array([stand(120, 120), stand(124, 120)])
    said = np.vstack(
        [sorted_out(in_parts(rows(close[i : i + 1], (s,))))[:1] for i, s in ((0, 0.9), (1, 0.8))]
    )

    assert len(find(run(said))) == 2


@pytest.mark.parametrize("already", [True, False])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_a_scale_that_loses_the_scores_is_refused(already: bool, dtype: str) -> None:
    """8 bits with pixel units lose the scores: ModelError says how to export."""
    said = rows(TWO, (0.9, 0.8))

    with pytest.raises(ModelError, match=r"quantised in steps of \d.*float32.*fractions"):
        decoders.load(build(sorted_out(said) if already else said.T, dtype), "yolo")


def test_a_model_with_channels_first_sees_the_picture(tmp_path: Path) -> None:
    """A model with channels first works from preparation to decoding."""
    path = tmp_path / "yolo.tflite"
    path.write_bytes(build(in_parts(rows(TWO, (0.9, 0.8))).T, channels_first=True))

    estimator = PoseEstimator(path)
    people = estimator.estimate(np.zeros((SIZE.height, SIZE.width, 3), np.uint8))

    assert estimator.engine.info.input_size == SIZE
    assert match(np.array([person.keypoints[:, :2] for person in people]), TWO) < 0.1


def test_it_says_the_box() -> None:
    """Centre and size are converted to a corner and a size, in model pixels."""
    best = find(run(in_parts(rows(TWO, (0.9, 0.8))).T))[0]

    low, high = TWO[0].min(axis=0), TWO[0].max(axis=0)
    assert best.score == pytest.approx(0.9)
    assert best.box == pytest.approx((*low, *(high - low)), abs=0.01)


def test_it_keeps_two_people_whose_boxes_overlap() -> None:
    """NMS keeps people whose boxes overlap only partly."""
    close = np.array([stand(120, 120), stand(155, 120)])

    people = find(run(in_parts(rows(close, (0.9, 0.8))).T))

    assert match(places(people), close) < 0.05


@pytest.mark.parametrize(
    "shape",
    [
        (1, 6, 56),
        (1, 56, 56),
        (1, 84, 8400),
        (1, 56, 20),
        (2, 56, 8400),
        (1, 1, 17, 3),
        (1, 57, ANCHORS),
        (1, ANCHORS, 57),
        (1, 57, 57),
    ],
)
def test_it_is_only_taken_for_what_it_is(shape: tuple[int, ...]) -> None:
    """MoveNet's six rows, 84 detector channels and ambiguous shapes are not recognised."""
    model = ModelInfo(
        "m",
        (TensorInfo("image", (1, 256, 320, 3), "float32"),),
        (TensorInfo("out", shape, "float32"),),
    )

    assert YoloPoseDecoder.recognise(model) is None


def test_it_takes_pictures_from_0_to_1() -> None:
    """Black is 0 and white 1, also for integer inputs."""
    model = run(in_parts(rows(TWO, (0.9, 0.8))).T).model
    quantised = replace(model.inputs[0], dtype="int8", quantisation=Quantisation(1 / 255, -128))

    for picture in (model.inputs[0], quantised):
        pixels = decoders.recognise(replace(model, inputs=(picture,))).pixels
        assert pixels.shift == (0, 0, 0)
        assert 255 * pixels.scale == pytest.approx(1)


@pytest.mark.parametrize("parts", [True, False])
@pytest.mark.parametrize(
    "shape", [(1, 57, 300), (57, 300), (300, 57), (1, 1, 300, 57), (1, 1, 57, 300)]
)
def test_sorted_out_exports_of_any_layout_are_decoded(shape: tuple[int, ...], parts: bool) -> None:
    """Rows may come first or last, with no, one or two leading dimensions."""
    said = rows(TWO, (0.9, 0.8))
    people = sorted_out(in_parts(said) if parts else said)
    stored = np.ascontiguousarray(people.T if shape[-1] == 300 else people).reshape(shape)
    content = networks.build(
        (1, SIZE.height, SIZE.width, 3), [("Identity", stored, None)], dtype="float32"
    )
    loaded = decoders.load(content, "yolo")

    found = loaded.decoder.decode(Outputs(loaded.model, (stored,)), Limits())

    assert match(places(found), TWO) < 1


@pytest.mark.parametrize("seen", [1, 2, 5])
def test_keypoints_that_are_not_seen_do_not_tell_the_unit(seen: int) -> None:
    """Keypoints at 0, as some exporters write hidden ones, do not affect the unit."""
    said = rows(TWO, (0.9, 0.8))
    hidden = np.zeros_like(said)
    hidden[:, :5] = said[:, :5]
    hidden[:, 5 : 5 + 3 * seen] = said[:, 5 : 5 + 3 * seen]

    for table in (hidden, in_parts(hidden), in_parts(hidden, points=False)):
        found = find(run(table.T))

        best = np.abs(found[0].keypoints[:seen, :2] - TWO[0][:seen]).max()
        assert best < 5


def test_numbers_that_are_none_are_no_keypoints() -> None:
    """NaN and infinity, such as overflows of half precision, are not returned."""
    said = rows(TWO, (0.9, 0.8))
    said[0, 5:8] = np.nan
    said[0, 8:11] = np.inf

    found = find(run(said.T))

    assert all(np.isfinite(person.keypoints).all() for person in found)


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ([(1, 84, ANCHORS)], "84 numbers a box, so it finds objects without keypoints"),
        ([(1, 300, 6)], "finds objects without keypoints"),
        ([(1, 39, ANCHORS)], "keypoints have no visibility"),
        ([(1, 68, ANCHORS)], "68 numbers a person, such as of 21 keypoints"),
        ([(1, ANCHORS, 57)], "two classes"),
        ([(1, 300, 4), (1, 300), (1, 300, 51)], "in separate outputs"),
        ([(1, 300, 69)], "69 numbers a person, such as of 21 keypoints"),
    ],
)
def test_a_near_miss_is_refused_with_its_reason(shapes: list[tuple[int, ...]], reason: str) -> None:
    """The error has the reason, and the export command."""
    outputs = [(f"o{i}", np.zeros(shape, np.float32), None) for i, shape in enumerate(shapes)]
    content = networks.build((1, SIZE.height, SIZE.width, 3), outputs, dtype="float32")

    with pytest.raises(ModelError, match=f"{reason}.*yolo export"):
        decoders.load(content, "yolo")
