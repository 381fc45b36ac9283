"""A furnished room in a camera's view, empty or with a person."""

from functools import cache
from typing import Final

import cv2
import numpy as np

from edgepose.camera.sources import open_source
from edgepose.types import Image
from tools import make_demo

PERSON: Final = (slice(70, 340), slice(150, 245))
"""The person's rows and columns in the demo's first picture."""


@cache
def empty() -> Image:
    """Return the demo's room without people."""
    width, height = (side * make_demo.SUPER for side in make_demo.SIZE)
    eye, at = np.array([0.1, 1.65, 3.9]), np.array([0.1, 0.82, -0.6])
    camera = make_demo.Camera(eye, at, width, height, 0.82 * width)
    room: Image = make_demo.Scene(camera).shot([])
    return room


@cache
def _cut_out() -> tuple[Image, Image]:
    """Return the demo's person and the mask of that person's pixels."""
    source = open_source("demo://", realtime=False)
    image = next(iter(source.frames())).image[PERSON]
    source.close()
    apart = np.abs(image.astype(int) - empty()[PERSON]).max(axis=2)
    mask = cv2.morphologyEx((apart > 40).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7)))
    return image, np.asarray(mask, dtype=np.uint8)


def occupied(left: int) -> Image:
    """Return the room with a person at `left`, possibly partly or wholly outside of the picture."""
    image, mask = _cut_out()
    width = mask.shape[1]
    room = np.pad(empty(), ((0, 0), (width, width), (0, 0)), mode="edge")
    left = min(max(left, -width), empty().shape[1]) + width
    window = room[PERSON[0], left : left + width]
    window[mask > 0] = image[mask > 0]
    return np.ascontiguousarray(room[:, width:-width])


def noisy(image: Image, sigma: float, rng: np.random.Generator) -> Image:
    """Return a picture with sensor noise of this deviation in grey levels."""
    taken = image + rng.normal(0, sigma, image.shape)
    return np.clip(taken, 0, 255).astype(np.uint8)
