"""From edgepose's messages to the fields of ROS messages; imports nothing of ROS.

A ROS message is a dictionary here, by the field names of its definition, as
`rosidl_runtime_py.set_message.set_message_fields` takes it. Runs on Python 3.10, which ROS 2
Humble has.
"""

import json
import math
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

NS_PER_S = 1_000_000_000

JOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
"""Ours: COCO's order."""

HRI_JOINTS = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow",
    "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee",
    "left_ankle", "left_eye", "right_eye", "left_ear", "right_ear",
)  # fmt: skip
"""The codes 0 to 17 of `hri_msgs/Skeleton2D`: OpenPose's order."""

POSTURES = {"unknown": 0, "standing": 1, "sitting": 2, "crouching": 3, "lying": 4}
"""`hri_msgs/BodyPosture`: OTHER, STANDING, SITTING, CROUCHING, LAYING."""

GESTURES = {
    ("hand_raised", "left"): 3,
    ("hand_raised", "right"): 4,
    ("both_hands_up", None): 5,
    ("wave", "left"): 6,
    ("wave", "right"): 6,
}
"""`hri_msgs/Gesture`: LEFT_HAND_RAISED, RIGHT_HAND_RAISED, BOTH_HANDS_RAISED, WAVING."""

LIMBS = (
    (0, 1), (1, 3), (0, 2), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12),
    (11, 12), (11, 13), (13, 15), (12, 14), (14, 16),
)  # fmt: skip
"""Pairs of joints to draw a line between."""

COLOURS = (
    (0.90, 0.62, 0.00), (0.34, 0.71, 0.91), (0.00, 0.62, 0.45), (0.94, 0.89, 0.26),
    (0.00, 0.45, 0.70), (0.84, 0.37, 0.00), (0.80, 0.47, 0.65),
)  # fmt: skip
"""Of people, by id; those of Okabe and Ito, which colour-blind people tell apart."""

LINE_LIST, ADD, DELETE = 5, 0, 2
"""Constants of `visualization_msgs/Marker`."""

LINE_M = 0.01
DRAWN = 0.3  # joints below this score are not drawn

OTHER_GESTURE = 0
BODIES = "/humans/bodies"
REMEMBERED = 256  # ids of events: one may come twice

Fields = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """One message for one ROS topic; without fields the topic is not needed any more."""

    topic: str
    type: str
    fields: Fields | None


@dataclass
class Seen:
    """What is known of one camera."""

    bodies: list[str] = field(default_factory=list)
    at_ns: int = 0
    """When its newest frame came."""

    header: Fields = field(default_factory=dict)


def name(text: str) -> str:
    """Make a name that may stand in ROS topics: letters, digits and single underscores.

    Examples
    --------
    >>> name("2nd-floor__pi")
    'n2nd_floor_pi'
    """
    plain = re.sub("[^A-Za-z0-9]+", "_", text).strip("_")
    return f"n{plain}" if plain[:1].isdigit() else plain


def body_id(device: str, camera: str, person: int) -> str:
    """Return the id of a body: one for each person in view, of all cameras."""
    return f"{name(device)}_{name(camera)}_{person}"


def time_of(rfc3339: str) -> Fields:
    """Return `builtin_interfaces/Time` of a moment in wall time."""
    moment = datetime.strptime(rfc3339, "%Y-%m-%dT%H:%M:%S.%f%z")
    return {"sec": int(moment.timestamp()), "nanosec": moment.microsecond * 1000}


def time_at(unix_ns: int) -> Fields:
    """Return `builtin_interfaces/Time` of nanoseconds on ROS's clock."""
    sec, nanosec = divmod(unix_ns, NS_PER_S)
    return {"sec": sec, "nanosec": nanosec}


def point(x: float, y: float, score: float, size: tuple[int, int]) -> Fields:
    """Return `hri_msgs/NormalizedPointOfInterest2D` of a point in pixels.

    The first pixel's centre is (0, 0) in edgepose, and half a pixel into the picture here.
    Coordinates must lie within [0, 1]: what is outside the picture is put on its edge, and its
    confidence is 0.
    """
    across, down = ((value + 0.5) / length for value, length in zip((x, y), size, strict=True))
    inside = 0 <= across <= 1 and 0 <= down <= 1
    return {"x": _within(across), "y": _within(down), "c": float(score) if inside else 0.0}


