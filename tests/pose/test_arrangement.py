"""Number of interpreters and threads per interpreter."""

from pathlib import Path

import pytest

from edgepose.config.schema import Model
from edgepose.models import catalog
from edgepose.models.catalog import Choice
from edgepose.pose import arrangement
from edgepose.pose.arrangement import (
    SMALL_BYTES,
    Arrangement,
    ArrangementChoice,
    ArrangementSelector,
    Cost,
    arrangements,
    candidates,
    choose,
    measure,
)

LARGE = 4 * 1024**3
LIGHTNING = "movenet-lightning-int8"


@pytest.mark.parametrize("cores", [1, 2, 3, 4, 6, 8])
def test_arrangements_use_all_cores_or_one(cores: int) -> None:
    """All even divisions of the cores are offered once, and never more threads than cores."""
    found = arrangements(cores)

    assert len(set(found)) == len(found)
    assert {entry.interpreters * entry.threads for entry in found} <= {1, cores}
    assert {Arrangement(1, 1), Arrangement(1, cores), Arrangement(cores, 1)} <= set(found)


@pytest.mark.parametrize("cores", [1, 2, 4, 8])
@pytest.mark.parametrize("threads", [0, 1, 2, 3])
@pytest.mark.parametrize("interpreters", [0, 1, 2, 5])
@pytest.mark.parametrize("memory", [SMALL_BYTES - 1, LARGE])
def test_what_is_configured_is_kept(
    cores: int, threads: int, interpreters: int, memory: int
) -> None:
    """Configured values are kept; the others fit the machine's cores and memory."""
    model = Model(threads=threads, interpreters=interpreters)

    found = candidates(model, cores, memory)

    assert found
    assert len(set(found)) == len(found)
    for entry in found:
        assert entry.threads == threads or (not threads and 1 <= entry.threads <= cores)
        assert entry.interpreters == (interpreters or entry.interpreters)
        if not interpreters:
            assert entry.interpreters * entry.threads <= max(cores, threads)
            assert memory == LARGE or entry.interpreters == 1
    used = [entry.interpreters * entry.threads for entry in found]
    assert used == sorted(used)


ONE, TWO, WIDE = Arrangement(1, 1), Arrangement(2, 1), Arrangement(1, 2)


@pytest.mark.parametrize(
    ("fps", "expected"),
    [(10, ONE), (29, ONE), (31, TWO), (57, TWO), (200, TWO)],
)
def test_of_those_that_keep_up_the_one_with_the_least_cpu_is_taken(
    fps: float, expected: Arrangement
) -> None:
    """The one with the least CPU that keeps up is chosen, or else the fastest; 20 % stay free."""
    costs = {ONE: Cost(26.6, 26.6), TWO: Cost(13.9, 27.8), WIDE: Cost(14.5, 29.0)}

    chosen = choose(costs, fps)

    assert chosen.arrangement == expected
    assert f"{1000 / costs[expected].ms:.0f} frames a second" in chosen.reason


def test_an_arrangement_that_saves_next_to_nothing_is_not_taken_for_that() -> None:
    """Savings within the accuracy of the measurement do not justify more threads."""
    costs = {ONE: Cost(20.0, 20.0), TWO: Cost(10.0, 19.8)}

    assert choose(costs, 5).arrangement == ONE


class Machine:
    """A machine with a fixed duration of an inference, whatever the model."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ms: float) -> None:
        self.measured: list[tuple[str, Arrangement]] = []
        self.name = "a board"
        self._ms = ms
        monkeypatch.setattr(arrangement, "measure", self.measure)
        monkeypatch.setattr("os.cpu_count", lambda: 2)
        monkeypatch.setattr(arrangement, "memory_bytes", lambda: LARGE)

    def measure(self, choice: Choice, entry: Arrangement, *, shaped: bool) -> Cost:
        del shaped
        self.measured.append((choice.name, entry))
        used = entry.interpreters * entry.threads
        return Cost(self._ms / used**0.9, self._ms * used**0.1)

    def choose(self, folder: Path | None, fps: float, name: str = LIGHTNING) -> Arrangement:
        selector = ArrangementSelector(folder, lambda: self.name)
        return selector.choose(Model(), name, people=3, fps=fps).arrangement


def test_where_one_thread_keeps_up_nothing_else_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If one thread keeps up, no further arrangement is measured."""
    machine = Machine(monkeypatch, 20.0)

    assert machine.choose(None, 10) == ONE
    assert machine.measured == [(LIGHTNING, ONE)]


def test_what_was_measured_is_remembered_for_this_machine_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The measurement is stored per board; another board measures again."""
    machine = Machine(monkeypatch, 100.0)

    first = machine.choose(tmp_path, 10)
    at_first = len(machine.measured)
    second = machine.choose(tmp_path, 10)

    assert first == second == TWO
    assert len(machine.measured) == at_first == 3
    machine.name = "another board"
    machine.choose(tmp_path, 10)
    assert len(machine.measured) == 6


def test_two_starts_on_one_machine_choose_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first start measures, the second one reads the stored result."""

    def choice() -> ArrangementChoice:
        selector = ArrangementSelector(tmp_path, lambda: "this machine")
        return selector.choose(Model(), LIGHTNING, people=1, fps=1000)

    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(arrangement, "memory_bytes", lambda: LARGE)
    first = choice()
    monkeypatch.setattr(arrangement, "measure", None)  # calling it would fail

    assert choice() == first
    assert first.infer_ms > 0


def test_doubtful_costs_are_measured_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Doubtful measurements are repeated, and used if there is no time for it."""
    machine = Machine(monkeypatch, 100.0)
    before = machine.choose(tmp_path, 10)
    measured = len(machine.measured)

    ArrangementSelector(tmp_path, lambda: machine.name).doubt()
    monkeypatch.setattr(arrangement, "MEASURING_S", -1.0)
    without_time = machine.choose(tmp_path, 10)
    monkeypatch.setattr(arrangement, "MEASURING_S", 60.0)
    kept = len(machine.measured)
    machine.choose(tmp_path, 10)
    again = len(machine.measured)
    machine.choose(tmp_path, 10)

    assert without_time == before
    assert (kept, again) == (measured, 2 * measured)
    assert len(machine.measured) == again


def test_a_model_that_looks_twice_costs_its_second_looks_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cost of refinement is included: three people at 10 fps are four inferences a frame."""
    machine = Machine(monkeypatch, 15.0)
    pair = "posenet-uint8+movenet-lightning-int8"

    assert machine.choose(None, 10, LIGHTNING) == ONE
    assert machine.choose(None, 20, pair) == TWO


def test_when_time_runs_out_the_rest_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without time left nothing is measured and the default is used."""
    machine = Machine(monkeypatch, 900.0)
    monkeypatch.setattr(arrangement, "MEASURING_S", -1.0)

    assert machine.choose(None, 10) == arrangement.ONE
    assert machine.measured == []


def test_a_network_is_measured_with_all_interpreters_at_work() -> None:
    """With two interpreters results come more often than one inference takes."""
    choice = catalog.choose(LIGHTNING)

    one, two = measure(choice, ONE), measure(choice, TWO)

    assert one.ms > 0
    assert 0 < two.cpu_ms < 4 * one.cpu_ms
