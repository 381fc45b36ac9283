"""Decoder of MoveNet: single-person, multi-person (six) and single-person heads.

All three outputs give joints as fractions of the input, in the order ``y, x``. Input
pixels are 0 to 255, without normalisation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from edgepose.errors import ModelError
from edgepose.models.info import ModelInfo, Outputs, TensorInfo
from edgepose.pose.decoders import Limits, Pixels
from edgepose.skeleton import JOINTS
from edgepose.types import Box, Floats, ModelPose, Size

NEARNESS: Final = 1.8
"""Cells added to a distance before dividing by it, as in the published network's graph."""

REACH: Final = 2
"""Cells on each side of the joint's cell that are averaged where offsets have 8 bits."""

PIXELS: Final = Pixels(1.0, (0.0, 0.0, 0.0))

Form = Literal["single", "multi", "heads"]


class MoveNetHeads(NamedTuple):
    """Output indices of a network that ends at its heads."""

    center: int
    heatmap: int
    regress: int
    offset: int


@dataclass(frozen=True, slots=True)
class MoveNetDecoder:
    """Decoder of MoveNet Lightning, Thunder and MultiPose."""

    form: Form
    heads: MoveNetHeads | None = None
    pixels: Pixels = PIXELS

    @property
    def family(self) -> str:
        """Display name."""
        return "movenet multi" if self.form == "multi" else "movenet single"

    @property
    def people(self) -> int:
        """Maximum number of people per inference."""
        return 6 if self.form == "multi" else 1

    @property
    def min_pose_score(self) -> float:
        """Minimum score of a person; the networks' scores are on different scales."""
        return 0.15 if self.form == "multi" else 0.25

    @classmethod
    def recognise(cls, model: ModelInfo) -> Self | None:
        """Return a decoder for [1, 1, 17, 3], [1, 6, 56], or heads of 1, 17, 34 and 34 channels.

        Raises
        ------
        ModelError
            If the names do not distinguish the two heads of 34 channels.
        """
        shapes = [tensor.shape for tensor in model.outputs]
        pixels = choose_pixels(model.inputs[0])
        if shapes == [(1, 1, JOINTS, 3)]:
            return cls("single", pixels=pixels)
        if shapes == [(1, 6, 3 * JOINTS + 5)]:
            return cls("multi", pixels=pixels)
        channels = [shape[3] if len(shape) == 4 else 0 for shape in shapes]
        if sorted(channels) != [1, 17, 34, 34] or len({shape[:3] for shape in shapes}) > 1:
            return None
        return cls("heads", find_heads(model, channels), pixels)

    def decode(self, outputs: Outputs, limits: Limits) -> list[ModelPose]:
        """Return people in model pixels, best first."""
        size = outputs.model.input_size
        if self.heads is not None:
            arrays = (outputs.real(index)[0] for index in self.heads)
            coarse = outputs.model.outputs[self.heads.offset].quantisation is not None
            people = [decode_single(decode_heads(*arrays, average=coarse), size)]
        elif self.form == "single":
            people = [decode_single(outputs.real(0).reshape(JOINTS, 3), size)]
        else:
            people = decode_multi(outputs.real(0)[0], size)
        people = [person for person in people if person.score >= limits.least]
        return people[: limits.max_people]


def choose_pixels(picture: TensorInfo) -> Pixels:
    """Return a normalisation that keeps bytes unchanged, whatever scale a converter wrote."""
    if picture.quantisation is None or picture.dtype not in {"uint8", "int8"}:
        return PIXELS
    scale, zero_point = picture.quantisation
    black = (0 if picture.dtype == "uint8" else -128) - zero_point
    return Pixels(scale, (black * scale,) * 3)


def find_heads(model: ModelInfo, channels: Sequence[int]) -> MoveNetHeads:
    """Return the indices of the heads; the two with 34 channels differ in their names only."""
    pair = [index for index, count in enumerate(channels) if count == 34]
    for names in (
        [model.outputs[index].signature.lower() for index in pair],
        [model.outputs[index].name.lower() for index in pair],
    ):
        regress, offset = (
            ["regress" in name for name in names],
            ["offset" in name for name in names],
        )
        if sorted(regress) == sorted(offset) == [False, True] and regress != offset:
            return MoveNetHeads(
                channels.index(1),
                channels.index(17),
                pair[regress.index(True)],
                pair[offset.index(True)],
            )
    found = " and ".join(repr(model.outputs[index].name) for index in pair)
    msg = (
        f"model {model.name}: two outputs of 34 channels are called {found}; expected 'regress' in"
        " one name and 'offset' in the other; convert the model again with named outputs"
    )
    raise ModelError(msg)


def decode_single(parts: Floats, size: Size) -> ModelPose:
    """Return the one person, scored by the mean of all joints.

    Parameters
    ----------
    parts : (17, 3)
        y and x as fractions of the input, and score.
    size : Size
        The input, in model pixels.

    Notes
    -----
    The network always returns 17 joints. tfjs takes the mean of the joints above 0.2, which
    can hardly be low: a few joints seen in an image without people are enough.
    """
    keypoints = to_pixels(parts, size)
    return ModelPose(keypoints, float(keypoints[:, 2].mean()))


