"""Does the daemon last: half an hour of faults, and a verdict.

Run from the repository: ``make soak``, or ``python -m benchmarks.soak --minutes 5``. The
daemon runs with three cameras and a delegate: the demo, the same clip from a camera over
HTTP, and an RTSP camera where GStreamer's server is installed. Again and again the
broker is stopped, killed or paused, streams freeze or are cut, and the delegate, a
library that is compiled for this, fails a while after each return. What the daemon
must keep to is in `verdict`. Exit code 0: it did; 1: it did not. Results go to
`benchmarks/results/soak.json` with ``--write``.
"""

import argparse
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from itertools import count, cycle
from pathlib import Path
from typing import Any, Final

import numpy as np
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import PacketTypes, Properties
from tqdm import tqdm

from edgepose._version import __version__
from edgepose.camera import sources
from edgepose.measure.benchmark import machine
from edgepose.mqtt.outbox import Outbox
from edgepose.pose import interpreter
from edgepose.system import process as vitals
from edgepose.types import Message
from tests.support import streams, tpu
from tests.support.brokers import Mosquitto, free_port, wait_until

DEVICE: Final = "soak"
STEADY: Final = "demo"
"""The camera that no fault hits: its rate must stay what it is."""

HZ: Final = 15.0  # of the clip
SAMPLE_S: Final = 2.0
WARM: Final = 0.2  # of the time: caches fill, every fault comes for the first time
MEMORY: Final = 0.05  # of the floor of memory in the first third; more is growth
RATE: Final = 0.9  # of the clip's own rate, in each third
STARVED: Final = 0.9  # of all processors: a machine that is busier lets us be late
JUDGED_MIN: Final = 5.0
RUNS: Final = 60  # of the delegate until it fails
RESULTS: Final = Path(__file__).parent / "results" / "soak.json"
ROOT: Final = Path(__file__).parent.parent

TABLES: Final = """
[device]
id = "soak"
[mqtt]
url = "{broker}"
[homeassistant]
discovery = true
[model]
name = "{tpu}"
twin = "movenet-lightning"
delegate = "{delegate}"
[metrics]
listen = "127.0.0.1:{metrics}"
[web]
listen = ""
[[camera]]
id = "demo"
source = "demo://"
  [[camera.zone]]
  id = "left"
  polygon = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]
[[camera]]
id = "http"
fps = 5
source = "{http}#timeout=2"
{rtsp}
"""


class House(streams.Camera):
    """A camera over HTTP that shows the demo, and fails when told."""

    period_s = 1 / HZ

    def __init__(self) -> None:
        film = sources.open_source("demo://", realtime=False, once=True)
        self._film = [streams.jpeg(frame.image) for frame in film.frames()]
        self.flows = threading.Event()
        self.flows.set()
        super().__init__()

    def jpegs(self) -> Iterator[bytes]:
        """Yield the clip over and over."""
        for index in count():
            self.flows.wait()
            yield self._film[index % len(self._film)]

    def cut(self) -> None:
        """Break all connections."""
        lines, self._lines = self._lines, []
        for line in lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


