"""From the picture to metres on the floor, by four points whose places are known.

The four points give the homography between floor and picture. From it the camera's focal length
and pose follow (square pixels, the optical axis in the middle of the picture), and with them
heights above the floor. Lenses that bend straight lines are not corrected.
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
FOCAL_LENGTHS: Final = (0.3, 5.0)  # of the longer side of the frame: 118 to 11 degrees
SINGULAR: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Floor:
    """Four points of the picture and where they are on the floor."""

    points: tuple[Point, ...]
    """Parts of the frame."""

    metres: tuple[Point, ...]
    frame: str
    """Name of the coordinate frame that positions are in."""

    @classmethod
    def from_config(cls, floor: CameraFloor, camera: str) -> Self | None:
        """Make it from its table of the configuration; None where no points are given."""
        if not floor.points:
            return None
        width, depth = floor.size
        rectangle = ((0.0, 0.0), (width, 0.0), (width, depth), (0.0, depth))
        return cls(floor.points, floor.metres or rectangle, floor.frame or f"{camera}_floor")

    def view(self, size: Size) -> "FloorView":
        """Return the floor as a camera of this frame size sees it; calculated once a size."""
        return _view(self, size)


@dataclass(frozen=True, slots=True, eq=False)
class FloorView:
    """The floor in the pixels of a frame."""

    ground: Matrix
    """(3, 3): places of ankles, (x, y, 1) in metres, to pixels."""

    inverse: Matrix
    """(3, 3): pixels to places of ankles."""

    projection: Matrix | None
    """(3, 4): (x, y, z, 1) in metres to pixels; None where the points do not tell the camera."""

    def position(self, pixel: Point) -> Point | None:
        """Return where an ankle is on the floor; None above the horizon."""
        x, y, scale = self.inverse @ (*pixel, 1.0)
        if abs(scale) < SINGULAR:
            return None
        place = (float(x / scale), float(y / scale))
        # Behind the camera the projection has the other sign.
        return place if self.ground[2] @ (*place, 1.0) > 0 else None

    def height(self, place: Point, pixel: Point) -> float | None:
        """Return how high above a place a point of the picture is, in metres."""
        if self.projection is None:
            return None
        base = self.projection @ (*place, 0.0, 1.0)
        up = self.projection[:, 2]
        rise = np.array([up[i] - pixel[i] * up[2] for i in range(2)])
        gap = np.array([pixel[i] * base[2] - base[i] for i in range(2)])
        length = float(rise @ rise)
        return float(rise @ gap) / length if length > SINGULAR else None


@lru_cache(maxsize=16)
def _view(floor: Floor, size: Size) -> FloorView:
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
    """Return the (3, 3) matrix that maps four places onto four pixels.

    Raises
    ------
    numpy.linalg.LinAlgError
        When three of the points lie on a line.
    """
    rows, values = [], []
    for (x, y), (u, v) in zip(places, pixels, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    solution = np.linalg.solve(np.array(rows, float), np.array(values, float))
    return np.append(solution, 1.0).reshape(3, 3)


def camera_of(plane: Matrix, size: Size) -> Matrix | None:
    """Return the projection (3, 4) of the camera that sees a plane so; None where that is open.

    Notes
    -----
    The first two columns of a plane's homography are the images of two directions that are
    perpendicular and of one length, which gives two equations for the focal length (Zhang, "A
    Flexible New Technique for Camera Calibration", 2000, section 3.1, with the centre known).
    A camera that looks straight down sees both at infinity: then it is open.
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
    """Add the column of heights to a homography whose origin is the centre of the picture."""
    rays = shifted / np.array([[focal], [focal], [1.0]])
    scale = 2 / (np.linalg.norm(rays[:, 0]) + np.linalg.norm(rays[:, 1]))
    rays = rays * (scale if rays[2, 2] > 0 else -scale)
    up = np.cross(rays[:, 0], rays[:, 1])
    # The camera is above the floor, whichever way the axes turn.
    eye = -np.column_stack([rays[:, :2], up]).T @ rays[:, 2]
    up = up if eye[2] > 0 else -up
    camera = np.column_stack([rays[:, :2], up, rays[:, 2]])
    lens = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    return np.asarray(lens @ camera)
