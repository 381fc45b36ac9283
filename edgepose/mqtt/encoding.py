"""Encodes results as JSON and MessagePack payloads."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any, Final

import msgspec
import numpy as np

from edgepose.mqtt.messages import (
    POSES_EXPIRY_S,
    EventMessage,
    Keypoint,
    PersonMessage,
    PosesMessage,
    StateMessage,
    StatsMessage,
    StatusMessage,
)
from edgepose.mqtt.topics import CameraTopics, Topics
from edgepose.people.kinematics import nearest_m
from edgepose.skeleton import JOINT_NAMES
from edgepose.timing import rfc3339
from edgepose.types import Event, Frame, Message, Pose, Track

COORDINATE_DECIMALS: Final = 1
SCORE_DECIMALS: Final = 3
METRE_DECIMALS: Final = 2


def _to_plain(value: Any) -> Any:
    """Convert NumPy scalars and arrays for msgspec's encoder."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    msg = f"{type(value).__name__} cannot be written as JSON"
    raise NotImplementedError(msg)


_POINT: Final = np.dtype(
    [("three", "u1")] + [field for name in "xys" for field in ((f"f{name}", "u1"), (name, ">f4"))]
)
"""A keypoint in MessagePack: an array of three 32-bit floats, each with its type byte."""

_ARRAY_OF_3: Final = 0x93
_FLOAT_32: Final = 0xCA
_KEYPOINTS: Final = bytes((0xDC, 0, len(JOINT_NAMES)))  # an array of 17

_ENCODER: Final = msgspec.json.Encoder(enc_hook=_to_plain)
_ORDERED: Final = msgspec.json.Encoder(enc_hook=_to_plain, order="sorted")
_PACKER: Final = msgspec.msgpack.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """Encode a struct as one line of JSON; NaN and infinity become null."""
    return _ENCODER.encode(message)


def pack(message: PosesMessage) -> bytes:
    """Encode poses as MessagePack, with the same fields as in JSON.

    Keypoints are 32-bit floats: with 64 bits the message would be longer than in JSON.
    """
    people = [
        msgspec.structs.replace(person, keypoints=_pack_keypoints(person.keypoints))
        for person in message.poses
    ]
    return _PACKER.encode(msgspec.structs.replace(message, poses=people))


def _pack_keypoints(keypoints: Sequence[Keypoint]) -> msgspec.Raw:
    points = np.empty(len(keypoints), _POINT)
    points["three"] = _ARRAY_OF_3
    for column, name in zip(np.array(keypoints).T, "xys", strict=True):
        points[f"f{name}"], points[name] = _FLOAT_32, column
    return msgspec.Raw(_KEYPOINTS + points.tobytes())


def _encode_people(people: Sequence[Track | Pose]) -> list[PersonMessage]:
    """Round and convert all people in one numpy operation, which is faster than one by one."""
    if not people:
        return []
    tracks = [person if isinstance(person, Track) else None for person in people]
    poses = [person.pose if isinstance(person, Track) else person for person in people]
    keypoints = np.array([pose.keypoints for pose in poses], dtype=np.float64)
    boxes = np.array([(*pose.box, pose.score) for pose in poses])
    # NaN and infinity are not valid JSON: such a keypoint is sent as [0, 0, 0].
    keypoints[~np.isfinite(keypoints).all(axis=2)] = 0
    boxes[~np.isfinite(boxes)] = 0
    for rows in (keypoints, boxes):
        rows[..., :-1] = rows[..., :-1].round(COORDINATE_DECIMALS)
        rows[..., -1] = rows[..., -1].clip(0, 1).round(SCORE_DECIMALS)
        np.add(rows, 0.0, out=rows)  # so that -0.0 is 0.0
    nearest = nearest_m([track for track in tracks if track is not None])
    return [
        PersonMessage(
            id=(track.id or None) if track else None,
            score=score,
            bbox=(x, y, width, height),
            posture=track.posture if track else "unknown",
            posture_detail=(track and track.posture_detail) or msgspec.UNSET,
            zones=list(track.zones) if track else [],
            keypoints=points,
            **(_motion_fields(track, nearest) if track else {}),
        )
        for track, (x, y, width, height, score), points in zip(
            tracks, boxes.tolist(), keypoints.tolist(), strict=True
        )
    ]


def _motion_fields(track: Track, nearest: Mapping[int, float]) -> dict[str, Any]:
    """Return the fields about a person's movement; unknown ones are omitted."""
    known: dict[str, Any] = {"moving": track.moving, "facing": _round_number(track.facing_deg, 0)}
    known["velocity"] = _round_pair(track.velocity, COORDINATE_DECIMALS)
    if (place := track.place) is not None:
        known |= {
            "position": _round_pair(place.at, METRE_DECIMALS),
            "speed": _round_number(place.speed, METRE_DECIMALS),
            "heading": _round_number(place.heading_deg, 0),
            "height": _round_number(place.height, METRE_DECIMALS),
            "nearest": _round_number(nearest.get(track.id), METRE_DECIMALS),
        }
    return {key: value for key, value in known.items() if value is not None}


