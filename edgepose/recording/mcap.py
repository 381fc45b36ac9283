"""Recordings as MCAP, a log format from robotics, with skeletons for Foxglove.

Each topic is a JSON channel with its schema. For every `poses` topic there are two more
that Foxglove draws without configuration: `annotations` (`foxglove.ImageAnnotations`, on
the camera's picture) and `scene` (`foxglove.SceneUpdate`, in the 3D panel, where one
metre is the height of the picture). With a floor there is also `positions`
(`foxglove.PosesInFrame`, in metres).
"""

import base64
import math
from collections.abc import Mapping
from datetime import datetime
from typing import IO, Any, Final

import msgspec
from mcap.writer import Writer

from edgepose.mqtt.messages import PosesMessage
from edgepose.skeleton import LIMBS
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Message

METADATA: Final = "edgepose"
CHUNK: Final = 64 * 1024  # a killed process loses at most one chunk: some seconds
UNSURE: Final = 0.3  # keypoints with a lower score are not drawn
ANNOTATED_POINTS: Final = 1  # of foxglove.PointsAnnotation
ANNOTATED_LINES: Final = 4
SCENE_LINES: Final = 2  # of foxglove.LinePrimitive
EVERYTHING: Final = 1  # of foxglove.SceneEntityDeletion
OTHER_SHAPES: Final = ("arrows", "cubes", "spheres", "cylinders", "triangles", "models")
SCENE_LIFETIME_S: Final = 1  # removes people who have left from the scene

# Colours that remain distinct in daylight and with colour blindness
# (Okabe and Ito 2008, "Color Universal Design").
COLOURS: Final = (
    (0.90, 0.62, 0.00),
    (0.34, 0.71, 0.91),
    (0.00, 0.62, 0.45),
    (0.94, 0.89, 0.26),
    (0.84, 0.37, 0.00),
    (0.80, 0.47, 0.65),
)
CLEAR: Final = {"r": 0.0, "g": 0.0, "b": 0.0, "a": 0.0}

NUMBER: Final = {"type": "number"}
TEXT: Final = {"type": "string"}


