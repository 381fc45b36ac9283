"""The ROS 2 bridge without ROS: fields, names and ids; the node with fakes."""

import ast
import importlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest

from edgepose.mqtt import encoding, topics
from edgepose.mqtt.topics import Topics
from edgepose.skeleton import JOINT_NAMES
from edgepose.timing import NS_PER_S
from edgepose.types import Box, Event, Frame, Message, Place, Pose, Track, black_image

PACKAGE: Final = Path(__file__).parents[2] / "deploy" / "ros2"
CAMERA: Final = Topics("edgepose", "hall-pi").camera("hall")
AT_NS: Final = 1_795_464_301_123_000_000
WIDTH, HEIGHT = 640, 480

HEADER = "std_msgs/msg/Header"
DEFINITIONS: Final[dict[str, dict[str, str]]] = {
    HEADER: {"stamp": "builtin_interfaces/msg/Time", "frame_id": "string"},
    "builtin_interfaces/msg/Time": {"sec": "int32", "nanosec": "uint32"},
    "std_msgs/msg/String": {"data": "string"},
    "hri_msgs/msg/IdsList": {"header": HEADER, "ids": "string[]"},
    "hri_msgs/msg/NormalizedPointOfInterest2D": {"x": "float32", "y": "float32", "c": "float32"},
    "hri_msgs/msg/Skeleton2D": {
        "header": HEADER,
        "skeleton": "hri_msgs/msg/NormalizedPointOfInterest2D[18]",
    },
    "hri_msgs/msg/NormalizedRegionOfInterest2D": {"header": HEADER}
    | dict.fromkeys(("xmin", "ymin", "xmax", "ymax", "c"), "float32"),
    "hri_msgs/msg/BodyPosture": {"header": HEADER, "posture": "uint8"},
    "hri_msgs/msg/Gesture": {"header": HEADER, "gesture": "uint8"},
    "geometry_msgs/msg/PoseStamped": {"header": HEADER, "pose": "geometry_msgs/msg/Pose"},
    "geometry_msgs/msg/Pose": {
        "position": "geometry_msgs/msg/Point",
        "orientation": "geometry_msgs/msg/Quaternion",
    },
    "geometry_msgs/msg/Point": dict.fromkeys("xyz", "float64"),
    "geometry_msgs/msg/Quaternion": dict.fromkeys("xyzw", "float64"),
    "vision_msgs/msg/Detection2DArray": {
        "header": HEADER,
        "detections": "vision_msgs/msg/Detection2D[]",
    },
    "vision_msgs/msg/Detection2D": {
        "header": HEADER,
        "results": "vision_msgs/msg/ObjectHypothesisWithPose[]",
        "bbox": "vision_msgs/msg/BoundingBox2D",
        "id": "string",
    },
    "vision_msgs/msg/ObjectHypothesisWithPose": {
        "hypothesis": "vision_msgs/msg/ObjectHypothesis",
        # `pose` keeps ROS's default: the position in the room is unknown.
    },
    "vision_msgs/msg/ObjectHypothesis": {"class_id": "string", "score": "float64"},
    "vision_msgs/msg/BoundingBox2D": {
        "center": "vision_msgs/msg/Pose2D",
        "size_x": "float64",
        "size_y": "float64",
    },
    "vision_msgs/msg/Pose2D": {"position": "vision_msgs/msg/Point2D", "theta": "float64"},
    "vision_msgs/msg/Point2D": {"x": "float64", "y": "float64"},
    "visualization_msgs/msg/MarkerArray": {"markers": "visualization_msgs/msg/Marker[]"},
    "visualization_msgs/msg/Marker": {
        "header": HEADER,
        "ns": "string",
        "id": "int32",
        "type": "int32",
        "action": "int32",
        "pose": "geometry_msgs/msg/Pose",
        "scale": "geometry_msgs/msg/Vector3",
        "color": "std_msgs/msg/ColorRGBA",
        "points": "geometry_msgs/msg/Point[]",
    },
    "geometry_msgs/msg/Vector3": {"x": "float64"},
    "std_msgs/msg/ColorRGBA": dict.fromkeys("rgba", "float32"),
    "sensor_msgs/msg/CameraInfo": {
        "header": HEADER,
        "width": "uint32",
        "height": "uint32",
        "distortion_model": "string",
        "d": "float64[]",
        "k": "float64[9]",
        "r": "float64[9]",
        "p": "float64[12]",
    },
}
"""Fields of the ROS messages, as hri_msgs 2.3 and vision_msgs 4.1 define them."""