def skeleton(keypoints: list[list[float]], size: tuple[int, int], header: Fields) -> Fields:
    """Return `hri_msgs/Skeleton2D`; the neck, which COCO has not, lies between the shoulders."""
    by_name = dict(zip(JOINTS, keypoints, strict=True))
    left, right = by_name["left_shoulder"], by_name["right_shoulder"]
    between = [(left[axis] + right[axis]) / 2 for axis in (0, 1)]
    by_name["neck"] = [*between, min(left[2], right[2])]
    points = [point(*by_name[joint], size) for joint in HRI_JOINTS]
    return {"header": header, "skeleton": points}


def region(person: Fields, size: tuple[int, int], header: Fields) -> Fields:
    """Return `hri_msgs/NormalizedRegionOfInterest2D` of the box around a person."""
    x, y, width, height = person["bbox"]
    low, high = point(x, y, 1, size), point(x + width, y + height, 1, size)
    return {
        "header": header,
        "xmin": low["x"],
        "ymin": low["y"],
        "xmax": high["x"],
        "ymax": high["y"],
        "c": float(person["score"]),
    }


def body_posture(person: Fields) -> int:
    """Return the code of a person's posture; `posture_detail` has the crouching ones."""
    crouches = person.get("posture_detail") == "crouching"
    return POSTURES.get("crouching" if crouches else person["posture"], 0)


def pose(person: Fields, stamp: Fields, frame_id: str) -> Fields:
    """Return `geometry_msgs/PoseStamped` of a person on the floor, in metres.

    It looks where the person goes; of one who stands the orientation is the frame's own.
    """
    x, y = person["position"]
    half = math.radians(person.get("heading", 0.0)) / 2
    turned = {"x": 0.0, "y": 0.0, "z": math.sin(half), "w": math.cos(half)}
    return {
        "header": {"stamp": stamp, "frame_id": frame_id},
        "pose": {"position": {"x": float(x), "y": float(y), "z": 0.0}, "orientation": turned},
    }


def detection(person: Fields, body: str, header: Fields) -> Fields:
    """Return `vision_msgs/Detection2D`, in pixels as edgepose counts them."""
    x, y, width, height = person["bbox"]
    centre = {"x": x + width / 2, "y": y + height / 2}
    hypothesis = {"class_id": "person", "score": float(person["score"])}
    return {
        "header": header,
        "results": [{"hypothesis": hypothesis}],
        "bbox": {
            "center": {"position": centre, "theta": 0.0},
            "size_x": float(width),
            "size_y": float(height),
        },
        "id": body,
    }


@dataclass(frozen=True)
class Intrinsics:
    """A camera's calibration, as `camera_calibration` writes it."""

    width: int
    height: int
    matrix: tuple[float, ...]
    """K, row by row."""

    model: str
    distortion: tuple[float, ...]
    rectification: tuple[float, ...]
    projection: tuple[float, ...]

    @classmethod
    def of(cls, content: Fields) -> "Intrinsics":
        """Take the content of a calibration file.

        Raises
        ------
        KeyError, TypeError, ValueError
            When something is missing or no number.
        """
        data = {
            key: tuple(float(each) for each in content[key]["data"])
            for key in (
                "camera_matrix",
                "distortion_coefficients",
                "rectification_matrix",
                "projection_matrix",
            )
        }
        if [len(data[key]) for key in data if key != "distortion_coefficients"] != [9, 9, 12]:
            raise ValueError("expected matrices of 3 x 3, 3 x 3 and 3 x 4")
        return cls(
            int(content["image_width"]),
            int(content["image_height"]),
            data["camera_matrix"],
            str(content["distortion_model"]),
            *(data[key] for key in list(data)[1:]),
        )

    def info(self, header: Fields) -> Fields:
        """Return `sensor_msgs/CameraInfo`."""
        return {
            "header": header,
            "width": self.width,
            "height": self.height,
            "distortion_model": self.model,
            "d": list(self.distortion),
            "k": list(self.matrix),
            "r": list(self.rectification),
            "p": list(self.projection),
        }


def ray(point: Sequence[float], size: tuple[int, int], intrinsics: "Intrinsics | None") -> Fields:
    """Return where a pixel's ray meets the plane one metre before the camera, in its optical frame.

    Without intrinsics the focal length is taken to be the height of the picture: about 53 degrees.
    Lens distortion is left in.
    """
    width, height = size
    focal_x = focal_y = float(height)
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    if intrinsics is not None:
        focal_x, _, centre_x, _, focal_y, centre_y = intrinsics.matrix[:6]
    return {"x": (point[0] - centre_x) / focal_x, "y": (point[1] - centre_y) / focal_y, "z": 1.0}


