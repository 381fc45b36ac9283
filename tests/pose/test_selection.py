"""Selection: a model by its measured speed, a delegate by its trial, and the reason."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgepose.camera.build import total_fps
from edgepose.config.schema import Camera, Config, Events, Model, PoseSettings
from edgepose.models import catalog
from edgepose.models.catalog import Choice
from edgepose.pose import arrangement, delegate_trial, people_sizes, selection
from edgepose.pose.arrangement import Arrangement, Cost
from edgepose.pose.delegate_trial import Verdict
from edgepose.pose.delegates import Plugin
from edgepose.pose.delegates.edgetpu import EdgeTpu
from edgepose.pose.estimator import PoseEstimator
from edgepose.pose.policies import PolicyName
from edgepose.pose.selection import (
    ModelSelector,
    Plan,
    Timing,
    accuracies,
    is_fit_for_falls,
)
from edgepose.timing import Clock
from tests.support import tpu

ARRANGED = Arrangement(1, 1)
ABSENT = "no Edge TPU was found on USB or PCIe"
LIGHTNING, LIGHTNING_TPU = "coral-movenet-lightning", "coral-movenet-lightning-edgetpu"


class Bank:
    """Simulated machines of any speed, and a record of what is measured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ms = 10.0
        self.others: dict[str, float] = {}
        self.measured: list[str] = []
        self.tried: list[str] = []
        self.verdict = Verdict(ms=1.0)
        self.absent = ABSENT
        self.busy = False
        monkeypatch.setattr(selection, "_measure_network", self.measure)
        monkeypatch.setattr(arrangement, "measure", self.cost)
        monkeypatch.setattr(delegate_trial, "try_out", self.try_out)
        monkeypatch.setattr(EdgeTpu, "absent", lambda _: self.absent)

    def cost(self, choice: Choice, entry: Arrangement, *, shaped: bool) -> Cost:
        del shaped
        ms = self.others.get(choice.name, self.ms)
        return Cost(ms / entry.interpreters, ms)

    def measure(self, choice: Choice, arranged: Arrangement, *, shaped: bool) -> Timing:
        assert arranged.interpreters >= 1
        self.measured.append(choice.name)
        return Timing(self.others.get(choice.name, self.ms), self.busy)

    def try_out(self, model: str, plugin: Plugin, **_: object) -> Verdict:
        assert "edgetpu" in plugin.library
        self.tried.append(model)
        return self.verdict


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Bank:
    return Bank(monkeypatch)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    return tmp_path


def asking(
    *,
    name: str = "auto",
    fps: float = 10,
    people: int = 6,
    delegate: str = "auto",
    twin: str = "",
    falls: bool = False,
) -> Config:
    return Config(
        model=Model(name=name, delegate=delegate, twin=twin),
        pose=PoseSettings(max_people=people),
        events=Events(fall=falls),
        cameras=(Camera(id="hall", source="/dev/video0", fps=fps),),
    )


def plan(folder: Path | None, wanted: Config) -> Plan:
    return ModelSelector(folder, Clock()).plan(wanted, total_fps(wanted))


def put_here(folder: Path, *names: str) -> None:
    """Create files of the right size in the folder of downloaded models."""
    for name in names:
        entry = catalog.entries()[name]
        path = folder / "models" / entry.file
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.truncate(path, entry.bytes)


def bundled_by_accuracy(people: int) -> list[str]:
    """Return the bundled models, the most accurate first."""
    fetched = set(catalog.entries()) - set(catalog.bundled())
    measured = accuracies().by("auto")
    rows = {name: row.of(people) for name, row in measured.items() if name not in fetched}
    return sorted(rows, key=lambda name: -rows[name])


@pytest.mark.parametrize("people", [1, 6])
def test_a_quick_machine_takes_the_most_accurate(bank: Bank, tmp_path: Path, people: int) -> None:
    """The most accurate model depends on the number of people."""
    bank.ms = 0.1

    chosen = plan(tmp_path, asking(people=people))

    assert chosen.model == bundled_by_accuracy(people)[0]
    assert "the most accurate that keeps up with 10 frames a second" in chosen.model_reason
    assert chosen.reason == ABSENT


def test_a_slower_rate_leaves_time_for_more(bank: Bank, tmp_path: Path) -> None:
    """60 ms per frame are too slow for 20 fps, but not for 10 fps."""
    bank.ms = 1000.0
    best, second = [name for name in bundled_by_accuracy(6) if not catalog.model_set(name).refiner][
        :2
    ]
    bank.others = {best: 60.0, second: 10.0}

    at_10, at_20 = (plan(tmp_path, asking(fps=fps)).model for fps in (10, 20))

    assert (at_10, at_20) == (best, second)


