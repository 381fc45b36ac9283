"""Notifications to the service manager, and the unit file."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgepose.service.watchdog import InferenceWatchdog
from edgepose.system import systemd
from edgepose.system.systemd import Service, notify
from edgepose.timing import NS_PER_S
from tests.support import tpu
from tests.support.brokers import Mosquitto, free_port, needs_mosquitto, wait_until, witness

UNIT = Path(__file__).parents[2] / "systemd" / "edgepose.service"
ANALYZE = shutil.which("systemd-analyze")

needs_analyze = pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here")


class Manager:
    """A fake service manager that records its datagrams."""

    def __init__(self, address: str) -> None:
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(address)
        self.heard: list[str] = []

    def next(self, timeout_s: float = 20.0) -> str:
        """Wait for the next datagram."""
        self._line.settimeout(max(timeout_s, 0.001))
        self.heard.append(self._line.recv(4096).decode())
        return self.heard[-1]

    def until(self, wanted: str, timeout_s: float = 20.0) -> str:
        """Wait for a datagram with a line that begins like this."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            said = self.next(deadline_s - time.monotonic())
            if any(line.startswith(wanted) for line in said.splitlines()):
                return said

    def now(self) -> list[str]:
        """Return the datagrams received since, without waiting."""
        self._line.settimeout(0)
        said = []
        try:
            while True:
                said.append(self._line.recv(4096).decode())
        except BlockingIOError:
            self.heard += said
            return said

    def close(self) -> None:
        """Close the socket."""
        self._line.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Start mosquitto before the manager, as it also sends READY."""
    with Mosquitto(tmp_path) as running:
        yield running


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    address = str(tmp_path / "notify")
    listening = Manager(address)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "1500000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    yield listening
    listening.close()


def test_states_arrive_as_one_datagram(manager: Manager) -> None:
    """Several states are sent in one datagram."""
    sent = notify("READY=1", "STATUS=10.0 frames a second")

    assert sent
    assert manager.next() == "READY=1\nSTATUS=10.0 frames a second"


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that begins with @ is an abstract socket."""
    name = f"edgepose-test-{os.getpid()}"
    listening = Manager(f"\0{name}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")

    notify("WATCHDOG=1")

    assert listening.next() == "WATCHDOG=1"
    listening.close()


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all"])
def test_without_a_manager_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a manager or its socket `notify` returns False."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)

    assert not notify("READY=1")


