"""The handles by which one camera is changed while it runs."""

from edgepose import registry
from edgepose.camera.build import limits
from edgepose.camera.worker import Camera
from edgepose.config.schema import Camera as CameraTable
from edgepose.config.schema import Config
from edgepose.mqtt.composer import Composer
from edgepose.mqtt.messages import CameraSettings
from edgepose.mqtt.snapshots import Snapshots
from edgepose.people.build import births, detectors
from edgepose.people.events import EVENTS, Detector
from edgepose.people.follower import Follower
from edgepose.types import Message

ANEW = ("falls", "gestures")
"""Detectors that settings change; the others go on with the people they know."""


class Control:
    """Puts settings into force, without a restart and without losing who is who.

    Parameters
    ----------
    camera : Camera
        Its pipeline and its pace.
    follower, composer, snapshots
        What depends on settings behind the network.
    """

    def __init__(
        self, camera: Camera, follower: Follower, composer: Composer, snapshots: Snapshots
    ) -> None:
        self.camera, self.snapshots = camera, snapshots
        self._follower, self._composer = follower, composer
        self._detected: tuple[bool, float] | None = None

    def apply(
        self, config: Config, camera: CameraTable, told: CameraSettings, *, paused: bool
    ) -> Message:
        """Put settings into force and return the camera's state with them."""
        pose = config.pose
        self.camera.pace(camera.fps)
        self.camera.pipeline.limits = limits(pose)
        self._follower.admit(births(pose))
        self._follower.posture.min_score = pose.min_keypoint_score
        self._follower.movement.min_score = pose.min_keypoint_score
        self._follower.kinematics.min_score = pose.min_keypoint_score
        self.snapshots.min_score = pose.min_keypoint_score
        self._detect(config, camera)
        self._composer.extra = {"paused": paused, "settings": told}
        self.camera.pause(paused)
        if paused:
            self._forget(config, camera)
        return self._composer.tell()

    def tell(self) -> Message:
        """Return the camera's state; thread-safe."""
        return self._composer.tell()

    def _forget(self, config: Config, camera: CameraTable) -> None:
        """Let go of everybody: after a pause nobody is there who is not seen anew."""
        self._follower.forget(detectors(config, camera))
        self._composer.forget()
        self.snapshots.forget()

    def _detect(self, config: Config, camera: CameraTable) -> None:
        asked = (config.events.fall, config.pose.min_keypoint_score)
        before, self._detected = self._detected, asked
        if before in {None, asked}:
            return
        anew = tuple(registry.load(EVENTS[name]) for name in ANEW)
        known: dict[type, Detector] = {
            type(detector): detector
            for detector in self._follower.detectors
            if not isinstance(detector, anew)
        }
        fresh = detectors(config, camera)
        self._follower.detectors = tuple(known.get(type(each), each) for each in fresh)
