"""PoseNet: heat maps, short offsets and displacements on a grid, to people.

Grid cells lie `stride` model pixels apart, the first on the first pixel's centre.
Inside this module positions are rows ``y, x`` in grid cells, until they leave it
as ``x, y`` in model pixels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from edgepose.errors import ModelError
from edgepose.models.info import ModelInfo, Outputs, TensorInfo
from edgepose.pose.decoders import MIN_POSE_SCORE, Limits, Pixels
from edgepose.skeleton import (
    JOINTS,
    LEFT_ANKLE,
    LEFT_EAR,
    LEFT_ELBOW,
    LEFT_EYE,
    LEFT_HIP,
    LEFT_KNEE,
    LEFT_SHOULDER,
    LEFT_WRIST,
    NOSE,
    RIGHT_ANKLE,
    RIGHT_EAR,
    RIGHT_ELBOW,
    RIGHT_EYE,
    RIGHT_HIP,
    RIGHT_KNEE,
    RIGHT_SHOULDER,
    RIGHT_WRIST,
)
from edgepose.types import Floats, ModelPose, Size

Indices = NDArray[np.intp]

EDGES: Final = (
    (NOSE, LEFT_EYE),
    (LEFT_EYE, LEFT_EAR),
    (NOSE, RIGHT_EYE),
    (RIGHT_EYE, RIGHT_EAR),
    (NOSE, LEFT_SHOULDER),
    (LEFT_SHOULDER, LEFT_ELBOW),
    (LEFT_ELBOW, LEFT_WRIST),
    (LEFT_SHOULDER, LEFT_HIP),
    (LEFT_HIP, LEFT_KNEE),
    (LEFT_KNEE, LEFT_ANKLE),
    (NOSE, RIGHT_SHOULDER),
    (RIGHT_SHOULDER, RIGHT_ELBOW),
    (RIGHT_ELBOW, RIGHT_WRIST),
    (RIGHT_SHOULDER, RIGHT_HIP),
    (RIGHT_HIP, RIGHT_KNEE),
    (RIGHT_KNEE, RIGHT_ANKLE),
)
"""Parent and child of each displacement channel; together a tree over all joints."""

STRIDES: Final = (8, 16, 32)
"""What PoseNet is published with."""

REFINEMENT_STEPS: Final = 5
"""Times a joint's place is corrected by the short offset found there; as libcoral."""

ROOTS_AT_ONCE: Final = 96
"""The best joints of ten people nearly always include one of each; a walk from few costs
little less than one from many, a second walk as much again."""

ROOTS_AT_MOST: Final = 1024
"""Sixty people's joints; a network gone mad must not take for ever."""

PIXELS: Final = Pixels(1 / 127.5, (-1.0, -1.0, -1.0))
"""What the MobileNet networks were trained with: -1 for black, 1 for white."""


@dataclass(frozen=True, slots=True)
class PoseNetOptions:
    """How people are told apart; the values in Coral's files."""

    stride: int | None = None
    """Model pixels between grid cells; None: from the sizes of picture and grid."""

    score_threshold: float = 0.2
    """Least score of a joint to start a person from, and of a person."""

    nms_radius_px: float = 10.0
    """The same joint of two people is farther apart than this, in model pixels."""

    max_detections: int = 20
    """Most people in one picture."""


class PoseNetHeads(NamedTuple):
    """Which output is which, and how displacements lie in them."""

    heatmap: int
    short_offset: int
    displacements: tuple[int, ...]
    """One output of 64 channels; or two of 32, forward and backward."""


