"""YOLO-pose exports: many overlapping boxes with keypoints, to people."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from edgepose.models.info import ModelInfo, Outputs, TensorInfo
from edgepose.pose.decoders import Limits, Pixels
from edgepose.skeleton import JOINTS
from edgepose.types import Box, Floats, ModelPose, Size

CHANNELS: Final = 5 + 3 * JOINTS
"""Box as centre x, y, width, height; score; 17 times x, y, visibility."""

LEAST_ANCHORS: Final = 21
"""A picture of 32 pixels, the smallest, has 16 + 4 + 1. MoveNet's [1, 6, 56] is not ours."""

IOU: Final = 0.7
"""Boxes that share more than this are one person; the exporter's own default."""

CANDIDATES_AT_MOST: Final = 300
"""Boxes compared with each other; the exporter's own default."""

PIXELS: Final = Pixels(1 / 255, (0.0, 0.0, 0.0))


@dataclass(frozen=True, slots=True)
class YoloPoseDecoder:
    """Decodes [1, 56, N] and [1, N, 56], float or quantised, in parts or in pixels."""

    channels_first: bool
    pixels: Pixels = PIXELS
    family: str = "yolo pose"
    people: int | None = None

    @classmethod
    def recognise(cls, model: ModelInfo) -> Self | None:
        """Return a decoder for a single output of 56 channels and many boxes."""
        if len(model.outputs) != 1 or not has_numbers(model.outputs[0]):
            return None
        shape = model.outputs[0].shape
        if len(shape) != 3 or shape[0] != 1 or (shape[1] == CHANNELS) == (shape[2] == CHANNELS):
            return None
        anchors = shape[2] if shape[1] == CHANNELS else shape[1]
        return cls(shape[1] == CHANNELS) if anchors >= LEAST_ANCHORS else None

    def decode(self, outputs: Outputs, limits: Limits) -> list[ModelPose]:
        """Return people in model pixels, best first."""
        rows = outputs.real(0)[0]
        rows = rows.T if self.channels_first else rows
        sure = rows[rows[:, 4] >= max(limits.min_pose_score, 1e-3)]
        sure = sure[np.argsort(-sure[:, 4], kind="stable")][:CANDIDATES_AT_MOST]
        sure = in_pixels(sure, outputs.model.input_size)
        return [to_pose(row) for row in sure[keep(sure)][: limits.max_people]]


def has_numbers(tensor: TensorInfo) -> bool:
    """Tell whether real numbers can be had from an output."""
    quantised = tensor.dtype in {"uint8", "int8"} and tensor.quantisation is not None
    return tensor.dtype == "float32" or quantised


def in_pixels(rows: Floats, size: Size) -> Floats:
    """Return (N, 56) with all places in model pixels.

    Exports differ: some write parts of the input, some pixels, and the file does not
    say which. A sure box tells: in parts it is at most about one wide and high, and
    nobody is found who is two pixels large.
    """
    if not rows.size or float(rows[:, 2:4].max()) > 2:
        return rows
    scaled = rows.copy()
    scaled[:, [0, 2]] *= size.width
    scaled[:, [1, 3]] *= size.height
    scaled[:, 5::3] *= size.width
    scaled[:, 6::3] *= size.height
    return scaled


def keep(rows: Floats) -> list[int]:
    """Return the rows, best first, whose box is no other one's again."""
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
    """Turn one row of 56 numbers in model pixels into a person."""
    x, y, width, height, score = row[:5].tolist()
    keypoints = row[5:].reshape(JOINTS, 3).copy()
    keypoints[:, 2] = np.clip(keypoints[:, 2], 0, 1)
    box = Box(x - width / 2, y - height / 2, width, height)
    return ModelPose(keypoints, min(max(score, 0.0), 1.0), box)
