"""Typed payloads of all topics, and the reader that decodes them.

Payloads are encoded from these structs and decoded into them, and the JSON Schemas are
generated from them. Decoding ignores unknown fields, so fields may be added; any other change
requires a higher `PAYLOAD_VERSION`.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self, cast

import msgspec
import numpy as np

from edgepose.skeleton import JOINT_NAMES, LIMBS
from edgepose.system.hardware import Throttling
from edgepose.system.logs import Level
from edgepose.types import PAYLOAD_VERSION, Posture, PostureDetail

POSES_EXPIRY_S: Final = 2  # MQTT 5: the broker drops older poses

Score = Annotated[float, msgspec.Meta(ge=0, le=1)]
Timestamp = Annotated[str, msgspec.Meta(description="RFC 3339 in UTC with milliseconds")]
Keypoint = Annotated[tuple[float, float, Score], msgspec.Meta(description="x, y, score")]


class PersonMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One person in a frame, in pixels of the camera's picture."""

    id: int | None
    """Stable while the person is in view; null without tracking."""

    score: Score
    bbox: Annotated[
        tuple[float, float, float, float], msgspec.Meta(description="x, y, width, height")
    ]
    posture: Posture = "unknown"
    posture_detail: PostureDetail | msgspec.UnsetType = msgspec.UNSET
    """More of the posture; omitted when it is none of these or unknown."""

    zones: list[str] = []
    moving: bool | msgspec.UnsetType = msgspec.UNSET
    """Moved within the last second; omitted without tracking."""

    velocity: tuple[float, float] | msgspec.UnsetType = msgspec.UNSET
    """Velocity of the ground point in pixels per second; omitted until it is known."""

    facing: float | msgspec.UnsetType = msgspec.UNSET
    """Degrees from the camera's direction: 0 towards it, 180 away, 90 to the right of the
    picture; omitted when the person is seen from the side."""

    position: tuple[float, float] | msgspec.UnsetType = msgspec.UNSET
    """x and y on the floor in metres, in the frame `frame_id`; omitted without a floor."""

    speed: float | msgspec.UnsetType = msgspec.UNSET
    """Speed on the floor in metres per second; omitted until it is known."""

    heading: float | msgspec.UnsetType = msgspec.UNSET
    """Direction of movement in degrees: 0 along x, 90 along y; omitted while standing."""

    height: float | msgspec.UnsetType = msgspec.UNSET
    """Height of the middle of the head above the floor in metres; omitted if unknown."""

    nearest: float | msgspec.UnsetType = msgspec.UNSET
    """Distance on the floor to the nearest other person in metres; omitted if there is none."""

    keypoints: Annotated[list[Keypoint], msgspec.Meta(min_length=17, max_length=17)]
    """17 keypoints in COCO order, including those below the minimum score."""


class PosesMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The topic `C/poses`: all people in one frame."""

    v: int = PAYLOAD_VERSION
    device: str
    camera: str
    seq: int
    """Sequence number of this camera's processed frames."""

    captured_at: Timestamp
    latency_ms: float
    """Milliseconds from the capture of the frame to this message."""

    width: int
    height: int
    model: str
    frame_id: str | msgspec.UnsetType = msgspec.UNSET
    """Coordinate frame of the positions; omitted without a floor."""

    poses: list[PersonMessage]


class ZoneState(msgspec.Struct, frozen=True, kw_only=True):
    """Occupancy of a zone."""

    occupied: bool = False
    count: int = 0
    longest_s: int = 0
    """Longest stay of the people inside in seconds, in steps of 10."""


class CameraSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Current values of the settings that `C/set` can change."""

    fps: float
    min_pose_score: Score
    min_keypoint_score: Score
    fall: bool
    """Whether falls are detected."""


class StateMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The topic `C/state`, retained."""

    v: int = PAYLOAD_VERSION
    device: str
    camera: str
    occupied: bool = False
    count: int = 0
    fall: bool = False
    long_lie: bool = False
    """A person has been lying outside every rest zone for too long."""

    moving: bool = False
    """A person has moved within the last 5 s."""

    still: bool = False
    """People are in view, and none of them has moved for `events.still_s`."""

    still_since: Timestamp | None = None
    """Time of the last movement, while `still`."""

    posture: Posture = "unknown"
    posture_detail: PostureDetail | None = None
    """More of the posture of the same person; null when it is none of these or unknown."""

    zones: dict[str, ZoneState] = {}
    lines: dict[str, dict[str, int]] = {}
    """Number of people by line and by the side crossed to; kept across restarts."""

    paused: bool = False
    """No frame of this camera is processed; the other fields have the values for no person."""

    settings: CameraSettings | None = None


class EventMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The topic `C/event`."""

    v: int = PAYLOAD_VERSION
    id: str
    """Unique per event and unchanged when the event is sent again; use it to drop duplicates."""

    type: str
    device: str
    camera: str
    person: int | None
    at: Timestamp
    score: Score
    data: dict[str, Any] = {}


class DelegateStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The delegate that runs the model."""

    name: str
    reason: str
    """Why this delegate was chosen."""


class CameraStatus(msgspec.Struct, frozen=True, kw_only=True):
    """State of a camera."""

    state: str
    error: str | None = None
    topics: dict[str, str] = {}


class StatusMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The topic `B/status`, retained."""

    v: int = PAYLOAD_VERSION
    device: str
    name: str
    version: str
    started_at: Timestamp
    model: str
    model_reason: str = ""
    """Why this model was chosen; empty if the configuration names it."""

    arrangement: str = ""
    """Concurrent inferences and threads of each, such as `2 x 1`."""

    arrangement_reason: str = ""
    """Why this arrangement was chosen."""

    policy: str = ""
    """The inference policy: `whole`, `follow` or `refine`."""

    runtime: str
    delegate: DelegateStatus
    log_level: Level = "info"
    """Minimum level of the records that are logged."""

    cameras: dict[str, CameraStatus]
    topics: dict[str, str]
    keypoints: tuple[str, ...] = JOINT_NAMES
    """Names of the keypoints, in the order of every message."""

    skeleton: tuple[tuple[int, int], ...] = LIMBS
    """Pairs of keypoint indices to draw a line between."""


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """Median and 99th percentile, in milliseconds."""

    p50: float
    p99: float

    @classmethod
    def from_ms(cls, milliseconds: Sequence[float]) -> Self | None:
        """Summarise measurements; None if there are none."""
        if not len(milliseconds):
            return None
        p50, p99 = np.percentile(milliseconds, (50, 99)).tolist()
        return cls(p50=p50, p99=p99)


class CameraStats(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of a camera since the last message."""

    fps: float
    frames: int
    """Frames processed since the start."""

    dropped: int
    """Frames since the start that a newer frame replaced before the network was free."""

    left_out: dict[str, int] = {}
    """Frames that were not processed, by reason: `overtaken`, `limit` (above the camera's `fps`),
    `still` or `paused`."""

    latency_ms: Percentiles | None = None
    """Latency from the capture of a frame to its message."""


class StatsMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The topic `B/stats`, every ten seconds."""

    v: int = PAYLOAD_VERSION
    device: str
    at: Timestamp
    uptime_s: float
    cameras: dict[str, CameraStats]
    stages_ms: dict[str, Percentiles]
    messages_dropped: dict[str, int] = {}
    """Messages dropped since the start, by kind."""

    cpu_percent: float | None = None
    """CPU time, in percent of one core."""

    memory_mb: float | None = None
    temperature_c: float | None = None
    throttled: bool | None = None
    """Whether heat or a weak power supply slows the board down now; null if unknown."""

    throttling: Throttling | None = None
    """Causes of throttling, now and since the boot."""


class Pong(msgspec.Struct, frozen=True):
    """Answer to the request `ping`."""

    at: Timestamp
    """The device's time."""


class Pictures(msgspec.Struct, frozen=True):
    """Answer to the request `snapshot`."""

    topics: dict[str, str]
    """The topic of the picture, by camera."""


class Reloading(msgspec.Struct, frozen=True):
    """Answer to the request `reload`: the file is valid and will be applied."""

    reloading: bool


class Restarting(msgspec.Struct, frozen=True):
    """Answer to the request `restart`: the daemon stops and starts again."""

    restarting: bool


class LogLevelSet(msgspec.Struct, frozen=True):
    """Answer to the request `log_level`."""

    level: Level
    """The level in force."""


class ClipsSent(msgspec.Struct, frozen=True):
    """Answer to the request `clip`."""

    topics: dict[str, str]
    """Topic of the clip, by camera; the poses are published one topic level below it."""


class LinesReset(msgspec.Struct, frozen=True):
    """Answer to the request `reset_lines`."""

    lines: dict[str, dict[str, dict[str, int]]]
    """Counts after the reset, by camera, line and side crossed to."""


class Finding(msgspec.Struct, frozen=True):
    """Result of one check of `doctor`."""

    check: str
    verdict: Literal["ok", "warn", "fail"]
    found: str
    mend: str = ""
    """Remedy; empty if nothing is wrong."""


class Report(msgspec.Struct, frozen=True):
    """Answer to the request `doctor`."""

    ok: bool
    """Whether no check fails."""

    findings: list[Finding]

    @classmethod
    def from_findings(cls, findings: list[Finding]) -> Self:
        """Make a report of findings."""
        return cls(all(finding.verdict != "fail" for finding in findings), findings)


class AvailabilityMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The topics `B/availability` and `C/availability`: plain text, not JSON."""

    device: str
    camera: str | None
    """None for the whole device."""

    online: bool


AnyMessage = (
    PosesMessage | StateMessage | EventMessage | StatusMessage | StatsMessage | AvailabilityMessage
)

BY_TOPIC: Final[Mapping[str, type[msgspec.Struct]]] = {
    "poses": PosesMessage,
    "state": StateMessage,
    "event": EventMessage,
    "status": StatusMessage,
    "stats": StatsMessage,
}
"""Struct of the payload, by the last level of the topic."""
_DECODERS: Final = {leaf: msgspec.json.Decoder(type_) for leaf, type_ in BY_TOPIC.items()}
_UNPACKER: Final = msgspec.msgpack.Decoder(PosesMessage)


def read(base: str, topic: str, payload: bytes) -> AnyMessage | None:
    """Decode a payload; None for an unknown topic, or a retained one that was cleared.

    Raises
    ------
    msgspec.DecodeError
        When the payload does not fit its topic.
    """
    levels = topic.removeprefix(f"{base}/").split("/")
    if not topic.startswith(f"{base}/"):
        return None
    if len(levels) == 4 and levels[2:] == ["poses", "msgpack"]:
        return _UNPACKER.decode(payload)
    if len(levels) not in {2, 3}:
        return None
    device, leaf = levels[0], levels[-1]
    if leaf == "availability":
        camera = levels[1] if len(levels) == 3 else None
        return AvailabilityMessage(device=device, camera=camera, online=payload == b"online")
    cleared = leaf in {"status", "state"} and not payload
    known = leaf in _DECODERS and (leaf in {"status", "stats"}) is (len(levels) == 2)
    if cleared or not known:
        return None
    return cast(AnyMessage, _DECODERS[leaf].decode(payload))