@dataclass(frozen=True, slots=True)
class PoseNetDecoder:
    """Decodes every PoseNet: float or quantised, one or two displacement outputs."""

    heads: PoseNetHeads
    pixels: Pixels = PIXELS
    options: PoseNetOptions = PoseNetOptions()
    family: str = "posenet"
    min_pose_score: float = MIN_POSE_SCORE

    @property
    def people(self) -> int:
        """The most people it looks for."""
        return self.options.max_detections

    @classmethod
    def recognise(cls, model: ModelInfo) -> Self | None:
        """Return a decoder for outputs of 17, 34 and 64 (or 32 and 32) channels.

        Raises
        ------
        ModelError
            When it is a PoseNet, but one that cannot be decoded without guessing.
        """
        grids = [list(t.shape[1:3]) for t in model.outputs if len(t.shape) == 4]
        channels = [t.shape[3] if len(t.shape) == 4 else 0 for t in model.outputs]
        if sorted(channels) not in ([17, 34, 64], [17, 32, 32, 34]):
            return None
        if any(grid != grids[0] for grid in grids):
            return None
        check_numbers(model)
        heads = PoseNetHeads(
            channels.index(17), channels.index(34), find_displacements(model, channels)
        )
        decoder = cls(heads, choose_pixels(model.inputs[0]))
        if min(*grids[0], *model.input_size) > 0:
            find_stride(model, Size(grids[0][1], grids[0][0]))
        return decoder

    def with_options(self, options: PoseNetOptions) -> Self:
        """Return the same decoder with other options."""
        return replace(self, options=options)

    def decode(self, outputs: Outputs, limits: Limits) -> list[ModelPose]:
        """Return people in model pixels, best first."""
        heatmap = outputs.real(self.heads.heatmap)[0]
        short_offset = outputs.real(self.heads.short_offset)[0]
        height, width = heatmap.shape[:2]
        stride = self.options.stride or find_stride(outputs.model, Size(width, height))
        if limits.single:
            people = [decode_single(heatmap, short_offset, output_stride=stride)]
        else:
            people = decode_multi(
                heatmap,
                short_offset,
                self.displacements(outputs),
                output_stride=stride,
                options=self.options,
            )
        people = [person for person in people if person.score >= limits.least]
        return people[: limits.max_people]

    def displacements(self, outputs: Outputs) -> Floats:
        """Return the displacements as (H, W, 64): forward y, x, backward y, x."""
        parts = [outputs.real(index)[0] for index in self.heads.displacements]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def check_numbers(model: ModelInfo) -> None:
    """Refuse outputs whose whole numbers have no scale, or of other types."""
    for tensor in model.outputs:
        real = tensor.dtype == "float32"
        if real or (tensor.dtype in {"uint8", "int8"} and tensor.quantisation):
            continue
        msg = (
            f"model {model.name}: output {tensor.name} is {tensor.dtype} with"
            f" {tensor.quantisation or 'no scale'}; expected float32, or uint8 or int8 with a"
            " scale; convert the model again"
        )
        raise ModelError(msg)


def find_displacements(model: ModelInfo, channels: Sequence[int]) -> tuple[int, ...]:
    """Return which outputs are the displacements, forward before backward.

    Neither shape, order nor size tells two of 32 channels apart; only a name does.
    """
    if 64 in channels:
        return (channels.index(64),)
    pair = [index for index, count in enumerate(channels) if count == 32]
    for names in (
        [model.outputs[index].signature.lower() for index in pair],
        [model.outputs[index].name.lower() for index in pair],
    ):
        forward = ["fwd" in name or "forward" in name for name in names]
        backward = ["bwd" in name or "backward" in name for name in names]
        if sorted(forward) == sorted(backward) == [False, True] and forward != backward:
            return (pair[forward.index(True)], pair[backward.index(True)])
    found = " and ".join(repr(model.outputs[index].name) for index in pair)
    msg = (
        f"model {model.name}: two displacement outputs are called {found}; expected 'fwd' in one"
        " name and 'bwd' in the other, as nothing else tells them apart; convert the model again"
        " with named outputs or a signature"
    )
    raise ModelError(msg)


def choose_pixels(picture: TensorInfo) -> Pixels:
    """Return how to feed a picture: bytes as they are where the model was made for that.

    Coral's files say scale 1/128 and zero point 128: bytes, though not quite the
    ``(p - 127.5) / 127.5`` of the float networks.
    """
    quantisation = picture.quantisation
    if quantisation is None or picture.dtype not in {"uint8", "int8"}:
        return PIXELS
    scale, zero_point = quantisation
    black = (0 if picture.dtype == "uint8" else -128) - zero_point
    fed = Pixels(scale, (black * scale,) * 3)
    ends = fed.shift[0], 255 * fed.scale + fed.shift[0]
    return fed if max(abs(ends[0] + 1), abs(ends[1] - 1)) < 2 * scale else PIXELS


