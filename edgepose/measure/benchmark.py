"""Measures the daemon's frame rate against the network's bare loop in the same run."""

import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from edgepose._version import __version__
from edgepose.camera import sources
from edgepose.config import loading, toml
from edgepose.config.schema import Config, Metrics, Web
from edgepose.errors import EdgeposeError, UsageError, in_words
from edgepose.measure import cpu
from edgepose.models import catalog
from edgepose.mqtt.embedded_broker import EmbeddedBroker
from edgepose.mqtt.messages import AvailabilityMessage, Percentiles, PosesMessage
from edgepose.mqtt.options import BrokerOptions
from edgepose.mqtt.subscriber import subscribe
from edgepose.pose import interpreter
from edgepose.pose.interpreter_pool import AnyInterpreter
from edgepose.service.daemon import Daemon
from edgepose.service.status import stages_ms
from edgepose.system import hardware
from edgepose.system import process as vitals
from edgepose.timing import NS_PER_MS, NS_PER_S
from edgepose.types import Message

SETTLE: Final = 20  # frames to skip until the broker is connected and caches are warm

FEWER: Final = "expected a longer video, or fewer --frames"
HERE: Final = ("127.0.0.1", 0)
ANSWER_S: Final = 5.0
ASKING_S: Final = 60.0  # includes the start of the page's process

EDGEPOSE: Final = (sys.executable, "-m", "edgepose")

BARE: Final = """
import sys, numpy
try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tflite_runtime.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1])
height, width = map(int, sys.argv[2:])
if height:
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, [1, height, width, 3])
interpreter.allocate_tensors()
interpreter.invoke()
print(next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmRSS")) / 1000)
"""


@dataclass(frozen=True, slots=True)
class Round:
    """Rates of daemon and bare loop, measured in succession under the same disturbances."""

    daemon_hz: float
    """Frames per second from the source to the broker."""

    bare_hz: float
    """Calls of the model's `invoke()` per second, with the same interpreters and threads."""

    cpu_ms: Mapping[str, float] = field(default_factory=dict)
    """CPU time of the daemon per frame, by part; see `cpu.PARTS`."""

    bare_cpu_ms: float = 0.0
    """CPU time of one `invoke()` alone."""

    @property
    def beside_ms(self) -> float:
        """CPU time of the daemon per frame, without that of the network."""
        return self.cpu_ms[cpu.TOTAL] - self.bare_cpu_ms

    @property
    def ratio(self) -> float:
        """Daemon rate divided by bare rate; 1 if only the network limits the daemon."""
        return self.daemon_hz / self.bare_hz


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a benchmark of one model."""

    rounds: tuple[Round, ...]
    stages_ms: dict[str, Percentiles]
    policy: str
    latencies_ms: tuple[float, ...]
    """Time from reading a frame to writing it to the broker's socket, of all rounds."""

    threads: int
    interpreters: int
    frames: int

    def cpu_ms(self, part: str) -> float:
        """Return the CPU time of a part per frame, as the median of the rounds."""
        return statistics.median(entry.cpu_ms[part] for entry in self.rounds)

    @property
    def bare_cpu_ms(self) -> float:
        """CPU time of one `invoke()` alone, as the median of the rounds."""
        return statistics.median(entry.bare_cpu_ms for entry in self.rounds)

    @property
    def beside_ms(self) -> float:
        """CPU time per frame without that of the network, as the median of the rounds."""
        return statistics.median(entry.beside_ms for entry in self.rounds)

    @property
    def ratio(self) -> float:
        """Daemon rate divided by bare rate, as the median of the rounds."""
        return statistics.median(entry.ratio for entry in self.rounds)


class Stopwatch:
    """Records the times at which pose messages are written to the broker's socket."""

    def __init__(self, daemon: Daemon, frames: int) -> None:
        self.daemon = daemon
        self._frames = frames
        self._moments_ns: list[int] = []
        self._latencies_ms: list[float] = []
        self._spent: list[dict[str, int]] = []
        self.stages_ms: dict[str, Percentiles] = {}
        """The daemon's own stage times of the whole run."""

    def published(self, message: Message) -> None:
        """Record a message; stops the daemon after the required number."""
        if message.kind != "poses":
            return
        now_ns = self.daemon.state.clock.now_ns()
        self._moments_ns.append(now_ns)
        self._latencies_ms.append((now_ns - message.read_ns) / NS_PER_MS)
        if len(self._moments_ns) == SETTLE:
            self._spent.append(cpu.spent_ns())
        if len(self._moments_ns) == SETTLE + self._frames:
            self._spent.append(cpu.spent_ns())
            self.stages_ms = stages_ms(self.daemon.state)
            self.daemon.stop()

    @property
    def short(self) -> int:
        """Number of missing messages."""
        return SETTLE + self._frames - len(self._moments_ns)

    @property
    def hz(self) -> float:
        """Messages per second, without the first `SETTLE`."""
        moments = self._moments_ns[SETTLE:]
        return (len(moments) - 1) * NS_PER_S / (moments[-1] - moments[0])

    @property
    def cpu_ms(self) -> dict[str, float]:
        """CPU time per frame by part, without the first `SETTLE` frames."""
        before, after = self._spent
        return cpu.per_frame_ms(before, after, self._frames)

    @property
    def latencies_ms(self) -> list[float]:
        """Age of each message's frame, without the first `SETTLE`."""
        return self._latencies_ms[SETTLE:]


