"""PoseNet's outputs, decoded and compared with encoded people."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from edgepose.errors import ModelError
from edgepose.models.info import ModelInfo, Outputs, Quantisation, TensorInfo
from edgepose.pose import decoders
from edgepose.pose.decoders import Limits, Pixels
from edgepose.pose.decoders.posenet import (
    EDGES,
    PLAN,
    REFINEMENT_STEPS,
    Grid,
    PoseNetDecoder,
    PoseNetOptions,
    choose_pixels,
    decode_multi,
    decode_single,
    find_stride,
    score_people,
    sigmoid,
)
from edgepose.skeleton import JOINTS
from edgepose.types import Floats, ModelPose, Size
from tests.support.contracts.decoder import DecoderContract, match
from tests.support.posenet_truth import Scene, as_outputs, crowd, encode, stand

LANDSCAPE, PORTRAIT = Size(31, 23), Size(23, 41)
EVERYBODY = Limits(max_people=20)
OVERLAPPING = Scene(np.array([stand(200, 180), stand(260, 200, scale=1.1)]), LANDSCAPE)


def find(outputs: Outputs, limits: Limits = EVERYBODY) -> list[ModelPose]:
    return decoders.recognise(outputs.model).decode(outputs, limits)


def places(people: list[ModelPose]) -> Floats:
    return np.array([person.keypoints[:, :2] for person in people])


class TestPoseNetFloat(DecoderContract):
    def crowded(self) -> Outputs:
        return as_outputs(OVERLAPPING, order=(0, 1, 2, 3))

    def empty(self) -> Outputs:
        return as_outputs(Scene(np.empty((0, JOINTS, 2), np.float32), LANDSCAPE))

    def truth(self) -> Floats:
        return OVERLAPPING.people


class TestPoseNetQuantised(TestPoseNetFloat):
    # Vectors of up to +-100 pixels in 255 steps: half a step each, and the mean of four.
    pixel_tolerance = 0.5

    def crowded(self) -> Outputs:
        return as_outputs(OVERLAPPING, dtype="uint8")

    def empty(self) -> Outputs:
        return as_outputs(Scene(np.empty((0, JOINTS, 2), np.float32), LANDSCAPE), dtype="uint8")


@pytest.mark.parametrize("grid", [LANDSCAPE, PORTRAIT, Size(41, 31)])
@pytest.mark.parametrize("seed", range(12))
def test_it_gives_random_crowds_back(seed: int, grid: Size) -> None:
    """One to ten people in wide and tall pictures are found once each, within 0.01 pixels."""
    scene = crowd(seed, 1 + seed % 10, grid)

    found = find(as_outputs(scene))

    assert match(places(found), scene.people) < 0.01


@pytest.mark.parametrize(("stride", "grid"), [(8, Size(61, 45)), (16, PORTRAIT), (32, Size(9, 9))])
def test_it_keeps_to_the_stride_of_the_grid(stride: int, grid: Size) -> None:
    """A person is found on finer and coarser grids, including the article's 9 x 9."""
    scene = crowd(5, 1, grid, stride=stride)

    found = find(as_outputs(scene))

    assert match(places(found), scene.people) < 0.02
    single = find(as_outputs(scene), Limits(single=True))
    assert match(places(single), scene.people) < 0.01


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_it_takes_its_heads_in_any_order(order: tuple[int, ...]) -> None:
    """Heads are recognised in any order."""
    assert match(places(find(as_outputs(OVERLAPPING, order=order))), OVERLAPPING.people) < 0.01


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
def test_it_takes_one_displacement_of_64_channels(order: tuple[int, ...], dtype: str) -> None:
    """Coral's single displacement head is decoded in every type."""
    found = find(as_outputs(OVERLAPPING, order=order, dtype=dtype))

    assert match(places(found), OVERLAPPING.people) < 0.5


@pytest.mark.parametrize(
    "names",
    [
        # Names of the article's file, with `BiasAdd`; the tests' own; those of a signature.
        (
            "MobilenetV1/heatmap_2/BiasAdd",
            "MobilenetV1/offset_2/BiasAdd",
            "MobilenetV1/displacement_fwd_2/BiasAdd",
            "MobilenetV1/displacement_bwd_2/BiasAdd",
        ),
        ("a", "b", "Forward", "Backward"),
    ],
)
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2)])
def test_it_tells_forward_from_backward_by_name(
    names: tuple[str, ...], order: tuple[int, ...]
) -> None:
    """Two heads of 32 channels are told apart by their names."""
    found = find(as_outputs(OVERLAPPING, order=order, names=names))

    assert match(places(found), OVERLAPPING.people) < 0.01


