"""Several cameras share one network: fully used, in equal parts, also with failing cameras."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from edgepose.camera.health import CameraHealth
from edgepose.camera.sources import FrameFilter, accept_all
from edgepose.camera.worker import CameraWorker, InferenceJob, joined
from edgepose.errors import SourceError
from edgepose.system.threads import FairQueue, FirstError
from edgepose.types import Frame
from tests.camera.test_worker import BLACK, Names

TURNS = 240
SETTLE = 20  # turns until all cameras have started
INFER_S = 0.005

Open = Callable[[], "Endless"]


class Endless:
    """A live camera with 500 pictures per second."""

    live = True
    fps: float | None = None
    length: int | None = None

    def __init__(self, *, period_s: float = 0.002, freezes_after: int | None = None) -> None:
        self.closed = threading.Event()
        self._period_s, self._freezes_after = period_s, freezes_after

    def frames(self, accept: FrameFilter = accept_all) -> Iterator[Frame]:
        for number in count(1):
            if self.closed.wait(None if number == self._freezes_after else self._period_s):
                return
            if accept(number * 1_000_000):
                yield Frame(BLACK, number * 1_000_000, 0, 0, name=str(number))

    def close(self) -> None:
        self.closed.set()


class Shared:
    """Cameras and an engine that infers their frames in turn."""

    def __init__(self, interpreters: int = 1, **cameras: Open) -> None:
        self._interpreters = interpreters
        self._lock = threading.Lock()
        self.pipelines: dict[str, Names] = {}
        self.turns: Counter[str] = Counter()
        self.waited = 0
        """Number of turns for which the engine had to wait."""

        self.failure = FirstError(lambda: None)
        self._lanes: FairQueue[InferenceJob] = FairQueue()
        self._cameras = [self._camera(id_, open_) for id_, open_ in cameras.items()]

    def _camera(self, id_: str, open_source: Open) -> CameraWorker:
        self.pipelines[id_] = Names()
        return CameraWorker(
            id_,
            open_source=open_source,
            live=True,
            max_fps=1000,
            engine_threads=1,
            interpreters=self._interpreters,
            pipeline=self.pipelines[id_],  # type: ignore[arg-type]  # walks without a network
            lanes=self._lanes,
            publish=lambda _: None,
            health=CameraHealth(),
            failure=self.failure,
            changed=lambda _: None,
        )

    def run(self) -> Counter[str]:
        """Run this many inferences; return the number per camera."""
        for camera in self._cameras:
            camera.start()
        turns = count()
        workers = [
            threading.Thread(target=self._infer, args=(turns,)) for _ in range(self._interpreters)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        for camera in self._cameras:
            camera.close()
        self._lanes.close()
        assert all(joined(camera.threads, 5) for camera in self._cameras)
        assert self.failure.error is None
        return self.turns

    def _infer(self, turns: Iterator[int]) -> None:
        inferring = threading.Event()
        while True:
            with self._lock:
                if (turn := next(turns)) >= SETTLE + TURNS:
                    return
                ready = bool(self._lanes._lanes)
                job = self._lanes.take()
                assert job is not None
                if turn >= SETTLE:
                    self.turns[job.camera.id] += 1
                    self.waited += not ready
            # A later frame may finish first. The cameras keep up on a busy machine, too.
            inferring.wait(INFER_S * self._interpreters * (1 + turn % self._interpreters))
            job.camera.answer(job)


@pytest.mark.parametrize("interpreters", [2, 3])
@pytest.mark.parametrize("cameras", [1, 2, 4])
def test_several_interpreters_are_shared_equally_and_keep_the_order(
    interpreters: int, cameras: int
) -> None:
    """Each camera's frames stay in order, and each camera gets an equal share."""
    names = {f"camera{number}": Endless for number in range(cameras)}
    shared = Shared(interpreters, **names)

    turns = shared.run()

    assert turns.total() == TURNS
    assert set(turns.values()) <= {TURNS // cameras + off for off in range(-3, 4)}
    for pipeline in shared.pipelines.values():
        numbers = [int(name) for name in pipeline.seen]
        assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("cameras", [1, 2, 4])
def test_the_network_is_always_busy_and_shared_equally(cameras: int) -> None:
    """The network is always busy with one, two or four cameras, in equal shares."""
    shared = Shared(**{f"camera{number}": Endless for number in range(cameras)})

    turns = shared.run()

    assert turns.total() == TURNS
    assert set(turns.values()) <= {TURNS // cameras + off for off in (-2, -1, 0, 1, 2)}
    assert shared.waited <= 0.1 * TURNS, "the total rate falls when the network has to wait"


def absent() -> Endless:
    """Raise SourceError: there is no camera."""
    raise SourceError("no such device")


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(absent, id="dead"),
        pytest.param(lambda: Endless(freezes_after=3), id="frozen"),
        pytest.param(lambda: Endless(period_s=0.1), id="slow"),
    ],
)
def test_a_camera_in_trouble_does_not_slow_the_others(bad: Open) -> None:
    """Its turns go to the others in equal parts; a slow camera gets what it can use."""
    shared = Shared(good=Endless, bad=bad, other=Endless)

    turns = shared.run()

    assert turns.total() == TURNS
    assert abs(turns["good"] - turns["other"]) <= 3
    assert turns["good"] + turns["other"] >= 0.9 * TURNS
    assert shared.waited <= 0.1 * TURNS