@pytest.mark.parametrize(
    ("limit", "pid", "expected"),
    [
        ("30000000", "", 30.0),
        ("30000000", "ours", 30.0),
        ("30000000", "1", None),
        ("", "", None),
        ("soon", "", None),
        ("0", "", None),
    ],
)
def test_the_watchdog_is_for_this_process_only(
    limit: str, pid: str, expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables do not apply to a child process that inherits them."""
    monkeypatch.setenv("WATCHDOG_USEC", limit)
    monkeypatch.setenv("WATCHDOG_PID", pid.replace("ours", str(os.getpid())))

    assert systemd.watchdog_s() == expected


def test_only_life_feeds_the_watchdog(manager: Manager) -> None:
    """Without progress no beat is sent; beats in quick succession are dropped."""
    moves = True
    service = Service(lambda: moves)

    service.beat(10 * NS_PER_S)
    service.beat(10 * NS_PER_S + 1000)
    assert manager.now() == ["WATCHDOG=1"]

    moves = False
    service.beat(11 * NS_PER_S)
    assert manager.now() == []


def test_a_status_is_one_line(manager: Manager) -> None:
    """Line breaks are removed, as they would start another command."""
    Service(lambda: True).status("camera lost\nSTOPPING=1")

    assert manager.next() == "STATUS=camera lost STOPPING=1"


def test_a_reload_before_the_start_is_done_is_not_ready(manager: Manager) -> None:
    """A reload during the start sends no READY, and restores the watchdog's time."""
    service = Service(lambda: True)

    service.reloading(90)
    service.reloaded("all well")

    said = manager.now()
    assert said == [
        "WATCHDOG_USEC=90000000",
        "RELOADING=1\nSTATUS=reloading",
        "WATCHDOG_USEC=1500000",
    ]


def test_a_restart_is_no_end(manager: Manager) -> None:
    """The process continues: a restart is announced as a reload, and the watchdog is restored."""
    old, new = Service(lambda: True), Service(lambda: True)

    old.stopping(90)
    new.ready("all well")

    assert manager.now() == [
        "WATCHDOG_USEC=90000000",
        "RELOADING=1\nSTATUS=reloading",
        "WATCHDOG_USEC=1500000",
        "READY=1\nSTATUS=all well",
    ]


def test_an_idle_engine_makes_progress() -> None:
    """Without frames the engine is not stalled."""
    progress = InferenceWatchdog()

    assert [progress.is_progressing() for _ in range(3)] == [True] * 3

    progress.start()
    progress.finish()
    assert [progress.is_progressing() for _ in range(3)] == [True] * 3


def test_a_frame_that_does_not_come_back_is_a_stall() -> None:
    """The second check with the same frame in progress reports a stall."""
    progress = InferenceWatchdog()
    progress.start()

    assert [progress.is_progressing() for _ in range(3)] == [True, False, False]

    progress.finish()
    assert progress.is_progressing()


def test_frames_that_come_back_between_questions_are_progress() -> None:
    """A different frame at each check is progress."""
    progress = InferenceWatchdog()
    answers = []

    for _ in range(5):
        progress.start()
        answers.append(progress.is_progressing())
        progress.finish()

    assert all(answers)


def test_a_frame_that_is_taken_over_is_a_new_one() -> None:
    """A frame taken over by another thread restarts the check; the old one does not count."""
    progress = InferenceWatchdog()
    progress.start()
    progress.is_progressing()

    progress.start()
    assert progress.is_progressing()

    progress.finish()
    assert [progress.is_progressing() for _ in range(3)] == [True] * 3


@needs_analyze
def test_the_unit_has_no_word_that_systemd_does_not_know(tmp_path: Path) -> None:
    """`systemd-analyze verify` prints nothing, as its exit code does not report unknown keys."""
    unit = tmp_path / UNIT.name
    program = "/opt/edgepose/venv/bin/edgepose"
    assert program in UNIT.read_text()
    unit.write_text(UNIT.read_text().replace(program, sys.executable))

    done = _analyze("verify", "--man=no", str(unit))

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_analyze
def test_the_sandbox_is_tight() -> None:
    """Systemd's exposure score is at most 2.0."""
    done = _analyze("security", "--offline=true", "--no-pager", "--threshold=20", str(UNIT))

    assert done.returncode == 0, done.stdout


def test_what_no_restart_mends_is_not_restarted() -> None:
    """Exit codes for usage and model errors prevent a restart."""
    settings = dict(
        line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line[1:] and line
    )

    assert settings["RestartPreventExitStatus"].split() == ["2", "4"]
    assert "ProcSubset" not in settings  # hides /proc/cpuinfo from the runtime


def _analyze(*words: str) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    return subprocess.run([ANALYZE, *words], capture_output=True, text=True, check=False)


class Daemon:
    """A daemon process under the fake manager."""

    def __init__(self, folder: Path, tables: str, url: str) -> None:
        self.file, self._log = folder / "edgepose.toml", folder / "log"
        self._url = url
        self.write(tables)
        with self._log.open("wb") as log:
            command = [sys.executable, "-m", "edgepose", "run", "-c", str(self.file)]
            self.process = subprocess.Popen(command, stderr=log)

    def write(self, tables: str) -> None:
        """Write the configuration."""
        model = "" if "[model]" in tables else '[model]\nname = "movenet-lightning"\n'
        quiet = '[metrics]\nlisten = ""\n[web]\nlisten = ""\n'
        head = f'[device]\nid = "test-pi"\n[mqtt]\nurl = "{self._url}"\n'
        self.file.write_text(head + quiet + model + tables)

    def said(self) -> str:
        """Return the daemon's log."""
        return self._log.read_text()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    started: list[Daemon] = []

    def run(tables: str, url: str = "") -> Daemon:
        started.append(Daemon(tmp_path, tables, url or f"mqtt://127.0.0.1:{free_port()}"))
        return started[-1]

    yield run
    for daemon in started:
        daemon.process.kill()
        daemon.process.wait()


DEMO = '[[camera]]\nid = "hall"\nsource = "demo://"\n'


@pytest.mark.slow
@needs_mosquitto
def test_ready_comes_after_the_first_pose(
    broker: Mosquitto, manager: Manager, start: Callable[..., Daemon]
) -> None:
    """READY is sent after the first poses, then beats, and STOPPING on SIGTERM."""
    with witness(broker.port, "edgepose/+/+/poses") as watcher:
        daemon = start(DEMO, broker.url)
        ready = manager.until("READY=1")
        watcher.until(lambda _: True, timeout_s=2)

    assert "movenet-lightning on cpu" in ready
    assert "broker is away" not in ready
    assert manager.heard[0] == "STATUS=starting"
    for _ in range(3):
        manager.until("WATCHDOG=1", timeout_s=2)

    daemon.process.send_signal(signal.SIGTERM)
    manager.until("STOPPING=1")
    assert daemon.process.wait(5) == 0


@pytest.mark.slow
def test_ready_waits_for_what_became_of_the_broker(
    manager: Manager, start: Callable[..., Daemon]
) -> None:
    """READY is sent once the connection to the broker has succeeded or failed."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        start(DEMO, f"mqtt://127.0.0.1:{mute.getsockname()[1]}")
        line, _ = mute.accept()
        with pytest.raises(TimeoutError):
            manager.until("READY=1", timeout_s=3)
    line.close()

    assert "no broker: Connection refused" in manager.until("READY=1")


@pytest.mark.slow
def test_an_absent_broker_and_a_lost_camera_are_no_stall(
    manager: Manager, start: Callable[..., Daemon]
) -> None:
    """READY names the missing broker and camera, and beats continue."""
    start(DEMO + '[[camera]]\nid = "yard"\nsource = "/dev/video99"\n')

    ready = manager.until("READY=1")

    assert "no broker: Connection refused" in ready
    assert "offline: yard" in ready
    for _ in range(3):
        manager.until("WATCHDOG=1", timeout_s=2)


@pytest.mark.slow
def test_a_reload_is_announced_and_over(manager: Manager, start: Callable[..., Daemon]) -> None:
    """READY follows RELOADING for valid and invalid files."""
    daemon = start(DEMO)
    manager.until("READY=1")

    for tables in (DEMO.replace("hall", "attic"), "[nonsense]\n"):
        daemon.write(tables)
        daemon.process.send_signal(signal.SIGHUP)
        manager.until("RELOADING=1")
        manager.until("READY=1")

    assert wait_until(lambda: "reload refused" in daemon.said())
    assert daemon.said().count("reloaded") == 1


@pytest.mark.slow
def test_an_engine_that_hangs_starves_the_watchdog(
    tmp_path: Path, manager: Manager, start: Callable[..., Daemon]
) -> None:
    """During a hanging inference no beats are sent; they resume on the CPU."""
    library = tpu.compile_delegate(tmp_path, AT_INVOKE="HANG", AFTER=40)
    for_the_tpu, cpu = tpu.pair(tmp_path)
    model = f'[model]\nname = "{for_the_tpu}"\ntwin = "{cpu}"\ndelegate = "{library}"\n'

    daemon = start(model + DEMO)
    assert str(library) in manager.until("READY=1")
    with pytest.raises(TimeoutError):
        while True:
            manager.until("WATCHDOG=1", timeout_s=3)

    assert ": hangs" not in daemon.said()
    manager.until("WATCHDOG=1", timeout_s=20)
    assert ": hangs" in daemon.said()