def test_it_tells_forward_from_backward_by_signature() -> None:
    """Generic tensor names are resolved by the signature's names."""
    outputs = as_outputs(OVERLAPPING, order=(3, 2, 1, 0))
    tensors = [
        replace(tensor, name=f"PartitionedCall:{index}", signature=tensor.name)
        for index, tensor in enumerate(outputs.model.outputs)
    ]
    named = replace(outputs, model=replace(outputs.model, outputs=tuple(tensors)))

    assert match(places(find(named)), OVERLAPPING.people) < 0.01


@pytest.mark.parametrize(
    "names", [("", "", "x", "y"), ("", "", "fwd_bwd", "z"), ("", "", "fwd", "fwd")]
)
def test_it_refuses_displacements_that_nothing_tells_apart(names: tuple[str, ...]) -> None:
    """Ambiguous displacements raise ModelError, which says what is missing."""
    outputs = as_outputs(OVERLAPPING, order=(0, 1, 2, 3), names=names)

    with pytest.raises(ModelError, match="expected 'fwd' in one name and 'bwd' in the other"):
        decoders.recognise(outputs.model)


def test_it_refuses_whole_numbers_without_a_scale() -> None:
    """Integer heads without a scale raise ModelError."""
    outputs = as_outputs(OVERLAPPING, dtype="uint8")
    bare = [replace(tensor, quantisation=None) for tensor in outputs.model.outputs]

    with pytest.raises(ModelError, match="no scale"):
        decoders.recognise(replace(outputs.model, outputs=tuple(bare)))


def test_it_finds_the_same_after_moving_the_person_by_a_cell() -> None:
    """Moving the person moves the result by the same distance."""
    here = Scene(np.array([stand(150, 170)]), LANDSCAPE)
    there = Scene(here.people + np.float32([160, 16]), LANDSCAPE)

    moved = places(find(as_outputs(there))) - places(find(as_outputs(here)))

    np.testing.assert_allclose(moved, np.broadcast_to((160, 16), moved.shape), atol=0.01)


def test_it_reaches_every_joint_from_every_joint() -> None:
    """From each root, 16 steps reach the other 16 joints, in at most 8 levels."""
    for root, steps in enumerate(PLAN):
        placed = {root}
        for _, source, target, channel in steps.tolist():
            edge, backward = channel % 32, channel >= 32
            assert EDGES[edge][:: -1 if backward else 1] == (source, target)
            assert source in placed
            placed.add(target)
        assert len(placed) == JOINTS
    assert PLAN[:, :, 0].max() == 7


def test_it_counts_a_doubled_person_once() -> None:
    """A second peak within the NMS radius is not another person."""
    scene = Scene(np.array([stand(200, 180)]), LANDSCAPE)
    heatmap, short, forward, backward = encode(scene)
    far = np.concatenate([forward, backward], axis=2)
    row, column = np.unravel_index(heatmap[..., 5].argmax(), heatmap.shape[:2])
    heatmap[row, column + 1, 5] = heatmap[row, column, 5]

    people = decode_multi(heatmap, short, far, output_stride=16, options=PoseNetOptions())

    assert len(people) == 1


def test_it_scores_a_joint_on_a_better_persons_joint_as_nothing() -> None:
    """A joint close to a better person's joint does not count for the score."""
    first, second = stand(10, 10, scale=0.1), stand(16, 10, scale=0.1)
    second[:7] = first[:7] + 0.3
    place = np.stack([second, first])[:, :, ::-1].transpose(2, 0, 1)
    score = np.array([[0.6] * JOINTS, [0.9] * JOINTS], dtype=np.float32)

    total = score_people(place, score, radius=0.625)

    assert total.tolist() == pytest.approx([0.6 * 10 / JOINTS, 0.9])


def test_it_finds_no_more_people_than_its_options_allow() -> None:
    """`max_detections` bounds the number of people, whatever the caller's limit."""
    outputs = as_outputs(crowd(3, 6, Size(41, 31)))
    decoder = decoders.recognise(outputs.model).with_options(PoseNetOptions(max_detections=4))

    assert len(decoder.decode(outputs, EVERYBODY)) == 4
    assert decoder.people == 4


