"""The daemon with delegates that fail: it always falls back to the CPU."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from paho.mqtt.client import MQTTMessage

from edgepose.pose import delegate_backoff
from edgepose.pose.delegate_backoff import FIRST_S, DelegateBackoff, FailureRecord
from edgepose.pose.delegates.cpu import Cpu
from edgepose.pose.delegates.library import Library
from edgepose.pose.estimator import PoseEstimator
from edgepose.pose.failover import HANG_S, FailoverEstimator
from edgepose.pose.selection import Plan
from edgepose.timing import Clock
from tests.service.test_daemon import CAMERA, DEVICE, Running
from tests.support import tpu
from tests.support.brokers import Mosquitto, Witness, witness
from tests.support.clocks import ClockByHand

PICTURE = np.zeros((64, 64, 3), dtype=np.uint8)
RETRY = FIRST_S - 3


def build(plan: Plan) -> PoseEstimator:
    return PoseEstimator(plan.model, threads=1, delegate=plan.delegate.plugin or "cpu")


def standby(folder: Path, **told: str | int) -> FailoverEstimator:
    """Return an estimator with an Edge TPU network and a delegate of the given behaviour."""
    model, twin = tpu.pair(folder)
    delegate = Library(tpu.compile_delegate(folder, **told))
    plan = Plan(str(model), delegate, "passed its trial", str(twin))
    return FailoverEstimator(build, plan, DelegateBackoff(folder, Clock()), Clock())


def score(running: FailoverEstimator) -> float:
    """Run one picture through the stages; return the score of the person's first joint."""
    turn = running.prepare(PICTURE)
    poses = running.decode(turn, running.infer(turn))
    return float(poses[0].keypoints[0, 2])


def test_the_frame_that_fails_is_seen_by_the_twin(tmp_path: Path) -> None:
    """No frame is lost; from then on the CPU is used, and the reason is known."""
    running = standby(tmp_path, AT_INVOKE="FAIL", AFTER=3)

    scores = [score(running) for _ in range(5)]

    by_the_delegate = pytest.approx(tpu.SAID)
    by_the_twin = pytest.approx(tpu.person()[0, 0, 0, 2])
    assert scores == [by_the_delegate] * 2 + [by_the_twin] * 3  # its first one was the warm-up
    assert running.plan.delegate == Cpu()
    assert "failed while running" in running.plan.reason
    assert running.name == "person.tflite"


def test_a_failure_is_remembered_and_a_good_end_is_not(tmp_path: Path) -> None:
    """A failure while running is recorded across restarts; a normal end is not."""
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    good, bad = standby(tmp_path / "good"), standby(tmp_path / "bad", AT_INVOKE="FAIL", AFTER=2)
    names = good.plan.delegate.name, bad.plan.delegate.name

    for running in (good, bad):
        score(running)
        score(running)
        running.close()

    assert DelegateBackoff(tmp_path / "good", Clock()).sentence(names[0]) == ""
    assert "failed while running" in DelegateBackoff(tmp_path / "bad", Clock()).sentence(names[1])


def test_a_delegate_that_fails_after_its_trial_is_left_out_at_once(tmp_path: Path) -> None:
    """A delegate that fails between its trial and the start is replaced by the CPU."""
    running = standby(tmp_path, AT_LOAD="REFUSE")

    assert score(running) == pytest.approx(tpu.person()[0, 0, 0, 2])
    assert "refuses to start" in running.plan.reason


