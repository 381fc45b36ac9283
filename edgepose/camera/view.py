"""What a camera shows: turned, mirrored, in part blacked out, and where in it to look.

`show` makes the frame that everything after it knows: its pixels are those of all
coordinates, and what is masked is in no picture that leaves the device. `part` is what
the network sees of it; `inward` and `outward` lead people there and back.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, cast

import cv2
import numpy as np

from edgepose.people.zones import Point
from edgepose.skeleton import MIRRORED
from edgepose.types import Floats, Frame, Image, Pose, Size

Turn = Literal[0, 90, 180, 270]
Parts = tuple[float, float, float, float]

EVERYTHING: Final[Parts] = (0.0, 0.0, 1.0, 1.0)
TURNS: Final = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
FINE: Final = 4  # bits below the pixel that corners of masks are drawn with
BLACK: Final = (0, 0, 0)


class View:
    """How one camera's pictures are to be seen; costs nothing where nothing is asked for.

    Parameters
    ----------
    rotate : int
        Degrees clockwise, before everything else: 0, 90, 180 or 270.
    mirror : bool
        Swap left and right of the picture. The people in it keep theirs.
    roi : 4 floats
        x, y, width and height of what is looked at, as parts of the frame.
    masks : sequence of polygons
        What is blacked out; corners as parts of the frame.
    """

    def __init__(
        self,
        *,
        rotate: Turn = 0,
        mirror: bool = False,
        roi: Parts = EVERYTHING,
        masks: Sequence[Sequence[Point]] = (),
    ) -> None:
        self._turn = TURNS.get(rotate)
        self._mirror = mirror
        self._roi = None if roi == EVERYTHING else roi
        self._masks = [np.array(mask, dtype=np.float32) for mask in masks]

    @property
    def plain(self) -> bool:
        """Whether the camera's pictures are shown as they come."""
        return self._turn is None and not self._mirror and not self._masks

    def show(self, frame: Frame) -> Frame:
        """Return the frame as it is to be seen; the same one where nothing is changed."""
        return frame if self.plain else replace(frame, image=self.shown(frame.image))

    def shown(self, taken: Image) -> Image:
        """Return a picture, RGB or grey, as it is to be seen."""
        image = taken
        if self._turn is not None:
            image = cast(Image, cv2.rotate(image, self._turn))
        if self._mirror:
            image = cast(Image, cv2.flip(image, 1))
        if self._masks:
            image = image.copy() if image is taken else image
            for mask in self._masks:
                _blacken(image, mask)
        return image

    def part(self, image: Image) -> Image:
        """Return what of a shown picture the network is to see, without a copy."""
        if self._roi is None:
            return image
        x, y, width, height = region(self._roi, Size(image.shape[1], image.shape[0]))
        return image[y : y + height, x : x + width]

    def inward(self, people: Sequence[Pose], size: Size) -> Sequence[Pose]:
        """Take people from a shown frame of this size to the part that the network sees.

        In a mirrored picture a network calls the left hand a right one; who is expected
        there has hands to match.
        """
        return self._moved(people, size, -1)

    def outward(self, people: Sequence[Pose], size: Size) -> Sequence[Pose]:
        """Take people from the part that the network sees to the shown frame of this size."""
        return self._moved(people, size, 1)

    def _moved(self, people: Sequence[Pose], size: Size, way: int) -> Sequence[Pose]:
        if self._roi is None and not self._mirror:
            return people
        x, y, _, _ = region(self._roi or EVERYTHING, size)
        return [self._move(pose, way * x, way * y) for pose in people]

    def _move(self, pose: Pose, x: int, y: int) -> Pose:
        keypoints = pose.keypoints[list(MIRRORED)] if self._mirror else pose.keypoints
        moved: Floats = keypoints + np.array((x, y, 0), dtype=np.float32)
        box = pose.box._replace(x=pose.box.x + x, y=pose.box.y + y)
        return replace(pose, keypoints=moved, box=box)


def region(roi: Parts, size: Size) -> tuple[int, int, int, int]:
    """Return parts of a frame in whole pixels: x, y, width, height; never empty.

    Examples
    --------
    >>> region((0.5, 0.0, 0.5, 1.0), Size(640, 480))
    (320, 0, 320, 480)
    """
    x, y, width, height = roi
    left, right = _span(x, width, size.width)
    top, bottom = _span(y, height, size.height)
    return left, top, right - left, bottom - top


def _span(start: float, length: float, pixels: int) -> tuple[int, int]:
    first = min(round(start * pixels), pixels - 1)
    return first, min(max(first + 1, round((start + length) * pixels)), pixels)


def _blacken(image: Image, mask: Floats) -> None:
    """Black out a polygon and its border: rather a pixel too many than an eye too much."""
    size = np.array((image.shape[1], image.shape[0]))
    # Corners are edges of pixels here, and OpenCV's numbers are middles of pixels.
    corners = np.round((mask * size - 0.5) * 2**FINE).astype(np.int32)
    cv2.fillPoly(image, [corners], BLACK, shift=FINE)
