"""Tiny generated .tflite files with constant outputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers
from numpy.typing import NDArray

from edgepose.models.info import Quantisation

TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "uint8": schema.TensorType.UINT8,
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
}


def build(
    picture: tuple[int, ...],
    outputs: Sequence[tuple[str, NDArray[Any], Quantisation | None]],
    *,
    dtype: str = "float32",
    open_sizes: tuple[int, ...] | None = None,
    signature: Sequence[str] = (),
    custom_op: tuple[str, Mapping[str, Any] | bytes] | None = None,
) -> bytes:
    """Build a network that takes a picture and always returns the same outputs.

    Each output is its constant through a RESHAPE, which every runtime can run. A custom
    operator, given by name and options, takes them all and has four outputs instead.
    """
    model = schema.ModelT()
    model.version = 3
    model.buffers = [buffer(None)]
    graph = schema.SubGraphT()
    graph.name = b"main"
    graph.tensors = [tensor("image", picture, dtype, None, open_sizes=open_sizes)]
    graph.inputs, graph.outputs, graph.operators = [0], [], []
    for name, values, scale in outputs:
        stored = np.ascontiguousarray(values)
        kind = stored.dtype.name
        model.buffers.append(buffer(stored))
        constant = len(model.buffers) - 1
        graph.tensors.append(tensor(f"{name}/0", stored.shape, kind, scale, constant=constant))
        graph.tensors.append(tensor(name, stored.shape, kind, scale))
        graph.operators.append(reshape(len(graph.tensors) - 2, stored.shape))
        graph.outputs.append(len(graph.tensors) - 1)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    code.version = 1
    model.operatorCodes, model.subgraphs = [code], [graph]
    if signature:
        model.signatureDefs = [sign(graph, signature)]
    if custom_op is not None:
        append_op(model, *custom_op)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def buffer(values: NDArray[Any] | None) -> schema.BufferT:
    made = schema.BufferT()
    if values is not None:
        made.data = np.frombuffer(values.tobytes(), dtype=np.uint8)
    return made


def tensor(
    name: str,
    shape: Sequence[int],
    dtype: str,
    quantisation: Quantisation | None,
    *,
    constant: int = 0,
    open_sizes: Sequence[int] | None = None,
) -> schema.TensorT:
    made = schema.TensorT()
    made.name, made.shape, made.type = name.encode(), list(shape), TYPES[dtype]
    made.buffer = constant
    if open_sizes is not None:
        made.shapeSignature = list(open_sizes)
    if quantisation is not None:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = [quantisation.scale]
        made.quantization.zeroPoint = [quantisation.zero_point]
    return made


def reshape(constant: int, shape: Sequence[int]) -> schema.OperatorT:
    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = 0, [constant], [constant + 1]
    made.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
    made.builtinOptions = schema.ReshapeOptionsT()
    made.builtinOptions.newShape = list(shape)
    return made


def append_op(model: schema.ModelT, name: str, options: Mapping[str, Any] | bytes) -> None:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = name.encode()
    model.operatorCodes.append(code)
    graph = model.subgraphs[0]
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs = len(model.operatorCodes) - 1, graph.outputs
    raw = options if isinstance(options, bytes) else bytes(flexbuffers.Dumps(dict(options)))
    operator.customOptions = np.frombuffer(raw, dtype=np.uint8)
    first = len(graph.tensors)
    graph.tensors += [tensor(f"poses:{index}", (), "float32", None) for index in range(4)]
    operator.outputs = graph.outputs = list(range(first, first + 4))
    graph.operators.append(operator)


def sign(graph: schema.SubGraphT, names: Sequence[str]) -> schema.SignatureDefT:
    made = schema.SignatureDefT()
    made.signatureKey, made.subgraphIndex = b"serving_default", 0
    made.inputs = [entry("image", graph.inputs[0])]
    made.outputs = [entry(name, i) for name, i in zip(names, graph.outputs, strict=True)]
    return made


def entry(name: str, index: int) -> schema.TensorMapT:
    made = schema.TensorMapT()
    made.name, made.tensorIndex = name.encode(), index
    return made
