"""Motion detection on small grey images against a running background.

The image has about 4800 cells. Each cell has a running mean and a running mean deviation. The
threshold of a cell is a multiple of its deviation, so that sensor noise in the dark and small
repeated movements, such as a ticking clock, are not reported as motion.
"""

import math
from typing import Final, cast

import cv2
import numpy as np

from edgepose.timing import NS_PER_S
from edgepose.types import Floats, Image, Size

CELLS: Final = 80  # cells on the longer side; a person one tenth as tall covers 8 cells
PIXELS: Final = 4  # samples per cell and side; their mean is less noisy than one sample
SETTLE_S: Final = 2.0  # time constant of the mean; long enough to detect a slow walker
LEARN_S: Final = 20.0  # time constant of the mean deviation
LEAST: Final = 3.0  # minimum threshold in grey levels of 255; rounding and JPEG reach two
TIMES: Final = 7.0  # ratio of threshold to mean deviation; over five standard deviations of noise
ENOUGH: Final = 4  # minimum number of changed cells; the blur spreads one changed cell to 3 x 3


def shrink(image: Image) -> Image:
    """Return an image, RGB or grey, as a grey thumbnail; the cost does not depend on its size."""
    size = Size(image.shape[1], image.shape[0]).within(CELLS * PIXELS)
    sampled = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    grey = sampled if sampled.ndim == 2 else cv2.cvtColor(sampled, cv2.COLOR_RGB2GRAY)
    return cast(Image, cv2.resize(grey, size.within(CELLS), interpolation=cv2.INTER_AREA))


class Motion:
    """Detects motion in the thumbnails of one camera."""

    def __init__(self) -> None:
        self._usual: Floats | None = None
        self._strays: Floats | None = None
        self._at_ns = 0

    def update(self, small: Image, at_ns: int, *, learn: bool) -> bool:
        """Update the background and return whether anything moved; True for the first thumbnail.

        Parameters
        ----------
        small : (height, width)
            Thumbnail made by `shrink`, or a part of one.
        learn : bool
            Whether to update the mean deviation. True while no person is in view: any motion is
            then part of the background.

        Notes
        -----
        The mean of all differences is subtracted first, so that a change of the camera's exposure
        is not motion.
        """
        grey = cast(Floats, cv2.blur(small.astype(np.float32), (3, 3)))
        if self._usual is None or self._strays is None or self._usual.shape != grey.shape:
            self._usual, self._at_ns = grey, at_ns
            self._strays = np.full_like(grey, LEAST / TIMES)
            return True
        passed_s, self._at_ns = (at_ns - self._at_ns) / NS_PER_S, at_ns
        change = grey - self._usual
        self._usual += _average_weight(passed_s, SETTLE_S) * change
        distance: Floats = np.abs(change - change.mean())
        moved = int(np.count_nonzero(distance > np.maximum(LEAST, TIMES * self._strays)))
        if learn:
            self._strays += _average_weight(passed_s, LEARN_S) * (distance - self._strays)
        return moved >= ENOUGH


def _average_weight(passed_s: float, constant_s: float) -> float:
    """Return the weight of the newest value in an exponential average."""
    return 1.0 - math.exp(-max(0.0, passed_s) / constant_s)
