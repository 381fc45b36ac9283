"""The inference thread, and what replaces it when a delegate hangs."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from edgepose.camera.build import total_fps
from edgepose.camera.worker import Job, joined
from edgepose.config.schema import Config
from edgepose.errors import EdgeposeError
from edgepose.pose.failover import HANG_S
from edgepose.pose.selection import Chooser, Plan
from edgepose.service.state import DaemonState
from edgepose.service.watchdog import Progress

log: Final = logging.getLogger(__name__)


class InferenceLoop:
    """Runs prepared frames through the model, one after the other, in a thread of its own.

    Parameters
    ----------
    state : DaemonState
        Its `lanes` hold the frames; a failure is reported to its `failure`.
    """

    def __init__(self, state: DaemonState) -> None:
        self._state = state
        self._thread: threading.Thread | None = None
        self._job: Job | None = None
        self._trial: DelegateTrial | None = None
        self.progress = Progress()
        self.stuck = False
        """Whether a thread was left behind within a library."""

    def start(self, job: Job | None = None) -> None:
        """Start the thread, with the frame that a stuck one was given; that one is left behind."""
        self._thread = threading.Thread(target=self._run, args=(job,), name="engine", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """End the thread; sets `stuck` where it does not end in time."""
        self._state.lanes.close()
        threads = [] if self._thread is None else [self._thread]
        self.stuck |= not joined(threads, timeout_s) or self._trial is not None

    def supervise(self) -> None:
        """Replace a delegate that hangs by the CPU; return to one that can be used again."""
        estimator, selector = self._state.estimator, self._state.selector
        if estimator.hangs():
            log.warning("delegate %s: hangs", estimator.plan.delegate.name)
            estimator.give_up(estimator.current, f"gave no answer within {HANG_S:g} s")
            self.stuck = True
            self.start(self._job)
        config = self._state.config
        if self._trial is None and selector.worth_a_try(config, estimator.plan):
            self._trial = DelegateTrial(selector, config, self._state.wake.set)
        if self._trial is not None and self._trial.over:
            trial, self._trial = self._trial, None
            if trial.plan is not None and trial.config is config:
                on_cpu = trial.plan.delegate.plugin is None
                (estimator.note if on_cpu else estimator.take)(trial.plan)

    def _run(self, job: Job | None) -> None:
        state = self._state
        try:
            job = job or state.lanes.take()
            while job is not None:
                self._job = job
                self.progress.began()
                if job.glance is not None:
                    started_ns = state.clock.now_ns()
                    outputs = job.camera.pipeline.infer(job.glance)
                    if threading.current_thread() is not self._thread:
                        return  # it took so long that another thread has taken over
                    job.outputs = outputs
                    state.inference_times.add(state.clock.now_ns() - started_ns)
                job.camera.answer(job)
                self.progress.done()
                job = state.lanes.take()
        except Exception as error:  # handed to the main thread, which raises it
            state.failure.report(error)


class DelegateTrial:
    """Makes a plan with a delegate in a thread of its own, while the CPU goes on.

    Parameters
    ----------
    done : callable
        Called when `over` is set.
    """

    def __init__(self, selector: Chooser, config: Config, done: Callable[[], None]) -> None:
        self.config = config
        self.plan: Plan | None = None
        self.over = False
        self._selector = selector
        self._done = done
        threading.Thread(target=self._run, name="trial", daemon=True).start()

    def _run(self) -> None:
        try:
            self.plan = self._selector.plan(self.config, total_fps(self.config))
        except EdgeposeError as error:
            log.warning("delegate: cannot be tried again: %s", error)
        self.over = True
        self._done()
