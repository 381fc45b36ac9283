"""Rotation, mirroring, masks and region of interest of one camera.

`apply` makes the frame that all later stages work on: coordinates are those of its pixels, and
masked areas are black in every picture that leaves the device. `crop_to_roi` returns the part
that the network sees; `to_roi` and `to_frame` convert poses between the two.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal, cast

import cv2
import numpy as np

from edgepose.people.zones import Point
from edgepose.skeleton import MIRRORED
from edgepose.types import Floats, Frame, Image, Picture, Pose, Size

Turn = Literal[0, 90, 180, 270]
Parts = tuple[float, float, float, float]

EVERYTHING: Final[Parts] = (0.0, 0.0, 1.0, 1.0)
TURNS: Final = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
FINE: Final = 4  # fractional bits of mask corners in `cv2.fillPoly`
BLACK: Final = (0, 0, 0)


class ImageTransform:
    """Transforms one camera's frames; returns them unchanged if nothing is configured.

    Parameters
    ----------
    rotate : int
        Degrees clockwise, before everything else: 0, 90, 180 or 270.
    mirror : bool
        Mirror the image. `to_frame` swaps left and right keypoints back.
    roi : 4 floats
        x, y, width and height of the region of interest, as parts of the frame.
    masks : sequence of polygons
        Areas to black out; corners as parts of the frame.
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
    def is_identity(self) -> bool:
        """Whether `apply` returns frames unchanged."""
        return self._turn is None and not self._mirror and not self._masks

    def apply(self, frame: Frame) -> Frame:
        """Return the transformed frame; the same object if `is_identity`."""
        if self.is_identity:
            return frame
        return replace(frame, picture=self.apply_to_image(frame.image))

    def apply_to_image(self, taken: Image) -> Image:
        """Return a transformed image, RGB or grey."""
        image = taken
        if self._turn is not None:
            image = cast(Image, cv2.rotate(image, self._turn))
        if self._mirror:
            image = cast(Image, cv2.flip(image, 1))
        if self._masks:
            image = image.copy() if image is taken else image
            for mask in self._masks:
                _black_out(image, mask)
        return image

    def crop_frame(self, frame: Frame) -> Picture:
        """Return the picture of a transformed frame, cut to the region of interest."""
        return frame.picture if self._roi is None else self.crop_to_roi(frame.image)

    def crop_to_roi(self, image: Image) -> Image:
        """Return the region of interest of a transformed image as a view of the same memory."""
        if self._roi is None:
            return image
        x, y, width, height = region(self._roi, Size(image.shape[1], image.shape[0]))
        return image[y : y + height, x : x + width]

    def to_roi(self, people: Sequence[Pose], size: Size) -> Sequence[Pose]:
        """Convert poses from a transformed frame of this size to its region of interest.

        Left and right keypoints are swapped if the image is mirrored, because the network takes a
        mirrored left hand for a right one.
        """
        return self._shift_all(people, size, -1)

    def to_frame(self, people: Sequence[Pose], size: Size) -> Sequence[Pose]:
        """Convert poses from the region of interest to a transformed frame of this size."""
        return self._shift_all(people, size, 1)

    def _shift_all(self, people: Sequence[Pose], size: Size, sign: int) -> Sequence[Pose]:
        if self._roi is None and not self._mirror:
            return people
        x, y, _, _ = region(self._roi or EVERYTHING, size)
        return [self._move_pose(pose, sign * x, sign * y) for pose in people]

    def _move_pose(self, pose: Pose, x: int, y: int) -> Pose:
        keypoints = pose.keypoints[list(MIRRORED)] if self._mirror else pose.keypoints
        moved: Floats = keypoints + np.array((x, y, 0), dtype=np.float32)
        box = pose.box._replace(x=pose.box.x + x, y=pose.box.y + y)
        return replace(pose, keypoints=moved, box=box)


def region(roi: Parts, size: Size) -> tuple[int, int, int, int]:
    """Return a region of interest in whole pixels: x, y, width, height, at least 1 x 1.

    Examples
    --------
    >>> region((0.5, 0.0, 0.5, 1.0), Size(640, 480))
    (320, 0, 320, 480)
    """
    x, y, width, height = roi
    left, right = _pixel_span(x, width, size.width)
    top, bottom = _pixel_span(y, height, size.height)
    return left, top, right - left, bottom - top


def _pixel_span(start: float, length: float, pixels: int) -> tuple[int, int]:
    first = min(round(start * pixels), pixels - 1)
    return first, min(max(first + 1, round((start + length) * pixels)), pixels)


def _black_out(image: Image, mask: Floats) -> None:
    """Black out a polygon; rounds outward, so that the mask never shows too much."""
    size = np.array((image.shape[1], image.shape[0]))
    # Mask corners refer to pixel edges, OpenCV's coordinates to pixel centres.
    corners = np.round((mask * size - 0.5) * 2**FINE).astype(np.int32)
    cv2.fillPoly(image, [corners], BLACK, shift=FINE)
