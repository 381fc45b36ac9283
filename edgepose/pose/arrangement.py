"""How inferences are spread over the cores: how many at a time, with how many threads each.

Several interpreters with one thread each infer more frames than one with several threads;
one with one thread takes the least CPU for a frame. What is best for a network on this
machine is measured once and remembered.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
RUNS: Final = 4  # inferences per interpreter; the best of them counts
MEASURING_S: Final = 2.0  # for all arrangements of one model
SHARE: Final = 0.8  # of the best rate: beside the network there is other work
LESS: Final = 0.95  # an arrangement must save so much CPU to be taken for that
SMALL_BYTES: Final = 600 * 1024 * 1024  # machines of 512 MB run one interpreter


class Arrangement(NamedTuple):
    """How inferences are spread over the cores."""

    interpreters: int
    """Inferences at the same time."""

    threads: int
    """Of each inference; 0 for all cores but one."""

    def __str__(self) -> str:
        return f"{self.interpreters} x {self.threads}"


ONE: Final = Arrangement(1, 0)
"""One interpreter on all cores but one: what is not measured."""


class Cost(msgspec.Struct, frozen=True):
    """What one network takes in one arrangement."""

    ms: float
    """From one result to the next, with all interpreters at work."""

    cpu_ms: float
    """Of all threads, for one inference."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.ms + other.ms, self.cpu_ms + other.cpu_ms)

    def times(self, count: int) -> "Cost":
        """Return the cost of so many inferences."""
        return Cost(count * self.ms, count * self.cpu_ms)


class Costs(msgspec.Struct):
    """What was measured; worth nothing on another machine."""

    machine: str = ""
    costs: dict[str, Cost] = {}


@dataclass(frozen=True, slots=True)
class ArrangementChoice:
    """What was chosen, and why."""

    arrangement: Arrangement
    reason: str


def arrangements(cores: int) -> list[Arrangement]:
    """Return ways to spread inferences over the cores: one alone, and those that use all.

    Examples
    --------
    >>> [str(entry) for entry in arrangements(4)]
    ['1 x 1', '1 x 4', '2 x 2', '4 x 1']
    """
    whole = [Arrangement(n, cores // n) for n in range(1, cores + 1) if cores % n == 0]
    return sorted({Arrangement(1, 1), *whole})


def candidates(model: schema.Model, cores: int, memory_bytes: int) -> list[Arrangement]:
    """Return the arrangements that the configuration allows on a machine, the fewest cores first.

    A machine with little memory runs one interpreter unless the configuration says more.
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
    """Return the arrangement that uses the whole machine, as far as the configuration allows."""
    allowed = candidates(model, os.cpu_count() or 1, memory_bytes())
    return max(allowed, key=lambda entry: (entry.interpreters * entry.threads, entry.interpreters))


def memory_bytes() -> int:
    """Return the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class ArrangementSelector:
    """Chooses arrangements; remembers what it has measured.

    Parameters
    ----------
    folder : Path or None
        The state directory; without one everything is measured again at each start.
    machine : callable
        Returns what measurements belong to: hardware, runtime and version.
    ending : callable
        Returns whether the daemon is stopping: then nothing is measured any more.
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
        """Choose how to run a model on the CPU; may measure for seconds.

        Parameters
        ----------
        model : schema.Model
            `threads` and `interpreters` fix what is not 0.
        name : str
            The model, or models, to run.
        people : int
            Second inferences in a frame, where the model inferences twice.
        fps : float
            Frames per second of all cameras.

        Notes
        -----
        Of the arrangements that keep up the one with the least CPU for a frame, else the
        quickest. They are measured from the one with the fewest threads on; the first takes
        the least CPU, so where it keeps up no other is measured.
        """
        allowed = candidates(model, os.cpu_count() or 1, memory_bytes())
        if len(allowed) == 1:
            return ArrangementChoice(allowed[0], "the only one that is possible here")
        self._read()
        until_s = time.monotonic() + MEASURING_S
        costs: dict[Arrangement, Cost] = {}
        for entry in allowed:
            cost = self._cost(name, people, entry, until_s)
            if cost is not None:
                costs[entry] = cost
            if len(costs) == 1 and cost is not None and _keeps_up(cost, fps):
                break
        return choose(costs, fps)

    def _read(self) -> None:
        machine = self._machine()
        known: Costs | None = self._file.read()
        self._known = known if known and known.machine == machine else Costs(machine, {})

    def _cost(self, name: str, people: int, entry: Arrangement, until_s: float) -> Cost | None:
        """Return what a frame costs; None where no time is left to measure it."""
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
        shape = "shaped" if shaped else choice.size or ""
        key = f"{choice.path.name} {shape} {entry}"
        if key not in self._known.costs:
            if time.monotonic() >= until_s or self._ending():
                return None
            log.info("model: measuring %s as %s", choice.name, entry)
            self._known.costs[key] = measure(choice, entry, shaped=shaped)
            self._file.write(self._known)
        return self._known.costs[key]


def choose(costs: dict[Arrangement, Cost], fps: float) -> ArrangementChoice:
    """Choose by what was measured, given from the fewest threads on."""
    if not costs:
        return ArrangementChoice(ONE, "nothing was measured")
    able = [entry for entry, cost in costs.items() if _keeps_up(cost, fps)]
    if not able:
        best = min(costs, key=lambda entry: costs[entry].ms)
        return ArrangementChoice(best, f"the quickest, {_rate(costs[best])}; {fps:g} are needed")
    best = able[0]
    for entry in able[1:]:
        if costs[entry].cpu_ms < LESS * costs[best].cpu_ms:
            best = entry
    return ArrangementChoice(
        best, f"the least CPU that keeps up with {fps:g} frames a second: {_rate(costs[best])}"
    )


def measure(choice: catalog.Choice, entry: Arrangement, *, shaped: bool = False) -> Cost:
    """Measure one network in one arrangement, loaded for that only.

    Parameters
    ----------
    shaped : bool
        Whether it takes second inferences, at an input in the shape of a person.
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
    return Cost(_least(cost.ms for cost in costs), _least(cost.cpu_ms for cost in costs))


def _least(values: Iterable[float]) -> float:
    return round(min(values), 3)


def _keeps_up(cost: Cost, fps: float) -> bool:
    return cost.ms * fps <= SHARE * NS_PER_S / NS_PER_MS


def _rate(cost: Cost) -> str:
    return f"{1000 / max(cost.ms, 1e-3):.0f} frames a second, {cost.cpu_ms:.1f} ms of CPU each"
