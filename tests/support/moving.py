"""Clips and pictures that tests make for themselves."""

from pathlib import Path

import cv2
import numpy as np

from edgepose.types import Image, Size

WIDE = Size(96, 48)


def numbered(index: int, size: Size = WIDE) -> Image:
    """Return a grey RGB picture whose brightness tells its number, modulo 40."""
    return np.full((size.height, size.width, 3), 20 + 5 * (index % 40), dtype=np.uint8)


def number_of(image: Image) -> int:
    """Return which of the numbered pictures this is, compressed or not."""
    return round((float(image.mean()) - 20) / 5)


def clip(path: Path, count: int, *, fps: float = 20.0, size: Size = WIDE) -> Path:
    """Write a video of numbered frames."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, size)
    for index in range(count):
        writer.write(numbered(index, size))
    writer.release()
    return path


def picture(path: Path, rgb: Image) -> Path:
    """Write an RGB picture; the ending says how."""
    assert cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return path
