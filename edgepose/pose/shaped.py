"""`ShapedEngine`: one network at several input sizes."""

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
"""Memory of one more interpreter, per byte of the file: 2.8 with 8 bit weights, 4.5 with
16 bit weights, which XNNPACK unpacks to 32 bits."""

SHARE: Final = 1 / 8  # of the machine's memory that further shapes may take


Load = Callable[[bytes | Path, Size | None], AnyInterpreter]
"""Loads a file's content at an input size."""


class ShapedEngine:
    """Stands in the place of one interpreter and has one for each input size.

    Parameters
    ----------
    own : AnyInterpreter
        For the file's own input size.
    path : Path
        The file.
    sizes : tuple of Size
        From `reshape.shapes`: the file's own size first.
    load : callable
        Makes further interpreters.

    Notes
    -----
    They are made when first needed: 30 to 100 ms once. Each takes about as much memory as the
    first, so `affordable` says how many there may be.
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
        """Sizes for which there is an interpreter by now."""
        return tuple(self._loaded)

    @property
    def info(self) -> ModelInfo:
        """What the file says about itself."""
        return self._own.info

    @property
    def threads(self) -> int:
        """Threads of one inference."""
        return self._own.threads

    @property
    def plugin(self) -> Plugin | None:
        """None: a delegate gets the file as it is."""
        return self._own.plugin

    def infer(self, tensor: NDArray[Any]) -> Outputs:
        """Run the network of the tensor's size; thread-safe."""
        _, height, width, _ = tensor.shape
        return self._at(Size(width, height)).infer(tensor)

    def spin(self, times: int) -> None:
        """Run the network at its own size over and over."""
        self._own.spin(times)

    def warm_up(self) -> None:
        """Run once on black at the size that people who stand take."""
        self._at(self.sizes[1]).warm_up()

    def _at(self, size: Size) -> AnyInterpreter:
        with self._lock:
            if size not in self._loaded:
                content = reshape.reshape(catalog.read_file(self._path), self.sizes[0], size)
                self._loaded[size] = self._load(content, size)
            return self._loaded[size]


def affordable(sizes: tuple[Size, ...], file_bytes: int, memory_bytes: int) -> tuple[Size, ...]:
    """Return as many input sizes as a machine has memory for, the most useful first.

    The square, narrow upright, narrow lying; then those between.
    """
    spare = int(SHARE * memory_bytes / (BYTES_PER_BYTE * file_bytes))
    order = sizes[:1] + sizes[1::2] + sizes[2::2]
    return order[: 1 + spare]


def machine_memory() -> int:
    """Return the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
