"""Decoder of YOLO-pose exports: overlapping boxes with keypoints to people."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from edgepose.errors import ModelError
from edgepose.models.info import ModelInfo, Outputs, TensorInfo
from edgepose.pose.decoders import MIN_POSE_SCORE, Limits, Pixels
from edgepose.skeleton import JOINTS
from edgepose.types import Box, Floats, ModelPose, Size

CHANNELS: Final = 5 + 3 * JOINTS
"""Channels: box as centre x, y, width, height; score; 17 times x, y, visibility."""

SORTED_OUT: Final = 6 + 3 * JOINTS
"""Channels of exports with built-in NMS: box as left, top, right, bottom; score; class;
17 times x, y, visibility."""

LEAST_ANCHORS: Final = 21
"""Minimum number of boxes: 16 + 4 + 1 at 32 pixels, the smallest input. Excludes MoveNet's
[1, 6, 56]."""

STRIDES: Final = (8, 16, 32)
"""Pixels per cell of the three grids whose cells are the anchors."""

IOU: Final = 0.7
"""Maximum IoU of the boxes of two people; the exporter's default."""

CANDIDATES_AT_MOST: Final = 300
"""Maximum number of boxes compared by NMS; the exporter's default."""

LARGEST_PART: Final = 2.0
"""Largest value that is read as a fraction of the input, otherwise as pixels. Fractions
slightly exceed 1 for joints outside the image; no person is as small as two pixels."""

MAX_STEP: Final = 0.05
"""Maximum step of a quantised output; leaves 20 different scores. Outputs in fractions
have steps of about 0.005, outputs in pixels of 1 to 3."""

NMS_ROWS: Final = 300
"""People per image of exports with built-in NMS; the exporter's default."""

EXPORT: Final = (
    "export a pose model of people with 17 keypoints, such as with: yolo export"
    " model=yolo11n-pose.pt format=tflite"
)
"""Remedy in error messages: how to export a model that can be decoded."""

PIXELS: Final = Pixels(1 / 255, (0.0, 0.0, 0.0))


@dataclass(frozen=True, slots=True)
class YoloPoseDecoder:
    """Decoder of [1, 56, N], [1, N, 56], [1, 57, N] and [1, N, 57], float or quantised."""

    channels_first: bool
    sorted_out: bool = False
    """Whether the export has built-in NMS."""

    pixels: Pixels = PIXELS
    family: str = "yolo pose"
    people: int | None = None
    min_pose_score: float = MIN_POSE_SCORE

    @classmethod
    def recognise(cls, model: ModelInfo) -> Self | None:
        """Return a decoder for a single output of 56 or 57 channels and many boxes.

        Raises
        ------
        ModelError
            If it is quantised too coarsely for scores.
        """
        if len(model.outputs) != 1 or not has_numbers(model.outputs[0]):
            return None
        table = table_of(model.outputs[0])
        if table is None:
            return None
        before_nms = anchors_of(model.input_size)
        for channels_first in (True, False):
            channels, count = table if channels_first else table[::-1]
            sorted_out = channels == SORTED_OUT and count not in {SORTED_OUT, before_nms}
            if sorted_out or (channels == CHANNELS != count and not 0 <= count < LEAST_ANCHORS):
                check_step(model)
                return cls(channels_first, sorted_out)
        return None

    def decode(self, outputs: Outputs, limits: Limits) -> list[ModelPose]:
        """Return people in model pixels, best first."""
        rows = outputs.real(0)
        rows = rows.reshape(rows.shape[-2:])
        rows = rows.T if self.channels_first else rows
        sure = rows[rows[:, 4] >= max(limits.least, 1e-3)]
        sure = sure[np.argsort(-sure[:, 4], kind="stable")][:CANDIDATES_AT_MOST]
        sure = np.nan_to_num(sure, nan=0.0, posinf=0.0, neginf=0.0)
        if self.sorted_out:
            sure = with_centres(sure)
        sure = in_pixels(sure, outputs.model.input_size)
        kept = slice(None) if self.sorted_out else keep(sure)
        return [to_pose(row) for row in sure[kept][: limits.max_people]]


def has_numbers(tensor: TensorInfo) -> bool:
    """Return whether an output is float32, or integer with a scale."""
    quantised = tensor.dtype in {"uint8", "int8", "int16"} and tensor.quantisation is not None
    return tensor.dtype == "float32" or quantised


def table_of(output: TensorInfo) -> tuple[int, int] | None:
    """Return rows and columns of an output [R, C] with or without leading ones; else None."""
    if len(output.shape) < 2:
        return None
    *ones, rows, columns = output.shape
    return (rows, columns) if set(ones) <= {1} else None


