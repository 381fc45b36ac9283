"""Transforms between frame pixels and model pixels, and boxes around keypoints."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edgepose.types import Box, Floats, Size


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Maps a region of the frame to the model's input: uniform scale and padding.

    Positions refer to pixel centres: the centre of the first pixel is (0, 0), and the pixel at
    ``i`` covers ``i - 0.5`` to ``i + 0.5``. PoseNet's grid cells, `cv2.resize` and
    `cv2.warpAffine` use the same convention. The mapping is exact in both directions.
    """

    region: tuple[int, int, int, int]
    """x, y, width, height in whole frame pixels; may extend beyond the frame."""

    model: Size
    """Size of the model's input."""

    inner: tuple[int, int, int, int]
    """x, y, width, height of the scaled region in whole model pixels."""

    angle_deg: float = 0.0
    """Rotation of the region about its centre, in degrees clockwise in the frame. With 90, a person
    whose head points to the right is upright in the model's input."""

    @classmethod
    def fit(cls, region: tuple[int, int, int, int], model: Size, *, angle_deg: float = 0.0) -> Self:
        """Return the letterbox that centres a region in the model's input, as large as fits.

        Raises
        ------
        ValueError
            When the region is smaller than 1 x 1 pixel.
        """
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
        """Model pixels per frame pixel along x and y; they differ only by rounding."""
        return self.inner[2] / self.region[2], self.inner[3] / self.region[3]

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(2, 3): affine map from model pixels to frame pixels; read-only."""
        return _matrix(self)

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
        """Map a box from model pixels to its axis-aligned bounding box in frame pixels."""
        right, bottom = box.x + box.width, box.y + box.height
        corners = [(box.x, box.y), (right, box.y), (box.x, bottom), (right, bottom)]
        return _bounding_box(self.to_frame(np.array(corners, dtype=np.float32)).tolist())


@lru_cache(maxsize=64)  # each pose of a crop needs it twice
def _matrix(box: Letterbox) -> NDArray[np.float64]:
    half = np.array(box.region[2:]) / 2
    turned = rotation(box.angle_deg)
    linear = turned / np.array(box.scale)
    moved = linear @ (0.5 - np.array(box.inner[:2])) - turned @ half
    matrix = np.column_stack([linear, moved + np.array(box.region[:2]) + half - 0.5])
    matrix.flags.writeable = False
    return matrix


def rotation(angle_deg: float) -> NDArray[np.float64]:
    """Return the (2, 2) matrix of a clockwise rotation of ``x, y``, with y pointing down."""
    angle = np.deg2rad(angle_deg)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def box_around(keypoints: Floats, min_score: float = 0.2) -> Box:
    """Return the box around the keypoints of at least `min_score`; around all if fewer than two."""
    points = keypoints.tolist()
    sure = [point for point in points if point[2] >= min_score]
    return _bounding_box(sure if len(sure) >= 2 else points)


def _bounding_box(points: list[list[float]]) -> Box:
    # numpy takes twice as long for so few points.
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    left, top = min(xs), min(ys)
    return Box(left, top, max(xs) - left, max(ys) - top)


def extent(sides: Floats) -> Floats:
    """Return the sizes of people in pixels, (n,), independent of their orientation.

    The size is the square root of the area of a box with these widths and heights, (n, 2), and at
    least half the longer side: the box of a person who lies along the line of sight is thin.
    """
    width, height = sides[:, 0], sides[:, 1]
    size = np.maximum(np.sqrt(width * height), np.maximum(width, height) / 2)
    return np.asarray(np.maximum(size, 1), np.float32)