def test_a_delegate_that_comes_back_and_fails_is_not_said_to_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names what actually runs, not what was planned."""
    running = standby(tmp_path, AT_LOAD="REFUSE")
    tpu_model, twin = tpu.pair(tmp_path)
    library = Library(tpu.compile_delegate(tmp_path, AT_LOAD="REFUSE"))
    caplog.set_level("INFO")

    running.switch_to(Plan(str(tpu_model), library, "passed its trial", str(twin)))

    assert "passed its trial" not in caplog.text
    assert "runs on the CPU" in caplog.text


def test_pictures_under_way_belong_to_whoever_made_them_ready(tmp_path: Path) -> None:
    """Frames prepared before the switch are decoded by the model that inferred them."""
    running = standby(tmp_path)
    first, second = running.prepare(PICTURE), running.prepare(PICTURE)
    said = running.infer(first)

    running.fail_over(running.current, "unplugged")
    late = running.decode(first, said)
    next_one = running.decode(second, running.infer(second))

    assert late[0].keypoints[0, 2] == pytest.approx(tpu.SAID)
    assert next_one[0].keypoints[0, 2] == pytest.approx(tpu.person()[0, 0, 0, 2])


def test_a_delegate_is_given_up_once(tmp_path: Path) -> None:
    """The same failure reported by two threads counts once."""
    running = standby(tmp_path)
    name, given_up = running.plan.delegate.name, running.current

    running.fail_over(given_up, "unplugged")
    running.fail_over(given_up, "hangs")

    note = msgspec.json.decode(
        (tmp_path / delegate_backoff.FILE).read_bytes(), type=dict[str, FailureRecord]
    )
    assert (note[name].failures, note[name].reason) == (1, "unplugged")


class House:
    """A daemon with a delegate of the given behaviour, and its broker."""

    def __init__(self, folder: Path, url: str, **told: str | int) -> None:
        self.folder = folder
        self.url = url
        self.model, self.twin = tpu.pair(folder)
        self.library = tpu.compile_delegate(folder, **told)
        self.running = self.start()

    def start(self) -> Running:
        """Start or restart the daemon."""
        model = f'[model]\nname = "{self.model}"\ndelegate = "{self.library}"\n'
        self.running = Running(self.folder, self.url, model + CAMERA)
        return self.running

    @property
    def note(self) -> Path:
        """Return the file of the back-off."""
        return self.folder / "state" / "edgepose" / "test-pi" / delegate_backoff.FILE


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Callable[..., tuple[House, Witness]]]:
    """Start daemons; the witness is connected before them."""
    made: list[House] = []
    with Mosquitto(tmp_path) as broker, witness(broker.port) as watcher:

        def start(**told: str | int) -> tuple[House, Witness]:
            made.append(House(tmp_path, broker.url, **told))
            return made[-1], watcher

        yield start
        for one in made:
            one.running.process.kill()
            one.running.process.wait()


def on(watcher: Witness, name: str) -> dict[str, Any]:
    """Wait for the next status with this delegate; a trial takes time."""

    def wanted(message: MQTTMessage) -> bool:
        if message.topic != f"{DEVICE}/status":
            return False
        return bool(json.loads(message.payload)["delegate"]["name"] == name)

    found: dict[str, Any] = json.loads(watcher.until(wanted, 30).payload)
    return found


def reason_now(watcher: Witness) -> str:
    """Return why the CPU is in use, from a status that was received or from the next one."""
    topic = f"{DEVICE}/status"
    seen = [json.loads(message.payload) for message in watcher.seen if message.topic == topic]
    told = next((told for told in seen if told["delegate"]["name"] == "cpu"), None)
    return str((told or on(watcher, "cpu"))["delegate"]["reason"])


def sure(watcher: Witness) -> tuple[int, float]:
    """Return number and first score of the next frame with a person."""
    while True:
        message = watcher.on(f"{DEVICE}/hall/poses")
        told = json.loads(message.payload)
        if told["poses"]:
            return told["seq"], told["poses"][0]["keypoints"][0][2]


class Blocking:
    """An estimator with a delegate, whose inferences block until they are released."""

    name = "blocking"
    min_pose_score = 0.25
    uses_tracks = False
    engine = SimpleNamespace(plugin=object(), threads=1)

    def __init__(self) -> None:
        self.released: dict[str, threading.Event] = {}
        self.begun = threading.Semaphore(0)

    def warm_up(self) -> None:
        """Return at once."""

    def prepare(self, *_: object) -> object:
        return object()

    def infer(self, _: object) -> tuple[()]:
        released = self.released.setdefault(threading.current_thread().name, threading.Event())
        self.begun.release()
        assert released.wait(10)
        return ()


def test_a_thread_that_returns_late_does_not_hide_a_second_hang(tmp_path: Path) -> None:
    """The hang of a second thread is detected while the first thread's inference returns late."""
    clock, blocking = ClockByHand(), Blocking()
    plan = Plan("model", Library("library"), "passed its trial", "fallback")
    build_it = cast(Callable[[Plan], PoseEstimator], lambda _: blocking)
    running = FailoverEstimator(build_it, plan, DelegateBackoff(tmp_path, clock), clock)
    frame = running.prepare(PICTURE)
    threads = [
        threading.Thread(target=running.infer, args=(frame,), name=name)
        for name in ("first", "second")
    ]

    threads[0].start()
    assert blocking.begun.acquire(timeout=10)
    clock.forward(HANG_S + 1)
    first_hangs = running.is_hung()
    threads[1].start()
    assert blocking.begun.acquire(timeout=10)
    blocking.released["first"].set()
    threads[0].join(10)
    second_is_new = running.is_hung()
    clock.forward(HANG_S + 1)
    second_hangs = running.is_hung()
    blocking.released["second"].set()
    threads[1].join(10)

    assert (first_hangs, second_is_new, second_hangs) == (True, False, True)
    assert not running.is_hung()