def near_miss(model: ModelInfo) -> str:
    """Return why a YOLO export is refused, and the remedy; empty if it does not look like one."""
    counts = {anchors_of(model.input_size), NMS_ROWS}
    tables = [table for output in model.outputs if (table := table_of(output)) is not None]
    found = [table for table in tables if counts & set(table)]
    if not found:
        return ""
    return f"it looks like a YOLO export, but {_difference(model, found[0])}; {EXPORT}"


def _difference(model: ModelInfo, table: tuple[int, int]) -> str:
    """Return what is different from a YOLO-pose export that can be decoded."""
    if len(model.outputs) > 1:
        return "its boxes and keypoints are in separate outputs"
    number, output = min(table), model.outputs[0]
    if number in {CHANNELS, SORTED_OUT} and not has_numbers(output):
        return f"its output is {output.dtype} without a scale"
    points, rest = divmod(number - (6 if NMS_ROWS in table else 5), 3)
    if number == SORTED_OUT:
        return "it has two classes (expected one: person)"
    if number in {5 + 2 * JOINTS, 6 + 2 * JOINTS}:
        return "its keypoints have no visibility"
    if points > 0 and not rest:
        return (
            f"it has {number} numbers a person, such as of {points} keypoints (expected {JOINTS})"
        )
    return f"it has {number} numbers a box, so it finds objects without keypoints"


def anchors_of(size: Size) -> int:
    """Return the number of boxes before NMS at this input size."""
    return sum((size.width // stride) * (size.height // stride) for stride in STRIDES)


def check_step(model: ModelInfo) -> None:
    """Raise `ModelError` if the output is quantised too coarsely for scores.

    One scale covers scores and coordinates; it is coarse if coordinates are in pixels.
    """
    output = model.outputs[0]
    if output.quantisation is None or output.quantisation.scale <= MAX_STEP:
        return
    msg = (
        f"model {model.name}: its output is quantised in steps of {output.quantisation.scale:.2g},"
        f" too coarse for scores from 0 to 1 (expected at most {MAX_STEP}); export it as float32"
        " or float16, or quantise it with an exporter that writes coordinates as fractions of"
        " the picture"
    )
    raise ModelError(msg)


def with_centres(rows: Floats) -> Floats:
    """Convert (N, 57), box as two corners and a class, to (N, 56), box as centre and size."""
    low, high = rows[:, 0:2], rows[:, 2:4]
    return np.hstack([(low + high) / 2, high - low, rows[:, 4:5], rows[:, 6:]])


def in_pixels(rows: Floats, size: Size) -> Floats:
    """Return (N, 56) with all coordinates in model pixels.

    Boxes and keypoints are in fractions of the input or in pixels, independently of each
    other, depending on the exporter. The file does not declare the unit, so it is derived
    from the values: see `LARGEST_PART`.
    """
    if not rows.size:
        return rows
    scaled = rows.copy()
    if float(rows[:, 2:4].max()) <= LARGEST_PART:
        scaled[:, [0, 2]] *= size.width
        scaled[:, [1, 3]] *= size.height
    # The median, since single keypoints lie far outside the image. Exporters write 0 for those
    # that are not seen.
    furthest = np.maximum(np.abs(rows[:, 5::3]), np.abs(rows[:, 6::3]))
    seen = furthest[furthest > 0]
    if seen.size and float(np.median(seen)) <= LARGEST_PART:
        scaled[:, 5::3] *= size.width
        scaled[:, 6::3] *= size.height
    return scaled


def keep(rows: Floats) -> list[int]:
    """Return the indices of the rows that NMS by IoU keeps, best first."""
    half = rows[:, 2:4] / 2
    low, high = rows[:, :2] - half, rows[:, :2] + half
    area = rows[:, 2] * rows[:, 3]
    free = np.ones(len(rows), dtype=bool)
    kept = []
    for index in range(len(rows)):
        if not free[index]:
            continue
        kept.append(index)
        sides = np.minimum(high, high[index]) - np.maximum(low, low[index])
        shared = np.maximum(sides, 0).prod(axis=1)
        free &= shared <= IOU * (area + area[index] - shared)
    return kept


def to_pose(row: Floats) -> ModelPose:
    """Convert one row of 56 numbers in model pixels to a person."""
    x, y, width, height, score = row[:5].tolist()
    keypoints = row[5:].reshape(JOINTS, 3).copy()
    keypoints[:, 2] = np.clip(keypoints[:, 2], 0, 1)
    box = Box(x - width / 2, y - height / 2, width, height)
    return ModelPose(keypoints, min(max(score, 0.0), 1.0), box)
