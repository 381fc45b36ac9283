"""Recordings: writing, reading and reproducible replay."""

import gzip
import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.cli import main
from edgepose.config import schema as config
from edgepose.errors import UsageError
from edgepose.mqtt import encoding, topics
from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.options import BrokerOptions
from edgepose.mqtt.subscriber import Subscription
from edgepose.recording import Sink, reader, replay
from edgepose.recording import frames as recording_frames
from edgepose.recording.frames import frames
from edgepose.recording.jsonl import JsonlSink
from edgepose.recording.reader import RecordedEntry, RecordingError, open_recording, restamp
from edgepose.recording.replay import rederive
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Box, Event, Frame, Message, Pose, Track
from tests.support import body
from tests.support.brokers import Mosquitto, needs_mosquitto, wait_until
from tests.support.contracts.sink import SinkContract

pytest.importorskip("mcap")

BEGAN_NS = 1_795_377_600 * NS_PER_S
TOPICS = topics.Topics("edgepose", "pi")
HALL = TOPICS.camera("hall")
LISTENING = 64 * 1024  # bytes of a recording beyond its beginning
IMAGE = np.zeros((720, 1280, 3), np.uint8)


class Steady(Clock):
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        return self.ns

    def unix_ns(self, at_ns: int | None = None) -> int:
        return BEGAN_NS + (self.ns if at_ns is None else at_ns)


def scene() -> body.Scene:
    """Return a scene: one person walks, waves and sits down; another falls."""
    first = body.Actor.doing(body.stand(2), body.wave(4), body.sit_down(), body.sit(3), at=(5, 1.2))
    second = body.Actor.doing(body.stand(4), body.fall("left", stay=14), at=(6, -1))
    return body.Scene((first, second))


def said(clock: Steady) -> Iterator[Message]:
    """Yield a scene's messages as a device publishes them."""
    yield encoding.availability(TOPICS, online=True)
    for seq, moment in enumerate(scene().observe(10, seed=2)):
        clock.ns = moment.at_ns
        frame = Frame(IMAGE, moment.at_ns, BEGAN_NS + moment.at_ns, moment.at_ns)
        tracks = moment.tracks()
        yield encoding.poses(HALL, frame, tracks, seq=seq, latency_ms=9.5, model="posenet")
        if seq == 20:
            yield encoding.event(HALL, Event("gesture", moment.at_ns, 1, 0.5), frame)
            yield encoding.state(HALL, [{"occupied": True, "count": 2}])


def record(path: Path, **about: Any) -> list[Message]:
    clock = Steady()
    sink = reader.write(path, path.open("wb"), clock, about)
    sent = []
    for message in said(clock):
        sent.append(message)
        assert sink.publish(message)
    sink.close()
    return sent


def found_anew(path: Path) -> list[Message]:
    """Return the messages that a daemon would publish for a recording's poses."""
    steps = rederive(open_recording(path), config.Config())
    return [message for step in steps for message in step.messages()]


def events(path: Path) -> list[bytes]:
    """Return the events derived from a recording."""
    return [message.payload for message in found_anew(path) if message.kind == "event"]


class TestJsonlSink(SinkContract):
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "recording.jsonl"

    @pytest.fixture
    def sink(self, file: Path) -> Any:
        return JsonlSink(file.open("wb"), {}, Clock())

    @pytest.fixture
    def arrived(self, file: Path) -> Callable[[Message], bytes]:
        return lambda message: payload_of(file, message.topic)


class TestMcapSink(SinkContract):
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "recording.mcap"

    @pytest.fixture
    def sink(self, file: Path) -> Any:
        return reader.write(file, file.open("wb"), Clock(), {})

    @pytest.fixture
    def arrived(self, file: Path, sink: Sink) -> Callable[[Message], bytes]:
        def read(message: Message) -> bytes:
            sink.close()
            return payload_of(file, message.topic)

        return read

    def test_it_delivers_the_bytes_it_was_given(
        self, sink: Sink, arrived: Callable[[Message], bytes]
    ) -> None:
        """As in the contract, with valid poses, since Foxglove's drawings are made from them."""
        poses = next(m for m in said(Steady()) if m.topic == HALL.poses)
        picture = Message(HALL.snapshot, bytes(range(256)), "poses", content_type="image/jpeg")
        sent = [poses, picture, encoding.availability(HALL, online=False)]

        assert [sink.publish(message) for message in sent] == [True] * 3

        assert [arrived(message) for message in sent] == [m.payload for m in sent]


