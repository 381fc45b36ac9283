"""`TfliteInterpreter`: a loaded TFLite interpreter. The only file that imports a TFLite runtime."""

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepose.errors import DelegateError, ModelError, UsageError
from edgepose.models.info import ModelInfo, Outputs, TensorInfo
from edgepose.pose import stderr_filter
from edgepose.pose.delegates import Plugin
from edgepose.types import Size

PACKAGES: Final = ("ai_edge_litert", "tflite_runtime")
"""Supported runtimes, in order of preference."""

MOST_THREADS: Final = 64


class Runtime(NamedTuple):
    """The installed TFLite runtime."""

    name: str
    version: str
    tflite: Any
    """Module with `Interpreter` and `load_delegate`."""


@cache
def load_runtime() -> Runtime:
    """Import and return the first available runtime.

    Raises
    ------
    ModelError
        If no runtime is installed, or none can be imported. The message has the reason.
    """
    broken = ""
    for package in PACKAGES:
        name = package.replace("_", "-")
        try:
            tflite = import_module(f"{package}.interpreter")
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != package:
                broken = broken or f"{name} cannot be loaded: {_end_of_message(error)}"
        except ImportError as error:
            broken = broken or f"{name} cannot be loaded: {_end_of_message(error)}"
        else:
            version = getattr(sys.modules[package], "__version__", "of unknown version")
            return Runtime(name, version, tflite)
    found = broken or "no TFLite runtime is installed"
    msg = (
        f"{found}; expected ai-edge-litert, or tflite-runtime on 32-bit machines:"
        " pip install ai-edge-litert"
    )
    raise ModelError(msg)


def runtime() -> str:
    """Return the name and version of the runtime.

    Raises
    ------
    ModelError
        If there is none.
    """
    return f"{load_runtime().name} {load_runtime().version}"


def thread_count(asked: int) -> int:
    """Return the number of threads; 0 gives all cores but one, kept for other work.

    Raises
    ------
    UsageError
        If `asked` is negative or above `MOST_THREADS`.
    """
    if not 0 <= asked <= MOST_THREADS:
        msg = f"threads is {asked}; expected 1 to {MOST_THREADS}, or 0 for all cores but one"
        raise UsageError(msg)
    return asked or max(1, (os.cpu_count() or 1) - 1)


class TfliteInterpreter:
    """One model in one TFLite interpreter; concurrent calls wait for each other.

    Parameters
    ----------
    content : bytes or Path
        A .tflite file that `models.read` has accepted: runtimes may crash on others.
        A path is mapped into memory instead of copied, which saves memory.
    info : ModelInfo
        Description of the file.
    threads : int
        Threads of the network; 0 for all cores but one.
    size : Size, optional
        Input size to set, for models that take any size.
    plugin : Plugin, optional
        A delegate to load and to run the model on. Loading may crash the process or
        block all its threads; `delegate_trial` tries it in a child process first.

    Raises
    ------
    ModelError
        If the runtime cannot prepare the model.
    DelegateError
        If the delegate cannot be loaded, or does not support the model's operators.
    """

    def __init__(
        self,
        content: bytes | Path,
        info: ModelInfo,
        *,
        threads: int = 0,
        size: Size | None = None,
        plugin: Plugin | None = None,
    ) -> None:
        self.threads = thread_count(threads)
        self.plugin = plugin
        self._lock = threading.Lock()
        delegates = [] if plugin is None else [_load_delegate(plugin)]
        try:
            whence = (
                {"model_content": content}
                if isinstance(content, bytes)
                else {"model_path": str(content)}
            )
            # With a delegate, stderr is not buffered: a crash would lose its messages.
            with (
                nullcontext() if delegates else stderr_filter.filtered_stderr(),
                _without_numpy_warning(),
            ):
                self._interpreter = load_runtime().tflite.Interpreter(
                    **whence, num_threads=self.threads, experimental_delegates=delegates
                )
                if size is not None and size != info.input_size:
                    _resize_input(self._interpreter, info.inputs[0].picture_shape(size))
                self._interpreter.allocate_tensors()
        except Exception as error:
            # tflite-runtime raises SystemError with numpy 2, others ValueError or RuntimeError
            if plugin is not None:
                raise DelegateError(_not_taken(info, plugin, error)) from error
            raise ModelError(_failure_message(info, error)) from error
        self._input: int = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]
        self.info = _as_loaded(info, self._interpreter)

    def infer(self, tensor: NDArray[Any]) -> Outputs:
        """Run the network. Thread-safe; other threads continue during the inference.

        Parameters
        ----------
        tensor : (1, height, width, 3) or (1, 3, height, width)
            In the shape and type of the model's input.

        Returns
        -------
        Outputs
            Copies in the model's own types; later calls do not change them.

        Raises
        ------
        DelegateError
            If the delegate failed. Without a delegate a failure is a bug.
        """
        with self._lock:
            # `set_tensor` and `get_tensor` keep the GIL: re-acquiring it while other threads
            # decode would take up to a whole switch interval.
            self._interpreter.set_tensor(self._input, tensor)
            del tensor  # the interpreter has a copy; frees the memory for the next frame
            self._run_invoke()
            arrays = tuple(self._interpreter.get_tensor(index) for index in self._outputs)
        return Outputs(self.info, arrays)

    def spin(self, times: int) -> None:
        """Run the network `times` times on its present input; the baseline of benchmarks."""
        with self._lock:
            for _ in range(times):
                self._run_invoke()

    def warm_up(self) -> None:
        """Run once on a black image, since the first inference packs weights and is slow."""
        tensor = self.info.inputs[0]
        self.infer(np.zeros(tensor.shape, dtype=tensor.dtype))

    def _run_invoke(self) -> None:
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            if self.plugin is None:
                raise
            msg = f"delegate {self.plugin.library}: failed while running: {_end_of_message(error)}"
            raise DelegateError(msg) from error


