"""What a .tflite file says about itself."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isfinite, prod
from typing import Any, Final, NamedTuple, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from edgepose.errors import ModelError
from edgepose.models import flatbuffer, verify
from edgepose.types import Floats, Size

EDGETPU_OP: Final = "edgetpu-custom-op"
"""The operator that holds what was compiled for the Edge TPU."""

CUSTOM: Final = 32
"""`BuiltinOperator.CUSTOM`: the operator has a name of its own."""

VALUES_AT_MOST: Final = 1 << 28
"""In one input or output; more is a damaged size, and would exhaust the memory."""


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

    signature: str = ""
    """What the model's signature calls it; empty where the file has no signature."""

    default_shape: tuple[int, ...] = ()
    """What a runtime starts with where `shape` leaves sizes open; else the same as `shape`."""

    @property
    def channels_first(self) -> bool:
        """Whether a picture's three channels come before its height and width."""
        return len(self.shape) == 4 and self.shape[1] == 3 != self.shape[3]

    def picture_shape(self, size: Size) -> tuple[int, int, int, int]:
        """Return the shape of a picture of another size in this input."""
        height, width = size.height, size.width
        return (1, 3, height, width) if self.channels_first else (1, height, width, 3)


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
        """Width and height of the picture it takes; -1 where the file leaves it open."""
        shape = self.inputs[0].shape
        height, width = shape[2:] if self.inputs[0].channels_first else shape[1:3]
        return Size(width, height)

    @property
    def needs_edgetpu(self) -> bool:
        """Whether it was compiled for the Edge TPU, and runs nowhere else."""
        return EDGETPU_OP in self.custom_ops

    def resized(self, size: Size) -> Self:
        """Describe the model after its picture input was given another size."""
        picture = replace(self.inputs[0], shape=self.inputs[0].picture_shape(size))
        return replace(self, inputs=(picture, *self.inputs[1:]))


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """What the network said: arrays as stored, in the order of the model's outputs."""

    model: ModelInfo
    """With the size of the picture that was really fed (`ModelInfo.resized`)."""

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


def read(content: bytes, name: str) -> ModelInfo:
    """Read what a .tflite file takes and gives, without running it.

    Parameters
    ----------
    content : bytes
        The whole file. It is checked first: afterwards it may be handed to a
        runtime, also to one that does not check.
    name : str
        What to call the model in messages.

    Raises
    ------
    ModelError
        When the file is empty, foreign, cut short, damaged, or takes no picture.
    """
    verify.check(content, name)
    return _TensorReader(content, name).read()


