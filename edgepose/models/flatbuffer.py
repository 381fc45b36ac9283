"""The structure of .tflite files: the only file that knows the package `tflite`."""

import sys
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from edgepose.errors import ModelError


def root(content: bytes | bytearray) -> Any:
    """Return the table that a file begins with, as the package's ``Model``."""
    _open()
    from tflite.Model import Model

    return Model.GetRootAs(content, 0)


def dtypes() -> dict[int, str]:
    """Return numpy's names of the tensor types by their numbers."""
    _open()
    from tflite.TensorType import TensorType

    return {value: name.lower() for name, value in vars(TensorType).items() if name.isupper()}


def operators() -> dict[int, str]:
    """Return the names of the built-in operators by their numbers."""
    _open()
    from tflite.BuiltinOperator import BuiltinOperator

    return {value: name for name, value in vars(BuiltinOperator).items() if name.isupper()}


def _open() -> None:
    """Make the package importable module by module.

    Its own ``__init__`` imports all of them, 190 classes of which a handful is read:
    3 MB and 60 ms that a small Pi has better uses for.
    """
    if "tflite" in sys.modules:
        return
    spec = PathFinder.find_spec("tflite")
    if spec is None or spec.submodule_search_locations is None:
        msg = "the package tflite is not installed; expected it beside edgepose: pip install tflite"
        raise ModelError(msg)
    package = ModuleType("tflite")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["tflite"] = package
