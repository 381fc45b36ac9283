"""From the configuration's tables to the objects that do the work."""

import itertools
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgepose import addresses, messages, registry, sources, storage, tracking
from edgepose import config as configuration
from edgepose.camera import Camera
from edgepose.choosing import Chooser
from edgepose.config import Config, PoseSettings
from edgepose.decoders import Limits
from edgepose.errors import BrokerError
from edgepose.estimator import PoseEstimator
from edgepose.events import EVENTS, Detector
from edgepose.gate import Gate
from edgepose.health import CameraHealth
from edgepose.models import Plugin
from edgepose.pipeline import Composer, Follower, Pipeline
from edgepose.posture import PostureReader
from edgepose.retained import Retained
from edgepose.settings import Noted, Overrides
from edgepose.sinks.mqtt import MqttSink, Options
from edgepose.smoothing import Smoother
from edgepose.snapshots import Snapshots
from edgepose.spool import Spool
from edgepose.standby import Standby
from edgepose.storage import Note
from edgepose.timing import Clock
from edgepose.tracking import Tracker
from edgepose.view import View
from edgepose.zones import Zone

if TYPE_CHECKING:
    from edgepose.broker import EmbeddedBroker
    from edgepose.control import Control
    from edgepose.daemon import Daemon
    from edgepose.link import Link

WEAK: Final = 0.6  # of the least score: the dip of somebody turning away; docs/tracking.md


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


def limits(pose: PoseSettings) -> Limits:
    """Return what the decoder is asked for: weaker poses too, which continue a known person."""
    return Limits(pose.max_people, WEAK * pose.min_pose_score)


def births(pose: PoseSettings) -> tracking.Options:
    """Return how tracks are made: nobody new below the score that the owner asks for."""
    return tracking.Options(birth_score=pose.min_pose_score)


def follower(
    config: Config, camera: configuration.Camera, ids: Iterator[int] | None = None
) -> Follower:
    """Make what turns one camera's poses into people over time and events.

    Parameters
    ----------
    ids : iterator of int, optional
        Where people's ids come from; the same one after a reload, so that none comes twice.
    """
    zones = [zone.on_floor() for zone in camera.zones]
    return Follower(
        tracker=Tracker(births(config.pose), ids),
        smoother=Smoother() if config.pose.smoothing == "one-euro" else None,
        zones=zones,
        posture=PostureReader(config.pose.min_keypoint_score),
        detectors=detectors(config, zones),
    )


def view(camera: configuration.Camera) -> View:
    """Make what turns a camera's pictures into those that are looked at."""
    return View(rotate=camera.rotate, mirror=camera.mirror, roi=camera.roi, masks=camera.masks)


def detectors(config: Config, zones: list[Zone]) -> list[Detector]:
    """Make the detectors that the configuration asks for."""
    asked = (registry.load(row).configured(config, zones) for row in EVENTS.values())
    return [detector for detector in asked if detector is not None]


def broker(config: Config) -> "EmbeddedBroker | None":
    """Start the broker of our own, if the configuration asks for it."""
    if not addresses.broker(config.mqtt.url).embedded:
        return None
    from edgepose.broker import EmbeddedBroker  # brings asyncio, which nothing else needs

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
    if addresses.broker(config.mqtt.url).embedded:
        return None
    return storage.state_directory(config.device.id)


def sink(
    config: Config,
    topics: messages.Topics,
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


def login(config: Config, own: "EmbeddedBroker | None" = None) -> Options:
    """Say where the configured broker is, or our own, and who we are to it."""
    mqtt = config.mqtt
    username, password = configuration.login(mqtt)
    return Options.from_url(
        own.url if own else mqtt.url,
        username=username,
        password=password,
        ca_file=mqtt.ca_file,
        cert_file=mqtt.cert_file,
        key_file=mqtt.key_file,
        protocol=own.protocol if own else mqtt.protocol,
        client_id=f"edgepose-{config.device.id}",
    )


def camera(id_: str, daemon: "Daemon") -> "Control":
    """Make one configured camera, ready to start, with what it is changed by."""
    from edgepose.control import Control

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
