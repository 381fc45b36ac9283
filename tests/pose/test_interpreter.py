"""The loaded interpreter."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edgepose.errors import ModelError
from edgepose.models import catalog
from edgepose.models import info as models
from edgepose.models.info import ModelInfo
from edgepose.pose import interpreter
from edgepose.pose.interpreter import TfliteInterpreter
from edgepose.types import Size


def read(name: str) -> tuple[bytes, ModelInfo]:
    choice = catalog.choose(name)
    content = choice.path.read_bytes()
    return content, models.read(content, choice.name)


def test_outputs_stay_what_they_were_when_the_network_runs_again() -> None:
    """Outputs are copies, so that another thread may still read them."""
    one = TfliteInterpreter(*read("posenet-257"), threads=1)
    black, white = (np.full((1, 257, 257, 3), value, dtype=np.float32) for value in (-1, 1))

    first = one.infer(black)
    kept = [array.copy() for array in first.arrays]
    second = one.infer(white)

    assert all(np.array_equal(a, b) for a, b in zip(first.arrays, kept, strict=True))
    assert not np.array_equal(first.arrays[0], second.arrays[0])


def test_two_threads_get_each_their_own_answer() -> None:
    """Concurrent callers get the outputs of their own inputs."""
    shared = TfliteInterpreter(*read("posenet-257"), threads=1)
    rng = np.random.default_rng(1)
    inputs = rng.uniform(-1, 1, (4, 1, 257, 257, 3)).astype(np.float32)
    alone = [shared.infer(tensor).arrays[0] for tensor in inputs]
    answers: dict[int, bool] = {}

    def ask(number: int) -> None:
        rounds = [shared.infer(inputs[number]).arrays[0] for _ in range(5)]
        answers[number] = all(np.array_equal(answer, alone[number]) for answer in rounds)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == dict.fromkeys(range(4), True)


def test_a_size_can_be_set_where_the_model_takes_any() -> None:
    """The input size of a model with an open input can be chosen."""
    sized = TfliteInterpreter(*read("posenet"), threads=1, size=Size(481, 353))

    sized.warm_up()

    assert sized.info.input_size == Size(481, 353)
    heads = {tensor.shape[1:3] for tensor in sized.info.outputs}
    assert heads == {(23, 31)}


def test_an_edge_tpu_file_on_the_cpu_is_refused_in_words() -> None:
    """The error says that the model is compiled for the Edge TPU."""
    _, info = read("posenet-257")
    foreign = ModelInfo("x_edgetpu", info.inputs, info.outputs, custom_ops=("edgetpu-custom-op",))

    with pytest.raises(ModelError, match="compiled for the Edge TPU"):
        TfliteInterpreter(b"no model at all", foreign)


def test_threads_leave_one_core_for_the_rest() -> None:
    """0 means all cores but one, and at least one."""
    assert interpreter.thread_count(0) >= 1
    assert interpreter.thread_count(3) == 3


def test_the_runtime_has_a_name_and_a_version() -> None:
    """The runtime's name and version are reported."""
    name, _, version = interpreter.runtime().partition(" ")

    assert name in {"ai-edge-litert", "tflite-runtime"}
    assert version[0].isdigit()


@pytest.mark.slow
def test_the_runtime_says_nothing_of_itself() -> None:
    """An inference writes nothing to `stderr`."""
    program = (
        "from edgepose import PoseEstimator; PoseEstimator('movenet-lightning-int8').warm_up()"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stderr == b""


def run_with(
    tmp_path: Path, packages: dict[str, str], *words: str
) -> subprocess.CompletedProcess[str]:
    """Run edgepose with these packages in place of the runtimes."""
    for name, text in packages.items():
        folder = tmp_path / "packages" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text('__version__ = "9.9"')
        (folder / "interpreter.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "packages")}
    command = [sys.executable, "-m", "edgepose", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def absent(name: str) -> str:
    return f"raise ModuleNotFoundError(name={name!r})"


ABSENT = {name: absent(name) for name in interpreter.PACKAGES}
PERSON = str(Path(__file__).parents[2] / "docs" / "images" / "person.jpg")


@pytest.mark.slow
def test_the_doctor_works_without_a_runtime(tmp_path: Path) -> None:
    """`doctor` reports the missing runtime and how to install it, and runs all other checks."""
    done = run_with(tmp_path, ABSENT, "doctor", "-c", str(tmp_path / "none.toml"))

    (line,) = (line for line in done.stdout.splitlines() if " runtime" in line)
    assert line.startswith("fail")
    assert "no TFLite runtime is installed" in line
    assert "pip install ai-edge-litert" in done.stdout
    assert "configuration" in done.stdout
    assert "clock" in done.stdout


@pytest.mark.slow
def test_a_runtime_that_cannot_be_imported_is_not_called_missing(tmp_path: Path) -> None:
    """The import error is reported if the runtime is installed but cannot be loaded."""
    broken = {"ai_edge_litert": "raise ImportError('libfoo.so.1: cannot open shared object')"}

    done = run_with(tmp_path, ABSENT | broken, "detect", PERSON)

    assert done.returncode == 4
    assert "ai-edge-litert cannot be loaded: libfoo.so.1" in done.stderr
    assert len(done.stderr.splitlines()) == 1


NUMPY_1 = """
import sys
class Interpreter:
    def __init__(self, **_):
        print("A module that was compiled using NumPy 1.x", file=sys.stderr)
        raise SystemError("<built-in method X> returned a result with an exception set")
"""


@pytest.mark.slow
@pytest.mark.skipif(np.__version__ < "2", reason="only numpy 2 does this")
@pytest.mark.parametrize("words", [["detect", PERSON, "-m", "movenet-lightning"], ["doctor"]])
def test_a_runtime_for_numpy_1_says_so_in_a_sentence(tmp_path: Path, words: list[str]) -> None:
    """The error names both versions of numpy and the command; numpy's own output is hidden."""
    done = run_with(tmp_path, ABSENT | {"tflite_runtime": NUMPY_1}, *words)

    said = done.stderr if words[0] == "detect" else done.stdout
    assert f"tflite-runtime 9.9 needs numpy below 2, and numpy {np.__version__}" in said
    assert "pip install 'numpy<2'" in said
    assert "compiled" not in done.stderr
    if words[0] == "detect":
        assert done.returncode == 4
        assert len(done.stderr.splitlines()) == 1
