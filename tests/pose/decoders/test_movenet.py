"""MoveNet's three output forms, decoded and compared with encoded people."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from edgepose.errors import ModelError
from edgepose.models.info import ModelInfo, Outputs, Quantisation, TensorInfo
from edgepose.pose import decoders
from edgepose.pose.decoders import Limits, Pixels
from edgepose.pose.decoders.movenet import MoveNetDecoder, mean_place
from edgepose.skeleton import JOINTS
from edgepose.types import Floats, Size
from tests.support.contracts.decoder import DecoderContract, match
from tests.support.posenet_truth import quantise, stand

SQUARE = Size(192, 192)
WIDE = Size(320, 256)
ONE = stand(110, 95, scale=0.9)[None]
TWO = np.array([stand(90, 120), stand(210, 130, scale=1.2)])


def as_parts(people: Floats, scores: Floats, size: Size) -> Floats:
    """Return (P, 17, 3): y, x relative to the input, and score."""
    return np.stack(
        [people[..., 1] / size.height, people[..., 0] / size.width, scores], axis=2
    ).astype(np.float32)


def say(size: Size, *heads: tuple[str, Floats], dtype: str = "float32") -> Outputs:
    """Return outputs of a network with byte input."""
    stored = [(name, *quantise(values[None], dtype)) for name, values in heads]
    tensors = tuple(TensorInfo(name, v.shape, dtype, scale) for name, v, scale in stored)
    picture = TensorInfo("image", (1, size.height, size.width, 3), "uint8")
    return Outputs(ModelInfo("m", (picture,), tensors), tuple(v for _, v, _ in stored))


def single(people: Floats, scores: Floats) -> Outputs:
    return say(SQUARE, ("keypoints", as_parts(people, scores[None], SQUARE)))


def multi(people: Floats, scores: Floats, size: Size = WIDE) -> Outputs:
    """Return six rows; the box scores are in reverse order of the joint scores."""
    rows = np.zeros((6, 56), dtype=np.float32)
    rows[:, :51] = 0.01
    for row, person, score in zip(rows, people, scores, strict=False):
        joints = np.full(JOINTS, 1 - score, dtype=np.float32)
        parts = as_parts(person[None], joints[None], size)[0]
        row[:51] = parts.reshape(-1)
        row[51:55] = [*parts[:, :2].min(axis=0), *parts[:, :2].max(axis=0)]
        row[55] = score
    return say(size, ("people", rows))


def heads(
    people: Floats, *, order: tuple[int, ...] = (0, 1, 2, 3), dtype: str = "int8", peak: float = 0.9
) -> Outputs:
    """Return the four heads of a 48 x 48 grid on 192 x 192 pixels."""
    cells = np.full((48, 48, 17), 0.02, dtype=np.float32)
    center = np.full((48, 48, 1), 0.02, dtype=np.float32)
    regress = np.zeros((48, 48, JOINTS, 2), dtype=np.float32)
    offset = np.zeros((48, 48, JOINTS, 2), dtype=np.float32)
    joint = np.arange(JOINTS)
    for person in people:
        places = person[:, ::-1] / 4
        row, column = np.floor(places.mean(axis=0)).astype(int)
        center[row, column] = peak
        regress[row, column] = places - (row, column)
        y, x = np.floor(places).astype(int).T
        cells[y, x, joint] = peak
        offset[y, x, joint] = places - np.floor(places)
    named = [
        ("center", center),
        ("heatmap", cells),
        ("regress", regress.reshape(48, 48, 34)),
        ("offset", offset.reshape(48, 48, 34)),
    ]
    return say(SQUARE, *(named[index] for index in order), dtype=dtype)


class TestMoveNetSingle(DecoderContract):
    def crowded(self) -> Outputs:
        return single(ONE, np.full(JOINTS, 0.8, dtype=np.float32))

    def empty(self) -> Outputs:
        return single(ONE, np.linspace(0.02, 0.16, JOINTS).astype(np.float32))

    def truth(self) -> Floats:
        return ONE


class TestMoveNetMulti(DecoderContract):
    def crowded(self) -> Outputs:
        return multi(TWO, np.array([0.6, 0.9]))

    def empty(self) -> Outputs:
        return multi(TWO, np.array([0.05, 0.02]))

    def truth(self) -> Floats:
        return TWO


class TestMoveNetHeads(DecoderContract):
    # Offsets within a cell of 4 pixels, with 8 bits over the range of all offsets.
    pixel_tolerance = 0.1

    def crowded(self) -> Outputs:
        return heads(ONE)

    def empty(self) -> Outputs:
        return heads(ONE, peak=0.1)

    def truth(self) -> Floats:
        return ONE


def test_it_scores_one_person_by_all_joints() -> None:
    """The score is the mean of all joints, so that a few visible joints make no person."""
    scores = np.array([0.9] * 5 + [0.5] * 5 + [0.1] * 7, dtype=np.float32)

    (person,) = decoders.recognise(single(ONE, scores).model).decode(single(ONE, scores), Limits())

    assert person.score == pytest.approx(scores.mean())
    assert person.keypoints[:, 2] == pytest.approx(scores)


def test_it_ranks_people_by_the_score_of_their_box() -> None:
    """The score is the network's own, not the mean of the joints; the box is returned, too."""
    outputs = multi(TWO, np.array([0.6, 0.9]))

    people = decoders.recognise(outputs.model).decode(outputs, Limits())

    assert [person.score for person in people] == pytest.approx([0.9, 0.6])
    assert match(np.array([people[0].keypoints[:, :2]]), TWO[1:]) < 0.01
    box = people[0].box
    assert box is not None
    low, high = TWO[1].min(axis=0), TWO[1].max(axis=0)
    assert (box.x, box.y, box.width, box.height) == pytest.approx((*low, *(high - low)), abs=1e-3)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_it_takes_its_heads_in_any_order(order: tuple[int, ...]) -> None:
    """Heads are recognised by their channels, then by names, in any order."""
    outputs = heads(ONE, order=order)

    people = decoders.recognise(outputs.model).decode(outputs, Limits())

    assert match(np.array([p.keypoints[:, :2] for p in people]), ONE) < 0.1


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
def test_it_takes_heads_of_every_type(dtype: str) -> None:
    """Heads may be float or 8 bits."""
    outputs = heads(ONE, dtype=dtype)

    people = decoders.recognise(outputs.model).decode(outputs, Limits())

    assert match(np.array([p.keypoints[:, :2] for p in people]), ONE) < 0.1