def _load_delegate(plugin: Plugin) -> Any:
    try:
        return load_runtime().tflite.load_delegate(plugin.library, dict(plugin.options))
    except OSError as error:
        msg = f"delegate {plugin.library}: the library cannot be loaded: {_end_of_message(error)}"
        raise DelegateError(msg) from error
    except ValueError as error:
        # "Failed to load delegate from NAME", a line break, and the library's message, if any
        said = " ".join(str(error).split("\n")[1:]).strip()
        msg = f"delegate {plugin.library}: it refuses to start: {said or 'no reason given'}"
        raise DelegateError(msg) from error


def _not_taken(info: ModelInfo, plugin: Plugin, error: Exception) -> str:
    left = [op for op in info.custom_ops if f"unresolved custom op: {op}" in str(error)]
    if left:
        return f"delegate {plugin.library}: does not take {left[0]} of model {info.name} over"
    return f"delegate {plugin.library}: cannot run model {info.name}: {_end_of_message(error)}"


def _end_of_message(error: Exception) -> str:
    """Return the end of a runtime's message, since it begins with all earlier failures."""
    return " ".join(str(error).split())[-200:]


def _resize_input(interpreter: Any, shape: tuple[int, ...]) -> None:
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, list(shape))


def _as_loaded(info: ModelInfo, interpreter: Any) -> ModelInfo:
    """Return the model's description with the sizes that are set in the interpreter."""
    inputs = _with_shapes(info.inputs, interpreter.get_input_details())
    outputs = _with_shapes(info.outputs, interpreter.get_output_details())
    return replace(info, inputs=inputs, outputs=outputs)


def _with_shapes(
    tensors: tuple[TensorInfo, ...], details: list[dict[str, Any]]
) -> tuple[TensorInfo, ...]:
    return tuple(
        replace(tensor, shape=tuple(int(side) for side in detail["shape"]))
        for tensor, detail in zip(tensors, details, strict=True)
    )


@contextmanager
def _without_numpy_warning() -> Iterator[None]:
    """Drop numpy 2's warning about a library built for numpy 1; the error repeats it."""
    if _is_numpy_too_new():
        with redirect_stderr(io.StringIO()):
            yield
    else:
        yield


def _is_numpy_too_new() -> bool:
    """Return whether numpy is too new for the published builds of the runtime."""
    return load_runtime().name == "tflite-runtime" and int(np.__version__.partition(".")[0]) > 1


def _failure_message(info: ModelInfo, error: Exception) -> str:
    name, version, _ = load_runtime()
    if _is_numpy_too_new() and isinstance(error, (SystemError, ImportError, AttributeError)):
        return (
            f"{name} {version} needs numpy below 2, and numpy {np.__version__} is installed;"
            " expected: pip install 'numpy<2'"
        )
    reason = " ".join(str(error).split())[:200]
    if info.needs_edgetpu:
        return (
            f"model {info.name}: compiled for the Edge TPU and none is in use; "
            'expected its CPU version: set model.delegate = "edgetpu" or choose another model'
        )
    if info.custom_ops:
        ops = ", ".join(info.custom_ops)
        return f"model {info.name}: needs the operators {ops}, which {name} does not have"
    return f"model {info.name}: {name} refuses it: {reason}"
