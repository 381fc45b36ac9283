"""`ModelInfo`: inputs, outputs and operators of a .tflite file."""

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
"""Custom operator with the code compiled for the Edge TPU."""

CUSTOM: Final = 32
"""`BuiltinOperator.CUSTOM`: a custom operator with its own name."""

VALUES_AT_MOST: Final = 1 << 28
"""Maximum number of values in one input or output; a damaged shape could exhaust the memory."""


class Quantisation(NamedTuple):
    """Quantisation parameters: ``real = scale * (stored - zero_point)``."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One input or output of a model."""

    name: str
    shape: tuple[int, ...]
    """Shape with the batch first; -1 for dynamic sizes."""

    dtype: str
    """NumPy name of the type: ``float32``, ``uint8``, ``int8``, ``int32``."""

    quantisation: Quantisation | None = None

    signature: str = ""
    """Name in the model's signature; empty if the file has no signature."""

    default_shape: tuple[int, ...] = ()
    """Initial shape at runtime; differs from `shape` only where sizes are dynamic."""

    @property
    def channels_first(self) -> bool:
        """Whether the three colour channels come before height and width."""
        return len(self.shape) == 4 and self.shape[1] == 3 != self.shape[3]

    def picture_shape(self, size: Size) -> tuple[int, int, int, int]:
        """Return the shape of this input for an image of another size."""
        height, width = size.height, size.width
        return (1, 3, height, width) if self.channels_first else (1, height, width, 3)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model's inputs and outputs, read from the file without running it."""

    name: str
    """Name in messages: the catalogue name or the file name."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    """Outputs in the file's order, which differs between files of one family."""

    custom_ops: tuple[str, ...] = ()
    """Names of the custom operators in the graph."""

    @property
    def input_size(self) -> Size:
        """Width and height of the input image; -1 for dynamic sizes."""
        shape = self.inputs[0].shape
        height, width = shape[2:] if self.inputs[0].channels_first else shape[1:3]
        return Size(width, height)

    @property
    def needs_edgetpu(self) -> bool:
        """Whether it was compiled for the Edge TPU, so that it needs one."""
        return EDGETPU_OP in self.custom_ops

    def resized(self, size: Size) -> Self:
        """Return the description with another size of the image input."""
        picture = replace(self.inputs[0], shape=self.inputs[0].picture_shape(size))
        return replace(self, inputs=(picture, *self.inputs[1:]))


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """Outputs of one inference: stored arrays, in the order of the model's outputs."""

    model: ModelInfo
    """Description with the size of the actual input (`ModelInfo.resized`)."""

    arrays: tuple[NDArray[Any], ...]

    def real(self, index: int) -> Floats:
        """Return one output as float32, dequantised with the file's scale and zero point."""
        array = self.arrays[index]
        quantisation = self.model.outputs[index].quantisation
        if quantisation is None or array.dtype.kind == "f":
            return array.astype(np.float32, copy=False)
        real = array.astype(np.float32)
        real -= quantisation.zero_point
        real *= quantisation.scale
        return real


def read(content: bytes, name: str) -> ModelInfo:
    """Return the inputs, outputs and custom operators of a .tflite file, without running it.

    Parameters
    ----------
    content : bytes
        The whole file. It is verified first, so that it is safe to load in runtimes
        that do not verify.
    name : str
        Name of the model in messages.

    Raises
    ------
    ModelError
        If the file is empty, of another format, truncated, damaged, or takes no image.
    """
    verify.check(content, name)
    return _TensorReader(content, name).read()


class _TensorReader:
    """Reads one verified file; validates its values."""

    def __init__(self, content: bytes, name: str) -> None:
        self.model = flatbuffer.root(content)
        self.name = name

    def read(self) -> ModelInfo:
        """Return the description of inputs, outputs and custom operators."""
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
        """Return the tensor names in the signatures of the main graph."""
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
        """Yield the name of each custom operator that a graph uses."""
        for graph in map(self.model.Subgraphs, range(self.model.SubgraphsLength())):
            used = {graph.Operators(i).OpcodeIndex() for i in range(graph.OperatorsLength())}
            if used and max(used) >= self.model.OperatorCodesLength():
                self.refuse("it has operators of no kind")
            for code in map(self.model.OperatorCodes, sorted(used)):
                if CUSTOM in (code.BuiltinCode(), code.DeprecatedBuiltinCode()):
                    yield text(code.CustomCode())

    def tensor(self, graph: Any, index: int, signature: str) -> TensorInfo:
        """Return the description of one input or output."""
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
        """Return the NumPy name of a tensor type."""
        names = flatbuffer.dtypes()
        if number not in names:
            self.refuse(f"a tensor is of type {number}, which this version does not know")
        return names[number]

    def quantisation(self, parameters: Any, name: str) -> Quantisation | None:
        """Return scale and zero point; None for tensors without quantisation."""
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
        """Raise `ModelError` if the first input is no RGB image."""
        if inputs and len(inputs[0].shape) == 4 and 3 in {inputs[0].shape[1], inputs[0].shape[3]}:
            return
        found = ", ".join(f"{list(t.shape)} {t.dtype}" for t in inputs) or "nothing"
        msg = (
            f"model {self.name}: it takes {found}; expected one RGB picture"
            f" [1, height, width, 3] or [1, 3, height, width]; choose a pose model"
        )
        raise ModelError(msg)

    def refuse(self, why: str) -> NoReturn:
        """Raise `ModelError`: the file is damaged."""
        msg = (
            f"model {self.name}: the file is damaged ({why}); expected a whole .tflite"
            f" file; copy or download it again"
        )
        raise ModelError(msg)


def whole_numbers(array: Any) -> list[int]:
    """Return a flatbuffer vector as a list; empty if absent, which flatbuffers gives as 0."""
    return array.tolist() if isinstance(array, np.ndarray) else []


def text(name: bytes | None) -> str:
    """Decode a name; invalid UTF-8 is replaced, so that it can be printed."""
    return (name or b"").decode("utf-8", "replace")