def decode_multi(rows: Floats, size: Size) -> list[ModelPose]:
    """Return all people, ranked by the network's score of the box.

    Parameters
    ----------
    rows : (6, 56)
        17 times y, x, score; then the box: ymin, xmin, ymax, xmax, score. All but
        the scores are fractions of the input including its padding.
    size : Size
        The input, in model pixels.
    """
    ranked = rows[np.argsort(-rows[:, 55], kind="stable")]
    keypoints = to_pixels(ranked[:, : 3 * JOINTS].reshape(-1, JOINTS, 3), size)
    corners = ranked[:, 3 * JOINTS : -1] * np.array([*size[::-1], *size[::-1]], np.float32)
    scores = np.clip(ranked[:, -1], 0, 1)
    return [
        ModelPose(points, score, Box(left, top, right - left, bottom - top))
        for points, score, (top, left, bottom, right) in zip(
            keypoints, scores.tolist(), corners.tolist(), strict=True
        )
    ]


def to_pixels(parts: Floats, size: Size) -> Floats:
    """Convert ``y, x, score`` in fractions of the input to ``x, y, score`` in model pixels.

    As in tfjs. It is undocumented whether a fraction of 0 is the centre or the left edge
    of the first pixel. By comparison of images with their mirror images, the correct
    position is 0.1 (Thunder) to 0.25 (Lightning) pixels to the left of this result.
    """
    keypoints = np.empty_like(parts, dtype=np.float32)
    keypoints[..., 0] = parts[..., 1] * size.width
    keypoints[..., 1] = parts[..., 0] * size.height
    keypoints[..., 2] = np.clip(parts[..., 2], 0, 1)
    return keypoints


def decode_heads(
    center: Floats, heatmap: Floats, regress: Floats, offset: Floats, *, average: bool = False
) -> Floats:
    """Return the joints of one person, as the full network computes them from its heads.

    Parameters
    ----------
    center : (H, W, 1)
        Score of a person's centre in each cell.
    heatmap : (H, W, 17)
        Score of each joint in each cell.
    regress : (H, W, 34)
        Coarse vector from the centre to each joint: 17 times y, x in cells.
    offset : (H, W, 34)
        Vector from a cell to the joint in it: 17 times y, x in cells.
    average : bool
        Average the joint positions given by the cells around the joint's cell, since
        offsets of 8 bits are coarse.

    Returns
    -------
    (17, 3)
        y and x as fractions of the input, and score.

    Notes
    -----
    Selects the person by the centre score, weighted by the distance to the image centre;
    then the cell of each joint by the heatmap, weighted by the distance to the position
    that `regress` predicts.
    """
    height, width = heatmap.shape[:2]
    rows, columns = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    middle = distance(rows, columns, np.array([[height / 2, width / 2]]))
    person = (center / (middle + NEARNESS)).argmax()
    row, column = np.divmod(person, width)

    expected = regress[row, column].reshape(JOINTS, 2) + np.array([row, column])
    likely = heatmap / (distance(rows, columns, expected) + NEARNESS)
    y, x = np.divmod(likely.reshape(-1, JOINTS).argmax(axis=0), width)
    joint = np.arange(JOINTS)
    offsets = offset.reshape(height, width, JOINTS, 2)
    if average:
        found = mean_place(offsets, heatmap, y, x)
    else:
        found = offsets[y, x, joint] + np.stack([y, x], axis=1)
    parts = found / (height, width)
    return np.column_stack([parts, heatmap[y, x, joint]]).astype(np.float32)


def mean_place(
    offsets: Floats, heatmap: Floats, y: NDArray[np.int64], x: NDArray[np.int64]
) -> Floats:
    """Return joint positions (17, 2), averaged over neighbouring cells by squared heatmap.

    Parameters
    ----------
    offsets : (H, W, 17, 2)
        Vector from each cell to each joint: y, x in cells.
    heatmap : (H, W, 17)
        Scores of the joints.
    y, x : (17,)
        Cells of the joints.

    Notes
    -----
    The network is trained on the offset in the joint's own cell only, but the offsets of
    neighbouring cells point to the joint too: one cell away, the offset is 0.9 cells longer.
    """
    height, width = heatmap.shape[:2]
    reach = np.arange(-REACH, REACH + 1)
    rows, columns = np.broadcast_arrays(
        np.clip(y[:, None, None] + reach[:, None], 0, height - 1),
        np.clip(x[:, None, None] + reach, 0, width - 1),
    )
    joint = np.arange(JOINTS)[:, None, None]
    weight = heatmap[rows, columns, joint] ** 2 + np.float32(1e-9)
    places = offsets[rows, columns, joint] + np.stack([rows, columns], axis=-1)
    total = (places * weight[..., None]).sum(axis=(1, 2))
    return np.asarray(total / weight.sum(axis=(1, 2))[:, None], np.float32)


def distance(rows: Floats, columns: Floats, points: NDArray[np.floating]) -> Floats:
    """Return the distance (H, W, N) of each cell from each of (N, 2) points ``y, x``."""
    y = rows[:, None] - points[:, 0].astype(np.float32)
    x = columns[:, None] - points[:, 1].astype(np.float32)
    return np.asarray(np.sqrt(y[:, None] ** 2 + x[None] ** 2))
