"""Any other delegate: a library that exports TFLite's plug-in functions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from edgepose.pose.delegates import Plugin
from edgepose.urls import user_path


@dataclass(frozen=True, slots=True)
class Library:
    """A delegate by the path of its library."""

    path: Path

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a path: whatever has a slash in it."""
        return cls(user_path(text)) if "/" in text else None

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def plugin(self) -> Plugin | None:
        """The library, without options."""
        return Plugin(str(self.path))

    def absent(self) -> str:
        """Say that there is no such file."""
        return "" if self.path.is_file() else f"{self.path}: no such file"