def measure(config: Config, *, frames: int, rounds: int) -> Iterator[Round | Result]:
    """Run daemon and bare loop alternately; yield each round, then the result.

    The configuration's source is read without pacing. The order within a round
    alternates, since the second measurement runs on a warmer machine.

    Raises
    ------
    UsageError
        If the source has fewer frames than required.
    """
    done: list[Round] = []
    latencies_ms: list[float] = []
    stopwatch: Stopwatch | None = None
    for number in range(rounds):
        bare = (
            spin(stopwatch.daemon.state.estimator.engine, frames)
            if stopwatch and number % 2
            else None
        )
        stopwatch = run_daemon(config, frames)
        hz, cpu_ms = bare or spin(stopwatch.daemon.state.estimator.engine, frames)
        latencies_ms += stopwatch.latencies_ms
        done.append(Round(stopwatch.hz, hz, stopwatch.cpu_ms, cpu_ms))
        yield done[-1]
    assert stopwatch is not None
    estimator = stopwatch.daemon.state.estimator
    yield Result(
        tuple(done),
        stopwatch.stages_ms,
        estimator.policy.name,
        tuple(latencies_ms),
        estimator.engine.threads,
        estimator.interpreters,
        frames,
    )


def run_daemon(config: Config, frames: int) -> Stopwatch:
    """Run a daemon until `frames` frames were published after the first `SETTLE`.

    Raises
    ------
    UsageError
        If the source has fewer frames than required.
    """
    once = is_finite(config.cameras[0].source, frames)
    daemon = Daemon(config, once=once)
    stopwatch = Stopwatch(daemon, frames)
    daemon.state.broker.publisher.on_published(stopwatch.published)
    daemon.run()
    if stopwatch.short > 0:
        msg = f"bench: the source has ended {stopwatch.short} frames too early; {FEWER}"
        raise UsageError(msg)
    return stopwatch


def is_finite(source: str, frames: int) -> bool:
    """Return whether a source is finite; raises `UsageError` if it is too short."""
    with closing(sources.open_source(source, realtime=False)) as opened:
        length = opened.length
    if length is not None and length < SETTLE + frames:
        msg = f"bench: {source} has {length} frames of the {SETTLE + frames} needed; {FEWER}"
        raise UsageError(msg)
    return length is not None


def spin(engine: AnyInterpreter, frames: int) -> tuple[float, float]:
    """Run a network on its present input; return inferences per second and CPU ms of each."""
    started, spent_ns = time.perf_counter(), time.process_time_ns()
    engine.spin(frames)
    spent_ns = time.process_time_ns() - spent_ns
    return frames / (time.perf_counter() - started), spent_ns / frames / NS_PER_MS


