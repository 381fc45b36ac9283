"""The daemon: opens, starts, watches, reloads, closes."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Final

from edgepose._version import __version__
from edgepose.camera import sources
from edgepose.camera.pipeline import STAGES
from edgepose.camera.worker import Camera, Job, joined
from edgepose.config.loading import Origin, blamed
from edgepose.config.schema import Config
from edgepose.doctor.report_socket import Hatch
from edgepose.errors import EdgeposeError, SourceError
from edgepose.mqtt import encoding, messages
from edgepose.mqtt import topics as mqtt_topics
from edgepose.mqtt.announcer import Announced, Announcer
from edgepose.mqtt.command_handler import Remote
from edgepose.mqtt.messages import Percentiles
from edgepose.mqtt.publisher import Link
from edgepose.mqtt.requests import Settings
from edgepose.mqtt.stale_topics import topics_of
from edgepose.pose import interpreter
from edgepose.pose.failover import HANG_S, Standby
from edgepose.pose.selection import Chooser
from edgepose.service import wiring
from edgepose.service.camera_control import Control
from edgepose.service.inference import Trial
from edgepose.service.metrics import Endpoint, families
from edgepose.service.request_handlers import report, verbs
from edgepose.service.watchdog import Progress
from edgepose.system import hardware, logs, process, storage
from edgepose.system.systemd import Service
from edgepose.system.threads import Failure, Lanes, Wake
from edgepose.timing import NS_PER_S, Clock, Durations, rfc3339
from edgepose.types import Message
from edgepose.web.bridge.launcher import Page

log: Final = logging.getLogger(__name__)

STATS_S: Final = 10.0
LOOK_S: Final = 2.0  # how often to look whether the delegate still answers
SOON_S: Final = 0.1  # how often to look whether all has been tried
RELOAD_S: Final = 90.0  # a new model may be tried on a delegate, timed and loaded
CLOSE_S: Final = 1.0  # for cameras and engine, and for the broker; the contract gives five in all


class Daemon:
    """Everything that runs, from the cameras to the broker.

    Parameters
    ----------
    config : Config
        What to run.
    once : bool
        Stop when all sources have ended.
    origin : Origin, optional
        Where the configuration is read again when asked to reload.
    """

    def __init__(
        self,
        config: Config,
        *,
        once: bool = False,
        origin: Origin | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.config = config
        self.once = once
        self.clock = clock or Clock()
        self.published: Callable[[Message], None] = lambda message: None
        """Told of each message that the broker's socket has taken."""

        self._wake = Wake()
        self.topics = mqtt_topics.Topics(config.mqtt.base_topic, config.device.id)
        self.cameras: dict[str, Camera] = {}
        self.controls: dict[str, Control] = {}
        self._setting = threading.Lock()
        self.ids: dict[str, Iterator[int]] = {}
        """Where each camera's people get their ids; outlives a reload."""

        self.lanes: Lanes[Job] = Lanes()
        self.failure = Failure(self._wake.set)
        self.engine = Durations()
        self.origin = origin
        self._started_ns = self.clock.now_ns()
        self._started_unix_ns = self.clock.unix_ns()
        self._stats_ns = self._started_ns
        self._stopping = False
        self._reloading = False
        self._processor = process.Processor()
        self._engine_thread: threading.Thread | None = None
        self.loaded = False
        """Whether the network is there, of which answers tell; the broker is there before it."""

        self._job: Job | None = None
        self._progress = Progress()
        self.service = Service(self._progress.fine)
        self._metrics = Endpoint(lambda: families(self))
        self.page = Page(self)
        self._hatch = Hatch(lambda: report(self))
        self._trial: Trial | None = None
        self.stuck = False
        """Whether a thread has been left within a library: it cannot be ended."""

    def stop(self) -> None:
        """Ask the daemon to end; from any thread or signal handler."""
        self._stopping = True
        self._wake.set()

    def reload(self) -> None:
        """Ask the daemon to read its configuration again; from any thread or signal handler."""
        self._reloading = True
        self._wake.set()

    def run(self) -> None:
        """Run until stopped, or to the end of the sources where that is asked for.

        Raises
        ------
        EdgeposeError
            When there is no usable source or model, or the broker refused us.
        """
        sources.check_all(self.config, self.origin)
        self._connect()
        try:
            self._open()
            self._watch()
        finally:
            self._close()
        if self.failure.error is not None:
            raise self.failure.error

    def _connect(self) -> None:
        """Make the way to the broker, and those who listen to what comes from there."""
        config = self.config
        self.overrides = wiring.overrides(config)
        self.link = link = Link(
            config,
            self.topics,
            self.clock,
            refused=self.failure.report,
            published=self.published,
            seen=self.page.see,
        )
        self.remote = remote = Remote(
            self.topics,
            cameras=lambda: set(self.controls),
            apply=self._set,
            verbs=verbs(self),
            answer=link.answer,
            clock=self.clock,
        )
        for topic in remote.filters:
            link.subscribe(topic, remote.take)
        note = wiring.note(config, "announced.json", Announced | None)
        self.announcer = Announcer(link.put, link.outbox.repeat, note)
        link.subscribe(f"{config.homeassistant.prefix}/status", self.announcer.heard)
        link.on_connect(self.announcer.connected)
        link.on_disconnect(self.announcer.disconnected)
        self.announcer.configure(config, self.topics)
        self.retained = wiring.retained(config, link, self.clock)
        self.retained.configure(topics_of(config, self.topics))

    def _set(self, id_: str, settings: Settings) -> None:
        """Put settings that came over MQTT into force."""
        with self._setting:
            self.overrides.take(id_, settings)
            self._control(id_)
        self._keep_pace()

    def _control(self, id_: str) -> None:
        """Put what is in force into a camera, and say so."""
        table = next((entry for entry in self.config.cameras if entry.id == id_), None)
        control = self.controls.get(id_)
        if table is None or control is None:
            return
        config, camera = self.overrides.effective(self.config, table)
        told, paused = self.overrides.told(config, camera), self.overrides.paused(id_)
        state = control.apply(config, camera, told, paused=paused)
        # Before its first frame nobody knows whether a room is empty; that frame tells.
        if paused or control.camera.health.state != "starting":
            self.link.put(state)

    def _open(self) -> None:
        """Start everything; the broker is being reached for while the model loads."""
        self.service.status("starting")
        self.page.configure(self.config)
        self.link.start()
        folder = storage.state_directory(self.config.device.id)
        self.chooser = Chooser(folder, self.clock, ending=lambda: self._stopping)
        self.estimator = self._new_estimator(self.config)
        self.loaded = True
        self._metrics.listen(self.config.metrics.listen)
        self._keep_pace()
        process.give_back_now()
        self._start_engine()
        for settings in self.config.cameras:
            self._start(settings.id)
        self._tell_status()
        self._await_cameras()
        self._hatch.open()

    def _start(self, id_: str) -> None:
        with self._setting:
            self.controls[id_] = wiring.camera(id_, self)
            self.cameras[id_] = camera = self.controls[id_].camera
            camera.health.rate_hz(self.clock.now_ns())  # the first ten seconds count, too
            self._control(id_)
        camera.start()

    def _await_cameras(self) -> None:
        """Wait until every source has been tried; it is an error if none can be used."""
        for camera in self.cameras.values():
            while not (camera.tried.wait(0.1) or self._stopping or self.failure.error):
                pass
        states = [camera.health.state for camera in self.cameras.values()]
        if states and all(state == "offline" for state in states):
            errors = "; ".join(camera.health.error for camera in self.cameras.values())
            msg = f"no usable source: {errors}"
            raise SourceError(msg)

    def _new_estimator(self, config: Config) -> Standby:
        with blamed(self.origin, "model", "name"):
            estimator = wiring.estimator(config, self.chooser, self.clock, self._estimator_changed)
        plan = estimator.plan
        log.info("model: %s with %s", estimator.name, interpreter.runtime())
        if plan.model_reason:
            log.info("model: %s", plan.model_reason)
        log.info("delegate: %s: %s", plan.delegate.name, plan.reason)
        return estimator

    def _estimator_changed(self) -> None:
        """Say what runs now; called by whichever thread has changed it."""
        self._tell_status()
        self._wake.set()

    def _watch(self) -> None:
        """Wait for an end or a reload, and say every ten seconds how things are."""
        while not self._stopping and self.failure.error is None:
            due_ns = self._stats_ns + int(STATS_S * NS_PER_S)
            wait_s = (due_ns - self.clock.now_ns()) / NS_PER_S
            look_s = min(LOOK_S, self.service.beat_s) if self.service.is_ready else SOON_S
            self._wake.wait(min(max(0.0, wait_s), look_s))
            self._tell_service_manager()
            self._look_after_delegate()
            self.page.tell_link(self.link.trouble)
            if self._reloading:
                self._reloading = False
                self._reload()
            if self.clock.now_ns() >= due_ns:
                self._tell_stats()
            if self.once and all(camera.ended for camera in self.cameras.values()):
                return

    def _reload(self) -> None:
        asked = self.page.reload_begins()
        self.service.reloading(RELOAD_S)
        error = self._take_new_config()
        self.service.reloaded(self.sentence())
        self.page.reloaded(asked, error)

    def _tell_service_manager(self) -> None:
        """Say `ready` once everything has been tried, and from then on that frames go through."""
        if not self.service.is_ready and self.link.tried and self._has_looked():
            self.service.ready(self.sentence())
        self.service.beat(self.clock.now_ns())

    def _has_looked(self) -> bool:
        """Say whether a frame has gone all the way, or no camera delivers one to look at."""
        running = self._running()
        looking = [
            camera
            for id_, camera in running
            if camera.health.state == "online" and not self.overrides.paused(id_)
        ]
        return not looking or any(camera.health.processed for _, camera in running)

    def sentence(self, fps: float | None = None) -> str:
        """Say in one sentence what is being done, at which rate, and what is amiss."""
        plan, running = self.estimator.plan, self._running()
        parts = [] if fps is None else [f"{fps:.1f} frames a second"]
        parts.append(f"{self.estimator.name} on {plan.delegate.name}")
        if not self.link.connected:
            parts.append("the broker is away")
        offline = [id_ for id_, camera in running if camera.health.state == "offline"]
        if offline:
            parts.append(f"offline: {', '.join(offline)}")
        return "; ".join(parts)

    def _look_after_delegate(self) -> None:
        """Go on without a delegate that hangs; go back to one whose time on the bench is over."""
        estimator = self.estimator
        if estimator.hangs():
            log.warning("delegate %s: hangs", estimator.plan.delegate.name)
            estimator.give_up(estimator.current, f"gave no answer within {HANG_S:g} s")
            self.stuck = True
            self._start_engine(self._job)
        if self._trial is None and self.chooser.worth_a_try(self.config, estimator.plan):
            self._trial = Trial(self.chooser, self.config, self._wake.set)
        if self._trial is not None and self._trial.over:
            trial, self._trial = self._trial, None
            if trial.plan is not None and trial.config is self.config:
                (estimator.note if trial.plan.delegate.plugin is None else estimator.take)(
                    trial.plan
                )

    def _start_engine(self, job: Job | None = None) -> None:
        """Start the thread that waits for the engine; one that is stuck is left to itself."""
        self._engine_thread = threading.Thread(
            target=self._infer, args=(job,), name="engine", daemon=True
        )
        self._engine_thread.start()

    def _close(self) -> None:
        """Stop capture, let what is under way come through, say `offline`, let go."""
        self._stopping = True
        log.info("stopping")
        self.service.stopping()
        for camera in self.cameras.values():
            camera.close()
        self.lanes.close()
        threads = [thread for camera in self.cameras.values() for thread in camera.threads]
        threads += [self._engine_thread] if self._engine_thread else []
        self.stuck |= not joined(threads, CLOSE_S) or self._trial is not None
        for id_ in self.cameras:
            self.link.put(encoding.availability(self.topics.camera(id_), online=False))
        self.announcer.close()
        self._metrics.close()
        self.page.close()
        self._hatch.close()
        self.link.close(CLOSE_S)
        if self.loaded:
            self.estimator.close()

    def _infer(self, job: Job | None) -> None:
        """Give the engine one prepared frame after the other: the one thread that waits for it."""
        try:
            job = job or self.lanes.take()
            while job is not None:
                self._job = job
                self._progress.began()
                if job.glance is not None:
                    started_ns = self.clock.now_ns()
                    outputs = job.camera.pipeline.infer(job.glance)
                    if threading.current_thread() is not self._engine_thread:
                        return  # it took so long that another thread has taken over
                    job.outputs = outputs
                    self.engine.add(self.clock.now_ns() - started_ns)
                job.camera.answer(job)
                self._progress.done()
                job = self.lanes.take()
        except Exception as error:  # handed to the main thread, which raises it
            self.failure.report(error)

    def camera_changed(self, camera: Camera) -> None:
        """Say that a camera came or went."""
        online = camera.health.state == "online"
        topics = self.topics.camera(camera.id)
        self.link.put(encoding.availability(topics, online=online))
        self._tell_status()
        self._wake.set()

    def _take_new_config(self) -> str:
        """Apply a changed configuration; a bad one is refused and the old one stays.

        Returns why it was refused; an empty text when it was not.
        """
        try:
            config = self.read_config()
            estimator = self._estimator_for(config)
        except EdgeposeError as error:
            log.error("reload refused, nothing changed: %s", error)
            return str(error)
        old, self.config = self.config, config
        if config.log != old.log:
            logs.configure(config.log.level, config.log.format)
        fresh = estimator is not self.estimator
        self.estimator = estimator
        self._metrics.listen(config.metrics.listen)
        self._keep_pace()
        self._relink(old)
        self._restart_cameras(old, all_of_them=fresh)
        self._tell_status()
        self.page.configure(config)
        log.info("reloaded")
        return ""

    def read_config(self) -> Config:
        """Read the configuration again; an error says where it is wrong."""
        if self.origin is None:
            return self.config
        config = self.origin.read()
        sources.check_all(config, self.origin)
        return config

    def _estimator_for(self, config: Config) -> Standby:
        if (config.model, config.pose) == (self.config.model, self.config.pose):
            return self.estimator
        self.estimator.rest()
        return self._new_estimator(config)

    @property
    def engine_threads(self) -> int:
        """How many cores the network takes; 0 before it is loaded."""
        return self.estimator.engine.threads if self.loaded else 0

    def _keep_pace(self) -> None:
        """Let second looks take no more time than the cameras' frames leave."""
        if fps := self.overrides.rate(self.config):
            self.estimator.keep_pace(fps)

    def _relink(self, old: Config) -> None:
        """Go to another broker, or under another name, if that is what has changed."""
        new = self.config
        if (old.mqtt, old.device, old.homeassistant) == (new.mqtt, new.device, new.homeassistant):
            self.announcer.configure(new, self.topics)
            self.retained.configure(topics_of(new, self.topics))
            return
        for id_ in list(self.cameras):  # what happens from now on belongs to the new one
            self._end(id_)
        self.announcer.close()
        self.link.close(CLOSE_S)
        self.topics = mqtt_topics.Topics(new.mqtt.base_topic, new.device.id)
        self._connect()
        self.link.start()

    def _restart_cameras(self, old: Config, *, all_of_them: bool) -> None:
        was = {settings.id: settings for settings in old.cameras}
        now = {settings.id: settings for settings in self.config.cameras}
        new = self.config
        shared = (old.mqtt, old.device, old.events, old.web.picture) == (
            new.mqtt,
            new.device,
            new.events,
            new.web.picture,
        )
        for id_ in list(self.cameras):
            if all_of_them or not shared or was.get(id_) != now.get(id_):
                self._end(id_)
        for id_ in now:
            if id_ not in self.cameras:
                self._start(id_)

    def _end(self, id_: str) -> None:
        with self._setting:
            camera = self.cameras.pop(id_)
            del self.controls[id_]
        camera.close()
        self.stuck |= not joined(camera.threads, CLOSE_S)
        self.link.put(encoding.availability(self.topics.camera(id_), online=False))

    def _tell_status(self) -> None:
        self.link.put(encoding.status(self.topics, self.status()))

    def status(self) -> messages.StatusMessage:
        """Say what runs here."""
        config, plan = self.config, self.estimator.plan
        packed = config.mqtt.encoding == "msgpack"
        return messages.StatusMessage(
            device=config.device.id,
            name=config.device.title,
            version=__version__,
            started_at=rfc3339(self._started_unix_ns),
            model=self.estimator.name,
            model_reason=plan.model_reason,
            policy=self.estimator.policy.name,
            runtime=interpreter.runtime(),
            delegate=messages.DelegateStatus(name=plan.delegate.name, reason=plan.reason),
            cameras={
                id_: messages.CameraStatus(
                    state=camera.health.state,
                    error=camera.health.error or None,
                    topics=self.topics.camera(id_).listed(packed=packed),
                )
                for id_, camera in self._running()
            },
            topics=self.topics.listed(),
        )

    def _tell_stats(self) -> None:
        now_ns = self.clock.now_ns()
        self._stats_ns = now_ns
        throttling = hardware.throttling()
        stats = messages.StatsMessage(
            device=self.config.device.id,
            at=rfc3339(self.clock.unix_ns(now_ns)),
            uptime_s=(now_ns - self._started_ns) / NS_PER_S,
            cameras={id_: self._camera_stats(camera, now_ns) for id_, camera in self._running()},
            stages_ms=self.stages_ms(),
            messages_dropped=self.link.outbox.counts(),
            cpu_percent=self._processor.percent(),
            memory_mb=process.memory_mb(),
            temperature_c=hardware.temperature_c(),
            throttled=throttling.is_slow if throttling else None,
            throttling=throttling,
        )
        self.retained.tidy()
        self.service.status(self.sentence(sum(camera.fps for camera in stats.cameras.values())))
        self.link.put(encoding.stats(self.topics, stats))

    def _running(self) -> list[tuple[str, Camera]]:
        return list(self.cameras.items())

    def _camera_stats(self, camera: Camera, now_ns: int) -> messages.CameraStats:
        latency = self.link.latency.get(self.topics.camera(camera.id).poses)
        return messages.CameraStats(
            fps=camera.health.rate_hz(now_ns),
            frames=camera.health.processed,
            dropped=camera.health.dropped["overtaken"],
            left_out={str(reason): n for reason, n in camera.health.dropped.items()},
            latency_ms=None if latency is None else _summary(latency),
        )

    def stages_ms(self) -> dict[str, Percentiles]:
        """Return how long each stage takes, the slow end too, in the order of a frame's walk."""
        measured = {"infer": self.engine, "publish": self.link.publishing}
        for camera in self.cameras.values():
            for stage, durations in camera.health.stages.items():
                measured.setdefault(stage, durations)
        walk = sorted(measured, key=STAGES.index)
        summaries = {stage: _summary(measured[stage]) for stage in walk}
        return {stage: summary for stage, summary in summaries.items() if summary is not None}


def _summary(durations: Durations) -> Percentiles | None:
    found = durations.percentiles_ms()
    return None if found is None else Percentiles(p50=found[0], p99=found[1])