def find_stride(model: ModelInfo, grid: Size) -> int:
    """Return the model pixels between grid cells, from the sizes of picture and grid.

    Usually ``size = (grid - 1) * stride + 1``; networks that pad inside differ by up
    to a cell, so the nearest stride PoseNet is published with is taken.

    Raises
    ------
    ModelError
        When the two sides disagree, or none is near.
    """
    picture = model.input_size
    sides = [
        (size - 1) / (cells - 1) for size, cells in zip(picture, grid, strict=True) if cells > 1
    ]
    nearest = {min(STRIDES, key=lambda stride: abs(log(max(side, 1) / stride))) for side in sides}
    if len(nearest) == 1:
        stride = nearest.pop()
        if all(abs(side / stride - 1) < 0.25 for side in sides):
            return stride
    msg = (
        f"model {model.name}: a picture of {picture.width} x {picture.height} gives a grid of"
        f" {grid.width} x {grid.height}; expected one cell every {STRIDES} pixels;"
        " choose another input size"
    )
    raise ModelError(msg)


def sigmoid(logits: NDArray[Any]) -> NDArray[Any]:
    """Return ``1 / (1 + exp(-x))`` without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -logits)))


def decode_single(heatmap: Floats, short_offset: Floats, *, output_stride: int) -> ModelPose:
    """Take the strongest grid cell of each keypoint and refine it by its offset.

    Parameters
    ----------
    heatmap : (H, W, 17)
        Logits of each keypoint, one cell every `output_stride` model pixels.
    short_offset : (H, W, 34)
        Vector from a cell to the keypoint, in model pixels: y in channels 0 to
        16, x in channels 17 to 33.
    output_stride : int
        Model pixels between neighbouring cells.

    Returns
    -------
    ModelPose
        Keypoints in model pixels, scored by the sigmoid of their logit; the
        person's score is their mean.

    Notes
    -----
    ``position = cell * output_stride + short_offset[cell]`` [1]_. Keypoints of
    two people are merged into one: use `decode_multi` unless there can be only
    one.

    References
    ----------
    .. [1] Papandreou et al., "PersonLab", ECCV 2018, arXiv:1803.08225
    """
    width = heatmap.shape[1]
    joint = np.arange(JOINTS)
    row, column = np.divmod(heatmap.reshape(-1, JOINTS).argmax(axis=0), width)

    x = column * output_stride + short_offset[row, column, joint + JOINTS]
    y = row * output_stride + short_offset[row, column, joint]
    score = sigmoid(heatmap[row, column, joint])
    keypoints = np.stack([x, y, score], axis=1).astype(np.float32)
    return ModelPose(keypoints, float(score.mean()))


def decode_multi(
    heatmap: Floats,
    short_offset: Floats,
    displacement: Floats,
    *,
    output_stride: int,
    options: PoseNetOptions,
) -> list[ModelPose]:
    """Find people by walking from joint to joint, starting at the strongest joints.

    Parameters
    ----------
    heatmap : (H, W, 17)
        Logits of each joint.
    short_offset : (H, W, 34)
        Vector from a cell to the joint near it, in model pixels: 17 y, then 17 x.
    displacement : (H, W, 64)
        Vector from a joint to its neighbour on each of the 16 edges, in model
        pixels: y and x from parent to child, then y and x from child to parent.
    output_stride : int
        Model pixels between neighbouring cells.
    options : PoseNetOptions
        When two people are one, and when one is none.

    Returns
    -------
    list of ModelPose
        In model pixels, best first. A person's score is the mean of the joints'
        scores, those counted as 0 that lie on the same joint of a better person.

    Notes
    -----
    The method of libcoral's `posenet_decoder.cc` [1]_ with two differences that
    change no result: the joints form a tree, so all starting points are walked
    together, level by level, instead of each by a queue; and where several cells
    score the same, as quantised ones do, the one is first whose person scores best.

    References
    ----------
    .. [1] Papandreou et al., "PersonLab", ECCV 2018, arXiv:1803.08225
    """
    heat, joints = Grid(heatmap), targets(short_offset, output_stride)
    far = Grid(displacement, apart=len(EDGES))
    radius = options.nms_radius_px / output_stride
    roots = find_roots(heatmap, joints, options.score_threshold)
    places: list[Floats] = []
    scores: list[Floats] = []
    while roots.joint.size and len(places) < options.max_detections:
        batch, roots = roots.split(ROOTS_AT_ONCE)
        place = walk(batch, joints, far, output_stride)
        score = read_scores(heat, place)
        accepted = accept(batch, place, score, radius, options.score_threshold)
        accepted = accepted[: options.max_detections - len(places)]
        places += [place[:, index] for index in accepted]
        scores += [score[index] for index in accepted]
        roots = roots.without([place[:, index] for index in accepted], radius)
    if not places:
        return []
    place, score = np.stack(places, axis=1), np.stack(scores)
    total = score_people(place, score, radius)
    points = np.concatenate([place[::-1] * output_stride, score[None]]).transpose(1, 2, 0)
    return [
        ModelPose(points[index], float(total[index]))
        for index in np.argsort(-total, kind="stable")
        if total[index] >= options.score_threshold
    ]


class Grid:
    """Values on the grid that can be read between its cells: scalars, or vectors.

    Parameters
    ----------
    values : (H, W, C)
        A channel each; of vectors the y, and the x `apart` channels further.
    apart : int
        0 for scalars.

    Notes
    -----
    Every operation on these small arrays costs a microsecond before it begins, and
    `at` is called 50 times a picture: hence the care.
    """

    def __init__(self, values: Floats, *, apart: int = 0) -> None:
        height, width, channels = values.shape
        self.values = values.reshape(-1)
        self.steps = np.array([width * channels, channels], dtype=np.float32)
        # A hair within the last cell, so that there is always a next one.
        self.limit = np.nextafter([[height - 1], [width - 1]], 0, dtype=np.float32)
        below, right = (height > 1) * width * channels, (width > 1) * channels
        parts = [0, apart] if apart else [0]
        self.corners = np.array(
            [[corner + part] for corner in (0, right, below, below + right) for part in parts]
        )

    def at(self, place: Floats, channels: Indices) -> Floats:
        """Read at places (2, M) within the grid, linearly between four cells: (parts, M).

        `channels` is a channel for each place plus `corners`.
        """
        cell = np.floor(place)
        y, x = place - cell
        index = (self.steps @ cell).astype(np.intp) + channels
        # `clip` costs less than looking, and keeps a NaN of a mad network from raising.
        upper, lower = self.values.take(index, mode="clip").reshape(2, 2, -1, len(y))
        left, right = upper + (lower - upper) * y
        return np.asarray(left + (right - left) * x)

    def clamp(self, place: Floats) -> Floats:
        """Keep places within the grid."""
        return np.asarray(np.minimum(np.maximum(place, np.float32(0)), self.limit))


def targets(short_offset: Floats, stride: int) -> Grid:
    """Return where each cell says that its joint is: (H, W, 34), 17 y and 17 x in cells.

    Reading a place between the cells is the same as adding the offset read there.
    """
    height, width = short_offset.shape[:2]
    place = short_offset.reshape(height, width, 2, JOINTS) / np.float32(stride)
    place[:, :, 0] += np.arange(height, dtype=np.float32)[:, None, None]
    place[:, :, 1] += np.arange(width, dtype=np.float32)[:, None]
    return Grid(place.reshape(height, width, -1), apart=JOINTS)


class Roots(NamedTuple):
    """Joints to start a person from, best first."""

    logit: Floats
    """(R,): of the cell."""

    joint: Indices
    """(R,)"""

    place: Floats
    """(2, R): y and x in grid cells."""

    def take(self, chosen: Any) -> "Roots":
        """Return some of them."""
        return Roots(self.logit[chosen], self.joint[chosen], self.place[:, chosen])

    def split(self, count: int) -> tuple["Roots", "Roots"]:
        """Return the first few and the rest."""
        return self.take(slice(None, count)), self.take(slice(count, None))

    def without(self, people: Iterable[Floats], radius: float) -> "Roots":
        """Leave out those that are the same joint of someone already found."""
        free = np.ones(self.joint.size, dtype=bool)
        for place in people:
            free &= ~near(place[:, self.joint], self.place, radius)
        return self.take(free)


def near(a: Floats, b: Floats, radius: float) -> NDArray[np.bool_]:
    """Tell which of two sets of places (2, ...) are within a radius of each other."""
    return np.asarray(((a - b) ** 2).sum(axis=0) <= radius**2)


NO_ONE: Final[Floats] = np.empty((2, 0), dtype=np.float32)


def find_roots(heatmap: Floats, joints: Grid, threshold: float) -> Roots:
    """Find the cells that are the strongest of the nine around them, and strong enough."""
    # libcoral adds 1e-6 so that a threshold of 0 stays finite.
    least = np.float32(-log(1 / (threshold + 1e-6) - 1))
    strong = heatmap >= least
    if not strong.any():
        return Roots(NO_ONE[0], NO_ONE[0].astype(np.intp), NO_ONE)
    strong &= heatmap >= highest_around(heatmap)
    row, column, joint = np.nonzero(strong)
    logit = heatmap[row, column, joint]
    order = np.argsort(-logit, kind="stable")[:ROOTS_AT_MOST]
    row, column, joint = row[order], column[order], joint[order]
    cell = (row * heatmap.shape[1] + column) * 2 * JOINTS + joint
    place = joints.values[np.stack([cell, cell + JOINTS])]
    return Roots(logit[order], joint, joints.clamp(place))


def highest_around(heatmap: Floats) -> Floats:
    """Return for each cell the highest value of the nine around it, itself included."""
    rows = heatmap.copy()
    np.maximum(rows[1:], heatmap[:-1], out=rows[1:])
    np.maximum(rows[:-1], heatmap[1:], out=rows[:-1])
    highest = rows.copy()
    np.maximum(highest[:, 1:], rows[:, :-1], out=highest[:, 1:])
    np.maximum(highest[:, :-1], rows[:, 1:], out=highest[:, :-1])
    return highest


def plan(root: int) -> list[tuple[int, int, int, int]]:
    """Return the edges by which all joints are reached from one, nearest first.

    Returns
    -------
    list of tuple
        How many edges from the root, joint already placed, joint to place, and
        the displacement's channel of y among the 64.
    """
    edges = [(parent, child, k) for k, (parent, child) in enumerate(EDGES)]
    edges += [(child, parent, k + 2 * len(EDGES)) for k, (parent, child) in enumerate(EDGES)]
    steps: list[tuple[int, int, int, int]] = []
    away = {root: 0}
    while len(away) < JOINTS:
        front = [edge for edge in edges if edge[0] in away and edge[1] not in away]
        steps += [(away[edge[0]], *edge) for edge in front]
        away |= {edge[1]: away[edge[0]] + 1 for edge in front}
    return steps


PLAN: Final[Indices] = np.array([plan(root) for root in range(JOINTS)])
"""(17, 16, 4): `plan` of each joint."""


def walk(roots: Roots, joints: Grid, displacement: Grid, stride: int) -> Floats:
    """Place all joints of a person for each root: (2, R, 17) in grid cells."""
    count = roots.joint.size
    first = np.arange(count) * JOINTS
    place: Floats = np.empty((2, count * JOINTS), dtype=np.float32)
    place[:, first + roots.joint] = roots.place

    level, source, target, channel = PLAN[roots.joint].reshape(-1, 4).T
    person = np.repeat(first, len(EDGES))
    order = np.argsort(level, kind="stable")
    source, person = (source + person)[order], person[order]
    joint, target = target[order] + joints.corners, (target[order] + person)
    channel = channel[order] + displacement.corners
    ends = np.cumsum(np.bincount(level)).tolist()
    for now in map(slice, [0, *ends[:-1]], ends):
        here = place.take(source[now], axis=1)
        far = displacement.at(here, channel[:, now])
        there = displacement.clamp(here + far / np.float32(stride))
        for _ in range(REFINEMENT_STEPS):
            there = joints.clamp(joints.at(there, joint[:, now]))
        place[:, target[now]] = there
    return place.reshape(2, count, JOINTS)


def read_scores(heatmap: Grid, place: Floats) -> Floats:
    """Return the joints' scores (R, 17) at their places (2, R, 17)."""
    joint = np.tile(np.arange(JOINTS), place.shape[1])
    logits = heatmap.at(place.reshape(2, -1), joint + heatmap.corners)
    return sigmoid(logits).reshape(-1, JOINTS)


def accept(
    roots: Roots, place: Floats, score: Floats, radius: float, threshold: float
) -> list[int]:
    """Return the roots that are people, each person once, by the best of its joints."""
    mean = score.mean(axis=1)
    free = mean >= threshold
    accepted = []
    for index in np.lexsort((-mean, -roots.logit)).tolist():
        if free[index]:
            accepted.append(index)
            free &= ~near(place[:, index, roots.joint], roots.place, radius)
    return accepted


def score_people(place: Floats, score: Floats, radius: float) -> Floats:
    """Return each person's mean score (P,); what is doubled of a better one counts 0."""
    mean = score.mean(axis=1)
    better = mean[:, None] < mean
    equal = (mean[:, None] == mean) & np.tri(len(mean), k=-1, dtype=bool)
    doubled = near(place[:, :, None], place[:, None], radius)
    hidden = (doubled & (better | equal)[:, :, None]).any(axis=1)
    return np.asarray(np.where(hidden, 0, score).mean(axis=1))
