"""`edgepose.subscribe` and `edgepose watch`."""

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from edgepose.commands.watch import LiveTable, harmless, line
from edgepose.errors import BrokerError, ConfigError, UsageError
from edgepose.mqtt import encoding, messages
from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.messages import AvailabilityMessage, EventMessage, PosesMessage, StateMessage
from edgepose.mqtt.options import BrokerOptions
from edgepose.mqtt.subscriber import Inbox, Subscription, filters, subscribe
from edgepose.mqtt.topics import Topics
from edgepose.types import Box, Event, Frame, Message, Pose, Track
from tests.support.brokers import Mosquitto, needs_mosquitto, wait_until, with_passwords

TOPICS = Topics("edgepose", "pi")
HALL = TOPICS.camera("hall")


def frame() -> Frame:
    return Frame(np.zeros((72, 128, 3), np.uint8), 0, 1_795_377_901_123_456_789, 0)


def poses(seq: int, *people: Track, camera: str = "hall") -> Message:
    topics = TOPICS.camera(camera)
    return encoding.poses(topics, frame(), people, seq=seq, latency_ms=12.34, model="m")


def someone(number: int) -> Track:
    pose = Pose(np.zeros((17, 3), np.float32), 0.75, Box(10, 20, 30, 40))
    return Track(number, pose, 0, "sitting", ("sofa",))


def event(type_: str = "wave") -> Message:
    return encoding.event(HALL, Event(type_, 0, 3, 0.5, {"hand": "left"}), frame())


def state(count: int) -> Message:
    return encoding.state(HALL, [{"occupied": count > 0, "count": count}])


def typed(message: Message) -> messages.AnyMessage:
    found = messages.read("edgepose", message.topic, message.payload)
    assert found is not None
    return found


class TestInbox:
    def test_a_slow_reader_loses_the_oldest_poses_and_no_event(self) -> None:
        """When full, the oldest poses are dropped and counted before events and states."""
        inbox = Inbox(depth=4)
        for message in (event(), poses(1), poses(2), state(1), poses(3), poses(4)):
            inbox.put(typed(message))

        got = [inbox.take(0) for _ in range(5)]

        assert [type(one).__name__ for one in got[:2]] == ["EventMessage", "StateMessage"]
        assert [one.seq for one in got[2:4] if isinstance(one, PosesMessage)] == [3, 4]
        assert got[4] is None
        assert inbox.dropped == 2

    def test_it_is_bounded_without_poses_too(self) -> None:
        """The inbox is bounded without poses, too."""
        inbox = Inbox(depth=2)
        for count in range(5):
            inbox.put(typed(state(count)))

        got = [inbox.take(0) for _ in range(3)]

        assert [one.count for one in got if isinstance(one, StateMessage)] == [3, 4]
        assert inbox.dropped == 3

    def test_a_refusal_comes_after_what_came_before_it(self) -> None:
        """The error is raised after the messages received before it."""
        inbox = Inbox()
        inbox.put(typed(event()))
        inbox.fail(BrokerError("no"))

        assert inbox.take() is not None
        with pytest.raises(BrokerError):
            inbox.take()

    def test_closing_lets_a_waiting_reader_go(self) -> None:
        """`close` ends a waiting `take`, also from another thread and twice."""
        inbox = Inbox()
        got: list[object] = []
        reader = threading.Thread(target=lambda: got.append(inbox.take()))
        reader.start()

        inbox.close()
        inbox.close()
        reader.join(10)

        assert got == [None]


class TestFilters:
    def test_they_cover_what_a_device_says_and_nothing_twice(self) -> None:
        """Every topic matches exactly one filter: overlapping ones would deliver messages twice."""
        from paho.mqtt.client import topic_matches_sub

        said = [TOPICS.availability, TOPICS.status, TOPICS.stats]
        said += [HALL.availability, HALL.poses, HALL.state, HALL.event]

        for names in ((None, None), ("pi", None), ("pi", "hall"), (None, "hall")):
            found = filters("edgepose", *names)
            counts = [sum(topic_matches_sub(one, topic) for one in found) for topic in said]
            assert counts == [1] * len(said)
        other = filters("edgepose", "pi", "garden")
        assert not any(topic_matches_sub(one, HALL.poses) for one in other)

    def test_an_encoding_that_there_is_none_of_is_refused(self) -> None:
        """An unknown encoding raises UsageError: no message would ever arrive."""
        with pytest.raises(UsageError, match="msgpack"):
            subscribe("mqtt://localhost", encoding="cbor")

    @pytest.mark.parametrize("name", ["", "+", "a/b", "#"])
    def test_a_name_that_is_none_is_refused(self, name: str) -> None:
        """A wildcard as device or camera name raises UsageError."""
        with pytest.raises(UsageError):
            filters("edgepose", name, None)