def payload_of(path: Path, topic: str) -> bytes:
    return next(e.payload for e in open_recording(path).entries() if e.topic == topic)


@pytest.mark.parametrize("name", ["hall.jsonl", "hall.mcap"])
def test_what_was_recorded_comes_out_again(tmp_path: Path, name: str) -> None:
    """Every message is read back unchanged, in order and with its time; the header is kept."""
    path = tmp_path / name

    sent = record(path, device="pi", base_topic="edgepose")

    found = list(open_recording(path).entries())
    assert [(e.topic, e.payload) for e in found] == [(m.topic, m.payload) for m in sent]
    assert found[-1].t_s == pytest.approx(scene().seconds, abs=0.11)
    assert open_recording(path).about["device"] == "pi"
    assert open_recording(path).followed


def test_frames_carry_what_detectors_need(tmp_path: Path) -> None:
    """Times are in nanoseconds, positions in pixels; ids and the frame's size are read."""
    path = tmp_path / "hall.jsonl"
    record(path)

    found = list(frames(open_recording(path)))
    moments = list(scene().observe(10, seed=2))

    assert [f.at_ns for f in found] == [BEGAN_NS + m.at_ns for m in moments]
    assert {f.size for f in found} == {(1280, 720)}
    assert found[5].frame.size == (1280, 720)
    for frame, moment in zip(found, moments, strict=True):
        assert [pose.person for pose in frame.poses] == [track.id for track in moment.tracks()]
        for pose, track in zip(frame.poses, moment.tracks(), strict=True):
            moved = np.abs(pose.keypoints - track.pose.keypoints)
            assert moved[:, :2].max() <= 0.0501


@pytest.mark.parametrize("name", ["hall.jsonl", "hall.mcap"])
def test_replaying_gives_the_same_messages_byte_for_byte(tmp_path: Path, name: str) -> None:
    """Poses, states and events, with all kinds of events, are identical in each replay."""
    path = tmp_path / name
    record(path)

    first, second = found_anew(path), found_anew(path)

    assert first == second
    assert {message.kind for message in first} == {"poses", "state", "event"}
    happened = [json.loads(event) for event in events(path)]
    types = {event["type"] for event in happened}
    assert {"person_appeared", "gesture", "posture_changed", "fall_suspected"} <= types
    assert len({event["id"] for event in happened}) == len(happened)


def test_replaying_a_replay_changes_nothing(tmp_path: Path) -> None:
    """A recorded replay has the same events as the original."""
    path, again = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    record(path)
    clock = Steady()
    sink = reader.write(again, again.open("wb"), clock, {})
    for step in rederive(open_recording(path), config.Config()):
        clock.ns = step.frame.at_ns - BEGAN_NS
        for message in step.messages():
            sink.publish(message)
    sink.close()

    assert events(again) == events(path)


def test_poses_without_ids_are_followed(tmp_path: Path) -> None:
    """The output of `detect --json` is accepted as a recording, and its people are tracked."""
    path = tmp_path / "detect.jsonl"
    with path.open("wb") as file:
        for message in said(Steady()):
            if message.topic == HALL.poses:
                poses = json.loads(message.payload)
                for person in poses["poses"]:
                    person["id"] = None
                file.write(json.dumps(poses).encode() + b"\n")

    appeared = [e for e in map(json.loads, events(path)) if e["type"] == "person_appeared"]

    assert not open_recording(path).followed
    assert len({event["person"] for event in appeared}) == 2
    assert found_anew(path) == found_anew(path)


