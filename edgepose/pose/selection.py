"""Selects the model and the delegate, with the reasons.

`auto` is resolved by measurement on this machine: delegates are tried in a child process,
models are timed. Timings are stored, so only the first start takes that time.
"""

import logging
import math
import os
import platform
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from edgepose._version import __version__
from edgepose.config.schema import Config
from edgepose.models import catalog, info
from edgepose.pose import arrangement, delegate_trial, delegates
from edgepose.pose import interpreter as engines
from edgepose.pose.arrangement import ONE, Arrangement, ArrangementSelector
from edgepose.pose.delegate_backoff import DelegateBackoff
from edgepose.pose.delegate_trial import Verdict
from edgepose.pose.delegates import Delegate, Plugin
from edgepose.pose.delegates.cpu import Cpu
from edgepose.pose.estimator import Network
from edgepose.pose.people_sizes import SHARES, PeopleSize, PeopleSizes, SizeReport
from edgepose.pose.policies import PolicyName
from edgepose.system.storage import StateFile
from edgepose.timing import Clock, median_ms

log: Final = logging.getLogger(__name__)

FILE: Final = "timings.json"
RUNS: Final = 7
BUSY: Final = 0.5  # load of other programs, in processors, above which a timing is repeated
SLOW_MS: Final = 250.0  # longer inferences are measured only once
SHARE: Final = 0.8  # usable share of the time between frames; a warm machine is slower
MEASURING_S: Final = 8.0
HOPELESS_MS: Final = 2000.0  # no other model is measured if the fastest takes longer
QUICKEST: Final = {"refine": "refined-light", "whole": catalog.DEFAULT}
"""Fastest model of each policy; `movenet-lightning-int8` for the others."""

BUNDLED: Final = {"one": "movenet-lightning", "many": catalog.DEFAULT}
AUTO: Final = "auto"
TAKEN: Final = "taken"
UNFIT: Final = "does not find lying people"
SAME_AP: Final = 1.0  # smaller differences were not significant on the measured pictures
AS_GOOD: Final = "as accurate as another, and slower"
LYING_LEAST: Final = 50.0  # minimum percentage of lying people found, for `events.fall`
UNMEASURED: Final = "not measured: no time left"
ONE_CAMERA_FPS: Final = 10.0  # default frame rate of the configuration


@dataclass(frozen=True, slots=True)
class Plan:
    """The selected model and delegate, with the reasons."""

    model: str
    delegate: Delegate
    reason: str
    """Why this delegate is used, or why the requested one is not."""

    fallback_model: str
    """Model for the CPU without the delegate; the same model if it runs on both."""

    model_reason: str = ""
    """Why this model was selected; empty if it was configured."""

    arrangement: Arrangement = ONE
    """Arrangement on the CPU."""

    arrangement_reason: str = ""
    """Why this arrangement was selected; empty without a selection."""

    waits: bool = False
    """Whether the delegate would be used again once its back-off ends or it is reconnected."""

    infer_ms: float = 0.0
    """Expected time of one inference of the first network; 0 if it was not measured."""

    @property
    def arranged(self) -> str:
        """The arrangement and its reason, in one line."""
        return f"{self.arrangement}: {self.arrangement_reason}"

    def without_delegate(self, reason: str) -> "Plan":
        """Return the plan that continues on the CPU."""
        plan = replace(self, model=self.fallback_model, delegate=Cpu(), reason=reason, waits=True)
        same = self.delegate.plugin is None
        return plan if same else replace(plan, arrangement=ONE, arrangement_reason="", infer_ms=0.0)


