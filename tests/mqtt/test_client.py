"""The MQTT sink, against real brokers."""

import logging
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes

from edgepose.errors import BrokerError, ConfigError
from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.connection import V5_RETRIES, Attempt, State
from edgepose.mqtt.options import BrokerOptions, backoff_s
from edgepose.mqtt.paho_client import (
    BrokerLimits,
    BrokerReason,
    session_properties,
    will_properties,
)
from edgepose.mqtt.poison_messages import PoisonMessages
from edgepose.mqtt.session import MALFORMED_CERTIFICATE, Session, connect_error
from edgepose.mqtt.topics import Topics
from edgepose.types import Message, Received
from tests.support.brokers import (
    Authority,
    Line,
    Mosquitto,
    Witness,
    free_port,
    needs_mosquitto,
    packet_sizes,
    packets,
    wait_until,
    with_passwords,
    with_tls,
    witness,
)
from tests.support.contracts.sink import SinkContract

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
AVAILABILITY: Final = "edgepose/pi/availability"
SLEEPER: Final = """\
import sys, time
from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.options import BrokerOptions
about = {"availability_topic": sys.argv[2], "session": "same"}
MqttClient(BrokerOptions.from_url(sys.argv[1], **about)).start(); time.sleep(60)
"""


def pose(payload: bytes = b"{}") -> Message:
    return Message("edgepose/pi/hall/poses", payload, "poses", expiry_s=2)


def state(payload: bytes = b"{}") -> Message:
    return Message("edgepose/pi/hall/state", payload, "state", qos=1, retain=True)


def options(url: str, **settings: Any) -> BrokerOptions:
    quick = {"availability_topic": AVAILABILITY, "retry_s": (0.05, 0.2), "keepalive_s": 2}
    return BrokerOptions.from_url(url, **(quick | settings))


@contextmanager
def started(sink: MqttClient, *, connected: bool = True) -> Iterator[MqttClient]:
    sink.start()
    try:
        assert not connected or sink.wait_connected(10), "no session"
        yield sink
    finally:
        sink.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


class TestOptions:
    def test_a_url_says_where_and_as_whom(self) -> None:
        """Ports have defaults, percent-encoding is decoded, settings override the URL."""
        plain = BrokerOptions.from_url("mqtt://broker")
        full = BrokerOptions.from_url("mqtts://me:p%40ss@[::1]:1234", username="you")

        assert (plain.host, plain.port, plain.tls) == ("broker", 1883, False)
        assert (full.host, full.port, full.tls) == ("::1", 1234, True)
        assert (full.username, full.password) == ("you", "p@ss")
        assert BrokerOptions.from_url("mqtts://broker").port == 8883

    @pytest.mark.parametrize(
        "url", ["http://me:secret@broker", "broker:1883", "mqtt://", "mqtt://me:secret@b:99999", ""]
    )
    def test_a_url_that_cannot_be_meant_is_refused_without_its_password(self, url: str) -> None:
        """An invalid URL is refused; the error message does not contain the password."""
        with pytest.raises(ConfigError, match=r"mqtt\.url") as caught:
            BrokerOptions.from_url(url)

        assert "secret" not in str(caught.value)

    def test_a_password_is_never_shown(self) -> None:
        """The password is not part of the options' repr, which may be logged."""
        assert "secret" not in repr(BrokerOptions.from_url("mqtt://me:secret@broker"))

    @pytest.mark.parametrize("key", ["ca_file", "cert_file"])
    def test_a_file_that_is_none_names_its_key(self, key: str, tmp_path: Path) -> None:
        """A missing or empty file is reported at construction, not while connecting."""
        (tmp_path / "empty").write_text("")

        for path in (tmp_path / "absent", tmp_path / "empty"):
            with pytest.raises(ConfigError, match=rf"mqtt\.{key}"):
                MqttClient(BrokerOptions.from_url("mqtts://broker", **{key: path}))


class TestBackoff:
    def test_it_is_quick_while_a_broker_restarts_and_then_kind(self) -> None:
        """Retries come within 2 s for the first 15 to 60 s; later pauses grow up to 30 s."""
        pauses_s = [backoff_s(failures, (0.5, 30), 1.0) for failures in range(1, 40)]
        shortest_s = [backoff_s(failures, (0.5, 30), 0.0) for failures in range(1, 40)]

        quick = [pause_s for pause_s in pauses_s if pause_s <= 2]
        assert 15 <= sum(quick) / 2 <= sum(quick) <= 60
        assert pauses_s == sorted(pauses_s)
        assert pauses_s[len(quick) : len(quick) + 4] == [4, 8, 16, 30]
        assert backoff_s(10**6, (0.5, 30), 1.0) == 30
        assert shortest_s == [pause_s / 2 for pause_s in pauses_s]


@needs_mosquitto
@pytest.mark.slow
class TestContract(SinkContract):
    @pytest.fixture
    def outside(self, broker: Mosquitto) -> Iterator[Witness]:
        with witness(broker.port) as seen:
            yield seen

    @pytest.fixture
    def sink(self, broker: Mosquitto, outside: Witness) -> Iterator[MqttClient]:
        with started(MqttClient(options(broker.url))) as running:
            yield running

    @pytest.fixture
    def arrived(self, outside: Witness) -> Callable[[Message], bytes]:
        return lambda message: bytes(outside.on(message.topic).payload)


