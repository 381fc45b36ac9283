"""The threads of one configured camera, from the source to the publisher."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from edgepose.camera.health import CameraHealth, Reason, State
from edgepose.camera.motion_gate import MotionGate
from edgepose.camera.pipeline import Pipeline
from edgepose.camera.sources import Source, Thumbnail
from edgepose.errors import SourceError
from edgepose.system import process
from edgepose.system.threads import FairQueue, FirstError, InOrder, LatestSlot
from edgepose.timing import NS_PER_S
from edgepose.types import Frame, Message

log: Final = logging.getLogger(__name__)

READY: Final = 2  # frames beyond those in an interpreter: one prepared, one inferred
LATE_S: Final = 3.0  # longer than the delay of a file by the first, slow inferences
RETRY_S: Final = (0.5, 1, 2, 5, 10, 30)  # retry quickly at first, then every 30 s
SETTLED_S: Final = 5.0  # a stream that ends sooner counts as a failure for the retry delay


@dataclass(slots=True, eq=False)
class InferenceJob:
    """A prepared frame for the shared interpreters, and its result."""

    camera: "CameraWorker"
    frame: Frame
    inputs: Any
    """Result of the estimator's `prepare`."""

    outputs: Any = None
    """Result of the estimator's `infer`; None before the inference."""


def joined(threads: Iterable[threading.Thread], timeout_s: float) -> bool:
    """Join threads within one common timeout; return False if any is still alive."""
    end_s = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, end_s - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


