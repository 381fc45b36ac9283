"""What goes out: results become topics and JSON, and JSON becomes typed messages again.

The structs are the contract: payloads are encoded from them, readers decode into
them, and their JSON Schemas are generated from them. A reader ignores fields it
does not know, so fields may be added; any other change raises `PAYLOAD_VERSION`.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self, cast

import msgspec
import numpy as np

from edgepose.skeleton import JOINT_NAMES, LIMBS
from edgepose.system.hardware import Throttling
from edgepose.types import PAYLOAD_VERSION, Posture

POSES_EXPIRY_S: Final = 2  # MQTT 5: a pose that waited longer in the broker is worthless

Score = Annotated[float, msgspec.Meta(ge=0, le=1)]
Timestamp = Annotated[str, msgspec.Meta(description="RFC 3339 in UTC with milliseconds")]
Keypoint = Annotated[tuple[float, float, Score], msgspec.Meta(description="x, y, score")]


class PersonMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One person of a frame, in pixels of the camera's picture."""

    id: int | None
    """Stable while the person is in view; null where people are not followed."""

    score: Score
    bbox: Annotated[
        tuple[float, float, float, float], msgspec.Meta(description="x, y, width, height")
    ]
    posture: Posture = "unknown"
    zones: list[str] = []
    moving: bool | msgspec.UnsetType = msgspec.UNSET
    """Moved within the last second; left out where people are not followed."""

    velocity: tuple[float, float] | msgspec.UnsetType = msgspec.UNSET
    """Of the point on the ground, in pixels a second; left out until it is known."""

    facing: float | msgspec.UnsetType = msgspec.UNSET
    """Degrees from the camera's direction: 0 towards it, 180 away, 90 to the right of the
    picture; left out from the side."""

    position: tuple[float, float] | msgspec.UnsetType = msgspec.UNSET
    """x and y on the floor in metres, in `frame_id`; left out without a floor."""

    speed: float | msgspec.UnsetType = msgspec.UNSET
    """Metres a second on the floor; left out until it is known."""

    heading: float | msgspec.UnsetType = msgspec.UNSET
    """Where the person goes, in degrees: 0 along x, 90 along y; left out for one who stands."""

    height: float | msgspec.UnsetType = msgspec.UNSET
    """The middle of the head above the floor in metres; left out where it is not known."""

    nearest: float | msgspec.UnsetType = msgspec.UNSET
    """Metres on the floor to the nearest other person; left out for one who is alone."""

    keypoints: Annotated[list[Keypoint], msgspec.Meta(min_length=17, max_length=17)]
    """17 in COCO's order; also those below the minimum score."""


class PosesMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The topic `C/poses`: everybody in one frame."""

    v: int = PAYLOAD_VERSION
    device: str
    camera: str
    seq: int
    """Counts the processed frames of this camera."""

    captured_at: Timestamp
    latency_ms: float
    """From the moment of the picture to this message."""

    width: int
    height: int
    model: str
    frame_id: str | msgspec.UnsetType = msgspec.UNSET
    """The coordinate frame of the positions; left out without a floor."""

    poses: list[PersonMessage]


class ZoneState(msgspec.Struct, frozen=True, kw_only=True):
    """Who is in a zone."""

    occupied: bool = False
    count: int = 0
    longest_s: int = 0
    """The longest stay of those inside, in steps of 10 s."""


class CameraSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `C/set` may change, as it is in force now."""

    fps: float
    min_pose_score: Score
    min_keypoint_score: Score
    fall: bool
    """Falls are watched for."""


class StateMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The topic `C/state`: the latest, retained."""

    v: int = PAYLOAD_VERSION
    device: str
    camera: str
    occupied: bool = False
    count: int = 0
    fall: bool = False
    long_lie: bool = False
    """A person has been lying outside every rest zone for too long."""

    moving: bool = False
    """A person in view has moved within the last second."""

    still: bool = False
    """There are people, and none of them has moved for `events.still_s`."""

    still_since: Timestamp | None = None
    """The last movement, while `still`."""

    posture: Posture = "unknown"
    zones: dict[str, ZoneState] = {}
    lines: dict[str, dict[str, int]] = {}
    """By line and the side crossed to: how many people, also before the last start."""

    paused: bool = False
    """Nobody looks at this camera's frames; all else says that nobody is there."""

    settings: CameraSettings | None = None


class EventMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The topic `C/event`: something that happened."""

    v: int = PAYLOAD_VERSION
    id: str
    """Always the same for the same happening: tells a repetition from a second one."""

    type: str
    device: str
    camera: str
    person: int | None
    at: Timestamp
    score: Score
    data: dict[str, Any] = {}


class DelegateStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What runs the model."""

    name: str
    reason: str
    """Why this one."""


class CameraStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a camera is."""

    state: str
    error: str | None = None
    topics: dict[str, str] = {}


class StatusMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The topic `B/status`: what runs here, retained."""

    v: int = PAYLOAD_VERSION
    device: str
    name: str
    version: str
    started_at: Timestamp
    model: str
    model_reason: str = ""
    """Why this model, where it was not named."""

    policy: str = ""
    """Where it looks: `whole`, `follow` or `refine`."""

    runtime: str
    delegate: DelegateStatus
    cameras: dict[str, CameraStatus]
    topics: dict[str, str]
    keypoints: tuple[str, ...] = JOINT_NAMES
    """Names, in the order of every message's keypoints."""

    skeleton: tuple[tuple[int, int], ...] = LIMBS
    """Pairs of keypoints to draw a line between."""


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """The middle and the slow end of many measurements, in milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> Self | None:
        """Summarise measurements; None when there are none."""
        if not len(milliseconds):
            return None
        p50, p99 = np.percentile(milliseconds, (50, 99)).tolist()
        return cls(p50=p50, p99=p99)


class CameraStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a camera did since the last message."""

    fps: float
    frames: int
    """Processed since the start."""

    dropped: int
    """Overtaken by a newer frame before the network was free, since the start: it is too slow."""

    left_out: dict[str, int] = {}
    """All that was not looked at, by reason: `overtaken`, over the `limit` of the camera's `fps`,
    `still` or `paused`."""

    latency_ms: Percentiles | None = None
    """From the moment of the picture to its message."""


class StatsMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The topic `B/stats`: numbers, every ten seconds."""

    v: int = PAYLOAD_VERSION
    device: str
    at: Timestamp
    uptime_s: float
    cameras: dict[str, CameraStats]
    stages_ms: dict[str, Percentiles]
    messages_dropped: dict[str, int] = {}
    """By kind, since the start."""

    cpu_percent: float | None = None
    """Of one core."""

    memory_mb: float | None = None
    temperature_c: float | None = None
    throttled: bool | None = None
    """Slowed down by heat or a weak supply right now. None where the board cannot tell."""

    throttling: Throttling | None = None
    """By what, and what has slowed it down since it was started."""


class Pong(msgspec.Struct, frozen=True):
    """What the request `ping` is answered with."""

    at: Timestamp
    """The device's time."""


class Pictures(msgspec.Struct, frozen=True):
    """What the request `snapshot` is answered with."""

    topics: dict[str, str]
    """By camera, where its picture was sent."""


class Reloading(msgspec.Struct, frozen=True):
    """What the request `reload` is answered with: the file is good and will be applied."""

    reloading: bool


class LinesReset(msgspec.Struct, frozen=True):
    """What the request `reset_lines` is answered with."""

    lines: dict[str, dict[str, dict[str, int]]]
    """The counts now: by camera, line and the side crossed to."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that `doctor` has looked at."""

    check: str
    verdict: Literal["ok", "warn", "fail"]
    found: str
    mend: str = ""
    """What to do; empty when all is well."""


class Report(msgspec.Struct, frozen=True):
    """What the request `doctor` is answered with."""

    ok: bool
    """Nothing fails."""

    findings: list[Finding]

    @classmethod
    def of(cls, findings: list[Finding]) -> Self:
        """Put findings together."""
        return cls(all(finding.verdict != "fail" for finding in findings), findings)


class AvailabilityMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The topics `B/availability` and `C/availability`: plain text, not JSON."""

    device: str
    camera: str | None
    """None: the whole device."""

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
"""The last level of a topic to what its payload holds."""
_DECODERS: Final = {leaf: msgspec.json.Decoder(type_) for leaf, type_ in BY_TOPIC.items()}
_UNPACKER: Final = msgspec.msgpack.Decoder(PosesMessage)


def read(base: str, topic: str, payload: bytes) -> AnyMessage | None:
    """Read what came on a topic; None when it is none of those listed here, or was cleared.

    Raises
    ------
    msgspec.DecodeError
        When the payload is not what the topic should carry.
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
