"""Coordinate frames: from a region of a picture to the model's input and exactly back."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edgepose.types import Box, Floats, Size


@dataclass(frozen=True, slots=True)
class Letterbox:
    """A region of the frame, scaled uniformly into the model's input, the rest padded.

    Positions are those of pixel centres: the first pixel's centre is (0, 0), so a
    pixel at ``i`` covers ``i - 0.5`` to ``i + 0.5``. That is the convention of the
    grid cells of PoseNet, of `cv2.resize` and of `cv2.warpAffine`, and it makes the
    way back exact.
    """

    region: tuple[int, int, int, int]
    """x, y, width, height in whole frame pixels; may reach beyond the frame."""

    model: Size
    """The model's input."""

    inner: tuple[int, int, int, int]
    """x, y, width, height in whole model pixels: where the region lands."""

    angle_deg: float = 0.0
    """Rotation of the region about its centre, clockwise in the frame. The region of a
    person whose head points to the right is upright in the model's input at 90."""

    @classmethod
    def fit(cls, region: tuple[int, int, int, int], model: Size, *, angle_deg: float = 0.0) -> Self:
        """Place a region in the middle of the model's input, as large as it fits."""
        _, _, width, height = region
        if width < 1 or height < 1:
            msg = f"region is {width} x {height} pixels; expected at least 1 x 1"
            raise ValueError(msg)
        scale = min(model.width / width, model.height / height)
        inner_width = max(1, min(model.width, round(width * scale)))
        inner_height = max(1, min(model.height, round(height * scale)))
        left = (model.width - inner_width) // 2
        top = (model.height - inner_height) // 2
        return cls(region, model, (left, top, inner_width, inner_height), angle_deg)

    @property
    def scale(self) -> tuple[float, float]:
        """Model pixels per frame pixel along x and y; they differ by the rounding only."""
        return self.inner[2] / self.region[2], self.inner[3] / self.region[3]

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(2, 3): the affine map from model pixels to frame pixels."""
        half = np.array(self.region[2:]) / 2
        turned = rotation(self.angle_deg)
        linear = turned / np.array(self.scale)
        moved = linear @ (0.5 - np.array(self.inner[:2])) - turned @ half
        return np.column_stack([linear, moved + np.array(self.region[:2]) + half - 0.5])

    def to_model(self, points: Floats) -> Floats:
        """Map ``(..., 2)`` points from frame pixels to model pixels."""
        matrix = self.matrix
        back = np.linalg.inv(matrix[:, :2])
        return np.asarray((points - matrix[:, 2]) @ back.T, dtype=np.float32)

    def to_frame(self, points: Floats) -> Floats:
        """Map ``(..., 2)`` points from model pixels to frame pixels."""
        matrix = self.matrix
        return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], dtype=np.float32)

    def box_to_frame(self, box: Box) -> Box:
        """Map a box from model pixels to the upright box around it in frame pixels."""
        right, bottom = box.x + box.width, box.y + box.height
        corners = [(box.x, box.y), (right, box.y), (box.x, bottom), (right, bottom)]
        return _bounds(self.to_frame(np.array(corners, dtype=np.float32)))


def rotation(angle_deg: float) -> NDArray[np.float64]:
    """Return the (2, 2) matrix that turns ``x, y`` clockwise, y pointing down."""
    angle = np.deg2rad(angle_deg)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def box_around(keypoints: Floats, min_score: float = 0.2) -> Box:
    """Return the box around the joints that are sure enough; around all if fewer than two are."""
    sure = keypoints[keypoints[:, 2] >= min_score]
    return _bounds((sure if len(sure) >= 2 else keypoints)[:, :2])


def _bounds(points: Floats) -> Box:
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return Box(left, top, right - left, bottom - top)


def extent(sides: Floats) -> Floats:
    """Say how large people are in pixels, however they are turned: (n,).

    The root of the area of a box with these widths and heights (n, 2), at least half
    the longer side: someone who lies along the view is thin, not small.
    """
    width, height = sides[:, 0], sides[:, 1]
    size = np.maximum(np.sqrt(width * height), np.maximum(width, height) / 2)
    return np.asarray(np.maximum(size, 1), np.float32)