class CameraWorker:
    """Runs one pipeline in three threads: read, prepare and finish. Interpreters are shared.

    Parameters
    ----------
    id : str
        The camera's id in the configuration.
    open_source : callable
        Opens the source; called again after the source was lost.
    live : bool
        Whether only the newest frame of the source is kept.
    runs_on : bool
        Whether the source continues while the camera is paused and its frames are dropped. If
        False, reading waits until the camera is resumed.
    once : bool
        Whether to give up a source that is not live after an error, instead of reopening it.
    max_fps : float
        Upper limit of the frame rate of a live source; excess frames are dropped.
    gate : MotionGate, optional
        Drops frames while nothing moves.
    engine_threads : int
        Number of cores that the network uses; the camera's threads are pinned to the others.
    interpreters : int
        Number of frames that may be inferred at the same time.
    publish : callable
        Called with each message of the camera.
    changed : callable
        Called after each change of `health.state`.
    """

    def __init__(
        self,
        id: str,  # noqa: A002  # the contract's word
        *,
        open_source: Callable[[], Source],
        live: bool,
        runs_on: bool = True,
        once: bool = False,
        max_fps: float,
        gate: MotionGate | None = None,
        engine_threads: int,
        interpreters: int = 1,
        pipeline: Pipeline,
        lanes: FairQueue[InferenceJob],
        publish: Callable[[Message], None],
        health: CameraHealth,
        failure: FirstError,
        changed: Callable[["CameraWorker"], None],
    ) -> None:
        self.id = id
        self.live = live
        self._runs_on = runs_on
        self._once = once and not live
        self.health = health
        self.pipeline = pipeline
        self._open_source = open_source
        self._period_ns = NS_PER_S / max_fps
        self._next_ns = 0.0
        self._gate = gate
        self._engine_threads = engine_threads
        self._lanes = lanes
        self._publish = publish
        self._failure = failure
        self._changed = changed
        self._stop = threading.Event()
        self._paused = False
        self._awake = threading.Event()
        self._awake.set()
        self._source: Source | None = None
        self._began_ns: int | None = None
        self._settled = False
        self._short_streams = 0
        self._told_late = live or not runs_on  # these sources cannot fall behind
        self._frames: LatestSlot[Frame] = LatestSlot(newest_wins=live)
        self._jobs: InOrder[InferenceJob] = InOrder(interpreters + READY)
        self.tried = threading.Event()
        """Set when the source has delivered a frame, failed or ended for the first time."""

        self.threads = [
            threading.Thread(
                target=self._run_guarded, args=(work,), name=f"{id}:{name}", daemon=True
            )
            for name, work in (
                ("source", self._read_frames),
                ("prepare", self._prepare_frames),
                ("finish", self._finish_frames),
            )
        ]

    def start(self) -> None:
        """Start the camera's threads."""
        for thread in self.threads:
            thread.start()

    def pause(self, paused: bool) -> None:
        """Pause or resume the processing of frames."""
        self._paused = paused
        if paused:
            self._awake.clear()
        else:
            self._awake.set()

    def pace(self, max_fps: float) -> None:
        """Set the maximum frame rate in Hz."""
        self._period_ns = NS_PER_S / max_fps

    def answer(self, job: InferenceJob) -> None:
        """Accept an inferred job, in any order. Thread-safe."""
        self._jobs.done(job)

    def close(self) -> None:
        """Stop the source and let the threads finish their frames. Idempotent."""
        self._stop.set()
        self._awake.set()
        if self._source is not None:
            self._source.close()
        self._frames.close()
        self._jobs.close()

    @property
    def ended(self) -> bool:
        """Whether the source will not be reopened and its last frame is processed."""
        return self.health.state in {"ended", "offline"} and not self.threads[-1].is_alive()

    def _run_guarded(self, work: Callable[[], None]) -> None:
        process.pin_to_spare_cores(self._engine_threads)
        try:
            work()
        except Exception as error:  # handed to the main thread, which raises it
            self._failure.report(error)

    def _read_frames(self) -> None:
        """Put the source's frames into the slot; reopen the source after each failure."""
        failures = 0
        while not self._stop.is_set():
            self._began_ns, self._settled = None, False
            error = self._read_once()
            if self._stop.is_set() or not error:
                break
            self._set_state("offline", error)
            if self._once:
                break
            if self._began_ns is None:
                failures += 1
            else:
                self._short_streams = 0 if self._settled else self._short_streams + 1
                failures = self._short_streams
            self._stop.wait(RETRY_S[min(failures, len(RETRY_S) - 1)])
        self._frames.close()

    def _read_once(self) -> str:
        """Read until the source ends; return the error, empty for the end of a file."""
        try:
            self._source = self._open_source()
            with closing(self._source):
                self._put_all(self._source)
        except SourceError as error:
            return str(error)
        return "the stream ended" if self.live else ""

    def _put_all(self, source: Source) -> None:
        self._next_ns = 0.0
        if self._gate is not None:
            self._gate.reset()
        for frame in source.frames(self._accept_frame):
            began_ns = self._record_delivery(frame.captured_ns)
            self._tell_if_late(frame, began_ns)
            if self._stop.is_set() or not self._frames.put(frame):
                return
            self.health.dropped["overtaken"] = self._frames.dropped

    def _tell_if_late(self, frame: Frame, began_ns: int) -> None:
        """Warn once if a file played at its own rate delivers more frames than can be processed."""
        late_s = (frame.read_ns - frame.captured_ns) / NS_PER_S
        if self._told_late or late_s < LATE_S:
            return
        self._told_late = True
        frames = (self.health.received - 1) * NS_PER_S
        log.warning(
            "camera %s: processing falls behind its source, by %.0f s so far: %.1f frames a"
            " second arrive, %.1f are processed; a faster model keeps up: edgepose models --auto"
            " shows which",
            self.id,
            late_s,
            frames / (frame.captured_ns - began_ns),
            frames / (frame.read_ns - began_ns),
        )

    def _record_delivery(self, at_ns: int) -> int:
        """Record that the source delivers; return the time of its first frame."""
        self._began_ns = at_ns if self._began_ns is None else self._began_ns
        self._settled = at_ns - self._began_ns >= SETTLED_S * NS_PER_S
        if self._settled or self._short_streams == 0:
            self._set_state("online")
        return self._began_ns

    def _accept_frame(self, at_ns: int, thumbnail: Thumbnail | None = None, /) -> bool:
        """Count a frame and return whether to process it; called before it is decoded."""
        if self._stop.is_set():
            return True  # so that the source yields a frame and `_put_all` can end
        self.health.received += 1
        reason = self._rejection_reason(at_ns, thumbnail)
        if reason is not None:
            self.health.dropped[reason] += 1
        return reason is None

    def _rejection_reason(self, at_ns: int, thumbnail: Thumbnail | None) -> Reason | None:
        """Return why a frame is dropped before it is decoded; None if it is processed."""
        if self._paused and not self._wait_for_resume():
            self._record_delivery(at_ns)
            return "paused"
        # Capture times jitter: a frame may be a quarter of the period early.
        if self.live and at_ns < self._next_ns - self._period_ns / 4:
            return "limit"
        if self._gate is not None and not self._gate.allows(at_ns, thumbnail):
            return "still"
        self._next_ns = max(self._next_ns + self._period_ns, at_ns)
        return None

    def _wait_for_resume(self) -> bool:
        """Return False for a source that runs on; else wait for the resume and return True."""
        if self._runs_on:
            return False
        self._awake.wait()
        return True

    def _prepare_frames(self) -> None:
        """Prepare the newest frame each time an interpreter is about to become free."""
        while self._jobs.wait_for_room() and self._lanes.wait_until_free(self.id):
            frame = self._frames.take()
            if frame is None:
                break
            frame = self.pipeline.transform(frame)
            inputs = self.pipeline.prepare(frame)
            frame = self.pipeline.drop_image(frame)
            job = InferenceJob(self, frame, inputs)
            self._jobs.begin(job)
            self._lanes.put(self.id, job)
        self._jobs.end()

    def _finish_frames(self) -> None:
        """Publish the messages of inferred frames, in the order of capture."""
        while (job := self._jobs.take()) is not None:
            for message in self.pipeline.finish(job.frame, job.inputs, job.outputs):
                self._publish(message)
            self.health.processed += 1
            if self._gate is not None:
                self._gate.set_presence(self.pipeline.presence, job.frame.captured_ns)
        if not self._stop.is_set() and self.health.state != "offline":
            self._set_state("ended")

    def _set_state(self, state: State, error: str = "") -> None:
        if (state, error) == (self.health.state, self.health.error):
            return
        was = self.health.state
        self.health.state, self.health.error = state, error
        self.tried.set()
        if state == "offline" and was != "offline":
            log.warning("camera %s: lost: %s; reconnecting", self.id, error)
        elif state == "online" and was == "offline":
            self.health.reconnects += 1
            log.info("camera %s: back", self.id)
        elif state == "ended":
            log.info("camera %s: its source has ended", self.id)
        self._changed(self)
