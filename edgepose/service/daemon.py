"""The daemon: starts, supervises, reloads and stops all parts."""

import logging
from collections.abc import Callable
from typing import Final

from edgepose.camera import sources
from edgepose.config.loading import Origin, with_config_location
from edgepose.config.schema import Config
from edgepose.doctor.report_socket import ReportSocket
from edgepose.errors import EdgeposeError
from edgepose.mqtt.command_handler import CommandHandler
from edgepose.pose.failover import FailoverEstimator
from edgepose.pose.selection import Plan
from edgepose.service import metrics, wiring
from edgepose.service.cameras import CameraSet
from edgepose.service.inference import InferenceLoop
from edgepose.service.page_host import DaemonPageHost
from edgepose.service.reload import Changes, prepare, replace_broker
from edgepose.service.request_handlers import report, request_handlers
from edgepose.service.reselection import Reselection
from edgepose.service.status import StatsPublisher, publish_status, sentence
from edgepose.system import process
from edgepose.system.systemd import Service
from edgepose.timing import NS_PER_S, Clock
from edgepose.web.bridge.launcher import PageLauncher

log: Final = logging.getLogger(__name__)

STATS_S: Final = 10.0
SUPERVISE_S: Final = 2.0  # period of the delegate check and of the watchdog message to systemd
START_POLL_S: Final = 0.1  # the same period until `ready` was sent to systemd
RELOAD_S: Final = 90.0  # upper limit: a new model is tried on a delegate, timed and loaded
CLOSE_S: Final = 1.0  # limit for the threads, then for the broker; a stop may take 5 s in total


