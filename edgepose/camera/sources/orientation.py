"""Rotation and mirroring of decoded pictures by their display matrix."""

from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Self, cast

import cv2
import numpy as np

from edgepose.types import Image

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

FLIPS: Final = {(True, False): 1, (False, True): 0, (True, True): -1}
"""OpenCV's flip code by horizontal and vertical mirroring."""


@dataclass(frozen=True, slots=True)
class Orientation:
    """One of the eight orientations of a picture: an optional transposition, then a flip."""

    transposed: bool = False
    mirrored: bool = False
    """Whether left and right are swapped after the transposition."""

    upside_down: bool = False
    """Whether top and bottom are swapped after the transposition."""

    @classmethod
    def of_matrix(cls, a: float, b: float, c: float, d: float) -> Self:
        """Convert a display matrix: ``x' = a x + c y``, ``y' = b x + d y`` (ISO 14496-12, 6.2.2).

        Angles are rounded to the nearest multiple of 90 degrees.
        """
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(transposed=True, mirrored=c < 0, upside_down=b < 0)
        return cls(mirrored=a < 0, upside_down=d < 0)

    def apply(self, image: Image) -> Image:
        """Return the upright picture; the same object if nothing changes."""
        if self.transposed:
            image = cast(Image, cv2.transpose(image))
        flip = FLIPS.get((self.mirrored, self.upside_down))
        return image if flip is None else cast(Image, cv2.flip(image, flip))


def orientation_of(picture: "VideoFrame") -> Orientation:
    """Return the orientation of a frame decoded by PyAV."""
    _accept_unknown_side_data()
    side_data = cast(Any, picture.side_data)
    matrices = [data for data in side_data if data.type.name == "DISPLAYMATRIX"]
    if not matrices:
        return Orientation()
    a, b, _, c, d = np.frombuffer(memoryview(matrices[0]), dtype=np.int32)[:5].tolist()
    return Orientation.of_matrix(a, b, c, d)


@cache
def _accept_unknown_side_data() -> None:
    """Make PyAV accept side data of types that it does not know.

    PyAV 18 raises ValueError for the whole list if one entry is not in its enum, such as the
    EXIF that telephones write (FFmpeg 8). PyAV's separate rotation does not tell whether the
    picture is mirrored.
    """
    from av.sidedata.sidedata import Type

    def unknown(kind: type[Enum], value: object) -> Enum:
        member = object.__new__(kind)
        member._name_, member._value_ = f"UNKNOWN_{value}", value
        return member

    cast(Any, Type)._missing_ = classmethod(unknown)
