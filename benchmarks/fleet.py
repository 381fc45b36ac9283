# ruff: noqa: T201  a command: it prints
"""Measure what many devices ask of a broker, and what is left when a node of a cluster dies.

    python -m benchmarks.fleet mosquitto --devices 10 50 100 200
    python -m benchmarks.fleet nats --devices 10 50 100
    python -m benchmarks.fleet death --devices 30

prints the tables of `docs/fleet.md`; `-o` writes `benchmarks/results/fleet-*.json`.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from benchmarks.devices import Count, Device, Fleet, Plan, read_walk
from benchmarks.readers import Reader, Tally
from edgepose.system import process
from tests.support.brokers import Mosquitto, wait_until
from tests.support.nats import Cluster, Node

ROOT: Final = Path(__file__).parent.parent
CLIP: Final = ROOT / "edgepose" / "data" / "demo.mp4"
READER, PROBE, OWNER = "dashboard", "fleet-probe", "homeassistant"
PASSWORD: Final = "fleet"
DOOMED, LATER = (900, 3), (905, 1)  # numbers of devices that are killed: first and how many
SETTLE_S: Final = 5.0
PATIENCE_S: Final = 90.0


class Engine(Protocol):
    """A broker of one or more processes."""

    @property
    def url(self) -> str:
        """Where devices find it."""

    @property
    def pids(self) -> list[int]:
        """Of its processes."""


@contextmanager
def engine(kind: str, folder: Path, names: dict[str, str]) -> Iterator[Engine]:
    """Start a broker that knows these users; mosquitto lets everybody in."""
    if kind == "nats":
        with Cluster(folder, names) as cluster:
            yield cluster
        return
    with Mosquitto(folder, "allow_anonymous true", "set_tcp_nodelay true") as broker:
        yield broker


def processor_s(pids: list[int]) -> float:
    """Return the processor time of some processes since they began."""
    return sum(process.processor_s(pid) for pid in pids)


def memory_mb(pids: list[int]) -> float:
    """Return the memory of some processes together."""
    return sum(process.memory_mb(pid) or 0.0 for pid in pids)


@dataclass(frozen=True, slots=True)
class Load:
    """What so many devices were to a broker."""

    engine: str
    devices: int
    fps: float
    messages_per_s: float
    """Of one device, all kinds."""

    kilobytes_per_s: float
    """Of one device: topics and payloads."""

    broker_cpu_ms_per_message: float
    """For one message in and once out again; of a cluster all nodes together."""

    broker_cpu_percent_per_device: float
    """Of one core."""

    broker_cpu_percent_idle: float
    """Of one core, with nobody connected."""

    broker_mb: float
    broker_mb_per_device: float
    pose_ms: tuple[float, ...]
    """From the outbox to a reader: p50, p90, p99."""

    event_ms: tuple[float, ...]
    read: float
    """Messages that a reader of everything got, of one that was sent."""

    dropped: int


class Probe:
    """One more device, and somebody who reads it: how long messages take."""

    def __init__(self, plan: Plan) -> None:
        os.environ["XDG_STATE_HOME"] = str(plan.state)
        os.environ["EDGEPOSE_MQTT_PASSWORD"] = plan.password
        self._device = Device(PROBE, plan, read_walk(plan.recording))
        self._reader = Reader(plan.url, READER, plan.password, f"edgepose/{PROBE}/#")
        self._sent: dict[str | int, float] = {}
        self._took_ms: dict[str | int, float] = {}
        self._reader.heard = self._note
        self._device.start()
        assert wait_until(lambda: self._device.link.connected and self._reader.listening, 60)

    def _note(self, what: str | int) -> None:
        # The message may be here before the sender's line after `put`.
        self._took_ms[what] = time.perf_counter() * 1000

    def run(self, seconds: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Say poses ten times a second and an event each second; return percentiles of both."""
        end_s, turn = time.monotonic() + seconds, 0
        while time.monotonic() < end_s:
            at_ms = time.perf_counter() * 1000
            what = self._device.say_event() if turn % 10 == 5 else self._device.say_poses()
            self._sent[what] = at_ms
            turn += 1
            time.sleep(0.1)
        wait_until(lambda: len(self._took_ms) >= len(self._sent), 2)
        return self._percentiles(int), self._percentiles(str)

    def _percentiles(self, kind: type) -> tuple[float, ...]:
        took = [
            self._took_ms[what] - at_ms
            for what, at_ms in self._sent.items()
            if isinstance(what, kind) and what in self._took_ms
        ]
        return tuple(np.percentile(took, (50, 90, 99)).round(1).tolist())

    def count(self) -> Count:
        """Return what the device has done."""
        return self._device.counted()

    def close(self) -> None:
        """End both."""
        self._device.link.close(2)
        self._reader.close()