LEFT_OUT: Final = ("type", "pose", "scale", "color", "points")
"""Of a marker that removes one."""

PLAIN: Final = {
    "string": lambda value: type(value) is str,
    "float32": lambda value: type(value) is float,
    "float64": lambda value: type(value) is float,
    "int32": lambda value: type(value) is int and -(2**31) <= value < 2**31,
    "uint32": lambda value: type(value) is int and 0 <= value < 2**32,
    "uint8": lambda value: type(value) is int and 0 <= value < 2**8,
}

SKELETON_CODES: Final = {
    "NOSE": 0, "NECK": 1, "RIGHT_SHOULDER": 2, "RIGHT_ELBOW": 3, "RIGHT_WRIST": 4,
    "LEFT_SHOULDER": 5, "LEFT_ELBOW": 6, "LEFT_WRIST": 7, "RIGHT_HIP": 8, "RIGHT_KNEE": 9,
    "RIGHT_ANKLE": 10, "LEFT_HIP": 11, "LEFT_KNEE": 12, "LEFT_ANKLE": 13, "LEFT_EYE": 14,
    "RIGHT_EYE": 15, "LEFT_EAR": 16, "RIGHT_EAR": 17,
}  # fmt: skip
"""Constants of hri_msgs/Skeleton2D."""


def check(type_: str, value: Any) -> None:
    """Assert that a value fits a ROS field type."""
    many = re.fullmatch(r"(.+)\[(\d*)\]", type_)
    if many:
        assert isinstance(value, list)
        assert not many[2] or len(value) == int(many[2]), type_
        for one in value:
            check(many[1], one)
    elif type_ in PLAIN:
        assert PLAIN[type_](value), (type_, value)
    else:
        left_out = LEFT_OUT if value.get("action") == 2 else ()
        assert list(value) == [key for key in DEFINITIONS[type_] if key not in left_out], type_
        for name, inner in DEFINITIONS[type_].items():
            if name not in left_out:
                check(inner, value[name])


@pytest.fixture(scope="module")
def conversion() -> Iterator[ModuleType]:
    sys.path.insert(0, str(PACKAGE))
    yield importlib.import_module("edgepose_bridge.conversion")
    sys.path.remove(str(PACKAGE))


@pytest.fixture
def translator(conversion: ModuleType) -> Any:
    return conversion.Translator()


def frame(at_ns: int = AT_NS) -> Frame:
    image = black_image((HEIGHT, WIDTH, 3))
    return Frame(image, at_ns, at_ns, at_ns)


def person(id_: int, left: float = 100.0) -> Track:
    """Return a person: joint n is n pixels right of `left`, 10 n down, with rising scores."""
    joint = np.arange(17, dtype=np.float32)
    keypoints = np.stack([left + joint, 10 * joint, 0.05 + joint / 20], axis=1)
    box = Box(left, 0, 16, 160)
    return Track(id_, Pose(keypoints, 0.75, box), AT_NS, "lying")


def poses(*people: Track, camera: topics.CameraTopics = CAMERA) -> Message:
    return encoding.poses(camera, frame(), people, seq=1, latency_ms=1, model="m")


def said(translator: Any, message: Message, now_ns: int = AT_NS) -> dict[str, Any]:
    """Return the fields published on each topic; None if it is closed."""
    found = translator.take(message.topic, message.payload, now_ns)
    for one in found:
        if one.fields is not None:
            check(one.type, one.fields)
    return {one.topic: one.fields for one in found}


def test_it_says_all_of_a_person_in_fields_that_there_are(translator: Any) -> None:
    """Topics follow REP 155, and fields have valid names and types."""
    found = said(translator, poses(person(7)))

    assert list(found) == [
        "/humans/bodies/tracked",
        "/humans/bodies/hall_pi_hall_7/skeleton2d",
        "/humans/bodies/hall_pi_hall_7/roi",
        "/humans/bodies/hall_pi_hall_7/posture",
        "edgepose/hall_pi/hall/detections",
        "edgepose/hall_pi/hall/markers",
    ]
    header = {
        "stamp": {"sec": 1795464301, "nanosec": 123_000_000},
        "frame_id": "hall_optical_frame",
    }
    markers = found.pop("edgepose/hall_pi/hall/markers")["markers"]
    assert all(fields["header"] == header for fields in [*found.values(), *markers])
    assert found["/humans/bodies/hall_pi_hall_7/posture"]["posture"] == 4


