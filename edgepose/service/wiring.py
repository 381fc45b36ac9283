"""Builds all objects from the configuration (composition root)."""

import itertools
import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from edgepose import urls
from edgepose.camera import sources
from edgepose.camera.build import limits, still_fps, total_fps, view
from edgepose.camera.health import CameraHealth
from edgepose.camera.motion_gate import MotionGate
from edgepose.camera.pipeline import Pipeline
from edgepose.camera.worker import CameraWorker
from edgepose.config.loading import Origin
from edgepose.config.schema import Config
from edgepose.errors import BrokerError
from edgepose.mqtt.announcer import DiscoveryPublisher, DiscoveryState
from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.composer import Composer
from edgepose.mqtt.duplicate_device import DuplicateDevice
from edgepose.mqtt.embedded_broker import EmbeddedBroker
from edgepose.mqtt.options import BrokerOptions
from edgepose.mqtt.outbox import Outbox
from edgepose.mqtt.publisher import Publisher
from edgepose.mqtt.snapshots import LivePicture, Snapshots
from edgepose.mqtt.spool import Spool
from edgepose.mqtt.stale_topics import StaleTopicCleaner, topics_of
from edgepose.mqtt.topics import Topics
from edgepose.people.build import follower
from edgepose.pose import interpreter
from edgepose.pose.estimator import PoseEstimator
from edgepose.pose.failover import FailoverEstimator
from edgepose.pose.selection import ModelSelector, Plan
from edgepose.recording.clips import ClipRecorder
from edgepose.service.camera_control import CameraControl
from edgepose.service.line_counts import LineCounts, NotedCounts
from edgepose.service.log_level import LogLevel
from edgepose.service.overrides import Overrides, StoredSettings
from edgepose.service.state import BrokerConnection, DaemonState
from edgepose.system import storage, systemd
from edgepose.system.logs import Level
from edgepose.system.storage import StateFile
from edgepose.system.threads import FairQueue, FirstError, WakeEvent
from edgepose.timing import Clock, Durations
from edgepose.types import Event, Frame, Message, Size, Track

log: Final = logging.getLogger(__name__)


def new_state(config: Config, origin: Origin | None, *, once: bool, clock: Clock) -> DaemonState:
    """Build the state of a daemon before it runs. Raises the errors of `connect`."""
    wake, stopping = WakeEvent(), threading.Event()
    failure = FirstError(wake.set)
    folder = storage.state_directory(config.device.id)
    return DaemonState(
        config=config,
        origin=origin,
        once=once,
        clock=clock,
        started_ns=clock.now_ns(),
        started_unix_ns=clock.unix_ns(),
        broker=connect(config, clock, failure.report, once=once),
        selector=ModelSelector(folder, clock, ending=stopping.is_set),
        loaded_estimator=None,
        cameras={},
        ids={},
        lanes=FairQueue(),
        inference_times=Durations(),
        failure=failure,
        wake=wake,
        shown_cameras=frozenset(),
        stopping=stopping,
        reload_requested=threading.Event(),
        restart_requested=threading.Event(),
    )


def connect(
    config: Config, clock: Clock, refused: Callable[[BrokerError], None], *, once: bool = False
) -> BrokerConnection:
    """Build the parts for the configured broker; `publisher.start` connects them.

    Parameters
    ----------
    refused : callable
        Called when the broker refuses the login and retrying does not help.
    once : bool
        Whether the run ends by itself; then Home Assistant gets no device that would stay.

    Raises
    ------
    ConfigError
        When a file of `mqtt` cannot be read, or the embedded broker cannot be started.
    """
    topics = Topics(config.mqtt.base_topic, config.device.id)
    publisher = make_publisher(config, topics, clock, refused)
    announcer = DiscoveryPublisher(
        publisher.put,
        publisher.outbox.repeat,
        state_file(config, "announced.json", DiscoveryState | None),
        lasting=not once,
    )
    publisher.subscribe(f"{config.homeassistant.prefix}/status", announcer.on_birth)
    publisher.on_connect(announcer.connected)
    publisher.on_disconnect(announcer.disconnected)
    duplicate = DuplicateDevice(topics, clock)
    publisher.on_message(duplicate.note_sent)
    publisher.subscribe(duplicate.topic, duplicate.on_message, others_only=True)
    connection = BrokerConnection(
        topics,
        publisher,
        overrides(config),
        announcer,
        stale_topic_cleaner(config, publisher, clock),
        duplicate,
        LineCounts(state_file(config, "lines.json", NotedCounts), clock),
        LogLevel(state_file(config, "log_level.json", Level | None)),
    )
    announce(connection, config)
    return connection