@dataclass(frozen=True, slots=True)
class Sample:
    """What had happened up to a moment."""

    at_s: float
    broker_s: float
    devices: Count
    probe: Count
    read: int


def load(kind: str, plan: Plan, seconds: float) -> Load:
    """Let devices speak for a while to a broker that does nothing else."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(engine(kind, folder, passwords([plan])))
        password = PASSWORD if kind == "nats" else ""
        plan = replace(plan, url=broker.url, state=folder, password=password)
        time.sleep(SETTLE_S)
        idle_s, empty_mb = processor_s(broker.pids), memory_mb(broker.pids)
        time.sleep(SETTLE_S)
        idle_s = processor_s(broker.pids) - idle_s
        reader = Tally(plan.url, READER, plan.password)
        stack.callback(reader.close)
        fleet = stack.enter_context(Fleet(plan))
        assert _seen(lambda: fleet.count().connected == plan.count), "not all came"
        probe = Probe(plan)
        stack.callback(probe.close)
        time.sleep(SETTLE_S)

        def sample() -> Sample:
            used_s = processor_s(broker.pids)
            return Sample(time.monotonic(), used_s, fleet.count(), probe.count(), reader.count)

        before = sample()
        poses, events = probe.run(seconds)
        after = sample()
        mb = memory_mb(broker.pids)
    passed_s, used_s = after.at_s - before.at_s, after.broker_s - before.broker_s
    sent = after.devices.sent.total() - before.devices.sent.total()
    sent_bytes = after.devices.sent_bytes - before.devices.sent_bytes
    everything = sent + after.probe.sent.total() - before.probe.sent.total()
    return Load(
        engine=kind,
        devices=plan.count,
        fps=plan.fps,
        messages_per_s=round(sent / passed_s / plan.count, 2),
        kilobytes_per_s=round(sent_bytes / passed_s / plan.count / 1e3, 2),
        broker_cpu_ms_per_message=round(1000 * used_s / everything, 3),
        broker_cpu_percent_per_device=round(100 * used_s / passed_s / plan.count, 3),
        broker_cpu_percent_idle=round(100 * idle_s / SETTLE_S, 2),
        broker_mb=round(mb, 1),
        broker_mb_per_device=round((mb - empty_mb) / plan.count, 3),
        pose_ms=poses,
        event_ms=events,
        read=round((after.read - before.read) / everything, 3),
        dropped=(after.devices.dropped - before.devices.dropped).total(),
    )


@dataclass(frozen=True, slots=True)
class Outage:
    """What the running devices noticed of a node's death."""

    deaf: int
    """Devices that obeyed no command any more."""

    obeyed_s: float
    """From the death until all had obeyed one."""

    away_s: list[float]
    """From the end of a session to the beginning of the next."""


@dataclass(frozen=True, slots=True)
class Death:
    """What was seen when one node was killed, and afterwards."""

    node: str
    devices: int
    lost_connection: int
    """Sessions that ended with the node, or while the two others agreed on new leaders."""

    away_s: tuple[float, float]
    """How long they were away: median and longest."""

    deaf: int
    """Devices that obeyed no command any more."""

    obeyed_s: float
    """From the death until all had obeyed one."""

    retained: int
    """Messages that must be retained."""

    retained_wrong: int
    """Of those, how many a newcomer at the two others was not told, or not as they were last."""

    will_after: bool
    """Whether a device that died later, on another node, was called offline."""

    wills_lost: int
    """Devices that died in the same moment as their node and are still called online."""

    back_retained_wrong: int
    """As `retained_wrong`, for the node that had died, once it is back."""


@dataclass(frozen=True, slots=True)
class Events:
    """What became of the events of all devices, over all deaths."""

    said: int
    read_by_nobody: int
    """Lost, by the device or the cluster."""

    missed_by_keeper: int
    """Not delivered to a reader for whom the cluster keeps what it misses."""

    came_again: int
    """Delivered to that reader more than once, with the same id."""

    out_of_order: int
    """Devices whose events did not reach that reader in order."""

    dropped: int