@needs_mosquitto
@pytest.mark.slow
class TestSession:
    def test_it_is_born_and_says_goodbye(self, broker: Mosquitto) -> None:
        """Availability is retained: `online` while connected and `offline` afterwards."""
        with witness(broker.port) as outside:
            with started(MqttClient(options(broker.url))) as sink:
                birth = outside.on(AVAILABILITY)
                assert sink.protocol == 5
            farewell = outside.on(AVAILABILITY)
        with witness(broker.port) as later:
            left = later.on(AVAILABILITY)

        assert (birth.payload, farewell.payload) == (b"online", b"offline")
        assert (left.payload, left.retain) == (b"offline", True)

    def test_it_tells_what_mqtt_5_can_tell(self, broker: Mosquitto) -> None:
        """Messages carry content type, payload format and version; poses expire."""
        with witness(broker.port) as outside, started(MqttClient(options(broker.url))) as sink:
            sink.publish(pose())
            sink.publish(Message("a/snapshot", b"\xff", "poses", content_type="image/jpeg"))
            poses = outside.on("edgepose/pi/hall/poses").properties
            picture = outside.on("a/snapshot").properties

        assert poses.ContentType == "application/json"
        assert poses.PayloadFormatIndicator == 1
        assert poses.MessageExpiryInterval <= 2
        assert dict(poses.UserProperty) == {"v": "1"}
        assert picture.ContentType == "image/jpeg"
        assert not hasattr(picture, "PayloadFormatIndicator")
        assert not hasattr(picture, "MessageExpiryInterval")

    def test_it_tells_when_the_broker_has_a_message(self, broker: Mosquitto) -> None:
        """Each QoS 1 message is acknowledged once, in order; the spool relies on it."""
        told: list[tuple[int, bool]] = []
        with started(MqttClient(options(broker.url))) as sink:
            for n in range(100):
                assert sink.publish(state(b"%d" % n), lambda ok, n=n: told.append((n, ok)))
            assert sink.flush(10)
            assert wait_until(lambda: len(told) == 100)

        assert told == [(n, True) for n in range(100)]

    def test_it_listens_again_after_a_restart_and_survives_a_bad_listener(
        self, broker: Mosquitto
    ) -> None:
        """An exception in a listener ends neither the session nor the other listeners."""
        heard: list[Received] = []
        sessions: list[bool] = []

        def bad(received: Received) -> None:
            raise ZeroDivisionError(received.topic)

        sink = MqttClient(options(broker.url))
        sink.on_connect(lambda: sessions.append(sink.publish(state())))
        sink.on_connect(lambda: bad(Received("hook", b"", retained=False)))
        sink.subscribe("in/+", bad)
        sink.subscribe("in/+", heard.append)
        with started(sink):
            for n in (1, 2):
                with witness(broker.port) as outside:
                    outside.publish("in/set", b"%d" % n, retain=True)
                assert wait_until(lambda n=n: len(heard) == n)
                broker.stop()
                assert wait_until(lambda: not sink.connected)
                broker.start()
                assert sink.wait_connected(10)

        assert [received.payload for received in heard] == [b"1", b"2"]
        assert sessions == [True, True, True]

    def test_it_contradicts_a_late_last_will(self, broker: Mosquitto) -> None:
        """After the last will of an earlier session, `online` is published again."""
        with witness(broker.port) as outside, started(MqttClient(options(broker.url))):
            outside.on(AVAILABILITY, b"online")
            outside.publish(AVAILABILITY, b"offline", retain=True)
            outside.on(AVAILABILITY, b"offline")
            outside.on(AVAILABILITY, b"online")

    def test_its_last_will_is_carried_out_when_it_is_killed(self, broker: Mosquitto) -> None:
        """The last will `offline` is published at once when the process is killed."""
        with witness(broker.port) as outside:
            child = subprocess.Popen([sys.executable, "-c", SLEEPER, broker.url, AVAILABILITY])
            try:
                outside.on(AVAILABILITY, b"online")
            finally:
                child.send_signal(signal.SIGKILL)
                child.wait()
            will = outside.on(AVAILABILITY, b"offline")

        assert will.properties.ContentType == "text/plain"


