"""What goes out: results become topics and JSON, and JSON becomes typed messages again.

The structs are the contract: payloads are encoded from them, readers decode into
them, and their JSON Schemas are generated from them. A reader ignores fields it
does not know, so fields may be added; any other change raises `PAYLOAD_VERSION`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal, Self, cast

import msgspec
import numpy as np

from edgepose.skeleton import JOINT_NAMES, LIMBS
from edgepose.structures import PAYLOAD_VERSION, Event, Frame, Message, Pose, Posture, Track
from edgepose.timing import rfc3339

POSES_EXPIRY_S: Final = 2  # MQTT 5: a pose that waited longer in the broker is worthless

COORDINATE_DECIMALS: Final = 1
SCORE_DECIMALS: Final = 3

Score = Annotated[float, msgspec.Meta(ge=0, le=1)]
Timestamp = Annotated[str, msgspec.Meta(description="RFC 3339 in UTC with milliseconds")]
Keypoint = Annotated[tuple[float, float, Score], msgspec.Meta(description="x, y, score")]


@dataclass(frozen=True, slots=True)
class CameraTopics:
    """Where one camera speaks and listens."""

    device: str
    camera: str
    prefix: str
    """``<base_topic>/<device id>/<camera id>``."""

    @property
    def availability(self) -> str:
        """Retained ``online`` or ``offline``."""
        return f"{self.prefix}/availability"

    @property
    def poses(self) -> str:
        """One message for each processed frame."""
        return f"{self.prefix}/poses"

    @property
    def poses_msgpack(self) -> str:
        """What `poses` says, in MessagePack; where `mqtt.encoding` asks for it."""
        return f"{self.prefix}/poses/msgpack"

    @property
    def state(self) -> str:
        """Retained; on change."""
        return f"{self.prefix}/state"

    @property
    def event(self) -> str:
        """One message for each event."""
        return f"{self.prefix}/event"

    @property
    def snapshot(self) -> str:
        """JPEG, on request."""
        return f"{self.prefix}/snapshot"

    @property
    def set(self) -> str:
        """Settings come in here."""
        return f"{self.prefix}/set"

    def listed(self, *, packed: bool = False) -> dict[str, str]:
        """Return its topics by their names, as `status` tells them."""
        names = ["availability", "poses", "state", "event", "snapshot", "set"]
        names += ["poses_msgpack"] if packed else []
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Topics:
    """Where one device speaks and listens."""

    base: str
    device: str

    @property
    def prefix(self) -> str:
        """``<base_topic>/<device id>``."""
        return f"{self.base}/{self.device}"

    @property
    def availability(self) -> str:
        """Retained ``online`` or ``offline``; the last will's topic."""
        return f"{self.prefix}/availability"

    @property
    def status(self) -> str:
        """Retained: what runs here and how it is."""
        return f"{self.prefix}/status"

    @property
    def stats(self) -> str:
        """Numbers, every ten seconds."""
        return f"{self.prefix}/stats"

    def request(self, verb: str) -> str:
        """Return the topic on which a request comes in."""
        return f"{self.prefix}/request/{verb}"

    def response(self, verb: str) -> str:
        """Return the topic on which a request is answered."""
        return f"{self.prefix}/response/{verb}"

    def camera(self, camera: str) -> CameraTopics:
        """Return the topics of one camera."""
        return CameraTopics(self.device, camera, f"{self.prefix}/{camera}")

    def listed(self) -> dict[str, str]:
        """Return the topics it speaks on by their names, as `status` tells them."""
        return {name: getattr(self, name) for name in ("availability", "status", "stats")}


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
    poses: list[PersonMessage]


class ZoneState(msgspec.Struct, frozen=True, kw_only=True):
    """Who is in a zone."""

    occupied: bool = False
    count: int = 0


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
    posture: Posture = "unknown"
    zones: dict[str, ZoneState] = {}
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


class Throttling(msgspec.Struct, frozen=True):
    """What slows a Raspberry Pi down, by flag; one that the machine cannot tell is missing."""

    now: dict[str, bool]
    """`under_voltage`, `frequency_capped`, `throttled`, `soft_temperature_limit`."""

    since_boot: dict[str, bool]
    """The same, at any time since it was started."""

    @property
    def is_slow(self) -> bool:
        """Whether anything slows it down right now."""
        return any(self.now.values())


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