def test_a_film_is_reckoned_at_its_own_rate(bank: Bank, tmp_path: Path) -> None:
    """The rate of files is their own, as all frames are used; a camera's is `fps`."""
    demo = msgspec.structs.replace(asking(fps=10).cameras[0], source="demo://")

    chosen = plan(tmp_path, msgspec.structs.replace(asking(), cameras=(demo, demo)))

    assert "keeps up with 30 frames a second" in chosen.model_reason


def test_more_people_cost_more_where_each_is_looked_at(bank: Bank, tmp_path: Path) -> None:
    """The cost of refinement grows with the number of people."""
    bank.ms = 20.0

    at_two, at_six = (
        catalog.model_set(plan(tmp_path, asking(people=people)).model) for people in (2, 6)
    )

    assert at_two.refiner is not None
    assert at_six.refiner is None


@pytest.mark.parametrize("policy", ["whole", "follow", "refine"])
@pytest.mark.parametrize("ms", [0.1, 9000.0])
def test_it_takes_nothing_that_the_policy_does_not_suit(
    bank: Bank, tmp_path: Path, policy: PolicyName, ms: float
) -> None:
    """The chosen model fits the configured policy, on fast and slow machines."""
    bank.ms = ms
    wanted = asking(people=3)
    model = msgspec.structs.replace(wanted.model, policy=policy)

    chosen = plan(tmp_path, msgspec.structs.replace(wanted, model=model)).model

    estimator = PoseEstimator(chosen, policy=policy, threads=1)
    assert estimator.policy.name == policy


def test_what_is_too_slow_in_part_is_not_measured_in_full(bank: Bank, tmp_path: Path) -> None:
    """A pair is not measured if one of its models is too slow alone."""
    bank.ms = 1000.0

    selector = ModelSelector(tmp_path, Clock())
    selector.plan(asking(), 10)

    teams = [row for row in selector.rows if row.model in catalog.PRESETS]
    assert {(row.ms, row.verdict) for row in teams} == {(None, "too slow")}
    assert len(bank.measured) < len(selector.rows)


def test_where_nothing_keeps_up_the_quickest_is_taken(bank: Bank, tmp_path: Path) -> None:
    """The fastest model is chosen, with the reason that none keeps up."""
    bank.ms, bank.others = 900.0, {"movenet-lightning-int8": 300.0}

    chosen = plan(tmp_path, asking())

    assert chosen.model == "movenet-lightning-int8"
    assert "no model keeps up" in chosen.model_reason


def test_what_was_measured_is_remembered(bank: Bank, tmp_path: Path) -> None:
    """Later starts use the stored measurements, also for other settings."""
    bank.ms = 500.0
    first = plan(tmp_path, asking())
    measured = len(bank.measured)

    second = plan(tmp_path, asking())
    plan(tmp_path, asking(fps=5))

    assert second == first
    assert measured == len(set(bank.measured))
    assert len(bank.measured) == measured


def test_what_was_measured_on_a_busy_machine_is_measured_again(bank: Bank, tmp_path: Path) -> None:
    """Measurements made under load are repeated at the next start; others are kept."""
    bank.ms, bank.busy = 500.0, True
    plan(tmp_path, asking())
    measured = len(bank.measured)

    bank.ms, bank.busy = 5.0, False
    second = plan(tmp_path, asking())
    again = len(bank.measured)
    third = plan(tmp_path, asking())

    assert again > measured
    assert second == third
    assert len(bank.measured) == again
    assert catalog.model_set(second.model).refiner


def test_all_can_be_measured_again(bank: Bank, tmp_path: Path) -> None:
    """`forget_timings` discards the stored measurements, as for `models --measure`."""
    bank.ms = 500.0
    first = plan(tmp_path, asking())
    bank.ms = 1.0

    selector = ModelSelector(tmp_path, Clock())
    selector.forget_timings()
    second = selector.plan(asking(), 10)

    assert (first.model, second.model) != (second.model, second.model)
    assert second.model == "best"


def seen_sizes(folder: Path, kind: str) -> None:
    """Store observations of people's sizes."""
    near, small = {"near": (900, 9), "small": (9, 900), "mixed": (500, 500)}[kind]
    text = f'{{"near": {near}, "small": {small}, "kind": "{kind}"}}'
    (folder / people_sizes.FILE).write_text(text)


