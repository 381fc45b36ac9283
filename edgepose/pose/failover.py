"""The estimator in use; replaced by one on the CPU when its delegate fails or hangs."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from edgepose.errors import DelegateError
from edgepose.models.info import Outputs
from edgepose.pose.decoders import Limits
from edgepose.pose.delegate_backoff import DelegateBackoff
from edgepose.pose.estimator import ModelInputs, PoseEstimator
from edgepose.pose.interpreter_pool import AnyInterpreter
from edgepose.pose.policies import Policy
from edgepose.pose.selection import Plan
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Picture, Pose

log: Final = logging.getLogger(__name__)

HANG_S: Final = 10.0  # far longer than any inference

Build = Callable[[Plan], PoseEstimator]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFrame:
    """Model inputs of a frame, and the estimator that they belong to."""

    estimator: PoseEstimator
    inputs: ModelInputs
    again: tuple[Picture, Sequence[Pose], int] | None
    """Arguments to prepare the frame again for the CPU; None where there is no delegate."""


@dataclass(frozen=True, slots=True, eq=False)
class InferenceResult:
    """Outputs of the networks, and the frame that they belong to."""

    frame: PreparedFrame
    outputs: Sequence[Outputs]


class FailoverEstimator:
    """A `PoseEstimator` that infers a frame on the CPU when its delegate fails on it.

    Tracking and queued messages are unaffected by a switch.

    Parameters
    ----------
    build : callable
        Loads the model of a plan, with its delegate.
    plan : Plan
        Model and delegate to run.
    bench : DelegateBackoff
        Records failures of delegates.
    changed : callable
        Called after a switch to another estimator.
    """

    def __init__(
        self,
        build: Build,
        plan: Plan,
        bench: DelegateBackoff,
        clock: Clock,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.plan = plan
        self._build = build
        self._bench = bench
        self._clock = clock
        self._changed = changed
        self._fps = 0.0
        self._busy_since_ns: dict[int, int] = {}
        """Thread id to the start time of its running inference."""

        self._lock = threading.Lock()
        self.current = self._load_plan(plan)

    @property
    def name(self) -> str:
        """Name of the model in use."""
        return self.current.name

    @property
    def engine(self) -> AnyInterpreter:
        """Interpreter of the first network."""
        return self.current.engine

    @property
    def interpreters(self) -> int:
        """Maximum number of concurrent inferences."""
        return self.current.interpreters

    @property
    def cores(self) -> int:
        """Maximum number of cores that the networks use."""
        return self.current.interpreters * self.current.engine.threads

    @property
    def min_pose_score(self) -> float:
        """The current model's own minimum score of a person."""
        return self.current.min_pose_score

    @property
    def policy(self) -> Policy:
        """Policy of the estimator in use."""
        return self.current.policy

    @property
    def uses_tracks(self) -> bool:
        """Whether `prepare` uses tracks; if not, only places of fallen people and candidates."""
        return self.current.uses_tracks

    def prepare(self, image: Picture, people: Sequence[Pose] = (), turn: int = 0) -> PreparedFrame:
        """Return the model inputs of an image for the estimator in use. Thread-safe."""
        estimator = self.current
        again = None if estimator.engine.plugin is None else (image, people, turn)
        return PreparedFrame(estimator, estimator.prepare(image, people, turn), again)

    def infer(self, frame: PreparedFrame) -> InferenceResult:
        """Run the networks. Thread-safe; if the delegate fails, switches to the CPU."""
        if frame.again is not None and frame.estimator is not self.current:
            frame = self.prepare(*frame.again)
        thread = threading.get_ident()
        self._busy_since_ns[thread] = self._clock.now_ns()
        try:
            return InferenceResult(frame, frame.estimator.infer(frame.inputs))
        except DelegateError as error:
            assert frame.again is not None
            self.fail_over(frame.estimator, str(error))
            frame = self.prepare(*frame.again)
            return InferenceResult(frame, frame.estimator.infer(frame.inputs))
        finally:
            self._busy_since_ns.pop(thread, None)

    def decode(
        self, frame: PreparedFrame, result: InferenceResult, *, limits: Limits | None = None
    ) -> list[Pose]:
        """Decode the outputs to poses. Thread-safe."""
        inferred = result.frame  # differs from `frame` after a switch in `infer`
        return inferred.estimator.decode(inferred.inputs, result.outputs, limits=limits)

    def set_frame_budget(self, fps: float) -> None:
        """Set the frame rate of the estimator in use and of those that replace it."""
        self._fps = fps
        self.current.set_frame_budget(fps)

    def is_hung(self) -> bool:
        """Return whether an inference on the delegate has taken longer than `HANG_S`."""
        if self.plan.delegate.plugin is None:
            return False
        now_ns = self._clock.now_ns()
        began_ns = list(self._busy_since_ns.values())
        return any(now_ns - since_ns > HANG_S * NS_PER_S for since_ns in began_ns)

    def fail_over(self, estimator: PoseEstimator, reason: str) -> None:
        """Record the delegate's failure and switch to the CPU; once per estimator."""
        with self._lock:
            if estimator is not self.current:
                return
            name, reason = self.plan.delegate.name, _without_prefix(reason, self.plan)
            self._bench.failed(name, reason)
            self._use_plan(self.plan.without_delegate(f"{name}: {reason}"))
        self._warn_once()
        self._changed()

    def _warn_once(self) -> None:
        log.warning("delegate %s; %s runs on the CPU", self.plan.reason, self.plan.model)

    def switch_to(self, plan: Plan) -> None:
        """Switch to another plan, for example after a delegate's successful trial."""
        with self._lock:
            self._use_plan(plan)
        if self.plan is plan:
            log.info("delegate %s: %s; model: %s", plan.delegate.name, plan.reason, plan.model)
        else:  # the delegate failed although its trial passed; back off again
            self._warn_once()
        self._changed()

    def set_reason(self, plan: Plan) -> None:
        """Keep the estimator in use; replace the reason why it is used."""
        self.plan = replace(self.plan, reason=plan.reason, waits=plan.waits)
        self._changed()

    def set_plan(self, plan: Plan) -> None:
        """Replace the plan by one with the same model and arrangement: its reasons are newer."""
        self.plan = plan
        self._changed()

    def release_delegate(self) -> None:
        """Switch to the CPU, which frees the delegate for a trial with another model."""
        if self.plan.delegate.plugin is not None:
            self.close()
            self.switch_to(self.plan.without_delegate("the configuration is changing"))

    def close(self) -> None:
        """Record that the delegate did not fail, unless it is hung."""
        if self.plan.delegate.plugin is not None and not self.is_hung():
            self._bench.leave(self.plan.delegate.name)

    def _use_plan(self, plan: Plan) -> None:
        estimator = self._load_plan(plan)
        if self._fps:
            estimator.set_frame_budget(self._fps)
        self._busy_since_ns.clear()
        self.current = estimator

    def _load_plan(self, plan: Plan) -> PoseEstimator:
        """Load the plan's model; on the CPU if the delegate fails."""
        delegate = plan.delegate
        if delegate.plugin is not None:
            self._bench.enter(delegate.name)
        try:
            estimator = self._build(plan)
            estimator.warm_up()
        except DelegateError as error:
            reason = _without_prefix(str(error), plan)
            self._bench.failed(delegate.name, reason)
            return self._load_plan(plan.without_delegate(f"{delegate.name}: {reason}"))
        self.plan = plan
        return estimator


def _without_prefix(sentence: str, plan: Plan) -> str:
    """Return an error message without its prefix, which repeats the delegate's name."""
    assert plan.delegate.plugin is not None
    return sentence.removeprefix(f"delegate {plan.delegate.plugin.library}: ")