@needs_mosquitto
@pytest.mark.slow
class TestLastingSession:
    """An MQTT session outlives its connection: a short interruption does not publish the will."""

    @pytest.fixture
    def other(self, broker: Mosquitto) -> Iterator[Client]:
        """Start a client that does not reconnect; its will shows when the other will was due."""
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.will_set("other", b"offline", qos=1, properties=will_properties())
        client.connect(
            "127.0.0.1", broker.port, properties=session_properties(PacketTypes.CONNECT, 60)
        )
        client.loop_start()
        assert wait_until(client.is_connected)
        yield client
        client.loop_stop()

    def fall_silent(self, client: Client) -> None:
        """Break its connection permanently."""
        sock = client.socket()
        assert sock is not None
        client.reconnect_delay_set(1000, 1000)
        sock.shutdown(socket.SHUT_RDWR)

    def test_a_line_that_breaks_and_comes_back_is_no_end(
        self, broker: Mosquitto, other: Client
    ) -> None:
        """`offline` is never published if the client reconnects before the will is due."""
        with (
            witness(broker.port) as outside,
            Line(broker.port) as line,
            started(MqttClient(options(line.url))) as sink,
        ):
            outside.on(AVAILABILITY, b"online")
            line.reset()
            self.fall_silent(other)
            assert wait_until(lambda: not sink.connected)
            assert sink.wait_connected(10)
            outside.on("other", b"offline")
            said = [m.payload for m in outside.noted() if m.topic == AVAILABILITY]

        assert said == [b"online", b"online"]

    def test_a_kill_and_a_restart_are_no_end_either(self, broker: Mosquitto, other: Client) -> None:
        """A restart with the same client id takes over the session, so no will is published."""
        with witness(broker.port) as outside:
            child = subprocess.Popen([sys.executable, "-c", SLEEPER, broker.url, AVAILABILITY])
            try:
                outside.on(AVAILABILITY, b"online")
            finally:
                child.kill()
                child.wait()
            self.fall_silent(other)
            with started(MqttClient(options(broker.url, session="same"))):
                outside.on("other", b"offline")
            said = [m.payload for m in outside.noted() if m.topic == AVAILABILITY]

        assert said[:2] == [b"online", b"online"]

    def test_two_of_one_name_find_peace(self, broker: Mosquitto) -> None:
        """Of two clients with the same id, one takes another id, so that both stay connected."""
        first = MqttClient(options(broker.url, session="same"))
        with started(first):
            name = first.client_id
            with started(MqttClient(options(broker.url, session="same"))) as second:
                assert wait_until(lambda: first.client_id != name)
                assert first.wait_connected(10)
                assert second.connected

    def test_a_command_of_the_meantime_is_heard(self, broker: Mosquitto) -> None:
        """A command that is sent while the connection is broken is delivered after it."""
        heard: list[bytes] = []
        with witness(broker.port) as outside, Line(broker.port) as line:
            sink = MqttClient(options(line.url, retry_s=(2, 2)))
            sink.subscribe("in/set", lambda received: heard.append(received.payload))
            with started(sink):
                # until the broker has registered the subscription
                assert wait_until(lambda: outside.publish("in/set", b"go on") or heard)
                line.reset()
                assert wait_until(lambda: not sink.connected)
                outside.publish("in/set", b"pause")
                assert wait_until(lambda: b"pause" in heard)

        assert heard.count(b"pause") == 1

    def test_a_goodbye_ends_it(self, broker: Mosquitto) -> None:
        """After `close` the broker keeps no session and delivers nothing later."""
        heard: list[bytes] = []
        for _ in range(2):
            sink = MqttClient(options(broker.url, session="same"))
            sink.subscribe("in/set", lambda received: heard.append(received.payload))
            with started(sink):
                assert sink.flush(10)
            with witness(broker.port) as outside:
                outside.publish("in/set", b"late")

        assert heard == []

    def test_a_broker_that_is_ill_is_not_taken_for_an_old_one(
        self, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After an MQTT 5 session, MQTT 5 is retried several times before MQTT 3.1.1."""
        monkeypatch.setattr("edgepose.mqtt.session.CONNECT_TIMEOUT_S", 0.2)
        with Line(broker.port) as line, started(MqttClient(options(line.url))) as sink:
            line.swallow()
            line.reset()
            assert wait_until(lambda: len(line.carried) > V5_RETRIES + 2)
            versions = [bytes(sent)[8] for sent in line.carried if len(sent) > 8]
            line.go_on()
            assert sink.wait_connected(10)

        assert set(versions[: V5_RETRIES + 1]) == {5}
        assert 4 in versions


@needs_mosquitto
@pytest.mark.slow
class TestAlias:
    @pytest.mark.parametrize("maximum", [10, 1, 0])
    def test_poses_name_their_topic_once_a_session(self, tmp_path: Path, maximum: int) -> None:
        """A topic alias replaces the topic, up to the broker's maximum; receivers see no change."""
        poses = [pose(b"%d" % n) for n in range(3)]
        poses += [replace(each, topic="edgepose/pi/yard/poses") for each in poses]
        settings = ("allow_anonymous true", f"max_topic_alias {maximum}")
        with (
            Mosquitto(tmp_path, *settings) as broker,
            witness(broker.port, "edgepose/+/+/poses") as outside,
            Line(broker.port) as line,
            started(MqttClient(options(line.url))) as sink,
        ):
            for _ in range(2):
                for message in poses:
                    assert sink.publish(message)
                for message in poses:
                    outside.on(message.topic, message.payload)
                line.reset()
                assert wait_until(lambda: not sink.connected)
                assert sink.wait_connected(10)

        for carried in line.carried[:2]:
            sent = [p for p in packets(bytes(carried), PacketTypes.PUBLISH) if p.content.isdigit()]
            aliases = [getattr(packet.properties, "TopicAlias", 0) for packet in sent]
            assert max(aliases) <= maximum
            for camera, alias in (("hall", 1), ("yard", 2)):
                topic = f"edgepose/pi/{camera}/poses"
                short = [topic, "", ""] if alias <= maximum else [topic] * 3
                mine = sent[:3] if camera == "hall" else sent[3:]
                assert [packet.topic for packet in mine] == short
                assert {aliases[sent.index(packet)] for packet in mine} == {
                    alias if alias <= maximum else 0
                }

    def test_what_must_not_be_lost_names_its_topic_always(self, broker: Mosquitto) -> None:
        """States and events use no topic alias: they may be repeated in another session."""
        with Line(broker.port) as line, started(MqttClient(options(line.url))) as sink:
            sink.publish(state(b"1"))
            sink.publish(state(b"2"))
            assert sink.flush(10)
            sent = packets(bytes(line.carried[0]), PacketTypes.PUBLISH)

        assert [p.topic for p in sent if p.content.isdigit()] == ["edgepose/pi/hall/state"] * 2
        assert not any(hasattr(packet.properties, "TopicAlias") for packet in sent)


@needs_mosquitto
@pytest.mark.slow
class TestAway:
    def test_it_starts_without_a_broker_and_says_so_once(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Without a broker nothing is accepted or raised; it connects when the broker starts."""
        broker = Mosquitto(tmp_path)
        failures: list[BrokerError] = []
        sink = MqttClient(options(broker.url), on_failure=failures.append)
        with caplog.at_level(logging.DEBUG, "edgepose"), started(sink, connected=False):
            assert sink.wait_tried(10)
            assert not sink.connected
            assert not sink.publish(pose())
            assert not sink.publish(state())
            assert wait_until(lambda: len(caplog.records) >= 4)
            with broker:
                assert sink.wait_connected(10)
                said = [r for r in caplog.records if r.levelno >= logging.INFO]

        assert [r.levelname for r in said] == ["WARNING", "INFO"]
        assert failures == []

    @pytest.mark.parametrize("availability", [None, "edgepose/pi/availability"])
    def test_only_a_device_says_that_it_is_connected(
        self, broker: Mosquitto, caplog: pytest.LogCaptureFixture, availability: str | None
    ) -> None:
        """Doctor connects within the service: its journal tells of the device's own sessions."""
        sink = MqttClient(options(broker.url, availability_topic=availability))
        with caplog.at_level(logging.INFO), started(sink):
            pass

        assert ("mqtt: connected" in caplog.text) == (availability is not None)

    def test_it_returns_after_kill_and_restart_with_nothing_stale(
        self, broker: Mosquitto, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A message that was refused while offline is not sent later."""
        with caplog.at_level(logging.INFO), started(MqttClient(options(broker.url))) as sink:
            broker.kill()
            assert wait_until(lambda: not sink.connected)
            assert not sink.publish(state(b"stale"))
            broker.start()
            with witness(broker.port) as outside:
                assert sink.wait_connected(10)
                assert sink.publish(state(b"fresh"))
                outside.on("edgepose/pi/hall/state", b"fresh")

        assert b"stale" not in {message.payload for message in outside.seen}
        lost = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert len(lost) == 1

    def test_a_broker_that_hangs_is_noticed_and_makes_nobody_wait(self, broker: Mosquitto) -> None:
        """With full buffers no poses are accepted; after twice the keepalive the session ends."""
        with started(MqttClient(options(broker.url, keepalive_s=2))) as sink:
            broker.pause()
            big = pose(bytes(100_000))
            assert wait_until(lambda: not sink.publish(big), 5), "poses are queued without end"
            assert sink.connected, "only the end of the session ended the queueing"
            assert wait_until(lambda: not sink.connected, 10)
            broker.resume()
            assert sink.wait_connected(10)

    def test_it_closes_in_two_seconds_when_the_broker_hangs(self, broker: Mosquitto) -> None:
        """`close` returns within 2 s; the service manager waits 5 s for the whole daemon."""
        others = set(threading.enumerate())
        with started(MqttClient(options(broker.url))) as sink:
            broker.pause()
            sink.publish(state())
            began_s = time.monotonic()
            sink.close()
            took_s = time.monotonic() - began_s

        assert took_s < 3  # at most 1.8 s on an idle machine
        assert wait_until(lambda: set(threading.enumerate()) <= others, 5)

    @pytest.mark.parametrize("spoil", ["swallow", "stall", "reset"])
    def test_a_line_that_fails_without_a_word_is_given_up(
        self, broker: Mosquitto, spoil: str
    ) -> None:
        """A half-open connection is detected; unacknowledged messages are not reported as sent."""
        told: list[bool] = []
        with (
            Line(broker.port) as line,
            started(MqttClient(options(line.url, keepalive_s=1))) as sink,
        ):
            getattr(line, spoil)()
            sink.publish(state(b"lost"), told.append)
            assert wait_until(lambda: not sink.connected, 10)
            assert told == []
            line.go_on()
            assert sink.wait_connected(10)

            assert sink.publish(state(b"fresh"), told.append)
            assert sink.flush(10)
            assert wait_until(lambda: told == [True])

    def test_a_port_that_takes_but_never_answers_ends_an_attempt(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An attempt without an answer times out and is repeated."""
        monkeypatch.setattr("edgepose.mqtt.session.CONNECT_TIMEOUT_S", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as mute:
            url = f"mqtt://127.0.0.1:{mute.getsockname()[1]}"
            sink = MqttClient(options(url, keepalive_s=60))
            with started(sink, connected=False):
                assert sink.wait_tried(9)
                assert not sink.connected


@needs_mosquitto
@pytest.mark.slow
class TestRefusal:
    @pytest.mark.parametrize("protocol", [4, 5])
    def test_a_wrong_password_is_final_and_not_repeated(
        self, tmp_path: Path, protocol: int
    ) -> None:
        """It fails with exit code 5 and a message without the password, and does not retry."""
        told: list[BrokerError] = []
        with with_passwords(tmp_path, {"edgepose": "right"}) as broker:
            login = options(broker.url, username="edgepose", password="wr0ng", protocol=protocol)
            with started(MqttClient(login, on_failure=told.append), connected=False) as sink:
                assert wait_until(lambda: told, 5)
                assert not sink.wait_connected(0)

        assert [str(error) for error in told] == [str(sink.failure)]
        assert told[0].exit_code == 5
        assert "edgepose" in str(told[0])
        assert "wr0ng" not in str(told[0])

    def test_a_broker_that_knew_us_may_refuse_for_a_while(self, tmp_path: Path) -> None:
        """After a session, refused logins are retried: the user database may still be loading."""
        told: list[BrokerError] = []
        with with_passwords(tmp_path, {"edgepose": "right"}) as broker:
            login = options(broker.url, username="edgepose", password="right")
            with started(MqttClient(login, on_failure=told.append)) as sink:
                broker.stop()
                passwords = (tmp_path / "passwords").read_text()
                (tmp_path / "passwords").write_text("")
                broker.start()
                assert wait_until(lambda: not sink.connected)
                assert not sink.wait_connected(0.5)
                broker.stop()
                (tmp_path / "passwords").write_text(passwords)
                broker.start()
                assert sink.wait_connected(10)

        assert told == []

    def test_a_login_that_is_mended_later_is_noticed(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """With `retry_refused` a refused login is reported once and retried until it succeeds."""
        with with_passwords(tmp_path, {"other": "x"}) as broker:
            login = options(
                broker.url,
                username="edgepose",
                password="right",
                retry_refused=True,
                refused_retry_s=0.2,
            )
            told: list[BrokerError] = []
            with started(MqttClient(login, on_failure=told.append), connected=False) as sink:
                assert wait_until(lambda: sink.state is State.REFUSED)
                assert "mqtt.username" in sink.trouble
                assert not sink.wait_connected(1.0)
                broker.stop()
                with with_passwords(tmp_path, {"edgepose": "right"}) as other:
                    broker.configure(*other.settings)
                    broker.start()
                    assert sink.wait_connected(10)

        assert told == []
        assert len([r for r in caplog.records if "refuses the login" in r.message]) == 1

    def test_a_refusal_names_the_client_id_and_the_setting(self, tmp_path: Path) -> None:
        """The error names client id and `mqtt.client_id`: some brokers accept certain ids only."""
        settings = ("allow_anonymous true", "clientid_prefixes hall-")
        with Mosquitto(tmp_path, *settings) as broker:
            for protocol in (4, 5):
                login = options(broker.url, protocol=protocol)
                with started(MqttClient(login), connected=False) as refused:
                    assert wait_until(lambda refused=refused: refused.failure)
                    assert refused.client_id in str(refused.failure)
                    assert "mqtt.client_id" in str(refused.failure)
            login = options(broker.url, fixed_client_id="hall-1", session="unused")
            with started(MqttClient(login)) as accepted:
                assert accepted.client_id == "hall-1"

    def test_a_topic_that_is_refused_is_reported_once(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A topic refused by an access list is reported once; its sender gets False."""
        told: list[bool] = []
        acl = "user edgepose\ntopic readwrite edgepose/#\n"
        with with_passwords(tmp_path, {"edgepose": "right"}, acl) as broker:
            login = options(broker.url, username="edgepose", password="right")
            with started(MqttClient(login)) as sink:
                for _ in range(2):
                    sink.publish(Message("homeassistant/x", b"{}", "state", 1), told.append)
                sink.publish(state(), told.append)
                assert wait_until(lambda: len(told) == 3)

        assert told == [False, False, True]
        assert "access list" in caplog.text
        assert list(sink.refused) == ["homeassistant/x"]
        assert len([r for r in caplog.records if "homeassistant/x" in r.message]) == 1

    def test_what_is_too_big_for_the_broker_is_reported_and_kept_back(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A message above the broker's maximum packet size is reported once and not sent."""
        told: list[bool] = []
        with (
            Mosquitto(tmp_path, "allow_anonymous true", "max_packet_size 2000") as broker,
            started(MqttClient(options(broker.url))) as sink,
        ):
            for big in ("a/config", "b/config"):
                assert sink.publish(replace(state(bytes(3000)), topic=big), told.append)
            assert sink.publish(state(), told.append)
            assert sink.publish(pose(bytes(3000)))
            assert wait_until(lambda: len(told) == 3)
            assert sink.connected

        assert sorted(told) == [False, False, True]
        assert set(sink.refused) == {"a/config", "b/config", "edgepose/pi/hall/poses"}
        assert "2000" in caplog.text
        assert "lost" not in caplog.text


@needs_mosquitto
@pytest.mark.slow
class TestLimits:
    """A broker that supports less than MQTT defines."""

    @pytest.mark.parametrize("protocol", [5, 4])
    @pytest.mark.parametrize(
        "lacks",
        [("max_qos 0",), ("retain_available false",), ("max_qos 0", "retain_available false")],
        ids=" ".join,
    )
    def test_it_does_without(
        self,
        tmp_path: Path,
        lacks: tuple[str, ...],
        protocol: int,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Messages are delivered and acknowledged; the log names each limitation once."""
        told: list[bool] = []
        with (
            Mosquitto(tmp_path, "allow_anonymous true", *lacks) as broker,
            witness(broker.port) as outside,
            started(MqttClient(options(broker.url, protocol=protocol))) as sink,
        ):
            assert sink.publish(state(), told.append)
            assert sink.publish(pose())
            outside.on("edgepose/pi/hall/state")
            outside.on("edgepose/pi/hall/poses")
            assert wait_until(lambda: told == [True])
            assert len(sink.lacks) == len(lacks)

        for lack in lacks:
            said = [r for r in caplog.records if lack.split()[0] in r.message]
            assert len([r for r in said if r.levelno == logging.WARNING]) == 1
        assert "cannot reach" not in caplog.text

    @pytest.mark.parametrize("protocol", [5, 4])
    def test_a_message_that_ends_each_session_is_held_back_and_named(
        self, tmp_path: Path, protocol: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The log reports one outage; all other messages are delivered and the session stays."""
        large, told = replace(state(bytes(6000)), topic="a/config"), []

        def send_all() -> None:
            sink.publish(large, told.append)
            sink.publish(state())

        with (
            Mosquitto(tmp_path) as broker,
            _Limiter(broker.port, 4000) as limiter,
            witness(broker.port) as outside,
        ):
            sink = MqttClient(options(limiter.url, protocol=protocol))
            sink.on_connect(send_all)
            with caplog.at_level(logging.INFO), started(sink):
                assert wait_until(lambda: "a/config" in sink.refused, 20)
                assert sink.wait_connected(10)
                assert wait_until(lambda: sink.publish(pose()))
                outside.on("edgepose/pi/hall/poses")
                assert sink.publish(large, told.append)
                assert sink.publish(state(b"later"))
                outside.on("edgepose/pi/hall/state", b"later")

        said = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert len([r for r in said if "a/config" in r.message and "6108 bytes" in r.message]) == 1
        assert len([r for r in said if "lost" in r.message]) == 1
        assert set(told) == {False}

    def test_a_topic_for_which_the_broker_hangs_up_is_found(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The topic is found even if its messages are small and others are sent beside them."""

        def send_all() -> None:
            for topic in ("a/config", "a/forbidden", "edgepose/pi/hall/state"):
                size = 5000 if topic == "a/config" else 5
                sink.publish(replace(state(bytes(size)), topic=topic))

        with Mosquitto(tmp_path) as broker, _Limiter(broker.port, word=b"a/forbidden") as limiter:
            sink = MqttClient(options(limiter.url, protocol=4))
            sink.on_connect(send_all)
            with started(sink):
                assert wait_until(lambda: sink.refused, 30)
                assert set(sink.refused) == {"a/forbidden"}


@pytest.mark.parametrize(
    ("code", "may_be_a_message"),
    [(0x80, True), (0x95, True), (0x87, True), (0x8B, False), (0x8D, False), (0x8E, False)],
)
def test_an_end_with_another_reason_is_not_blamed_on_a_message(
    code: int, may_be_a_message: bool
) -> None:
    """A broker's shutdown or another client with our id does not hold messages back."""
    session = Session(
        BrokerOptions("house"), "id", Attempt(), MqttClient(options("mqtt://h")), PoisonMessages()
    )
    session._on_answer(BrokerReason(0, "success", is_failure=False), BrokerLimits())

    session._on_disconnect(BrokerReason(code, "reason", is_failure=True))

    assert session._end is not None
    assert session._end.hung_up is may_be_a_message


class _Limiter(Line):
    """A proxy that ends the connection for a packet that is too large or contains a given word."""

    def __init__(self, port: int, most: int = 1 << 30, word: bytes = b"\0never") -> None:
        super().__init__(port)
        self._most, self._word = most, word

    def may_pass(self, carried: bytes, data: bytes) -> bool:
        whole = all(p < self._most for p in packet_sizes(carried))
        return whole and self._word not in data


@needs_mosquitto
@pytest.mark.slow
class TestAccessList:
    """The access control list in `deploy/mosquitto`."""

    @pytest.fixture
    def guarded(self, tmp_path: Path) -> Iterator[Mosquitto]:
        users = dict.fromkeys(("hall-pi", "attic-pi", "homeassistant", "dashboard"), "secret")
        acl = (DEPLOY / "mosquitto" / "edgepose.acl").read_text()
        with with_passwords(tmp_path, users, acl) as running:
            yield running

    def log_in(self, broker: Mosquitto, user: str) -> MqttClient:
        will = f"edgepose/{user}/availability" if user.endswith("-pi") else None
        login = {"username": user, "password": "secret", "availability_topic": will}
        return MqttClient(options(broker.url, **login))

    def test_a_device_says_all_of_its_own_and_nothing_else(self, guarded: Mosquitto) -> None:
        """All of edgepose's topics are allowed; another device's topics are refused."""
        topics = Topics("edgepose", "hall-pi")
        hall = topics.camera("hall")
        own = [*topics.listed().values(), *hall.listed(packed=True).values()]
        own += [topics.response("ping"), "homeassistant/device/hall-pi/config"]
        foreign = ["edgepose/attic-pi/hall/state", "homeassistant/device/attic-pi/config", "x"]
        told: dict[str, bool] = {}

        with started(self.log_in(guarded, "hall-pi")) as sink:
            for topic in own + foreign:
                message = Message(topic, b"{}", "state", qos=1)
                sink.publish(message, lambda ok, topic=topic: told.update({topic: ok}))
            assert wait_until(lambda: len(told) == len(own + foreign))

        assert [topic for topic, ok in told.items() if ok] == own
        assert list(sink.refused) == foreign

    def test_a_device_hears_what_is_meant_for_it_and_no_other(self, guarded: Mosquitto) -> None:
        """Poses reach only the device and the users named in the list."""
        heard: dict[str, list[str]] = {"hall-pi": [], "attic-pi": [], "dashboard": []}
        hall = Topics("edgepose", "hall-pi").camera("hall")
        with ExitStack() as stack:
            for user, topics in heard.items():
                sink = self.log_in(guarded, user)
                for filter_ in (hall.set, hall.poses, hall.event):
                    sink.subscribe(filter_, lambda r, topics=topics: topics.append(r.topic))
                stack.enter_context(started(sink))
                assert sink.flush(10)
                if user == "hall-pi":
                    device = sink
            house = stack.enter_context(started(self.log_in(guarded, "homeassistant")))

            assert house.publish(Message(hall.set, b"{}", "state", qos=1))
            assert wait_until(lambda: heard["hall-pi"])
            assert device.publish(Message(hall.poses, b"{}", "poses"))
            assert device.publish(Message(hall.event, b"{}", "event", qos=1))
            assert wait_until(lambda: hall.event in heard["dashboard"])

        assert heard["hall-pi"] == [hall.set]
        assert heard["attic-pi"] == []
        assert {hall.poses, hall.event} <= set(heard["dashboard"])


@needs_mosquitto
@pytest.mark.slow
class TestTls:
    def test_it_trusts_its_authority_and_no_other(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A private CA works; a certificate of another CA is refused with the reason."""
        ours, other = Authority(tmp_path), Authority(tmp_path, "other")
        with with_tls(tmp_path, ours) as broker:
            with started(MqttClient(options(broker.url, ca_file=ours.certificate))) as sink:
                assert sink.publish(state())
                assert sink.flush(10)
            wrong = MqttClient(options(broker.url, ca_file=other.certificate))
            with started(wrong, connected=False):
                assert wrong.wait_tried(10)
                assert not wrong.connected

        assert "not trusted" in caplog.text
        assert "mqtt.ca_file is not" in caplog.text
        assert "set mqtt.ca_file" not in caplog.text

    @pytest.mark.parametrize("bare", [False, True])
    def test_an_authority_of_ones_own_is_trusted_however_it_was_made(
        self, tmp_path: Path, bare: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A private CA works with strict verification, too, which is the default of Python 3.13."""
        make = ssl.create_default_context

        def strict(**files: Any) -> ssl.SSLContext:
            context = make(**files)
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            return context

        monkeypatch.setattr(ssl, "create_default_context", strict)
        ours = Authority(tmp_path, bare=bare)
        with with_tls(tmp_path, ours) as broker:
            with started(MqttClient(options(broker.url, ca_file=ours.certificate))) as sink:
                assert sink.connected
            with started(MqttClient(options(broker.url)), connected=False) as unknown:
                assert unknown.wait_tried(10)
                assert "set mqtt.ca_file" in unknown.trouble

    def test_the_documented_commands_make_certificates_for_strict_clients(
        self, tmp_path: Path
    ) -> None:
        """The commands in `deploy/mosquitto/README.md` make certificates for strict clients."""
        text = (DEPLOY / "mosquitto" / "README.md").read_text()
        commands = re.findall(r"^    openssl (?:.*\\\n)*.*$", text, re.MULTILINE)
        for command in commands:
            subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, capture_output=True)

        verify = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver"]
        names = ["-verify_hostname", "broker.lan", "-CAfile", "authority.crt", "broker.crt"]
        subprocess.run([*verify, *names], cwd=tmp_path, check=True, capture_output=True)

        assert len(commands) == 2

    @pytest.mark.parametrize("code", sorted(MALFORMED_CERTIFICATE))
    def test_a_certificate_that_lacks_something_is_to_be_made_anew(self, code: int) -> None:
        """The error asks for a new certificate, not for a setting that is already set."""
        error = ssl.SSLCertVerificationError(1, "failed")
        error.verify_code, error.verify_message = code, "CA cert does not include key usage"
        given = BrokerOptions("house", tls=True, ca_file="authority.crt")

        reason = connect_error(error, given).reason

        assert "CA cert does not include key usage" in reason
        assert "anew" in reason
        assert "set mqtt" not in reason

    def test_a_key_that_does_not_fit_is_named(self, tmp_path: Path) -> None:
        """The error names the setting for a missing, a wrong or an encrypted key."""
        ours = Authority(tmp_path)
        certificate, key = ours.sign("hall-pi")
        _, other = ours.sign("attic-pi")
        locked = tmp_path / "locked.key"
        subprocess.run(
            ["openssl", "ec", "-in", key, "-out", locked, "-aes256", "-passout", "pass:x"],
            check=True,
            capture_output=True,
        )
        for given, words in (
            ("", r"cert_file .*set mqtt\.key_file"),
            (other, r"mqtt\.key_file = .*belongs"),
            (locked, r"mqtt\.key_file = .*without a password"),
        ):
            with pytest.raises(ConfigError, match=words) as caught:
                BrokerOptions.from_url("mqtts://house", cert_file=certificate, key_file=given)
            assert given == "" or "set mqtt.key_file" not in str(caught.value)

    def test_a_wrong_file_is_named_with_what_it_holds(self, tmp_path: Path) -> None:
        """A wrong file is refused before connecting, with its setting and what it contains."""
        ours = Authority(tmp_path)
        certificate, key = ours.sign("hall-pi")
        (tmp_path / "empty").touch()
        (tmp_path / "junk").write_text("hello")
        text = certificate.read_text()
        (tmp_path / "half").write_text(text[: len(text) // 2])
        der = tmp_path / "der"
        der.write_bytes(ssl.PEM_cert_to_DER_cert(text))
        for given, words in (
            ({"ca_file": key}, r"ca_file = .*found a key"),
            ({"ca_file": tmp_path / "junk"}, r"ca_file = .*expected a certificate in PEM form"),
            ({"ca_file": tmp_path / "empty"}, r"ca_file = .*empty"),
            ({"ca_file": tmp_path / "half"}, r"ca_file = .*damaged"),
            ({"ca_file": der}, r"ca_file = .*DER form.*openssl x509 -inform der"),
            ({"ca_file": tmp_path}, r"ca_file = .*directory"),
            ({"ca_file": tmp_path / "none"}, r"ca_file = .*no such file"),
            ({"cert_file": key, "key_file": certificate}, r"cert_file = .*found a key"),
            ({"cert_file": der, "key_file": key}, r"cert_file = .*DER form"),
            ({"cert_file": certificate, "key_file": certificate}, r"key_file = .*a certificate"),
            ({"key_file": key}, r"key_file = .*needs mqtt.cert_file"),
        ):
            with pytest.raises(ConfigError, match=f"(?i){words}"):
                BrokerOptions.from_url("mqtts://house", **given)

    @pytest.mark.parametrize(
        ("dates", "words"),
        [
            (
                ("20200101000000Z", "20200201000000Z"),
                "expired.*renew it on the broker, or correct the clock",
            ),
            (("20500101000000Z", "20510101000000Z"), "not yet valid.*correct the clock here"),
        ],
    )
    def test_a_certificate_of_another_time_is_told(
        self, tmp_path: Path, dates: tuple[str, str], words: str
    ) -> None:
        """An expired or future certificate is reported with the clock as a possible cause."""
        ours = Authority(tmp_path)
        certificate, key = ours.sign_dated("127.0.0.1", *dates)
        broker = Mosquitto(
            tmp_path, "allow_anonymous true", f"certfile {certificate}", f"keyfile {key}"
        )
        broker.url = broker.url.replace("mqtt://", "mqtts://")
        with broker:
            sink = MqttClient(options(broker.url, ca_file=ours.certificate))
            with started(sink, connected=False):
                assert sink.wait_tried(10)
                assert re.search(words, sink.trouble)

    @pytest.mark.parametrize("trusted", [True, False])
    def test_a_certificate_that_signs_itself_may_be_trusted(
        self, tmp_path: Path, trusted: bool
    ) -> None:
        """A self-signed certificate is trusted if it is given as `ca_file`."""
        ours = Authority(tmp_path)
        own = Authority(tmp_path, "127.0.0.1", bare=True, name_in_it=True)
        key = own.certificate.with_suffix(".key")
        broker = Mosquitto(
            tmp_path, "allow_anonymous true", f"certfile {own.certificate}", f"keyfile {key}"
        )
        broker.url = broker.url.replace("mqtt://", "mqtts://")
        with broker:
            known = own if trusted else ours
            sink = MqttClient(options(broker.url, ca_file=known.certificate))
            with started(sink, connected=trusted):
                assert sink.wait_tried(10)
                assert sink.connected is trusted
                assert trusted or "mqtt.ca_file is not" in sink.trouble

    def test_a_broker_without_tls_is_told(self, tmp_path: Path) -> None:
        """A TLS connection to a broker without TLS names `mqtt.url`."""
        with Mosquitto(tmp_path) as broker:
            sink = MqttClient(options(broker.url.replace("mqtt://", "mqtts://")))
            with started(sink, connected=False):
                assert sink.wait_tried(10)
                assert "mqtt.url" in sink.trouble

    def test_a_certificate_of_another_name_is_no_good(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A certificate for another host name is refused; the log names `mqtt.url`."""
        ours = Authority(tmp_path)
        with with_tls(tmp_path, ours, name="elsewhere.example") as broker:
            sink = MqttClient(options(broker.url, ca_file=ours.certificate))
            with started(sink, connected=False):
                assert sink.wait_tried(10)
                assert not sink.connected

        assert "127.0.0.1" in caplog.text
        assert "not trusted" in caplog.text
        assert "mqtt.url" in caplog.text

    def test_it_shows_its_own_certificate_where_asked(self, tmp_path: Path) -> None:
        """Without a client certificate the error says what is missing; with one it connects."""
        ours = Authority(tmp_path)
        certificate, key = ours.sign("hall-pi")
        broker = with_tls(tmp_path, ours)
        broker.configure(
            "allow_anonymous true", f"certfile {tmp_path / '127.0.0.1.crt'}",
            f"keyfile {tmp_path / '127.0.0.1.key'}", f"cafile {ours.certificate}",
            "require_certificate true",
        )  # fmt: skip
        with broker:
            bare = MqttClient(options(broker.url, ca_file=ours.certificate))
            with started(bare, connected=False):
                assert bare.wait_tried(10)
                assert "requires a client certificate" in bare.trouble
            plain = options(broker.url.replace("mqtts://", "mqtt://"))
            stranger, its_key = Authority(tmp_path, "other").sign("stranger")
            wrong = options(
                broker.url, ca_file=ours.certificate, cert_file=stranger, key_file=its_key
            )
            with started(MqttClient(wrong), connected=False) as refused:
                assert refused.wait_tried(10)
                assert "does not trust the client certificate" in refused.trouble
            with started(MqttClient(plain), connected=False) as unready:
                assert unready.wait_tried(10)
                assert "mqtts://" in unready.trouble
            shown = options(
                broker.url, ca_file=ours.certificate, cert_file=certificate, key_file=key
            )
            with started(MqttClient(shown)) as sink:
                assert sink.connected


def test_nothing_waits_for_a_port_that_is_closed() -> None:
    """Starting and stopping without a broker does not block."""
    sink = MqttClient(options(f"mqtt://127.0.0.1:{free_port()}"))

    with started(sink, connected=False):
        tried = sink.wait_tried(10)

    assert tried
    assert not sink.connected