@pytest.mark.parametrize(
    ("falls", "kind", "expected"),
    [
        (True, "mixed", "refined"),
        (True, "small", "refined"),
        (True, "near", "refined-light"),
        (False, "small", "posenet-481x641+movenet-thunder-int8"),
    ],
)
def test_the_size_of_people_in_view_decides(
    bank: Bank, tmp_path: Path, falls: bool, kind: str, expected: str
) -> None:
    """For near people a faster model is as good; for small people a second detector helps."""
    bank.others = {"movenet-thunder": 100.0}
    seen_sizes(tmp_path, kind)

    chosen = plan(tmp_path, asking(fps=5, falls=falls))

    assert chosen.model == expected
    assert (f"{kind} in 99%" in chosen.model_reason) == (kind != "mixed")


def test_without_falls_a_posenet_is_taken_for_small_people(bank: Bank, tmp_path: Path) -> None:
    """PoseNet is chosen for small people, MultiPose for near people."""
    bank.others = {"movenet-thunder": 500.0, "movenet-thunder-int8": 500.0}
    found = {}
    for kind in ("small", "near"):
        seen_sizes(tmp_path, kind)
        found[kind] = plan(tmp_path, asking()).model

    assert found == {"small": "posenet-481x641", "near": "movenet-multipose"}


def test_doubtful_timings_are_measured_again(bank: Bank, tmp_path: Path) -> None:
    """`doubt_timings` repeats all measurements once, as after those under load."""
    bank.ms = 500.0
    plan(tmp_path, asking())
    selector = ModelSelector(tmp_path, Clock())
    measured = len(bank.measured)

    bank.ms = 1.0
    selector.doubt_timings()
    second = selector.plan(asking(), 10)
    again = len(bank.measured)
    third = plan(tmp_path, asking())

    assert again > measured
    assert second == third
    assert second.infer_ms == 1.0
    assert len(bank.measured) == again


@pytest.mark.parametrize("people", [1, 6])
@pytest.mark.parametrize("ms", [0.1, 5.0, 20.0, 60.0, 500.0])
def test_where_falls_are_watched_people_who_lie_must_be_found(
    bank: Bank, tmp_path: Path, ms: float, people: int
) -> None:
    """With fall detection models that miss most lying people, such as PoseNet, are not chosen."""
    bank.ms = ms
    bank.others = {"posenet-uint8": ms / 4, "posenet-481x641": ms / 3}

    chosen = plan(tmp_path, asking(people=people, falls=True)).model

    names = catalog.PRESETS[chosen].models if chosen in catalog.PRESETS else chosen
    assert "posenet" not in names or "multipose" in names


def test_without_falls_a_quick_posenet_may_be_taken(bank: Bank, tmp_path: Path) -> None:
    """Without fall detection a fast PoseNet may be chosen; with it its row says unfit."""
    bank.ms, bank.others = 500.0, {"posenet-481x641": 20.0}
    selector = ModelSelector(tmp_path, Clock())

    without = selector.plan(asking(falls=False), 10).model
    selector.plan(asking(falls=True), 10)

    assert without == "posenet-481x641"
    unfit = {row.model for row in selector.rows if row.verdict == selection.UNFIT}
    assert {"posenet", "posenet-uint8", "posenet-481x641"} <= unfit
    assert not {"refined", "movenet-multipose", "movenet-thunder"} & unfit


def test_other_work_on_the_machine_is_noticed() -> None:
    """Load of other processes is detected from CPU times."""
    before = selection._CpuTime(100.0, 10.0, 0.0)

    alone = selection._others_share(before, selection._CpuTime(102.1, 12.0, 2.0))
    beside = selection._others_share(before, selection._CpuTime(104.0, 12.0, 2.0))

    assert alone < selection.BUSY < beside