class Experiment:
    """Kills one node after the other below running devices, and looks what is left."""

    def __init__(self, cluster: Cluster, plan: Plan, stack: ExitStack) -> None:
        self._cluster, self._plan, self._stack = cluster, plan, stack
        self._readers = [self._reader(_only(node)) for node in cluster.nodes]
        self._keeper = self._reader(cluster.url, keep=True)
        self._owner = self._reader(cluster.url, OWNER)
        self.fleet = stack.enter_context(Fleet(plan))
        self._all_there()

    def _reader(self, url: str, user: str = READER, *, keep: bool = False) -> Reader:
        reader = Reader(url, user, self._plan.password, "edgepose/#", keep=keep)
        self._stack.callback(reader.close)
        assert wait_until(lambda: reader.listening, PATIENCE_S), f"{url}: no reader"
        return reader

    def _all_there(self) -> None:
        assert _seen(lambda: self.fleet.count().connected == self._plan.count), "not all came"

    def _few(self, node: Node, first: int, count: int) -> Fleet:
        """Return a few more devices, all connected to one node."""
        plan = replace(self._plan, url=_only(node), first=first, count=count)
        fleet = self._stack.enter_context(Fleet(plan))
        assert _seen(lambda: fleet.count().connected == count)
        return fleet

    def lose(self, number: int, *others: Fleet) -> Outage:
        """Kill a node, and these devices with it; return what the running devices noticed."""
        before = len(self.fleet.count().away_s)
        self._cluster.nodes[number].kill()
        for fleet in others:
            fleet.kill()
        killed_s = time.monotonic()
        time.sleep(SETTLE_S)  # the devices that were connected to it have noticed
        self._all_there()
        deaf = self._deaf()
        return Outage(deaf, time.monotonic() - killed_s, self.fleet.count().away_s[before:])

    def kill(self, number: int) -> Death:
        """Kill a node, look around, and start it again."""
        nodes = self._cluster.nodes
        node, other = nodes[number], nodes[(number + 1) % 3]
        doomed, later = self._few(node, *DOOMED), self._few(other, *LATER)
        time.sleep(SETTLE_S)
        outage = self.lose(number, doomed)
        there = self._quiet()
        wrong = sum(self._lost(there, left) for left in nodes if left is not node)
        stale = self._retained(other)
        later.kill()
        watcher = self._readers[nodes.index(other)]
        will = wait_until(lambda: watcher.latest.get(_availability(later)) == b"offline", 30)
        node.start()
        assert wait_until(lambda: node.whole and self._readers[number].listening, PATIENCE_S)
        found = Death(
            node=node.name,
            devices=self._plan.count,
            lost_connection=len(outage.away_s),
            away_s=(
                round(float(np.median(outage.away_s or 0)), 1),
                round(max(outage.away_s, default=0), 1),
            ),
            deaf=outage.deaf,
            obeyed_s=round(outage.obeyed_s, 1),
            retained=len(there),
            retained_wrong=wrong,
            will_after=will,
            wills_lost=sum(
                stale.get(f"edgepose/{name}/availability") == b"online"
                for name in doomed.plan.names
            ),
            back_retained_wrong=self._lost(there, node),
        )
        self.fleet.ask("move")
        print(found, file=sys.stderr, flush=True)
        return found

    def _deaf(self) -> int:
        """Send commands until every device has obeyed one; return how many never did."""
        before = self.fleet.obeyed()
        deaf, until_s = set(before), time.monotonic() + PATIENCE_S
        while deaf and time.monotonic() < until_s:
            for name in deaf:
                self._owner.say(f"edgepose/{name}/hall/set", b'{"fps":5}')
            time.sleep(1)
            now = self.fleet.obeyed()
            deaf = {name for name in deaf if now[name] == before[name]}
        return len(deaf)

    def _quiet(self) -> dict[str, bytes]:
        """Let all events arrive and say no more; return what must be retained."""
        self.fleet.ask("rest")
        assert _seen(lambda: self.fleet.count().waiting == 0), "events wait"
        time.sleep(SETTLE_S)
        own = {f"edgepose/{name}/availability": b"online" for name in self._plan.names}
        return self.fleet.said().states | own

    def _retained(self, node: Node) -> dict[str, bytes]:
        """Return what a newcomer is told by this node."""
        reader = Reader(_only(node), OWNER, self._plan.password, "edgepose/#", "homeassistant/#")
        try:
            assert wait_until(lambda: reader.listening, PATIENCE_S)
            time.sleep(SETTLE_S)
            return dict(reader.retained)
        finally:
            reader.close()

    def _lost(self, there: dict[str, bytes], node: Node) -> int:
        """Return how many messages a newcomer is not told; a second look tells late from lost."""
        return _wrong(there, self._retained(node)) and _wrong(there, self._retained(node))

    def _missed(self, said: dict[str, list[str]]) -> int:
        """Return how many events the keeper has not received."""
        kept = self._keeper.events
        return sum(len(set(ids) - set(kept.get(name, []))) for name, ids in said.items())

    def events(self) -> Events:
        """Compare what was said with what was read."""
        self._quiet()
        said = self.fleet.said().events
        _seen(lambda: self._missed(said) == 0)  # the keeper may have to connect again first
        everybody = [reader.events for reader in (*self._readers, self._keeper)]
        read = {name: {id_ for seen in everybody for id_ in seen.get(name, [])} for name in said}
        kept = self._keeper.events
        return Events(
            said=sum(map(len, said.values())),
            read_by_nobody=sum(len(set(ids) - read[name]) for name, ids in said.items()),
            missed_by_keeper=self._missed(said),
            came_again=sum(len(kept.get(name, [])) - len(set(kept.get(name, []))) for name in said),
            out_of_order=sum(not _in_order(ids, kept.get(name, [])) for name, ids in said.items()),
            dropped=self.fleet.count().dropped["event"],
        )


