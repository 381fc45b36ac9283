"""Decoder of top-down networks, which take a crop of one person: SimCC heads and heatmaps.

RTMPose ends in SimCC heads: one classification of x and one of y per joint. Lite-HRNet,
PP-TinyPose, ViTPose and others end in a heatmap per joint. As refiners they get crops
in the aspect ratio of their input.
"""

from dataclasses import dataclass
from typing import Final, Literal, Self

import numpy as np

from edgepose.errors import ModelError
from edgepose.models.info import ModelInfo, Outputs
from edgepose.pose.decoders import MIN_POSE_SCORE, Limits, Pixels
from edgepose.skeleton import JOINTS
from edgepose.types import Floats, ModelPose, Size

MEAN: Final = (123.675, 116.28, 103.53)  # mean pixel of ImageNet, RGB
DEVIATION: Final = 57.63  # mean of ImageNet's standard deviations 58.395, 57.12 and 57.375

PIXELS: Final = Pixels(
    1 / DEVIATION, (-MEAN[0] / DEVIATION, -MEAN[1] / DEVIATION, -MEAN[2] / DEVIATION)
)

STRIDES: Final = range(2, 17)
"""Allowed input pixels per heatmap cell; all known networks have 4."""

BINS: Final = range(1, 5)
"""Allowed bins per input pixel of SimCC heads; RTMPose has 2."""

TOWARDS: Final = 0.25  # shift from the maximum to its higher neighbour, in cells (as mmpose)

Form = Literal["simcc", "heatmap"]


@dataclass(frozen=True, slots=True)
class TopDownDecoder:
    """Decoder of two SimCC heads (1, 17, bins), or heatmaps (1, h, w, 17) or (1, 17, h, w)."""

    form: Form
    first: int = 0
    """Index of the output with the bins of x; 0 for heatmaps."""

    channels_first: bool = False
    pixels: Pixels = PIXELS
    people: int = 1
    min_pose_score: float = MIN_POSE_SCORE

    @property
    def family(self) -> str:
        """Display name."""
        return self.form

    @classmethod
    def recognise(cls, model: ModelInfo) -> Self | None:
        """Return a decoder if the outputs fit the input's width and height, else None.

        Raises
        ------
        ModelError
            If neither sizes nor names distinguish the bins of x from those of y.
        """
        size = model.input_size
        if min(size) < 1:
            return None
        if len(model.outputs) == 1:
            return cls._heatmap_decoder(model.outputs[0].shape, size)
        shapes = [tensor.shape for tensor in model.outputs]
        if len(shapes) == 2 and all(len(s) == 3 and s[:2] == (1, JOINTS) for s in shapes):
            return cls._simcc_decoder(model, size)
        return None

    @classmethod
    def _heatmap_decoder(cls, shape: tuple[int, ...], size: Size) -> Self | None:
        for channels_first in (False, True):
            cells = (shape[3:] + shape[2:3]) if channels_first else (shape[2:3] + shape[1:2])
            place = 1 if channels_first else 3
            if len(shape) == 4 and shape[place] == JOINTS and _size_ratio(size, cells, STRIDES):
                return cls("heatmap", channels_first=channels_first)
        return None

    @classmethod
    def _simcc_decoder(cls, model: ModelInfo, size: Size) -> Self | None:
        bins = [tensor.shape[2] for tensor in model.outputs]
        fits = [
            first for first in (0, 1) if _size_ratio(Size(bins[first], bins[1 - first]), size, BINS)
        ]
        if not fits:
            return None
        first = fits[0] if len(fits) == 1 else _named_x(model)
        return cls("simcc", first)

    def decode(self, outputs: Outputs, limits: Limits) -> list[ModelPose]:
        """Return the one person in model pixels, scored by the mean of all joints."""
        size = outputs.model.input_size
        if self.form == "simcc":
            keypoints = decode_simcc(
                outputs.real(self.first)[0], outputs.real(1 - self.first)[0], size
            )
        else:
            heat = outputs.real(0)[0]
            keypoints = decode_heatmap(
                heat.transpose(1, 2, 0) if self.channels_first else heat, size
            )
        score = float(keypoints[:, 2].mean())
        return [ModelPose(keypoints, score)][: limits.max_people if score >= limits.least else 0]


def decode_simcc(x: Floats, y: Floats, size: Size) -> Floats:
    """Return (17, 3) keypoints in model pixels.

    Parameters
    ----------
    x, y : (17, bins)
        Score of each joint at each position, within [0, 1].
    size : Size
        The input.

    Notes
    -----
    The score is the lower of the two maxima, as in mmpose's `get_simcc_maximum`.
    """
    bins = x.shape[1] / size.width
    places = np.stack([x.argmax(axis=1), y.argmax(axis=1)], axis=1) / bins
    scores = np.minimum(x.max(axis=1), y.max(axis=1)).clip(0, 1)
    return np.column_stack([places, scores]).astype(np.float32)


def decode_heatmap(heat: Floats, size: Size) -> Floats:
    """Return (17, 3) keypoints in model pixels.

    Parameters
    ----------
    heat : (h, w, 17)
        Score of each joint in each cell, within [0, 1].
    size : Size
        The input.

    Notes
    -----
    The position is the cell with the maximum, shifted by a quarter of a cell towards the
    higher neighbour along each axis, as in mmpose's `MSRAHeatmap`.
    """
    height, width = heat.shape[:2]
    stride = size.width / width
    y, x = np.divmod(heat.reshape(-1, JOINTS).argmax(axis=0), width)
    joint = np.arange(JOINTS)
    right = heat[y, np.minimum(x + 1, width - 1), joint]
    left = heat[y, np.maximum(x - 1, 0), joint]
    below = heat[np.minimum(y + 1, height - 1), x, joint]
    above = heat[np.maximum(y - 1, 0), x, joint]
    moved = np.stack([np.sign(right - left), np.sign(below - above)], axis=1) * TOWARDS
    places = (np.stack([x, y], axis=1) + moved) * stride
    return np.column_stack([places, heat[y, x, joint].clip(0, 1)]).astype(np.float32)


def _size_ratio(large: tuple[int, ...], small: tuple[int, ...], allowed: range) -> int:
    """Return the integer ratio of two sizes, equal along both axes; 0 if there is none."""
    if len(small) != 2 or min(small) < 1:
        return 0
    factor = large[0] // small[0]
    exact = large[0] == factor * small[0] and large[1] == factor * small[1]
    return factor if exact and factor in allowed else 0


def _named_x(model: ModelInfo) -> int:
    """Return the index of the x output, by the names of two outputs of equal size."""
    names = [
        [_last_letter(tensor.signature), _last_letter(tensor.name)] for tensor in model.outputs
    ]
    for index in (0, 1):
        if "x" in names[index] and "y" in names[1 - index]:
            return index
    found = " and ".join(repr(tensor.name) for tensor in model.outputs)
    msg = (
        f"model {model.name}: two outputs of one size are called {found}; expected names that end"
        " in x and y; convert the model again with named outputs"
    )
    raise ModelError(msg)


def _last_letter(name: str) -> str:
    return name.lower().rstrip("0123456789:;/_")[-1:]
