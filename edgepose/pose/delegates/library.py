"""Any other delegate: a library with TFLite's plug-in functions."""

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
        """Parse a path: any text with a slash."""
        return cls(user_path(text)) if "/" in text else None

    @property
    def name(self) -> str:
        """The path of the library."""
        return str(self.path)

    @property
    def plugin(self) -> Plugin | None:
        """The library, without options."""
        return Plugin(str(self.path))

    def absent(self) -> str:
        """Return why the library is unavailable; empty if the file exists."""
        return "" if self.path.is_file() else f"{self.path}: no such file"
