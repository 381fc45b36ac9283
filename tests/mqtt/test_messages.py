"""Payloads: the shapes in the contract, rounding, and reproducible bytes."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pytest

from edgepose.mqtt import encoding, messages
from edgepose.mqtt.topics import Topics
from edgepose.skeleton import JOINT_NAMES, LIMBS
from edgepose.timing import NS_PER_S
from edgepose.types import Box, Event, Frame, Message, Pose, Track

TOPICS = Topics("edgepose", "hall-pi")
HALL = TOPICS.camera("hall")
UNIX_NS = 1_795_377_901_123_456_789
CAPTURED_NS = 5_000 * NS_PER_S
DOCS: Final = Path(__file__).parents[2] / "docs" / "mqtt.md"
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def frame(unix_ns: int = UNIX_NS) -> Frame:
    return Frame(np.zeros((72, 128, 3), np.uint8), CAPTURED_NS, unix_ns, CAPTURED_NS)


def someone(seed: int = 1) -> Pose:
    random = np.random.default_rng(seed)
    keypoints = random.uniform((-20, -20, 0), (148, 92, 1), (17, 3)).astype(np.float32)
    return Pose(keypoints, float(random.uniform()), Box(1 / 3, -2 / 3, 40.04, 50.06))


def track(number: int, pose: Pose) -> Track:
    return Track(number, pose, CAPTURED_NS, "standing", ("sofa",))


def poses(*people: Track | Pose, seq: int = 7) -> Message:
    return encoding.poses(HALL, frame(), people, seq=seq, latency_ms=41.23456, model="m")


def body(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(message.payload, parse_constant=pytest.fail)
    return found


def test_poses_have_the_shape_of_the_contract() -> None:
    """Keys and values are those of the contract's example."""
    message = poses(track(7, someone()), track(9, someone(2)))

    said = body(message)

    keys = "v device camera seq captured_at latency_ms width height model poses"
    assert list(said) == keys.split()
    assert (said["v"], said["device"], said["camera"], said["seq"]) == (1, "hall-pi", "hall", 7)
    assert RFC3339.fullmatch(said["captured_at"])
    assert (said["width"], said["height"], said["latency_ms"]) == (128, 72, 41.2)
    for person, number in zip(said["poses"], (7, 9), strict=True):
        assert list(person) == ["id", "score", "bbox", "posture", "zones", "keypoints"]
        assert (person["id"], person["posture"], person["zones"]) == (number, "standing", ["sofa"])
        assert np.shape(person["bbox"]) == (4,)
        assert np.shape(person["keypoints"]) == (17, 3)
    assert (message.topic, message.kind) == ("edgepose/hall-pi/hall/poses", "poses")
    assert (message.qos, message.retain, message.expiry_s) == (0, False, 2)


def test_a_known_detail_stands_beside_the_posture() -> None:
    """Left out where there is none, and of people who are not followed."""
    crouching = replace(track(7, someone()), posture_detail="crouching")

    told = [person.get("posture_detail") for person in body(poses(crouching))["poses"]]
    plain = body(poses(track(8, someone()), someone()))["poses"]

    assert told == ["crouching"]
    assert not any("posture_detail" in person for person in plain)


def test_numbers_are_rounded_and_nothing_else() -> None:
    """Pixels have one decimal and scores three; coordinates outside the frame are kept."""
    pose = someone()

    [person] = body(poses(pose))["poses"]

    given, said = pose.keypoints.astype(float), np.array(person["keypoints"])
    assert np.abs(said[:, :2] - given[:, :2]).max() <= 0.05 + 1e-9
    assert np.abs(said[:, 2] - given[:, 2]).max() <= 0.0005 + 1e-9
    assert np.abs(np.array(person["bbox"]) - pose.box).max() <= 0.05 + 1e-9
    assert person["score"] == pytest.approx(pose.score, abs=0.0005)
    written = poses(pose).payload.decode()
    assert not re.search(r"\d\.\d{4}", written)