@pytest.mark.slow
def test_a_delegate_that_passes_its_trial_is_used(house: Callable[..., Any]) -> None:
    """The status names it; after a normal end it is not in back-off."""
    one, watcher = house()

    told = on(watcher, str(one.library))
    _, by = sure(watcher)
    one.running.send(signal.SIGTERM)

    assert "passed its trial" in told["delegate"]["reason"]
    assert told["model"] == "person_edgetpu.tflite"
    assert by == pytest.approx(float(tpu.SAID), abs=0.01)
    assert one.running.wait() == 0
    assert DelegateBackoff(one.note.parent, Clock()).sentence(str(one.library)) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"AT_LOAD": "REFUSE"}, "no device for me"),
        ({"AT_LOAD": "CRASH"}, "it crashed (SIGABRT) while it was loaded"),
        ({"AT_INVOKE": "CRASH"}, "it crashed (SIGABRT) while it ran the first inference"),
        ({"AT_LOAD": "HANG"}, "no answer within 15 s while it was loaded"),
    ],
)
def test_one_that_does_not_pass_leaves_the_cpu_and_a_sentence(
    house: Callable[..., Any], told: dict[str, str | int], words: str
) -> None:
    """The CPU model runs; status and log give the reason."""
    one, watcher = house(**told)

    found = on(watcher, "cpu")
    _, by = sure(watcher)

    assert words in found["delegate"]["reason"]
    assert found["model"] == "person.tflite"
    assert by == pytest.approx(0.9, abs=0.01)
    assert words in one.running.said()


@pytest.mark.slow
def test_a_failure_while_running_costs_no_frame(house: Callable[..., Any]) -> None:
    """The frame numbers continue without a gap when the CPU takes over."""
    one, watcher = house(AT_INVOKE="FAIL", AFTER=40)
    on(watcher, str(one.library))
    frames = []

    topic = f"{DEVICE}/hall/poses"
    while not frames or frames[-1]["model"] != "person.tflite":
        frames.append(json.loads(watcher.on(topic).payload))
        assert len(frames) < 200
    frames += [json.loads(watcher.on(topic).payload) for _ in range(5)]
    reason = reason_now(watcher)

    numbers = [frame["seq"] for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert "the device is gone" in reason


@pytest.mark.slow
def test_a_hang_while_running_ends_within_half_a_minute(house: Callable[..., Any]) -> None:
    """Within 30 s the CPU takes over without a restart, and the daemon still ends on SIGTERM."""
    one, watcher = house(AT_INVOKE="HANG", AFTER=40)
    on(watcher, str(one.library))

    for _ in range(200):
        told = json.loads(watcher.on(f"{DEVICE}/hall/poses", timeout_s=30).payload)
        if told["model"] == "person.tflite":
            break
    reason = reason_now(watcher)
    one.running.send(signal.SIGTERM)

    assert told["model"] == "person.tflite"
    assert "no answer within 10 s" in reason
    assert one.running.wait(5) == 0


@pytest.mark.slow
def test_a_daemon_that_was_killed_comes_back_on_the_cpu(house: Callable[..., Any]) -> None:
    """After SIGKILL, as by the watchdog, the delegate is in back-off."""
    one, watcher = house()
    on(watcher, str(one.library))

    one.running.send(signal.SIGKILL)
    one.running.wait()
    one.start()
    told = on(watcher, "cpu")

    assert "ended while using it" in told["delegate"]["reason"]
    assert "to be tried again in" in told["delegate"]["reason"]


@pytest.mark.slow
def test_a_delegate_is_tried_again_when_its_time_is_over(house: Callable[..., Any]) -> None:
    """The retry happens in the running daemon, without a restart."""
    one, watcher = house()
    on(watcher, str(one.library))
    one.running.send(signal.SIGTERM)
    one.running.wait()
    benched = FailureRecord(failures=1, failed_unix_s=time.time() - RETRY, reason="unplugged")
    one.note.write_bytes(msgspec.json.encode({str(one.library): benched}))

    one.start()
    before = on(watcher, "cpu")
    after = on(watcher, str(one.library))

    assert "unplugged" in before["delegate"]["reason"]
    assert "passed its trial" in after["delegate"]["reason"]


@pytest.mark.slow
def test_a_trial_does_not_hold_up_the_end(house: Callable[..., Any]) -> None:
    """The daemon ends during a hanging trial, which does not count as a failure."""
    one, watcher = house(AT_LOAD="HANG")
    watcher.on(f"{DEVICE}/availability", b"online")

    one.running.send(signal.SIGTERM)

    assert one.running.wait(5) == 0
    assert DelegateBackoff(one.note.parent, Clock()).sentence(str(one.library)) == ""
