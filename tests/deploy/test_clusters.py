"""Broker clusters: several servers in one URL, and temporary refusals."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue

import pytest

from edgepose.mqtt import session
from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.options import BrokerOptions
from tests.support.brokers import Mosquitto, free_port, needs_mosquitto, wait_until

CONNECT, SUBSCRIBE, PING = 1, 8, 12


def test_servers_are_tried_in_turns_from_any() -> None:
    """The servers take turns with their own ports; the login is the same for all."""
    three = BrokerOptions.from_url("mqtt://me:secret@one,two:1884,[::3]", keepalive_s=7)

    turns = [three.at(turn) for turn in range(4)]

    assert [turn.address for turn in turns] == ["one:1883", "two:1884", "[::3]:1883", "one:1883"]
    assert {(turn.username, turn.password, turn.keepalive_s) for turn in turns} == {
        ("me", "secret", 7)
    }
    assert BrokerOptions.from_url("mqtt://one").at(5).address == "one:1883"


@needs_mosquitto
@pytest.mark.slow
def test_it_goes_to_another_server_when_its_own_dies(tmp_path: Path) -> None:
    """After its server died the client connects to another one, skipping dead servers."""
    with ExitStack() as both:
        brokers = [both.enter_context(Mosquitto(tmp_path)) for _ in range(2)]
        ports = [free_port(), *(broker.port for broker in brokers)]
        url = "mqtt://" + ",".join(f"127.0.0.1:{port}" for port in ports)
        sink = MqttClient(BrokerOptions.from_url(url, retry_s=(0.05, 0.2)))
        sink.start()
        both.callback(sink.close)
        assert sink.wait_connected(10)
        first = next(broker for broker in brokers if broker.url.endswith(_server(sink)))

        first.kill()
        assert wait_until(lambda: not sink.connected)
        assert sink.wait_connected(10)

        assert [_server(sink)] == [str(b.port) for b in brokers if b is not first]


def _server(sink: MqttClient) -> str:
    """Return the port of the client's server."""
    return str(sink._at.port)


class Moody:
    """A minimal MQTT 3.1.1 broker that refuses each filter the first time."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked: SimpleQueue[tuple[bytes, int]] = SimpleQueue()
        """Filters and the QoS asked for."""

        self._known: set[bytes] = set()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            line, _ = self._listener.accept()
            with line:
                while head := line.recv(2):
                    answer = self._answer(head[0] >> 4, line.recv(head[1]) if head[1] else b"")
                    line.sendall(answer)

    def _answer(self, kind: int, body: bytes) -> bytes:
        if kind == SUBSCRIBE:
            topic, qos = body[4:-1], body[-1]
            code = b"\0" if topic in self._known else b"\x80"
            self._known.add(topic)
            self.asked.put((topic, qos))
            return b"\x90\x03" + body[:2] + code
        return {CONNECT: b"\x20\x02\0\0", PING: b"\xd0\0"}.get(kind, b"")

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def moody() -> Iterator[Moody]:
    broker = Moody()
    yield broker
    broker.close()


def test_it_asks_again_for_a_topic_that_was_refused(
    moody: Moody, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused subscription is repeated: a cluster without a leader refuses for seconds.

    It uses QoS 0: in a 3.1.1 session QoS 1 would cost more and guarantee nothing.
    """
    monkeypatch.setattr(session, "ASK_AGAIN_S", (0.1, 1.0))
    sink = MqttClient(BrokerOptions.from_url(moody.url, protocol=4))
    sink.subscribe("edgepose/pi/+/set", lambda _: None)

    sink.start()
    asked = [moody.asked.get(timeout=10) for _ in range(2)]

    assert asked == [(b"edgepose/pi/+/set", 0)] * 2
    assert wait_until(lambda: not sink.refused)
    sink.close()
    assert moody.asked.empty()