class Accuracy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Accuracy of a model with a policy, in percent; None if not measured."""

    near: float | None = None
    """AP of people above 96² pixels."""

    small: float | None = None
    """AP of people of 32² to 96² pixels."""

    one: float = 0.0
    """AP in images with one person."""

    lying: float | None = None
    """Share of lying people that are found."""

    like: str = ""
    """Model whose figures apply, if they were measured with another file of the network."""

    def of(self, people: int, sizes: PeopleSize = "mixed") -> float:
        """Return the AP that applies to this maximum number of people, and to their size."""
        if people == 1:
            return self.one
        if self.near is None or self.small is None:
            return 0.0
        return self.near + SHARES[sizes] * (self.small - self.near)

    @property
    def fit_for_falls(self) -> bool:
        """Whether it finds lying people; True if not measured, as with the policy `follow`."""
        return self.lying is None or self.lying >= LYING_LEAST


class MeasuredAccuracy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The accuracies of `data/accuracy.toml`, all measured on the same images."""

    pictures: str
    """Name of the image set."""

    whole: dict[str, Accuracy]
    follow: dict[str, Accuracy]
    refine: dict[str, Accuracy]

    def by(self, policy: PolicyName) -> dict[str, Accuracy]:
        """Return each model's accuracy with a policy; for `auto`, with the one that suits it."""
        rows = self.whole | self.follow | self.refine
        found: dict[str, Accuracy] = rows if policy == "auto" else getattr(self, policy)
        return {name: rows[row.like] if row.like else row for name, row in found.items()}


class CandidateRow(NamedTuple):
    """A candidate for `auto` and its verdict."""

    model: str
    delegate: str
    accuracy: float
    ms: float | None
    """Time of one frame with the maximum number of people; None if not measured."""

    verdict: str


class Timings(msgspec.Struct):
    """Inference times on this machine; discarded on other hardware or with another version."""

    machine: str = ""
    ms: dict[str, float] = {}
    busy: list[str] = []
    """Networks measured while other programs were busy; they are measured again later."""


class Timing(NamedTuple):
    """Inference time of one network."""

    ms: float
    busy: bool
    """Whether other programs were busy during the measurement."""


