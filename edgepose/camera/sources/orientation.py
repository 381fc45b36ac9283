"""The display matrix of a film or picture: how a decoded picture is turned and mirrored."""

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
    _accept_unknown_side_data()
    side_data = cast(Any, picture.side_data)
    matrices = [data for data in side_data if data.type.name == "DISPLAYMATRIX"]
    if not matrices:
        return Orientation()
    a, b, _, c, d = np.frombuffer(memoryview(matrices[0]), dtype=np.int32)[:5].tolist()
    return Orientation.of_matrix(a, b, c, d)


@cache
def _accept_unknown_side_data() -> None:
    """Let PyAV list the side data of a frame that has some of a newer kind.

    PyAV 18 raises ValueError for the whole list where one entry is not in its enum, such as
    the EXIF that telephones write (FFmpeg 8). The rotation alone, which it has apart, does
    not tell whether the picture is mirrored.
    """
    from av.sidedata.sidedata import Type

    def unknown(kind: type[Enum], value: object) -> Enum:
        member = object.__new__(kind)
        member._name_, member._value_ = f"UNKNOWN_{value}", value
        return member

    cast(Any, Type)._missing_ = classmethod(unknown)
