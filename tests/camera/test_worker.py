"""One camera's worker: order, end, drops, rates."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgepose.camera.health import CameraHealth
from edgepose.camera.motion_gate import MotionGate
from edgepose.camera.sources import FrameFilter, accept_all
from edgepose.camera.view import ImageTransform
from edgepose.camera.worker import CameraWorker, InferenceJob, joined
from edgepose.errors import SourceError
from edgepose.people.follower import Presence
from edgepose.system import process
from edgepose.system.threads import FairQueue, FirstError
from edgepose.timing import NS_PER_S
from edgepose.types import Frame, Message
from tests.support.brokers import wait_until

BLACK = np.zeros((4, 4, 3), dtype=np.uint8)


def frame(number: int, *, hz: float = 10) -> Frame:
    at_ns = int(number * NS_PER_S / hz)
    return Frame(BLACK, at_ns, at_ns, at_ns, name=str(number))


class Listed:
    """A source that yields given frames, then raises an error if one is given."""

    live = False
    fps: float | None = None
    length: int | None = None

    def __init__(self, frames: list[Frame], error: SourceError | None = None) -> None:
        self._frames = frames
        self._error = error
        self.closed = threading.Event()

    def frames(self, accept: FrameFilter = accept_all) -> Iterator[Frame]:
        for entry in self._frames:
            if self.closed.is_set():
                return
            if accept(entry.captured_ns, lambda entry=entry: entry.image):  # type: ignore[misc]
                yield entry
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self.closed.set()


class Names:
    """A pipeline that records the names of its frames."""

    def __init__(self, fail_at: str = "") -> None:
        self.seen: list[str] = []
        self._fail_at = fail_at

    def transform(self, frame: Frame) -> Frame:
        return frame

    def prepare(self, image: Any) -> Any:
        return image

    def drop_image(self, frame: Frame) -> Frame:
        return frame

    def finish(self, frame: Frame, inputs: Any, outputs: Any) -> list[Message]:
        if frame.name == self._fail_at:
            raise ZeroDivisionError(frame.name)
        self.seen.append(frame.name)
        return []


class Bench:
    """A camera with its environment and an engine that answers at once."""

    def __init__(
        self,
        open_source: Callable[[], Any],
        *,
        live: bool = False,
        runs_on: bool = True,
        once: bool = False,
        max_fps: float = 1000,
        pipeline: Names | None = None,
        gate: MotionGate | None = None,
        step_by_step: bool = False,
    ) -> None:
        self.states: list[tuple[str, str]] = []
        self.changed = threading.Condition()
        self.failed = threading.Event()
        self.failure = FirstError(self.failed.set)
        self.lanes: FairQueue[InferenceJob] = FairQueue()
        self.pipeline = pipeline or Names()
        self.camera = CameraWorker(
            "hall",
            open_source=open_source,
            live=live,
            runs_on=runs_on,
            once=once,
            max_fps=max_fps,
            gate=gate,
            engine_threads=1,
            pipeline=self.pipeline,  # type: ignore[arg-type]  # walks without a network
            lanes=self.lanes,
            publish=lambda _: None,
            health=CameraHealth(),
            failure=self.failure,
            changed=self._note,
        )
        if step_by_step:
            self._go_step_by_step()
        self.engine = threading.Thread(target=self._infer, daemon=True)
        self.engine.start()

    def _go_step_by_step(self) -> None:
        """Let the source yield the next frame only after the previous one is processed."""
        put = self.camera._frames.put

        def put_and_wait(entry: Frame) -> bool:
            health = self.camera.health
            before, taken = health.processed, put(entry)
            assert wait_until(lambda: health.processed > before)
            return taken

        self.camera._frames.put = put_and_wait  # type: ignore[method-assign]

    def _infer(self) -> None:
        while (job := self.lanes.take()) is not None:
            job.outputs = job.inputs
            job.camera.answer(job)

    def _note(self, camera: CameraWorker) -> None:
        with self.changed:
            self.states.append((camera.health.state, camera.health.error))
            self.changed.notify_all()

    def wait_for(self, state: str, times: int = 1) -> None:
        with self.changed:
            found = self.changed.wait_for(
                lambda: sum(entry[0] == state for entry in self.states) >= times, 10
            )
        assert found, self.states

    def close(self) -> None:
        self.camera.close()
        self.lanes.close()
        assert joined(self.camera.threads, 5)


def test_every_frame_of_a_finite_source_comes_through_in_order() -> None:
    """No frame of a file is dropped, and the state is `ended` afterwards."""
    frames = [frame(number) for number in range(200)]
    bench = Bench(lambda: Listed(frames))

    bench.camera.start()
    bench.wait_for("ended")

    assert bench.pipeline.seen == [str(number) for number in range(200)]
    assert bench.camera.health.processed == 200
    assert not any(bench.camera.health.dropped.values())
    assert [state for state, _ in bench.states] == ["online", "ended"]
    bench.close()


@pytest.mark.slow
def test_a_file_that_is_missing_is_waited_for() -> None:
    """A missing file is retried: it may be mounted later."""
    opened: list[int] = []

    def mounted_later() -> Listed:
        opened.append(1)
        if len(opened) == 1:
            raise SourceError("video x.mp4: no such file")
        return Listed([frame(number) for number in range(5)])

    bench = Bench(mounted_later)
    bench.camera.start()
    bench.wait_for("ended")

    assert bench.states[0] == ("offline", "video x.mp4: no such file")
    assert [state for state, _ in bench.states] == ["offline", "online", "ended"]
    assert len(bench.pipeline.seen) == 5
    assert bench.failure.error is None
    bench.close()


def test_a_file_that_is_missing_is_tried_once_where_it_is_read_once() -> None:
    """With `once` a missing file is tried once, and the error is kept."""

    def missing() -> Listed:
        raise SourceError("video x.mp4: no such file")

    bench = Bench(missing, once=True)
    bench.camera.start()
    bench.wait_for("offline")

    assert wait_until(lambda: bench.camera.ended)
    assert bench.camera.health.error == "video x.mp4: no such file"
    bench.close()


@pytest.mark.slow
def test_a_live_source_is_opened_again_after_a_loss() -> None:
    """After a loss the state is `offline` until the source is opened again."""
    attempts: list[Listed] = []

    def plugged_in_again() -> Listed:
        if len(attempts) == 1:
            attempts.append(Listed([]))
            raise SourceError("no such device")
        error = SourceError("unplugged")
        begin = 100 * len(attempts)
        attempts.append(Listed([frame(begin + number) for number in range(60)], error))
        return attempts[-1]

    bench = Bench(plugged_in_again, live=True)
    bench.camera.start()
    bench.wait_for("online", times=2)

    said = [entry for entry in bench.states if entry[0] != "starting"]
    assert said[0] == ("online", "")
    assert said[1] == ("offline", "unplugged")
    assert said[2] == ("offline", "no such device")
    assert bench.camera.health.reconnects >= 1
    assert all(source.closed.is_set() for source in attempts[2:-1])
    bench.close()


def test_a_stream_that_keeps_ending_soon_is_lost_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Pauses grow with each short session, and the state is `online` after a longer one."""
    opened = 0
    waits: list[float] = []

    def ends_soon() -> Listed:
        nonlocal opened
        opened += 1
        seconds = 12 if opened == 6 else 2
        return Listed([frame(1000 * opened + number) for number in range(10 * seconds)])

    bench = Bench(ends_soon, live=True)
    monkeypatch.setattr(bench.camera._stop, "wait", lambda s: waits.append(s) or opened == 7)  # type: ignore[func-returns-value]
    monkeypatch.setattr(bench.camera._stop, "is_set", lambda: opened == 7)
    bench.camera.start()
    bench.wait_for("offline", times=2)
    bench.camera.threads[0].join(10)

    assert [state for state, _ in bench.states][:4] == ["online", "offline"] * 2
    assert waits[:5] == sorted(waits[:5])
    assert waits[4] >= 10 * waits[0]
    assert waits[5] == min(waits)
    bench.camera._stop = threading.Event()
    bench.close()