def _plain(value: Any) -> Any:
    """Turn numpy's numbers and arrays into Python's; msgspec asks for what it does not know."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    msg = f"{type(value).__name__} cannot be written as JSON"
    raise NotImplementedError(msg)


_POINT: Final = np.dtype(
    [("three", "u1")] + [field for name in "xys" for field in ((f"f{name}", "u1"), (name, ">f4"))]
)
"""A keypoint in MessagePack: an array of three numbers of 32 bits, each after its mark."""

_ARRAY_OF_3: Final = 0x93
_FLOAT_32: Final = 0xCA
_KEYPOINTS: Final = bytes((0xDC, 0, len(JOINT_NAMES)))  # an array of 17

_ENCODER: Final = msgspec.json.Encoder(enc_hook=_plain)
_ORDERED: Final = msgspec.json.Encoder(enc_hook=_plain, order="sorted")
_DECODERS: Final = {leaf: msgspec.json.Decoder(type_) for leaf, type_ in BY_TOPIC.items()}
_PACKER: Final = msgspec.msgpack.Encoder()
_UNPACKER: Final = msgspec.msgpack.Decoder(PosesMessage)


def encode(message: msgspec.Struct) -> bytes:
    """Write a struct as one line of JSON; a number that is none becomes null."""
    return _ENCODER.encode(message)


def pack(message: PosesMessage) -> bytes:
    """Write poses as MessagePack, of the same shape as in JSON.

    Keypoints have 32 bits a number: with the 64 of Python's the message would be longer
    than in JSON.
    """
    people = [
        msgspec.structs.replace(person, keypoints=_packed(person.keypoints))
        for person in message.poses
    ]
    return _PACKER.encode(msgspec.structs.replace(message, poses=people))


def _packed(keypoints: Sequence[Keypoint]) -> msgspec.Raw:
    points = np.empty(len(keypoints), _POINT)
    points["three"] = _ARRAY_OF_3
    for column, name in zip(np.array(keypoints).T, "xys", strict=True):
        points[f"f{name}"], points[name] = _FLOAT_32, column
    return msgspec.Raw(_KEYPOINTS + points.tobytes())


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


def _people(people: Sequence[Track | Pose]) -> list[PersonMessage]:
    """Round and list people, all of them at once: six cost less than one by one."""
    if not people:
        return []
    tracks = [person if isinstance(person, Track) else None for person in people]
    poses = [person.pose if isinstance(person, Track) else person for person in people]
    keypoints = np.array([pose.keypoints for pose in poses], dtype=np.float64)
    boxes = np.array([(*pose.box, pose.score) for pose in poses])
    # A number that is none must not reach JSON: such a keypoint counts as not seen.
    keypoints[~np.isfinite(keypoints).all(axis=2)] = 0
    boxes[~np.isfinite(boxes)] = 0
    for rows in (keypoints, boxes):
        rows[..., :-1] = rows[..., :-1].round(COORDINATE_DECIMALS)
        rows[..., -1] = rows[..., -1].clip(0, 1).round(SCORE_DECIMALS)
        np.add(rows, 0.0, out=rows)  # so that -0.0 is 0.0
    return [
        PersonMessage(
            id=(track.id or None) if track else None,
            score=score,
            bbox=(x, y, width, height),
            posture=track.posture if track else "unknown",
            zones=list(track.zones) if track else [],
            keypoints=points,
        )
        for track, (x, y, width, height, score), points in zip(
            tracks, boxes.tolist(), keypoints.tolist(), strict=True
        )
    ]


def poses(
    camera: CameraTopics,
    frame: Frame,
    people: Sequence[Track | Pose],
    *,
    seq: int,
    latency_ms: float,
    model: str,
) -> Message:
    """Say who is in a frame, and how they stand; also that nobody is.

    Parameters
    ----------
    people
        Tracks, or poses where nobody is followed: their `id` is null then.
    seq
        Counts the processed frames of this camera.
    latency_ms
        From `frame.read_ns` to now.
    """
    message = PosesMessage(
        device=camera.device,
        camera=camera.camera,
        seq=seq,
        captured_at=rfc3339(frame.unix_ns),
        latency_ms=round(latency_ms, 1),
        width=frame.size.width,
        height=frame.size.height,
        model=model,
        poses=_people(people),
    )
    return Message(
        camera.poses, encode(message), "poses", expiry_s=POSES_EXPIRY_S, read_ns=frame.read_ns
    )


def packed(camera: CameraTopics, poses: Message) -> Message:
    """Say once more who is in a frame, for those who read MessagePack."""
    return replace(
        poses,
        topic=camera.poses_msgpack,
        payload=pack(msgspec.json.decode(poses.payload, type=PosesMessage)),
        content_type="application/msgpack",
    )


def event(camera: CameraTopics, happened: Event, frame: Frame) -> Message:
    """Say that something happened; the frame tells how wall time and its clock relate."""
    unix_ns = frame.unix_ns + happened.at_ns - frame.captured_ns
    message = EventMessage(
        id=event_id(camera, happened, unix_ns),
        type=happened.type,
        device=camera.device,
        camera=camera.camera,
        person=happened.person,
        at=rfc3339(unix_ns),
        score=_score(happened.score),
        data=dict(happened.data),
    )
    return Message(camera.event, encode(message), "event", qos=1)


def event_id(camera: CameraTopics, happened: Event, unix_ns: int) -> str:
    """Name a happening by what it is, so that sending or replaying it again gives the same name.

    What else the event says counts too: one step may enter two zones.
    """
    what = (camera.device, camera.camera, happened.type, happened.person, unix_ns, happened.data)
    return hashlib.blake2s(_ORDERED.encode(what), digest_size=10).hexdigest()


def state(camera: CameraTopics, parts: Iterable[Mapping[str, Any]]) -> Message:
    """Say how things are: each detector knows a part, what nobody knows keeps its default."""
    known = {key: value for part in parts for key, value in part.items()}
    message = msgspec.convert(
        {"device": camera.device, "camera": camera.camera} | known, StateMessage
    )
    return Message(camera.state, encode(message), "state", qos=1, retain=True)


def availability(topics: Topics | CameraTopics, *, online: bool) -> Message:
    """Say whether a device or a camera is there."""
    payload = b"online" if online else b"offline"
    return Message(
        topics.availability, payload, "state", qos=1, retain=True, content_type="text/plain"
    )


def status(topics: Topics, message: StatusMessage) -> Message:
    """Say what runs here."""
    return Message(topics.status, encode(message), "state", qos=1, retain=True)


def stats(topics: Topics, message: StatsMessage) -> Message:
    """Say the numbers, two decimals each."""
    payload = _ENCODER.encode(_rounded(msgspec.to_builtins(message)))
    return Message(topics.stats, payload, "stats")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 2) if np.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return value


def _score(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), SCORE_DECIMALS) if np.isfinite(value) else 0.0