class _TensorReader:
    """Reads one file; it is whole, but its numbers may still make no sense."""

    def __init__(self, content: bytes, name: str) -> None:
        self.model = flatbuffer.root(content)
        self.name = name

    def read(self) -> ModelInfo:
        """Describe inputs, outputs and custom operators."""
        if self.model.SubgraphsLength() < 1:
            self.refuse("it holds no graph")
        graph = self.model.Subgraphs(0)
        signatures = self.signatures()
        inputs = tuple(
            self.tensor(graph, index, signatures.get(("in", index), ""))
            for index in whole_numbers(graph.InputsAsNumpy())
        )
        outputs = tuple(
            self.tensor(graph, index, signatures.get(("out", index), ""))
            for index in whole_numbers(graph.OutputsAsNumpy())
        )
        self.check_picture(inputs)
        return ModelInfo(self.name, inputs, outputs, tuple(dict.fromkeys(self.custom_ops())))

    def signatures(self) -> dict[tuple[str, int], str]:
        """Return the names that the signatures of the main graph give to its tensors."""
        names = {}
        for index in range(self.model.SignatureDefsLength()):
            signature = self.model.SignatureDefs(index)
            if signature.SubgraphIndex() != 0:
                continue
            for j in range(signature.InputsLength()):
                names["in", signature.Inputs(j).TensorIndex()] = text(signature.Inputs(j).Name())
            for j in range(signature.OutputsLength()):
                names["out", signature.Outputs(j).TensorIndex()] = text(signature.Outputs(j).Name())
        return names

    def custom_ops(self) -> Iterator[str]:
        """Yield the name of each custom operator that is really used."""
        for graph in map(self.model.Subgraphs, range(self.model.SubgraphsLength())):
            used = {graph.Operators(i).OpcodeIndex() for i in range(graph.OperatorsLength())}
            if used and max(used) >= self.model.OperatorCodesLength():
                self.refuse("it has operators of no kind")
            for code in map(self.model.OperatorCodes, sorted(used)):
                if CUSTOM in (code.BuiltinCode(), code.DeprecatedBuiltinCode()):
                    yield text(code.CustomCode())

    def tensor(self, graph: Any, index: int, signature: str) -> TensorInfo:
        """Describe one input or output."""
        if index < 0:
            self.refuse(f"it takes or gives tensor {index}")
        tensor = graph.Tensors(index)
        name = text(tensor.Name())
        default = tuple(whole_numbers(tensor.ShapeAsNumpy()))
        shape = tuple(whole_numbers(tensor.ShapeSignatureAsNumpy())) or default
        if len(shape) != len(default) or not all(size >= -1 for size in shape + default):
            self.refuse(f"the shape of {name} is {list(shape)}, at first {list(default)}")
        if max(prod(map(abs, shape)), prod(map(abs, default))) > VALUES_AT_MOST:
            self.refuse(f"{name} is of shape {list(shape)}")
        dtype = self.dtype(tensor.Type())
        return TensorInfo(
            name,
            shape,
            dtype,
            self.quantisation(tensor.Quantization(), name) if "int" in dtype else None,
            signature,
            default,
        )

    def dtype(self, number: int) -> str:
        """Return numpy's name of a tensor type."""
        names = flatbuffer.dtypes()
        if number not in names:
            self.refuse(f"a tensor is of type {number}, which this version does not know")
        return names[number]

    def quantisation(self, parameters: Any, name: str) -> Quantisation | None:
        """Read scale and zero point; None where the numbers stand for themselves."""
        if parameters is None or parameters.ScaleLength() == 0:
            return None
        scale = float(parameters.Scale(0))
        zero_point = int(parameters.ZeroPoint(0)) if parameters.ZeroPointLength() else 0
        if parameters.ScaleLength() > 1 or not (isfinite(scale) and scale > 0):
            self.refuse(f"{name} has {parameters.ScaleLength()} scales, the first is {scale}")
        if not -(1 << 31) <= zero_point < 1 << 31:
            self.refuse(f"the zero point of {name} is {zero_point}")
        return Quantisation(scale, zero_point)

    def check_picture(self, inputs: tuple[TensorInfo, ...]) -> None:
        """Refuse a model whose first input is no RGB picture."""
        if inputs and len(inputs[0].shape) == 4 and 3 in {inputs[0].shape[1], inputs[0].shape[3]}:
            return
        found = ", ".join(f"{list(t.shape)} {t.dtype}" for t in inputs) or "nothing"
        msg = (
            f"model {self.name}: it takes {found}; expected one RGB picture"
            f" [1, height, width, 3] or [1, 3, height, width]; choose a pose model"
        )
        raise ModelError(msg)

    def refuse(self, why: str) -> NoReturn:
        """Say that the file is damaged."""
        msg = (
            f"model {self.name}: the file is damaged ({why}); expected a whole .tflite"
            f" file; copy or download it again"
        )
        raise ModelError(msg)


def whole_numbers(array: Any) -> list[int]:
    """Return a flatbuffer vector as a list; an absent one comes as the number 0."""
    return array.tolist() if isinstance(array, np.ndarray) else []


def text(name: bytes | None) -> str:
    """Decode a name; a damaged one must still be printable."""
    return (name or b"").decode("utf-8", "replace")