def _only(node: Node) -> str:
    return f"mqtt://{node.address}"


def _availability(fleet: Fleet) -> str:
    return f"edgepose/{fleet.plan.names[0]}/availability"


def _seen(condition: Callable[[], bool]) -> bool:
    """Look twice a second: each look asks all devices."""
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.5)
    return True


def _wrong(expected: dict[str, bytes], found: dict[str, bytes]) -> int:
    return sum(found.get(topic) != payload for topic, payload in expected.items())


def _in_order(said: list[str], read: list[str]) -> bool:
    """Say whether what was read comes in the order it was said, each where it came first."""
    place = {id_: n for n, id_ in enumerate(said)}
    places = [place[id_] for id_ in dict.fromkeys(read)]
    return places == sorted(places)


def death(plan: Plan) -> tuple[list[Death], Events]:
    """Kill each of three nodes once below running devices."""
    others = [replace(plan, first=first, count=count) for first, count in (DOOMED, LATER)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cluster = stack.enter_context(Cluster(folder, passwords([plan, *others])))
        plan = replace(plan, url=cluster.url, state=folder, password=PASSWORD)
        experiment = Experiment(cluster, plan, stack)
        deaths = [experiment.kill(number) for number in range(3)]
        return deaths, experiment.events()


def passwords(plans: list[Plan]) -> dict[str, str]:
    """Return the users that a broker must know."""
    names = [name for plan in plans for name in plan.names]
    return dict.fromkeys([*names, PROBE, READER, OWNER], PASSWORD)


def recorded(given: Path | None, folder: Path) -> Path:
    """Return a recording; without one, of the bundled clip."""
    if given is not None:
        return given
    made = folder / "clip.jsonl"
    with made.open("wb") as file:
        subprocess.run(
            [sys.executable, "-m", "edgepose", "detect", "--json", CLIP], stdout=file, check=True
        )
    return made


def table(rows: list[Any]) -> str:
    """Return rows of one kind as a table in Markdown, one column a row."""
    fields = asdict(rows[0])
    lines = [f"| | {' | '.join(' ' for _ in rows)} |", "|---|" + "---|" * len(rows)]
    lines += [
        f"| {name} | " + " | ".join(str(getattr(row, name)) for row in rows) + " |"
        for name in fields
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("mosquitto", "nats", "death"))
    parser.add_argument("--devices", type=int, nargs="+", default=[30])
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--recording", type=Path)
    parser.add_argument("-o", "--output", type=Path, help="a JSON file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        walk = recorded(args.recording, Path(folder))
        plan = Plan("", 0, args.devices[0], walk, Path(folder), fps=args.fps)
        if args.what == "death":
            deaths, events = death(replace(plan, event_s=1.0))
            rows: dict[str, list[Any]] = {"deaths": deaths, "events": [events]}
        else:
            each = [replace(plan, count=count) for count in args.devices]
            rows = {"loads": [load(args.what, one, args.seconds) for one in each]}
    for found in rows.values():
        print(table(found), end="\n\n")
    if args.output is not None:
        told: dict[str, Any] = {
            name: [asdict(row) for row in found] for name, found in rows.items()
        }
        told["machine"] = {"cores": os.cpu_count(), "kind": platform.machine()}
        args.output.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
