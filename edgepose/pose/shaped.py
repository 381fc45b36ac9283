"""`ShapedInterpreter`: one network at several input sizes."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from edgepose.models import catalog, reshape
from edgepose.models.info import ModelInfo, Outputs
from edgepose.pose.delegates import Plugin
from edgepose.pose.interpreter_pool import AnyInterpreter
from edgepose.types import Size

BYTES_PER_BYTE: Final = 4.5
"""Memory of an additional interpreter, per byte of the file: 2.8 with 8-bit weights, 4.5
with 16-bit weights, which XNNPACK unpacks to 32 bits."""

SHARE: Final = 1 / 8  # maximum share of the machine's memory for additional shapes


Load = Callable[[bytes | Path, Size | None], AnyInterpreter]
"""Loads a model at an input size."""


class ShapedInterpreter:
    """Runs one network in one interpreter per input size.

    Parameters
    ----------
    own : AnyInterpreter
        Interpreter for the file's own input size.
    path : Path
        The model file.
    sizes : tuple of Size
        From `reshape.shapes`: the file's own size first.
    load : callable
        Creates additional interpreters.

    Notes
    -----
    Additional interpreters are created on first use, which takes 30 to 100 ms. Each needs
    about as much memory as the first; `affordable` limits their number.
    """

    def __init__(
        self, own: AnyInterpreter, path: Path, sizes: tuple[Size, ...], load: Load
    ) -> None:
        self.sizes = sizes
        self._path = path
        self._load = load
        self._own = own
        self._loaded = {sizes[0]: own}
        self._lock = threading.Lock()

    @property
    def made(self) -> tuple[Size, ...]:
        """Sizes whose interpreter has been created."""
        return tuple(self._loaded)

    @property
    def info(self) -> ModelInfo:
        """Description of the file."""
        return self._own.info

    @property
    def threads(self) -> int:
        """Threads of one inference."""
        return self._own.threads

    @property
    def plugin(self) -> Plugin | None:
        """None: delegates run the file at its own size only."""
        return self._own.plugin

    def infer(self, tensor: NDArray[Any]) -> Outputs:
        """Run the network at the tensor's size. Thread-safe."""
        _, height, width, _ = tensor.shape
        return self._interpreter_at(Size(width, height)).infer(tensor)

    def spin(self, times: int) -> None:
        """Run the network `times` times at its own size."""
        self._own.spin(times)

    def warm_up(self) -> None:
        """Run once on a black image at the size for standing people."""
        self._interpreter_at(self.sizes[1]).warm_up()

    def _interpreter_at(self, size: Size) -> AnyInterpreter:
        with self._lock:
            if size not in self._loaded:
                content = reshape.reshape(catalog.read_file(self._path), self.sizes[0], size)
                self._loaded[size] = self._load(content, size)
            return self._loaded[size]


def affordable(sizes: tuple[Size, ...], file_bytes: int, memory_bytes: int) -> tuple[Size, ...]:
    """Return as many input sizes as a machine has memory for, the most useful first.

    The order is: square, narrow upright, narrow lying, then intermediate ones.
    """
    spare = int(SHARE * memory_bytes / (BYTES_PER_BYTE * file_bytes))
    order = sizes[:1] + sizes[1::2] + sizes[2::2]
    return order[: 1 + spare]


def machine_memory() -> int:
    """Return the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
