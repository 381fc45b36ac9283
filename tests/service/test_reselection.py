"""Reselection of model and arrangement: when, how often, and in the real daemon."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from edgepose.config.loading import loads
from edgepose.config.schema import Config, Events, Model
from edgepose.models.catalog import Choice
from edgepose.pose import arrangement, selection
from edgepose.pose.arrangement import ONE, Arrangement, Cost
from edgepose.pose.delegates.cpu import Cpu
from edgepose.pose.people_sizes import ENOUGH_S, FILE, PeopleSizes
from edgepose.pose.selection import Plan, Timing
from edgepose.service import reselection
from edgepose.service.daemon import Daemon
from edgepose.service.reload import Changes
from edgepose.service.reselection import QUIET_S, SIZES_S, STEADY_S, TIMINGS_S, Reselection
from edgepose.timing import NS_PER_S, Durations
from edgepose.types import Size
from tests.pose.test_people_sizes import FAR_PX, walking
from tests.support.brokers import Mosquitto, needs_mosquitto, wait_until, witness

GONE_S = 60.0  # the default of `events.fall_gone_s`
CAMERA_PX = Size(1280, 720)


class Home:
    """A daemon's state with one camera, a manual clock, and a selector that answers at once."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.empty = True
        self.doubted = 0
        self.selections = 0
        self.answer = Plan("best", Cpu(), "", "best", "auto: another")
        self.config = Config(model=Model(), events=Events(fall_gone_s=GONE_S))
        self.sizes = PeopleSizes(None)
        self.estimator = SimpleNamespace(
            plan=Plan("refined", Cpu(), "", "refined", infer_ms=30.0),
            current=SimpleNamespace(detector_times=Durations()),
            set_plan=lambda plan: setattr(self.estimator, "plan", plan),
        )
        state: Any = SimpleNamespace(
            clock=SimpleNamespace(now_ns=lambda: self.now_ns),
            config=self.config,
            estimator=self.estimator,
            running_cameras=lambda: [SimpleNamespace(is_empty=self.empty)],
            selector=SimpleNamespace(
                people_sizes=self.sizes, plan=self._plan, doubt_timings=self._doubt
            ),
            wake=SimpleNamespace(set=lambda: None),
        )
        self.reselection = Reselection(state, self._load_model)

    def _plan(self, config: Config, fps: float) -> Plan:
        del config, fps
        self.selections += 1
        return self.answer

    def _doubt(self) -> None:
        self.doubted += 1

    def _load_model(self, config: Config, plan: Plan) -> Any:
        assert config is self.config
        self.estimator.plan = plan
        return self.estimator

    def live(self, ms: float) -> None:
        """Record inferences of this duration."""
        for _ in range(600):
            self.estimator.current.detector_times.add(round(ms * 1e6))

    def crowd(self) -> None:
        """Show small people until their size counts."""
        for second in range(round(2 * ENOUGH_S)):
            self.sizes.add("hall", walking(FAR_PX), CAMERA_PX, second * NS_PER_S)

    def after(self, seconds: float, *, empty: bool = True) -> Changes | None:
        """Advance the clock with or without people in view; return the changes to apply."""
        self.empty = empty
        for _ in range(10):
            self.now_ns += round(seconds / 10 * NS_PER_S)
            build = self.reselection.due_changes()
            for thread in threading.enumerate():
                if thread.name == "trial":
                    thread.join()
            build = build or self.reselection.due_changes()
            if build is not None:
                return build()
        return None


QUIET = QUIET_S + GONE_S


@pytest.fixture
def home() -> Home:
    return Home()


def test_small_people_change_the_model_once_nobody_is_in_view(home: Home) -> None:
    """The model is replaced only after `QUIET_S` without people, as a fall may be pending."""
    home.crowd()

    with_people = home.after(3600, empty=False)
    soon = home.after(0.9 * QUIET)
    later = home.after(2 * QUIET)

    assert (with_people, soon) == (None, None)
    assert later is not None
    assert home.estimator.plan.model == "best"
    assert home.selections == 1


def test_the_size_changes_the_model_once_a_day_at_most(home: Home) -> None:
    """The size of people changes the model at most once a day."""
    home.crowd()
    assert home.after(2 * QUIET) is not None

    home.sizes._seconds = msgspec.structs.replace(home.sizes._seconds, near=14_000.0, kind="near")
    same_day = home.after(SIZES_S / 2)
    next_day = home.after(SIZES_S)

    assert same_day is None
    assert next_day is None  # the selection runs, and confirms the model in use
    assert home.selections == 2


def test_a_named_model_is_not_replaced_for_the_size_of_people(home: Home) -> None:
    """A model named in the configuration is kept."""
    state: Any = home.reselection._state
    state.config = Config(model=Model(name="refined"))
    home.crowd()

    assert home.after(SIZES_S) is None
    assert home.selections == 0


