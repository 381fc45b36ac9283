"""Requests and commands: valid ones are carried out and answered, others have no effect."""

import json
import logging
import random
import threading
from typing import Any

import msgspec
import pytest

from edgepose.config.schema import Camera, Config
from edgepose.mqtt.command_handler import MAX_BYTES, CommandHandler
from edgepose.mqtt.rate_limit import BURST
from edgepose.mqtt.requests import CommandError, Request, Settings
from edgepose.mqtt.topics import Topics
from edgepose.service.overrides import Overrides, StoredSettings
from edgepose.system.storage import StateFile
from edgepose.types import Message, Received
from tests.support.brokers import wait_until
from tests.support.clocks import ClockByHand

TOPICS = Topics("edgepose", "pi")
SET = "edgepose/pi/hall/set"


class Bench:
    """A command handler with one camera, a few request types and a manual clock."""

    def __init__(self) -> None:
        self.clock = ClockByHand()
        self.applied: list[tuple[str, Settings]] = []
        self.asked: list[Request] = []
        self.answers: list[Message] = []
        self.healed = threading.Event()
        self.remote = CommandHandler(
            lambda: TOPICS,
            cameras=lambda: {"hall"},
            apply=lambda camera, settings: self.applied.append((camera, settings)),
            handlers={
                "ping": self._ask,
                "snapshot": self._ask,
                "info": self._cannot,
                "doctor": self._examine,
            },
            answer=self.answers.append,
            clock=self.clock,
        )

    def _ask(self, request: Request) -> Any:
        self.asked.append(request)
        return {"pong": True}

    def _examine(self, request: Request) -> Any:
        assert self.healed.wait(10)
        return self._ask(request)

    def _cannot(self, _: Request) -> Any:
        raise CommandError("the camera is away")

    def send(self, topic: str, payload: bytes | dict[str, Any], **properties: Any) -> None:
        content = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.remote.take(Received(topic, content, **({"retained": False} | properties)))

    def answer(self) -> dict[str, Any]:
        """Return the only answer, and clear the list."""
        (message,) = self.answers
        self.answers.clear()
        found: dict[str, Any] = json.loads(message.payload)
        return found


@pytest.fixture
def bench() -> Bench:
    return Bench()


def ask(verb: str) -> str:
    return f"edgepose/pi/request/{verb}"


class TestRequest:
    @pytest.mark.parametrize("id_", ["a", 7, 1.5, True, None, "é" * 500])
    def test_it_echoes_the_id(self, bench: Bench, id_: Any) -> None:
        """The id may be any JSON scalar; it is echoed in refusals, too."""
        bench.send(ask("ping"), {"id": id_})
        good = bench.answer()
        bench.send(ask("ping"), {"id": id_, "nonsense": 1})
        bad = bench.answer()

        assert good == {"id": id_, "ok": True, "data": {"pong": True}}
        assert (bad["id"], bad["ok"]) == (id_, False)
        assert "nonsense" in bad["error"]

    def test_it_answers_on_the_verbs_topic(self, bench: Bench) -> None:
        """The answer has QoS 1 and is not retained; a request with an empty body has no id."""
        bench.send(ask("ping"), b"")

        (message,) = bench.answers
        assert (message.topic, message.qos, message.retain) == ("edgepose/pi/response/ping", 1, 0)
        assert bench.answer() == {"ok": True, "data": {"pong": True}}

    def test_it_honours_response_topic_and_correlation(self, bench: Bench) -> None:
        """An MQTT 5 response topic replaces the usual one; the correlation data is returned."""
        bench.send(ask("ping"), {}, response_topic="robot/inbox", correlation=b"\x00\xff")

        (message,) = bench.answers
        assert (message.topic, message.correlation) == ("robot/inbox", b"\x00\xff")

    @pytest.mark.parametrize(
        "where", ["edgepose/pi/request/ping", SET, "edgepose/pi/status", "a/#", "+/a", "$SYS/a", ""]
    )
    def test_it_never_answers_where_it_listens_or_speaks(self, bench: Bench, where: str) -> None:
        """A response topic on which it listens or publishes, or an invalid one, is ignored."""
        bench.send(ask("ping"), {}, response_topic=where)

        assert {message.topic for message in bench.answers} <= {"edgepose/pi/response/ping"}

    def test_a_verb_that_does_not_exist_is_answered_with_those_that_do(self, bench: Bench) -> None:
        """The answer to an unknown request lists the known ones."""
        bench.send(ask("dance"), {"id": 1})

        answer = bench.answer()
        assert answer["ok"] is False
        assert "dance" in answer["error"]
        assert "ping" in answer["error"]

    def test_what_takes_long_is_answered_later_and_done_once_at_a_time(self, bench: Bench) -> None:
        """Other requests are answered meanwhile; a second one of the same type is refused."""
        bench.send(ask("doctor"), {"id": 1}, response_topic="me", correlation=b"1")
        bench.send(ask("ping"), {"id": 2})
        ping = bench.answer()
        bench.send(ask("doctor"), {"id": 3})
        busy = bench.answer()
        bench.healed.set()
        assert wait_until(lambda: bench.answers)
        (message,) = bench.answers
        answer = bench.answer()
        assert wait_until(lambda: not bench.remote._running)
        bench.send(ask("doctor"), {"id": 4})
        assert wait_until(lambda: bench.answers)

        assert ping == {"id": 2, "ok": True, "data": {"pong": True}}
        assert (busy["id"], busy["ok"]) == (3, False)
        assert "is running" in busy["error"]
        assert answer == {"id": 1, "ok": True, "data": {"pong": True}}
        assert (message.topic, message.correlation) == ("me", b"1")
        assert bench.answer()["id"] == 4

    def test_what_cannot_be_done_is_answered_with_the_reason(self, bench: Bench) -> None:
        """A refused request is answered with the reason."""
        bench.send(ask("info"), {"id": 1})

        assert bench.answer() == {"id": 1, "ok": False, "error": "the camera is away"}


