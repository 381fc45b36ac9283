"""Payloads of commands and requests over MQTT, and of their answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from edgepose.mqtt.messages import (
    ClipsSent,
    LinesReset,
    LogLevelSet,
    Pictures,
    Pong,
    Reloading,
    Report,
    Restarting,
    StatusMessage,
)
from edgepose.system.logs import Level

Id = Annotated[str, Meta(max_length=1024)] | int | float | bool | None


Data = TypeVar("Data")


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """Fields that every request accepts."""

    id: Id | UnsetType = UNSET
    """Copied into the answer."""


class SnapshotRequest(Request, frozen=True, forbid_unknown_fields=True):
    """Payload of the requests `snapshot` and `clip`."""

    camera: str | None = None
    """Id of one camera; omitted: all cameras."""


class ResetLinesRequest(Request, frozen=True, forbid_unknown_fields=True):
    """Payload of the request `reset_lines`."""

    camera: str | None = None
    """Id of one camera; omitted: all cameras."""

    line: str | None = None
    """Id of one of its lines; omitted: all lines."""


class LogLevelRequest(Request, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Payload of the request `log_level`."""

    level: Level | None
    """Minimum level of the records that are logged, kept across restarts; null restores the value
    of the file."""


class Response(Struct, Generic[Data], frozen=True, omit_defaults=True):
    """Answer to a request."""

    id: Id | UnsetType = UNSET
    """Id of the request, if it had one."""

    ok: bool | UnsetType = UNSET
    """Whether the request was carried out."""

    error: str | None = None
    """Why the request was not carried out."""

    data: Data | None = None


class CommandError(Exception):  # part of the answer, not a program error
    """A command that cannot be carried out, with the reason as a sentence."""

    def __init__(self, reason: str, kind: str = "cannot") -> None:
        super().__init__(reason)
        self.kind = kind
        """Groups errors for the log: each kind is logged once per interval."""


@dataclass(frozen=True, slots=True)
class RequestType:
    """A request that a device answers on ``B/response/<name>``."""

    takes: type[Request]
    gives: type[Struct]
    """The data of the answer."""

    slow: bool = False
    """Takes seconds; handled in its own thread, one request of a kind at a time."""


REQUESTS: Final[Mapping[str, RequestType]] = {
    "ping": RequestType(Request, Pong),
    "info": RequestType(Request, StatusMessage),
    "snapshot": RequestType(SnapshotRequest, Pictures),
    "clip": RequestType(SnapshotRequest, ClipsSent, slow=True),
    "reset_lines": RequestType(ResetLinesRequest, LinesReset),
    "reload": RequestType(Request, Reloading),
    "restart": RequestType(Request, Restarting),
    "log_level": RequestType(LogLevelRequest, LogLevelSet),
    "doctor": RequestType(Request, Report, slow=True),
}
"""Every request, by the last level of its topic ``B/request/<name>``."""

RequestHandler = Callable[[Any], Any]
"""Handles a request and returns the data of its answer; raises `CommandError` on failure."""


Part = Annotated[float, Meta(ge=0, le=1)]


class Settings(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Payload of `C/set`: any of these fields; null restores the value of the file."""

    paused: bool | UnsetType | None = UNSET
    """Process no frames until it is false again; the camera stays `online`."""

    fps: Annotated[float, Meta(ge=0.1, le=240)] | UnsetType | None = UNSET
    """Maximum frames per second to process."""

    min_pose_score: Part | UnsetType | None = UNSET
    """Minimum score to start a track. A tracked person is kept down to 0.6 of it."""

    min_keypoint_score: Part | UnsetType | None = UNSET
    """Minimum score of the keypoints used for posture, events and pictures."""

    fall: bool | UnsetType | None = UNSET
    """Detect falls."""

    def over(self, older: "Settings") -> "Settings":
        """Return `older` with the fields of this one on top; null removes a field."""
        fields = older.given() | self.given() | ({"paused": None} if self.paused is False else {})
        return Settings(**{name: value for name, value in fields.items() if value is not None})

    def given(self) -> dict[str, Any]:
        """Return the fields that are set, including null."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if value is not UNSET}