def test_it_walks_again_when_one_walk_did_not_reach_everybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The result does not depend on the number of roots per batch."""
    scene = crowd(8, 8, Size(41, 31))
    at_once = places(find(as_outputs(scene)))
    monkeypatch.setattr("edgepose.pose.decoders.posenet.ROOTS_AT_ONCE", 3)

    in_turn = places(find(as_outputs(scene)))

    assert match(in_turn, at_once) < 0.001


def test_it_does_not_fall_over_a_network_gone_mad() -> None:
    """Constant maximum logits and NaN vectors give no person and no error."""
    width, height = LANDSCAPE
    plateau = np.full((height, width, JOINTS), 8, dtype=np.float32)
    nowhere = np.full((height, width, 34), np.nan, dtype=np.float32)
    nothing = np.zeros((height, width, 64), dtype=np.float32)

    with np.errstate(invalid="ignore"):
        people = decode_multi(plateau, nowhere, nothing, output_stride=16, options=PoseNetOptions())

    assert people == []


@pytest.mark.parametrize(
    ("picture", "grid", "stride"),
    [
        (Size(257, 257), Size(9, 9), 32),
        (Size(257, 257), Size(17, 17), 16),
        (Size(257, 257), Size(33, 33), 8),
        (Size(481, 353), Size(31, 23), 16),
        (Size(1281, 721), Size(81, 46), 16),
        # Networks with internal padding: Coral's ResNets and BodyPix.
        (Size(416, 288), Size(27, 19), 16),
        (Size(768, 496), Size(25, 16), 32),
        (Size(512, 512), Size(33, 33), 16),
    ],
)
def test_it_reads_the_stride_from_picture_and_grid(picture: Size, grid: Size, stride: int) -> None:
    """The stride is correct for all grids of published files."""
    model = ModelInfo("m", (TensorInfo("i", (1, picture.height, picture.width, 3), "float32"),), ())

    assert find_stride(model, grid) == stride


@pytest.mark.parametrize("grid", [Size(31, 9), Size(200, 150), Size(3, 3)])
def test_it_refuses_a_grid_of_no_stride(grid: Size) -> None:
    """A grid whose sides disagree, or with an unusual stride, raises ModelError."""
    model = ModelInfo("m", (TensorInfo("i", (1, 353, 481, 3), "float32"),), ())

    with pytest.raises(ModelError, match="expected one cell every"):
        find_stride(model, grid)


@pytest.mark.parametrize(
    ("dtype", "quantisation", "black", "white"),
    [
        ("float32", None, -1.0, 1.0),
        # Coral's: bytes are fed unchanged.
        ("uint8", Quantisation(1 / 128, 128), -1.0, 127 / 128),
        ("int8", Quantisation(1 / 128, 0), -1.0, 127 / 128),
        # The float network that subtracts 1 itself.
        ("uint8", Quantisation(float(np.float32(1 / 127.5)), 0), 0.0, 2.0),
        # A scale that does not fit unchanged bytes.
        ("uint8", Quantisation(2 / 128, 128), -1.0, 1.0),
    ],
)
def test_it_feeds_what_the_network_was_trained_with(
    dtype: str, quantisation: Quantisation | None, black: float, white: float
) -> None:
    """Black is -1 and white 1, or the values that the file's quantisation gives to bytes."""
    pixels = choose_pixels(TensorInfo("image", (1, 9, 9, 3), dtype, quantisation))

    assert pixels.shift == pytest.approx((black,) * 3)
    assert 255 * pixels.scale + pixels.shift[0] == pytest.approx(white)
    assert choose_pixels(TensorInfo("image", (1, 9, 9, 3), "float32")) == Pixels(
        1 / 127.5, (-1.0, -1.0, -1.0)
    )


