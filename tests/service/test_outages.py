"""No event is lost or reordered by failures between daemon and broker."""

import gc
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from edgepose.config.schema import Config, Device, Mqtt
from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.options import BrokerOptions
from edgepose.mqtt.publisher import Publisher
from edgepose.mqtt.spool import Spool
from edgepose.mqtt.spool_segments import SUFFIX
from edgepose.mqtt.topics import Topics
from edgepose.service import wiring
from edgepose.timing import Clock
from edgepose.types import Message
from tests.service.test_daemon import CAMERA, Running
from tests.support.brokers import (
    Line,
    Mosquitto,
    Witness,
    free_port,
    needs_mosquitto,
    wait_until,
    witness,
)

pytestmark = [needs_mosquitto, pytest.mark.slow]

EVENT = "edgepose/test-pi/hall/event"
STATE = "edgepose/test-pi/hall/state"
TOPICS = Topics("edgepose", "test-pi")


def event(n: int) -> Message:
    return Message(EVENT, b'{"id":"%d"}' % n, "event", qos=1)


def state(n: int) -> Message:
    return Message(STATE, b'{"n":%d}' % n, "state", qos=1, retain=True)


def ids(seen: Witness, topic: str = EVENT) -> list[str]:
    """Return the ids of the received events, in the order of their first arrival."""
    found = [json.loads(m.payload)["id"] for m in seen.noted() if m.topic == topic]
    return list(dict.fromkeys(found))


def numbered(count: int, first: int = 0) -> list[str]:
    return [str(n) for n in range(first, count)]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


@pytest.fixture
def line(broker: Mosquitto) -> Iterator[Line]:
    with Line(broker.port) as open_line:
        yield open_line


@pytest.fixture
def linked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Publisher]]:
    """Return a factory of publishers that detect outages and reconnect within seconds."""
    open_links = ExitStack()

    def quick_sink(
        config: Config, topics: Topics, _own: object, refused: Any, session: str | None
    ) -> MqttClient:
        options = BrokerOptions.from_url(
            config.mqtt.url,
            availability_topic=topics.availability,
            keepalive_s=2,
            retry_s=(0.1, 0.3),
            session=session,
        )
        return MqttClient(options, on_failure=refused)

    def start(url: str) -> Publisher:
        config = Config(device=Device(id="test-pi"), mqtt=Mqtt(url=url))
        link = wiring.make_publisher(config, TOPICS, Clock(), pytest.fail)
        link.start()
        open_links.callback(link.close, 1.0)
        return link

    monkeypatch.setattr(wiring, "sink", quick_sink)
    with open_links:
        yield start


class Speaker:
    """Publishes alternating events and states in a thread, as a camera does."""

    def __init__(self, link: Publisher, count: int) -> None:
        self._link, self._count = link, count
        self.said = 0
        self._pace = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)
        self._thread.start()

    def _speak(self) -> None:
        for n in range(self._count):
            self._link.put(event(n))
            self._link.put(state(n))
            self.said = n + 1
            self._pace.wait(0.005)

    def reaches(self, count: int) -> None:
        assert wait_until(lambda: self.said >= count)

    def ends(self) -> None:
        self._thread.join(10)
        assert self.said == self._count


def sent(link: Publisher) -> bool:
    """Wait until the broker has acknowledged all events."""
    return wait_until(lambda: link.outbox.waiting() == 0, timeout_s=30)


LINE_TROUBLE: dict[str, Callable[[Line], None]] = {
    "stalls": Line.stall,
    "swallows": Line.swallow,
    "resets": Line.reset,
}


@pytest.mark.parametrize("trouble", LINE_TROUBLE)
def test_events_outlast_a_line_that(
    trouble: str, broker: Mosquitto, line: Line, linked: Callable[[str], Publisher]
) -> None:
    """The connection fails during publishing; all events arrive in order, then the latest state."""
    with witness(broker.port) as seen:
        link = linked(line.url)
        seen.on(TOPICS.availability, b"online")
        speaker = Speaker(link, 300)
        speaker.reaches(100)

        LINE_TROUBLE[trouble](line)
        speaker.reaches(200)
        if trouble != "resets":
            seen.on(TOPICS.availability, b"offline", timeout_s=20)
            line.reset()
        line.go_on()
        speaker.ends()

        assert sent(link)
        seen.on(STATE, b'{"n":299}')
        assert wait_until(lambda: len(ids(seen)) == 300)
        assert ids(seen) == numbered(300)