def test_nobody_is_said_too_and_strangers_have_no_id() -> None:
    """A frame without people is sent; without tracking the id is null."""
    assert body(poses())["poses"] == []
    assert [person["id"] for person in body(poses(someone()))["poses"]] == [None]
    assert [p["zones"] for p in body(poses(someone()))["poses"]] == [[]]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_never_reaches_json(number: float) -> None:
    """NaN and infinity become 0; other keypoints are unchanged."""
    good = someone()
    keypoints = good.keypoints.copy()
    keypoints[3, 1] = number
    bad = Pose(keypoints, number, Box(number, 1, 2, 3))

    [person], [unspoiled] = body(poses(bad))["poses"], body(poses(good))["poses"]

    assert person["keypoints"][3] == [0, 0, 0]
    del person["keypoints"][3], unspoiled["keypoints"][3]
    assert person["keypoints"] == unspoiled["keypoints"]
    assert (person["score"], person["bbox"]) == (0, [0, 1, 2, 3])


def test_scores_stay_within_their_bounds() -> None:
    """Scores outside of [0, 1] are clipped."""
    keypoints = someone().keypoints.copy()
    keypoints[:2, 2] = 1.045, -0.01
    message = poses(Pose(keypoints, 1.02, Box(0, 0, 1, 1)))

    read = messages.read("edgepose", message.topic, message.payload)

    assert isinstance(read, messages.PosesMessage)
    assert [point[2] for point in read.poses[0].keypoints[:2]] == [1, 0]
    assert read.poses[0].score == 1


def test_messagepack_says_the_same_in_fewer_bytes() -> None:
    """MessagePack carries the same values as JSON and can be read by any library."""
    told = poses(*(track(number, someone(number)) for number in range(1, 4)))
    packed = encoding.packed(HALL, told)

    plain = messages.read("edgepose", told.topic, told.payload)
    read = messages.read("edgepose", packed.topic, packed.payload)
    untyped = msgspec.msgpack.decode(packed.payload)

    assert isinstance(plain, messages.PosesMessage)
    assert isinstance(read, messages.PosesMessage)
    for mine, its in zip(read.poses, plain.poses, strict=True):
        assert np.allclose(mine.keypoints, its.keypoints, rtol=1e-6)
        assert msgspec.structs.replace(mine, keypoints=its.keypoints) == its
    assert msgspec.structs.replace(read, poses=plain.poses) == plain
    assert list(untyped) == list(body(told))
    assert np.shape(untyped["poses"][0]["keypoints"]) == (17, 3)
    assert len(packed.payload) < len(told.payload)
    assert (packed.kind, packed.expiry_s, packed.qos, packed.retain) == ("poses", 2, 0, False)
    nobody = encoding.packed(HALL, poses())
    assert messages.read("edgepose", nobody.topic, nobody.payload) == messages.read(
        "edgepose", HALL.poses, poses().payload
    )


def test_an_event_carries_the_time_at_which_it_happened() -> None:
    """An event's time is that of the event, which may be earlier than the frame's."""
    happened = Event("fall_confirmed", CAPTURED_NS - 2 * NS_PER_S, 7, 0.51239, {"zone": None})

    message = encoding.event(HALL, happened, frame())
    said = body(message)

    now = encoding.event(HALL, Event("wave", CAPTURED_NS, None, 1.0), frame())
    assert list(said) == ["v", "id", "type", "device", "camera", "person", "at", "score", "data"]
    assert (said["type"], said["person"], said["score"]) == ("fall_confirmed", 7, 0.512)
    assert said["at"] < body(now)["at"] == body(poses())["captured_at"]
    assert (message.kind, message.qos, message.retain) == ("event", 1, False)


def test_an_event_keeps_its_id_and_no_two_share_one() -> None:
    """The id is the same for a repeated event, and different for two events of one frame."""

    def name(**changes: Any) -> str:
        given = {"type": "zone_entered", "at_ns": CAPTURED_NS, "person": 7, "score": 0.5}
        happened = Event(**(given | {"data": {"zone": "sofa", "n": 1}} | changes))
        return str(body(encoding.event(HALL, happened, frame()))["id"])

    same = [name(), name(score=0.6), name(data={"n": 1, "zone": "sofa"})]
    others = [
        name(type="zone_left"),
        name(at_ns=CAPTURED_NS + 1),
        name(person=8),
        name(data={"zone": "rug", "n": 1}),
    ]

    assert len(set(same)) == 1
    assert len({same[0], *others}) == 1 + len(others)


