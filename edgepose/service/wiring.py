"""From the configuration's tables to the objects that do the work."""

import itertools
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose import urls
from edgepose.camera import sources
from edgepose.camera.health import CameraHealth
from edgepose.camera.motion_gate import Gate
from edgepose.camera.pipeline import Pipeline
from edgepose.camera.worker import Camera
from edgepose.config.schema import Config
from edgepose.errors import BrokerError
from edgepose.mqtt import topics as mqtt_topics
from edgepose.mqtt.client import MqttSink
from edgepose.mqtt.composer import Composer
from edgepose.mqtt.snapshots import Snapshots
from edgepose.mqtt.spool import Spool
from edgepose.mqtt.stale_topics import Retained
from edgepose.pose.delegates import Plugin
from edgepose.pose.estimator import PoseEstimator
from edgepose.pose.failover import Standby
from edgepose.pose.selection import Chooser
from edgepose.service.overrides import Noted, Overrides
from edgepose.system import storage
from edgepose.system.storage import Note
from edgepose.timing import Clock

if TYPE_CHECKING:
    from edgepose.mqtt.embedded_broker import EmbeddedBroker
    from edgepose.mqtt.publisher import Link
    from edgepose.service.camera_control import Control
    from edgepose.service.daemon import Daemon

from edgepose.camera.build import limits, view
from edgepose.mqtt.options import login
from edgepose.people.build import follower


def estimator(
    config: Config, chooser: Chooser, clock: Clock, changed: Callable[[], None]
) -> Standby:
    """Decide what is to run and load it."""

    def build(model: str, plugin: Plugin | None) -> PoseEstimator:
        return PoseEstimator(
            model,
            policy=config.model.policy,
            threads=config.model.threads,
            limits=limits(config.pose),
            delegate=plugin or "cpu",
        )

    return Standby(build, chooser.plan(config), chooser.bench, clock, changed)


def broker(config: Config) -> "EmbeddedBroker | None":
    """Start the broker of our own, if the configuration asks for it."""
    if not urls.broker(config.mqtt.url).embedded:
        return None
    from edgepose.mqtt.embedded_broker import (
        EmbeddedBroker,  # brings asyncio, which nothing else needs
    )

    return EmbeddedBroker.from_url(config.mqtt.url).start()


def spool(config: Config, clock: Clock) -> Spool:
    """Make the place where events wait."""
    folder = _memory(config)
    return Spool(folder and folder / "spool", clock)


def overrides(config: Config) -> Overrides:
    """Make what remembers the settings that came over MQTT."""
    return Overrides(note(config, "settings.json", Noted))


def retained(config: Config, link: "Link", clock: Clock) -> Retained:
    """Make what clears the topics of cameras that are no more."""
    noted = note(config, "retained.json", list[str]) if link.alone else Note(None, list[str])
    made = Retained(noted, link.put, clock)
    link.cleared = made.cleared
    link.on_connect(made.connected)
    link.on_disconnect(made.disconnected)
    return made


def note(config: Config, name: str, type_: Any) -> Note:
    """Make a note in the device's folder."""
    folder = _memory(config)
    return Note(folder and folder / name, type_)


def _memory(config: Config) -> Path | None:
    """Return where things are remembered; a broker of our own ends with us, and all with it."""
    if urls.broker(config.mqtt.url).embedded:
        return None
    return storage.state_directory(config.device.id)


def sink(
    config: Config,
    topics: mqtt_topics.Topics,
    own: "EmbeddedBroker | None",
    refused: Callable[[BrokerError], None],
    session: str | None,
) -> MqttSink:
    """Make the way to the configured broker, or to our own."""
    options = replace(login(config, own), availability_topic=topics.availability, session=session)
    return MqttSink(options, on_failure=refused)


def session(config: Config) -> str:
    """Return what the broker knows our session by; the same after a restart."""
    noted = note(config, "session.json", str)
    name: str = noted.read() or secrets.token_hex(4)
    noted.write(name)
    return name


def camera(id_: str, daemon: "Daemon") -> "Control":
    """Make one configured camera, ready to start, with what it is changed by."""
    from edgepose.service.camera_control import Control

    table = next(entry for entry in daemon.config.cameras if entry.id == id_)
    config, settings = daemon.overrides.effective(daemon.config, table)
    topics = daemon.topics.camera(id_)
    health = CameraHealth(since_ns=daemon.clock.now_ns())
    ids = daemon.ids.setdefault(id_, itertools.count(1))
    people = follower(config, settings, ids)
    estimator = daemon.estimator
    live, shown = sources.is_live(settings.source), view(settings)
    snapshots = Snapshots(topics, settings, config.pose.min_keypoint_score)
    composer = Composer(
        topics,
        model=lambda: estimator.name,
        follower=people,
        clock=daemon.clock,
        picture=snapshots.see,
        packed=config.mqtt.encoding == "msgpack",
    )
    made = Camera(
        id_,
        open_source=lambda: sources.open_source(
            settings.source,
            clock=daemon.clock,
            realtime=settings.realtime,
            fps=settings.fps,
            once=daemon.once,
        ),
        live=live,
        runs_on=live or settings.realtime,
        max_fps=settings.fps,
        gate=Gate(shown, settings.idle_fps, watched=lambda: daemon.page.shows(id_))
        if live and settings.motion_gate
        else None,
        engine_threads=estimator.engine.threads,
        pipeline=Pipeline(
            estimator,
            people,
            composer.compose,
            health,
            daemon.clock,
            view=shown,
            keeps_picture=settings.snapshot == "camera" or config.web.picture,
        ),
        lanes=daemon.lanes,
        outbox=daemon.link.outbox,
        health=health,
        failure=daemon.failure,
        changed=daemon.camera_changed,
    )
    return Control(made, people, composer, snapshots)