def summary(result: Result) -> dict[str, Any]:
    """Return the measurements and the machine as plain data for a JSON file."""
    return {
        "edgepose": __version__,
        "machine": machine(),
        "runtime": interpreter.runtime(),
        "policy": result.policy,
        "threads": result.threads,
        "interpreters": result.interpreters,
        "frames": result.frames,
        "ratio": round(result.ratio, 4),
        "cpu_ms": {part: round(result.cpu_ms(part), 3) for part in cpu.PARTS}
        | {"bare": round(result.bare_cpu_ms, 3), "beside": round(result.beside_ms, 3)},
        "rounds": [
            {
                "daemon_hz": round(entry.daemon_hz, 2),
                "bare_hz": round(entry.bare_hz, 2),
                "ratio": round(entry.ratio, 4),
                "cpu_ms": round(entry.cpu_ms[cpu.TOTAL], 3),
                "bare_cpu_ms": round(entry.bare_cpu_ms, 3),
                "beside_ms": round(entry.beside_ms, 3),
            }
            for entry in result.rounds
        ],
        "stages_ms": {
            stage: {"p50": round(found.p50, 3), "p99": round(found.p99, 3)}
            for stage, found in result.stages_ms.items()
        },
        "latency_ms": {
            name: round(value, 3) for name, value in percentiles(result.latencies_ms).items()
        },
    }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the 95th and the 99th percentile."""
    parts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": parts[49], "p95": parts[94], "p99": parts[98]}


def machine() -> dict[str, Any]:
    """Return the hardware and system of the measurement."""
    throttling = hardware.read_throttling()
    return {
        "board": _board_name(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "temperature_c": hardware.temperature_c(),
        "throttled": throttling.is_slow if throttling else None,
    }


def _board_name() -> str:
    """Return the name of the board, or of the processor if there is none."""
    model = Path("/proc/device-tree/model")
    if model.exists():
        return model.read_text("utf-8").strip("\0\n ")
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


@contextmanager
def broker(url: str) -> Iterator[str]:
    """Yield the URL of a broker: the given one, or an embedded one if empty."""
    if url:
        _check_broker(url)
        yield url
    else:
        with EmbeddedBroker(0) as own:
            yield own.url


def _check_broker(url: str) -> None:
    """Raise `EdgeposeError` if the broker cannot be reached."""
    asked = BrokerOptions.from_url(url)
    try:
        socket.create_connection((asked.host, asked.port), timeout=ANSWER_S).close()
    except OSError as error:
        msg = f"bench: no broker at {asked.address}: {in_words(error)}; expected one at --mqtt"
        raise EdgeposeError(msg) from None


@dataclass(frozen=True, slots=True)
class WholeProcess:
    """Start time and memory of a daemon in its own process."""

    first_pose_s: float
    """Time from the start of the process to its first pose at a subscriber."""

    memory_mb: dict[int, float]
    """Resident memory by number of frames."""

    service_mb: float
    """Resident memory at the end, while page and metrics are in use, with the page's process."""

    peak_mb: float
    """Peak resident memory of the daemon alone."""

    bare_mb: float
    """Resident memory of NumPy and the loaded model alone, after one inference."""


def whole_process(config: Config, marks: Sequence[int]) -> WholeProcess:
    """Run the daemon in its own process and return its start time and memory."""
    with ExitStack() as ports:
        numbers, page = (ports.enter_context(socket.create_server(HERE)) for _ in range(2))
        listen = [f"127.0.0.1:{server.getsockname()[1]}" for server in (numbers, page)]
    config = replace(config, metrics=Metrics(listen=listen[0]), web=Web(listen=listen[1]))
    started = time.monotonic()
    with running(config) as pid:
        first_pose_s, memory_mb = _observe_daemon(config, pid, started, marks)
        for where in (f"{listen[0]}/metrics", f"{listen[1]}/"):
            urllib.request.urlopen(f"http://{where}", timeout=ASKING_S).close()
        service_mb, peak_mb = vitals.service_mb(pid), vitals.peak_mb(pid) or 0.0
    return WholeProcess(first_pose_s, memory_mb, service_mb, peak_mb, _bare_memory_mb(config))


@contextmanager
def running(config: Config) -> Iterator[int]:
    """Run the daemon in its own process; yields the process id."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "edgepose.toml"
        file.write_text(toml.dump(loading.redacted(config)), "utf-8")
        process = subprocess.Popen([*EDGEPOSE, "run", "-c", str(file)], stderr=subprocess.DEVNULL)
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait()


def _observe_daemon(
    config: Config, pid: int, started: float, marks: Sequence[int]
) -> tuple[float, dict[int, float]]:
    first_pose_s, memory_mb = 0.0, {}
    for message in subscribe(config.mqtt.url, device=config.device.id):
        if isinstance(message, AvailabilityMessage) and first_pose_s and not message.online:
            break  # the source has ended before the last mark
        if not isinstance(message, PosesMessage):
            continue
        first_pose_s = first_pose_s or time.monotonic() - started
        for mark in marks:
            if message.seq >= mark and mark not in memory_mb:
                memory_mb[mark] = vitals.memory_mb(pid) or 0.0
        if len(memory_mb) == len(marks):
            break
    return first_pose_s, memory_mb


def _bare_memory_mb(config: Config) -> float:
    """Return the memory of a process with NumPy and the loaded model, after one inference."""
    choice = catalog.choose(config.model.name)
    width, height = choice.size or (0, 0)
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(choice.path), str(height), str(width)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)