def test_another_machine_or_version_measures_anew(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measurements are stored per board."""
    plan(tmp_path, asking())
    measured = len(bank.measured)

    monkeypatch.setattr(selection, "_board_name", lambda: "Raspberry Pi 9")
    plan(tmp_path, asking())

    assert len(bank.measured) == 2 * measured


def test_measuring_ends_after_a_while(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measuring stops at a time limit."""
    bank.ms = 900.0
    monkeypatch.setattr(selection, "MEASURING_S", -1.0)

    chosen = plan(tmp_path, asking())

    assert chosen.model in bank.measured
    assert len(bank.measured) == 1


def test_where_the_quickest_takes_seconds_no_other_is_measured(bank: Bank, tmp_path: Path) -> None:
    """If the fastest model takes longer than `HOPELESS_MS`, no other is measured."""
    bank.ms = selection.HOPELESS_MS + 1

    chosen = plan(tmp_path, asking())

    assert bank.measured == [chosen.model] == ["movenet-lightning-int8"]


@pytest.mark.parametrize("policy", ["auto", "whole", "follow", "refine"])
def test_when_time_runs_out_the_quickest_is_known(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: PolicyName
) -> None:
    """At the time limit the fastest model is chosen; the next start measures the rest."""
    bank.ms = 90.0
    bank.others = {"movenet-lightning-int8": 5.0, "posenet-uint8": 20.0, "movenet-multipose": 30.0}
    bank.others["movenet-thunder-int8"] = 5.0
    wanted = asking()
    wanted = msgspec.structs.replace(wanted, model=Model(name="auto", policy=policy))

    with monkeypatch.context() as hurry:
        hurry.setattr(selection, "MEASURING_S", -1.0)
        first = plan(tmp_path, wanted)
    at_first = len(bank.measured)
    second = plan(tmp_path, wanted)

    assert first.model == selection.QUICKEST.get(policy, "movenet-lightning-int8")
    assert "of those measured that keeps up with" in first.model_reason
    assert "of those measured" not in second.model_reason
    assert len(bank.measured) > at_first
    known = accuracies().by(policy)
    assert known[second.model].of(6) >= known[first.model].of(6)


@pytest.mark.parametrize(("ms", "runs"), [(900.0, 2), (20.0, 1 + selection.RUNS)])
def test_a_slow_network_is_not_run_again_and_again(
    ms: float, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow network is run once; for a fast one the minimum of several runs is used."""
    ran: list[None] = []

    class TfliteInterpreter:
        def warm_up(self) -> None:
            ran.append(None)

    class FakeNetwork:
        def __init__(
            self, choice: Choice, threads: int, *, interpreters: int, shaped: bool
        ) -> None:
            self.engine = TfliteInterpreter()

    def clocked(do: Callable[[], None], times: int) -> float:
        for _ in range(times):
            do()
        return ms

    monkeypatch.setattr(selection, "Network", FakeNetwork)
    monkeypatch.setattr(selection, "median_ms", clocked)

    timing = selection._measure_network(catalog.choose("movenet-lightning"), ARRANGED, shaped=False)

    assert timing.ms == ms
    assert len(ran) == runs


def test_an_edge_tpu_wins_where_it_is_quick_and_accurate_enough(bank: Bank, state: Path) -> None:
    """The Edge TPU model counts as accurate as its CPU model, which is the fallback."""
    put_here(state, LIGHTNING, LIGHTNING_TPU)
    bank.absent, bank.ms = "", 900.0

    chosen = plan(state, asking(people=1))

    assert (chosen.model, chosen.fallback_model) == (LIGHTNING_TPU, LIGHTNING)
    assert chosen.delegate.name == "edgetpu"
    assert bank.tried == [LIGHTNING_TPU]


def test_an_edge_tpu_that_fails_its_trial_leaves_the_cpu(bank: Bank, state: Path) -> None:
    """After a failed trial the CPU model is chosen, also at the next start."""
    put_here(state, LIGHTNING, LIGHTNING_TPU)
    bank.absent, bank.verdict = "", Verdict("it crashed (SIGSEGV)", harmful=True)
    bank.ms, bank.others = 900.0, {LIGHTNING: 10.0}

    first = plan(state, asking(people=1, fps=30))
    second = plan(state, asking(people=1, fps=30))

    assert first.model == second.model == LIGHTNING
    assert first.delegate.name == second.delegate.name == "cpu"
    assert "it crashed (SIGSEGV)" in first.reason
    assert "to be tried again in" in second.reason
    assert first.waits
    assert bank.tried == [LIGHTNING_TPU]


def test_a_named_model_runs_as_its_version_for_the_edge_tpu(bank: Bank, state: Path) -> None:
    """Both names of the pair select the Edge TPU file with the device, else the CPU file."""
    put_here(state, LIGHTNING, LIGHTNING_TPU)
    without = [plan(state, asking(name=name)).model for name in (LIGHTNING, LIGHTNING_TPU)]

    bank.absent = ""
    chosen = [plan(state, asking(name=name)) for name in (LIGHTNING, LIGHTNING_TPU)]

    assert without == [LIGHTNING, LIGHTNING]
    assert [one.model for one in chosen] == [LIGHTNING_TPU, LIGHTNING_TPU]
    assert [one.fallback_model for one in chosen] == [LIGHTNING, LIGHTNING]
    assert bank.measured == []


def test_why_there_is_no_delegate_does_not_depend_on_who_chose_the_model(
    bank: Bank, tmp_path: Path
) -> None:
    """Without an Edge TPU the reason is the same for all models."""
    names = ("auto", "movenet-lightning", "movenet-multipose")

    reasons = {plan(tmp_path, asking(name=name)).reason for name in names}

    assert reasons == {bank.absent}


def test_a_model_without_a_version_for_the_edge_tpu_says_so(bank: Bank, state: Path) -> None:
    """The reason says if there is no Edge TPU file, or how to download it."""
    bank.absent = ""
    put_here(state, LIGHTNING)

    none = plan(state, asking(name="movenet-lightning"))
    not_here = plan(state, asking(name=LIGHTNING))

    assert "has no version for the Edge TPU" in none.reason
    assert f"edgepose models fetch {LIGHTNING_TPU}" in not_here.reason
    assert bank.tried == []


@pytest.mark.parametrize("given", ["beside", "named", "none"])
def test_a_file_for_the_edge_tpu_always_has_something_to_fall_back_on(
    bank: Bank, tmp_path: Path, given: str
) -> None:
    """The fallback is the file beside it, the configured one or a bundled one of the same task."""
    model, beside = tpu.pair(tmp_path)
    other = beside.rename(tmp_path / "other.tflite") if given != "beside" else beside
    twin = str(other) if given == "named" else ""

    chosen = plan(tmp_path, asking(name=str(model), twin=twin))

    expected = {"beside": str(beside), "named": str(other), "none": "movenet-lightning"}
    assert chosen.model == expected[given]
    assert f"{chosen.model} runs in place of {model}" in chosen.reason
    assert bank.tried == []


def test_the_cpu_is_no_delegate_to_try(bank: Bank, state: Path) -> None:
    """With `delegate = "cpu"` no delegate is tried."""
    bank.absent = ""
    put_here(state, LIGHTNING, LIGHTNING_TPU)

    chosen = plan(state, asking(name=LIGHTNING, delegate="cpu"))

    assert (chosen.model, chosen.delegate.name, chosen.waits) == (LIGHTNING, "cpu", False)
    assert bank.tried == []


def test_a_device_that_is_plugged_in_later_is_worth_a_try(bank: Bank, state: Path) -> None:
    """A device that is plugged in later is tried, unless in back-off or without a use."""
    put_here(state, LIGHTNING, LIGHTNING_TPU)
    selector, wanted = ModelSelector(state, Clock()), asking(name=LIGHTNING)
    chosen = selector.plan(wanted, total_fps(wanted))
    unplugged = selector.worth_a_try(wanted, chosen)

    bank.absent = ""
    plugged_in = selector.worth_a_try(wanted, chosen)
    selector.bench.failed("edgetpu", "the device is gone")
    on_the_bench = selector.worth_a_try(wanted, chosen)

    assert (unplugged, plugged_in, on_the_bench) == (False, True, False)
    assert not selector.worth_a_try(asking(delegate="cpu"), plan(state, asking(delegate="cpu")))


def test_every_accuracy_is_of_a_model_that_is_known() -> None:
    """Every name in the accuracy table is a known model, and every bundled model is in it."""
    known = accuracies().by("auto")

    for name in known:
        assert name in catalog.entries() or catalog.model_set(name).refiner
    assert {*catalog.bundled(), *catalog.PRESETS} - {"posenet-257"} <= set(known)


@pytest.mark.slow
def test_the_command_explains_itself(tmp_path: Path) -> None:
    """With real models every row before the chosen one has a reason for its rejection."""
    done = subprocess.run(
        [sys.executable, "-m", "edgepose", "models", "--auto", "--json"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    told = msgspec.json.decode(done.stdout)

    verdicts = [row["verdict"] for row in told["rows"]]
    assert told["why"].startswith("auto: ")
    assert told["model"] in accuracies().by("auto")
    if "taken" in verdicts:
        assert set(verdicts[: verdicts.index("taken")]) <= {
            "too slow",
            selection.UNFIT,
            selection.UNMEASURED,
            selection.AS_GOOD,
        }


@pytest.mark.parametrize(
    ("model", "fit"),
    [
        ("movenet-multipose", True),
        ("movenet-multipose@320x320", True),
        ("refined", True),
        ("movenet-thunder", True),
        ("/opt/models/unknown.tflite", True),
        ("posenet-257", False),
        ("posenet-uint8@257x257", False),
        ("coral-posenet-16-edgetpu", False),
        ("posenet+movenet-thunder", False),
        ("movenet-multipose|posenet+movenet-thunder", True),
    ],
)
def test_no_posenet_alone_is_fit_for_falls(model: str, fit: bool) -> None:
    """Measured or not, in any size, and also where its finds are looked at again."""
    assert is_fit_for_falls(model) is fit