class Ear:
    """A subscriber whose session the broker keeps: what it misses is not said twice."""

    def __init__(self, port: int) -> None:
        self.events: dict[str, None] = {}
        self.states: dict[str, str] = {}
        self.seqs: list[tuple[float, int]] = []
        """When the steady camera's frame of some number came, in seconds."""

        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="ear", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_connect = self._connected
        self._client.on_message = self._hear
        self._client.reconnect_delay_set(1, 1)
        kept = Properties(PacketTypes.CONNECT)
        kept.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", port, clean_start=False, properties=kept)
        self._client.loop_start()

    def _connected(self, *_: Any) -> None:
        self._client.subscribe(f"edgepose/{DEVICE}/#", qos=1)

    def _hear(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        parts = message.topic.split("/")
        if parts[-1] == "event":
            self.events[json.loads(message.payload)["id"]] = None
        elif parts[2:] == [STEADY, "poses"]:
            self.seqs.append((time.monotonic(), json.loads(message.payload)["seq"]))
        elif parts[-1] == "availability":
            self.states["/".join(parts[2:-1])] = message.payload.decode()

    def pause(self, cameras: list[str]) -> None:
        """Ask the daemon to look at nothing any more."""
        for id_ in cameras:
            self._client.publish(f"edgepose/{DEVICE}/{id_}/set", b'{"paused": true}', qos=1)

    def close(self) -> None:
        """Listen no more."""
        self._client.disconnect()
        self._client.loop_stop()


@dataclass(slots=True)
class Samples:
    """What the process looked like from outside, again and again."""

    seconds: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    threads: list[float] = field(default_factory=list)
    descriptors: list[float] = field(default_factory=list)
    machine: list[tuple[int, int]] = field(default_factory=list)
    """What all processors have done so far, and how much of that was nothing, in ticks."""

    def take(self, pid: int, at_s: float) -> None:
        """Look at the process once."""
        process = Path(f"/proc/{pid}")
        self.seconds.append(round(at_s, 1))
        self.memory_mb.append(vitals.memory_mb(pid) or math.nan)
        self.threads.append(len(list((process / "task").iterdir())))
        ticks = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        self.machine.append((sum(ticks), ticks[3] + ticks[4]))
        self.descriptors.append(len(list((process / "fd").iterdir())))


class Soak:
    """The daemon and everything around it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.log, self._events = folder / "log", folder / "events"
        settings = ("allow_anonymous true", "max_queued_messages 0")
        self.broker = stack.enter_context(Mosquitto(folder, *settings, persistent=True))
        self.http = stack.enter_context(House())
        self.metrics = free_port()
        self.rtsp: streams.Rtsp | None = None
        self._rtsp_port = self._start_rtsp()
        tpu_model, _ = tpu.pair(folder)
        library = tpu.compile_delegate(folder, AT_INVOKE=1, AFTER=RUNS)
        address = f"rtsp://{streams.USER}:{streams.PASSWORD}@127.0.0.1:{self._rtsp_port}/camera"
        camera = f'[[camera]]\nid = "rtsp"\nsource = "{address}#timeout=2"\n'
        self.cameras = [STEADY, "http"] + ["rtsp"] * bool(self._rtsp_port)
        file = folder / "edgepose.toml"
        file.write_text(
            TABLES.format(
                broker=self.broker.url,
                tpu=tpu_model,
                delegate=library,
                http=self.http.url("live"),
                metrics=self.metrics,
                rtsp=camera if self._rtsp_port else "",
            )
        )
        self.ear = Ear(self.broker.port)
        stack.callback(self.ear.close)
        words = [sys.executable, "-m", "benchmarks.soak", "--daemon", str(file), str(self._events)]
        with self.log.open("wb") as log:
            state = {**os.environ, "STATE_DIRECTORY": str(folder / "state")}
            self.process = subprocess.Popen(words, stderr=log, cwd=ROOT, env=state)
        stack.callback(self._end)

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.rtsp is not None:
            self.rtsp.__exit__()

    def _start_rtsp(self, port: int = 0) -> int:
        """Start the RTSP camera; return its port, 0 where its server is not installed."""
        if not streams.rtsp_is_there():
            return 0
        self.rtsp = streams.Rtsp("h264", streams.USER, streams.PASSWORD, port=port).__enter__()
        return self.rtsp.port

    def said(self) -> list[str]:
        """Return the ids of all events that the daemon has handed to its outbox."""
        return self._events.read_text("utf-8").split() if self._events.exists() else []

    def faults(self) -> Iterator[tuple[str, Callable[[float], None]]]:
        """Yield one fault after the other, each taking so many seconds."""
        named: dict[str, Callable[[float], None]] = {
            "broker stopped": self._stop_broker,
            "stream frozen": self._freeze,
            "broker killed": self._kill_broker,
            "stream cut": lambda _: self.http.cut(),
            "broker paused": self._pause_broker,
        }
        if self.rtsp is not None:
            named |= {"rtsp frozen": self._freeze_rtsp, "rtsp killed": self._kill_rtsp}
        return cycle(named.items())

    def _stop_broker(self, seconds: float) -> None:
        self.broker.stop()
        time.sleep(seconds)
        self.broker.start()

    def _kill_broker(self, seconds: float) -> None:
        self.broker.kill()
        time.sleep(seconds)
        self.broker.start()

    def _pause_broker(self, seconds: float) -> None:
        self.broker.pause()
        time.sleep(seconds)
        self.broker.resume()

    def _freeze(self, seconds: float) -> None:
        self.http.flows.clear()
        time.sleep(seconds)
        self.http.flows.set()

    def _freeze_rtsp(self, seconds: float) -> None:
        assert self.rtsp is not None
        self.rtsp.signal(signal.SIGUSR1)
        time.sleep(seconds)
        self._kill_rtsp(0)

    def _kill_rtsp(self, seconds: float) -> None:
        assert self.rtsp is not None
        self.rtsp.__exit__()
        time.sleep(seconds)
        self._start_rtsp(self._rtsp_port)

    def settled(self) -> bool:
        """Say whether everything is back."""
        return all(self.ear.states.get(id_) == "online" for id_ in ("", *self.cameras))

    def scrape(self) -> None:
        """Ask for its numbers, as Prometheus does."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=10) as page:
            assert b"edgepose_frames_processed_total" in page.read()

    def delegate_failures(self) -> int:
        """Return how often the delegate has failed so far."""
        return len(re.findall(r"delegate .* runs on the CPU", self.log.read_text("utf-8")))

    def drained(self) -> bool:
        """Say whether every event has arrived."""
        return set(self.said()) <= set(self.ear.events)


def run(minutes: float, every_s: float) -> dict[str, Any]:
    """Do it, and return what was found."""
    samples, injected = Samples(), []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        soak = Soak(Path(folder), stack)
        # Once the delegate has failed, everything there is has been loaded.
        if not wait_until(lambda: soak.settled() and soak.delegate_failures(), 60):
            raise SystemExit(f"the daemon does not come up:\n{soak.log.read_text()}")
        faults, work, began = soak.faults(), threading.Thread(), time.monotonic()
        end, due = began + 60 * minutes, began + every_s
        bar = stack.enter_context(tqdm(total=round(60 * minutes), unit="s", disable=None))
        while (now := time.monotonic()) < end and soak.process.poll() is None:
            if not work.is_alive() and soak.settled():  # in the same state, so to be compared
                soak.scrape()
                samples.take(soak.process.pid, now - began)
            if now >= due and now < end - 2 * every_s:  # at the end everything must be back
                name, fault = next(faults)
                bar.set_postfix_str(name)
                injected.append(name)
                work = threading.Thread(target=fault, args=(min(8.0, every_s / 3),))
                work.start()
                due += every_s
            bar.update(round(now - began) - bar.n)
            time.sleep(SAMPLE_S)
        if work.ident is not None:
            work.join()
        back = wait_until(soak.settled, 30)
        states = dict(soak.ear.states)
        soak.ear.pause(soak.cameras)
        wait_until(soak.drained, 30)
        alive = soak.process.poll() is None
        soak.process.terminate()
        code = soak.process.wait(10) if alive else soak.process.returncode
        wait_until(soak.drained, 5)
        log, failures = soak.log.read_text("utf-8"), soak.delegate_failures()
        said, heard = soak.said(), list(soak.ear.events)
        seqs = soak.ear.seqs
    return {
        "minutes": minutes,
        "faults": {name: injected.count(name) for name in dict.fromkeys(injected)}
        | {"delegate failed": failures},
        "exit_code": code if alive else f"{code} before its time",
        "all_back": back or states,
        "tracebacks": log.count("Traceback"),
        "secrets": log.count(streams.PASSWORD),
        "events": {
            "said": len(said),
            "lost": len(set(said) - set(heard)),
            "out_of_order": sum(a != b for a, b in zip(said, heard, strict=False)),
        },
        "rates_hz": rates(seqs, samples),
        "machine_busy": busy(samples),
        "memory_mb": floors(samples, samples.memory_mb),
        "threads": floors(samples, samples.threads),
        "descriptors": floors(samples, samples.descriptors),
        "samples": asdict(samples),
        "log": log.splitlines()[-60:],
    }


def thirds(samples: Samples) -> list[tuple[float, float]]:
    """Return begin and end of each third of the time after everything has become warm."""
    end = samples.seconds[-1]
    edges = np.linspace(WARM * end, end, 4)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def floors(samples: Samples, values: list[float]) -> list[float]:
    """Return the floor of a number in each third: what leaks raises it, what is busy does not."""
    at = np.array(samples.seconds)
    found = []
    for begin, end in thirds(samples):
        within = np.array(values)[(at >= begin) & (at <= end)]
        floor = np.percentile(within, 10, method="lower") if len(within) else np.nan
        found.append(round(float(floor), 1))
    return found


def busy(samples: Samples) -> list[float]:
    """Return how busy all processors together were in each third, from 0 to 1."""
    at, found = np.array(samples.seconds), []
    for begin, end in thirds(samples):
        within = np.array(samples.machine)[(at >= begin) & (at <= end)]
        done, idle = within[-1] - within[0] if len(within) else (0, 0)
        found.append(round(float(1 - idle / max(done, 1)), 3))
    return found


def rates(seqs: list[tuple[float, int]], samples: Samples) -> list[float]:
    """Return the steady camera's frames a second in each third, by its own count."""
    if len(seqs) < 2:
        return []
    at = np.array([moment for moment, _ in seqs]) - seqs[0][0]
    number = np.array([seq for _, seq in seqs])
    found = []
    for begin, end in thirds(samples):
        where = np.flatnonzero((at >= begin) & (at <= end))
        first, last = where[[0, -1]] if len(where) > 1 else (0, -1)
        found.append(round(float((number[last] - number[first]) / (at[last] - at[first])), 2))
    return found


def verdict(found: dict[str, Any]) -> list[str]:
    """Return what the daemon did not keep to; nothing is good."""
    first, *_, last = found["memory_mb"]
    # What was late is caught up with, so that a short look says nothing; nor does a machine
    # that has more to do than it can.
    steady = found["minutes"] < JUDGED_MIN or all(
        rate >= RATE * HZ or taken > STARVED
        for rate, taken in zip(found["rates_hz"], found["machine_busy"], strict=True)
    )
    wrong = {
        f"ended with {found['exit_code']}": found["exit_code"] != 0,
        f"did not all come back: {found['all_back']}": found["all_back"] is not True,
        f"{found['tracebacks']} tracebacks": found["tracebacks"] > 0,
        f"a password stands in the log {found['secrets']} times": found["secrets"] > 0,
        "no event was said at all": found["events"]["said"] == 0,
        f"{found['events']['lost']} events lost": found["events"]["lost"] > 0,
        f"memory grew from {first} to {last} MB": not last <= first * (1 + MEMORY),
        f"the rate was not steady: {found['rates_hz']}": not steady,
        "the delegate never failed": found["faults"]["delegate failed"] == 0,
    }
    for name in ("threads", "descriptors"):
        first, *_, last = found[name]
        wrong[f"{name} grew from {first:g} to {last:g}"] = not last <= first
    return [sentence for sentence, is_so in wrong.items() if is_so]


def daemon(file: str, events: str) -> None:
    """Run the daemon as `edgepose run` does, and note each event that it says."""
    from edgepose import cli

    put = Outbox.put
    with Path(events).open("a", encoding="utf-8", buffering=1) as noted:

        def noting(outbox: Outbox, message: Message) -> None:
            if message.kind == "event":
                noted.write(json.loads(message.payload)["id"] + "\n")
            put(outbox, message)

        # The daemon makes its outbox itself, so that there is no other way to stand before it.
        Outbox.put = noting  # type: ignore[method-assign]
        raise SystemExit(cli.main(["run", "-c", file]))


def main() -> None:
    """Run it and print the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=40.0, help="seconds between two faults")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--daemon", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.daemon:
        daemon(*args.daemon)
    found = run(args.minutes, args.every)
    wrong = verdict(found)
    log = found.pop("log")
    found = {
        "edgepose": __version__,
        "machine": machine(),
        "runtime": interpreter.runtime(),
        "verdict": wrong or "good",
        **found,
    }
    if args.write:
        thin = {name: values[::10] for name, values in found["samples"].items()}
        RESULTS.write_text(json.dumps(found | {"samples": thin}, indent=1) + "\n", "utf-8")
    shown = {name: value for name, value in found.items() if name not in {"samples", "machine"}}
    sys.stdout.write(json.dumps(shown, indent=1) + "\n")
    if wrong:
        sys.stdout.write("\n".join([*log, "", "NOT GOOD:", *wrong]) + "\n")
        raise SystemExit(1)
    sys.stdout.write("good: nothing grew, nothing was lost, all came back\n")
    if min(found["rates_hz"], default=0) < RATE * HZ:
        sys.stdout.write("rates were not judged: the machine was too busy, or the time too short\n")


if __name__ == "__main__":
    main()
