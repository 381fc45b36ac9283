"""Lazy imports: registry rows ``"module:Class"`` and moved modules."""

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any


def load(row: str) -> Any:
    """Import and return the object of a registry row ``"package.module:Name"``."""
    module, _, name = row.partition(":")
    return getattr(import_module(module), name)


def moved(old: str, new: str) -> Callable[[str], Any]:
    """Return a `__getattr__` for a moved module; each use warns and names the new module."""

    def find(name: str) -> Any:
        if name.startswith("__"):
            msg = f"module {old!r} has no attribute {name!r}"
            raise AttributeError(msg)
        found = load(f"{new}:{name}")
        public = f"edgepose.{name}" if name in import_module("edgepose").__all__ else ""
        instead = public or f"{new}.{name}"
        message = f"{old}.{name} will be removed in the next version; use {instead}"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return found

    return find
