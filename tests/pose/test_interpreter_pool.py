"""Several interpreters of one model."""

import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgepose.camera.sources import open_source
from edgepose.models import catalog
from edgepose.models import info as models
from edgepose.models.info import ModelInfo, Outputs
from edgepose.pose.estimator import PoseEstimator
from edgepose.pose.interpreter import TfliteInterpreter
from edgepose.pose.interpreter_pool import InterpreterPool
from edgepose.types import Image

WAIT_S = 10.0
INFO = ModelInfo("fake", (), ())


class Meeting:
    """An interpreter whose inferences wait for each other at a barrier."""

    info = INFO
    threads = 1
    plugin = None

    def __init__(self, barrier: threading.Barrier) -> None:
        self._barrier = barrier
        self._lock = threading.Lock()

    def infer(self, tensor: NDArray[Any]) -> Outputs:
        assert self._lock.acquire(blocking=False), "an interpreter is used by one caller at a time"
        try:
            self._barrier.wait(WAIT_S)
        finally:
            self._lock.release()
        return Outputs(INFO, (tensor,))

    def spin(self, times: int) -> None:
        raise NotImplementedError

    def warm_up(self) -> None:
        raise NotImplementedError


class Failing(Meeting):
    """An interpreter that fails."""

    def infer(self, tensor: NDArray[Any]) -> Outputs:
        raise RuntimeError(int(tensor[0]))


def at_once(pool: InterpreterPool, count: int) -> list[int]:
    """Infer `count` numbers, each in its own thread; return the outputs."""
    found = [-1] * count

    def ask(number: int) -> None:
        found[number] = int(pool.infer(np.array([number])).arrays[0][0])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    return found


@pytest.mark.parametrize("interpreters", [1, 2, 4])
def test_as_many_run_at_once_as_there_are_interpreters(interpreters: int) -> None:
    """Further callers wait; each caller gets the outputs of its own input."""
    barrier = threading.Barrier(interpreters)
    pool = InterpreterPool([Meeting(barrier) for _ in range(interpreters)])

    assert at_once(pool, 3 * interpreters) == list(range(3 * interpreters))


def test_an_interpreter_that_has_failed_is_free_again() -> None:
    """After an exception in an inference the interpreter can be used again."""
    pool = InterpreterPool([Failing(threading.Barrier(1))])

    for number in range(3):
        with pytest.raises(RuntimeError, match=str(number)):
            pool.infer(np.array([number]))


@pytest.mark.parametrize("name", ["movenet-lightning-int8", "posenet-257"])
def test_outputs_are_those_of_one_interpreter(name: str) -> None:
    """The outputs are bit-identical, whichever interpreter ran."""
    choice = catalog.choose(name)
    info = models.read(choice.path.read_bytes(), name)
    one, *more = (TfliteInterpreter(choice.path, info, threads=1) for _ in range(3))
    pool = InterpreterPool(more)
    tensor = info.inputs[0]
    rng = np.random.default_rng(1)
    inputs = [rng.integers(0, 2, tensor.shape).astype(tensor.dtype) for _ in range(6)]
    alone = [one.infer(entry).arrays for entry in inputs]
    answers: dict[int, tuple[NDArray[Any], ...]] = {}

    def ask(number: int) -> None:
        answers[number] = pool.infer(inputs[number]).arrays

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for number, expected in enumerate(alone):
        assert all(map(np.array_equal, answers[number], expected))


def crowd() -> Image:
    """Return a picture of the demo with several people."""
    return next(iter(open_source("demo://", realtime=False).frames())).image


def test_crops_of_one_frame_run_at_the_same_time() -> None:
    """With two interpreters two crops are inferred at once."""
    estimator = PoseEstimator(
        "posenet-uint8+movenet-lightning-int8", policy="refine", threads=1, interpreters=2
    )
    image = crowd()
    people = estimator.estimate(image)
    assert len(people) >= 2
    inputs = estimator.prepare(image, people[:2], 1)
    looks = [look for look in inputs.crops if look.crop.person is not None]
    barrier = threading.Barrier(2)
    refiner = estimator.networks[1]
    refiner.engine = InterpreterPool([Meeting(barrier), Meeting(barrier)])

    outputs = estimator.infer(type(inputs)(tuple(looks)))

    assert len(outputs) == 2


def test_people_are_the_same_with_any_number_of_interpreters() -> None:
    """The number of interpreters does not change the poses or their order."""
    image = crowd()
    found = [
        PoseEstimator(
            "posenet-uint8+movenet-lightning-int8", policy="refine", threads=1, interpreters=count
        ).estimate(image)
        for count in (1, 3)
    ]

    assert len(found[0]) == len(found[1]) > 0
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one.keypoints, other.keypoints)
        assert one.score == other.score
