"""Simulated devices, many in one process: the daemon's real way out, fed with recorded poses.

Everything behind `Outbox.put` is the daemon's own: outbox, spool on disk, sink, session, last
will, commands. Cameras and networks are not: poses come from a recording, and events and states
at a fixed pace.
"""

import heapq
import itertools
import multiprocessing
import os
import resource
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from edgepose.config import schema
from edgepose.mqtt import discovery as homeassistant
from edgepose.mqtt import encoding, messages, topics
from edgepose.mqtt.command_handler import CommandHandler
from edgepose.mqtt.messages import PosesMessage
from edgepose.mqtt.requests import Settings
from edgepose.recording import reader
from edgepose.service import wiring
from edgepose.timing import Clock, rfc3339
from edgepose.types import Event, Frame, Message, black_image

CAMERA: Final = "hall"
LOOK_S: Final = 0.05
STATS_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What the devices of one process do."""

    url: str
    first: int
    """Number of the first of them."""

    count: int
    recording: Path
    state: Path
    """Where their spools lie."""

    fps: float = 5.0
    event_s: float = 10.0
    """From one event and change of state of a device to the next."""

    password: str = ""
    """Of all of them; empty where the broker asks for none."""

    @property
    def names(self) -> list[str]:
        """Return their ids."""
        return [f"fleet-{number:03}" for number in range(self.first, self.first + self.count)]


@dataclass(slots=True)
class Count:
    """What devices have done since their start; may be added up."""

    sent: Counter[str] = field(default_factory=Counter)
    """Messages that the broker's socket has taken, by kind."""

    sent_bytes: int = 0
    """Of their topics and payloads."""

    dropped: Counter[str] = field(default_factory=Counter)
    connected: int = 0
    waiting: int = 0
    """Events that the broker has not acknowledged."""

    cpu_s: float = 0.0
    away_s: list[float] = field(default_factory=list)
    """From the end of a session to the beginning of the next."""

    def __add__(self, other: "Count") -> "Count":
        return Count(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(slots=True)
class Said:
    """What must be found at the broker's other side."""

    events: dict[str, list[str]] = field(default_factory=dict)
    """Device to ids of its events, in order."""

    states: dict[str, bytes] = field(default_factory=dict)
    """Topic to what it says last."""

    def __or__(self, other: "Said") -> "Said":
        return Said(self.events | other.events, self.states | other.states)


class Device:
    """One device.

    Parameters
    ----------
    walk : list of PosesMessage
        What its camera sees, again and again.
    """

    def __init__(self, id_: str, plan: Plan, walk: list[PosesMessage]) -> None:
        self.clock = Clock()
        self.config = schema.Config(
            device=schema.Device(id=id_),
            mqtt=schema.Mqtt(url=plan.url, username=id_ if plan.password else ""),
            cameras=(schema.Camera(id=CAMERA, source="demo://"),),
        )
        self.topics = topics.Topics("edgepose", id_)
        self.camera = self.topics.camera(CAMERA)
        self.count, self.said = Count(), Said({id_: []})
        self.obeyed = 0
        self._walk = itertools.cycle(walk)
        self._seq = itertools.count(1)
        self._turn = itertools.count(1)
        self._lost_s: float | None = None
        self.link = wiring.make_publisher(self.config, self.topics, self.clock, _fail)
        self.link.on_published(self._published)
        self.link.on_connect(self._back)
        self.link.on_disconnect(self._away)
        remote = CommandHandler(
            lambda: self.topics,
            cameras=lambda: {CAMERA},
            apply=self._apply,
            handlers={},
            answer=self.link.answer,
        )
        for topic in remote.filters:
            self.link.subscribe(topic, remote.take)
        self.link.subscribe(f"{self.config.homeassistant.prefix}/status", lambda _: None)

    def start(self) -> None:
        """Say what a daemon says at its start."""
        for where, device in homeassistant.discovered_devices(self.config, self.topics).items():
            self.put(Message(where, device.payload(), "state", qos=1, retain=True))
        self.put(encoding.status(self.topics, self._status()))
        self.put(encoding.availability(self.camera, online=True))
        self.say_state()
        self.link.start()

    def put(self, message: Message) -> None:
        """Hand a message over as the daemon does, and note what must arrive."""
        if message.kind == "state":
            self.said.states[message.topic] = message.payload
        self.link.put(message)

    def say_poses(self) -> int:
        """Say the next frame as seen now; return its number."""
        now_ns, seq = self.clock.now_ns(), next(self._seq)
        seen = msgspec.structs.replace(
            next(self._walk),
            device=self.config.device.id,
            camera=CAMERA,
            seq=seq,
            captured_at=rfc3339(self.clock.unix_ns(now_ns)),
        )
        payload = encoding.encode(seen)
        expiry_s = messages.POSES_EXPIRY_S
        self.put(Message(self.camera.poses, payload, "poses", expiry_s=expiry_s, read_ns=now_ns))
        return seq

    def say_event(self) -> str:
        """Say that something has happened and how things are now; return the event's id."""
        now_ns, turn = self.clock.now_ns(), next(self._turn)
        happened = Event("zone_entered", now_ns, turn, 0.9, {"zone": "sofa"})
        nothing = black_image((720, 1280, 3))
        frame = Frame(nothing, now_ns, self.clock.unix_ns(now_ns), now_ns)
        message = encoding.event(self.camera, happened, frame)
        id_: str = msgspec.json.decode(message.payload)["id"]
        self.said.events[self.config.device.id].append(id_)
        self.put(message)
        self.say_state(turn)
        return id_

    def say_state(self, turn: int = 0) -> None:
        """Say how things are, each turn another way."""
        self.put(encoding.state(self.camera, [{"occupied": True, "count": turn}]))

    def say_stats(self) -> None:
        """Say some numbers."""
        at = rfc3339(self.clock.unix_ns())
        rates = {CAMERA: messages.CameraStats(fps=10, frames=1, dropped=0)}
        self.put(
            encoding.stats(
                self.topics,
                messages.StatsMessage(
                    device=self.config.device.id, at=at, uptime_s=1, cameras=rates, stages_ms={}
                ),
            )
        )

    def counted(self) -> Count:
        """Return what it has done."""
        return replace(
            self.count,
            connected=int(self.link.connected),
            waiting=self.link.outbox.waiting(),
            dropped=Counter(self.link.outbox.counts()),
        )

    def _status(self) -> messages.StatusMessage:
        return messages.StatusMessage(
            device=self.config.device.id,
            name=self.config.device.title,
            version="0",
            started_at=rfc3339(self.clock.unix_ns()),
            model="recorded",
            runtime="none",
            delegate=messages.DelegateStatus(name="cpu", reason="a recording"),
            cameras={CAMERA: messages.CameraStatus(state="online", topics=self.camera.listed())},
            topics=self.topics.listed(),
        )

    def _published(self, message: Message) -> None:
        self.count.sent[message.kind] += 1
        self.count.sent_bytes += len(message.topic) + len(message.payload)

    def _apply(self, _camera: str, _settings: Settings) -> None:
        self.obeyed += 1

    def _away(self) -> None:
        self._lost_s = time.monotonic()

    def _back(self) -> None:
        if self._lost_s is not None:
            self.count.away_s.append(time.monotonic() - self._lost_s)
        self._lost_s = None


def _fail(error: BaseException) -> None:
    raise error


def read_walk(path: Path) -> list[PosesMessage]:
    """Read the poses of a recording."""
    found = reader.open_recording(path)
    entries = (messages.read(found.base_topic, e.topic, e.payload) for e in found.entries())
    return [message for message in entries if isinstance(message, PosesMessage)]


class Crowd:
    """The devices of one process, and their pace."""

    def __init__(self, plan: Plan) -> None:
        walk = read_walk(plan.recording)
        self._plan = plan
        self._devices = [Device(name, plan, walk) for name in plan.names]
        self._moving = True
        for device in self._devices:
            device.start()

    def run(self, orders: Connection) -> None:
        """Say what is due until told to close; answer in between."""
        begin_s, step_s = time.monotonic(), 1 / self._plan.fps
        due = [(begin_s + step_s * n / self._plan.count, n, 0) for n in range(self._plan.count)]
        while True:
            wait_s = max(0.0, min(due[0][0] - time.monotonic(), LOOK_S))
            if orders.poll(wait_s):
                order = orders.recv()
                orders.send(getattr(self, order)())
                if order == "close":
                    return
            if due[0][0] <= time.monotonic():
                at_s, n, turn = heapq.heappop(due)
                self._say(self._devices[n], turn)
                heapq.heappush(due, (at_s + step_s, n, turn + 1))

    def _say(self, device: Device, turn: int) -> None:
        device.say_poses()
        if self._moving and turn % round(self._plan.event_s * self._plan.fps) == 0:
            device.say_event()
        if turn % round(STATS_S * self._plan.fps) == 0:
            device.say_stats()

    def count(self) -> Count:
        """Return what all have done."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        mine = Count(cpu_s=used.ru_utime + used.ru_stime)
        return sum((device.counted() for device in self._devices), mine)

    def rest(self) -> None:
        """Say no more events."""
        self._moving = False

    def move(self) -> None:
        """Say events again."""
        self._moving = True

    def obeyed(self) -> dict[str, int]:
        """Return how many commands each has put into force."""
        return {device.config.device.id: device.obeyed for device in self._devices}

    def said(self) -> Said:
        """Return what must arrive."""
        found = Said()
        for device in self._devices:
            found |= device.said
        return found

    def close(self) -> None:
        """End all as the daemon ends."""
        ends = [threading.Thread(target=device.link.close, args=(5.0,)) for device in self._devices]
        for end in ends:
            end.start()
        for end in ends:
            end.join()


def _run(orders: Connection, plan: Plan) -> None:
    os.environ["XDG_STATE_HOME"] = str(plan.state)
    os.environ.pop("STATE_DIRECTORY", None)
    os.environ["EDGEPOSE_MQTT_PASSWORD"] = plan.password
    Crowd(plan).run(orders)


class Fleet:
    """Devices in a few processes, told what to do from here."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        processes = min(4, 1 + plan.count // 20)
        share = -(-plan.count // processes)
        starts = range(plan.first, plan.first + plan.count, share)
        end = plan.first + plan.count
        plans = [replace(plan, first=at, count=min(share, end - at)) for at in starts]
        self._parts = [_spawn(part) for part in plans]

    def ask(self, order: str) -> list[Any]:
        """Have all processes do something; return their answers."""
        for _, pipe in self._parts:
            pipe.send(order)
        return [pipe.recv() for _, pipe in self._parts]

    def count(self) -> Count:
        """Return what all have done."""
        return sum(self.ask("count"), Count())

    def obeyed(self) -> dict[str, int]:
        """Return how many commands each has put into force."""
        return {name: n for part in self.ask("obeyed") for name, n in part.items()}

    def said(self) -> Said:
        """Return what must arrive of all."""
        found = Said()
        for part in self.ask("said"):
            found |= part
        return found

    def kill(self) -> None:
        """End them all as a power cut does."""
        for process, _ in self._parts:
            process.kill()
            process.join()

    def close(self) -> None:
        """End them all as systemd does."""
        if all(process.is_alive() for process, _ in self._parts):
            self.ask("close")
        self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _spawn(plan: Plan) -> tuple[BaseProcess, Connection]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(theirs, plan))
    process.start()
    return process, ours
