"""A second device with the same id is detected; a restart or a stopped one is not reported."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepose.config.schema import Config, Device, Mqtt
from edgepose.doctor import broker as doctor_broker
from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.duplicate_device import FORGET_S, RECENT_S, DuplicateDevice
from edgepose.mqtt.options import BrokerOptions
from edgepose.mqtt.topics import Topics
from edgepose.service import wiring
from edgepose.service.state import BrokerConnection
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Message, Received
from tests.support.brokers import Mosquitto, needs_mosquitto, wait_until, witness
from tests.support.clocks import ClockByHand

TOPICS = Topics("edgepose", "pi")


def stats(payload: bytes) -> Message:
    return Message(TOPICS.stats, payload, "stats")


def availability(payload: bytes) -> Message:
    topic = TOPICS.camera("hall").availability
    return Message(topic, payload, "state", 1, retain=True, content_type="text/plain")


def kept(broker: Mosquitto, topic: str) -> bytes | None:
    """Return the retained payload of a topic."""
    heard: list[bytes] = []
    client = MqttClient(BrokerOptions.from_url(broker.url))
    client.subscribe(topic, lambda message: heard.append(message.payload))
    client.start()
    try:
        assert client.wait_subscribed(5)
        wait_until(lambda: bool(heard), 0.5)
    finally:
        client.close()
    return heard[0] if heard else None


def received(payload: bytes, *, retained: bool = False) -> Received:
    return Received(TOPICS.stats, payload, retained=retained)


def test_our_own_statistics_that_come_back_are_no_second_device() -> None:
    """MQTT 3.1.1 brokers return our own messages; with a bridge they may arrive twice."""
    said: list[str] = []
    duplicate = DuplicateDevice(TOPICS, Clock(), said.append)

    for number in range(20):
        duplicate.note_sent(stats(b"%d" % number))
        duplicate.on_message(received(b"%d" % number))
        duplicate.on_message(received(b"%d" % number))
    duplicate.on_message(received(b"kept by the broker", retained=True))

    assert said == []
    assert not duplicate.is_present


def test_statistics_of_another_device_are_reported_once() -> None:
    """It is reported once with id and setting, and expires a minute after its last message."""
    said: list[str] = []
    clock = ClockByHand()
    duplicate = DuplicateDevice(TOPICS, clock, said.append)
    duplicate.note_sent(stats(b"ours"))

    for number in range(3):
        duplicate.on_message(received(b"theirs %d" % number))

    assert len(said) == 1
    assert '"pi"' in said[0]
    assert "device.id" in said[0]
    assert duplicate.is_present
    clock.ns += int(RECENT_S * NS_PER_S)
    assert not duplicate.is_present


def test_a_device_that_returns_after_an_hour_is_reported_again() -> None:
    """It is reported again after `FORGET_S`, but not after a pause of minutes."""
    said: list[str] = []
    clock = ClockByHand()
    duplicate = DuplicateDevice(TOPICS, clock, said.append)

    for pause_s, count in ((0, 1), (600, 1), (FORGET_S + 1, 2)):
        clock.ns += int(pause_s * NS_PER_S)
        duplicate.on_message(received(b"theirs"))
        assert len(said) == count


@needs_mosquitto
@pytest.mark.slow
class TestBroker:
    @pytest.fixture
    def link(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[Mosquitto, str, int], BrokerConnection]:
        """Return a factory of devices with a state directory of the given name."""

        def make(broker: Mosquitto, name: str, protocol: int) -> BrokerConnection:
            monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / name))
            mqtt = Mqtt(url=broker.url, protocol=4 if protocol == 4 else 5)
            config = Config(device=Device(id="pi"), mqtt=mqtt)
            made = wiring.connect(config, Clock(), pytest.fail)
            made.publisher.start()
            assert wait_until(lambda: made.publisher.connected)
            return made

        return make

    @pytest.mark.parametrize("protocol", [5, 4])
    def test_both_of_two_devices_notice(
        self,
        tmp_path: Path,
        link: Callable[[Mosquitto, str, int], BrokerConnection],
        protocol: int,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Two devices with separate state directories both detect the other."""
        with Mosquitto(tmp_path) as broker, witness(broker.port) as outside:
            first, second = (link(broker, name, protocol) for name in ("a", "b"))
            for device in (first, second):
                assert device.publisher._sink.wait_subscribed(5)
            for device, payload in ((first, b"1"), (second, b"2")):
                device.publisher.put(stats(payload))
                outside.on(TOPICS.stats, payload)

            assert wait_until(
                lambda: first.duplicate_device.is_present and second.duplicate_device.is_present
            )
            first.publisher.close(1)
            second.publisher.close(1)

        assert len([r for r in caplog.records if "another device" in r.message]) == 2

    @pytest.mark.parametrize("protocol", [5, 4])
    def test_a_restart_and_a_copy_of_the_state_are_no_second_device(
        self,
        tmp_path: Path,
        link: Callable[[Mosquitto, str, int], BrokerConnection],
        protocol: int,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Messages of the previous process are not reported as a second device."""
        with Mosquitto(tmp_path) as broker, witness(broker.port) as outside:
            for number in range(3):
                device = link(broker, "a", protocol)
                assert device.publisher._sink.wait_subscribed(5)
                device.publisher.put(stats(b"%d" % number))
                outside.on(TOPICS.stats, b"%d" % number)
                device.publisher.put(stats(b"last %d" % number))
                device.publisher.close(1)

        assert "another device" not in caplog.text

    @pytest.mark.parametrize("protocol", [5, 4])
    @pytest.mark.parametrize("dies", [True, False])
    def test_the_other_goes_on_when_one_of_two_ends(
        self,
        tmp_path: Path,
        link: Callable[[Mosquitto, str, int], BrokerConnection],
        protocol: int,
        dies: bool,
    ) -> None:
        """The other device publishes its states again after the first has died or closed."""
        hall = TOPICS.camera("hall").availability
        with Mosquitto(tmp_path) as broker, witness(broker.port) as outside:
            first, second = (link(broker, name, protocol) for name in ("a", "b"))
            for device in (first, second):
                assert device.publisher._sink.wait_subscribed(5)
                device.publisher.put(availability(b"online"))
            outside.on(hall, b"online")
            first.publisher.put(availability(b"offline"))
            outside.on(hall, b"offline")
            if dies:
                session = first.publisher._sink._session
                first.publisher._sink._closing.set()
                assert session is not None
                session.give_up()
            else:
                first.publisher.close(1)

            assert wait_until(lambda: kept(broker, hall) == b"online", 10)
            assert wait_until(lambda: kept(broker, TOPICS.availability) == b"online", 10)
            third = link(broker, "c", protocol)
            assert third.publisher._sink.wait_subscribed(5)
            third.publisher.put(stats(b"third"))
            assert wait_until(lambda: second.duplicate_device.is_present)
            third.publisher.close(1)
            second.publisher.close(1)
            assert kept(broker, TOPICS.availability) == b"offline"

    @pytest.mark.parametrize("sends", [True, False])
    def test_doctor_finds_a_device_of_this_id(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sends: bool
    ) -> None:
        """`doctor` reports a device that sends, but not one with only a retained `online`."""
        monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "doctor"))
        monkeypatch.setattr(doctor_broker, "STATS_S", 3.0)
        with Mosquitto(tmp_path) as broker, witness(broker.port) as outside:
            config = Config(device=Device(id="pi"), mqtt=Mqtt(url=broker.url))
            outside.publish(TOPICS.availability, b"online", retain=True)
            stop = threading.Event()

            def speak() -> None:
                while sends and not stop.wait(0.1):
                    outside.publish(TOPICS.stats, b"{}")

            speaker = threading.Thread(target=speak)
            speaker.start()
            found = list(doctor_broker.findings(config))
            stop.set()
            speaker.join()

        assert [(finding.check, finding.verdict) for finding in found] == [
            ("broker", "ok"),
            *([("device id", "warn")] if sends else []),
        ]
