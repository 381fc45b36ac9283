"""Draw the pictures of docs/placing.md: what cameras at different places see of people in a room.

The bodies and the camera are those that the events are tested with. Run from the project's folder:
python -m tools.draw_placing
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.drawing import draw
from edgepose.types import Pose, Size
from tests.support.body import Actor, Camera, Scene, fall, sit, stand

IMAGES: Final = Path(__file__).parent.parent / "docs" / "images"
SIZE: Final = Size(480, 360)
GAP_PX: Final = 8
PAPER: Final = (24, 28, 32)
GRID: Final = (70, 78, 84)
ZONE: Final = (90, 150, 110)
WORDS: Final = (235, 235, 235)
ROOM_M: Final = ((1.0, 7.0), (-3.0, 3.0))
"""The floor: from and to along the camera's axis, and across it."""

Image = NDArray[np.uint8]
Corners = Sequence[tuple[float, float]]


def floor_lines() -> list[NDArray[np.float64]]:
    """Return the lines of the floor, one metre apart, in short pieces."""
    (near, far), (right, left) = ROOM_M
    along = [np.array([[x, y, 0.0] for x in np.linspace(near, far, 61)]) for y in range(-3, 4)]
    across = [
        np.array([[x, y, 0.0] for y in np.linspace(right, left, 61)]) for x in np.arange(near, 7.5)
    ]
    return along + across


def panel(camera: Camera, people: Sequence[Actor], title: str, zone: Corners = ()) -> Image:
    """Draw what a camera sees, at the last moment of what people do."""
    picture = np.full((SIZE.height, SIZE.width, 3), PAPER, np.uint8)
    if zone:
        corners, _ = camera.project(np.array([[x, y, 0.0] for x, y in zone]))
        shade = picture.copy()
        cv2.fillPoly(shade, [np.round(corners).astype(np.int32)], ZONE)
        picture = cv2.addWeighted(shade, 0.5, picture, 0.5, 0)
    for line in floor_lines():
        points, depth = camera.project(line)
        seen = np.round(points[depth > 0.2]).astype(np.int32)
        cv2.polylines(
            picture, [seen], isClosed=False, color=GRID, thickness=1, lineType=cv2.LINE_AA
        )
    poses = [pose for actor in people if (pose := last_pose(camera, actor))]
    picture = draw(picture, poses)
    cv2.rectangle(picture, (0, SIZE.height - 26), (SIZE.width, SIZE.height), PAPER, -1)
    place = (10, SIZE.height - 9)
    cv2.putText(picture, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, WORDS, 1, cv2.LINE_AA)
    return np.asarray(picture, np.uint8)


def last_pose(camera: Camera, actor: Actor) -> Pose | None:
    """Return the exact pose after all that somebody does."""
    *_, moment = Scene((actor,), camera).truth(fps=5)
    return moment.people.get(0)


def save(name: str, panels: Sequence[Image]) -> None:
    """Write panels beside each other."""
    space = np.full((SIZE.height, GAP_PX, 3), 255, np.uint8)
    row: list[Any] = [panels[0]]
    for one in panels[1:]:
        row += [space, one]
    picture = cv2.cvtColor(np.hstack(row), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(IMAGES / f"placing-{name}.png"), picture)


def camera(height: float, pitch: float, fov: float = 80.0) -> Camera:
    """Return a camera of the pictures' size."""
    return Camera(height=height, pitch_deg=pitch, fov_deg=fov, size=SIZE)


def falls() -> None:
    """Draw two people, one who stands and one who has fallen, for three cameras."""
    standing, fallen = stand(), [stand(1), *fall("left")]
    far = (
        Actor.doing(standing, at=(4.2, 1.1)),
        Actor.doing(*fallen, at=(3.6, -0.2), heading_deg=180),
    )
    near = (
        Actor.doing(standing, at=(1.6, 0.7)),
        Actor.doing(*fallen, at=(1.4, 0.0), heading_deg=180),
    )
    save(
        "falls",
        [
            panel(camera(2.2, 24, 65), far, "good: 2.2 m high, tilted by 24 degrees"),
            panel(camera(0.5, 0, 65), far, "too low: a fallen person is a flat line"),
            panel(camera(2.6, 58, 80), near, "too steep: a standing person is short"),
        ],
    )


def zones() -> None:
    """Draw a zone on the floor with one person in it and one before it."""
    zone = ((4.0, 0.2), (4.0, 2.2), (6.0, 2.2), (6.0, 0.2))
    sofa = ((3.2, -2.0), (3.2, -0.4), (4.4, -0.4), (4.4, -2.0))
    inside, before = Actor.doing(stand(), at=(5.0, 1.2)), Actor.doing(stand(), at=(2.8, 0.7))
    seated = Actor.doing(sit(), at=(3.8, -1.2))
    save(
        "zones",
        [
            panel(camera(2.2, 20), (inside,), "in the zone: the feet are on it", zone),
            panel(camera(2.2, 20), (before,), "not in it: only the body covers it", zone),
            panel(camera(2.2, 20), (seated,), "a zone of kind rest: the sofa's floor", sofa),
        ],
    )


def robots() -> None:
    """Draw one person near a low camera, level and tilted up."""
    near, far = Actor.doing(stand(), at=(1.6, 0.0)), Actor.doing(stand(), at=(3.5, 0.0))
    save(
        "robots",
        [
            panel(camera(0.4, 0), (near,), "0.4 m high, at 1.6 m, level: no head"),
            panel(camera(0.4, -22), (near,), "at 1.6 m, tilted up by 22 degrees: all"),
            panel(camera(0.4, -8), (far,), "at 3.5 m, tilted up by 8 degrees: all"),
        ],
    )


def main() -> None:
    """Draw all of them."""
    falls()
    zones()
    robots()


if __name__ == "__main__":
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    main()