def test_numpy_numbers_may_be_said() -> None:
    """Event data may contain numpy numbers and arrays."""
    data = {"angle": np.float32(0.5), "box": np.arange(3)}
    happened = Event("wave", CAPTURED_NS, 1, np.float32(0.5), data)

    said = body(encoding.event(HALL, happened, frame()))

    assert said["data"] == {"angle": 0.5, "box": [0, 1, 2]}


def test_the_same_frame_gives_the_same_bytes() -> None:
    """Equal frames give equal bytes."""
    assert poses(track(1, someone())).payload == poses(track(1, someone())).payload


def test_state_is_put_together_from_what_the_detectors_know() -> None:
    """Fields that no detector provides have defaults."""
    parts = [{"occupied": True, "count": 2}, {"zones": {"sofa": {"occupied": True, "count": 1}}}]

    message = encoding.state(HALL, parts)
    said = body(message)

    expected = {"occupied": True, "count": 2, "fall": False, "posture": "unknown", "paused": False}
    assert {key: said[key] for key in expected} == expected
    assert said["zones"] == {"sofa": {"occupied": True, "count": 1, "longest_s": 0}}
    assert (message.kind, message.qos, message.retain) == ("state", 1, True)


def test_state_refuses_what_the_contract_does_not_know() -> None:
    """A detector's value of a wrong type raises ValidationError."""
    with pytest.raises(msgspec.ValidationError):
        encoding.state(HALL, [{"count": "two"}])


def status() -> messages.StatusMessage:
    return messages.StatusMessage(
        device="hall-pi",
        name="Hall Pi",
        version="0.1.0",
        started_at="2026-11-22T20:05:01.123Z",
        model="movenet",
        runtime="ai-edge-litert 2.3.0",
        delegate=messages.DelegateStatus(name="cpu", reason="no Edge TPU found"),
        cameras={"hall": messages.CameraStatus(state="running", topics=HALL.listed())},
        topics=TOPICS.listed(),
    )


def test_status_tells_how_to_read_the_rest() -> None:
    """The status contains keypoint names, skeleton and topics."""
    message = encoding.status(TOPICS, status())
    said = body(message)

    assert said["keypoints"] == list(JOINT_NAMES)
    assert said["skeleton"] == [list(limb) for limb in LIMBS]
    assert said["topics"]["stats"] == TOPICS.stats
    assert said["cameras"]["hall"]["topics"]["poses"] == HALL.poses
    assert (message.topic, message.qos, message.retain) == (TOPICS.status, 1, True)


def test_stats_are_rounded_and_not_kept() -> None:
    """Statistics have two decimals and are not retained."""
    numbers = messages.Percentiles.from_ms([1.23456, 2.0, 3.0])
    assert numbers is not None
    camera = messages.CameraStats(fps=9.87654, frames=10, dropped=1, latency_ms=numbers)
    message = encoding.stats(
        TOPICS,
        messages.StatsMessage(
            device="hall-pi",
            at="2026-11-22T20:05:01.123Z",
            uptime_s=12.3456,
            cameras={"hall": camera},
            stages_ms={"infer": numbers},
        ),
    )

    said = body(message)

    assert said["cameras"]["hall"]["fps"] == 9.88
    assert said["uptime_s"] == 12.35
    assert said["temperature_c"] is None
    assert (message.kind, message.qos, message.retain) == ("stats", 0, False)
    assert messages.Percentiles.from_ms([]) is None


def test_availability_is_plain_text() -> None:
    """The payload is `online` or `offline`, as Home Assistant expects it."""
    sent = [encoding.availability(TOPICS, online=True), encoding.availability(HALL, online=False)]

    assert [m.payload for m in sent] == [b"online", b"offline"]
    assert [m.topic for m in sent] == [TOPICS.availability, HALL.availability]
    assert {(m.qos, m.retain, m.content_type) for m in sent} == {(1, True, "text/plain")}


def test_what_is_written_is_read_back_by_its_topic() -> None:
    """Every written message decodes to its struct."""
    happened = Event("wave", CAPTURED_NS, 1, 0.5)
    sent = {
        messages.PosesMessage: poses(track(1, someone())),
        messages.EventMessage: encoding.event(HALL, happened, frame()),
        messages.StateMessage: encoding.state(HALL, []),
        messages.StatusMessage: encoding.status(TOPICS, status()),
        messages.AvailabilityMessage: encoding.availability(HALL, online=True),
    }

    for type_, message in sent.items():
        read = messages.read("edgepose", message.topic, message.payload)
        assert type(read) is type_
        if type_ is not messages.AvailabilityMessage:
            assert encoding.encode(read) == message.payload


