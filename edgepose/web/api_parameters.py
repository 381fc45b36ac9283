"""Paths and parameters of the API for programs, as in its OpenAPI document."""

import math
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from edgepose.web.answers import Refused

PREFIX: Final = "/api/v1/"
TYPES: Final = ("poses", "state", "event", "availability", "status", "stats")
"""Message types of the stream: the last levels of their topics."""


@dataclass(frozen=True, slots=True)
class Number:
    """A query parameter that is a number within limits."""

    name: str
    least: float
    most: float
    default: float
    meaning: str

    def read(self, request: web.Request) -> float:
        """Return the value in a request.

        Raises
        ------
        Refused
            When it is not a number within the limits.
        """
        text = request.query.get(self.name, str(self.default))
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not self.least <= value <= self.most:
            wanted = f"a number from {self.least:g} to {self.most:g}"
            raise Refused(422, f'{self.name}: expected {wanted}, not "{text[:50]}"')
        return value


FPS: Final = Number("fps", 0.1, 30, 5, "Most pictures a second.")
WIDTH: Final = Number("size", 64, 1920, 640, "Longest side of the pictures in pixels.")