def test_a_live_source_is_looked_at_no_more_often_than_asked() -> None:
    """Of 30 frames a second at `max_fps=10` every third is accepted."""
    frames = [frame(number, hz=30) for number in range(90)]
    source = Listed(frames, SourceError("end"))
    bench = Bench(lambda: source, live=True, max_fps=10)
    taken: list[int] = []
    put = bench.camera._frames.put
    bench.camera._frames.put = lambda entry: taken.append(int(entry.name)) or put(entry)  # type: ignore[method-assign,func-returns-value]

    bench.camera.start()
    bench.wait_for("offline")

    assert taken == list(range(0, 90, 3))
    bench.close()


@pytest.mark.parametrize(("slowness", "told"), [(2, 1), (1.01, 0)])
def test_a_file_that_runs_ahead_is_told_of_once(
    slowness: float, told: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is processed too slowly is logged once, with delay and rates."""
    frames = [
        replace(one, read_ns=int(one.captured_ns * slowness))
        for one in (frame(number, hz=25) for number in range(250))
    ]
    bench = Bench(lambda: Listed(frames))

    bench.camera.start()
    bench.wait_for("ended")

    said = [entry for entry in caplog.messages if "falls behind" in entry]
    assert len(said) == told
    arrived = "by 3 s so far: 25.0 frames a second arrive, 12.5 are processed"
    assert all(arrived in one for one in said)
    bench.close()


def test_what_need_not_keep_up_is_never_late(caplog: pytest.LogCaptureFixture) -> None:
    """Files without pacing, and cameras, are never reported as late."""
    frames = [replace(frame(number), read_ns=number * NS_PER_S) for number in range(100)]
    benches = [
        Bench(lambda: Listed(frames), runs_on=False),
        Bench(lambda: Listed(frames, SourceError("end")), live=True),
    ]

    for bench, end in zip(benches, ("ended", "offline"), strict=True):
        bench.camera.start()
        bench.wait_for(end)

    assert "falls behind" not in caplog.text
    for bench in benches:
        bench.close()


def test_a_fault_in_a_stage_is_handed_to_the_main_thread() -> None:
    """An exception in a stage is passed to the main thread; the camera can still be closed."""
    bench = Bench(
        lambda: Listed([frame(number) for number in range(50)]), pipeline=Names(fail_at="7")
    )

    bench.camera.start()

    assert bench.failed.wait(5)
    assert isinstance(bench.failure.error, ZeroDivisionError)
    bench.close()


def test_closing_ends_a_camera_in_the_middle() -> None:
    """`close` ends a running camera, and can be called twice."""
    bench = Bench(lambda: Listed([frame(number) for number in range(100_000)]))
    bench.camera.start()
    bench.wait_for("online")

    bench.close()
    bench.close()

    assert bench.states[-1][0] == "online"


@pytest.mark.skipif(len(process.cores()) < 2, reason="one core: nothing to leave")
def test_its_threads_keep_to_the_cores_that_the_network_leaves() -> None:
    """The camera's threads run on the cores that the network does not use."""
    seen: list[set[int]] = []

    class Noting(Names):
        def prepare(self, frame: Frame) -> Any:
            seen.append(os.sched_getaffinity(threading.get_native_id()))
            return frame.image

    bench = Bench(lambda: Listed([frame(0)]), pipeline=Noting())
    bench.camera.start()
    bench.wait_for("ended")

    assert seen == [set(sorted(process.cores())[1:])]
    assert os.sched_getaffinity(0) == process.cores()
    bench.close()


class Shown(Names):
    """A pipeline that reports a person in given frames."""

    def __init__(self, *people: range) -> None:
        super().__init__()
        self._people = people

    @property
    def presence(self) -> Presence:
        number = int(self.seen[-1])
        return "somebody" if any(number in where for where in self._people) else "nobody"


def test_an_empty_room_is_left_out_and_counted() -> None:
    """Skipped frames count as `still`; a person opens the gate; all counters add up."""
    minute = [frame(number, hz=10) for number in range(1, 601)]
    pipeline = Shown(range(300, 320))
    bench = Bench(
        lambda: Listed(minute, SourceError("end")),
        live=True,
        pipeline=pipeline,
        gate=MotionGate(ImageTransform(), idle_fps=1),
        step_by_step=True,
    )

    bench.camera.start()
    bench.wait_for("offline")

    seen = [int(name) for name in pipeline.seen]
    assert set(range(302, 465)) <= set(seen), "somebody was there"
    assert len([number for number in seen if 180 < number < 300]) == 11
    health = bench.camera.health
    assert health.dropped["still"] == health.received - health.processed > 200
    bench.close()


def test_every_frame_that_was_not_looked_at_has_a_reason() -> None:
    """Received frames are the sum of processed ones and dropped ones with each reason."""
    paused_at = 30

    class Pausing(Listed):
        def frames(self, accept: FrameFilter = accept_all) -> Iterator[Frame]:
            for entry in self._frames:
                if int(entry.name) == paused_at:
                    bench.camera.pause(True)
                if accept(entry.captured_ns):
                    yield entry
            raise SourceError("end")

    frames = [frame(number, hz=30) for number in range(60)]
    bench = Bench(lambda: Pausing(frames), live=True, max_fps=10, step_by_step=True)

    bench.camera.start()
    bench.wait_for("offline")

    health = bench.camera.health
    assert health.received == 60
    assert health.dropped == {"overtaken": 0, "limit": 20, "still": 0, "paused": 30}
    assert health.processed == 10
    bench.close()


def test_what_cannot_be_decoded_does_not_count_as_delivered() -> None:
    """A source that yields only broken pictures does not become `online`."""

    class Broken(Listed):
        def frames(self, accept: FrameFilter = accept_all) -> Iterator[Frame]:
            assert accept(self._frames[0].captured_ns)
            raise SourceError("broken pictures")
            yield

    bench = Bench(lambda: Broken([frame(1)]), live=True)

    bench.camera.start()
    bench.wait_for("offline")

    assert "online" not in [state for state, _ in bench.states]
    assert bench.camera.health.received == 1
    bench.close()
