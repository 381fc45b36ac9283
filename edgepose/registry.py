"""Name to class: a row ``"module:Class"`` is imported when it is chosen, not before."""

from importlib import import_module
from typing import Any


def load(row: str) -> Any:
    """Import what a registry row ``"package.module:Name"`` names."""
    module, _, name = row.partition(":")
    return getattr(import_module(module), name)
