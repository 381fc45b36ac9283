"""The inference threads, and their replacement when a delegate hangs."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from edgepose.camera.build import total_fps
from edgepose.camera.worker import InferenceJob, joined
from edgepose.config.schema import Config
from edgepose.errors import EdgeposeError
from edgepose.pose.failover import HANG_S
from edgepose.pose.selection import ModelSelector, Plan
from edgepose.service.state import DaemonState
from edgepose.service.watchdog import InferenceWatchdog

log: Final = logging.getLogger(__name__)


class InferenceLoop:
    """Infers prepared frames, with one thread for each interpreter.

    Parameters
    ----------
    state : DaemonState
        `lanes` supplies the frames; `failure` receives errors.
    """

    def __init__(self, state: DaemonState) -> None:
        self._state = state
        self._workers: list[InferenceWorker] = []
        self._left_behind: list[InferenceWorker] = []
        self._trial: PlanTrial | None = None
        self.stuck = False
        """Whether a thread cannot be ended because a library call blocks."""

    def start(self) -> None:
        """Start a thread for each interpreter."""
        self._match_interpreters()

    def is_passing(self) -> bool:
        """Return False if an inference that ran at the previous call still runs."""
        passing = [worker.watchdog.is_progressing() for worker in self._workers]
        return all(passing)

    def close(self, timeout_s: float) -> None:
        """Stop the threads; sets `stuck` if one does not end in time."""
        self._state.lanes.close()
        threads = [worker.thread for worker in self._workers + self._left_behind]
        self.stuck |= not joined(threads, timeout_s) or self._trial is not None

    def supervise(self) -> None:
        """Replace a hung delegate by the CPU, and return to a delegate that works again."""
        estimator, selector = self._state.estimator, self._state.selector
        if estimator.is_hung():
            log.warning("delegate %s: hangs", estimator.plan.delegate.name)
            estimator.fail_over(estimator.current, f"gave no answer within {HANG_S:g} s")
            self._replace_busy()
        config = self._state.config
        if self._trial is None and selector.worth_a_try(config, estimator.plan):
            self._trial = PlanTrial(selector, config, self._state.wake.set)
        if self._trial is not None and self._trial.over:
            trial, self._trial = self._trial, None
            if trial.plan is not None and trial.config is config:
                on_cpu = trial.plan.delegate.plugin is None
                (estimator.set_reason if on_cpu else estimator.switch_to)(trial.plan)
        self._match_interpreters()

    def _replace_busy(self) -> None:
        """Abandon the busy threads and start new ones with the same frames."""
        self.stuck = True
        busy = [worker for worker in self._workers if worker.job is not None]
        for worker in busy:
            worker.is_abandoned = True
            self._workers.remove(worker)
            self._workers.append(InferenceWorker(self._state, worker.job))

    def _match_interpreters(self) -> None:
        """Start or retire threads so that there is one for each interpreter."""
        count = self._state.estimator.interpreters
        for worker in self._workers[count:]:
            worker.is_retired = True
        self._left_behind = [w for w in self._left_behind if w.thread.is_alive()]
        self._left_behind += self._workers[count:]
        self._workers = self._workers[:count]
        while len(self._workers) < count:
            self._workers.append(InferenceWorker(self._state))


class InferenceWorker:
    """A thread that infers one frame after the other; starts on creation.

    Parameters
    ----------
    job : InferenceJob, optional
        The first frame, before any of `lanes`.
    """

    def __init__(self, state: DaemonState, job: InferenceJob | None = None) -> None:
        self._state = state
        self.job = job
        """The job that is being inferred; None between jobs."""

        self.watchdog = InferenceWatchdog()
        self.is_abandoned = False
        """Whether its job was passed to another worker; its result is ignored then."""

        self.is_retired = False
        """Whether to end after the current job, or the next one if idle."""

        self.thread = threading.Thread(target=self._run_loop, name="engine", daemon=True)
        self.thread.start()

    def _run_loop(self) -> None:
        try:
            job = self.job or self._state.lanes.take()
            while job is not None:
                self.job = job
                self.watchdog.start()
                started_ns = self._state.clock.now_ns()
                job.outputs = job.camera.pipeline.infer(job.inputs)
                if self.is_abandoned:
                    return
                self._state.inference_times.add(self._state.clock.now_ns() - started_ns)
                self.job = None
                job.camera.answer(job)
                self.watchdog.finish()
                job = None if self.is_retired else self._state.lanes.take()
        except Exception as error:  # the main thread raises it
            self._state.failure.report(error)


class PlanTrial:
    """Selects model and delegate again in a separate thread, while inference continues.

    Parameters
    ----------
    done : callable
        Called when `over` is set.
    """

    def __init__(self, selector: ModelSelector, config: Config, done: Callable[[], None]) -> None:
        self.config = config
        self.plan: Plan | None = None
        self.over = False
        self._selector = selector
        self._done = done
        threading.Thread(target=self._run_loop, name="trial", daemon=True).start()

    def _run_loop(self) -> None:
        try:
            self.plan = self._selector.plan(self.config, total_fps(self.config))
        except EdgeposeError as error:
            log.warning("model: cannot be selected again: %s", error)
        self.over = True
        self._done()