def test_a_crouching_person_has_the_posture_of_ros(translator: Any) -> None:
    """`hri_msgs` has a code for it, and for no other detail."""
    for detail, code in (("crouching", 3), ("kneeling", 4), ("walking", 4), (None, 4)):
        found = said(translator, poses(replace(person(7), posture_detail=detail)))

        assert found["/humans/bodies/hall_pi_hall_7/posture"]["posture"] == code


def test_a_person_on_a_floor_has_a_pose_in_its_frame(translator: Any) -> None:
    """The pose is in metres with the heading; without a floor there is none."""
    walks = replace(person(7), place=Place((1.5, -2.0), 0.8, 90.0, 1.6))
    message = encoding.poses(
        CAMERA, frame(), [walks, person(8)], seq=1, latency_ms=1, model="m", frame_id="map"
    )

    found = said(translator, message)

    pose = found["/humans/bodies/hall_pi_hall_7/pose"]
    assert pose["header"]["frame_id"] == "map"
    assert pose["pose"]["position"] == {"x": 1.5, "y": -2.0, "z": 0.0}
    assert pose["pose"]["orientation"] == pytest.approx(
        {"x": 0, "y": 0, "z": 0.5**0.5, "w": 0.5**0.5}
    )
    assert "/humans/bodies/hall_pi_hall_8/pose" not in found


def test_every_joint_comes_under_its_own_code(conversion: ModuleType, translator: Any) -> None:
    """Left joints stay left, although the two orders start with different sides."""
    points = said(translator, poses(person(7)))["/humans/bodies/hall_pi_hall_7/skeleton2d"]

    assert JOINT_NAMES == conversion.JOINTS
    for code, number in SKELETON_CODES.items():
        if code != "NECK":
            joint = JOINT_NAMES.index(code.lower())
            point = points["skeleton"][number]
            assert point["x"] * WIDTH - 0.5 == pytest.approx(100 + joint)
            assert point["y"] * HEIGHT - 0.5 == pytest.approx(10 * joint)
            assert point["c"] == pytest.approx(0.05 + joint / 20)


def test_the_neck_lies_between_the_shoulders(translator: Any) -> None:
    """COCO has no neck: it is between the shoulders, with the lower of their scores."""
    points = said(translator, poses(person(7)))["/humans/bodies/hall_pi_hall_7/skeleton2d"]

    neck = points["skeleton"][SKELETON_CODES["NECK"]]

    assert neck["x"] * WIDTH - 0.5 == pytest.approx(105.5)
    assert neck["y"] * HEIGHT - 0.5 == pytest.approx(55)
    assert neck["c"] == pytest.approx(0.05 + 5 / 20)


def test_what_is_outside_the_picture_counts_as_not_seen(translator: Any) -> None:
    """hri_msgs has only coordinates in [0, 1]; clipped ones have confidence 0."""
    points = said(translator, poses(person(7, left=WIDTH - 5)))[
        "/humans/bodies/hall_pi_hall_7/skeleton2d"
    ]["skeleton"]

    nose, ankle = points[SKELETON_CODES["NOSE"]], points[SKELETON_CODES["RIGHT_ANKLE"]]

    assert nose["c"] == pytest.approx(0.05)
    assert (ankle["x"], ankle["c"]) == (1.0, 0.0)
    assert all(0 <= point[axis] <= 1 for point in points for axis in "xyc")


def test_the_box_comes_in_parts_and_in_pixels(translator: Any) -> None:
    """hri_msgs has relative corners, vision_msgs centre and size in pixels."""
    found = said(translator, poses(person(7)))
    region = found["/humans/bodies/hall_pi_hall_7/roi"]
    (detection,) = found["edgepose/hall_pi/hall/detections"]["detections"]

    assert [region[edge] * WIDTH - 0.5 for edge in ("xmin", "xmax")] == pytest.approx([100, 116])
    assert [region[edge] * HEIGHT - 0.5 for edge in ("ymin", "ymax")] == pytest.approx([0, 160])
    assert region["c"] == 0.75
    assert detection["bbox"] == {
        "center": {"position": {"x": 108.0, "y": 80.0}, "theta": 0.0},
        "size_x": 16.0,
        "size_y": 160.0,
    }
    assert detection["results"] == [{"hypothesis": {"class_id": "person", "score": 0.75}}]
    assert detection["id"] == "hall_pi_hall_7"


