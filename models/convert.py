"""From a network to the bytes of a .tflite file."""

from collections.abc import Sequence

import flatbuffers
import numpy as np
import tensorflow as tf
from networks import Network
from numpy.typing import NDArray
from tensorflow.lite.python import schema_py_generated as schema


def to_float16(network: Network) -> bytes:
    """Convert with weights of 16 bits, computed with in 32."""
    converter = start(network)
    converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


def to_uint8(network: Network, pictures: Sequence[NDArray[np.float32]]) -> bytes:
    """Convert to whole numbers of 8 bits throughout, uint8 outside.

    Parameters
    ----------
    pictures : sequence of (1, H, W, 3)
        Inputs of the network, from which the range of every tensor is learnt.
    """
    converter = start(network)
    converter.representative_dataset = lambda: ([picture] for picture in pictures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    return bytes(converter.convert())


def start(network: Network) -> tf.compat.v1.lite.TFLiteConverter:
    """Return the converter that keeps the names and the order of inputs and outputs."""
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(network.graph, name="")
    converter = tf.compat.v1.lite.TFLiteConverter(
        network.graph,
        [graph.get_tensor_by_name("image:0")],
        [graph.get_tensor_by_name(f"{name}:0") for name in network.outputs],
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter


def with_input_scale(data: bytes, scale: float) -> bytes:
    """Multiply the bytes of the picture by a scale where the network casts them to floats.

    The cast becomes a dequantisation: XNNPACK computes that, but no cast from bytes.
    """
    model = schema.ModelT.InitFromPackedBuf(data)
    graph = model.subgraphs[0]
    (image,) = graph.inputs
    (cast,) = (entry for entry in graph.operators if list(entry.inputs) == [image])
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 1
    cast.opcodeIndex = len(model.operatorCodes)
    model.operatorCodes.append(code)
    cast.builtinOptions, cast.builtinOptionsType = None, schema.BuiltinOptions.NONE
    quantisation = schema.QuantizationParametersT()
    quantisation.scale, quantisation.zeroPoint = [scale], [0]
    graph.tensors[image].quantization = quantisation
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def with_default_size(data: bytes, *, height: int, width: int) -> bytes:
    """Give a file whose sides are open the size it has until somebody resizes it.

    The converter writes a side of one pixel, too small for the network to be
    prepared. Only the numbers change, so nothing moves within the file.
    """
    patched = bytearray(data)
    subgraph = schema.Model.GetRootAs(patched, 0).Subgraphs(0)
    shape = subgraph.Tensors(subgraph.Inputs(0)).ShapeAsNumpy()
    assert shape.base is not None
    shape.flags.writeable = True
    shape[1:3] = height, width
    return bytes(patched)
