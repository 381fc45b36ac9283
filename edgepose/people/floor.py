"""Positions on the floor in metres from frame pixels, calibrated by four known points.

The four points give the homography between floor and frame. The homography gives the camera's
focal length and pose (square pixels, principal point at the frame's centre), which are used to
compute heights above the floor. Lens distortion is not corrected.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from edgepose.config.schema import CameraFloor
from edgepose.people.zones import Point
from edgepose.types import Size

Matrix = NDArray[np.float64]

ANKLE_M: Final = 0.068  # ankles above the floor: 0.039 of a height of 1.75 m, as in `zones`
FOCAL_LENGTHS: Final = (0.3, 5.0)  # limits, in longer sides of the frame: 118 to 11 degrees
SINGULAR: Final = 1e-9  # magnitudes below it count as zero


@dataclass(frozen=True, slots=True)
class Floor:
    """Four points of the frame and their positions on the floor."""

    points: tuple[Point, ...]
    """(x, y) as parts of the frame, within [0, 1]."""

    metres: tuple[Point, ...]
    """Positions of the same points on the floor, in metres."""

    frame: str
    """Name of the coordinate frame of positions."""

    @classmethod
    def from_config(cls, floor: CameraFloor, camera: str) -> Self | None:
        """Create a floor from its configuration table; None without points."""
        if not floor.points:
            return None
        width, depth = floor.size
        rectangle = ((0.0, 0.0), (width, 0.0), (width, depth), (0.0, depth))
        return cls(floor.points, floor.metres or rectangle, floor.frame or f"{camera}_floor")

    def view(self, size: Size) -> "FloorView":
        """Return the calibration for frames of this size. Cached per size."""
        return _compute_view(self, size)


@dataclass(frozen=True, slots=True, eq=False)
class FloorView:
    """Mapping between the floor and the pixels of frames of one size."""

    ground: Matrix
    """(3, 3): homography from positions at ankle height, (x, y, 1) in metres, to pixels."""

    inverse: Matrix
    """(3, 3): homography from pixels to positions at ankle height."""

    projection: Matrix | None
    """(3, 4): from (x, y, z, 1) in metres to pixels; None where the camera is undetermined."""

    def position(self, pixel: Point) -> Point | None:
        """Return the floor position of an ankle in metres; None above the horizon."""
        x, y, scale = self.inverse @ (*pixel, 1.0)
        if abs(scale) < SINGULAR:
            return None
        place = (float(x / scale), float(y / scale))
        # The scale has the opposite sign for points behind the camera.
        return place if self.ground[2] @ (*place, 1.0) > 0 else None

    def height(self, place: Point, pixel: Point) -> float | None:
        """Return the height in metres of a pixel above a floor position.

        None where the camera is undetermined or the pixel's line of sight is vertical.
        """
        if self.projection is None:
            return None
        base = self.projection @ (*place, 0.0, 1.0)
        up = self.projection[:, 2]
        rise = np.array([up[i] - pixel[i] * up[2] for i in range(2)])
        gap = np.array([pixel[i] * base[2] - base[i] for i in range(2)])
        length = float(rise @ rise)
        return float(rise @ gap) / length if length > SINGULAR else None


@lru_cache(maxsize=16)
def _compute_view(floor: Floor, size: Size) -> FloorView:
    pixels = [(x * size.width - 0.5, y * size.height - 0.5) for x, y in floor.points]
    plane = homography(floor.metres, pixels)
    projection = camera_of(plane, size)
    ground = plane
    if projection is not None:
        ground = projection[:, [0, 1, 3]].copy()
        ground[:, 2] += ANKLE_M * projection[:, 2]
    middle = np.mean(np.array(floor.metres), axis=0)
    if ground[2] @ (*middle, 1.0) < 0:
        ground = -ground
    return FloorView(ground, np.asarray(np.linalg.inv(ground), np.float64), projection)


def homography(places: tuple[Point, ...], pixels: list[Point]) -> Matrix:
    """Return the homography (3, 3) from four floor positions to four pixels.

    Raises
    ------
    numpy.linalg.LinAlgError
        If three of the points lie on a line.
    """
    rows, values = [], []
    for (x, y), (u, v) in zip(places, pixels, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    solution = np.linalg.solve(np.array(rows, float), np.array(values, float))
    return np.append(solution, 1.0).reshape(3, 3)


def camera_of(plane: Matrix, size: Size) -> Matrix | None:
    """Return the projection (3, 4) of the camera with this floor homography.

    None where the focal length is undetermined or outside of `FOCAL_LENGTHS`.

    Notes
    -----
    The first two columns of the homography are the images of two perpendicular directions of
    equal length, which gives two equations for the focal length (Zhang, "A Flexible New
    Technique for Camera Calibration", 2000, section 3.1, with a known principal point). If the
    camera looks straight down, both vanishing points are at infinity and the focal length is
    undetermined.
    """
    centre = np.array([(size.width - 1) / 2, (size.height - 1) / 2])
    shifted = plane.copy()
    shifted[:2] -= centre[:, None] * plane[2]
    a, b = shifted[:, 0], shifted[:, 1]
    factors = np.array([a[0] * b[0] + a[1] * b[1], a[:2] @ a[:2] - b[:2] @ b[:2]])
    values = -np.array([a[2] * b[2], a[2] ** 2 - b[2] ** 2])
    inverse_square = float(factors @ values) / max(float(factors @ factors), SINGULAR)
    if inverse_square <= 0:
        return None
    focal = inverse_square**-0.5
    if not FOCAL_LENGTHS[0] <= focal / max(size) <= FOCAL_LENGTHS[1]:
        return None
    return _with_height(shifted, focal, centre)


def _with_height(shifted: Matrix, focal: float, centre: Matrix) -> Matrix:
    """Return the projection (3, 4) from a homography relative to the frame's centre."""
    rays = shifted / np.array([[focal], [focal], [1.0]])
    scale = 2 / (np.linalg.norm(rays[:, 0]) + np.linalg.norm(rays[:, 1]))
    rays = rays * (scale if rays[2, 2] > 0 else -scale)
    up = np.cross(rays[:, 0], rays[:, 1])
    # The camera is above the floor, whether the floor axes are right- or left-handed.
    eye = -np.column_stack([rays[:, :2], up]).T @ rays[:, 2]
    up = up if eye[2] > 0 else -up
    camera = np.column_stack([rays[:, :2], up, rays[:, 2]])
    lens = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    return np.asarray(lens @ camera)