@pytest.mark.parametrize(("ms", "again"), [(29, 0), (44, 0), (60, 1), (12, 1)])
def test_live_times_that_disagree_are_measured_again(home: Home, ms: float, again: int) -> None:
    """If durations in use deviate from the stored ones, they are measured again."""
    home.live(ms)

    home.after(3 * STEADY_S, empty=False)
    with_people = home.doubted
    home.after(2 * QUIET)

    assert with_people == 0
    assert home.doubted == again
    assert home.selections == again


def test_the_idle_rate_is_not_compared(home: Home) -> None:
    """Durations without people in view do not count, as the CPU clock is lower then."""
    home.live(90)

    home.after(10 * TIMINGS_S)

    assert home.doubted == 0


def test_measuring_is_rare_and_rarer_if_nothing_changes(home: Home) -> None:
    """Measurements are an hour apart at least; without a change the interval doubles."""
    home.answer = home.estimator.plan
    for _ in range(7 * 24):
        home.live(90)
        home.after(3 * STEADY_S, empty=False)
        home.after(3600 - 3 * STEADY_S)

    assert 5 <= home.doubted <= 5 + 7


def test_what_is_found_again_only_replaces_the_reasons(home: Home) -> None:
    """If the same model is selected only the reason changes."""
    home.answer = explained_anew(home.estimator.plan)
    home.live(90)
    home.after(3 * STEADY_S, empty=False)

    assert home.after(2 * QUIET) is None
    assert home.estimator.plan is home.answer


def explained_anew(plan: Plan) -> Plan:
    """Return the same plan with another reason."""
    return Plan(plan.model, plan.delegate, "", plan.fallback_model, "auto: measured again")


CONFIG = """
[device]
id = "pi"
[mqtt]
url = "{url}"
[metrics]
listen = ""
[web]
listen = ""
[events]
fall = false
fall_gone_s = 0.1
[[camera]]
id = "hall"
source = "file://{film}?loop=1"
"""


@pytest.fixture
def nobody(tmp_path: Path) -> Path:
    """Write a video of an empty room."""
    path = tmp_path / "room.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (320, 240))
    for _ in range(20):
        writer.write(np.full((240, 320, 3), 90, dtype=np.uint8))
    writer.release()
    return path


@pytest.fixture
def slow_refiners(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a machine that is too slow for refinement."""

    def timed(choice: Choice, arranged: Arrangement, *, shaped: bool) -> Timing:
        del arranged, choice
        return Timing(500.0 if shaped else 10.0, busy=False)

    def cost(choice: Choice, entry: Arrangement, *, shaped: bool) -> Cost:
        del choice, shaped, entry
        return Cost(10.0, 10.0)

    monkeypatch.setattr(selection, "_measure_network", timed)
    monkeypatch.setattr(arrangement, "measure", cost)
    for name in ("QUIET_S", "SEARCH_S"):
        monkeypatch.setattr(reselection, name, 0.2)
    monkeypatch.setattr(reselection, "SIZES_S", 0.0)


@pytest.fixture
def run(tmp_path: Path, nobody: Path) -> Iterator[Callable[[str], Daemon]]:
    threads: list[tuple[Daemon, threading.Thread]] = []

    def start(url: str) -> Daemon:
        daemon = Daemon(loads(CONFIG.format(url=url, film=nobody), "test"))
        threads.append((daemon, threading.Thread(target=daemon.run)))
        threads[-1][1].start()
        return daemon

    yield start
    for daemon, thread in threads:
        daemon.stop()
        thread.join(10)


@pytest.mark.slow
@needs_mosquitto
@pytest.mark.usefixtures("slow_refiners")
def test_the_daemon_takes_another_model_where_people_are_small(
    tmp_path: Path, run: Callable[[str], Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MultiPose is used for near people, then PoseNet for small ones; the status has the reason."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    (tmp_path / FILE).write_text('{"near": 900, "small": 0, "kind": "near"}')
    with Mosquitto(tmp_path) as broker, witness(broker.port, "edgepose/pi/#") as seen:
        daemon = run(broker.url)

        def status(words: str) -> dict[str, Any]:
            message = seen.until(
                lambda m: (
                    m.topic.endswith("/status") and words in json.loads(m.payload)["model_reason"]
                )
            )
            found: dict[str, Any] = json.loads(message.payload)
            return found

        before = status("near in 100%")
        for second in range(8000):
            daemon.state.selector.people_sizes.add(
                "hall", walking(FAR_PX), CAMERA_PX, second * NS_PER_S
            )
        after = status("small in")

        seen.on("edgepose/pi/hall/poses", timeout_s=60)
        assert before["model"] == "movenet-multipose"
        assert after["model"] == "posenet-481x641"
        assert daemon.state.estimator.name == "posenet-481x641"
        assert wait_until(lambda: "hall" in daemon.state.cameras)
        assert daemon.state.estimator.plan.arrangement != ONE
