"""Pictures of people, from which the eight bit files learn their ranges."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


def letterboxed(folder: Path, *, height: int, width: int) -> Iterator[NDArray[np.float32]]:
    """Yield every picture of a folder and its mirror, as a network's input of this size.

    Returns
    -------
    iterator of (1, height, width, 3)
        RGB within 0 to 255, uniformly scaled, black beside.
    """
    for path in sorted(folder.glob("*.jp*g")) + sorted(folder.glob("*.png")):
        picture = tf.io.decode_image(path.read_bytes(), channels=3, expand_animations=False)
        boxed = tf.image.resize_with_pad(picture, height, width, antialias=True)
        for turned in (boxed, boxed[:, ::-1]):
            yield np.clip(np.rint(turned), 0, 255)[None].astype(np.float32)
