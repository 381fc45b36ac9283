"""The publisher: what is queued while the broker is away, and what is not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgepose.config.schema import Config, Device, Mqtt
from edgepose.mqtt.publisher import Publisher
from edgepose.mqtt.topics import Topics
from edgepose.service import wiring
from edgepose.timing import Clock
from edgepose.types import Message
from tests.support.brokers import Mosquitto, needs_mosquitto, wait_until, witness

pytestmark = [pytest.mark.slow, needs_mosquitto]

TOPICS = Topics("edgepose", "pi")
HALL = TOPICS.camera("hall")
Made = Callable[[Mosquitto], Publisher]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """Return a factory of publishers, which are closed after the test."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    links = []

    def make(broker: Mosquitto) -> Publisher:
        config = Config(device=Device(id="pi"), mqtt=Mqtt(url=broker.url))
        link = wiring.make_publisher(config, TOPICS, Clock(), _raise)
        links.append(link)
        return link

    yield make
    for link in links:
        link.close(2)


def _raise(error: BaseException) -> None:
    raise error


def poses(number: int) -> Message:
    return Message(HALL.poses, b"%d" % number, "poses", read_ns=Clock().now_ns())


def test_what_is_put_arrives_and_is_timed(made: Made, tmp_path: Path) -> None:
    """Messages arrive in order; the latency to the broker is measured for each topic."""
    with Mosquitto(tmp_path) as broker, witness(broker.port, "edgepose/#") as seen:
        link = made(broker)
        link.start()
        assert wait_until(lambda: link.connected)

        for number in range(3):
            link.put(poses(number))
        seen.on(HALL.poses, b"2")

    heard = [message.payload for message in seen.seen if message.topic == HALL.poses]
    assert heard == [b"0", b"1", b"2"]
    assert link.latency[HALL.poses].percentiles_ms() is not None


def test_a_late_pose_is_dropped_and_an_event_is_not(made: Made, tmp_path: Path) -> None:
    """While offline poses are dropped and counted, the latest state is kept, events wait."""
    broker = Mosquitto(tmp_path)
    link = made(broker)
    link.start()
    assert wait_until(lambda: link.tried)

    for number in range(3):
        link.put(poses(number))
        link.put(Message(HALL.state, b"%d" % number, "state", qos=1, retain=True))
        link.put(Message(HALL.event, b"%d" % number, "event", qos=1))
    with broker, witness(broker.port, "edgepose/#") as seen:
        seen.on(HALL.event, b"2", timeout_s=30)
        seen.on(HALL.state, b"2") if HALL.state not in {m.topic for m in seen.seen} else None

    events = [message.payload for message in seen.seen if message.topic == HALL.event]
    states = {message.payload for message in seen.seen if message.topic == HALL.state}
    assert events == [b"0", b"1", b"2"]
    assert states == {b"2"}
    assert not [message for message in seen.seen if message.topic == HALL.poses]
    assert link.outbox.counts()["poses"] == 3


def test_it_says_goodbye(made: Made, tmp_path: Path) -> None:
    """`close` publishes `offline`, and can be called twice."""
    with Mosquitto(tmp_path) as broker, witness(broker.port, "edgepose/#") as seen:
        link = made(broker)
        link.start()
        assert wait_until(lambda: link.connected)

        link.close(2)

        seen.on(TOPICS.availability, b"offline")
        assert not link.connected
