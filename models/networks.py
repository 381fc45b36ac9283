"""The networks as they are converted: which graph, what goes in, what comes out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import tensorflow as tf
import tfjs
from tfjs import GraphDef

POSENET_HEADS: Final = {
    "MobilenetV1/heatmap_2/BiasAdd": "heatmap",
    "MobilenetV1/offset_2/BiasAdd": "short_offset",
    "MobilenetV1/displacement_fwd_2/BiasAdd": "displacement_fwd",
    "MobilenetV1/displacement_bwd_2/BiasAdd": "displacement_bwd",
}
LAST_DEPTHWISE: Final = (
    "MobilenetV1/MobilenetV1/Conv2d_13_depthwise/BatchNorm/batchnorm/add_1/conv/convolution"
)
MOVENET_HEADS: Final = {
    "StatefulPartitionedCall/Sigmoid_1": "center",
    "StatefulPartitionedCall/Sigmoid": "heatmap",
    "StatefulPartitionedCall/kpt_regress_0/conv2d_6/BiasAdd": "regress",
    "StatefulPartitionedCall/kpt_offset_0/conv2d_7/BiasAdd": "offset",
}
MOVENET_CAST: Final = "StatefulPartitionedCall/Cast"


@dataclass(frozen=True, slots=True)
class Network:
    """A graph with one input, the node `image`, and named outputs."""

    graph: GraphDef
    outputs: tuple[str, ...]
    """Names of nodes; the tensors of the .tflite file get the same, in this order."""


def posenet(
    weights: Path, *, height: int, width: int, stride: int = 16, takes_bytes: bool = False
) -> Network:
    """PoseNet for pictures of one size: float RGB in [-1, 1] in, four heads out.

    With `takes_bytes`, uint8 RGB in: the network adds -1 to what `convert.with_input_scale`
    makes of a byte.

    The weights belong to a network of stride 16 without any dilation. Stride 32
    is had by stepping over every second cell in the last layer that looks at
    neighbours, the depthwise convolution of block 13: anywhere earlier, or with
    the dilations of the textbook, the weights no longer fit.
    """
    graph = tfjs.read_graph(weights)
    tfjs.rename(graph, POSENET_HEADS)
    set_input(graph, "image", tf.float32, (height, width))
    if takes_bytes:
        tfjs.take_bytes(graph, "image", -1.0)
        set_input(graph, "image", tf.uint8, (height, width))
    if stride == 32:
        steps = tfjs.find(graph, LAST_DEPTHWISE).attr["strides"].list.i
        steps[:] = [1, 2, 2, 1]
    return Network(graph, tuple(POSENET_HEADS.values()))


def movenet_single(weights: Path, *, side: int) -> Network:
    """MoveNet for one person: uint8 RGB in, [1, 1, 17, 3] out."""
    return take_bytes(weights, (side, side), "keypoints")


def movenet_multipose(weights: Path) -> Network:
    """MoveNet for up to six people: uint8 RGB of any size in, [1, 6, 56] out."""
    network = take_bytes(weights, (None, None), "people")
    tfjs.expand_new_axes(network.graph)
    return network


def movenet_heads(weights: Path, *, side: int) -> Network:
    """MoveNet up to its four heads: uint8 RGB in.

    The decoder computes what follows. Without it the input can take other shapes:
    of the rest of the graph only the three up-samplings name a size.
    """
    network = take_bytes(weights, (side, side), "keypoints")
    tfjs.rename(network.graph, MOVENET_HEADS)
    return Network(network.graph, tuple(MOVENET_HEADS.values()))


def movenet_float_heads(weights: Path, *, side: int) -> Network:
    """MoveNet up to its four heads for quantisation: float32 RGB 0 to 255 in.

    What follows the heads computes coordinates and distances, which eight bits
    cannot hold; the decoder does that part.
    """
    graph = tfjs.read_graph(weights)
    tfjs.rename(graph, {MOVENET_CAST: "image"} | MOVENET_HEADS)
    cast = tfjs.find(graph, "image")
    cast.CopyFrom(tfjs.NodeDef(name="image", op="Placeholder"))
    set_input(graph, "image", tf.float32, (side, side))
    return Network(graph, tuple(MOVENET_HEADS.values()))


def take_bytes(weights: Path, size: tuple[int | None, int | None], output: str) -> Network:
    """Let a whole MoveNet take uint8 instead of int32: its first node casts either."""
    graph = tfjs.read_graph(weights)
    tfjs.rename(graph, {"input": "image", "Identity": output})
    set_input(graph, "image", tf.uint8, size)
    tfjs.find(graph, MOVENET_CAST).attr["SrcT"].type = tf.uint8.as_datatype_enum
    return Network(graph, (output,))


def set_input(
    graph: GraphDef, name: str, dtype: tf.DType, size: tuple[int | None, int | None]
) -> None:
    """Set type, height and width (None: open) of the picture a graph takes."""
    placeholder = tfjs.find(graph, name)
    placeholder.attr["dtype"].type = dtype.as_datatype_enum
    placeholder.attr["shape"].shape.CopyFrom(tf.TensorShape([1, *size, 3]).as_proto())


def run(network: Network, picture: np.ndarray) -> list[np.ndarray]:
    """Return what TensorFlow itself makes of one input, as the truth to compare with."""
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        tf.import_graph_def(network.graph, name="")
        outputs = [graph.get_tensor_by_name(f"{name}:0") for name in network.outputs]
        return session.run(outputs, {"image:0": picture})
