"""Hold the built files against TensorFlow itself, in 32 bits, on pictures of people.

Prints, for each file and output, the largest and the mean difference over all
pictures of a folder.
"""

import argparse
import os
from pathlib import Path
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

FILES: Final = {
    "posenet_075_float16": (build.POSENET, 257, 257),
    "posenet_075_353x481_uint8": (build.POSENET, 353, 481),
    "posenet_075_481x641_uint8": (build.POSENET, 481, 641),
    "posenet_075_257_stride32_float16": (build.POSENET, 257, 257),
    "movenet_lightning_float16": (build.LIGHTNING, 192, 192),
    "movenet_lightning_int8": (build.LIGHTNING, 192, 192),
    "movenet_thunder_float16": (build.THUNDER, 256, 256),
    "movenet_thunder_int8": (build.THUNDER, 256, 256),
    "movenet_multipose_float16": (build.MULTIPOSE, 256, 256),
}


def reference(name: str, weights: Path, height: int, width: int) -> Network:
    """Return the network a file was made from."""
    if name.startswith("posenet"):
        stride = 32 if "stride32" in name else 16
        return networks.posenet(weights, height=height, width=width, stride=stride)
    if "multipose" in name:
        return networks.movenet_multipose(weights)
    if name.endswith("int8"):
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


def main() -> None:
    """Print the differences of every file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=Path, required=True, help="the unpacked npm packages")
    parser.add_argument("--data", type=Path, required=True, help="where the files are")
    parser.add_argument("--pictures", type=Path, required=True, help="pictures to look at")
    options = parser.parse_args()
    for name, (weights, height, width) in FILES.items():
        network = reference(name, options.inputs / weights, height, width)
        scaled = network.outputs[0] == "heatmap"  # PoseNet takes floats in [-1, 1]
        found: dict[str, list[NDArray[np.float32]]] = {output: [] for output in network.outputs}
        for picture in pictures.letterboxed(options.pictures, height=height, width=width):
            truth = networks.run(network, picture / 127.5 - 1 if scaled else picture)
            outputs = run(options.data / f"{name}.tflite", picture)
            for output, expected, actual in zip(network.outputs, truth, outputs, strict=True):
                found[output].append(np.abs(expected - actual))
        for output, differences in found.items():
            gap = np.stack(differences)
            print(f"{name:34} {output:18} max {gap.max():9.2g}  mean {gap.mean():9.2g}", flush=True)


if __name__ == "__main__":
    main()
