"""Read a TF.js graph model back into a TensorFlow graph.

TF.js fuses a convolution with its bias and activation into one node that the
TFLite converter does not know; here they are taken apart again. Nothing else of
the graph is changed.
"""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from numpy.typing import NDArray

NodeDef = tf.compat.v1.NodeDef
GraphDef = tf.compat.v1.GraphDef

CONVOLUTIONS: Final = {
    "_FusedConv2D": "Conv2D",
    "FusedDepthwiseConv2dNative": "DepthwiseConv2dNative",
}
CONVOLUTION_ATTRIBUTES: Final = ("T", "strides", "padding", "dilations", "data_format")


def read_graph(path: Path) -> GraphDef:
    """Return the graph of a TF.js model, weights included, from its .json and .bin."""
    model = json.loads(path.read_text())
    weights = read_weights(model["weightsManifest"], path.with_suffix(".bin").read_bytes())
    graph = GraphDef()
    for entry in model["modelTopology"]["node"]:
        node = json_format.ParseDict(entry, NodeDef())
        if node.op == "Const":
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(weights[node.name]))
        graph.node.extend(unfuse(node))
    return graph


def read_weights(manifest: list[dict[str, Any]], data: bytes) -> dict[str, NDArray[Any]]:
    """Cut the .bin file into arrays by name; float16 ones become float32 without loss."""
    weights = {}
    position = 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        stored = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"], dtype=int))
        array = np.frombuffer(data, stored, count, position).reshape(entry["shape"])
        weights[entry["name"]] = array.astype(entry["dtype"])
        position += array.nbytes
    if position != len(data):
        raise SystemExit(f"weights: manifest covers {position} bytes of {len(data)}")
    return weights


def unfuse(node: NodeDef) -> list[NodeDef]:
    """Take a fused convolution apart: convolution, bias, activation.

    The last part keeps the name of the whole, so no other node needs a change.
    """
    if node.op not in CONVOLUTIONS:
        return [node]
    picture, kernel, bias = node.input
    convolution = NodeDef(
        name=f"{node.name}/convolution", op=CONVOLUTIONS[node.op], input=[picture, kernel]
    )
    for name in CONVOLUTION_ATTRIBUTES:
        convolution.attr[name].CopyFrom(node.attr[name])
    parts = [convolution]
    for operation in node.attr["fused_ops"].list.s:
        op = operation.decode()
        inputs = [parts[-1].name, bias] if op == "BiasAdd" else [parts[-1].name]
        part = NodeDef(name=f"{node.name}/{op}", op=op, input=inputs)
        part.attr["T"].CopyFrom(node.attr["T"])
        parts.append(part)
    parts[-1].name = node.name
    return parts


def expand_new_axes(graph: GraphDef) -> None:
    """Say ExpandDims where a strided slice takes everything and only adds axes.

    The converter knows such a slice only for shapes that are fixed.
    """
    lengths = {
        node.name: node.attr["value"].tensor.tensor_shape.dim[0].size
        for node in graph.node
        if node.op == "Const" and node.attr["value"].tensor.tensor_shape.dim
    }
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        adds = node.op == "StridedSlice" and only_adds_axes(node, lengths[node.input[1]])
        graph.node.extend(add_axes(node) if adds else [node])


def only_adds_axes(node: NodeDef, length: int) -> bool:
    """Tell whether each of the `length` entries of a slice takes all or adds an axis."""
    added = node.attr["new_axis_mask"].i
    taken = node.attr["begin_mask"].i & node.attr["end_mask"].i
    return bool(added) and added | taken == 2**length - 1


def add_axes(node: NodeDef) -> list[NodeDef]:
    """Return nodes that add an axis at every bit of the mask; the last keeps the name."""
    mask = node.attr["new_axis_mask"].i
    axes = [axis for axis in range(mask.bit_length()) if mask >> axis & 1]
    source = node.input[0]
    parts = []
    for axis in axes:
        name = node.name if axis == axes[-1] else f"{node.name}/axis_{axis}"
        number = NodeDef(name=f"{node.name}/dim_{axis}", op="Const")
        number.attr["dtype"].type = tf.int32.as_datatype_enum
        number.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(axis, tf.int32))
        expand = NodeDef(name=name, op="ExpandDims", input=[source, number.name])
        expand.attr["T"].CopyFrom(node.attr["T"])
        expand.attr["Tdim"].type = tf.int32.as_datatype_enum
        parts += [number, expand]
        source = name
    return parts


def find(graph: GraphDef, name: str) -> NodeDef:
    """Return the node of this name."""
    for node in graph.node:
        if node.name == name:
            return node
    raise SystemExit(f"graph: no node {name!r}")


def rename(graph: GraphDef, names: dict[str, str]) -> None:
    """Give nodes other names, wherever they are used."""
    for node in graph.node:
        node.name = names.get(node.name, node.name)
        inputs = [names.get(used, used) for used in node.input]
        del node.input[:]
        node.input.extend(inputs)


def take_bytes(graph: GraphDef, image: str, shift: float) -> None:
    """Put ``cast(byte) + shift`` between a picture and the nodes that take it."""
    cast, moved, number = f"{image}/cast", f"{image}/moved", f"{image}/shift"
    for node in graph.node:
        inputs = [moved if used == image else used for used in node.input]
        del node.input[:]
        node.input.extend(inputs)
    parts = [
        NodeDef(name=cast, op="Cast", input=[image]),
        NodeDef(name=number, op="Const"),
        NodeDef(name=moved, op="AddV2", input=[cast, number]),
    ]
    float32 = tf.float32.as_datatype_enum
    parts[0].attr["SrcT"].type, parts[0].attr["DstT"].type = tf.uint8.as_datatype_enum, float32
    parts[1].attr["dtype"].type = parts[2].attr["T"].type = float32
    parts[1].attr["value"].tensor.CopyFrom(tf.make_tensor_proto(shift, tf.float32))
    graph.node.extend(parts)