def make_publisher(
    config: Config, topics: Topics, clock: Clock, refused: Callable[[BrokerError], None]
) -> Publisher:
    """Build outbox, client and, if configured, the embedded broker. Raises as `connect`."""
    queue = spool(config, clock)
    try:
        embedded = embedded_broker(config)
        # Two clients with the same session name would disconnect each other repeatedly.
        name = session(config) if queue.is_ours else None
        client = sink(config, topics, embedded, refused, name)
    except BaseException:
        queue.close()
        raise
    return Publisher(Outbox(queue), client, clock, embedded=embedded)


def announce(connection: BrokerConnection, config: Config) -> None:
    """Publish discovery and record the retained topics of the configured cameras."""
    connection.discovery.configure(config, connection.topics)
    connection.stale_topics.configure(topics_of(config, connection.topics))


def estimator(
    config: Config,
    selector: ModelSelector,
    clock: Clock,
    changed: Callable[[], None],
    plan: Plan | None = None,
) -> FailoverEstimator:
    """Load the plan's model, selected here if there is none, and log what runs and why.

    Raises
    ------
    ModelError
        When the model is unknown or cannot be loaded.
    """

    def build(plan: Plan) -> PoseEstimator:
        return PoseEstimator(
            plan.model,
            policy=config.model.policy,
            threads=plan.arrangement.threads,
            interpreters=plan.arrangement.interpreters,
            limits=limits(config.pose),
            delegate=plan.delegate.plugin or "cpu",
        )

    plan = plan or selector.plan(config, total_fps(config))
    made = FailoverEstimator(build, plan, selector.bench, clock, changed)
    _log_plan(made)
    return made


def _log_plan(estimator: FailoverEstimator) -> None:
    plan = estimator.plan
    log.info("model: %s with %s", estimator.name, interpreter.runtime())
    if plan.model_reason:
        log.info("model: %s", plan.model_reason)
    if plan.arrangement_reason:
        log.info("model: interpreters x threads: %s", plan.arranged)
    log.info("delegate: %s: %s", plan.delegate.name, plan.reason)


