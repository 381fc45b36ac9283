"""What `C/set` has changed, over what the file says; it outlives a restart.

A camera that somebody paused stays paused after a power cut: it may be in a bedroom.
"""

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from edgepose.config import Camera, Config
from edgepose.messages import CameraSettings
from edgepose.storage import Note

Part = Annotated[float, Meta(ge=0, le=1)]


class Settings(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What `C/set` takes: any of these; null goes back to what the file says."""

    paused: bool | UnsetType | None = UNSET
    """Look at no frame until it is false again; the camera stays `online`."""

    fps: Annotated[float, Meta(ge=0.1, le=240)] | UnsetType | None = UNSET
    """The most frames to look at in a second."""

    min_pose_score: Part | UnsetType | None = UNSET
    """Nobody below this score is taken up; who is followed is let go below 0.6 of it."""

    min_keypoint_score: Part | UnsetType | None = UNSET
    """Posture, events and pictures do not rely on keypoints below this score."""

    fall: bool | UnsetType | None = UNSET
    """Watch for falls."""

    def over(self, older: "Settings") -> "Settings":
        """Return the two in one: what is not given here stays as it was, null is taken out."""
        fields = older.given() | self.given() | ({"paused": None} if self.paused is False else {})
        return Settings(**{name: value for name, value in fields.items() if value is not None})

    def given(self) -> dict[str, Any]:
        """Return what is given, null included."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if value is not UNSET}


NOTHING: Final = Settings()
Noted = dict[str, Settings]


class Overrides:
    """Holds each camera's settings that differ from the file's.

    Parameters
    ----------
    note : Note
        Remembers them; of type `Noted`.
    """

    def __init__(self, note: Note) -> None:
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
            min_pose_score=config.pose.min_pose_score,
            min_keypoint_score=config.pose.min_keypoint_score,
            fall=config.events.fall,
        )
