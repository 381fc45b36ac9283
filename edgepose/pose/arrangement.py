"""Selects the number of interpreters and of threads per interpreter.

Several interpreters with one thread each infer more frames than one with several threads.
One interpreter with one thread uses the least CPU per frame. The best arrangement of a
network on this machine is measured once and stored.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from edgepose.config import schema
from edgepose.models import catalog
from edgepose.pose.estimator import Network
from edgepose.system.storage import StateFile
from edgepose.timing import NS_PER_MS, NS_PER_S

log: Final = logging.getLogger(__name__)

FILE: Final = "arrangements.json"
RUNS: Final = 4  # inferences per interpreter; the fastest one is used
MEASURING_S: Final = 2.0  # time limit for all arrangements of one model
SHARE: Final = 0.8  # usable share of the measured rate; the rest is left to other work
LESS: Final = 0.95  # maximum CPU ratio at which a larger arrangement is preferred
SMALL_BYTES: Final = 600 * 1024 * 1024  # below it, as with 512 MB, one interpreter by default


class Arrangement(NamedTuple):
    """Number of interpreters and of threads per interpreter."""

    interpreters: int
    """Concurrent inferences."""

    threads: int
    """Threads of each inference; 0 for all cores but one."""

    def __str__(self) -> str:
        return f"{self.interpreters} x {self.threads}"


ONE: Final = Arrangement(1, 0)
"""One interpreter on all cores but one; used without measurements."""


class Cost(msgspec.Struct, frozen=True):
    """Time and CPU time of one inference in one arrangement."""

    ms: float
    """Milliseconds from one result to the next, with all interpreters running."""

    cpu_ms: float
    """CPU time of one inference, summed over all threads."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.ms + other.ms, self.cpu_ms + other.cpu_ms)

    def times(self, count: int) -> "Cost":
        """Return the cost of `count` inferences."""
        return Cost(count * self.ms, count * self.cpu_ms)


class Costs(msgspec.Struct):
    """Measured costs; valid on one machine only."""

    machine: str = ""
    costs: dict[str, Cost] = {}
    doubtful: list[str] = []
    """Costs that differ from live timings; they are measured again."""


@dataclass(frozen=True, slots=True)
class ArrangementChoice:
    """The selected arrangement, with the reason."""

    arrangement: Arrangement
    reason: str
    infer_ms: float = 0.0
    """Time of one inference of the model's first network; 0 if it was not measured."""


