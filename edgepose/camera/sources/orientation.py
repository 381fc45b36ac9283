"""The display matrix of a film or picture: how a decoded picture is turned and mirrored."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, cast

import cv2
import numpy as np

from edgepose.types import Image

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

FLIPS: Final = {(True, False): 1, (False, True): 0, (True, True): -1}
"""Mirrored horizontally and vertically, to OpenCV's code."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """A transposition, and then a flip; any of the eight ways to show a picture."""

    transposed: bool = False
    mirrored: bool = False
    """Left and right are swapped, after the transposition."""

    upside_down: bool = False
    """Top and bottom are swapped, after the transposition."""

    @classmethod
    def of_matrix(cls, a: float, b: float, c: float, d: float) -> Self:
        """Read a display matrix: ``x' = a x + c y``, ``y' = b x + d y`` (ISO 14496-12, 6.2.2).

        Other angles than right ones are rounded to the nearest.
        """
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(transposed=True, mirrored=c < 0, upside_down=b < 0)
        return cls(mirrored=a < 0, upside_down=d < 0)

    def apply(self, image: Image) -> Image:
        """Return the picture as it is to be shown; the same one where nothing is changed."""
        if self.transposed:
            image = cast(Image, cv2.transpose(image))
        flip = FLIPS.get((self.mirrored, self.upside_down))
        return image if flip is None else cast(Image, cv2.flip(image, flip))


def orientation_of(picture: "VideoFrame") -> Orientation:
    """Return how a frame decoded by PyAV is to be shown."""
    try:
        side_data = cast(Any, picture.side_data)
        matrices = [data for data in side_data if data.type.name == "DISPLAYMATRIX"]
    except ValueError:  # PyAV 18 does not know every kind of side data, EXIF among them
        return _turned(picture.rotation)
    if not matrices:
        return Orientation()
    a, b, _, c, d = np.frombuffer(memoryview(matrices[0]), dtype=np.int32)[:5].tolist()
    return Orientation.of_matrix(a, b, c, d)


def _turned(degrees: int) -> Orientation:
    """Return a rotation, counted counterclockwise as FFmpeg does."""
    a, b = {0: (1, 0), 90: (0, -1), 180: (-1, 0), 270: (0, 1)}.get(degrees % 360, (1, 0))
    return Orientation.of_matrix(a, b, -b, a)
