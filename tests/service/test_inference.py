"""The inference threads: several interpreters, one that hangs, and the frames' order."""

import threading
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from edgepose.config.schema import Camera as CameraSettings
from edgepose.config.schema import Config, Device, Metrics, Model, Mqtt, Web
from edgepose.service.daemon import Daemon
from edgepose.service.inference import InferenceLoop
from edgepose.system.threads import FairQueue, FirstError, InOrder
from edgepose.timing import Clock, Durations
from edgepose.types import Message
from tests.support.brokers import free_port, wait_until


class Scripted:
    """An estimator with several interpreters, one of which hangs on request."""

    def __init__(self, interpreters: int) -> None:
        self.interpreters = interpreters
        self.current = object()
        self.has_hung = False
        self.given_up = 0
        self.plan = SimpleNamespace(delegate=SimpleNamespace(name="a delegate"), waits=False)

    def is_hung(self) -> bool:
        return self.has_hung

    def fail_over(self, estimator: object, reason: str) -> None:
        self.given_up += 1
        self.has_hung = False


class Camera:
    """A camera whose frames are numbers; inference hangs once on some of them."""

    def __init__(self, *hang_on: int) -> None:
        self.pipeline = self
        self.release = threading.Event()
        self.inferred: list[int] = []
        self.answered: list[int] = []
        self._hang_on = set(hang_on)
        self.jobs: InOrder[Any] = InOrder(100)

    def infer(self, inputs: int) -> int:
        self.inferred.append(inputs)
        if inputs in self._hang_on:
            self._hang_on.remove(inputs)
            self.release.wait(20)
        return inputs

    def answer(self, job: Any) -> None:
        self.answered.append(job.outputs)
        self.jobs.done(job)


class Bench:
    """An inference loop with only a camera and an estimator."""

    def __init__(self, interpreters: int, camera: Camera) -> None:
        self.estimator, self.camera = Scripted(interpreters), camera
        self.state = SimpleNamespace(
            estimator=self.estimator,
            selector=SimpleNamespace(worth_a_try=lambda config, plan: False),
            config=None,
            lanes=FairQueue(),
            clock=Clock(),
            inference_times=Durations(),
            failure=FirstError(lambda: None),
        )
        self.loop = InferenceLoop(self.state)  # type: ignore[arg-type]
        self.loop.start()

    def give(self, *numbers: int) -> None:
        for number in numbers:
            job = SimpleNamespace(camera=self.camera, inputs=number, outputs=None)
            self.camera.jobs.begin(job)
            assert self.state.lanes.put("camera", job)

    def taken(self, count: int) -> list[int]:
        jobs = [self.camera.jobs.take() for _ in range(count)]
        return [job.outputs for job in jobs if job is not None]

    def close(self) -> None:
        self.camera.release.set()
        self.loop.close(5)
        assert self.state.failure.error is None


def test_other_interpreters_go_on_while_one_hangs() -> None:
    """The watchdog detects the hang although other frames pass."""
    bench = Bench(2, Camera(0))
    bench.give(0, 1, 2, 3)

    assert wait_until(lambda: bench.camera.answered == [1, 2, 3])
    first = bench.loop.is_passing()
    bench.give(4)
    assert wait_until(lambda: 4 in bench.camera.answered)

    assert first
    assert not bench.loop.is_passing()
    bench.close()


def test_the_frame_of_one_that_hangs_is_inferred_by_another() -> None:
    """The frame is inferred once more; the late result is ignored and the order is kept."""
    bench = Bench(2, Camera(0))
    bench.give(0, 1, 2)
    assert wait_until(lambda: bench.camera.answered == [1, 2])

    bench.estimator.has_hung = True
    bench.loop.supervise()
    bench.give(3)
    taken = bench.taken(4)
    bench.camera.release.set()

    assert taken == [0, 1, 2, 3]
    assert bench.estimator.given_up == 1
    assert bench.loop.stuck
    assert bench.loop.is_passing()
    bench.close()
    assert sorted(bench.camera.answered) == [0, 1, 2, 3]
    assert bench.camera.inferred.count(0) == 2


def test_there_are_as_many_threads_as_interpreters() -> None:
    """The number of threads follows the estimator's number of interpreters."""
    bench = Bench(1, Camera())

    for count in (3, 1, 2):
        bench.estimator.interpreters = count
        bench.loop.supervise()
        bench.give(*range(20))
        assert len(bench.taken(20)) == 20
        assert len(bench.loop._workers) == count

    threads = [worker.thread for worker in bench.loop._workers + bench.loop._left_behind]
    bench.close()
    assert not any(thread.is_alive() for thread in threads)


class Said(msgspec.Struct):
    """The parts of a pose message that must not depend on how it was computed."""

    seq: int
    poses: list[Any]


def run(interpreters: int) -> list[Said]:
    """Run a daemon over the demo clip; return the pose messages."""
    config = Config(
        device=Device(id="bench"),
        mqtt=Mqtt(url=f"mqtt://127.0.0.1:{free_port()}"),
        metrics=Metrics(listen=""),
        web=Web(listen=""),
        model=Model(
            name="movenet-lightning-int8",
            policy="whole",
            threads=1,
            interpreters=interpreters,
            delegate="cpu",
        ),
        cameras=(CameraSettings(id="bench", source="demo://", realtime=False),),
    )
    said: list[Said] = []
    daemon = Daemon(config, once=True)

    def note(message: Message) -> None:
        if message.kind == "poses":
            said.append(msgspec.json.decode(message.payload, type=Said))

    daemon.state.broker.publisher.on_message(note)
    daemon.run()
    return said


@pytest.mark.slow
def test_a_film_says_the_same_with_any_number_of_interpreters() -> None:
    """People and ids of all frames are equal for one and three interpreters."""
    one, three = run(1), run(3)

    assert len(one) > 100
    assert [entry.seq for entry in three] == list(range(1, len(one) + 1))
    assert one == three
