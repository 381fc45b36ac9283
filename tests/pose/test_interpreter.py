"""The loaded interpreter."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from edgepose.errors import ModelError
from edgepose.models import catalog
from edgepose.models import info as models
from edgepose.models.info import ModelInfo
from edgepose.pose import interpreter
from edgepose.pose.interpreter import Engine
from edgepose.types import Size


def read(name: str) -> tuple[bytes, ModelInfo]:
    choice = catalog.choose(name)
    content = choice.path.read_bytes()
    return content, models.read(content, choice.name)


def test_outputs_stay_what_they_were_when_the_network_runs_again() -> None:
    """Answers are copies: another thread may still read them."""
    one = Engine(*read("posenet-257"), threads=1)
    black, white = (np.full((1, 257, 257, 3), value, dtype=np.float32) for value in (-1, 1))

    first = one.infer(black)
    kept = [array.copy() for array in first.arrays]
    second = one.infer(white)

    assert all(np.array_equal(a, b) for a, b in zip(first.arrays, kept, strict=True))
    assert not np.array_equal(first.arrays[0], second.arrays[0])


def test_two_threads_get_each_their_own_answer() -> None:
    """The interpreter is used by one caller at a time."""
    shared = Engine(*read("posenet-257"), threads=1)
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
    """One PoseNet file serves every input size."""
    sized = Engine(*read("posenet"), threads=1, size=Size(481, 353))

    sized.warm_up()

    assert sized.info.input_size == Size(481, 353)
    heads = {tensor.shape[1:3] for tensor in sized.info.outputs}
    assert heads == {(23, 31)}


def test_an_edge_tpu_file_on_the_cpu_is_refused_in_words() -> None:
    """The sentence says what the file is for, not what the runtime could not resolve."""
    _, info = read("posenet-257")
    foreign = ModelInfo("x_edgetpu", info.inputs, info.outputs, custom_ops=("edgetpu-custom-op",))

    with pytest.raises(ModelError, match="compiled for the Edge TPU"):
        Engine(b"no model at all", foreign)


def test_threads_leave_one_core_for_the_rest() -> None:
    """0 stands for all cores but one, and never for none."""
    assert interpreter.thread_count(0) >= 1
    assert interpreter.thread_count(3) == 3


def test_the_runtime_has_a_name_and_a_version() -> None:
    """Status and benchmarks say what the numbers belong to."""
    name, _, version = interpreter.runtime().partition(" ")

    assert name in {"ai-edge-litert", "tflite-runtime"}
    assert version[0].isdigit()


@pytest.mark.slow
def test_the_runtime_says_nothing_of_itself() -> None:
    """Whoever reads `stderr` of a program looks for errors."""
    program = (
        "from edgepose import PoseEstimator; PoseEstimator('movenet-lightning-int8').warm_up()"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stderr == b""