def _round_number(value: float | None, decimals: int) -> float | None:
    """Round a number; None stays None."""
    return None if value is None or not isfinite(value) else round(value, decimals) + 0.0


def _round_pair(pair: tuple[float, float] | None, decimals: int) -> tuple[float, float] | None:
    if pair is None or not (isfinite(pair[0]) and isfinite(pair[1])):
        return None
    return round(pair[0], decimals) + 0.0, round(pair[1], decimals) + 0.0


def poses(
    camera: CameraTopics,
    frame: Frame,
    people: Sequence[Track | Pose],
    *,
    seq: int,
    latency_ms: float,
    model: str,
    frame_id: str | None = None,
) -> Message:
    """Return the `C/poses` message of a frame; its list is empty without people.

    Parameters
    ----------
    people
        Tracks, or poses without tracking, whose `id` is null.
    seq
        Sequence number of this camera's processed frames.
    latency_ms
        Time from `frame.read_ns` to now.
    frame_id
        Coordinate frame of the positions; None without a floor.
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
        frame_id=msgspec.UNSET if frame_id is None else frame_id,
        poses=_encode_people(people),
    )
    return Message(
        camera.poses, encode(message), "poses", expiry_s=POSES_EXPIRY_S, read_ns=frame.read_ns
    )


def packed(camera: CameraTopics, poses: Message) -> Message:
    """Convert a `C/poses` message to MessagePack."""
    return replace(
        poses,
        topic=camera.poses_msgpack,
        payload=pack(msgspec.json.decode(poses.payload, type=PosesMessage)),
        content_type="application/msgpack",
    )


def event(camera: CameraTopics, happened: Event, frame: Frame) -> Message:
    """Return the `C/event` message; the frame provides the wall time of its clock."""
    unix_ns = frame.unix_ns + happened.at_ns - frame.captured_ns
    message = EventMessage(
        id=event_id(camera, happened, unix_ns),
        type=happened.type,
        device=camera.device,
        camera=camera.camera,
        person=happened.person,
        at=rfc3339(unix_ns),
        score=_round_score(happened.score),
        data=dict(happened.data),
    )
    return Message(camera.event, encode(message), "event", qos=1)


def event_id(camera: CameraTopics, happened: Event, unix_ns: int) -> str:
    """Return an id derived from the event's content, so that resending or replaying keeps it.

    It depends on `data`, since a person may enter two zones in the same frame.
    """
    what = (camera.device, camera.camera, happened.type, happened.person, unix_ns, happened.data)
    return hashlib.blake2s(_ORDERED.encode(what), digest_size=10).hexdigest()


def state(
    camera: CameraTopics, parts: Iterable[Mapping[str, Any]], frame: Frame | None = None
) -> Message:
    """Return the `C/state` message from the parts of all detectors; missing keys get defaults.

    A key that ends in `_ns` holds a time of the frames' clock. It is converted to wall time with
    the given frame and loses the suffix; without a frame it is omitted.
    """
    known: dict[str, Any] = {}
    for key, value in (item for part in parts for item in part.items()):
        if not key.endswith("_ns"):
            known[key] = value
        elif frame is not None and value is not None:
            known[key.removesuffix("_ns")] = rfc3339(frame.unix_ns + value - frame.captured_ns)
    message = msgspec.convert(
        {"device": camera.device, "camera": camera.camera} | known, StateMessage
    )
    return Message(camera.state, encode(message), "state", qos=1, retain=True)


def availability(topics: Topics | CameraTopics, *, online: bool) -> Message:
    """Return the availability message of a device or camera."""
    payload = b"online" if online else b"offline"
    return Message(
        topics.availability, payload, "state", qos=1, retain=True, content_type="text/plain"
    )


def status(topics: Topics, message: StatusMessage) -> Message:
    """Return the `B/status` message."""
    return Message(topics.status, encode(message), "state", qos=1, retain=True)


def stats(topics: Topics, message: StatsMessage) -> Message:
    """Return the `B/stats` message, with two decimals."""
    payload = _ENCODER.encode(_round_values(msgspec.to_builtins(message)))
    return Message(topics.stats, payload, "stats")


def _round_values(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 2) if np.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _round_values(inner) for key, inner in value.items()}
    return value


def _round_score(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), SCORE_DECIMALS) if np.isfinite(value) else 0.0