class TestSet:
    def test_it_applies_what_is_given_and_only_that(self, bench: Bench) -> None:
        """Only the given settings change; null restores the file's value."""
        bench.send(SET, {"paused": True, "fps": None})

        assert bench.applied == [("hall", Settings(paused=True, fps=None))]
        assert bench.answers == []

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"ON",
            b"[]",
            b"1",
            b"null",
            b'{"paused":"yes"}',
            b'{"paused":1}',
            b'{"fps":0}',
            b'{"fps":1e400}',
            b'{"fps":-5,"paused":true}',
            b'{"min_pose_score":1.01}',
            b'{"min_pose_score":NaN}',
            b'{"paused":true,"colour":"red"}',
            b'{"paused":true}garbage',
            b'{"paused":tru',
            b"\xff\xfe",
            b"[" * 10_000,
            b'{"paused":true,"x":"' + b"x" * MAX_BYTES + b'"}',
        ],
    )
    def test_what_is_not_wholly_good_changes_nothing(
        self, bench: Bench, payload: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A partly invalid command changes nothing; log and MQTT 5 response give the reason."""
        bench.send(SET, payload, response_topic="me", correlation=b"1")

        assert bench.applied == []
        answer = bench.answer()
        assert answer["ok"] is False
        assert "jSON" not in answer["error"]
        assert "refused" in caplog.text

    def test_a_camera_that_does_not_exist_is_refused(self, bench: Bench) -> None:
        """A command for an unknown camera is refused with its name."""
        bench.send("edgepose/pi/attic/set", {"paused": True}, response_topic="me")

        assert bench.applied == []
        assert "attic" in bench.answer()["error"]

    def test_retained_commands_are_refused(self, bench: Bench) -> None:
        """Retained commands are refused: they would be carried out again at each start."""
        bench.send(SET, {"paused": True}, retained=True)
        bench.send(ask("ping"), {}, retained=True)

        assert bench.applied == []
        assert bench.asked == []


class TestLimits:
    def test_a_flood_is_cut_off_and_told_once(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Of 1,000 commands at once only a burst is carried out; one refusal is sent and logged."""
        for n in range(1000):
            bench.send(ask("ping"), {"id": n})

        refused = [a for a in bench.answers if not json.loads(a.payload)["ok"]]
        assert len(bench.asked) == BURST
        assert len(refused) == 1
        assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1

    def test_it_obeys_again_after_a_moment(self, bench: Bench) -> None:
        """Commands are accepted again after a second."""
        for _ in range(100):
            bench.send(ask("ping"), {})

        bench.clock.forward(1)
        before = len(bench.asked)
        bench.send(ask("ping"), {})

        assert len(bench.asked) == before + 1

    def test_a_fault_that_repeats_is_logged_once(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A repeated error is logged once, to limit the size of the log."""
        for n in range(50):
            bench.clock.forward(1)
            bench.send(SET, b"nonsense %d" % n)

        assert caplog.text.count("refused") == 1

    def test_what_strangers_send_cannot_forge_the_log(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Line ends and terminal escape sequences are removed from log lines."""
        bench.send(ask("a\nedgepose: all is well\x1b[31m" + "x" * 5000), b"")

        assert all("\n" not in r.message and "\x1b" not in r.message for r in caplog.records)
        assert all(len(r.message) < 1000 for r in caplog.records)


def mutated(chance: random.Random, payload: bytes) -> bytes:
    """Return a payload with a few random changes."""
    spoiled = bytearray(payload)
    for _ in range(chance.randrange(1, 4)):
        place = chance.randrange(len(spoiled) + 1)
        match chance.randrange(3):
            case 0:
                spoiled[place : place + chance.randrange(9)] = b""
            case 1:
                spoiled[place:place] = chance.randbytes(chance.randrange(5))
            case _:
                spoiled[place:place] = chance.choice([b'"', b"{", b"}", b"null", b"1e999", b"\\u"])
    return bytes(spoiled)


def test_thousands_of_random_commands_do_no_harm(bench: Bench) -> None:
    """Each is carried out or refused, nothing is raised, and applied values are within limits."""
    chance = random.Random(11)
    seeds = [
        b'{"paused":true}',
        b'{"fps":12.5,"fall":false}',
        b'{"min_pose_score":0.5,"min_keypoint_score":0.1}',
        b'{"id":"abc","camera":"hall"}',
        b"{}",
        b"",
    ]
    leaves = ["hall/set", "request/ping", "request/snapshot", "request/x", "x/set", "hall/event"]
    places = [None, None, "me", "edgepose/pi/request/ping", "#"]

    for _ in range(5000):
        bench.clock.forward(1)
        seed = chance.choice(seeds)
        payload = chance.choice([seed, mutated(chance, seed), chance.randbytes(40)])
        topic = f"edgepose/pi/{chance.choice(leaves)}"
        bench.send(topic, payload, response_topic=chance.choice(places), correlation=payload[:9])

    assert len(bench.applied) > 100
    assert len(bench.asked) > 100
    assert bench.remote.refused > 1000
    for camera, settings in bench.applied:
        assert camera == "hall"
        assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings
        assert all(0 <= float(value) <= 240 for value in settings.given().values() if value)
    for message in bench.answers:
        assert isinstance(json.loads(message.payload)["ok"], bool)


class TestOverrides:
    CONFIG = Config(cameras=(Camera(id="hall", source="demo://", fps=10),))

    def overrides(self, path: Any = None) -> Overrides:
        return Overrides(StateFile(path, StoredSettings))

    def test_they_lie_over_the_file_and_null_takes_them_off(self) -> None:
        """Settings override the file, null removes the override, the latest value counts."""
        overrides, hall = self.overrides(), self.CONFIG.cameras[0]
        overrides.store("hall", Settings(fps=3, fall=False))
        overrides.store("hall", Settings(min_pose_score=0.6, fps=4))

        set_ = overrides.current_settings(self.CONFIG, hall)
        overrides.store("hall", Settings(fps=None, fall=None, min_pose_score=None))

        assert (set_.fps, set_.fall, set_.min_pose_score) == (4, False, 0.6)
        assert set_.min_keypoint_score == self.CONFIG.pose.min_keypoint_score
        assert overrides.apply_to(self.CONFIG, hall) == (self.CONFIG, hall)

    def test_they_outlive_a_restart(self, tmp_path: Any) -> None:
        """A paused camera is still paused after a restart."""
        path = tmp_path / "settings.json"
        self.overrides(path).store("hall", Settings(paused=True))

        assert self.overrides(path).is_paused("hall")
        assert not self.overrides(path).is_paused("yard")

    @pytest.mark.parametrize("content", [b"", b"nonsense", b'{"hall":{"fps":-1}}', b"\xff"])
    def test_a_note_that_cannot_be_read_is_set_aside(self, tmp_path: Any, content: bytes) -> None:
        """A damaged settings file is renamed, and the daemon starts without it."""
        path = tmp_path / "settings.json"
        path.write_bytes(content)

        overrides = self.overrides(path)
        overrides.store("hall", Settings(paused=True))

        assert self.overrides(path).is_paused("hall")
        assert path.with_name("settings.json.damaged").read_bytes() == content
