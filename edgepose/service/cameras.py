"""Starts, changes and stops the configured cameras."""

import threading
from typing import Final

from edgepose.camera.worker import CameraWorker, joined
from edgepose.config.schema import Config
from edgepose.errors import SourceError
from edgepose.mqtt import encoding
from edgepose.mqtt.requests import Settings
from edgepose.people.build import with_min_pose_score
from edgepose.service import wiring
from edgepose.service.state import DaemonState
from edgepose.service.status import publish_status
from edgepose.system import systemd
from edgepose.types import Message

CLOSE_S: Final = 1.0  # for the threads of all cameras; the daemon has five seconds to stop


class CameraSet:
    """The cameras of a daemon. Only the main thread starts and stops them.

    Parameters
    ----------
    state : DaemonState
        Holds the running cameras in `cameras`, which this class updates.
    """

    def __init__(self, state: DaemonState) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._budget_is_old = True
        self.stuck = False
        """Whether a camera's thread did not end because a library call blocks."""

    def start(self, id_: str) -> None:
        """Build and start one configured camera."""
        state = self._state
        with self._lock:
            control = wiring.camera(state, id_, self._on_change)
            state.cameras[id_] = control
            control.camera.health.rate_hz(state.clock.now_ns())  # starts the rate measurement
            self._apply_settings(id_)
            self._empty_live_picture(id_)
        control.camera.start()

    def stop_capture(self) -> None:
        """Close all sources; frames in progress are still processed."""
        for control in self._state.running_cameras():
            control.camera.close()

    def stop(self, id_: str) -> None:
        """Stop one camera and publish that it is offline."""
        with self._lock:
            camera = self._state.cameras.pop(id_).camera
        camera.close()
        self.stuck |= not joined(camera.threads, CLOSE_S)
        self._state.broker.line_counts.store()
        self._publish_availability(id_)

    def stop_all(self) -> None:
        """Stop all cameras."""
        self.stop_capture()
        for id_ in list(self._state.cameras):
            self.stop(id_)

    def replace_changed(self, old: Config, *, every: bool) -> None:
        """Restart changed cameras, start new ones and stop removed ones.

        Parameters
        ----------
        old : Config
            The configuration that the running cameras were built from.
        every : bool
            Whether to restart all cameras.
        """
        new = self._state.config
        was = {settings.id: settings for settings in old.cameras}
        now = {settings.id: settings for settings in new.cameras}
        every |= (old.mqtt, old.device, old.events, old.clips, old.web.picture) != (
            new.mqtt,
            new.device,
            new.events,
            new.clips,
            new.web.picture,
        )
        for id_ in list(self._state.cameras):
            if every or was.get(id_) != now.get(id_):
                self.stop(id_)
        for id_ in now:
            if id_ not in self._state.cameras:
                self.start(id_)
            elif old.model != new.model:  # the new model may have another minimum score
                with self._lock:
                    self._apply_settings(id_)
        self._budget_is_old = True

    def apply_settings(self, id_: str, settings: Settings) -> None:
        """Store settings and apply them, now or when the camera starts. Thread-safe."""
        with self._lock:
            self._state.broker.overrides.store(id_, settings)
            self._apply_settings(id_)
            if settings.paused is True:
                self._empty_live_picture(id_)
        self._budget_is_old = True
        self._state.wake.set()

    def update_frame_budget(self) -> None:
        """Pass the total frame rate to the estimator if it may have changed.

        The estimator may measure for seconds. Call this on the main thread: on the MQTT thread a
        measurement would delay keepalives and acknowledgements.
        """
        if not self._budget_is_old:
            return
        self._budget_is_old = False
        if fps := self._state.broker.overrides.total_fps(self._state.config):
            self._state.estimator.set_frame_budget(fps)

    def wait_until_tried(self) -> None:
        """Wait until each source has delivered a frame, failed or ended.

        Raises
        ------
        SourceError
            When all sources have failed. Not under a service manager: after a power cut a camera
            can take minutes to start, and sources are opened again and again anyway.
        """
        cameras = [control.camera for control in self._state.running_cameras()]
        for camera in cameras:
            while not (
                camera.tried.wait(0.1) or self._state.stopping.is_set() or self._state.failure.error
            ):
                pass
        if systemd.is_managed():
            return
        if cameras and all(camera.health.state == "offline" for camera in cameras):
            errors = "; ".join(camera.health.error for camera in cameras)
            msg = f"no usable source: {errors}"
            raise SourceError(msg)

    def have_looked(self) -> bool:
        """Whether a frame was processed, or all online cameras, if any, are paused."""
        controls = self._state.running_cameras()
        looking = [
            control
            for control in controls
            if control.camera.health.state == "online"
            and not self._state.broker.overrides.is_paused(control.camera.id)
        ]
        return not looking or any(control.camera.health.processed for control in controls)

    def have_ended(self) -> bool:
        """Whether all sources have ended.

        Raises
        ------
        SourceError
            When all have ended and one of them has failed.
        """
        cameras = [control.camera for control in self._state.running_cameras()]
        if not all(camera.ended for camera in cameras):
            return False
        if failed := [camera for camera in cameras if camera.health.state == "offline"]:
            raise SourceError(failed[0].health.error)
        return True

    def _apply_settings(self, id_: str) -> None:
        """Apply the current settings to a camera, if it runs, and publish its state."""
        state = self._state
        table = next((entry for entry in state.config.cameras if entry.id == id_), None)
        control = state.cameras.get(id_)
        if table is None or control is None:
            return
        overrides = state.broker.overrides
        config, camera = overrides.apply_to(state.config, table)
        config = with_min_pose_score(config, state.estimator.min_pose_score)
        settings, paused = overrides.current_settings(config, camera), overrides.is_paused(id_)
        message = control.apply(config, camera, settings, paused=paused)
        # Before the first frame the state is unknown.
        if paused or control.camera.health.state != "starting":
            state.broker.publisher.put(message)

    def _empty_live_picture(self, id_: str) -> None:
        """Publish a live picture without people: the retained one may be outdated."""
        control = self._state.cameras.get(id_)
        if control is not None and (message := control.live.empty()):
            self._state.broker.publisher.put(message)

    def _on_change(self, camera: CameraWorker) -> None:
        """Publish a camera's availability and the status; called by the camera's threads."""
        self._publish_availability(camera.id)
        publish_status(self._state)
        self._state.wake.set()

    def _publish_availability(self, id_: str) -> None:
        """Publish whether the camera of this id is online; a stopped camera is offline."""
        broker = self._state.broker

        def compose() -> Message:
            control = self._state.cameras.get(id_)
            online = control is not None and control.camera.health.state == "online"
            return encoding.availability(broker.topics.camera(id_), online=online)

        broker.publisher.put_latest(compose)