class TestTheArticlesMistakes:
    """Errors of the published one-person routines, one test each."""

    def single(self, row: int, column: int, offset: tuple[float, float] = (0, 0)) -> ModelPose:
        heatmap = np.full((9, 9, JOINTS), -6, dtype=np.float32)
        heatmap[row, column] = 3
        short = np.zeros((9, 9, 34), dtype=np.float32)
        short[row, column] = np.repeat(offset, JOINTS)
        return decode_single(heatmap, short, output_stride=32)

    @pytest.mark.parametrize("cell", range(9))
    def test_it_places_a_cell_at_cell_times_stride(self, cell: int) -> None:
        """The position is cell * stride, not cell / 8 * 257, which is a pixel off at the edge."""
        keypoints = self.single(cell, 8 - cell).keypoints

        assert (keypoints[:, 0] == (8 - cell) * 32).all()
        assert (keypoints[:, 1] == cell * 32).all()

    def test_it_keeps_parts_of_a_pixel(self) -> None:
        """Positions are not rounded to integers, which would suppress small movements."""
        keypoints = self.single(3, 4, (0.25, -0.75)).keypoints

        assert (keypoints[:, 1] == 96.25).all()
        assert (keypoints[:, 0] == 127.25).all()

    def test_it_takes_one_of_equal_cells(self) -> None:
        """Only one of several cells with the same maximum is used: quantised heat maps tie."""
        heatmap = np.zeros((9, 9, JOINTS), dtype=np.float32)

        pose = decode_single(heatmap, np.zeros((9, 9, 34), np.float32), output_stride=32)

        assert (pose.keypoints == np.float32([0, 0, 0.5])).all()

    def test_it_takes_rows_for_y_and_columns_for_x(self) -> None:
        """The grid's first axis is y, and so are the first 17 offsets."""
        keypoints = self.single(1, 7, (5, -3)).keypoints

        assert (keypoints[:, :2] == (7 * 32 - 3, 32 + 5)).all()

    def test_it_scores_with_the_sigmoid_of_the_logit(self) -> None:
        """A logit of 0.3 is a score of 0.57."""
        pose = self.single(2, 2)

        assert pose.score == pytest.approx(1 / (1 + np.exp(-3)))
        assert pose.keypoints[:, 2] == pytest.approx(pose.score)

    def test_it_keeps_what_is_outside_the_picture(self) -> None:
        """Positions outside of the picture are neither wrapped nor clamped."""
        keypoints = self.single(0, 8, (-40.5, 33.0)).keypoints

        assert (keypoints[:, 1] == -40.5).all()
        assert (keypoints[:, 0] == 289).all()

    def test_it_can_say_nobody(self) -> None:
        """Weak cells give no person."""
        empty = Scene(np.empty((0, JOINTS, 2), np.float32), Size(9, 9), 32)

        assert find(as_outputs(empty), Limits(single=True)) == []

    def test_it_does_not_merge_two_people(self) -> None:
        """Only `single` merges the strongest joints of two people into one pose."""
        merged = places(find(as_outputs(OVERLAPPING), Limits(single=True)))

        assert len(merged) == 1
        assert len(find(as_outputs(OVERLAPPING))) == 2


def test_it_never_overflows_in_the_sigmoid() -> None:
    """Logits of any magnitude give scores without a warning."""
    with np.errstate(all="raise", under="ignore"):
        scores = sigmoid(np.array([-1e4, -100, 0, 100, 1e4], dtype=np.float32))

    assert scores.tolist() == pytest.approx([0, 0, 0.5, 1, 1])


def test_it_reads_the_backward_edges_behind_the_forward_ones() -> None:
    """Backward edges start at channel 32 of 64 (y and x of 16 edges come first)."""
    scene = Scene(np.array([stand(200, 180)]), LANDSCAPE)
    heatmap, short, forward, backward = encode(scene)
    heatmap[..., :16] = np.minimum(heatmap[..., :16], -2.0)  # the right ankle is the only root

    people = decode_multi(
        heatmap,
        short,
        np.concatenate([forward, backward], axis=2),
        output_stride=16,
        options=PoseNetOptions(score_threshold=0.1),
    )

    assert match(places(people), scene.people) < 0.01


def test_it_is_the_posenet_family() -> None:
    """The family's name is `posenet`."""
    decoder = decoders.recognise(as_outputs(OVERLAPPING).model)

    assert isinstance(decoder, PoseNetDecoder)
    assert decoder.family == "posenet"
    assert decoder.people == 20


def test_it_costs_ten_people_hardly_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """All people are decoded together: array operations depend on the tree's depth only."""
    reads = []
    at = Grid.at
    monkeypatch.setattr(Grid, "at", lambda *args: reads.append(1) or at(*args))
    counts = []
    for people in (1, 10):
        reads.clear()
        assert len(find(as_outputs(crowd(4, people, Size(41, 31))))) == people
        counts.append(len(reads))

    assert counts == [8 * (1 + REFINEMENT_STEPS) + 1] * 2


@pytest.mark.parametrize("shape", [(4, 6), (1, 6), (4, 1), (1, 1)])
def test_it_reads_between_the_cells_and_up_to_the_border(shape: tuple[int, int]) -> None:
    """Bilinear interpolation is exact on a plane, also on a grid with a single row."""
    row, column = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    grid = Grid((3 * row + 5 * column)[..., None])
    place = grid.clamp(np.float32([[-1, 0.25, 1.5, 9], [9, 2.5, 0.125, -1]]))

    read = grid.at(place, np.zeros(4, dtype=np.intp) + grid.corners)

    assert read[0] == pytest.approx(3 * place[0] + 5 * place[1], abs=1e-5)
    assert (place >= 0).all()
    assert (place <= np.array(shape)[:, None] - 1).all()
