"""What a running daemon holds, in one place for the modules of `service`."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from edgepose.camera import sources
from edgepose.camera.worker import InferenceJob
from edgepose.config.loading import Origin
from edgepose.config.schema import Config
from edgepose.mqtt.announcer import DiscoveryPublisher
from edgepose.mqtt.duplicate_device import DuplicateDevice
from edgepose.mqtt.publisher import Publisher
from edgepose.mqtt.stale_topics import StaleTopicCleaner
from edgepose.mqtt.topics import Topics
from edgepose.pose.failover import FailoverEstimator
from edgepose.pose.selection import ModelSelector
from edgepose.service.camera_control import CameraControl
from edgepose.service.line_counts import LineCounts
from edgepose.service.overrides import Overrides
from edgepose.system.threads import FairQueue, FirstError, WakeEvent
from edgepose.timing import Clock, Durations
from edgepose.types import Message


@dataclass(frozen=True, slots=True, eq=False)
class BrokerConnection:
    """All that belongs to one broker and one device id; a reload may replace it as a whole."""

    topics: Topics
    publisher: Publisher
    overrides: Overrides
    discovery: DiscoveryPublisher
    stale_topics: StaleTopicCleaner
    duplicate_device: DuplicateDevice
    line_counts: LineCounts


@dataclass(slots=True, eq=False)
class DaemonState:
    """The parts of a running daemon.

    The main thread alone replaces `config`, `broker` and `loaded_estimator`, and adds and
    removes `cameras`; other threads read them.
    """

    config: Config
    origin: Origin | None
    """Where the configuration is read again; None where there is no file."""

    once: bool
    """Stop when all sources have ended."""

    clock: Clock
    started_ns: int
    started_unix_ns: int
    broker: BrokerConnection
    selector: ModelSelector
    loaded_estimator: FailoverEstimator | None
    """None until the model is loaded; the broker is connected before it."""

    cameras: dict[str, CameraControl]
    ids: dict[str, Iterator[int]]
    """By camera, where track ids come from; outlives a reload, so that none is used twice."""

    lanes: FairQueue[InferenceJob]
    """Prepared frames that wait for the inference thread."""

    inference_times: Durations
    failure: FirstError
    wake: WakeEvent
    """Wakes the main thread."""

    shown_cameras: frozenset[str]
    """Cameras that the page shows now; their motion gates stay open."""

    stopping: threading.Event
    reload_requested: threading.Event

    @property
    def estimator(self) -> FailoverEstimator:
        """The estimator; an error before it is loaded."""
        if self.loaded_estimator is None:
            msg = "the model is not loaded yet"
            raise RuntimeError(msg)
        return self.loaded_estimator

    @property
    def engine_threads(self) -> int:
        """How many cores the model takes; 0 before it is loaded."""
        return self.loaded_estimator.cores if self.loaded_estimator else 0

    @property
    def camera_ids(self) -> set[str]:
        """Ids of the configured cameras, whether they run yet or not."""
        return {camera.id for camera in self.config.cameras}

    def running_cameras(self) -> list[CameraControl]:
        """Return the cameras that run now; thread-safe."""
        return list(self.cameras.values())

    def answer(self, message: Message) -> bool:
        """Send a message now, or drop it; False where there is no session; thread-safe."""
        return self.broker.publisher.answer(message)

    def read_config(self) -> Config:
        """Read the configuration file again.

        Raises
        ------
        EdgeposeError
            When it is not good; the message says where.
        """
        if self.origin is None:
            return self.config
        config = self.origin.read()
        sources.check_all(config, self.origin)
        return config

    def stop(self) -> None:
        """Ask the main thread to end; from any thread or signal handler."""
        self.stopping.set()
        self.wake.set()

    def request_reload(self) -> None:
        """Ask the main thread to reload; from any thread or signal handler."""
        self.reload_requested.set()
        self.wake.set()
