"""The embedded broker."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from edgepose.config.schema import Config, Mqtt
from edgepose.errors import ConfigError
from edgepose.mqtt import embedded_broker
from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.embedded_broker import HOST, EmbeddedBroker
from edgepose.mqtt.options import BrokerOptions
from edgepose.types import Message
from tests.support.brokers import free_port, needs_mosquitto, wait_until, witness

OLD = MQTTProtocolVersion.MQTTv311
MOSQUITTO = embedded_broker.find_mosquitto()
PROGRAMS = [
    pytest.param(MOSQUITTO, id="mosquitto", marks=needs_mosquitto),
    pytest.param(
        None,
        id="amqtt",
        marks=pytest.mark.skipif(
            embedded_broker.find_spec("amqtt") is None, reason="the extra broker is not installed"
        ),
    ),
]


@pytest.fixture
def amqtt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a machine without mosquitto."""
    if embedded_broker.find_spec("amqtt") is None:
        pytest.skip("the extra broker is not installed")
    monkeypatch.setattr(embedded_broker, "find_mosquitto", lambda: None)


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def test_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without both optional brokers the error names the command to install one."""
    monkeypatch.setattr(embedded_broker, "find_spec", lambda _: None)
    monkeypatch.setattr(embedded_broker, "find_mosquitto", lambda: None)

    with pytest.raises(ConfigError, match=r"pip install 'amqtt"):
        EmbeddedBroker().start()


@pytest.mark.slow
@pytest.mark.usefixtures("amqtt")
class TestAmqtt:
    def test_a_newer_client_is_told_at_once_that_it_is_too_new(self) -> None:
        """An MQTT 5 connection with properties and a will is refused at once."""
        lasting = bytes([5, 0x11, 0, 0, 14, 16])
        said = b"\x00\x04MQTT\x05\x04\x00\x3c" + lasting + b"\x00\x01a\x00\x00\x01w\x00\x01x"
        with (
            EmbeddedBroker(0) as own,
            socket.create_connection((HOST, own.port), timeout=5) as line,
        ):
            line.sendall(bytes([0x10, len(said)]) + said)

            answer = line.recv(100)

        assert answer == b"\x20\x02\x00\x01"  # unacceptable protocol version

    @pytest.mark.parametrize("will", ["", "b/d/availability"])
    def test_a_client_of_version_5_falls_back(
        self, will: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The client falls back to MQTT 3.1.1 if the broker refuses MQTT 5 or does not answer."""
        monkeypatch.setattr("edgepose.mqtt.session.CONNECT_TIMEOUT_S", 0.5)
        with EmbeddedBroker(free_port()) as running:
            sink = MqttClient(BrokerOptions.from_url(running.url, availability_topic=will))
            sink.start()
            assert sink.wait_connected(10)
            assert sink.protocol == 4
            assert sink.publish(Message("b/d/c/event", b"{}", "event", qos=1))
            assert sink.flush(10)
            sink.close()


