"""Decoder of PoseNet: heatmaps, short offsets and displacements to people.

Grid cells are `stride` model pixels apart; the first is at the centre of the first
pixel. Positions inside this module are ``y, x`` in grid cells; returned positions are
``x, y`` in model pixels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isclose, log
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
"""Strides of published PoseNet models."""

REFINEMENT_STEPS: Final = 5
"""Corrections of a joint's position by the short offset there, as in libcoral."""

ROOTS_AT_ONCE: Final = 96
"""Root joints per walk. The 96 best roots nearly always include one of each of ten people,
and the time of a walk hardly depends on the number of roots."""

ROOTS_AT_MOST: Final = 1024
"""Maximum number of root joints, those of sixty people; bounds the time on bad outputs."""

PIXELS: Final = Pixels(1 / 127.5, (-1.0, -1.0, -1.0))
"""Normalisation in training of the MobileNet networks: -1 for black, 1 for white."""


@dataclass(frozen=True, slots=True)
class PoseNetOptions:
    """Options of `decode_multi`; the defaults are those in Coral's files."""

    stride: int | None = None
    """Model pixels between grid cells; None to compute it from the sizes of input and grid."""

    score_threshold: float = 0.2
    """Minimum score of a root joint, and of a person."""

    nms_radius_px: float = 10.0
    """Minimum distance of the same joint of two people, in model pixels."""

    max_detections: int = 20
    """Maximum number of people in one image."""


class PoseNetHeads(NamedTuple):
    """Output indices of the heads."""

    heatmap: int
    short_offset: int
    displacements: tuple[int, ...]
    """One output of 64 channels, or two of 32: forward, backward."""


@dataclass(frozen=True, slots=True)
class PoseNetDecoder:
    """Decoder of PoseNet: float or quantised, with one or two displacement outputs."""

    heads: PoseNetHeads
    pixels: Pixels = PIXELS
    options: PoseNetOptions = PoseNetOptions()
    family: str = "posenet"
    min_pose_score: float = MIN_POSE_SCORE

    @property
    def people(self) -> int:
        """Maximum number of people per inference."""
        return self.options.max_detections

    @classmethod
    def recognise(cls, model: ModelInfo) -> Self | None:
        """Return a decoder for outputs of 17, 34 and 64 (or 32 and 32) channels.

        Raises
        ------
        ModelError
            If it is a PoseNet whose outputs are ambiguous or of unknown scale.
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
        """Return a copy of the decoder with these options."""
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
    """Raise `ModelError` unless each output is float32, or uint8 or int8 with a scale."""
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
    """Return the indices of the displacement outputs, forward before backward.

    Two outputs of 32 channels differ in their names only.
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
        " name and 'bwd' in the other, since nothing else distinguishes them; convert the model"
        " again"
        " with named outputs or a signature"
    )
    raise ModelError(msg)


def choose_pixels(picture: TensorInfo) -> Pixels:
    """Return the normalisation: unchanged bytes if the input's scale is close to `PIXELS`.

    Coral's files declare scale 1/128 and zero point 128, which differs slightly from
    the ``(p - 127.5) / 127.5`` of the float networks. The float network that takes bytes
    declares zero point 0 and subtracts 1 itself.
    """
    quantisation = picture.quantisation
    if quantisation is None or picture.dtype not in {"uint8", "int8"}:
        return PIXELS
    scale, zero_point = quantisation
    black = (0 if picture.dtype == "uint8" else -128) - zero_point
    fed = Pixels(scale, (black * scale,) * 3)
    ends = fed.shift[0], 255 * fed.scale + fed.shift[0]
    shifts_itself = black == 0 and isclose(scale, PIXELS.scale, rel_tol=1e-6)
    is_near = max(abs(ends[0] + 1), abs(ends[1] - 1)) < 2 * scale
    return fed if is_near or shifts_itself else PIXELS