def test_offsets_of_eight_bits_are_averaged_around_the_joint() -> None:
    """Averaging neighbouring 8-bit offsets reduces quantisation noise."""
    rng = np.random.default_rng(11)
    height = width = 48
    y, x = rng.integers(4, 44, (2, JOINTS))
    rows, columns = np.indices((height, width))
    near = (rows[..., None] - y) ** 2 + (columns[..., None] - x) ** 2
    heat = (0.9 * np.exp(-near / 8)).astype(np.float32)
    truth = (np.stack([y, x], axis=1) + rng.uniform(0, 1, (JOINTS, 2))).astype(np.float32)
    offsets = truth - np.stack([rows, columns], axis=-1)[:, :, None]
    noise = rng.normal(0, 0.3, offsets.shape).astype(np.float32)

    averaged = mean_place(offsets + noise, heat, y, x)

    single = np.abs(noise[y, x, np.arange(JOINTS)]).mean()
    assert np.abs(averaged - truth).mean() < 0.5 * single
    assert np.allclose(mean_place(offsets, heat, y, x), truth, atol=1e-4)


def test_only_heads_of_eight_bits_are_averaged() -> None:
    """Float offsets are exact and are not averaged with their neighbours."""
    noisy = heads(ONE, dtype="float32")
    offset = noisy.arrays[3].reshape(48, 48, JOINTS, 2)
    offset[(offset == 0).all(axis=-1)] = 40.0

    (found,) = decoders.recognise(noisy.model).decode(noisy, Limits())

    assert match(found.keypoints[None, :, :2], ONE) < 0.1


def test_it_takes_the_person_in_the_middle() -> None:
    """Of two people with equal scores the one nearer to the centre is found."""
    people = np.array([stand(40, 60, scale=0.5), stand(104, 96, scale=0.5)])

    found = decoders.recognise(heads(people).model).decode(heads(people), Limits())

    assert match(np.array([p.keypoints[:, :2] for p in found]), people[1:]) < 0.15


def test_it_is_not_mistaken_for_posenet() -> None:
    """Two heads of 34 channels and one of 1 are MoveNet's, whatever the model's name."""
    outputs = heads(ONE)

    decoder = decoders.recognise(replace(outputs.model, name="posenet"))

    assert isinstance(decoder, MoveNetDecoder)
    assert decoder.family == "movenet single"
    assert decoder.people == 1


def test_it_refuses_heads_that_nothing_tells_apart() -> None:
    """Ambiguous heads raise ModelError, which says what is missing."""
    model = heads(ONE).model
    nameless = [replace(tensor, name=f"Identity_{i}") for i, tensor in enumerate(model.outputs)]

    with pytest.raises(ModelError, match="expected 'regress' in one name"):
        decoders.recognise(replace(model, outputs=tuple(nameless)))


@pytest.mark.parametrize(
    ("dtype", "quantisation"),
    [
        ("uint8", None),
        ("float32", None),
        ("int32", None),
        ("uint8", Quantisation(1.0, 0)),
        ("uint8", Quantisation(1 / 127.5, 127)),
        ("int8", Quantisation(1.0, -128)),
    ],
)
def test_it_feeds_pixels_as_they_are(dtype: str, quantisation: Quantisation | None) -> None:
    """Pixels are fed as 0 to 255, for every type and scale of the input tensor."""
    model = replace(
        single(ONE, np.full(JOINTS, 0.8)).model,
        inputs=(TensorInfo("image", (1, 192, 192, 3), dtype, quantisation),),
    )

    pixels = decoders.recognise(model).pixels

    scale, zero_point = quantisation or Quantisation(1.0, 0)
    stored = (np.array([0, 255]) * pixels.scale + pixels.shift[0]) / scale + zero_point
    assert stored == pytest.approx([-128, 127] if dtype == "int8" else [0, 255])
    assert decoders.recognise(single(ONE, np.zeros(17)).model).pixels == Pixels(1.0, (0, 0, 0))