def test_events_outlast_a_broker_that_hangs(
    broker: Mosquitto, linked: Callable[[str], Publisher]
) -> None:
    """The broker is paused: it accepts bytes without an answer until it continues."""
    with witness(broker.port) as seen:
        link = linked(broker.url)
        seen.on(TOPICS.availability, b"online")
        speaker = Speaker(link, 300)
        speaker.reaches(100)

        broker.pause()
        speaker.ends()
        broker.resume()

        assert sent(link)
        assert wait_until(lambda: len(ids(seen)) == 300)
        assert ids(seen) == numbered(300)


@pytest.mark.parametrize("end", [Mosquitto.stop, Mosquitto.kill])
def test_events_outlast_the_end_of_the_broker(
    end: Callable[[Mosquitto], None],
    broker: Mosquitto,
    line: Line,
    linked: Callable[[str], Publisher],
) -> None:
    """Events that the broker did not acknowledge are sent again after its restart."""
    acknowledged: list[str] = []
    with witness(broker.port) as before:
        link = linked(line.url)
        settle = link.outbox.acknowledge
        link.outbox.acknowledge = lambda outgoing, *, accepted: (  # type: ignore[method-assign]
            acknowledged.append(json.loads(outgoing.message.payload)["id"]),
            settle(outgoing, accepted=accepted),
        )[1]
        before.on(TOPICS.availability, b"online")
        speaker = Speaker(link, 300)
        speaker.reaches(100)
        end(broker)
        assert wait_until(lambda: not link.connected)  # acknowledgements may be under way
        its_own = set(acknowledged)
        speaker.ends()
    line.stall()
    broker.start()
    with witness(broker.port) as after:
        line.go_on()

        assert sent(link)
        after.on(STATE, b'{"n":299}')
        wait_until(lambda: ids(after)[-1:] == ["299"])
        arrived = list(dict.fromkeys(ids(before) + ids(after)))
        assert set(numbered(300)) - set(arrived) <= its_own
        assert len(its_own) < 200
        assert ids(after) == sorted(ids(after), key=int)


def test_a_device_keeps_its_session_and_shares_it_with_nobody(
    broker: Mosquitto, linked: Callable[[str], Publisher]
) -> None:
    """A restart uses the same client id; a second process of the device has another one."""
    first, second = linked(broker.url), linked(broker.url)
    first.close(1.0)
    third = linked(broker.url)
    names = [link._sink.client_id for link in (first, second, third)]

    assert names[0] == names[2]
    assert names[0] != names[1]


def test_poses_are_never_queued(broker: Mosquitto, linked: Callable[[str], Publisher]) -> None:
    """Poses put while the broker hangs or is away are dropped and counted."""
    poses = "edgepose/test-pi/hall/poses"
    broker.stop()
    link = linked(broker.url)
    for n in range(50):
        link.put(Message(poses, b'{"id":"%d"}' % n, "poses"))
    link.put(event(0))
    broker.start()

    with witness(broker.port) as seen:
        assert sent(link)
        link.put(Message(poses, b'{"id":"50"}', "poses"))
        seen.on(poses)

        assert ids(seen, poses) == ["50"]
        assert link.outbox.counts()["poses"] == 50


def test_events_that_the_broker_refuses_wait_until_it_takes_them(
    tmp_path: Path, linked: Callable[[str], Publisher]
) -> None:
    """Events refused by an access list are delivered once it allows them."""
    rules = ["allow_anonymous true", f"acl_file {tmp_path / 'acl'}"]
    (tmp_path / "acl").write_text("topic readwrite edgepose/+/availability\ntopic read #\n")
    with Mosquitto(tmp_path, *rules) as broker:
        link = linked(broker.url)
        for n in range(5):
            link.put(event(n))
        assert wait_until(lambda: EVENT in link._sink.refused)
        broker.stop()
        (tmp_path / "acl").write_text("topic readwrite #\n")
        broker.start()
        with witness(broker.port) as seen:
            assert sent(link)
            # events received before the witness had subscribed are ignored
            link.put(event(5))
            seen.on(EVENT, event(5).payload)

            assert link.outbox.counts()["event"] == 0