def test_ids_come_and_go_with_people(translator: Any) -> None:
    """Each message has the complete list; topics of people who left are closed."""
    both = said(translator, poses(person(1), person(2)))
    one = said(translator, poses(person(2)))
    nobody = said(translator, poses())

    assert both["/humans/bodies/tracked"]["ids"] == ["hall_pi_hall_1", "hall_pi_hall_2"]
    assert one["/humans/bodies/tracked"]["ids"] == ["hall_pi_hall_2"]
    assert nobody["/humans/bodies/tracked"]["ids"] == []
    closed = [topic for topic, fields in nobody.items() if fields is None]
    leaves = ("skeleton2d", "roi", "posture", "pose", "gesture")
    assert closed == [f"/humans/bodies/hall_pi_hall_2/{leaf}" for leaf in leaves]


def test_people_of_all_cameras_are_in_one_list(translator: Any) -> None:
    """A camera that is offline or silent has no people; the others keep theirs."""
    den, porch = (Topics("edgepose", "den").camera(id_) for id_ in ("den", "porch"))
    for camera in (CAMERA, den, porch):
        said(translator, poses(person(1), camera=camera))
    assert translator.tracked() == ["hall_pi_hall_1", "den_den_1", "den_porch_1"]

    gone = said(translator, encoding.availability(den, online=False))
    assert gone["/humans/bodies/tracked"]["ids"] == ["hall_pi_hall_1", "den_porch_1"]
    said(translator, encoding.availability(Topics("edgepose", "den"), online=False))
    assert translator.tracked() == ["hall_pi_hall_1"]
    assert said(translator, encoding.availability(CAMERA, online=True)) == {}
    assert translator.look(AT_NS + NS_PER_S) == []
    late = translator.look(AT_NS + 3 * NS_PER_S)
    assert late[0].fields["ids"] == []


def test_people_who_are_not_followed_are_detections_only(translator: Any) -> None:
    """A person without an id is published as a detection, not as a body."""
    found = said(translator, encoding.poses(
        CAMERA, frame(), [person(7).pose], seq=1, latency_ms=1, model="m"
    ))  # fmt: skip

    assert found["/humans/bodies/tracked"]["ids"] == []
    assert [one["id"] for one in found["edgepose/hall_pi/hall/detections"]["detections"]] == [""]


def gesture(name: str, side: str | None, at_ns: int = AT_NS) -> Message:
    data = {"gesture": name} | ({"side": side} if side else {})
    return encoding.event(CAMERA, Event("gesture", at_ns, 7, 0.9, data), frame(at_ns))


@pytest.mark.parametrize(
    ("name", "side", "code"),
    [
        ("hand_raised", "left", 3),
        ("hand_raised", "right", 4),
        ("both_hands_up", None, 5),
        ("wave", "left", 6),
        ("wave", "right", 6),
        ("t_pose", None, 0),
    ],
)
def test_gestures_have_their_codes(translator: Any, name: str, side: str | None, code: int) -> None:
    """Gestures are published once, with hri_msgs' codes; the event is published in full."""
    said(translator, poses(person(7)))
    message = gesture(name, side)

    found = said(translator, message)

    assert found["/humans/bodies/hall_pi_hall_7/gesture"]["gesture"] == code
    assert json.loads(found["edgepose/hall_pi/hall/events"]["data"])["type"] == "gesture"
    assert said(translator, message) == {}


def test_a_gesture_of_somebody_who_has_left_is_an_event_only(translator: Any) -> None:
    """Late events are published although the person has left."""
    assert list(said(translator, gesture("wave", "left"))) == ["edgepose/hall_pi/hall/events"]


MATRIX: Final = {
    "camera_matrix": {"data": [500.0, 0, 320, 0, 400.0, 240, 0, 0, 1]},
    "distortion_coefficients": {"data": [0.1, -0.2, 0, 0, 0]},
    "rectification_matrix": {"data": [1, 0, 0, 0, 1, 0, 0, 0, 1]},
    "projection_matrix": {"data": [500.0, 0, 320, 0, 0, 400.0, 240, 0, 0, 0, 1, 0]},
    "image_width": WIDTH,
    "image_height": HEIGHT,
    "distortion_model": "plumb_bob",
}
"""A calibration file of camera_calibration."""