class Daemon:
    """Runs all parts, from the cameras to the broker.

    Parameters
    ----------
    config : Config
        The configuration to run.
    once : bool
        Whether to stop when all sources have ended.
    origin : Origin, optional
        Where a reload reads the configuration from.

    Raises
    ------
    ConfigError
        When the configuration has an invalid source or names an unusable file.
    """

    def __init__(
        self,
        config: Config,
        *,
        once: bool = False,
        origin: Origin | None = None,
        clock: Clock | None = None,
    ) -> None:
        sources.check_all(config, origin)
        self.state = wiring.new_state(config, origin, once=once, clock=clock or Clock())
        self._cameras = CameraSet(self.state)
        self._commands = CommandHandler(
            lambda: self.state.broker.topics,
            cameras=lambda: self.state.camera_ids,
            apply=self._cameras.apply_settings,
            handlers=request_handlers(self.state),
            answer=self.state.answer,
            clock=self.state.clock,
        )
        self._page = PageLauncher(DaemonPageHost(self.state, self._commands.change))
        self._inference = InferenceLoop(self.state)
        self._reselection = Reselection(self.state, self._load_model)
        self._stats = StatsPublisher(self.state)
        self._stats_ns = self.state.started_ns
        self._service = Service(self._inference.is_passing)
        self._metrics = metrics.MetricsServer(lambda: metrics.collect(self.state))
        self._report_socket = ReportSocket(lambda: report(self.state))

    @property
    def stuck(self) -> bool:
        """Whether a thread cannot be ended because a library call blocks."""
        return self._cameras.stuck or self._inference.stuck

    def stop(self) -> None:
        """Request the daemon to stop, not to restart. Safe in threads and signal handlers."""
        self.state.restart_requested.clear()
        self.state.stop()

    def reload(self) -> None:
        """Request a reload of the configuration. Safe in any thread and in signal handlers."""
        self.state.request_reload()

    def run(self) -> None:
        """Run until stopped, or with `once` until all sources have ended.

        Raises
        ------
        EdgeposeError
            When no source or model can be used, or the broker refuses the login.
        """
        try:
            self._open_parts()
            self._watch_parts()
        finally:
            self._close_parts()
        if self.state.failure.error is not None:
            raise self.state.failure.error

    def _open_parts(self) -> None:
        """Start all parts; the broker connects while the model loads."""
        state = self.state
        self._service.status("starting")
        if not (state.origin and state.origin.debug):
            state.broker.log_level.apply(state.config)
        self._page.configure(state.config)
        self._start_link()
        state.loaded_estimator = self._load_model(state.config)
        self._metrics.listen(state.config.metrics.listen)
        self._cameras.update_frame_budget()
        process.settle_memory()
        self._inference.start()
        for settings in state.config.cameras:
            self._cameras.start(settings.id)
        publish_status(state)
        self._cameras.wait_until_tried()
        self._report_socket.open()

    def _start_link(self) -> None:
        """Subscribe to commands, pass messages to the page, and connect to the broker."""
        publisher = self.state.broker.publisher
        for topic in self._commands.filters:
            publisher.subscribe(topic, self._commands.take)
        publisher.on_message(self._page.receive)
        publisher.start()

    def _load_model(self, config: Config, plan: Plan | None = None) -> FailoverEstimator:
        state = self.state

        def changed() -> None:
            publish_status(state)
            state.wake.set()

        with with_config_location(state.origin, "model", "name"):
            return wiring.estimator(config, state.selector, state.clock, changed, plan)

    def _watch_parts(self) -> None:
        """Supervise the parts until the daemon stops: reload on request, publish statistics."""
        state = self.state
        while not state.stopping.is_set() and state.failure.error is None:
            due_ns = self._stats_ns + int(STATS_S * NS_PER_S)
            wait_s = max(0.0, (due_ns - state.clock.now_ns()) / NS_PER_S)
            poll_s = SUPERVISE_S if self._service.is_ready else START_POLL_S
            state.wake.wait(min(wait_s, poll_s, self._service.beat_s))
            self._notify_service_manager()
            self._inference.supervise()
            self._cameras.update_frame_budget()
            self._page.send_link_state(state.broker.publisher.trouble)
            if state.reload_requested.is_set():
                state.reload_requested.clear()
                self._reload_config(lambda: prepare(state, self._load_model))
            elif (build := self._reselection.due_changes()) is not None:
                self._reload_config(build)
            if state.clock.now_ns() >= due_ns:
                self._publish_stats()
            if state.once and self._cameras.have_ended():
                return

    def _notify_service_manager(self) -> None:
        """Send `ready` to systemd when broker and cameras were tried; then watchdog messages."""
        publisher = self.state.broker.publisher
        if not self._service.is_ready and publisher.tried and self._cameras.have_looked():
            self._service.ready(sentence(self.state))
        self._service.beat(self.state.clock.now_ns())

    def _publish_stats(self) -> None:
        self._stats_ns = self.state.clock.now_ns()
        stats = self._stats.publish()
        self.state.broker.stale_topics.clear_due()
        fps = sum(camera.fps for camera in stats.cameras.values())
        self._service.status(sentence(self.state, fps))

    def _reload_config(self, build: Callable[[], Changes]) -> None:
        asked = self._page.take_reload_requests()
        self._service.reloading(RELOAD_S)
        error = ""
        try:
            self._apply_changes(build())
            process.settle_memory()
            log.info("reloaded")
        except EdgeposeError as refused:
            error = str(refused)
            log.error("reload refused, nothing changed: %s", refused)
        self._service.reloaded(sentence(self.state))
        self._page.send_reloaded(asked, error)

    def _apply_changes(self, changes: Changes) -> None:
        """Switch to a prepared configuration."""
        state, old = self.state, self.state.config
        if changes.broker:
            replace_broker(state, changes.config, self._cameras, self._start_link)
        else:
            wiring.announce(state.broker, changes.config)
        state.config = changes.config
        if state.config.log != old.log:
            state.broker.log_level.apply(state.config)
        fresh = changes.estimator is not state.estimator
        state.loaded_estimator = changes.estimator
        self._metrics.listen(state.config.metrics.listen)
        self._cameras.replace_changed(old, every=fresh)
        publish_status(state)
        self._page.configure(state.config)

    def _close_parts(self) -> None:
        """Stop capture, finish the frames in progress, publish `offline` and close all parts."""
        state = self.state
        state.stopping.set()
        restarts = state.restart_requested.is_set()
        log.info("restarting" if restarts else "stopping")
        self._service.stopping(RELOAD_S if restarts else None)
        self._cameras.stop_capture()
        self._inference.close(CLOSE_S)
        self._cameras.stop_all()
        state.broker.discovery.close()
        self._metrics.close()
        self._page.close()
        self._report_socket.close()
        self._reselection.close()
        state.broker.publisher.close(CLOSE_S)
        if state.loaded_estimator is not None:
            state.loaded_estimator.close()