class TestDaemon:
    """The real daemon, ended with SIGKILL."""

    @pytest.fixture
    def daemon(self, tmp_path: Path) -> Iterator[Callable[[str], Running]]:
        started: list[Running] = []

        def start(url: str) -> Running:
            started.append(Running(tmp_path, url, CAMERA))
            return started[-1]

        yield start
        for running in started:
            running.process.kill()
            running.process.wait(10)

    @pytest.fixture
    def spooled(self, tmp_path: Path) -> Callable[[], list[str]]:
        """Return a function that reads the ids of the spooled events."""
        folder = tmp_path / "state" / "edgepose" / "test-pi" / "spool"

        def read() -> list[str]:
            spool = Spool(folder)
            waiting = [json.loads(entry.message.payload)["id"] for entry in spool.waiting()]
            spool.close()
            return waiting

        self.folder = folder
        return read

    def has_written(self) -> bool:
        """Return whether events are on disk, without locking the folder."""
        return any(path.stat().st_size > 0 for path in self.folder.glob(f"*{SUFFIX}"))

    def test_what_happened_without_a_broker_survives_a_kill(
        self, tmp_path: Path, daemon: Callable[[str], Running], spooled: Callable[[], list[str]]
    ) -> None:
        """Spooled events are sent after the restart, before new ones and with the same ids."""
        port = free_port()
        first = daemon(f"mqtt://127.0.0.1:{port}")
        assert wait_until(self.has_written, timeout_s=60), first.said()
        first.send(signal.SIGKILL)
        first.wait()
        waiting = spooled()

        with Mosquitto(tmp_path) as broker, witness(broker.port) as seen:
            daemon(broker.url)
            assert wait_until(lambda: set(waiting) <= set(ids(seen)), timeout_s=60)

            assert waiting
            assert ids(seen)[: len(waiting)] == waiting

    def test_a_kill_in_the_middle_of_publishing_loses_nothing(
        self, broker: Mosquitto, daemon: Callable[[str], Running], spooled: Callable[[], list[str]]
    ) -> None:
        """Unacknowledged events are sent again after a kill, in order."""
        with witness(broker.port) as seen:
            first = daemon(broker.url)
            seen.on(TOPICS.availability, b"online", timeout_s=60)
            broker.pause()
            assert wait_until(self.has_written, timeout_s=60), first.said()
            first.send(signal.SIGKILL)
            first.wait()
            waiting = spooled()
            broker.resume()
            daemon(broker.url)

            assert wait_until(lambda: set(waiting) <= set(ids(seen)), timeout_s=60)
            assert waiting
            order = [id_ for id_ in ids(seen) if id_ in waiting]
            assert order == waiting

    def test_a_stop_says_what_it_can_and_keeps_the_rest(
        self, broker: Mosquitto, daemon: Callable[[str], Running], spooled: Callable[[], list[str]]
    ) -> None:
        """After a regular end with a broker that answers, the spool is empty."""
        with witness(broker.port) as seen:
            running = daemon(broker.url)
            seen.until(lambda m: m.topic == EVENT, timeout_s=60)
            running.send(signal.SIGTERM)

            assert running.wait() == 0
            assert spooled() == []


def test_each_new_session_takes_the_place_of_the_last_one(
    line: Line, linked: Callable[[str], Publisher]
) -> None:
    """Repeated reconnections do not leak descriptors."""
    link = linked(line.url)

    def reconnect() -> int:
        before = link.sessions
        line.reset()
        assert wait_until(lambda: link.connected and link.sessions > before)
        return len(os.listdir(f"/proc/{os.getpid()}/fd"))  # noqa: PTH208

    assert wait_until(lambda: link.connected)
    reconnect()
    gc.disable()  # as if garbage collection came years later
    try:
        counts = [reconnect() for _ in range(6)]
    finally:
        gc.enable()

    assert max(counts[2:]) <= max(counts[:2])
