"""Delegates with given behaviour, compiled for the test; and networks for the Edge TPU."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgepose.models.info import EDGETPU_OP
from tests.support import networks

SOURCE = Path(__file__).parent / "delegate.c"
SAID = np.frombuffer(b"\x3f" * 4, dtype=np.float32)[0]
"""The value of all outputs of a claimed operator."""


def compile_delegate(folder: Path, **told: str | int) -> Path:
    """Compile a delegate; skips the test if there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here: apt install gcc")
    name = "-".join(["delegate", *(f"{key}_{value}" for key, value in told.items())]).lower()
    library = folder / f"{name}.so"
    words = [f"-D{key}={value}" for key, value in told.items()]
    command = [compiler, "-shared", "-fPIC", "-w", *words, "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True)
    return library


def for_the_cpu(people: NDArray[Any] | None = None) -> bytes:
    """Build a network of MoveNet's kind that always returns the same person."""
    said = person() if people is None else people
    return networks.build((1, 64, 64, 3), [("keypoints", said, None)], dtype="uint8")


def for_the_edgetpu() -> bytes:
    """Build its Edge TPU counterpart: same inputs and outputs, but a custom operator between."""
    model = schema.ModelT.InitFromPackedBuf(for_the_cpu(), 0)
    code = model.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = EDGETPU_OP.encode()
    operator = model.subgraphs[0].operators[0]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.NONE, None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def person() -> NDArray[np.float32]:
    """Return a standing person: y, x and score of each joint, in MoveNet's format."""
    said = np.empty((1, 1, 17, 3), dtype=np.float32)
    said[..., 0] = np.linspace(0.2, 0.8, 17)
    said[..., 1] = 0.5 + 0.1 * np.sin(np.arange(17))
    said[..., 2] = 0.9
    return said


def pair(folder: Path) -> tuple[Path, Path]:
    """Write both models into a folder; return first the one for the Edge TPU."""
    tpu, cpu = folder / "person_edgetpu.tflite", folder / "person.tflite"
    tpu.write_bytes(for_the_edgetpu())
    cpu.write_bytes(for_the_cpu())
    return tpu, cpu