def arrangements(cores: int) -> list[Arrangement]:
    """Return 1 x 1 and all arrangements that use every core.

    Examples
    --------
    >>> [str(entry) for entry in arrangements(4)]
    ['1 x 1', '1 x 4', '2 x 2', '4 x 1']
    """
    whole = [Arrangement(n, cores // n) for n in range(1, cores + 1) if cores % n == 0]
    return sorted({Arrangement(1, 1), *whole})


def candidates(model: schema.Model, cores: int, memory_bytes: int) -> list[Arrangement]:
    """Return the arrangements that the configuration allows, the fewest cores first.

    Machines with less than `SMALL_BYTES` of memory run one interpreter unless
    `model.interpreters` is set.
    """
    found = arrangements(cores)
    if model.threads:
        found = [Arrangement(n, model.threads) for n in {1, max(1, cores // model.threads)}]
    if model.interpreters:
        threads = {model.threads} if model.threads else {1, max(1, cores // model.interpreters)}
        found = [Arrangement(model.interpreters, n) for n in threads]
    elif memory_bytes < SMALL_BYTES:
        found = [entry for entry in found if entry.interpreters == 1]
    return sorted(found, key=lambda entry: (entry.interpreters * entry.threads, entry.threads))


def most(model: schema.Model) -> Arrangement:
    """Return the allowed arrangement that uses the most cores."""
    allowed = candidates(model, os.cpu_count() or 1, memory_bytes())
    return max(allowed, key=lambda entry: (entry.interpreters * entry.threads, entry.interpreters))


def memory_bytes() -> int:
    """Return the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class ArrangementSelector:
    """Selects arrangements and stores the measured costs.

    Parameters
    ----------
    folder : Path or None
        The state directory; if None, everything is measured again at each start.
    machine : callable
        Returns the hardware, runtime and version that measurements are valid for.
    ending : callable
        Returns whether the daemon is stopping; measuring then stops.
    """

    def __init__(
        self,
        folder: Path | None,
        machine: Callable[[], str],
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._ending = ending
        self._machine = machine
        self._file = StateFile(folder and folder / FILE, Costs)
        self._known = Costs()

    def choose(
        self, model: schema.Model, name: str, *, people: int, fps: float
    ) -> ArrangementChoice:
        """Return the best arrangement of a model on the CPU; may measure for seconds.

        Parameters
        ----------
        model : schema.Model
            Values of `threads` and `interpreters` other than 0 are fixed.
        name : str
            The model, or models, to run.
        people : int
            Refinements per frame, for models with a refiner.
        fps : float
            Frames per second of all cameras.

        Notes
        -----
        Selects the arrangement with the least CPU per frame among those that keep up; if
        none does, the fastest. They are measured in the order of `candidates`. The first
        uses the least CPU; if it keeps up, no other is measured.
        """
        allowed = candidates(model, os.cpu_count() or 1, memory_bytes())
        if len(allowed) == 1:
            return ArrangementChoice(allowed[0], "the only possible one here")
        self._read_cache()
        until_s = time.monotonic() + MEASURING_S
        costs: dict[Arrangement, Cost] = {}
        for entry in allowed:
            cost = self._measure_cost(name, people, entry, until_s)
            if cost is not None:
                costs[entry] = cost
            if len(costs) == 1 and cost is not None and _keeps_up(cost, fps):
                break
        choice = choose(costs, fps)
        return replace(choice, infer_ms=self._infer_ms(name, choice.arrangement))

    def forget(self) -> None:
        """Discard all measurements."""
        self._file.write(Costs())

    def doubt(self) -> None:
        """Measure again at the next `choose`; costs are kept where no time is left for it."""
        self._read_cache()
        self._known.doubtful = sorted(self._known.costs)
        self._file.write(self._known)

    def _infer_ms(self, name: str, entry: Arrangement) -> float:
        """Return the measured time of one inference of the first network; 0 without one."""
        key = _key(catalog.model_set(name).detectors[0], entry, shaped=False)
        cost = self._known.costs.get(key)
        return cost.ms * entry.interpreters if cost else 0.0

    def _read_cache(self) -> None:
        machine = self._machine()
        known: Costs | None = self._file.read()
        self._known = known if known and known.machine == machine else Costs(machine, {})

    def _measure_cost(
        self, name: str, people: int, entry: Arrangement, until_s: float
    ) -> Cost | None:
        """Return the cost of a frame; None if no time is left to measure it."""
        model_set = catalog.model_set(name)
        inferences = [(choice, 1, False) for choice in model_set.detectors]
        inferences += [(model_set.refiner, people, True)] if model_set.refiner else []
        total = Cost(0.0, 0.0)
        for choice, times, shaped in inferences:
            cost = self._network_cost(choice, entry, until_s, shaped=shaped)
            if cost is None:
                return None
            total += cost.times(times)
        return total

    def _network_cost(
        self, choice: catalog.Choice, entry: Arrangement, until_s: float, *, shaped: bool
    ) -> Cost | None:
        key = _key(choice, entry, shaped=shaped)
        known = self._known
        if key not in known.costs or key in known.doubtful:
            if time.monotonic() >= until_s or self._ending():
                return known.costs.get(key)
            log.info("model: measuring %s as %s", choice.name, entry)
            known.costs[key] = measure(choice, entry, shaped=shaped)
            known.doubtful = [other for other in known.doubtful if other != key]
            self._file.write(known)
        return known.costs[key]


def _key(choice: catalog.Choice, entry: Arrangement, *, shaped: bool) -> str:
    shape = "shaped" if shaped else choice.size or ""
    return f"{choice.path.name} {shape} {entry}"


def choose(costs: dict[Arrangement, Cost], fps: float) -> ArrangementChoice:
    """Select an arrangement by its measured cost; `costs` are in the order of `candidates`."""
    if not costs:
        return ArrangementChoice(ONE, "nothing was measured")
    able = [entry for entry, cost in costs.items() if _keeps_up(cost, fps)]
    if not able:
        best = min(costs, key=lambda entry: costs[entry].ms)
        return ArrangementChoice(
            best, f"the quickest, {_format_rate(costs[best])}; {fps:g} are needed"
        )
    best = able[0]
    for entry in able[1:]:
        if costs[entry].cpu_ms < LESS * costs[best].cpu_ms:
            best = entry
    return ArrangementChoice(
        best,
        f"the least CPU that keeps up with {fps:g} frames a second: {_format_rate(costs[best])}",
    )


def measure(choice: catalog.Choice, entry: Arrangement, *, shaped: bool = False) -> Cost:
    """Load one network in one arrangement and return its measured cost.

    Parameters
    ----------
    shaped : bool
        Whether the network is a refiner, measured at the input size for a standing person.
    """
    count = entry.interpreters
    warm_up = Network(choice, entry.threads, interpreters=count, shaped=shaped).engine.warm_up
    warm_up()
    costs = []
    for _ in range(RUNS):
        began_ns, spent_ns = time.monotonic_ns(), time.process_time_ns()
        warm_up()
        ms = (time.monotonic_ns() - began_ns) / NS_PER_MS
        cpu_ms = (time.process_time_ns() - spent_ns) / NS_PER_MS
        costs.append(Cost(ms / count, cpu_ms / count))
    return Cost(_least_of(cost.ms for cost in costs), _least_of(cost.cpu_ms for cost in costs))


def _least_of(values: Iterable[float]) -> float:
    return round(min(values), 3)


def _keeps_up(cost: Cost, fps: float) -> bool:
    return cost.ms * fps <= SHARE * NS_PER_S / NS_PER_MS


def _format_rate(cost: Cost) -> str:
    return f"{1000 / max(cost.ms, 1e-3):.0f} frames a second, {cost.cpu_ms:.1f} ms of CPU each"
