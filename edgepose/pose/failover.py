"""The estimator in use, and the way on when its delegate fails."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from edgepose.errors import DelegateError
from edgepose.models.info import Outputs
from edgepose.pose.decoders import Limits
from edgepose.pose.delegate_backoff import Bench
from edgepose.pose.delegates import Plugin
from edgepose.pose.estimator import Glance, PoseEstimator
from edgepose.pose.interpreter_pool import AnyInterpreter
from edgepose.pose.policies import Policy
from edgepose.pose.selection import Plan
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Image, Pose

log: Final = logging.getLogger(__name__)

HANG_S: Final = 10.0  # far beyond any inference, and short enough for a house to have poses again

Build = Callable[[str, Plugin | None], PoseEstimator]


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A picture made ready, and by whom."""

    estimator: PoseEstimator
    glance: Glance
    again: tuple[Image, Sequence[Pose], int] | None
    """What it takes to make it ready again, where that may be needed."""


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What networks said, and whose they are."""

    turn: Turn
    outputs: Sequence[Outputs]


class Standby:
    """An estimator that goes on with the CPU, and with the same frame, when its delegate fails.

    It stands in the place of a `PoseEstimator` in the daemon. Nothing of a camera is
    lost: who is tracked, and what waits to be sent, is not its matter.

    Parameters
    ----------
    build : callable
        Loads a model with or without a plug-in.
    plan : Plan
        What to run.
    bench : Bench
        Where a delegate that fails is put.
    changed : callable
        Told when another estimator has taken over.
    """

    def __init__(
        self,
        build: Build,
        plan: Plan,
        bench: Bench,
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
        """By thread, since when it runs a network."""

        self._lock = threading.Lock()
        self.current = self._load(plan)

    @property
    def name(self) -> str:
        """What to call the model in use."""
        return self.current.name

    @property
    def engine(self) -> AnyInterpreter:
        """What runs the first network."""
        return self.current.engine

    @property
    def interpreters(self) -> int:
        """How many frames can be inferred at the same time."""
        return self.current.interpreters

    @property
    def cores(self) -> int:
        """How many cores the networks take at most."""
        return self.current.interpreters * self.current.engine.threads

    @property
    def min_pose_score(self) -> float:
        """The current model's own minimum score of a person."""
        return self.current.min_pose_score

    @property
    def policy(self) -> Policy:
        """Where the estimator in use looks."""
        return self.current.policy

    @property
    def looks_back(self) -> bool:
        """Whether it matters to `prepare` who is known."""
        return self.current.looks_back

    def prepare(self, image: Image, people: Sequence[Pose] = (), turn: int = 0) -> Turn:
        """Make a picture ready for the estimator in use; any thread."""
        estimator = self.current
        again = None if estimator.engine.plugin is None else (image, people, turn)
        return Turn(estimator, estimator.prepare(image, people, turn), again)

    def infer(self, turn: Turn) -> Said:
        """Run the networks; on the CPU, and from now on, if the delegate fails."""
        if turn.again is not None and turn.estimator is not self.current:
            turn = self.prepare(*turn.again)
        thread = threading.get_ident()
        self._busy_since_ns[thread] = self._clock.now_ns()
        try:
            return Said(turn, turn.estimator.infer(turn.glance))
        except DelegateError as error:
            assert turn.again is not None
            self.give_up(turn.estimator, str(error))
            turn = self.prepare(*turn.again)
            return Said(turn, turn.estimator.infer(turn.glance))
        finally:
            self._busy_since_ns.pop(thread, None)

    def decode(self, turn: Turn, said: Said, *, limits: Limits | None = None) -> list[Pose]:
        """Turn what the networks said into poses; any thread."""
        del turn  # the one that was really looked at came along
        return said.turn.estimator.decode(said.turn.glance, said.outputs, limits=limits)

    def keep_pace(self, fps: float) -> None:
        """Pass the frame rate on, also to whoever takes over."""
        self._fps = fps
        self.current.keep_pace(fps)

    def hangs(self) -> bool:
        """Say whether a delegate has not answered for so long that it will not."""
        if self.plan.delegate.plugin is None:
            return False
        now_ns = self._clock.now_ns()
        began_ns = list(self._busy_since_ns.values())
        return any(now_ns - since_ns > HANG_S * NS_PER_S for since_ns in began_ns)

    def give_up(self, estimator: PoseEstimator, reason: str) -> None:
        """Put the delegate on the bench and go on with the CPU."""
        with self._lock:
            if estimator is not self.current:
                return
            name, reason = self.plan.delegate.name, _cut(reason, self.plan)
            self._bench.failed(name, reason)
            self._use(self.plan.without_delegate(f"{name}: {reason}"))
        self._warn()
        self._changed()

    def _warn(self) -> None:
        log.warning("delegate %s; %s runs on the CPU", self.plan.reason, self.plan.model)

    def take(self, plan: Plan) -> None:
        """Go over to another plan: to a delegate that has passed its trial."""
        with self._lock:
            self._use(plan)
        if self.plan is plan:
            log.info("delegate %s: %s; model: %s", plan.delegate.name, plan.reason, plan.model)
        else:  # it has failed after all, and is on the bench again
            self._warn()
        self._changed()

    def note(self, plan: Plan) -> None:
        """Keep what runs, and why that is so now."""
        self.plan = replace(self.plan, reason=plan.reason, waits=plan.waits)
        self._changed()

    def rest(self) -> None:
        """Let go of a delegate, so that it can be tried with another model."""
        if self.plan.delegate.plugin is not None:
            self.close()
            self.take(self.plan.without_delegate("the configuration is changing"))

    def close(self) -> None:
        """Note that nothing bad has happened up to the end."""
        if self.plan.delegate.plugin is not None and not self.hangs():
            self._bench.leave(self.plan.delegate.name)

    def _use(self, plan: Plan) -> None:
        estimator = self._load(plan)
        if self._fps:
            estimator.keep_pace(self._fps)
        self._busy_since_ns.clear()
        self.current = estimator

    def _load(self, plan: Plan) -> PoseEstimator:
        """Load what a plan names, without its delegate where that fails after all."""
        delegate = plan.delegate
        if delegate.plugin is not None:
            self._bench.enter(delegate.name)
        try:
            estimator = self._build(plan.model, delegate.plugin)
            estimator.warm_up()
        except DelegateError as error:
            reason = _cut(str(error), plan)
            self._bench.failed(delegate.name, reason)
            return self._load(plan.without_delegate(f"{delegate.name}: {reason}"))
        self.plan = plan
        return estimator


def _cut(sentence: str, plan: Plan) -> str:
    """Return a sentence of the engine without its head, which says the delegate's name too."""
    assert plan.delegate.plugin is not None
    return sentence.removeprefix(f"delegate {plan.delegate.plugin.library}: ")
