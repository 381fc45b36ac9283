"""What a .tflite file says about itself."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepose.structures import Floats, Size


class Quantisation(NamedTuple):
    """How whole numbers stand for real ones: ``real = scale * (stored - zero_point)``."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One input or output of a model."""

    name: str
    shape: tuple[int, ...]
    """With the batch first; -1 where the file leaves a size open."""

    dtype: str
    """numpy's name of the type: ``float32``, ``uint8``, ``int8``, ``int32``."""

    quantisation: Quantisation | None = None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model's inputs and outputs, read from the file without running it."""

    name: str
    """What to call it in messages: the catalogue's name or the file's."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    """In the file's order, which differs between files of one family."""

    custom_ops: tuple[str, ...] = ()
    """Names of the custom operators the graph needs."""

    @property
    def input_size(self) -> Size:
        """Width and height of the picture it takes."""
        _, height, width, _ = self.inputs[0].shape
        return Size(width, height)


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """What the network said: arrays as stored, in the order of the model's outputs."""

    model: ModelInfo
    arrays: tuple[NDArray[Any], ...]

    def real(self, index: int) -> Floats:
        """Return one output as real numbers, with the scale and zero point of the file."""
        array = self.arrays[index]
        quantisation = self.model.outputs[index].quantisation
        if quantisation is None or array.dtype.kind == "f":
            return array.astype(np.float32, copy=False)
        real = array.astype(np.float32)
        real -= quantisation.zero_point
        real *= quantisation.scale
        return real
