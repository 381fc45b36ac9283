"""The CPU: the runtime's own kernels, which are always there."""

from dataclasses import dataclass
from typing import ClassVar, Self

from edgepose.pose.delegates import Plugin


@dataclass(frozen=True, slots=True)
class Cpu:
    """No delegate at all."""

    name: ClassVar[str] = "cpu"
    plugin: ClassVar[Plugin | None] = None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read ``cpu``."""
        return cls() if text == "cpu" else None

    def absent(self) -> str:
        """Say nothing: a program that runs has a CPU."""
        return ""
