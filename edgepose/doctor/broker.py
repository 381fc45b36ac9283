"""Doctor's checks of the broker."""

import threading
from collections.abc import Generator
from contextlib import closing
from typing import Final

from edgepose import urls
from edgepose.config.schema import Config
from edgepose.doctor.remedies import RESTART
from edgepose.errors import EdgeposeError
from edgepose.mqtt import duplicate_device, embedded_broker
from edgepose.mqtt.client import ONLINE, MqttClient
from edgepose.mqtt.duplicate_device import DuplicateDevice
from edgepose.mqtt.messages import Finding
from edgepose.mqtt.options import BrokerOptions
from edgepose.mqtt.spool_segments import is_in_use
from edgepose.mqtt.topics import Topics
from edgepose.system import storage
from edgepose.timing import Clock
from edgepose.types import Received

BROKER_S: Final = 12.0  # 5 s for the connection, 5 s for the answer, and a margin
RETAINED_S: Final = 1.0  # a broker sends retained messages at once
STATS_S: Final = 11.0  # a device sends statistics every ten seconds
PASSWORD_FILE: Final = "/etc/credstore/edgepose.mqtt-password"
NO_PASSWORD: Final = (
    f"write it with sudo install -Dm 600 /dev/stdin {PASSWORD_FILE} (type it, press Enter and"
    f" Ctrl-D), and the user name into mqtt.username; then: {RESTART}."
    " If it exists, run sudo edgepose doctor, which can read it"
)
CHANGE: Final = f"change it below [mqtt] of the configuration, then: {RESTART}"


def broker(config: Config) -> Finding:
    """Log in with a client id other than the daemon's, so that its session continues."""
    with closing(findings(config)) as found:
        return next(found)


def findings(config: Config) -> Generator[Finding]:
    """Log in and, unless a daemon runs here, search for another device with this id."""
    if urls.broker(config.mqtt.url).embedded:
        yield _embedded_finding()
        return
    folder = storage.state_directory(config.device.id)
    runs_here = folder is not None and is_in_use(folder / "spool")
    if config.mqtt.client_id and runs_here:
        found = f"the running daemon uses the client id {config.mqtt.client_id!r}; not tried"
        yield Finding("broker", "ok", found)
        return
    try:
        sink = MqttClient(BrokerOptions.from_config(config))
    except (EdgeposeError, OSError) as error:
        yield Finding("broker", "fail", str(error), CHANGE)
        return
    other = _OtherDevice(config, sink)
    sink.start()
    try:
        yield _login_finding(config, sink)
        if sink.connected and not runs_here and other.is_heard():
            yield duplicate(config.device.id)
    finally:
        sink.close()


def _embedded_finding() -> Finding:
    missing = embedded_broker.missing_requirement()
    if missing:
        return Finding("broker", "fail", *missing)
    return Finding("broker", "ok", "the built-in one starts with the daemon")


def _login_finding(config: Config, sink: MqttClient) -> Finding:
    sink.wait_tried(BROKER_S)
    options, failure, protocol, trouble = sink.options, sink.failure, sink.protocol, sink.trouble
    if failure is not None:
        remedy = _remedy_login(config) if options.password else NO_PASSWORD
        return Finding("broker", "fail", str(failure), remedy)
    if protocol is None:
        found = f"{options.address}: {trouble or 'no answer'}"
        return Finding("broker", "fail", found, _remedy_connection(config, trouble))
    version = "5" if protocol == 5 else "3.1.1"
    lacks = sink.lacks
    if lacks:
        remedy = "change the broker's settings, or use another broker"
        return Finding("broker", "warn", f"{options.address} {'; '.join(lacks)}", remedy)
    return Finding("broker", "ok", f"{options.address} accepts the login, with MQTT {version}")


class _OtherDevice:
    """Subscribes to the topics of this device id."""

    def __init__(self, config: Config, sink: MqttClient) -> None:
        topics = Topics(config.mqtt.base_topic, config.device.id)
        self._online, self._heard = threading.Event(), threading.Event()
        duplicate = DuplicateDevice(topics, Clock(), found=lambda _: self._heard.set())
        sink.subscribe(topics.availability, self._on_availability, others_only=True)
        sink.subscribe(topics.stats, duplicate.on_message, others_only=True)

    def _on_availability(self, received: Received) -> None:
        if received.payload == ONLINE:
            self._online.set()

    def is_heard(self) -> bool:
        """Return whether the other device sends statistics; waits for them if it is online."""
        return self._online.wait(RETAINED_S) and self._heard.wait(STATS_S)


def duplicate(device: str) -> Finding:
    """Return the finding for a second device with this id."""
    remedy = f"change device.id of one of them, then: {RESTART}"
    return Finding("device id", "warn", duplicate_device.warning(device), remedy)


def _remedy_login(config: Config) -> str:
    where = config.mqtt.password_file or PASSWORD_FILE
    if urls.broker(config.mqtt.url).password:
        where = "mqtt.url"
    return f"correct mqtt.username, or the password in {where}; then: {RESTART}"


def _remedy_connection(config: Config, trouble: str) -> str:
    """Return the remedy if no broker answers; the daemon itself keeps trying."""
    if ";" in trouble:  # the message already names the remedy
        return CHANGE
    asked = urls.broker(config.mqtt.url)
    if urls.is_local(asked.host):
        remedy = "sudo systemctl restart mosquitto; is there none? sudo apt install mosquitto"
    else:
        remedy = f"is {asked.host} on, and does a broker run there? Is mqtt.url right?"
    return f"{remedy}; without TLS it is mqtt://, not mqtts://" if asked.tls else remedy