def camera(
    state: DaemonState,
    id_: str,
    changed: Callable[[CameraWorker], None],
) -> CameraControl:
    """Build one configured camera and its control; the camera is not started.

    Parameters
    ----------
    changed : callable
        Called after each change of the camera's state.
    """
    table = next(entry for entry in state.config.cameras if entry.id == id_)
    config, settings = state.broker.overrides.apply_to(state.config, table)
    topics = state.broker.topics.camera(id_)
    health = CameraHealth(since_ns=state.clock.now_ns())
    people = follower(config, settings, state.ids.setdefault(id_, itertools.count(1)))
    model = state.estimator
    is_live, shown = sources.is_live(settings.source), view(settings)
    snapshots = Snapshots(topics, settings, config.pose.min_keypoint_score)
    live = LivePicture(topics, settings, config.pose.min_keypoint_score)
    clips = ClipRecorder(
        topics, settings, config.clips, config.pose.min_keypoint_score, state.broker.publisher.put
    )
    line_counts = state.broker.line_counts
    composer = Composer(
        topics,
        model=lambda: model.name,
        follower=people,
        clock=state.clock,
        picture=lambda *seen: [*snapshots.see(*seen), *live.see(*seen), *clips.see(*seen)],
        packed=config.mqtt.encoding == "msgpack",
        counted=lambda events: line_counts.count(settings, events),
    )
    sizes, part = state.selector.people_sizes, settings.roi

    def compose(frame: Frame, tracks: Sequence[Track], events: Sequence[Event]) -> list[Message]:
        seen = Size(round(frame.size.width * part[2]), round(frame.size.height * part[3]))
        sizes.add(id_, tracks, seen, frame.captured_ns)
        return composer.compose(frame, tracks, events)

    pipeline = Pipeline(
        model,
        people,
        compose,
        health,
        state.clock,
        view=shown,
        keeps_picture="camera" in {settings.snapshot, settings.live, settings.clip}
        or config.web.picture,
    )
    gate = MotionGate(
        shown,
        settings.idle_fps,
        still_fps=still_fps(config.pose, settings.fps),
        watched=lambda: id_ in state.shown_cameras,
    )
    made = CameraWorker(
        id_,
        open_source=lambda: sources.open_source(
            settings.source,
            clock=state.clock,
            realtime=settings.realtime,
            fps=settings.fps,
            once=state.once,
        ),
        live=is_live,
        runs_on=is_live or settings.realtime,
        once=state.once,
        max_fps=settings.fps,
        gate=gate if is_live and settings.motion_gate else None,
        engine_threads=model.cores,
        interpreters=model.interpreters,
        pipeline=pipeline,
        lanes=state.lanes,
        publish=state.broker.publisher.put,
        health=health,
        failure=state.failure,
        changed=changed,
    )
    return CameraControl(made, people, composer, snapshots, clips, live=live)


def embedded_broker(config: Config) -> EmbeddedBroker | None:
    """Start and return the embedded broker; None if it is not configured."""
    if not urls.broker(config.mqtt.url).embedded:
        return None
    return EmbeddedBroker.from_url(config.mqtt.url).start()


def spool(config: Config, clock: Clock) -> Spool:
    """Build the queue of events on disk."""
    folder = _state_folder(config)
    return Spool(folder and folder / "spool", clock)


def overrides(config: Config) -> Overrides:
    """Build the store of settings that were changed over MQTT."""
    return Overrides(state_file(config, "settings.json", StoredSettings))


def stale_topic_cleaner(config: Config, publisher: Publisher, clock: Clock) -> StaleTopicCleaner:
    """Build the cleaner of retained topics; only the device's first process stores them on disk."""
    stored = (
        state_file(config, "retained.json", list[str])
        if publisher.outbox.is_exclusive
        else StateFile(None, list[str])
    )
    made = StaleTopicCleaner(stored, publisher.put, clock)
    publisher.on_cleared(made.note_cleared)
    publisher.on_connect(made.connected)
    publisher.on_disconnect(made.disconnected)
    return made


def state_file(config: Config, name: str, type_: Any) -> StateFile:
    """Return a state file in the device's folder; without a folder it stores nothing."""
    folder = _state_folder(config)
    return StateFile(folder and folder / name, type_)


def _state_folder(config: Config) -> Path | None:
    """Return the device's state folder; None with the embedded broker, which stores nothing."""
    if urls.broker(config.mqtt.url).embedded:
        return None
    return storage.state_directory(config.device.id)


def sink(
    config: Config,
    topics: Topics,
    own: EmbeddedBroker | None,
    refused: Callable[[BrokerError], None],
    session: str | None,
) -> MqttClient:
    """Build the client of the configured broker, or of the embedded one."""
    options = replace(
        BrokerOptions.from_config(config, own),
        availability_topic=topics.availability,
        session=session,
        retry_refused=systemd.is_managed(),
    )
    return MqttClient(options, on_failure=refused)


def session(config: Config) -> str:
    """Return the name of the MQTT session, persisted across restarts."""
    stored = state_file(config, "session.json", str)
    name: str = stored.read() or secrets.token_hex(4)
    stored.write(name)
    return name
