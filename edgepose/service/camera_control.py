"""Applies settings to a running camera."""

from typing import Final

from edgepose import registry
from edgepose.camera.build import limits
from edgepose.camera.worker import CameraWorker
from edgepose.config.schema import Camera as CameraTable
from edgepose.config.schema import Config
from edgepose.mqtt.composer import Composer
from edgepose.mqtt.messages import CameraSettings
from edgepose.mqtt.snapshots import LivePicture, Snapshots
from edgepose.people.build import detectors, tracker_options
from edgepose.people.events import EVENTS, Detector
from edgepose.people.follower import Follower
from edgepose.recording.clips import ClipRecorder
from edgepose.types import Message

REPLACED: Final = ("falls", "gestures")
"""Detectors that are replaced when settings change; all others keep their state."""


class CameraControl:
    """Applies settings to a camera without restarting it or losing its tracks.

    Parameters
    ----------
    camera : CameraWorker
        The running camera.
    follower, composer, snapshots, clips, live
        The stages after the network that depend on settings.
    """

    def __init__(
        self,
        camera: CameraWorker,
        follower: Follower,
        composer: Composer,
        snapshots: Snapshots,
        clips: ClipRecorder,
        *,
        live: LivePicture,
    ) -> None:
        self.camera, self.snapshots, self.live, self.clips = camera, snapshots, live, clips
        self._follower, self._composer = follower, composer
        self._detector_settings: tuple[bool, float] | None = None

    def apply(
        self, config: Config, camera: CameraTable, settings: CameraSettings, *, paused: bool
    ) -> Message:
        """Apply settings and return the camera's new state message."""
        pose = config.pose
        self.camera.pace(camera.fps)
        self.camera.pipeline.limits = limits(pose)
        self._follower.set_tracker_options(tracker_options(pose))
        self._follower.posture.min_score = pose.min_keypoint_score
        self._follower.posture_detail.min_score = pose.min_keypoint_score
        self._follower.movement.min_score = pose.min_keypoint_score
        self._follower.kinematics.min_score = pose.min_keypoint_score
        self.snapshots.min_score = pose.min_keypoint_score
        self.live.min_score = pose.min_keypoint_score
        self.clips.min_score = pose.min_keypoint_score
        self._replace_detectors(config, camera)
        self.live.paused = paused
        self._composer.extra = {"paused": paused, "settings": settings}
        self.camera.pause(paused)
        if paused:
            self._clear_tracks(config, camera)
        return self._composer.tell()

    @property
    def is_empty(self) -> bool:
        """Whether no person is in view, by the camera's latest frame and its events."""
        return self._follower.presence == "nobody"

    def state_message(self) -> Message:
        """Return the camera's state message. Thread-safe."""
        return self._composer.tell()

    def _clear_tracks(self, config: Config, camera: CameraTable) -> None:
        """Clear all tracks, so that people from before the pause are not reported."""
        self._follower.forget(detectors(config, camera))
        self._composer.forget()
        self.snapshots.forget()
        self.clips.forget()

    def _replace_detectors(self, config: Config, camera: CameraTable) -> None:
        asked = (config.events.fall, config.pose.min_keypoint_score)
        before, self._detector_settings = self._detector_settings, asked
        if before in {None, asked}:
            return
        replaced = tuple(registry.load(EVENTS[name]) for name in REPLACED)
        known: dict[type, Detector] = {
            type(detector): detector
            for detector in self._follower.detectors
            if not isinstance(detector, replaced)
        }
        fresh = detectors(config, camera)
        self._follower.detectors = tuple(known.get(type(each), each) for each in fresh)