def test_a_url_that_cannot_be_meant_is_refused_at_once() -> None:
    """An invalid URL raises ConfigError at once."""
    with pytest.raises(ConfigError):
        subscribe("localhost:1883")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


@pytest.fixture
def device(broker: Mosquitto) -> Iterator[MqttClient]:
    quick = {"availability_topic": TOPICS.availability, "retry_s": (0.05, 0.2)}
    sink = MqttClient(BrokerOptions.from_url(broker.url, **quick))
    sink.on_connect(lambda: sink.publish(state(1)))
    sink.start()
    assert sink.wait_connected(10)
    yield sink
    sink.close()


def next_of(subscription: Subscription, kind: type) -> messages.AnyMessage:
    while True:
        message = subscription.take(10)
        assert message is not None, f"no {kind.__name__} came"
        if isinstance(message, kind):
            return message


@needs_mosquitto
@pytest.mark.slow
class TestSubscription:
    def test_it_yields_typed_messages_and_survives_the_broker(
        self, broker: Mosquitto, device: MqttClient
    ) -> None:
        """Retained messages come first, then new ones, also after a restart of the broker."""
        with subscribe(broker.url, device="pi", retry_s=(0.05, 0.2)) as subscription:
            assert next_of(subscription, AvailabilityMessage)
            assert next_of(subscription, StateMessage) == typed(state(1))

            device.publish(Message("edgepose/pi/hall/poses", b"broken", "poses"))
            device.publish(poses(1, someone(3)))
            device.publish(event())
            assert next_of(subscription, PosesMessage) == typed(poses(1, someone(3)))
            assert next_of(subscription, EventMessage) == typed(event())

            broker.kill()
            broker.start()
            assert device.wait_connected(10)
            assert next_of(subscription, StateMessage) == typed(state(1))

    def test_it_listens_to_one_camera_when_told(
        self, broker: Mosquitto, device: MqttClient
    ) -> None:
        """The filters exclude other cameras."""
        with subscribe(broker.url, device="pi", camera="garden") as subscription:
            assert next_of(subscription, AvailabilityMessage)
            device.publish(poses(1))
            device.publish(poses(2, camera="garden"))
            found = next_of(subscription, PosesMessage)

        assert isinstance(found, PosesMessage)
        assert (found.camera, found.seq) == ("garden", 2)

    def test_it_reads_messagepack_where_told(self, broker: Mosquitto, device: MqttClient) -> None:
        """With msgpack the same types are returned; poses arrive once, other messages as JSON."""
        told = poses(7, someone(3))
        with subscribe(broker.url, device="pi", encoding="msgpack") as subscription:
            assert next_of(subscription, StateMessage) == typed(state(1))
            device.publish(told)
            device.publish(encoding.packed(HALL, told))
            device.publish(encoding.packed(HALL, poses(8)))
            found = [next_of(subscription, PosesMessage) for _ in range(2)]

        assert [one.seq for one in found if isinstance(one, PosesMessage)] == [7, 8]
        assert found[0] == typed(encoding.packed(HALL, told))

    def test_closing_ends_the_loop(self, broker: Mosquitto) -> None:
        """`close` from another thread ends the iteration."""
        subscription = subscribe(broker.url)
        ended = threading.Thread(target=lambda: list(subscription))
        ended.start()

        subscription.close()
        ended.join(10)

        assert not ended.is_alive()

    def test_a_refused_login_is_raised_to_the_reader(self, tmp_path: Path) -> None:
        """A refused login raises BrokerError."""
        with with_passwords(tmp_path, {"me": "right"}) as guarded:
            url = guarded.url.replace("//", "//me:wrong@")
            with subscribe(url) as subscription, pytest.raises(BrokerError):
                subscription.take(10)


