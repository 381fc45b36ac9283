"""Hold the built files against TensorFlow itself, in 32 bits, on pictures of people.

Prints, for each file and output, the largest and the mean difference over the
pictures and their mirrors.
"""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path
from types import EllipsisType
from typing import Final

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import build
import networks
import numpy as np
import pictures
from ai_edge_litert.interpreter import Interpreter
from networks import Network
from numpy.typing import NDArray

CASES: Final = (
    ("posenet_075_float16", build.POSENET, 257, 257),
    ("posenet_075_float16", build.POSENET, 353, 481),
    ("posenet_075_353x481_uint8", build.POSENET, 353, 481),
    ("posenet_075_353x481_uint8", build.POSENET, 481, 641),
    ("posenet_075_257_stride32_float16", build.POSENET, 257, 257),
    ("movenet_lightning_float16", build.LIGHTNING, 192, 192),
    ("movenet_lightning_int8", build.LIGHTNING, 192, 192),
    ("movenet_thunder_heads_float16", build.THUNDER, 256, 256),
    ("movenet_thunder_int8", build.THUNDER, 256, 256),
    ("movenet_multipose_float16", build.MULTIPOSE, 256, 256),
    ("movenet_multipose_float16", build.MULTIPOSE, 192, 256),
)
"""File, its weights, and the height and width of the pictures."""


def reference(name: str, weights: Path, height: int, width: int) -> Network:
    """Return the network a file was made from."""
    if name.startswith("posenet"):
        stride = 32 if "stride32" in name else 16
        return networks.posenet(weights, height=height, width=width, stride=stride)
    if "multipose" in name:
        return networks.movenet_multipose(weights)
    if name.endswith("int8"):
        return networks.movenet_float_heads(weights, side=height)
    if "heads" in name:
        return networks.movenet_heads(weights, side=height)
    return networks.movenet_single(weights, side=height)


def run(path: Path, picture: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the outputs of a file, as real numbers, for RGB within 0 to 255."""
    interpreter = Interpreter(str(path), num_threads=1)
    (entry,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(entry["index"], picture.shape)
    interpreter.allocate_tensors()
    posenet_float = entry["dtype"] == np.float32
    stored = picture / 127.5 - 1 if posenet_float else picture
    interpreter.set_tensor(entry["index"], stored.astype(entry["dtype"]))
    interpreter.invoke()
    return [real(interpreter.get_tensor(d["index"]), d) for d in interpreter.get_output_details()]


def real(stored: NDArray[np.generic], detail: dict) -> NDArray[np.float32]:
    """Undo the quantisation of one output."""
    scale, zero_point = detail["quantization"]
    return (stored.astype(np.float32) - zero_point) * scale if scale else stored


def differences(
    network: Network, path: Path, photos: Iterable[NDArray[np.float32]]
) -> list[NDArray[np.float32]]:
    """Return, for each output, how far the file is from TensorFlow where people are."""
    scaled = network.outputs[0] == "heatmap"  # PoseNet takes floats within [-1, 1]
    found: list[list[NDArray[np.float32]]] = [[] for _ in network.outputs]
    for photo in photos:
        truth = networks.run(network, photo / 127.5 - 1 if scaled else photo)
        where = people(network, truth)
        for gaps, expected, actual in zip(found, truth, run(path, photo), strict=True):
            gaps.append(np.abs(expected - actual)[where].ravel())
    return [np.concatenate(gaps) for gaps in found]


def people(network: Network, truth: list[NDArray[np.float32]]) -> NDArray[np.bool_] | EllipsisType:
    """Return the grid cells near a joint: elsewhere nobody reads what the heads say."""
    if "heatmap" not in network.outputs:
        return ...
    heatmap = truth[network.outputs.index("heatmap")]
    logits = network.outputs[0] == "heatmap"
    return heatmap.max(axis=-1) > (0.0 if logits else 0.2)


def main() -> None:
    """Print the differences of every file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=Path, required=True, help="the unpacked npm packages")
    parser.add_argument("--data", type=Path, required=True, help="where the files are")
    parser.add_argument("pictures", type=Path, nargs="+", help="pictures to look at")
    options = parser.parse_args()
    for name, weights, height, width in CASES:
        network = reference(name, options.inputs / weights, height, width)
        photos = pictures.letterboxed(options.pictures, height=height, width=width)
        gaps = differences(network, options.data / f"{name}.tflite", photos)
        for output, gap in zip(network.outputs, gaps, strict=True):
            said = f"max {gap.max():8.2g}  mean {gap.mean():8.2g}"
            print(f"{name:33} {height}x{width}  {output:17} {said}", flush=True)


if __name__ == "__main__":
    main()
