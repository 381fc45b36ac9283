"""Pictures of people, from which the eight bit files learn their ranges."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

MIDDLE: Final = 0.6  # of the sides: people nearly fill it, and displacements are longest then


def for_calibration(
    files: Iterable[Path], *, height: int, width: int
) -> Iterator[NDArray[np.float32]]:
    """Yield every picture, its mirror, and the middle of both.

    Without the middles the range of PoseNet's displacements came out too small
    for people who fill the frame.
    """
    for picture in letterboxed(files, height=height, width=width):
        yield picture
        middle = tf.image.central_crop(picture, MIDDLE)
        yield whole_numbers(tf.image.resize(middle, (height, width), antialias=True))


def letterboxed(files: Iterable[Path], *, height: int, width: int) -> Iterator[NDArray[np.float32]]:
    """Yield every picture and its mirror, as a network's input of this size.

    Returns
    -------
    iterator of (1, height, width, 3)
        RGB within 0 to 255, uniformly scaled, black beside.
    """
    for path in sorted(files):
        picture = tf.io.decode_image(path.read_bytes(), channels=3, expand_animations=False)
        boxed = tf.image.resize_with_pad(picture[None], height, width, antialias=True)
        yield whole_numbers(boxed)
        yield whole_numbers(boxed[:, :, ::-1])


def whole_numbers(picture: tf.Tensor) -> NDArray[np.float32]:
    """Round to what a picture of bytes can hold."""
    return np.clip(np.rint(picture), 0, 255).astype(np.float32)