def _object_schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _array_schema(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


INTEGER: Final = {"type": "integer"}
TIME: Final = {"title": "time", **_object_schema(sec=INTEGER, nsec=INTEGER)}
DURATION: Final = {"title": "duration", **_object_schema(sec=INTEGER, nsec=INTEGER)}
COLOUR: Final = _object_schema(r=NUMBER, g=NUMBER, b=NUMBER, a=NUMBER)
POINT2: Final = _object_schema(x=NUMBER, y=NUMBER)
POINT3: Final = _object_schema(x=NUMBER, y=NUMBER, z=NUMBER)
PLACE: Final = _object_schema(
    position=POINT3, orientation=_object_schema(x=NUMBER, y=NUMBER, z=NUMBER, w=NUMBER)
)
PAIRS: Final = _array_schema(_object_schema(key=TEXT, value=TEXT))

# Only the fields written here. Readers know these schemas by name, see
# https://docs.foxglove.dev/docs/sdk/schemas
PICTURE: Final = "foxglove.CompressedImage"
FOXGLOVE: Final = {
    PICTURE: _object_schema(
        timestamp=TIME,
        frame_id=TEXT,
        data={**TEXT, "contentEncoding": "base64"},
        format=TEXT,
    ),
    "foxglove.ImageAnnotations": _object_schema(
        circles=_array_schema(_object_schema(timestamp=TIME)),
        points=_array_schema(
            _object_schema(
                timestamp=TIME,
                type=INTEGER,
                points=_array_schema(POINT2),
                outline_color=COLOUR,
                outline_colors=_array_schema(COLOUR),
                fill_color=COLOUR,
                thickness=NUMBER,
                metadata=PAIRS,
            )
        ),
        texts=_array_schema(
            _object_schema(
                timestamp=TIME,
                position=POINT2,
                text=TEXT,
                font_size=NUMBER,
                text_color=COLOUR,
                background_color=COLOUR,
                metadata=PAIRS,
            )
        ),
    ),
    "foxglove.PosesInFrame": _object_schema(
        timestamp=TIME, frame_id=TEXT, poses=_array_schema(PLACE)
    ),
    "foxglove.SceneUpdate": _object_schema(
        deletions=_array_schema(_object_schema(timestamp=TIME, type=INTEGER, id=TEXT)),
        entities=_array_schema(
            _object_schema(
                timestamp=TIME,
                frame_id=TEXT,
                id=TEXT,
                lifetime=DURATION,
                frame_locked={"type": "boolean"},
                metadata=PAIRS,
                lines=_array_schema(
                    _object_schema(
                        type=INTEGER,
                        pose=PLACE,
                        thickness=NUMBER,
                        scale_invariant={"type": "boolean"},
                        points=_array_schema(POINT3),
                        color=COLOUR,
                        colors=_array_schema(COLOUR),
                        indices=_array_schema(INTEGER),
                    )
                ),
                texts=_array_schema(
                    _object_schema(
                        pose=PLACE,
                        billboard={"type": "boolean"},
                        font_size=NUMBER,
                        scale_invariant={"type": "boolean"},
                        color=COLOUR,
                        text=TEXT,
                    )
                ),
                **{name: _array_schema(_object_schema()) for name in OTHER_SHAPES},
            )
        ),
    ),
}


class McapSink:
    """Writes messages to an MCAP file.

    Parameters
    ----------
    file : IO[bytes]
        Output file; closed with the sink. Without `close` it has no index, which readers
        can rebuild.
    about : Mapping
        Description of the recording, written as a metadata record.
    clock : Clock
        Source of arrival times.
    schemas : Mapping
        From the last level of a topic to the name and JSON Schema of its payload.
    """

    def __init__(
        self,
        file: IO[bytes],
        about: Mapping[str, Any],
        clock: Clock,
        schemas: Mapping[str, tuple[str, dict[str, Any]]],
    ) -> None:
        self._file = file
        self._clock = clock
        self._schemas = schemas
        self._channels: dict[str, int] = {}
        self._sequence: dict[str, int] = {}
        self._writer = Writer(file, chunk_size=CHUNK)
        self._writer.start(profile="", library="edgepose")
        told = {key: _text_schema(value) for key, value in about.items()}
        self._writer.add_metadata(METADATA, told)

    def publish(self, message: Message) -> bool:
        """Write one message, and for poses the skeletons for Foxglove; False after `close`."""
        if self._file.closed:
            return False
        now_ns = self._clock.unix_ns()
        leaf = message.topic.rpartition("/")[2]
        name, schema = self._schemas.get(leaf, ("", None))
        if message.content_type == "image/jpeg":
            name, schema = PICTURE, FOXGLOVE[PICTURE]
        payload = _as_object(message, now_ns)
        times = now_ns, _captured_ns(payload, now_ns)
        self._write_record(
            message.topic, self._channel_id(message.topic, name, schema), times, payload
        )
        if leaf == "poses" and _is_poses(message.payload):
            self._draw_people(message.topic.removesuffix("/poses"), payload, times)
        return True

    def close(self) -> None:
        """Write the index and close the file. Idempotent."""
        if not self._file.closed:
            self._writer.finish()  # type: ignore[no-untyped-call]
            self._file.close()

    def _draw_people(self, camera: str, payload: dict[str, Any], times: tuple[int, int]) -> None:
        drawn = {
            "annotations": ("foxglove.ImageAnnotations", annotations(payload, times[1])),
            "scene": ("foxglove.SceneUpdate", scene(payload, times[1])),
        }
        if "frame_id" in payload:
            drawn["positions"] = ("foxglove.PosesInFrame", positions(payload, times[1]))
        for leaf, (name, content) in drawn.items():
            topic = f"{camera}/{leaf}"
            self._write_record(topic, self._channel_id(topic, name, FOXGLOVE[name]), times, content)

    def _write_record(self, topic: str, channel: int, times: tuple[int, int], content: Any) -> None:
        """Write one message; `times` are arrival and capture time in nanoseconds."""
        sequence = self._sequence[topic] = self._sequence.get(topic, -1) + 1
        data = msgspec.json.encode(content)
        self._writer.add_message(channel, times[0], data, times[1], sequence)

    def _channel_id(self, topic: str, name: str, schema: dict[str, Any] | None) -> int:
        """Return the channel of a topic, registered on first use."""
        if topic not in self._channels:
            known = 0
            if schema is not None:
                encoded = msgspec.json.encode({"title": name, **schema})
                known = self._writer.register_schema(name, "jsonschema", encoded)
            self._channels[topic] = self._writer.register_channel(topic, "json", known)
        return self._channels[topic]


LATEST_NS: Final = 1 << 63
"""Limit of capture times: half the range of MCAP's unsigned 64-bit times. Later is invalid."""


def _as_object(message: Message, now_ns: int) -> dict[str, Any]:
    """Return the payload as a JSON object; pictures and other text are wrapped in one."""
    if message.content_type == "image/jpeg":
        camera = message.topic.split("/")[-2]
        data = base64.b64encode(message.payload).decode()
        return {
            "timestamp": _split_time(now_ns),
            "frame_id": camera,
            "data": data,
            "format": "jpeg",
        }
    try:
        payload = msgspec.json.decode(message.payload)
    except (msgspec.DecodeError, RecursionError):
        payload = None
    if isinstance(payload, dict):
        return payload
    return {"text": message.payload.decode(errors="replace")}


def _is_poses(payload: bytes) -> bool:
    """Whether a payload is a valid poses message: any client may publish on the topic."""
    try:
        msgspec.json.decode(payload, type=PosesMessage)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _text_schema(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _captured_ns(payload: dict[str, Any], otherwise_ns: int) -> int:
    """Return the capture time in a payload; `otherwise_ns` if it is missing or invalid."""
    said = payload.get("captured_at") or payload.get("at")
    if not isinstance(said, str):
        return otherwise_ns
    try:
        moment = datetime.fromisoformat(said)
        captured_ns = int(moment.timestamp() * 1000) * (NS_PER_S // 1000)
    except (ValueError, OverflowError):
        return otherwise_ns
    return captured_ns if 0 <= captured_ns < LATEST_NS else otherwise_ns


def _split_time(at_ns: int) -> dict[str, int]:
    seconds, nanoseconds = divmod(at_ns, NS_PER_S)
    return {"sec": seconds, "nsec": nanoseconds}


def _colour_of(person: dict[str, Any], place: int) -> dict[str, float]:
    number = person["id"] if person.get("id") is not None else place
    red, green, blue = COLOURS[number % len(COLOURS)]
    return {"r": red, "g": green, "b": blue, "a": 1.0}


def _limb_ends(person: dict[str, Any]) -> list[tuple[float, float]]:
    """Return the end points of the visible limbs, two for each limb."""
    points = person["keypoints"]
    return [
        (points[joint][0], points[joint][1])
        for limb in LIMBS
        if all(points[end][2] >= UNSURE for end in limb)
        for joint in limb
    ]


def _title_of(person: dict[str, Any]) -> str:
    words = [str(person["id"])] if person.get("id") is not None else []
    return " ".join([*words, person.get("posture_detail") or person.get("posture", "unknown")])


def annotations(payload: dict[str, Any], at_ns: int) -> dict[str, Any]:
    """Return a frame's skeletons as `foxglove.ImageAnnotations`, in frame pixels."""
    points, texts = [], []
    for place, person in enumerate(payload["poses"]):
        colour = _colour_of(person, place)
        shared = {"timestamp": _split_time(at_ns), "metadata": _metadata_of(person)}
        line = {**shared, "outline_color": colour, "outline_colors": [], "fill_color": CLEAR}
        sure = [(x, y) for x, y, score in person["keypoints"] if score >= UNSURE]
        for type_, ends, thickness in (
            (ANNOTATED_LINES, _limb_ends(person), 2.0),
            (ANNOTATED_POINTS, sure, 5.0),
        ):
            # Foxglove's origin is the first pixel's corner, ours is its centre.
            corners = [{"x": x + 0.5, "y": y + 0.5} for x, y in ends]
            points.append({**line, "type": type_, "points": corners, "thickness": thickness})
        x, y, _, _ = person["bbox"]
        texts.append(
            {
                **shared,
                "position": {"x": x + 0.5, "y": y + 0.5},
                "text": _title_of(person),
                "font_size": 14.0,
                "text_color": colour,
                "background_color": {**CLEAR, "a": 0.6},
            }
        )
    return {"circles": [], "points": points, "texts": texts}


def _metadata_of(person: dict[str, Any]) -> list[dict[str, str]]:
    told = {"score": f"{person['score']:.2f}", "zones": " ".join(person.get("zones", []))}
    return [{"key": key, "value": value} for key, value in told.items()]


def positions(payload: dict[str, Any], at_ns: int) -> dict[str, Any]:
    """Return people's positions on the floor as `foxglove.PosesInFrame`, in metres."""
    places = []
    for person in payload["poses"]:
        if "position" in person:
            x, y = person["position"]
            half = math.radians(person.get("heading", 0.0)) / 2
            turned = {"x": 0.0, "y": 0.0, "z": math.sin(half), "w": math.cos(half)}
            places.append({"position": {"x": x, "y": y, "z": 0.0}, "orientation": turned})
    return {"timestamp": _split_time(at_ns), "frame_id": payload["frame_id"], "poses": places}


def scene(payload: dict[str, Any], at_ns: int) -> dict[str, Any]:
    """Return a frame's skeletons as `foxglove.SceneUpdate`, in an upright plane.

    Axes as in robotics: x points into the picture, y to its left, z up. One metre is the
    picture's height; the origin is the middle of its lower edge.
    """
    height, middle = payload["height"], payload["width"] / 2

    def upright(x: float, y: float) -> dict[str, float]:
        return {"x": 0.0, "y": (middle - x - 0.5) / height, "z": 1 - (y + 0.5) / height}

    entities = []
    for place, person in enumerate(payload["poses"]):
        colour = _colour_of(person, place)
        x, y, _, _ = person["bbox"]
        line = {
            "type": SCENE_LINES,
            "pose": _pose_at(0.0, 0.0, 0.0),
            "thickness": 3.0,
            "scale_invariant": True,
            "points": [upright(*end) for end in _limb_ends(person)],
            "color": colour,
            "colors": [],
            "indices": [],
        }
        text = {
            "pose": _pose_at(**upright(x, y)),
            "billboard": True,
            "font_size": 12.0,
            "scale_invariant": True,
            "color": colour,
            "text": _title_of(person),
        }
        entities.append(
            {
                "timestamp": _split_time(at_ns),
                "frame_id": payload["camera"],
                "id": str(person["id"] if person.get("id") is not None else f"pose {place}"),
                "lifetime": {"sec": SCENE_LIFETIME_S, "nsec": 0},
                "frame_locked": False,
                "metadata": _metadata_of(person),
                "lines": [line],
                "texts": [text],
                **{name: [] for name in OTHER_SHAPES},
            }
        )
    gone = {"timestamp": _split_time(at_ns), "type": EVERYTHING, "id": ""}
    return {"deletions": [gone], "entities": entities}


def _pose_at(x: float, y: float, z: float) -> dict[str, dict[str, float]]:
    return {
        "position": {"x": x, "y": y, "z": z},
        "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0},
    }
