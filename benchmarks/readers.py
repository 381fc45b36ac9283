"""Those who read what a fleet says: clients of their own, by the plain library, MQTT 3.1.1."""

import multiprocessing
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

import msgspec
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from edgepose.mqtt.options import BrokerOptions

AGAIN_S = 1.0
GRANT_S = 15.0
"""A server that recovers may not answer a subscription; the reader connects again then."""


class Reader:
    """Reads some topics, on one server of a cluster after the other.

    Parameters
    ----------
    url : str
        Names the servers.
    keep : bool
        Whether the broker is to keep for it what comes while it is away: QoS 1, in a session
        that lasts. Otherwise QoS 0.
    """

    def __init__(
        self, url: str, user: str, password: str, *filters: str, keep: bool = False
    ) -> None:
        self.count = 0
        self.listening = False
        """Whether the broker has granted all it was asked for."""

        self.latest: dict[str, bytes] = {}
        """What each topic said last, those that are retained."""

        self.retained: dict[str, bytes] = {}
        """What came as retained."""

        self.events: dict[str, list[str]] = {}
        """Device to the ids of its events as they came, repetitions too."""

        self.heard: Callable[[str | int], None] | None = None
        """Told the number of each frame and the id of each event."""

        self._options = BrokerOptions.from_url(url)
        self._filters = [(topic, int(keep)) for topic in filters]
        self._closing = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            f"reader-{secrets.token_hex(4)}",
            clean_session=not keep,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        if password:
            self._client.username_pw_set(user, password)
        self._client.on_connect = lambda *_: self._ask()
        self._client.on_subscribe = lambda _c, _u, _m, reasons, _p: self._granted(reasons)
        self._client.on_message = lambda _c, _u, message: self._take(message)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        turn = 0
        while not self._closing.is_set():
            server = self._options.at(turn)
            turn += 1
            with suppress(OSError):
                self._client.connect(server.host, server.port, keepalive=15)
                until_s = time.monotonic() + GRANT_S
                while self._client.loop(0.2) == MQTTErrorCode.MQTT_ERR_SUCCESS:
                    if self._closing.is_set():
                        return
                    if not self.listening and time.monotonic() > until_s:
                        break
            self.listening = False
            self._closing.wait(AGAIN_S)

    def _ask(self) -> None:
        self._client.subscribe(self._filters)

    def _granted(self, reasons: list[ReasonCode]) -> None:
        self.listening = not any(reason.is_failure for reason in reasons)
        if not self.listening:
            threading.Timer(AGAIN_S, self._ask).start()

    def _take(self, message: MQTTMessage) -> None:
        self.count += 1
        leaf = message.topic.rpartition("/")[2]
        if leaf == "event":
            self._note_event(message)
        elif leaf == "poses":
            if self.heard is not None:
                self.heard(msgspec.json.decode(message.payload)["seq"])
        elif leaf not in {"stats", "set"}:
            self.latest[message.topic] = message.payload
            if message.retain:
                self.retained[message.topic] = message.payload

    def _note_event(self, message: MQTTMessage) -> None:
        event = msgspec.json.decode(message.payload)
        self.events.setdefault(event["device"], []).append(event["id"])
        if self.heard is not None:
            self.heard(event["id"])

    def say(self, topic: str, payload: bytes) -> None:
        """Say something, too."""
        self._client.publish(topic, payload, qos=1)

    def close(self) -> None:
        """Let go."""
        self._closing.set()
        self._thread.join(5)
        self._client.disconnect()


class Tally:
    """A reader of everything in a process of its own, who only counts."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(
            target=_tally, args=(theirs, url, user, password), daemon=True
        )
        self._process.start()

    @property
    def count(self) -> int:
        """How many messages have come."""
        self._pipe.send(None)
        found: int = self._pipe.recv()
        return found

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join()


def _tally(orders: Connection, url: str, user: str, password: str) -> None:
    reader = Reader(url, user, password, "edgepose/#")
    while True:
        orders.recv()
        orders.send(reader.count)
