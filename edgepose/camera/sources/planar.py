"""Decoded pictures that are converted to RGB only where and in the size in which they are used.

Converting a picture takes as long as decoding it, and most of its pixels are discarded right
after. The network's input is made of the shrunk planes instead.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.types import Image

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

FORMATS: Final = frozenset({"yuv420p", "yuvj420p"})
"""Pixel formats with three planes of bytes, those of colour at half the width and height."""

LUMA: Final = np.arange(60, 191, 5)
COLOUR: Final = np.arange(104, 153, 8)
"""Values of the test colours; many, since each is rounded, and none beyond the limits of RGB."""


class PlanarPicture:
    """A picture in the memory of its decoder.

    Parameters
    ----------
    picture : VideoFrame
        Its format is one of `FORMATS`; width and height are even.
    matrix : (3, 4)
        Conversion to RGB; see `conversion`.
    convert : callable
        Converts the whole picture to RGB. Thread-safe.
    """

    def __init__(
        self,
        picture: "VideoFrame",
        matrix: NDArray[np.float64],
        convert: Callable[["VideoFrame"], Image],
    ) -> None:
        self.shape = (picture.height, picture.width, 3)
        self._picture = picture
        self._matrix = matrix
        self._convert = convert
        self._rgb: Image | None = None

    @property
    def planes(self) -> tuple[Image, Image, Image]:
        """Y, U and V, each (height, width)."""
        y, u, v = (_pixels(plane) for plane in self._picture.planes)
        return y, u, v

    def colours(self, pixels: Image) -> Image:
        """Convert pixels ``Y, U, V`` (height, width, 3) of any size to RGB."""
        return np.asarray(cv2.transform(pixels, self._matrix), np.uint8)

    def cut(self, left: int, top: int, right: int, bottom: int) -> Image:
        """Return a part of the picture as RGB, within its bounds."""
        # Pixels share their colour in squares of two by two.
        x, y = left // 2, top // 2
        part = slice(y, -(-bottom // 2)), slice(x, -(-right // 2))
        luma, *colours = self.planes
        size = 2 * (part[1].stop - x), 2 * (part[0].stop - y)
        wide = [cv2.resize(plane[part], size, interpolation=cv2.INTER_NEAREST) for plane in colours]
        shown = luma[2 * y : 2 * part[0].stop, 2 * x : 2 * part[1].stop]
        rgb = self.colours(np.asarray(cv2.merge([shown, *wide]), np.uint8))
        return rgb[top - 2 * y : bottom - 2 * y, left - 2 * x : right - 2 * x]

    def to_rgb(self) -> Image:
        """Return the whole picture as RGB; converted once. Thread-safe."""
        if self._rgb is None:
            self._rgb = self._convert(self._picture)
        return self._rgb


def is_planar(picture: "VideoFrame") -> bool:
    """Return whether a `PlanarPicture` can be made of a picture."""
    even = picture.width % 2 == picture.height % 2 == 0
    return even and picture.format.name in FORMATS


def conversion(
    picture: "VideoFrame", convert: Callable[["VideoFrame"], Image]
) -> NDArray[np.float64]:
    """Return the matrix (3, 4) from ``Y, U, V, 1`` to RGB that `convert` uses for a picture.

    Found from test colours, so that it agrees with FFmpeg for every colour space and range.
    """
    from av import VideoFrame

    colours = np.array(np.meshgrid(LUMA, COLOUR, COLOUR)).reshape(3, -1).astype(np.uint8)
    count = colours.shape[1]
    test = VideoFrame(2 * count, 2, picture.format.name)
    test.colorspace, test.color_range = picture.colorspace, picture.color_range
    for plane, values in zip(test.planes, colours, strict=True):
        _pixels(plane)[:] = values.repeat(plane.width // count)
    rgb = convert(test)[0, ::2]
    matrix, *_ = np.linalg.lstsq(np.vstack([colours, np.ones(count)]).T, rgb, rcond=None)
    return np.asarray(matrix.T, np.float64)


def _pixels(plane: Any) -> Image:
    """Return a plane as a view (height, width)."""
    rows = np.frombuffer(cast(Any, plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]
