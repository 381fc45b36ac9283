"""Changes the input size of convolutional networks with fixed-size up-sampling.

A convolutional network takes any input size. Only `RESIZE_BILINEAR` and
`RESIZE_NEAREST_NEIGHBOR` store the height and width of their output in the file. These
are scaled in a copy of the file; the runtime's `resize_tensor_input` does the rest.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgepose.errors import ModelError
from edgepose.models import flatbuffer
from edgepose.types import Size

STEP: Final = 32  # pixels; the input's sides must be multiples, or up-sampling gives other sizes
RESIZING: Final = frozenset({"RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"})
LOCAL: Final = RESIZING | {
    "ADD",
    "AVERAGE_POOL_2D",
    "CAST",
    "CONCATENATION",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "DEQUANTIZE",
    "HARD_SWISH",
    "LOGISTIC",
    "MAX_POOL_2D",
    "MUL",
    "PACK",
    "PAD",
    "QUANTIZE",
    "RELU",
    "RELU6",
    "SUB",
    "TRANSPOSE_CONV",
    "UNPACK",
}
"""Operators that are independent of the input's size."""


def shapes(content: bytes, size: Size) -> tuple[Size, ...]:
    """Return useful input sizes for images of one person, `size` first.

    Parameters
    ----------
    content : bytes
        A .tflite file that `models.info.read` has accepted.
    size : Size
        The file's own input size.

    Returns
    -------
    tuple of Size
        The square, then upright sizes of 5/8 and 3/4 of its width, then the same lying. Only
        `size` if the file cannot be reshaped.
    """
    if size.width != size.height or size.width % STEP or not _is_local(content):
        return (size,)
    side = size.width
    narrow = dict.fromkeys(STEP * -(-side * part // (8 * STEP)) for part in (5, 6))
    upright = [Size(width, side) for width in narrow if width < side]
    return size, *upright, *(Size(side, shape.width) for shape in upright)


def reshape(content: bytes, old: Size, new: Size) -> bytes:
    """Return the file with its up-sampling sizes scaled from one input size to another.

    Raises
    ------
    ModelError
        If a scaled size is not an integer.
    """
    patched = bytearray(content)
    for height, width in _output_sizes(patched):
        scaled = height[0] * new.height / old.height, width[0] * new.width / old.width
        if any(side != int(side) for side in scaled):
            msg = f"model: {old.height}x{old.width} cannot be reshaped to {new.height}x{new.width}"
            raise ModelError(msg)
        height[0], width[0] = (int(side) for side in scaled)
    return bytes(patched)


def _is_local(content: bytes) -> bool:
    names = flatbuffer.operators()
    model = flatbuffer.root(content)
    used = {names.get(_builtin_code(model, operator), "") for operator in _operators_of(model)}
    constant = all(array is not None for array in _constant_sizes(model))
    return used <= LOCAL and constant


def _output_sizes(content: bytearray) -> Iterator[NDArray[np.int32]]:
    """Yield views (2, 1) into the file: the output height and width of each up-sampling."""
    seen = set()
    for array in _constant_sizes(flatbuffer.root(content)):
        assert array is not None
        if (place := array.ctypes.data) not in seen:  # operators may share a buffer
            seen.add(place)
            array.flags.writeable = True
            yield array.view("<i4").reshape(2, 1)


def _constant_sizes(model: Any) -> Iterator[NDArray[np.uint8] | None]:
    names = flatbuffer.operators()
    graph = model.Subgraphs(0)
    for operator in _operators_of(model):
        if names.get(_builtin_code(model, operator)) in RESIZING:
            buffer = model.Buffers(graph.Tensors(operator.Inputs(1)).Buffer())
            yield buffer.DataAsNumpy() if buffer.DataLength() == 8 else None


def _operators_of(model: Any) -> Iterator[Any]:
    graph = model.Subgraphs(0)
    return map(graph.Operators, range(graph.OperatorsLength()))


def _builtin_code(model: Any, operator: Any) -> int:
    code = model.OperatorCodes(operator.OpcodeIndex())
    return max(int(code.BuiltinCode()), int(code.DeprecatedBuiltinCode()))
