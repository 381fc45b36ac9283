"""Selects model and arrangement again when the people in view or the timings require it."""

import logging
from collections.abc import Callable
from typing import Final

from edgepose.config.schema import Config
from edgepose.people.fallen import SEARCH_S
from edgepose.pose.failover import FailoverEstimator
from edgepose.pose.people_sizes import PeopleSize
from edgepose.pose.selection import AUTO, Plan
from edgepose.service.inference import PlanTrial
from edgepose.service.reload import Changes
from edgepose.service.state import DaemonState
from edgepose.timing import NS_PER_S

log: Final = logging.getLogger(__name__)

QUIET_S: Final = 60.0  # time without people, added to the time after which a fall ends
SIZES_S: Final = 86_400.0  # minimum time between two selections by the people's size
STORE_S: Final = 3600.0  # the counted sizes are written to disk this often
TIMINGS_S: Final = 3600.0  # minimum time between two measurements; doubles if nothing changes
MOST_TIMINGS_S: Final = 24 * TIMINGS_S
RATIO: Final = 1.6  # live and measured times disagree from this ratio on
STEADY_S: Final = 60.0  # people are in view for this long before live times are compared


class Reselection:
    """Decides when to select model and arrangement again.

    A selection runs in a separate thread. Its result is used only while nobody is in view of
    any camera and no fall is pending, since tracks are lost when the model is replaced.

    Parameters
    ----------
    state : DaemonState
        Only the main thread may call the methods.
    load : callable
        Loads the model of a plan.
    """

    def __init__(
        self, state: DaemonState, load: Callable[[Config, Plan], FailoverEstimator]
    ) -> None:
        self._load = load
        self._state = state
        self._trial: PlanTrial | None = None
        self._nobody_since_ns = self._stored_ns = state.clock.now_ns()
        self._somebody_since_ns: int | None = None
        self._kind: PeopleSize = state.selector.people_sizes.report().kind
        self._kind_before = self._kind
        self._pause_s = TIMINGS_S
        self._sizes_ns: int | None = None
        self._timings_ns: int | None = None
        self._disagree = False

    def due_changes(self) -> Callable[[], Changes] | None:
        """Return a function that loads another model or arrangement; None if no change is due.

        Call this repeatedly.
        """
        plan, config = self._due_plan(), self._state.config
        if plan is None:
            return None
        return lambda: Changes(config, self._load(config, plan), broker=False)

    def _due_plan(self) -> Plan | None:
        self._observe()
        if self._trial is None:
            self._begin()
            return None
        if not (self._trial.over and self._is_quiet()):
            return None
        trial, self._trial = self._trial, None
        plan, used = trial.plan, self._state.estimator.plan
        if plan is None or trial.config is not self._state.config:
            self._kind = self._kind_before  # the reason for this trial still exists
            if plan is not None:
                self._sizes_ns = self._timings_ns = None
            return None
        if (plan.model, plan.arrangement) == (used.model, used.arrangement):
            self._state.estimator.set_plan(plan)
            return None
        self._pause_s = TIMINGS_S
        return plan

    def close(self) -> None:
        """Store the counted sizes."""
        self._state.selector.people_sizes.store()

    def _observe(self) -> None:
        """Record for how long nobody or somebody is in view, and compare live times."""
        now_ns = self._state.clock.now_ns()
        if all(control.is_empty for control in self._state.running_cameras()):
            self._somebody_since_ns = None
        else:
            self._nobody_since_ns = now_ns
            if self._somebody_since_ns is None:
                self._somebody_since_ns = now_ns
            if now_ns - self._somebody_since_ns >= STEADY_S * NS_PER_S:
                self._disagree = self._disagrees()
        if now_ns - self._stored_ns >= STORE_S * NS_PER_S:
            self._stored_ns = now_ns
            self._state.selector.people_sizes.store()

    def _is_quiet(self) -> bool:
        """Whether nobody was in view for so long that no fall or search is pending."""
        wait_s = QUIET_S + max(SEARCH_S, self._state.config.events.fall_gone_s)
        return self._state.clock.now_ns() - self._nobody_since_ns >= wait_s * NS_PER_S

    def _begin(self) -> None:
        """Start a selection if there is a reason and its minimum time has passed."""
        state = self._state
        if state.estimator.plan.delegate.plugin is not None or not self._is_quiet():
            return
        now_ns, self._kind_before = state.clock.now_ns(), self._kind
        sizes = state.selector.people_sizes.report()
        if self._disagree and _has_passed(self._timings_ns, self._pause_s, now_ns):
            log.info("model: inferences take another time than was measured; measuring again")
            self._timings_ns, self._disagree = now_ns, False
            self._pause_s = min(2 * self._pause_s, MOST_TIMINGS_S)
            state.selector.doubt_timings()
        elif (
            state.config.model.name == AUTO
            and sizes.kind != self._kind
            and _has_passed(self._sizes_ns, SIZES_S, now_ns)
        ):
            log.info("model: %s; selecting again", sizes or "people of all sizes are in view")
            self._sizes_ns, self._kind = now_ns, sizes.kind
        else:
            return
        self._trial = PlanTrial(state.selector, state.config, state.wake.set)

    def _disagrees(self) -> bool:
        """Whether live inference times differ from the measured ones."""
        estimator = self._state.estimator
        live = estimator.current.detector_times.percentiles_ms()
        expected_ms = estimator.plan.infer_ms
        if live is None or not expected_ms:
            return False
        return not 1 / RATIO <= live[0] / expected_ms <= RATIO


def _has_passed(since_ns: int | None, wait_s: float, now_ns: int) -> bool:
    return since_ns is None or now_ns - since_ns >= wait_s * NS_PER_S