@pytest.mark.slow
class TestEmbeddedBroker:
    @pytest.fixture(autouse=True, params=PROGRAMS)
    def program(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> str | None:
        """Use the installed mosquitto, or none."""
        found: str | None = request.param
        monkeypatch.setattr(embedded_broker, "find_mosquitto", lambda: found)
        return found

    def test_it_is_mosquitto_where_that_is_installed(self, program: str | None) -> None:
        """With mosquitto it speaks MQTT 5, else MQTT 3.1.1."""
        with EmbeddedBroker(0) as running:
            sink = MqttClient(BrokerOptions.from_config(Config(mqtt=Mqtt(url="embedded")), running))
            sink.start()
            assert sink.wait_connected(10)
            protocol = sink.protocol
            sink.close()

        assert protocol == (5 if program else 4)

    def test_it_carries_messages_of_both_qualities(self) -> None:
        """It delivers messages of QoS 0 and 1."""
        with EmbeddedBroker(free_port()) as running, witness(running.port, protocol=OLD) as outside:
            options = BrokerOptions.from_url(
                running.url,
                protocol=running.protocol,
                availability_topic="b/d/availability",
            )
            sink = MqttClient(options)
            sink.start()
            assert sink.wait_connected(5)
            for n in range(20):
                assert sink.publish(Message("b/d/c/poses", b"%d" % n, "poses", expiry_s=2))
                assert sink.publish(Message("b/d/c/event", b"%d" % n, "event", qos=1))
            assert sink.flush(10)
            for n in range(20):
                outside.on("b/d/c/event", b"%d" % n)
            sink.close()
            outside.on("b/d/availability", b"offline")

        assert outside.seen[0].payload == b"online"
        poses = [m.payload for m in outside.seen if m.topic == "b/d/c/poses"]
        assert poses == [b"%d" % n for n in range(20)]

    def test_a_client_gets_what_it_subscribes_to_and_nothing_else(self) -> None:
        """Retained messages are sent only to matching subscriptions."""
        with EmbeddedBroker(free_port()) as running, witness(running.port, protocol=OLD) as all_:
            all_.publish("b/d/status", b"{}", retain=True)
            all_.on("b/d/status")

            with witness(running.port, "other/#", protocol=OLD) as one:
                one.publish("other/last", b"")
                one.on("other/last")
            with witness(running.port, "b/+/status", protocol=OLD) as two:
                two.publish("b/last/status", b"")
                two.on("b/last/status")

        assert [message.topic for message in one.seen] == ["other/last"]
        assert [message.topic for message in two.seen] == ["b/d/status", "b/last/status"]

    def test_it_ends_with_close_and_closes_twice(self) -> None:
        """The port is free again at once."""
        running = EmbeddedBroker(free_port()).start()
        assert answers(running.port)

        running.close()
        running.close()

        assert not answers(running.port)

    def test_a_port_that_is_taken_is_refused_when_asked_for_and_replaced_when_not(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A requested port in use is an error; the default port is replaced by a free one."""
        with socket.create_server((HOST, 0)) as other:
            taken = other.getsockname()[1]
            with pytest.raises(ConfigError, match=f"port {taken} is in use"):
                EmbeddedBroker(taken).start()

        usual = None
        with suppress(OSError):
            usual = socket.create_server((HOST, embedded_broker.USUAL_PORT))
        try:
            with EmbeddedBroker() as running:
                assert running.port != embedded_broker.USUAL_PORT
                assert answers(running.port)
        finally:
            if usual is not None:
                usual.close()
        assert "is in use" in caplog.text

    @pytest.mark.parametrize("fork", [False, True])
    def test_it_ends_when_its_parent_is_killed(self, program: str | None, fork: bool) -> None:
        """The port is free after the parent is killed, even while a forked child holds the pipe."""
        script = (
            "import os, sys, time\n"
            "from edgepose.mqtt import embedded_broker\n"
            "from edgepose.mqtt.embedded_broker import EmbeddedBroker\n"
            "embedded_broker.find_mosquitto = lambda: sys.argv[3] or None\n"
            "running = EmbeddedBroker(int(sys.argv[1])).start()\n"
            "child = os.fork() if sys.argv[2] else 0\n"
            "if not sys.argv[2] or child: print(child, flush=True)\n"
            "time.sleep(60)\n"
        )
        port = free_port()
        command = [sys.executable, "-c", script, str(port), "fork" if fork else "", program or ""]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
            try:
                assert answers(port)
                parent.kill()
                assert wait_until(lambda: not answers(port), 10)
            finally:
                if child:
                    os.kill(child, signal.SIGKILL)

    def test_nobody_else_reaches_it(self) -> None:
        """It listens on loopback only, because it has no password."""
        with EmbeddedBroker(free_port()) as running:
            wide = f"{running.port:04X}"
            with open("/proc/net/tcp", encoding="ascii") as table:  # noqa: PTH123
                listening = [line.split()[1] for line in table if line.split()[3] == "0A"]

        found = [address for address in listening if address.endswith(f":{wide}")]
        assert found == [f"0100007F:{wide}"]

    def test_a_child_that_is_terminated_takes_the_broker_along(self) -> None:
        """Terminating the child process ends the broker."""
        running = EmbeddedBroker(free_port()).start()
        assert running._process is not None

        running._process.terminate()

        assert wait_until(lambda: not answers(running.port))
        running.close()