def marker(
    person: Fields, place: str, size: tuple[int, int], intrinsics: Intrinsics | None, header: Fields
) -> Fields:
    """Return `visualization_msgs/Marker` of a skeleton, for RViz."""
    joints = person["keypoints"]
    limbs = [pair for pair in LIMBS if min(joints[pair[0]][2], joints[pair[1]][2]) >= DRAWN]
    red, green, blue = COLOURS[person["id"] % len(COLOURS)]
    return {
        "header": header,
        "ns": place,
        "id": int(person["id"]) % 2**31,
        "type": LINE_LIST,
        "action": ADD,
        "pose": {
            "position": {"x": 0.0, "y": 0.0, "z": 0.0},
            "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0},
        },
        "scale": {"x": LINE_M},
        "color": {"r": red, "g": green, "b": blue, "a": 1.0},
        "points": [ray(joints[joint], size, intrinsics) for pair in limbs for joint in pair],
    }


def without(place: str, person: int, header: Fields) -> Fields:
    """Return the marker that removes a person's."""
    return {"header": header, "ns": place, "id": person % 2**31, "action": DELETE}


def gesture(event: Fields, header: Fields) -> Fields:
    """Return `hri_msgs/Gesture`; one that it has no word for is OTHER."""
    data = event["data"]
    code = GESTURES.get((data.get("gesture"), data.get("side")), OTHER_GESTURE)
    return {"header": header, "gesture": code}


def _within(part: float) -> float:
    return float(min(max(part, 0.0), 1.0))


