"""Measures the time from the capture of a frame to another client of the broker."""

import multiprocessing
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from edgepose.config.schema import Config
from edgepose.errors import UsageError
from edgepose.measure import benchmark
from edgepose.measure.benchmark import FEWER, SETTLE
from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.messages import PosesMessage
from edgepose.mqtt.options import BrokerOptions
from edgepose.mqtt.topics import Topics
from edgepose.service.daemon import Daemon
from edgepose.timing import NS_PER_MS
from edgepose.types import Message, Received


class FrameTimes(NamedTuple):
    """Times of one frame."""

    read_ns: int
    """Capture, on the monotonic clock."""

    inference_ns: int
    """Duration of the inference."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of each frame, without the first `SETTLE`."""

    inference_ms: Sequence[float]
    beyond_ms: Sequence[float]
    """From the capture to the other client, without the inference of the same frame."""


class _Recorder:
    """Records the times of published frames; stops the daemon after the required number."""

    def __init__(self, daemon: Daemon, frames: int) -> None:
        self.times: dict[int, FrameTimes] = {}
        self._daemon = daemon
        self._frames = frames

    def published(self, message: Message) -> None:
        """Record a message that was passed to the connection."""
        if message.kind != "poses":
            return
        seq = msgspec.json.decode(message.payload, type=PosesMessage).seq
        inference_ns = self._daemon.state.inference_times.latest_ns
        self.times[seq] = FrameTimes(message.read_ns, inference_ns)
        if len(self.times) == SETTLE + self._frames:
            self._daemon.stop()


def measure(config: Config, frames: int) -> Latency:
    """Run a daemon on a source at its own rate, with a subscriber in another process.

    The rate must leave time between two inferences. The subscriber gets a message after the
    broker has accepted it, so the latency includes the way back from the broker.

    Raises
    ------
    UsageError
        If the source has fewer frames than required.
    """
    paced = replace(config, cameras=tuple(replace(c, realtime=True) for c in config.cameras))
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    wanted = (config.mqtt.url, config.device.id, theirs)
    subscriber = spawn.Process(target=_subscribe, args=wanted, daemon=True)
    subscriber.start()
    try:
        ours.recv()  # wait until the subscriber is connected
        daemon = Daemon(paced, once=benchmark.is_finite(paced.cameras[0].source, frames))
        recorder = _Recorder(daemon, frames)
        daemon.state.broker.publisher.on_published(recorder.published)
        daemon.run()
        ours.send(None)
        received_ns: dict[int, int] = ours.recv()
    finally:
        subscriber.terminate()
        subscriber.join()
    times = [(seq, one) for seq, one in recorder.times.items() if seq in received_ns][SETTLE:]
    if not times:
        raise UsageError(f"bench: the source has ended too early; {FEWER}")
    return Latency(
        [one.inference_ns / NS_PER_MS for _, one in times],
        [(received_ns[n] - one.read_ns - one.inference_ns) / NS_PER_MS for n, one in times],
    )


def _subscribe(url: str, device: str, pipe: Connection) -> None:
    """Send the time of arrival of each frame's poses, when the parent process asks for it."""
    arrived: list[tuple[int, bytes]] = []

    def note(received: Received) -> None:
        arrived.append((time.monotonic_ns(), received.payload))

    client = MqttClient(BrokerOptions.from_url(url, client_id="edgepose-latency"))
    client.subscribe(Topics(Config().mqtt.base_topic, device).camera("+").poses, note)
    connected = threading.Event()
    client.on_connect(connected.set)
    client.start()
    connected.wait()
    pipe.send(None)
    pipe.recv()
    decode = msgspec.json.Decoder(PosesMessage).decode
    pipe.send({decode(payload).seq: at_ns for at_ns, payload in arrived})


def summary(latency: Latency) -> dict[str, Any]:
    """Return the percentiles as plain data for JSON."""
    parts = {"inference_ms": latency.inference_ms, "beyond_ms": latency.beyond_ms}
    return {
        name: {part: round(ms, 2) for part, ms in benchmark.percentiles(values).items()}
        for name, values in parts.items()
    }
