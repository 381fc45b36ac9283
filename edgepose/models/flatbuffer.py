"""Reads the structure of .tflite files; the only file that imports the package `tflite`."""

import sys
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from edgepose.errors import ModelError


def root(content: bytes | bytearray) -> Any:
    """Return the root table of a file, as the package's ``Model``."""
    _register_package()
    from tflite.Model import Model

    return Model.GetRootAs(content, 0)


def dtypes() -> dict[int, str]:
    """Return the tensor types: number to NumPy name."""
    _register_package()
    from tflite.TensorType import TensorType

    return {value: name.lower() for name, value in vars(TensorType).items() if name.isupper()}


def operators() -> dict[int, str]:
    """Return the built-in operators: number to name."""
    _register_package()
    from tflite.BuiltinOperator import BuiltinOperator

    return {value: name for name, value in vars(BuiltinOperator).items() if name.isupper()}


def _register_package() -> None:
    """Register the package without running its ``__init__``, so that modules load one by one.

    Its ``__init__`` imports all 190 classes, of which edgepose uses a few. This saves
    3 MB and 60 ms on a small Pi.
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
