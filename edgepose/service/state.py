"""The state of a running daemon, shared by the modules of `service`."""

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
from edgepose.service.log_level import LogLevel
from edgepose.service.overrides import Overrides
from edgepose.system.threads import FairQueue, FirstError, WakeEvent
from edgepose.timing import Clock, Durations
from edgepose.types import Message


@dataclass(frozen=True, slots=True, eq=False)
class BrokerConnection:
    """The parts that belong to one broker and device id; a reload may replace them together."""

    topics: Topics
    publisher: Publisher
    overrides: Overrides
    discovery: DiscoveryPublisher
    stale_topics: StaleTopicCleaner
    duplicate_device: DuplicateDevice
    line_counts: LineCounts
    log_level: LogLevel


@dataclass(slots=True, eq=False)
class DaemonState:
    """The parts of a running daemon.

    Only the main thread replaces `config`, `broker` and `loaded_estimator` and adds and removes
    `cameras`; other threads read them.
    """

    config: Config
    origin: Origin | None
    """Where a reload reads the configuration from; None without a file."""

    once: bool
    """Whether to stop when all sources have ended."""

    clock: Clock
    started_ns: int
    started_unix_ns: int
    broker: BrokerConnection
    selector: ModelSelector
    loaded_estimator: FailoverEstimator | None
    """None until the model is loaded; the broker connection does not wait for it."""

    cameras: dict[str, CameraControl]
    ids: dict[str, Iterator[int]]
    """Generators of track ids by camera; kept across reloads, so that ids are not reused."""

    lanes: FairQueue[InferenceJob]
    """Prepared frames that wait for an inference thread."""

    inference_times: Durations
    failure: FirstError
    wake: WakeEvent
    """Wakes the main thread."""

    shown_cameras: frozenset[str]
    """Ids of the cameras that the page shows; their motion gates stay open."""

    stopping: threading.Event
    reload_requested: threading.Event
    restart_requested: threading.Event

    @property
    def estimator(self) -> FailoverEstimator:
        """The loaded estimator.

        Raises
        ------
        RuntimeError
            When the model is not loaded yet.
        """
        if self.loaded_estimator is None:
            msg = "the model is not loaded yet"
            raise RuntimeError(msg)
        return self.loaded_estimator

    @property
    def engine_threads(self) -> int:
        """Number of cores that the model uses; 0 before it is loaded."""
        return self.loaded_estimator.cores if self.loaded_estimator else 0

    @property
    def camera_ids(self) -> set[str]:
        """Ids of all configured cameras, running or not."""
        return {camera.id for camera in self.config.cameras}

    def running_cameras(self) -> list[CameraControl]:
        """Return the running cameras. Thread-safe."""
        return list(self.cameras.values())

    def answer(self, message: Message) -> bool:
        """Send a message, or drop it and return False without a session. Thread-safe."""
        return self.broker.publisher.answer(message)

    def read_config(self) -> Config:
        """Read the configuration file; return the present configuration without one.

        Raises
        ------
        EdgeposeError
            When the file is invalid; the message has the position.
        """
        if self.origin is None:
            return self.config
        config = self.origin.read()
        sources.check_all(config, self.origin)
        return config

    def stop(self) -> None:
        """Request the main thread to stop. Safe in any thread and in signal handlers."""
        self.stopping.set()
        self.wake.set()

    def request_reload(self) -> None:
        """Request the main thread to reload. Safe in any thread and in signal handlers."""
        self.reload_requested.set()
        self.wake.set()

    def request_restart(self) -> None:
        """Request the main thread to stop and start again. Thread-safe."""
        self.restart_requested.set()
        self.stop()
