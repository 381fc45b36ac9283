"""What commands and requests over MQTT hold, and their answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from edgepose.mqtt.messages import (
    ClipsSent,
    LinesReset,
    Pictures,
    Pong,
    Reloading,
    Report,
    StatusMessage,
)

Id = Annotated[str, Meta(max_length=1024)] | int | float | bool | None


Data = TypeVar("Data")


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """What every verb takes."""

    id: Id | UnsetType = UNSET
    """Comes back in the answer."""


class SnapshotRequest(Request, frozen=True, forbid_unknown_fields=True):
    """What `snapshot` and `clip` take."""

    camera: str | None = None
    """One of the cameras; not given: all of them."""


class ResetLinesRequest(Request, frozen=True, forbid_unknown_fields=True):
    """What `reset_lines` takes."""

    camera: str | None = None
    """One of the cameras; not given: all of them."""

    line: str | None = None
    """One of its lines; not given: all of them."""


class Response(Struct, Generic[Data], frozen=True, omit_defaults=True):
    """What every request is answered with."""

    id: Id | UnsetType = UNSET
    """That of the request, where it had one."""

    ok: bool | UnsetType = UNSET
    """What was asked for was done."""

    error: str | None = None
    """Why it was not."""

    data: Data | None = None


class CommandError(Exception):  # the word of the answer, no fault of the program
    """A command that cannot be carried out, with the reason as a sentence."""

    def __init__(self, reason: str, kind: str = "cannot") -> None:
        super().__init__(reason)
        self.kind = kind
        """The same for all that the log need not tell apart."""


@dataclass(frozen=True, slots=True)
class RequestType:
    """A request that a device answers on ``B/response/<name>``."""

    takes: type[Request]
    gives: type[Struct]
    """The data of the answer."""

    slow: bool = False
    """It takes seconds: handled in a thread of its own, one at a time."""


REQUESTS: Final[Mapping[str, RequestType]] = {
    "ping": RequestType(Request, Pong),
    "info": RequestType(Request, StatusMessage),
    "snapshot": RequestType(SnapshotRequest, Pictures),
    "clip": RequestType(SnapshotRequest, ClipsSent, slow=True),
    "reset_lines": RequestType(ResetLinesRequest, LinesReset),
    "reload": RequestType(Request, Reloading),
    "doctor": RequestType(Request, Report, slow=True),
}
"""Every request, by the last level of its topic ``B/request/<name>``."""

RequestHandler = Callable[[Any], Any]
"""Takes a request and returns the data of its answer; raises `CommandError` where it cannot."""


Part = Annotated[float, Meta(ge=0, le=1)]


class Settings(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What `C/set` takes: any of these; null goes back to what the file says."""

    paused: bool | UnsetType | None = UNSET
    """Look at no frame until it is false again; the camera stays `online`."""

    fps: Annotated[float, Meta(ge=0.1, le=240)] | UnsetType | None = UNSET
    """The most frames to look at in a second."""

    min_pose_score: Part | UnsetType | None = UNSET
    """Minimum score to start a track. A tracked person is kept down to 0.6 of it."""

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