@cache
def accuracies() -> MeasuredAccuracy:
    """Return the accuracies of the models that `auto` selects from."""
    text = (catalog.DATA / "accuracy.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), MeasuredAccuracy)


def is_fit_for_falls(model: str) -> bool:
    """Return whether a model finds lying people; True for files that are not in the catalogue.

    Models that were not measured are fit unless every network that detects people is a PoseNet.
    """
    detectors, _, refiner = model.rpartition("+")
    plain = [name.partition("@")[0] for name in (detectors or refiner).split("|")]
    measured = accuracies().by("auto").get(model if detectors else plain[0])
    if measured is not None and measured.lying is not None:
        return measured.fit_for_falls
    known = [catalog.entries().get(name) for name in plain]
    return not all(entry is not None and entry.family == "posenet" for entry in known)


class ModelSelector:
    """Selects plans; stores timings and failures of delegates.

    Parameters
    ----------
    folder : Path or None
        The state directory; if None, everything is measured again at each start.
    ending : callable
        Returns whether the program is ending.
    """

    def __init__(
        self, folder: Path | None, clock: Clock, ending: Callable[[], bool] = lambda: False
    ) -> None:
        self.bench = DelegateBackoff(folder, clock)
        self.rows: list[CandidateRow] = []
        """Candidates of the last `auto`, with their verdicts."""

        self.people_sizes = PeopleSizes(folder)
        """Sizes of the people in view, which `auto` considers."""

        self._ending = ending
        self._note = StateFile(folder and folder / FILE, Timings)
        self._arrangements = ArrangementSelector(folder, partial(_machine_key, ONE), ending)

    def forget_timings(self) -> None:
        """Discard all measurements of models and arrangements."""
        self._note.write(Timings())
        self._arrangements.forget()

    def doubt_timings(self) -> None:
        """Measure again at the next `plan`; timings are kept where no time is left for it."""
        known: Timings | None = self._note.read()
        if known is not None:
            self._note.write(Timings(known.machine, known.ms, sorted(known.ms)))
        self._arrangements.doubt()

    def plan(self, config: Config, fps: float = 0.0) -> Plan:
        """Return the plan for a configuration; may take seconds with `auto` or a delegate.

        Parameters
        ----------
        config : Config
            Has the model, the delegate and the maximum number of people.
        fps : float
            Frames per second of all cameras; 0 if unknown.

        Raises
        ------
        ModelError
            If the model is unknown, or made for the Edge TPU and configured for the CPU.
        """
        delegate = delegates.named(config.model.delegate)
        if config.model.name == AUTO:
            plan = self._plan_auto(config, delegate, fps)
        else:
            plan = self._plan_named(config, delegate)
        return self._with_arrangement(plan, config, fps)

    def _with_arrangement(self, plan: Plan, config: Config, fps: float) -> Plan:
        """Return the plan with an arrangement, selected by measurement on the CPU."""
        if plan.delegate.plugin is not None:
            return replace(plan, arrangement=Arrangement(1, config.model.threads))
        choice = self._arrangements.choose(
            config.model,
            plan.model,
            people=config.pose.max_people,
            fps=fps or ONE_CAMERA_FPS,
        )
        return replace(
            plan,
            arrangement=choice.arrangement,
            arrangement_reason=choice.reason,
            infer_ms=choice.infer_ms,
        )

    def worth_a_try(self, config: Config, plan: Plan) -> bool:
        """Return whether the plan's unavailable delegate could be tried again now; fast."""
        if not plan.waits:
            return False
        delegate = delegates.named(config.model.delegate)
        return not delegate.absent() and not self.bench.sentence(delegate.name)

    def _plan_named(self, config: Config, delegate: Delegate) -> Plan:
        name = config.model.name
        if delegate.plugin is None:
            return Plan(name, delegate, 'model.delegate = "cpu"', name)
        target, fallback_model = _delegate_pair(name, config.model.twin, delegate.plugin)
        reason = self._unusable_reason(delegate)
        if target is None:
            return Plan(name, Cpu(), reason or _no_version(name), name)
        if reason:
            return _on_cpu(target, fallback_model, reason)
        verdict = self._try_delegate(target, delegate, config.model.threads)
        if verdict.failure:
            return _on_cpu(target, fallback_model, f"{delegate.name}: {verdict.failure}")
        return Plan(target, delegate, _describe_verdict(verdict), fallback_model)

    def _unusable_reason(self, delegate: Delegate) -> str:
        if reason := delegate.absent():
            return reason
        reason = self.bench.sentence(delegate.name)
        return f"{delegate.name}: {reason}" if reason else ""

    def _try_delegate(self, model: str, delegate: Delegate, threads: int) -> Verdict:
        assert delegate.plugin is not None
        verdict = delegate_trial.try_out(
            model, delegate.plugin, threads=threads, ending=self._ending
        )
        if verdict.failure and not self._ending():
            self.bench.failed(delegate.name, verdict.failure)
        return verdict

    def _plan_auto(self, config: Config, delegate: Delegate, fps: float) -> Plan:
        """Return the plan of the most accurate model that keeps up, on CPU or delegate."""
        reason = self._unusable_reason(delegate) if delegate.plugin else 'model.delegate = "cpu"'
        cache = LatencyCache(self._note, arrangement.most(config.model), self._ending)
        sizes = self.people_sizes.report()
        selection = AutoSelection(config, fps, delegate, cache, self._try_delegate, sizes=sizes)
        selection.only_on_the_cpu = reason
        plan = selection.plan()
        self.rows = selection.rows
        if delegate.plugin is None or delegate.plugin.op or plan.delegate.plugin:
            return plan
        # This delegate runs any model: if the CPU is fast enough for it, so is the delegate.
        model = msgspec.structs.replace(config.model, name=plan.model)
        named = self._plan_named(msgspec.structs.replace(config, model=model), delegate)
        return replace(named, model_reason=plan.model_reason)


class AutoSelection:
    """Selects the most accurate model that keeps up with the frame rate.

    Parameters
    ----------
    config : Config
        Has the maximum number of people and the policy.
    fps : float
        Frames per second of all cameras; 0 if unknown.
    delegate : Delegate
        Delegate that may be used besides the CPU.
    cache : LatencyCache
        Times models on the CPU.
    try_out : callable
        Tries a model on the delegate.
    sizes : SizeReport
        Size of the people in view.
    """

    def __init__(
        self,
        config: Config,
        fps: float,
        delegate: Delegate,
        cache: "LatencyCache",
        try_out: Callable[[str, Delegate, int], Verdict],
        *,
        sizes: SizeReport,
    ) -> None:
        self.rows: list[CandidateRow] = []
        self.only_on_the_cpu = ""
        """Why the delegate cannot be used; empty if it can."""

        self._people = config.pose.max_people
        self._fps = fps or ONE_CAMERA_FPS
        self._most_ms = SHARE * 1000 / self._fps
        self._policy = config.model.policy
        self._wanted = "one" if self._policy == "follow" else "many"
        self._threads = config.model.threads
        self._delegate = delegate
        self._try_out = try_out
        self._cache = cache
        self._falls = config.events.fall
        self._sizes = sizes

    def plan(self) -> Plan:
        """Return the plan of the most accurate model, or of the fastest if none keeps up.

        Of models that are equally accurate, within `SAME_AP`, the fastest is selected.
        """
        taken: CandidateRow | None = None
        least_ap = 0.0
        for name, accuracy in _candidate_models(self._people, self._policy, self._sizes.kind):
            ap = accuracy.of(self._people, self._sizes.kind)
            if self._falls and not accuracy.fit_for_falls:
                self.rows.append(CandidateRow(name, Cpu.name, ap, None, UNFIT))
                continue
            row = self._judge_candidate(name, ap, decided=taken is not None and ap <= least_ap)
            if row is None:
                continue
            if row.verdict == TAKEN and taken is not None:
                row = self._compared(taken, row)
            self.rows.append(row)
            if row.verdict == TAKEN:
                least_ap = least_ap if taken is not None else ap - SAME_AP
                taken = row
        if taken is not None:
            return self._make_plan(taken.model, taken.delegate, f"auto: {self._why(taken)}")
        timed = [row for row in self.rows if row.ms is not None]
        quickest = min(timed, key=lambda row: row.ms or 0.0, default=None)
        name = quickest.model if quickest else BUNDLED[self._wanted]
        used = quickest.delegate if quickest else Cpu.name
        why = f"auto: the fastest; no model keeps up with {self._asked}"
        return self._make_plan(name, used, why)

    def _compared(self, taken: CandidateRow, row: CandidateRow) -> CandidateRow:
        """Reject the slower of two equally accurate rows; return `row` with its verdict."""
        if (row.ms or 0.0) >= (taken.ms or 0.0):
            return row._replace(verdict=AS_GOOD)
        self.rows[self.rows.index(taken)] = taken._replace(verdict=AS_GOOD)
        return row

    @property
    def _asked(self) -> str:
        return f"{self._fps:g} frames a second with {_people(self._people)}"

    def _why(self, taken: CandidateRow) -> str:
        of = " of those measured" if any(row.verdict == UNMEASURED for row in self.rows) else ""
        why = (
            f"the most accurate{of} that keeps up with {self._asked}: {taken.ms:.1f} ms for a frame"
        )
        if any(row.verdict == AS_GOOD for row in self.rows):
            why += ", the quickest of those as accurate"
        return f"{why}; {self._sizes}" if str(self._sizes) and self._people > 1 else why

    def _judge_candidate(self, name: str, accuracy: float, *, decided: bool) -> CandidateRow | None:
        if _for_edgetpu(name):
            if self.only_on_the_cpu or not self._delegate.plugin or not catalog.cpu_model(name):
                return None
            used = self._delegate.name
            ms = None if decided else self._tried_ms(name)
            if ms is None and not decided:
                return None
        else:
            used = Cpu.name
            ms = None if decided else self._timed_ms(name)
        if decided:
            return CandidateRow(name, used, accuracy, None, "less accurate")
        if ms is None:
            return CandidateRow(name, used, accuracy, None, UNMEASURED)
        if ms > self._most_ms:
            return CandidateRow(name, used, accuracy, ms if math.isfinite(ms) else None, "too slow")
        return CandidateRow(name, used, accuracy, ms, TAKEN)

    def _timed_ms(self, name: str) -> float | None:
        if not self._cache.runs:
            # Measured without a time limit, so that there is always a fallback.
            quickest = QUICKEST.get(self._policy, "movenet-lightning-int8")
            ms = self._cache.frame_ms(quickest, self._people, math.inf)
            self._cache.start(MEASURING_S if ms is None or ms < HOPELESS_MS else 0.0)
        return self._cache.frame_ms(name, self._people, self._most_ms)

    def _tried_ms(self, name: str) -> float | None:
        verdict = self._try_out(name, self._delegate, self._threads)
        if verdict.failure:
            self.only_on_the_cpu = f"{self._delegate.name}: {verdict.failure}"
            return None
        return verdict.ms

    def _make_plan(self, name: str, used: str, why: str) -> Plan:
        if used != Cpu.name:
            fallback_model = catalog.cpu_model(name) or catalog.DEFAULT
            reason = "passed its trial and runs the model that was chosen"
            return Plan(name, self._delegate, reason, fallback_model, why)
        reason = self.only_on_the_cpu or f"no model for {self._delegate.name} is better here"
        waits = bool(self._delegate.plugin and self.only_on_the_cpu)
        return Plan(name, Cpu(), reason, name, why, waits=waits)


class LatencyCache:
    """Times networks on the CPU within a time limit, and stores the results.

    A network that was measured while other programs were busy is measured again, once per run
    of the program.
    """

    def __init__(self, note: StateFile, arranged: Arrangement, ending: Callable[[], bool]) -> None:
        self._ending = ending
        self._note = note
        self._arrangement = arranged
        self._until_s = math.inf
        machine = _machine_key(arranged)
        known: Timings | None = note.read()
        self._timings = known if known and known.machine == machine else Timings(machine)
        self._again = set(self._timings.busy)

    def start(self, measuring_s: float) -> None:
        """Start the time limit; until then measuring is unlimited."""
        self._until_s = time.monotonic() + measuring_s

    @property
    def runs(self) -> bool:
        """Whether the time limit has started."""
        return self._until_s < math.inf

    def frame_ms(self, name: str, people: int, most_ms: float) -> float | None:
        """Return the time of a frame with this number of people; None if time has run out.

        Infinite if some of the networks already take more than `most_ms`. The others are
        then not measured, to leave time for faster models.
        """
        model_set = catalog.model_set(name)
        rounds = [(choice, 1, False) for choice in model_set.detectors]
        rounds += [(model_set.refiner, people, True)] if model_set.refiner else []
        frame_ms = 0.0
        for choice, times, shaped in sorted(
            rounds, key=lambda row: not self._has_timing(row[0], row[2])
        ):
            if frame_ms > most_ms:
                return math.inf
            network_ms = self._network_ms(choice, shaped=shaped)
            if network_ms is None:
                return None
            frame_ms += times * network_ms
        return frame_ms

    def _has_timing(self, choice: catalog.Choice, shaped: bool) -> bool:
        key = _cache_key(choice, shaped=shaped)
        return key in self._timings.ms and key not in self._again

    def _network_ms(self, choice: catalog.Choice, *, shaped: bool) -> float | None:
        key = _cache_key(choice, shaped=shaped)
        if not self._has_timing(choice, shaped):
            if time.monotonic() >= self._until_s or self._ending():
                return self._timings.ms.get(key)
            log.info("model: auto: measuring %s", choice.name)
            timing = _measure_network(choice, self._arrangement, shaped=shaped)
            self._again.discard(key)
            self._timings.ms[key] = round(timing.ms, 2)
            busy = set(self._timings.busy) - {key} | ({key} if timing.busy else set())
            self._timings.busy = sorted(busy)
            self._note.write(self._timings)
        return self._timings.ms[key]


def _cache_key(choice: catalog.Choice, *, shaped: bool) -> str:
    size = choice.size
    name = f"{choice.path.name}@{size.height}x{size.width}" if size else choice.path.name
    return f"{name} shaped" if shaped else name


def _measure_network(choice: catalog.Choice, arranged: Arrangement, *, shaped: bool) -> Timing:
    """Measure one network; returns the minimum of several runs, least affected by other load.

    Parameters
    ----------
    arranged : Arrangement
        With several interpreters, the result is the time from one inference to the next.
    shaped : bool
        Whether the network is a refiner, measured at the input size for a standing person.
    """
    count = arranged.interpreters
    warm_up = Network(choice, arranged.threads, interpreters=count, shaped=shaped).engine.warm_up
    warm_up()
    before = _cpu_s()
    times_ms = [median_ms(warm_up, 1)]
    while times_ms[0] <= SLOW_MS and len(times_ms) < RUNS:
        times_ms.append(median_ms(warm_up, 1))
    return Timing(min(times_ms) / count, _others_share(before, _cpu_s()) > BUSY)


class _CpuTime(NamedTuple):
    """Seconds of processor time since the machine and this process started."""

    all_s: float
    own_s: float
    at_s: float


def _cpu_s() -> _CpuTime:
    """Return the busy time of all processors; 0 if `/proc/stat` cannot be read."""
    try:
        line = Path("/proc/stat").read_text("utf-8").partition("\n")[0]
    except OSError:
        return _CpuTime(0.0, 0.0, time.monotonic())
    ticks = [int(number) for number in line.split()[1:9]]
    working = sum(ticks) - ticks[3] - ticks[4]  # without idle and iowait
    worked_s = working / os.sysconf("SC_CLK_TCK")
    return _CpuTime(worked_s, time.process_time(), time.monotonic())


def _others_share(before: _CpuTime, after: _CpuTime) -> float:
    """Return the load of other programs between two readings, in processors."""
    others_s = (after.all_s - before.all_s) - (after.own_s - before.own_s)
    return others_s / max(after.at_s - before.at_s, 1e-3)


def _candidate_models(
    people: int, policy: PolicyName, sizes: PeopleSize
) -> Iterator[tuple[str, Accuracy]]:
    """Yield available models, the most accurate first; an Edge TPU model before its CPU model."""
    entries = catalog.entries()
    known = accuracies().by(policy)
    # Edge TPU models get the accuracy of their CPU model: only that one was measured.
    known |= {name: known[e.cpu] for name, e in entries.items() if e.cpu in known}
    here = [name for name in known if name not in entries or entries[name].path]
    for name in sorted(here, key=lambda name: _rank_of(name, known[name], people, sizes)):
        yield name, known[name]


def _rank_of(
    name: str, accuracy: Accuracy, people: int, sizes: PeopleSize
) -> tuple[float, float, bool]:
    return -accuracy.of(people, sizes), -accuracy.one, not _for_edgetpu(name)


def _for_edgetpu(name: str) -> bool:
    entry = catalog.entries().get(name)
    return entry is not None and bool(entry.cpu)


def _delegate_pair(name: str, twin: str, plugin: Plugin) -> tuple[str | None, str]:
    """Return the model for the delegate, None if there is none, and the model for the CPU."""
    if not plugin.op:
        return name, (twin or catalog.cpu_model(name) or name) if _made_for_edgetpu(name) else name
    if _made_for_edgetpu(name):
        return name, twin or catalog.cpu_model(name) or _bundled_like(name)
    other = catalog.for_edgetpu(name)
    return (other if other and catalog.entries()[other].path else None), name


def _made_for_edgetpu(name: str) -> bool:
    if name in catalog.entries() or name in catalog.PRESETS:
        return _for_edgetpu(name)
    return any(map(_needs_edgetpu, catalog.model_set(name).members))


def _needs_edgetpu(choice: catalog.Choice) -> bool:
    if choice.path.parent == Path(str(catalog.DATA)):
        return False  # bundled files do not need one; skips reading them
    return info.read(catalog.read_file(choice.path), choice.name).needs_edgetpu


def _bundled_like(name: str) -> str:
    """Return a bundled model for as many people, if no CPU model is known."""
    from edgepose.pose import decoders

    choice = catalog.choose(name)
    people = decoders.load(catalog.read_file(choice.path), choice.name).decoder.people
    return BUNDLED["one" if people == 1 else "many"]


def _on_cpu(target: str, fallback_model: str, reason: str) -> Plan:
    """Return the plan for the CPU; the reason includes a replacement of the model."""
    if fallback_model != target:
        reason = f"{reason}; {fallback_model} runs in place of {target}"
    return Plan(fallback_model, Cpu(), reason, fallback_model, waits=True)


def _no_version(name: str) -> str:
    other = catalog.for_edgetpu(name)
    if other is None:
        return f"model {name} has no version for the Edge TPU"
    return f"model {name} has a version for the Edge TPU: edgepose models fetch {other}"


def _describe_verdict(verdict: Verdict) -> str:
    return f"passed its trial, {verdict.ms:.1f} ms an inference"


def _people(number: int) -> str:
    return "1 person" if number == 1 else f"{number} people"


def _machine_key(arranged: Arrangement) -> str:
    """Return the hardware and the versions that timings are valid for."""
    parts = [_board_name(), os.cpu_count(), platform.machine(), arranged]
    return ", ".join(map(str, [*parts, engines.runtime(), __version__]))


def _board_name() -> str:
    try:
        return Path("/proc/device-tree/model").read_text("utf-8").strip("\0\n ")
    except OSError:
        return next(_processor_names(), "unknown")


def _processor_names() -> Iterator[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return
    yield from (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