def find_stride(model: ModelInfo, grid: Size) -> int:
    """Return the model pixels between grid cells, from the sizes of input and grid.

    Usually ``size = (grid - 1) * stride + 1``. Networks with internal padding differ by
    up to a cell, so the nearest of `STRIDES` is used.

    Raises
    ------
    ModelError
        If width and height give different strides, or none of `STRIDES` is near.
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
    """Return one person from the highest cell and the short offset of each joint.

    Parameters
    ----------
    heatmap : (H, W, 17)
        Logits of each joint, one cell every `output_stride` model pixels.
    short_offset : (H, W, 34)
        Vector from a cell to the joint, in model pixels: y in channels 0 to
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
    ``position = cell * output_stride + short_offset[cell]`` [1]_. Joints of several
    people are merged into one pose; use `decode_multi` for more than one person.

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
    """Return people, each grown from a strong joint along the displacement vectors.

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
        Thresholds and limits.

    Returns
    -------
    list of ModelPose
        In model pixels, best first. A person's score is the mean of the joints'
        scores; joints that coincide with the same joint of a better person count as 0.

    Notes
    -----
    The method of libcoral's `posenet_decoder.cc` [1]_ with two differences that
    change no result. The joints form a tree, so all roots are walked together, level
    by level, instead of each by a queue. Roots with equal scores, common in quantised
    models, are ordered by the score of their person.

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
    """Bilinear interpolation of scalars or vectors on the grid.

    Parameters
    ----------
    values : (H, W, C)
        Scalars, or vectors with y in one channel and x `apart` channels after it.
    apart : int
        Channels from y to x; 0 for scalars.

    Notes
    -----
    Optimised for few NumPy calls: each costs about a microsecond on these small
    arrays, and `at` is called 50 times per image.
    """

    def __init__(self, values: Floats, *, apart: int = 0) -> None:
        height, width, channels = values.shape
        self.values = values.reshape(-1)
        self.steps = np.array([width * channels, channels], dtype=np.float32)
        # Just below the last cell, so that each position has a next cell.
        self.limit = np.nextafter([[height - 1], [width - 1]], 0, dtype=np.float32)
        below, right = (height > 1) * width * channels, (width > 1) * channels
        parts = [0, apart] if apart else [0]
        self.corners = np.array(
            [[corner + part] for corner in (0, right, below, below + right) for part in parts]
        )

    def at(self, place: Floats, channels: Indices) -> Floats:
        """Interpolate at positions (2, M) within the grid; returns (1 or 2, M).

        `channels` is the channel of each position plus `corners`.
        """
        cell = np.floor(place)
        y, x = place - cell
        index = (self.steps @ cell).astype(np.intp) + channels
        # `clip` is faster than a bounds check, and does not raise on NaN outputs.
        upper, lower = self.values.take(index, mode="clip").reshape(2, 2, -1, len(y))
        left, right = upper + (lower - upper) * y
        return np.asarray(left + (right - left) * x)

    def clamp(self, place: Floats) -> Floats:
        """Return the positions clipped to the grid."""
        return np.asarray(np.minimum(np.maximum(place, np.float32(0)), self.limit))


def targets(short_offset: Floats, stride: int) -> Grid:
    """Return the joint positions given by each cell: (H, W, 34), 17 y and 17 x in cells.

    Interpolating these positions equals adding the interpolated offset to the position.
    """
    height, width = short_offset.shape[:2]
    place = short_offset.reshape(height, width, 2, JOINTS) / np.float32(stride)
    place[:, :, 0] += np.arange(height, dtype=np.float32)[:, None, None]
    place[:, :, 1] += np.arange(width, dtype=np.float32)[:, None]
    return Grid(place.reshape(height, width, -1), apart=JOINTS)


class Roots(NamedTuple):
    """Root joints to grow people from, best first."""

    logit: Floats
    """(R,): logit of the cell."""

    joint: Indices
    """(R,): index of the joint."""

    place: Floats
    """(2, R): y and x in grid cells."""

    def take(self, chosen: Any) -> "Roots":
        """Return the selected roots."""
        return Roots(self.logit[chosen], self.joint[chosen], self.place[:, chosen])

    def split(self, count: int) -> tuple["Roots", "Roots"]:
        """Return the first `count` roots and the rest."""
        return self.take(slice(None, count)), self.take(slice(count, None))

    def without(self, people: Iterable[Floats], radius: float) -> "Roots":
        """Return the roots that do not coincide with the same joint of a found person."""
        free = np.ones(self.joint.size, dtype=bool)
        for place in people:
            free &= ~near(place[:, self.joint], self.place, radius)
        return self.take(free)


def near(a: Floats, b: Floats, radius: float) -> NDArray[np.bool_]:
    """Return whether positions (2, ...) of two sets are within a radius of each other."""
    return np.asarray(((a - b) ** 2).sum(axis=0) <= radius**2)


NO_ONE: Final[Floats] = np.empty((2, 0), dtype=np.float32)


def find_roots(heatmap: Floats, joints: Grid, threshold: float) -> Roots:
    """Return the cells above the threshold that are maximal in their 3 x 3 neighbourhood."""
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
    """Return the maximum of each cell's 3 x 3 neighbourhood."""
    rows = heatmap.copy()
    np.maximum(rows[1:], heatmap[:-1], out=rows[1:])
    np.maximum(rows[:-1], heatmap[1:], out=rows[:-1])
    highest = rows.copy()
    np.maximum(highest[:, 1:], rows[:, :-1], out=highest[:, 1:])
    np.maximum(highest[:, :-1], rows[:, 1:], out=highest[:, :-1])
    return highest


def plan(root: int) -> list[tuple[int, int, int, int]]:
    """Return the edges from one joint to all others, nearest first.

    Returns
    -------
    list of tuple
        Number of edges from the root, source joint, target joint, and the
        displacement's channel of y among the 64.
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
"""(17, 16, 4): the result of `plan` for each joint."""


def walk(roots: Roots, joints: Grid, displacement: Grid, stride: int) -> Floats:
    """Return the positions of all joints for each root: (2, R, 17) in grid cells."""
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
    """Return the joints' scores (R, 17) at their positions (2, R, 17)."""
    joint = np.tile(np.arange(JOINTS), place.shape[1])
    logits = heatmap.at(place.reshape(2, -1), joint + heatmap.corners)
    return sigmoid(logits).reshape(-1, JOINTS)


def accept(
    roots: Roots, place: Floats, score: Floats, radius: float, threshold: float
) -> list[int]:
    """Return the indices of the roots of people, one per person: its best joint."""
    mean = score.mean(axis=1)
    free = mean >= threshold
    accepted = []
    for index in np.lexsort((-mean, -roots.logit)).tolist():
        if free[index]:
            accepted.append(index)
            free &= ~near(place[:, index, roots.joint], roots.place, radius)
    return accepted


def score_people(place: Floats, score: Floats, radius: float) -> Floats:
    """Return each person's mean score (P,); joints shared with a better person count as 0."""
    mean = score.mean(axis=1)
    better = mean[:, None] < mean
    equal = (mean[:, None] == mean) & np.tri(len(mean), k=-1, dtype=bool)
    doubled = near(place[:, :, None], place[:, None], radius)
    hidden = (doubled & (better | equal)[:, :, None]).any(axis=1)
    return np.asarray(np.where(hidden, 0, score).mean(axis=1))
