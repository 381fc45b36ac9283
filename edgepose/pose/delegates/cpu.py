"""The CPU: the runtime's own kernels, which are always available."""

from dataclasses import dataclass
from typing import ClassVar, Self

from edgepose.pose.delegates import Plugin


@dataclass(frozen=True, slots=True)
class Cpu:
    """The CPU, without a delegate."""

    name: ClassVar[str] = "cpu"
    plugin: ClassVar[Plugin | None] = None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse ``cpu``."""
        return cls() if text == "cpu" else None

    def absent(self) -> str:
        """Return an empty string: the CPU is always available."""
        return ""
