"""`InterpreterPool`: several interpreters of one model, for concurrent inference."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from numpy.typing import NDArray

from edgepose.models.info import ModelInfo, Outputs
from edgepose.pose.delegates import Plugin


class AnyInterpreter(Protocol):
    """Interface of an `TfliteInterpreter` or a group of them, which run one model."""

    @property
    def info(self) -> ModelInfo:
        """Description of the model, with the sizes that are set."""

    @property
    def threads(self) -> int:
        """Threads of one inference."""

    @property
    def plugin(self) -> Plugin | None:
        """The delegate in use."""

    def infer(self, tensor: NDArray[Any]) -> Outputs:
        """Run the network once. Thread-safe."""

    def spin(self, times: int) -> None:
        """Run the network `times` times on its present input."""

    def warm_up(self) -> None:
        """Run the network once on a black image."""


class InterpreterPool:
    """Runs one model in several interpreters, for concurrent inference.

    Parameters
    ----------
    interpreters : sequence
        At least one interpreter of the same model. Any of them may run an inference; their
        outputs for one input are equal.

    Notes
    -----
    The interpreters share the pages of the mapped model file. Weights that XNNPACK repacks
    exist once per interpreter: the runtimes' Python API has no weight cache.
    """

    def __init__(self, interpreters: Sequence[AnyInterpreter]) -> None:
        self._all = tuple(interpreters)
        self._free = list(self._all)
        self._released = threading.Condition()

    @property
    def info(self) -> ModelInfo:
        """Description of the model, with the sizes that are set."""
        return self._all[0].info

    @property
    def threads(self) -> int:
        """Threads of one inference."""
        return self._all[0].threads

    @property
    def plugin(self) -> Plugin | None:
        """The delegate of the first interpreter."""
        return self._all[0].plugin

    def infer(self, tensor: NDArray[Any]) -> Outputs:
        """Run the network on a free interpreter; waits while there is none. Thread-safe.

        Raises the interpreter's exceptions; the interpreter is then free again.
        """
        with self._borrow_interpreter() as interpreter:
            return interpreter.infer(tensor)

    def spin(self, times: int) -> None:
        """Run the network `times` times in total, spread over all interpreters and threads."""
        shares = [len(range(first, times, len(self._all))) for first in range(len(self._all))]
        _run_all(map(partial, (one.spin for one in self._all), shares))

    def warm_up(self) -> None:
        """Run every interpreter once on a black image, concurrently."""
        _run_all(interpreter.warm_up for interpreter in self._all)

    @contextmanager
    def _borrow_interpreter(self) -> Iterator[AnyInterpreter]:
        with self._released:
            self._released.wait_for(lambda: bool(self._free))
            # The last used one: its memory is in the CPU caches.
            interpreter = self._free.pop()
        try:
            yield interpreter
        finally:
            with self._released:
                self._free.append(interpreter)
                self._released.notify()


def _run_all(calls: Iterable[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
