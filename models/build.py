"""Build the .tflite files that edgepose ships from the published TF.js weights.

`make -C models` fetches what this needs and runs it; README.md beside it says
where everything comes from. The same inputs give the same bytes.
"""

import argparse
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # a graphics card would round otherwise
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import convert
import networks
import pictures

SUMS: Final = Path(__file__).with_name("inputs.sha256")


def posenet(inputs: Path) -> bytes:
    """Stride 16, any size by resizing the input, which is bytes."""
    network = networks.posenet(inputs / POSENET, height=257, width=257, takes_bytes=True)
    return convert.with_input_scale(convert.to_float16(network), 1 / 127.5)


def posenet_stride32(inputs: Path) -> bytes:
    """Stride 32: the grid of 9 x 9 cells of the first PoseNet published for phones."""
    network = networks.posenet(inputs / POSENET, height=257, width=257, stride=32)
    return convert.to_float16(network)


def posenet_uint8(inputs: Path) -> bytes:
    """Stride 16 in whole numbers; a resized input finds its ranges wide enough, too."""
    network = networks.posenet(inputs / POSENET, height=353, width=481)
    photos = pictures.for_calibration(inputs.glob(PHOTOS), height=353, width=481)
    return convert.to_uint8(network, [photo / 127.5 - 1 for photo in photos])


def lightning(inputs: Path) -> bytes:
    """One person, fast."""
    return convert.to_float16(networks.movenet_single(inputs / LIGHTNING, side=192))


def thunder(inputs: Path) -> bytes:
    """One person, precise, up to the heads: the input then takes the shape of a person."""
    return convert.to_float16(networks.movenet_heads(inputs / THUNDER, side=256))


def lightning_int8(inputs: Path) -> bytes:
    """One person, fast, up to the heads in whole numbers."""
    return movenet_int8(inputs, LIGHTNING, side=192)


def thunder_int8(inputs: Path) -> bytes:
    """One person, precise, up to the heads in whole numbers."""
    return movenet_int8(inputs, THUNDER, side=256)


def movenet_int8(inputs: Path, weights: str, *, side: int) -> bytes:
    """Whole numbers up to the four heads."""
    network = networks.movenet_float_heads(inputs / weights, side=side)
    photos = pictures.for_calibration(inputs.glob(PHOTOS), height=side, width=side)
    return convert.to_uint8(network, list(photos))


def multipose(inputs: Path) -> bytes:
    """Up to six people, any size by resizing the input."""
    data = convert.to_float16(networks.movenet_multipose(inputs / MULTIPOSE))
    return convert.with_default_size(data, height=256, width=256)


POSENET: Final = "human-models/models/posenet.json"
LIGHTNING: Final = "human-models/models/movenet-lightning.json"
THUNDER: Final = "human-models/models/movenet-thunder.json"
MULTIPOSE: Final = "human-models/models/movenet-multipose.json"
PHOTOS: Final = "face-api/demo/sample?.jpg"

PRODUCTS: Final[dict[str, Callable[[Path], bytes]]] = {
    "posenet_075_float16": posenet,
    "posenet_075_353x481_uint8": posenet_uint8,
    "posenet_075_257_stride32_float16": posenet_stride32,
    "movenet_lightning_float16": lightning,
    "movenet_lightning_int8": lightning_int8,
    "movenet_thunder_heads_float16": thunder,
    "movenet_thunder_int8": thunder_int8,
    "movenet_multipose_float16": multipose,
}


def check(inputs: Path) -> None:
    """Refuse inputs that are not, to the bit, those the files were built from."""
    for line in SUMS.read_text().splitlines():
        expected, name = line.split()
        found = hashlib.sha256((inputs / name).read_bytes()).hexdigest()
        if found != expected:
            raise SystemExit(f"{name}: SHA-256 {found}; expected {expected}")


def main() -> None:
    """Build all files, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=Path, required=True, help="the unpacked npm packages")
    parser.add_argument("--out", type=Path, required=True, help="where the files go")
    parser.add_argument("names", nargs="*", default=list(PRODUCTS), metavar="name")
    options = parser.parse_args()
    check(options.inputs)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        data = PRODUCTS[name](options.inputs)
        (options.out / f"{name}.tflite").write_bytes(data)
        print(f"{name}  {len(data)} bytes  {hashlib.sha256(data).hexdigest()}", flush=True)


if __name__ == "__main__":
    main()
