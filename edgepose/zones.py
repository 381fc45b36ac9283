"""Zones on the floor, and where on it a person stands."""

from dataclasses import dataclass
from typing import Literal

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Zone:
    """A named part of the floor."""

    id: str
    polygon: tuple[Point, ...]
    """Corners as parts of the frame: (0, 0) is its top left, (1, 1) its bottom right."""

    kind: Literal["area", "rest"] = "area"
    """`rest`: lying here is no fall."""