@pytest.mark.parametrize("tail", [b'{"t":99.0,"topic":"edgep', b"\0" * 300, b'{"t":99.'])
def test_a_line_that_was_cut_off_is_left_out(
    tmp_path: Path, tail: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """An incomplete last line is skipped with a warning."""
    path = tmp_path / "hall.jsonl"
    sent = record(path)
    with path.open("ab") as file:
        file.write(tail)

    found = list(open_recording(path).entries())

    assert len(found) == len(sent)
    assert "cut off" in caplog.text


def test_an_mcap_file_without_its_end_can_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An MCAP file without its end is read up to the last complete chunk, with a warning."""
    path = tmp_path / "hall.mcap"
    sent = record(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    found = list(open_recording(path).entries())

    assert 0 < len(found) < len(sent)
    assert [e.payload for e in found] == [m.payload for m in sent[: len(found)]]
    assert "cut off" in caplog.text


def test_a_broken_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    """An invalid line that is not the last raises RecordingError with its number."""
    path = tmp_path / "hall.jsonl"
    record(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], b'{"t":1,"to\n', *lines[5:]]))

    with pytest.raises(RecordingError, match=r"hall\.jsonl:6"):
        list(open_recording(path).entries())


@pytest.mark.parametrize("content", [b"", b"hello\n", b"[1,2]\n", b'{"edgepose_recording":99}\n'])
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, content: bytes) -> None:
    """The error says what was expected; a newer format is refused, too."""
    path = tmp_path / "some.file"
    path.write_bytes(content)

    with pytest.raises(RecordingError, match=r"expected|this version"):
        open_recording(path)


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_standard_input_is_no_recording(name: str) -> None:
    """Standard input is refused, as a recording is read more than once."""
    with pytest.raises(RecordingError, match="standard input is not read; write it to a file"):
        open_recording(Path(name))


def test_a_compressed_recording_is_read_as_it_is(tmp_path: Path) -> None:
    """Gzip files are read."""
    path, packed = tmp_path / "hall.jsonl", tmp_path / "hall.jsonl.gz"
    record(path)
    packed.write_bytes(gzip.compress(path.read_bytes()))

    assert list(open_recording(packed).entries()) == list(open_recording(path).entries())


def test_time_goes_on_when_the_clock_is_set(tmp_path: Path) -> None:
    """Steps of the wall clock do not affect the detectors' times."""
    path = tmp_path / "hall.jsonl"
    clock = Steady()
    sink = reader.write(path, path.open("wb"), clock, {})
    for number in range(6):
        clock.ns = number * NS_PER_S // 10
        jump_ns = 0 if number < 3 else -NS_PER_S * 1000 if number < 5 else NS_PER_S * 10**7
        frame = Frame(IMAGE, 0, BEGAN_NS + clock.ns + jump_ns, 0)
        sink.publish(encoding.poses(HALL, frame, [], seq=number, latency_ms=1, model="m"))
    sink.close()

    found = [frame.at_ns for frame in frames(open_recording(path))]

    assert np.diff(found).tolist() == [NS_PER_S // 10] * 5


def test_a_message_can_be_put_elsewhere_and_at_another_time() -> None:
    """`restamp` changes device and times in topic and payload, and nothing else."""
    poses = next(m for m in said(Steady()) if m.topic == HALL.poses)
    entry = RecordedEntry(0.0, poses.topic, poses.payload)

    moved = restamp(entry, "edgepose", device="other", shift_ns=lambda ns: ns + 60 * NS_PER_S)

    before, after = json.loads(poses.payload), json.loads(moved.payload)
    assert moved.topic == "edgepose/other/hall/poses"
    assert (after["device"], before["captured_at"], after["captured_at"]) == (
        "other",
        "2026-11-22T20:00:00.000Z",
        "2026-11-22T20:01:00.000Z",
    )
    assert {k for k in after if after[k] != before[k]} == {"device", "captured_at"}


def test_positions_drawn_for_foxglove_are_no_recorded_messages(tmp_path: Path) -> None:
    """Drawings for Foxglove in an MCAP file are not returned as messages."""
    poses = next(
        m for m in said(Steady()) if m.topic == HALL.poses and json.loads(m.payload)["poses"]
    )
    payload = json.loads(poses.payload) | {"frame_id": "map"}
    payload["poses"][0] |= {"position": [1.5, 2.0], "heading": 90.0}
    path = tmp_path / "floor.mcap"
    sink = reader.write(path, path.open("wb"), Steady(), {})
    sink.publish(Message(poses.topic, json.dumps(payload).encode(), "poses"))
    sink.close()

    assert b"PosesInFrame" in path.read_bytes()
    assert [entry.topic for entry in open_recording(path).entries()] == [poses.topic]


class TestFoxglove:
    @pytest.fixture
    def channels(self, tmp_path: Path) -> dict[str, list[tuple[Any, dict[str, Any]]]]:
        from mcap.reader import make_reader

        path = tmp_path / "hall.mcap"
        record(path)
        found: dict[str, list[tuple[Any, dict[str, Any]]]] = {}
        with path.open("rb") as file:
            for schema, channel, message in make_reader(file).iter_messages():
                found.setdefault(channel.topic, []).append((schema, json.loads(message.data)))
        return found

    def test_schemas_are_of_the_kind_it_reads(
        self, channels: dict[str, list[tuple[Any, dict[str, Any]]]]
    ) -> None:
        """Schemas consist of plain values, objects and arrays of them, as Foxglove requires."""

        def check(schema: dict[str, Any]) -> None:
            assert schema["type"] == "object"
            for found in schema["properties"].values():
                part = found["items"] if found["type"] == "array" else found
                assert part["type"] in {"string", "number", "integer", "boolean", "object"}
                if part["type"] == "object":
                    check(part)

        for messages_ in channels.values():
            schema = messages_[0][0]
            if schema is not None:
                assert schema.encoding == "jsonschema"
                check(json.loads(schema.data))

    def test_messages_are_what_their_schemas_say(
        self, channels: dict[str, list[tuple[Any, dict[str, Any]]]]
    ) -> None:
        """Every message is valid according to its schema."""
        jsonschema = pytest.importorskip("jsonschema")

        for messages_ in channels.values():
            for schema, payload in messages_[:20]:
                if schema is not None:
                    jsonschema.validate(payload, json.loads(schema.data))

    def test_skeletons_lie_where_the_keypoints_are(
        self, channels: dict[str, list[tuple[Any, dict[str, Any]]]]
    ) -> None:
        """Drawn points are half a pixel off: they count from the first pixel's corner."""
        schema, drawn = channels["edgepose/pi/hall/annotations"][10]
        _, poses = channels["edgepose/pi/hall/poses"][10]

        assert schema.name == "foxglove.ImageAnnotations"
        dots = [entry for entry in drawn["points"] if entry["type"] == 1]
        assert len(dots) == len(poses["poses"]) == 2
        for entry, person in zip(dots, poses["poses"], strict=True):
            sure = [(x + 0.5, y + 0.5) for x, y, score in person["keypoints"] if score >= 0.3]
            assert [(point["x"], point["y"]) for point in entry["points"]] == sure

    def test_people_on_a_floor_have_positions(self) -> None:
        """Positions are in the floor's frame, in Foxglove's schema."""
        from edgepose.recording import mcap

        jsonschema = pytest.importorskip("jsonschema")
        payload = {
            "frame_id": "map",
            "poses": [{"position": [1.5, 2.0], "heading": 180.0}, {"posture": "lying"}],
        }

        found = mcap.positions(payload, 5 * NS_PER_S)

        jsonschema.validate(found, mcap.FOXGLOVE["foxglove.PosesInFrame"])
        (one,) = found["poses"]
        assert (found["frame_id"], one["position"]) == ("map", {"x": 1.5, "y": 2.0, "z": 0.0})
        assert one["orientation"] == pytest.approx({"x": 0, "y": 0, "z": 1, "w": 0})

    def test_the_scene_stands_upright(
        self, channels: dict[str, list[tuple[Any, dict[str, Any]]]]
    ) -> None:
        """Z is up, and a person at the right of the picture has negative y."""
        schema, drawn = channels["edgepose/pi/hall/scene"][10]

        assert schema.name == "foxglove.SceneUpdate"
        assert drawn["deletions"][0]["type"] == 1
        places = [entity["lines"][0]["points"] for entity in drawn["entities"]]
        assert all(0 <= point["z"] <= 1 for points in places for point in points)
        left, right = ([p["y"] for p in points] for points in places)
        assert np.mean(left) > np.mean(right)  # the first actor stands at the robot's left


def test_replay_prints_without_a_broker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`replay --print` prints the derived events, one per line, without a broker."""
    path = tmp_path / "hall.jsonl"
    record(path)

    codes = [main(["replay", str(path), "--events", "--print"]) for _ in range(2)]
    lines = capsys.readouterr().out.splitlines()

    assert codes == [0, 0]
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :]
    assert set(events(path)) <= {line.encode() for line in lines}


def test_a_recording_is_never_written_over(tmp_path: Path) -> None:
    """`record` refuses to overwrite a file."""
    path = tmp_path / "hall.jsonl"
    path.write_bytes(b"precious")

    assert main(["record", "-o", str(path), "--for", "0"]) == 2

    assert path.read_bytes() == b"precious"


def test_json_lines_can_be_read_by_anything(tmp_path: Path) -> None:
    """Each line is valid JSON, and is written when `publish` returns."""
    file = io.BytesIO()
    file.close = lambda: None  # type: ignore[method-assign]
    sink = JsonlSink(file, {"device": "pi"}, Steady())

    sink.publish(Message("edgepose/pi/hall/state", b'{\n "a": 1\n}', "state"))
    head, line = file.getvalue().splitlines()

    assert json.loads(head) == {"edgepose_recording": 1, "device": "pi"}
    assert json.loads(line) == {"t": 0.0, "topic": "edgepose/pi/hall/state", "payload": {"a": 1}}


@pytest.mark.slow
@needs_mosquitto
@pytest.mark.parametrize("name", ["night.jsonl", "night.mcap"])
def test_record_and_replay_through_a_broker(tmp_path: Path, name: str) -> None:
    """A recording replayed under another device id is recorded equally; nothing is retained."""
    path, copy = tmp_path / "hall.jsonl", tmp_path / name
    sent = record(path)
    broker = Mosquitto(tmp_path).start()
    played = ["replay", str(path), "--mqtt", broker.url, "--device", "other", "--speed", "0"]
    command = [sys.executable, "-m", "edgepose", "record", "--mqtt", broker.url, "-o", str(copy)]
    process = subprocess.Popen([*command, "--device", "other"], stderr=subprocess.DEVNULL)
    try:
        # Messages before the recorder listens are lost: repeat until the file grows.
        assert wait_until(lambda: main(played) == 0 and _size(copy) > LISTENING, timeout_s=60)
        end = _size(copy) + 8 * LISTENING  # more than one complete run
        assert wait_until(lambda: main(played) == 0 and _size(copy) > end, timeout_s=60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        with Subscription(broker.url) as first:  # the broker may still pass on the last run
            assert wait_until(lambda: first.connected)
            assert wait_until(lambda: first.take(0.3) is None)
        with Subscription(broker.url) as late:
            assert wait_until(lambda: late.connected)
            assert late.take(0.3) is None
    finally:
        process.kill()
        process.wait()
        broker.stop()
    entries = [e for e in open_recording(copy).entries() if e.topic.endswith("/poses")]
    found = [json.loads(entry.payload) for entry in entries]
    first = next(n for n, poses in enumerate(found) if poses["seq"] == 0)
    run = found[first : first + 150]
    assert {poses["device"] for poses in found} == {"other"}
    expected = [json.loads(m.payload)["poses"] for m in sent if m.topic == HALL.poses]
    assert [poses["poses"] for poses in run] == expected[:150]


def _recorder(broker: Mosquitto, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "edgepose", "record", "--mqtt", broker.url, *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def _with_a_device(broker: Mosquitto) -> None:
    """Publish the retained messages of a device."""
    state = Message(HALL.state, b"{}", "state", 1, retain=True)
    there = Message(HALL.availability, b"online", "state", 1, retain=True)
    sink = MqttClient(BrokerOptions.from_url(broker.url))
    sink.start()
    assert sink.wait_connected(10)
    assert all(map(sink.publish, (encoding.availability(TOPICS, online=True), state, there)))
    assert sink.flush(10)
    sink.close()


@pytest.mark.slow
@needs_mosquitto
@pytest.mark.parametrize("asked", [["--device", "attic"], ["--device", "pi", "--camera", "yard"]])
def test_record_leaves_no_file_of_what_never_came(tmp_path: Path, asked: list[str]) -> None:
    """Without a message the error names filter, broker, time and devices, and no file is left."""
    path = tmp_path / "hall.jsonl"
    with Mosquitto(tmp_path) as broker:
        _with_a_device(broker)
        process = _recorder(broker, "-o", str(path), "--for", "0.5", *asked)
        said = process.communicate(timeout=60)[1]

    assert process.returncode == 1
    assert not path.exists()
    assert all(f'"{name}"' in said for name in asked[1::2])
    assert re.search(rf"waited \d+\.\d s at 127\.0\.0\.1:{broker.port} ", said)
    assert "heard there: pi/hall\n" in said


@pytest.mark.slow
@needs_mosquitto
def test_the_time_to_record_begins_when_the_broker_lets_us_listen(tmp_path: Path) -> None:
    """The time of `--for` starts when the subscription is accepted."""
    path = tmp_path / "hall.jsonl"
    broker = Mosquitto(tmp_path, persistent=True)
    with broker:
        _with_a_device(broker)
        broker.stop()
        process = _recorder(broker, "-o", str(path), "--for", "0.2")
        assert process.stderr is not None
        assert any("cannot reach" in line for line in process.stderr)
        broker.start()
        said = process.communicate(timeout=60)[1]

    assert process.returncode == 0, said
    assert [entry.topic for entry in open_recording(path).entries()].count(HALL.state) == 1


@pytest.mark.slow
def test_a_broker_that_is_not_there_is_no_refusal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreachable broker has another exit code than a refusal."""
    monkeypatch.setattr("edgepose.commands.replay.PATIENCE_S", 0.5)
    path = tmp_path / "hall.jsonl"
    record(path)

    assert main(["replay", str(path), "--mqtt", "mqtt://127.0.0.1:1"]) == 1
    assert "replay: no broker at 127.0.0.1:1 (Connection refused)" in capsys.readouterr().err


@pytest.mark.slow
def test_record_says_that_there_is_no_broker(tmp_path: Path) -> None:
    """An unreachable broker is reported at the end, and no file is left."""
    path = tmp_path / "hall.jsonl"
    broker = Mosquitto(tmp_path)  # not started
    process = _recorder(broker, "-o", str(path))
    assert process.stderr is not None
    assert any("cannot reach" in line for line in process.stderr)

    process.send_signal(signal.SIGTERM)

    assert "no broker at" in process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert not path.exists()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_tracks_keep_their_ids() -> None:
    """Recorded tracks keep their ids."""
    pose = recording_frames.RecordedPose(np.zeros((17, 3), np.float32), 0.5, Box(0, 0, 1, 1), 42)
    stranger = Pose(np.zeros((17, 3), np.float32), 0.5, Box(0, 0, 1, 1))
    tracker = replay.KnownPeople()

    found = [tracker.update([pose, stranger], at_ns) for at_ns in (5, 9)]

    assert found == [[found[0][0]], [found[1][0]]]
    assert [(t.id, t.since_ns) for tracks in found for t in tracks] == [(42, 5), (42, 5)]
    assert isinstance(found[0][0], Track)


def of_another(leaf: str, payload: bytes) -> Message:
    return reader.message(f"edgepose/pi/hall/{leaf}", payload)


FOREIGN = [
    of_another("poses", b"garbage"),
    of_another("poses", b""),
    of_another("poses", b"\xff\xfe\0"),
    of_another("poses", b"[1, 2]"),
    of_another("poses", b'{"poses": "many", "captured_at": "yesterday"}'),
    of_another("poses", b"[" * 5000),
    of_another("state", b"on"),
    of_another("event", b'{"at": 5}'),
    of_another("event", b'{"at": "9999-12-31T23:59:59.999Z", "device": 4}'),
    of_another("availability", b'{"state": "online"}'),
    of_another("snapshot", b"no picture"),
    reader.message("edgepose/pi/status", b"\x89PNG"),
    reader.message("edgepose/pi/hall/set/fps", b"7"),
]


@pytest.mark.parametrize("ending", ["jsonl", "mcap"])
def test_foreign_messages_are_left_out(
    tmp_path: Path,
    ending: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Foreign messages in a recording are skipped; edgepose's are read."""
    path = tmp_path / f"hall.{ending}"
    clock = Steady()
    sink = reader.write(path, path.open("wb"), clock, {})
    ours = 0
    for number, message in enumerate(said(clock)):
        assert sink.publish(message)
        ours += message.topic.endswith("/poses")
        if number < len(FOREIGN):
            assert sink.publish(FOREIGN[number])
    sink.close()

    assert len(list(frames(open_recording(path)))) == ours
    assert caplog.text.count("is left out") == 6
    for words in (["--events"], ["--now"], ["--device", "other"], []):
        assert main(["replay", str(path), "--print", *words]) == 0
    assert "unexpected" not in capsys.readouterr().err


@pytest.mark.parametrize("change", ["bom", "crlf", "blank lines", "zeros", "joined"])
def test_what_editors_and_power_cuts_do_to_a_file_does_not_matter(
    tmp_path: Path, change: str
) -> None:
    """Every whole message is read."""
    path = tmp_path / "hall.jsonl"
    record(path)
    whole = list(open_recording(path).entries())
    data = path.read_bytes()
    path.write_bytes(
        {
            "bom": b"\xef\xbb\xbf" + data,
            "crlf": data.replace(b"\n", b"\r\n"),
            "blank lines": b"\n\r\n" + data + b"\n\n",
            "zeros": data + bytes(4096),
            "joined": data + data,
        }[change]
    )

    found = list(open_recording(path).entries())

    assert found == (whole * 2 if change == "joined" else whole)


@pytest.mark.parametrize(
    "content", [b"\x1f\x8b" + bytes(50), b"\x1f\x8b", b"\x1f\x8b\x08" + 50 * b"x"]
)
def test_a_damaged_gzip_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """In one sentence."""
    path = tmp_path / "hall.jsonl.gz"
    path.write_bytes(content)

    with pytest.raises(RecordingError, match="damaged gzip file"):
        open_recording(path)


@pytest.mark.parametrize(
    "line",
    [
        b'{"t":5,"topic":"edgepose/pi/hall/poses","payload":' + 5000 * b"[" + 5000 * b"]" + b"}",
        b'{"t":1e300,"topic":"edgepose/pi/hall/poses","payload":1}',
        b'{"t":5,"topic":7,"payload":1}',
        b'{"t":NaN,"topic":"a","payload":1}',
    ],
    ids=["deep", "endless", "topic", "nan"],
)
def test_a_line_of_nonsense_is_an_error_with_its_number(tmp_path: Path, line: bytes) -> None:
    """Not an unexpected one."""
    path = tmp_path / "hall.jsonl"
    record(path)
    data = path.read_bytes()
    path.write_bytes(data + line + b"\n" + data.splitlines()[-1])

    with pytest.raises(RecordingError, match=rf"hall.jsonl:{data.count(bytes([10])) + 1}: "):
        list(open_recording(path).entries())


@pytest.mark.parametrize(("model", "people"), [("movenet-multipose", 2), ("movenet-thunder", 0)])
def test_poses_without_ids_are_followed_by_the_scale_of_their_model(
    tmp_path: Path, model: str, people: int
) -> None:
    """A score of 0.3 is a person for one model and nobody for another."""
    path = tmp_path / "detect.jsonl"
    with path.open("wb") as file:
        for message in said(Steady()):
            if message.topic == HALL.poses:
                poses = json.loads(message.payload) | {"model": model}
                for person in poses["poses"]:
                    person |= {"id": None, "score": 0.3}
                file.write(json.dumps(poses).encode() + b"\n")

    appeared = [e for e in map(json.loads, events(path)) if e["type"] == "person_appeared"]

    assert len({event["person"] for event in appeared}) == people


def test_a_recording_is_not_written_under_a_compressed_name(tmp_path: Path) -> None:
    """A file that ends in `.gz` without being compressed can be opened by no other program."""
    path = tmp_path / "hall.jsonl.gz"

    with pytest.raises(UsageError, match=r"expected \.jsonl"):
        reader.write(path, path.open("wb"), Clock(), {})


@pytest.mark.parametrize("name", ["hall.csv", "hall.BAG", "hall.mp4"])
def test_a_recording_is_not_written_under_the_name_of_another_format(
    tmp_path: Path, name: str
) -> None:
    """The error names the two formats that can be written."""
    path = tmp_path / name

    with path.open("wb") as file, pytest.raises(UsageError, match=r"expected \.jsonl or \.mcap"):
        reader.write(path, file, Clock(), {})