def test_markers_lie_on_the_rays_of_the_pixels(conversion: ModuleType) -> None:
    """They are 1 m from the camera, and project back to the keypoints."""
    intrinsics = conversion.Intrinsics.of(MATRIX)
    translator = conversion.Translator(calibration=lambda device, camera: intrinsics)

    found = said(translator, poses(person(7)))
    (one,) = found["edgepose/hall_pi/hall/markers"]["markers"]
    info = found["edgepose/hall_pi/hall/camera_info"]

    joints = person(7).pose.keypoints
    wanted = [j for pair in conversion.LIMBS if joints[list(pair), 2].min() >= 0.3 for j in pair]
    back = [(500 * p["x"] / p["z"] + 320, 400 * p["y"] / p["z"] + 240) for p in one["points"]]
    assert np.allclose(back, joints[wanted, :2], atol=0.06)
    assert info["k"] == MATRIX["camera_matrix"]["data"]
    assert (info["width"], info["height"]) == (WIDTH, HEIGHT)
    assert info["header"] == one["header"]


def test_a_calibration_of_another_size_is_not_said(conversion: ModuleType) -> None:
    """A calibration for another picture size is not published."""
    other = conversion.Intrinsics.of(MATRIX | {"image_width": 1280})
    translator = conversion.Translator(calibration=lambda device, camera: other)

    assert "edgepose/hall_pi/hall/camera_info" not in said(translator, poses(person(7)))


@pytest.mark.parametrize("spoil", [{"camera_matrix": {"data": [1]}}, {"image_width": "wide"}])
def test_a_broken_calibration_is_refused(conversion: ModuleType, spoil: dict[str, Any]) -> None:
    """An invalid calibration raises ValueError, which the node logs."""
    with pytest.raises(ValueError, match=r"."):
        conversion.Intrinsics.of(MATRIX | spoil)


def test_markers_go_with_people(conversion: ModuleType, translator: Any) -> None:
    """Markers of people who left are deleted, and all when the camera is offline."""
    said(translator, poses(person(7), person(8)))
    left = said(translator, poses(person(8)))["edgepose/hall_pi/hall/markers"]["markers"]
    gone = said(translator, Message("edgepose/hall-pi/availability", b"offline", "state"))

    add, delete = conversion.ADD, conversion.DELETE
    markers = gone["edgepose/hall_pi/hall/markers"]["markers"]
    assert [(it["id"], it["action"]) for it in left] == [(8, add), (7, delete)]
    assert [(it["id"], it["action"]) for it in markers] == [(8, delete)]


def test_it_stamps_with_ros_time_where_asked(conversion: ModuleType) -> None:
    """With `arrival` stamps are in ROS time, for robots with another or a simulated clock."""
    translator = conversion.Translator(frame_id="{device}/{camera}", arrival=True)

    header = said(translator, poses(person(7)), now_ns=5_000_000_007)["/humans/bodies/tracked"]

    assert header["header"] == {"stamp": {"sec": 5, "nanosec": 7}, "frame_id": "hall-pi/hall"}


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (CAMERA.poses, b"{"),
        (CAMERA.poses, b"[]"),
        (CAMERA.state, b"{}"),
        ("elsewhere/hall-pi/hall/poses", b"{}"),
        ("edgepose/hall-pi/stats", b"{}"),
    ],
)
def test_what_is_not_for_it_says_nothing(translator: Any, topic: str, payload: bytes) -> None:
    """Other topics and invalid payloads are ignored."""
    assert translator.take(topic, payload, AT_NS) == []


@pytest.mark.parametrize("text", ["hall-pi", "2nd--floor", "_a_", "a"])
def test_names_may_stand_in_ros_topics(conversion: ModuleType, text: str) -> None:
    """A name begins with a letter and has no consecutive underscores."""
    assert re.fullmatch(r"[A-Za-z](_?[A-Za-z0-9])*", conversion.name(text))


def test_the_conversion_imports_no_ros() -> None:
    """The conversion needs only the standard library."""
    tree = ast.parse((PACKAGE / "edgepose_bridge" / "conversion.py").read_text())
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        alias.name if isinstance(node, ast.Import) else str(node.module)
        for node in imported
        for alias in node.names
    }

    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def literal(file: str, name: str) -> Any:
    """Return the dictionary that a file assigns to a name."""
    tree = ast.parse((PACKAGE / file).read_text())
    assigned = (node for node in tree.body if isinstance(node, ast.Assign))
    value = next(node.value for node in assigned if ast.unparse(node.targets[0]) == name)
    return eval(ast.unparse(value), {})