class Translator:
    """Turns what comes over MQTT into what is to be said on ROS topics.

    One for all cameras: who listens to `/humans/bodies/tracked` takes each message for the
    whole list.

    Parameters
    ----------
    base_topic : str
        Of edgepose.
    frame_id : str
        Of a camera's optical frame; ``{device}`` and ``{camera}`` are replaced.
    arrival : bool
        Stamp with the time at which a message came, on ROS's clock, instead of the time at
        which the picture was taken, on the camera's.
    timeout_s : float
        A camera that says nothing for so long sees nobody.
    calibration : callable, optional
        Returns the intrinsics of a camera by its device and id; None where it has none.
    """

    def __init__(
        self,
        base_topic: str = "edgepose",
        *,
        frame_id: str = "{camera}_optical_frame",
        arrival: bool = False,
        timeout_s: float = 2.0,
        calibration: Callable[[str, str], Intrinsics | None] | None = None,
    ) -> None:
        self._base = base_topic
        self._frame_id = frame_id
        self._arrival = arrival
        self._timeout_ns = int(timeout_s * NS_PER_S)
        self._cameras: dict[tuple[str, str], Seen] = {}
        self._calibration = calibration or (lambda _device, _camera: None)
        self._events: deque[str] = deque(maxlen=REMEMBERED)

    def take(self, topic: str, payload: bytes, now_ns: int) -> list[Said]:
        """Translate one message; what is none of edgepose's, or no JSON, says nothing.

        Parameters
        ----------
        now_ns : int
            On ROS's clock.
        """
        if not topic.startswith(f"{self._base}/"):
            return []
        levels = topic[len(self._base) + 1 :].split("/")
        if levels[-1] == "availability":
            return [] if payload == b"online" else list(self._forget(levels[:-1], now_ns))
        try:
            message = json.loads(payload)
        except ValueError:
            return []
        if len(levels) != 3 or not isinstance(message, dict):
            return []
        if levels[2] == "poses":
            return list(self._poses(message, now_ns))
        return list(self._event(message, payload, now_ns)) if levels[2] == "event" else []

    def look(self, now_ns: int) -> list[Said]:
        """Let those go whom a silent camera saw; to be called now and then."""
        silent = [
            camera
            for camera, seen in self._cameras.items()
            if seen.bodies and now_ns - seen.at_ns > self._timeout_ns
        ]
        return [said for camera in silent for said in self._forget(camera, now_ns)]

    def tracked(self) -> list[str]:
        """Return the ids of all bodies in view of any camera."""
        return [body for seen in self._cameras.values() for body in seen.bodies]

    def _header(self, message: Fields, at: str, now_ns: int) -> Fields:
        frame_id = self._frame_id.format(device=message["device"], camera=message["camera"])
        stamp = time_at(now_ns) if self._arrival else time_of(message[at])
        return {"stamp": stamp, "frame_id": frame_id}

    def _poses(self, message: Fields, now_ns: int) -> Iterator[Said]:
        device, camera, size = message["device"], message["camera"], _size(message)
        header = self._header(message, "captured_at", now_ns)
        people = {
            body_id(device, camera, person["id"]): person
            for person in message["poses"]
            if person["id"] is not None
        }
        seen = self._cameras.setdefault((device, camera), Seen())
        gone = [body for body in seen.bodies if body not in people]
        seen.bodies, seen.at_ns, seen.header = list(people), now_ns, header
        yield self._tracked(header)
        for body, person in people.items():
            place, posture = f"{BODIES}/{body}", body_posture(person)
            points = skeleton(person["keypoints"], size, header)
            yield Said(f"{place}/skeleton2d", "hri_msgs/msg/Skeleton2D", points)
            box = region(person, size, header)
            yield Said(f"{place}/roi", "hri_msgs/msg/NormalizedRegionOfInterest2D", box)
            told = {"header": header, "posture": posture}
            yield Said(f"{place}/posture", "hri_msgs/msg/BodyPosture", told)
            if "position" in person:
                on_floor = pose(person, header["stamp"], message["frame_id"])
                yield Said(f"{place}/pose", "geometry_msgs/msg/PoseStamped", on_floor)
        nameless = [("", person) for person in message["poses"] if person["id"] is None]
        found = [detection(person, id_, header) for id_, person in (*people.items(), *nameless)]
        yield Said(
            f"edgepose/{name(device)}/{name(camera)}/detections",
            "vision_msgs/msg/Detection2DArray",
            {"header": header, "detections": found},
        )
        yield from self._drawn(message, header, gone)
        yield from _closed(gone)

    def _drawn(self, message: Fields, header: Fields, gone: Sequence[str]) -> Iterator[Said]:
        """Say the calibration of the picture, and skeletons for RViz."""
        device, camera, size = message["device"], message["camera"], _size(message)
        place = f"edgepose/{name(device)}/{name(camera)}"
        found = self._calibration(device, camera)
        fitting = found if found and (found.width, found.height) == size else None
        if fitting is not None:
            told = fitting.info(header)
            yield Said(f"{place}/camera_info", "sensor_msgs/msg/CameraInfo", told)
        followed = [person for person in message["poses"] if person["id"] is not None]
        markers = [marker(person, place, size, fitting, header) for person in followed]
        markers += [without(place, int(body.rpartition("_")[2]), header) for body in gone]
        array = "visualization_msgs/msg/MarkerArray"
        yield Said(f"{place}/markers", array, {"markers": markers})

    def _event(self, message: Fields, payload: bytes, now_ns: int) -> Iterator[Said]:
        if message["id"] in self._events:
            return
        self._events.append(message["id"])
        device, camera = message["device"], message["camera"]
        text = {"data": payload.decode("utf-8")}
        yield Said(f"edgepose/{name(device)}/{name(camera)}/events", "std_msgs/msg/String", text)
        body = body_id(device, camera, message["person"] or 0)
        # An event may come hours late; a gesture of somebody who has left is none any more.
        if message["type"] == "gesture" and body in self.tracked():
            told = gesture(message, self._header(message, "at", now_ns))
            yield Said(f"{BODIES}/{body}/gesture", "hri_msgs/msg/Gesture", told)

    def _forget(self, place: Sequence[str], now_ns: int) -> Iterator[Said]:
        """Let everybody go whom a device, or one camera of it, saw."""
        gone: list[str] = []
        markers: list[Said] = []
        header: Fields = {"stamp": time_at(now_ns), "frame_id": ""}
        for (device, camera), seen in self._cameras.items():
            if seen.bodies and [device, camera][: len(place)] == list(place):
                gone += seen.bodies
                header = {**header, "frame_id": seen.header["frame_id"]}
                markers.append(self._undrawn(device, camera, seen.bodies, header))
                seen.bodies = []
        if gone:
            yield self._tracked(header)
            yield from markers
            yield from _closed(gone)

    @staticmethod
    def _undrawn(device: str, camera: str, bodies: Sequence[str], header: Fields) -> Said:
        place = f"edgepose/{name(device)}/{name(camera)}"
        ids = [int(body.rpartition("_")[2]) for body in bodies]
        told = {"markers": [without(place, id_, header) for id_ in ids]}
        return Said(f"{place}/markers", "visualization_msgs/msg/MarkerArray", told)

    def _tracked(self, header: Fields) -> Said:
        ids = {"header": header, "ids": self.tracked()}
        return Said(f"{BODIES}/tracked", "hri_msgs/msg/IdsList", ids)


def _size(message: Fields) -> tuple[int, int]:
    return message["width"], message["height"]


def _closed(bodies: list[str]) -> Iterator[Said]:
    leaves = ("skeleton2d", "roi", "posture", "pose", "gesture")
    return (Said(f"{BODIES}/{body}/{leaf}", "", None) for body in bodies for leaf in leaves)