def test_a_device_and_a_camera_are_told_apart() -> None:
    """The number of levels distinguishes a device's topic from a camera's."""
    device = messages.read("a/b", "a/b/pi/availability", b"online")
    camera = messages.read("a/b", "a/b/pi/hall/availability", b"offline")

    assert device == messages.AvailabilityMessage(device="pi", camera=None, online=True)
    assert camera == messages.AvailabilityMessage(device="pi", camera="hall", online=False)


@pytest.mark.parametrize(
    "topic", ["other/pi/hall/poses", "edgepose/pi/poses", "edgepose/pi/hall/status", "edgepose",
              "edgepose/pi/hall/set", "edgepose/pi/request/ping", "edgepose/a/b/c/poses",
              "edgepose/pi/poses/msgpack"]
)  # fmt: skip
def test_other_topics_are_nobodys(topic: str) -> None:
    """`read` returns None for an unknown topic."""
    assert messages.read("edgepose", topic, b"{}") is None


def test_a_topic_that_was_cleared_says_nothing_but_offline() -> None:
    """An empty payload reads as None; on availability it means offline."""
    assert messages.read("edgepose", HALL.state, b"") is None
    gone = messages.read("edgepose", HALL.availability, b"")
    assert gone == messages.AvailabilityMessage(device="hall-pi", camera="hall", online=False)


def test_a_broken_payload_says_so() -> None:
    """An invalid payload raises DecodeError."""
    for payload in (b"", b"{", b'{"v":1}', b"\xff\xfe"):
        with pytest.raises(msgspec.DecodeError):
            messages.read("edgepose", HALL.poses, payload)


def test_a_newer_writer_may_say_more() -> None:
    """Unknown fields are ignored."""
    said = body(poses()) | {"more": [1]}

    read = messages.read("edgepose", HALL.poses, json.dumps(said).encode())

    assert isinstance(read, messages.PosesMessage)


def test_every_struct_has_a_schema() -> None:
    """The published schemas are generated from the types."""
    for type_ in messages.BY_TOPIC.values():
        schema = msgspec.json.schema(type_)
        assert schema["$defs"][type_.__name__]["properties"]["v"]


def test_every_topic_stands_under_its_device() -> None:
    """All topics begin with the device's prefix, so one access rule covers them."""
    found = [*TOPICS.listed().values(), *HALL.listed(packed=True).values()]
    found += [TOPICS.request("ping"), TOPICS.response("ping")]

    assert all(topic.startswith("edgepose/hall-pi/") for topic in found)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("leaf", list(messages.BY_TOPIC))
def test_the_documented_example_is_what_is_sent(leaf: str) -> None:
    """Each payload has one documented example, with all fields in the order of the encoder."""
    found = re.findall(rf"```json {leaf}\n(.*?)```", DOCS.read_text(), re.DOTALL)

    for example in found:
        read = msgspec.json.decode(example, type=messages.BY_TOPIC[leaf])
        assert json.loads(encoding.encode(read)) == json.loads(example)

    assert len(found) == 1


def test_every_topic_is_documented_with_its_quality_and_retention() -> None:
    """Every topic that is sent is in the table, with its QoS and retention."""
    row = r"^\| `([BC]/[\w/]+)` (\| \w+ \| \w*)"
    table = dict(re.findall(row, DOCS.read_text(), re.MULTILINE))
    event = encoding.event(HALL, Event("wave", 0, 1, 0.5), frame())
    said = [
        poses(),
        encoding.packed(HALL, poses()),
        event,
        encoding.state(HALL, []),
        encoding.status(TOPICS, status()),
    ]
    said += [encoding.availability(topics, online=True) for topics in (TOPICS, HALL)]

    for message in said:
        short = message.topic.replace(HALL.prefix, "C").replace(TOPICS.prefix, "B")
        retained = "yes" if message.retain else "no"
        assert table[short] == f"| {message.qos} | {retained}", short
    listed = [*TOPICS.listed().values(), *HALL.listed(packed=True).values()]
    assert len(table) == len(listed)