def test_the_launch_file_and_the_docs_know_the_parameters() -> None:
    """Both have all of the node's parameters; the launch file with the same defaults and types."""
    parameters = literal("edgepose_bridge/node.py", "PARAMETERS")
    arguments = literal("launch/edgepose_bridge.launch.py", "ARGUMENTS")
    page = (PACKAGE.parent.parent / "docs" / "robotics.md").read_text()

    told = {name: (str(value).lower(), type(value)) for name, value in parameters.items()}

    assert told == arguments
    assert set(re.findall(r"`(\w+)`", page)) >= set(parameters)


# The node, with fakes in place of ROS


class StandInNode:
    """The parts of rclpy's Node that the bridge uses."""

    def __init__(self, name: str) -> None:
        self.publishers: dict[str, Any] = {}
        self.told: dict[str, list[Any]] = {}

    def declare_parameter(self, _name: str, value: Any) -> SimpleNamespace:
        return SimpleNamespace(value=value)

    def create_guard_condition(self, _callback: Any) -> SimpleNamespace:
        return SimpleNamespace(trigger=lambda: None)

    def create_timer(self, _seconds: float, _callback: Any) -> None: ...

    def get_clock(self) -> SimpleNamespace:
        now = SimpleNamespace(nanoseconds=AT_NS)
        return SimpleNamespace(now=lambda: now)

    def create_publisher(self, type_: type, topic: str, _profile: Any) -> SimpleNamespace:
        def publish(message: Any) -> None:
            assert isinstance(message, type_)
            self.told.setdefault(topic, []).append(message)

        assert topic not in self.publishers
        self.publishers[topic] = SimpleNamespace(publish=publish, topic=topic)
        return self.publishers[topic]

    def destroy_publisher(self, publisher: SimpleNamespace) -> None:
        del self.publishers[publisher.topic]


def stand_ins() -> dict[str, ModuleType]:
    """Return fake ROS modules, as far as the node uses them."""
    policies = SimpleNamespace(KEEP_LAST=1, RELIABLE=1, VOLATILE=1)
    qos = dict.fromkeys(("HistoryPolicy", "ReliabilityPolicy", "DurabilityPolicy"), policies)
    contents: dict[str, dict[str, Any]] = {
        "rclpy": {},
        "rclpy.executors": {"ExternalShutdownException": RuntimeError},
        "rclpy.node": {"Node": StandInNode},
        "rclpy.publisher": {"Publisher": SimpleNamespace},
        "rclpy.qos": {"QoSProfile": SimpleNamespace, **qos},
    }
    made = {name: ModuleType(name) for name in contents}
    for name, module in made.items():
        vars(module).update(contents[name])
    return made


def test_the_node_opens_and_closes_topics(
    conversion: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each topic has one publisher, destroyed with its person; invalid messages are skipped."""
    for name, module in stand_ins().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "edgepose_bridge.node", raising=False)
    node = importlib.import_module("edgepose_bridge.node")
    types: dict[str, type] = {}

    def message_type(name: str) -> type:
        return types.setdefault(name, type(name, (), {"definition": name}))

    def fill(message: Any, fields: dict[str, Any]) -> Any:
        check(message.definition, fields)
        message.fields = fields
        return message

    monkeypatch.setattr(node, "message_type", message_type)
    monkeypatch.setattr(node, "fill", fill)
    bridge = node.Bridge()
    monkeypatch.setattr(bridge, "get_logger", lambda: SimpleNamespace(warning=print), raising=False)
    skeletons = "/humans/bodies/hall_pi_hall_7/skeleton2d"

    for message in (poses(person(7)), poses(person(7))):
        bridge.note(message.topic, message.payload)
    bridge.note(CAMERA.poses, b'{"device":"hall-pi"}')
    bridge.drain()
    was_open = skeletons in bridge.publishers
    bridge.note(CAMERA.poses, poses().payload)
    bridge.drain()
    bridge.close()

    assert was_open
    assert len(bridge.told[skeletons]) == 2
    assert [len(told.fields["ids"]) for told in bridge.told["/humans/bodies/tracked"]] == [1, 1, 0]
    place = "edgepose/hall_pi/hall"
    stay = {"/humans/bodies/tracked", f"{place}/detections", f"{place}/markers"}
    assert set(bridge.publishers) == stay
