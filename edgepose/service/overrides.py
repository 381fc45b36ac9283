"""Settings changed by `C/set`, which override the configuration file across restarts.

For privacy, a paused camera stays paused after a power failure.
"""

from typing import Final

import msgspec

from edgepose.config.schema import Camera, Config
from edgepose.mqtt.messages import CameraSettings
from edgepose.mqtt.requests import Settings
from edgepose.system.storage import StateFile

NOTHING: Final = Settings()
StoredSettings = dict[str, Settings]


class Overrides:
    """Stores each camera's settings that differ from the configuration file.

    Parameters
    ----------
    file : StateFile
        Stores the settings, of type `StoredSettings`.
    """

    def __init__(self, file: StateFile) -> None:
        self._file = file
        self._settings: StoredSettings = file.read() or {}

    def store(self, camera: str, settings: Settings) -> None:
        """Merge new settings of a camera into its earlier ones."""
        merged = settings.over(self._settings.get(camera, NOTHING))
        others = {id_: known for id_, known in self._settings.items() if id_ != camera}
        self._settings = others | ({camera: merged} if merged != NOTHING else {})
        self._file.write(self._settings)

    def is_paused(self, camera: str) -> bool:
        """Return whether the camera is paused."""
        return self._settings.get(camera, NOTHING).paused is True

    def apply_to(self, config: Config, camera: Camera) -> tuple[Config, Camera]:
        """Return configuration and camera table with the camera's settings applied."""
        given = self._settings.get(camera.id, NOTHING).given()
        replace = msgspec.structs.replace
        pose = {key: given[key] for key in ("min_pose_score", "min_keypoint_score") if key in given}
        events = {"fall": given["fall"]} if "fall" in given else {}
        fps = {"fps": given["fps"]} if "fps" in given else {}
        config = replace(
            config, pose=replace(config.pose, **pose), events=replace(config.events, **events)
        )
        return config, replace(camera, **fps)

    def total_fps(self, config: Config) -> float:
        """Return the sum of the frame rates in Hz of all cameras that are not paused."""
        looking = [camera for camera in config.cameras if not self.is_paused(camera.id)]
        return sum(self.apply_to(config, camera)[1].fps for camera in looking)

    def current_settings(self, config: Config, camera: Camera) -> CameraSettings:
        """Return a camera's current settings, as published in `C/state`."""
        config, camera = self.apply_to(config, camera)
        return CameraSettings(
            fps=camera.fps,
            min_pose_score=config.pose.least(),
            min_keypoint_score=config.pose.min_keypoint_score,
            fall=config.events.fall,
        )
