"""What `C/set` has changed, over what the file says; it outlives a restart.

A camera that somebody paused stays paused after a power cut: it may be in a bedroom.
"""

from typing import Final

import msgspec

from edgepose.config.schema import Camera, Config
from edgepose.mqtt.messages import CameraSettings
from edgepose.mqtt.requests import Settings
from edgepose.system.storage import StateFile

NOTHING: Final = Settings()
Noted = dict[str, Settings]


class Overrides:
    """Holds each camera's settings that differ from the file's.

    Parameters
    ----------
    note : StateFile
        Remembers them; of type `Noted`.
    """

    def __init__(self, note: StateFile) -> None:
        self._note = note
        self._of: Noted = note.read() or {}

    def take(self, camera: str, settings: Settings) -> None:
        """Put a camera's new settings over its older ones."""
        merged = settings.over(self._of.get(camera, NOTHING))
        others = {id_: known for id_, known in self._of.items() if id_ != camera}
        self._of = others | ({camera: merged} if merged != NOTHING else {})
        self._note.write(self._of)

    def paused(self, camera: str) -> bool:
        """Say whether nobody wants this camera's frames looked at."""
        return self._of.get(camera, NOTHING).paused is True

    def effective(self, config: Config, camera: Camera) -> tuple[Config, Camera]:
        """Return the configuration as it is in force for one camera."""
        given = self._of.get(camera.id, NOTHING).given()
        replace = msgspec.structs.replace
        pose = {key: given[key] for key in ("min_pose_score", "min_keypoint_score") if key in given}
        events = {"fall": given["fall"]} if "fall" in given else {}
        fps = {"fps": given["fps"]} if "fps" in given else {}
        config = replace(
            config, pose=replace(config.pose, **pose), events=replace(config.events, **events)
        )
        return config, replace(camera, **fps)

    def rate(self, config: Config) -> float:
        """Return how many frames a second all cameras want looked at; 0 while all are paused."""
        looking = [camera for camera in config.cameras if not self.paused(camera.id)]
        return sum(self.effective(config, camera)[1].fps for camera in looking)

    def told(self, config: Config, camera: Camera) -> CameraSettings:
        """Return what is in force for one camera, as `C/state` tells it."""
        config, camera = self.effective(config, camera)
        return CameraSettings(
            fps=camera.fps,
            min_pose_score=config.pose.least(),
            min_keypoint_score=config.pose.min_keypoint_score,
            fall=config.events.fall,
        )
