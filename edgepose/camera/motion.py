"""Does anything move: a small grey picture against what was there a moment ago.

The picture is some 4800 cells. Each cell knows what it usually shows and how far it
usually strays from that, so that neither noise in the dark nor a clock that ticks in
a corner of the picture is a movement, but somebody who comes in is.
"""

import math
from typing import Final, cast

import cv2
import numpy as np

from edgepose.timing import NS_PER_S
from edgepose.types import Floats, Image, Size

CELLS: Final = 80  # along the longer side: a person as high as a tenth of it is 8 cells high
PIXELS: Final = 4  # looked at in each cell, along each side: their mean is less noisy than one
SETTLE_S: Final = 2.0  # what has changed is the usual after so long; a slow walker still is not
LEARN_S: Final = 20.0  # the same for how far a cell strays
LEAST: Final = 3.0  # grey levels, of 255: rounding and JPEG alone reach two
TIMES: Final = 7.0  # as far as usual, on average: over five standard deviations of noise
ENOUGH: Final = 4  # cells: half of what one moving pixel, spread by the blur, may touch


def shrink(image: Image) -> Image:
    """Return a picture, RGB or grey, as a grey one of few cells; costs the same for any size."""
    size = Size(image.shape[1], image.shape[0]).within(CELLS * PIXELS)
    sampled = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
    grey = sampled if sampled.ndim == 2 else cv2.cvtColor(sampled, cv2.COLOR_RGB2GRAY)
    return cast(Image, cv2.resize(grey, size.within(CELLS), interpolation=cv2.INTER_AREA))


class Motion:
    """Tells movement in the small pictures of one camera."""

    def __init__(self) -> None:
        self._usual: Floats | None = None
        self._strays: Floats | None = None
        self._at_ns = 0

    def update(self, small: Image, at_ns: int, *, learn: bool) -> bool:
        """Take the next small picture; say whether anything has moved in it.

        Parameters
        ----------
        small : (height, width)
            What `shrink` made of a picture, or a part of that.
        learn : bool
            Whether nobody is in view: what moves now belongs to the room.

        Notes
        -----
        The mean of all differences is taken off first: a camera that adjusts its
        exposure moves nothing.
        """
        grey = cast(Floats, cv2.blur(small.astype(np.float32), (3, 3)))
        if self._usual is None or self._strays is None or self._usual.shape != grey.shape:
            self._usual, self._at_ns = grey, at_ns
            self._strays = np.full_like(grey, LEAST / TIMES)
            return True
        passed_s, self._at_ns = (at_ns - self._at_ns) / NS_PER_S, at_ns
        change = grey - self._usual
        self._usual += _share(passed_s, SETTLE_S) * change
        distance: Floats = np.abs(change - change.mean())
        moved = int(np.count_nonzero(distance > np.maximum(LEAST, TIMES * self._strays)))
        if learn:
            self._strays += _share(passed_s, LEARN_S) * (distance - self._strays)
        return moved >= ENOUGH


def _share(passed_s: float, constant_s: float) -> float:
    """Return how far an exponential average goes towards the newest value."""
    return 1.0 - math.exp(-max(0.0, passed_s) / constant_s)