class TestTable:
    def test_it_counts_frames_names_people_and_notices_silence(self) -> None:
        """The table shows frame rate, people, and the time without a message."""
        now_s = [0.0]
        table = LiveTable(lambda: now_s[0])
        for seq in range(41):
            now_s[0] = seq / 4
            table.add(typed(poses(seq, someone(3))))

        lively = "\n".join(table.rows())
        now_s[0] += 60
        silent = "\n".join(table.rows())

        rate = float(lively.partition(" fps")[0].rsplit(maxsplit=1)[-1])
        assert rate == pytest.approx(4, abs=0.3)
        assert "1 in view" in lively
        assert "#3 sitting 0.75" in lively
        assert "nothing for" not in lively
        assert "nothing for 60 s" in silent
        assert "0.0 fps" in silent

    def test_it_says_when_a_device_or_camera_is_away(self) -> None:
        """`offline` is shown and removed again when it is back."""
        for topics in (TOPICS, HALL):
            table = LiveTable(lambda: 0.0)
            table.add(typed(poses(1)))
            table.add(typed(encoding.availability(topics, online=False)))
            assert "offline" in table.rows()[0]
            table.add(typed(encoding.availability(topics, online=True)))
            assert "offline" not in table.rows()[0]

    def test_the_latest_event_stands_first(self) -> None:
        """The latest event comes first; old ones are removed."""
        table = LiveTable(lambda: 0.0)
        for n in range(20):
            table.add(typed(event(f"event{n}")))

        rows = table.rows()

        assert "event19" in rows[0]
        assert not any("event5 " in row for row in rows)


def test_each_message_has_its_line() -> None:
    """Each message is formatted as one readable line."""
    lines = [
        line(typed(message)) for message in (poses(7), poses(8, someone(3)), event(), state(2))
    ]
    lines.append(line(typed(encoding.availability(HALL, online=False))))

    assert "nobody" in lines[0]
    assert "#3 sitting" in lines[1]
    assert "in sofa" in lines[1]
    assert "wave #3 hand=left" in lines[2]
    assert "2 in view" in lines[3]
    assert lines[4] == "pi/hall offline"
    assert not any("\n" in one for one in lines)


def test_what_others_publish_does_not_steer_the_terminal() -> None:
    """Control characters are replaced by question marks."""
    assert harmless("a\x1b[2Jb\nc") == "a?[2Jb?c"


@needs_mosquitto
@pytest.mark.slow
class TestWatch:
    def test_it_writes_lines_into_a_pipe_and_ends_well(
        self, broker: Mosquitto, device: MqttClient
    ) -> None:
        """Into a pipe it writes lines; Ctrl-C is a normal end."""
        command = [sys.executable, "-m", "edgepose", "watch", "--mqtt", broker.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            first = {watching.stdout.readline(), watching.stdout.readline()}
            device.publish(event())
            third = watching.stdout.readline()
            watching.send_signal(signal.SIGINT)
            code = watching.wait(10)

        assert "pi online\n" in first
        assert "wave #3" in third
        assert code == 0

    def test_it_draws_a_table_in_a_terminal(self, broker: Mosquitto, device: MqttClient) -> None:
        """In a terminal it redraws a table, and ends with Ctrl-C."""
        ours, its = pty.openpty()
        command = [sys.executable, "-m", "edgepose", "watch", "--mqtt", broker.url]
        shown = bytearray()

        def read() -> None:
            with suppress(OSError):
                while piece := os.read(ours, 4096):
                    shown.extend(piece)

        with subprocess.Popen(command, stdout=its) as watching:
            os.close(its)
            threading.Thread(target=read, daemon=True).start()
            assert wait_until(lambda: b"pi/hall" in shown)
            device.publish(poses(1, someone(3)))
            assert wait_until(lambda: b"#3 sitting" in shown)
            watching.send_signal(signal.SIGINT)
            code = watching.wait(10)

        assert code == 0
