"""Sends the messages of the outbox to the broker, in its own thread."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.connection import State
from edgepose.mqtt.embedded_broker import EmbeddedBroker
from edgepose.mqtt.options import BrokerOptions
from edgepose.mqtt.outbox import Outbox, Outgoing
from edgepose.mqtt.paho_client import OFFLINE
from edgepose.timing import Clock, Durations
from edgepose.types import Message, Received

AGAIN_S: Final = 0.05  # pause after a refused message: the session may just have ended


class Publisher:
    """Sends messages to the broker in its own thread.

    Parameters
    ----------
    outbox : Outbox
        Holds messages that cannot be sent yet.
    client : MqttClient
        The connection; not started yet.
    clock : Clock
        Measures the latency from the camera to the broker.
    embedded : EmbeddedBroker, optional
        A running broker, closed together with the publisher.
    """

    def __init__(
        self,
        outbox: Outbox,
        client: MqttClient,
        clock: Clock,
        *,
        embedded: EmbeddedBroker | None = None,
    ) -> None:
        self.outbox = outbox
        self.latency: dict[str, Durations] = {}
        self.publishing = Durations()
        self.sessions = 0
        """Number of sessions so far."""

        self._clock = clock
        self._closing = threading.Event()
        self._sending = threading.Lock()
        self._composing = threading.RLock()
        self._broker = embedded
        self._listeners: list[Callable[[Message], None]] = []
        self._published: list[Callable[[Message], None]] = []
        self._cleared: list[Callable[[str], None]] = []
        self._sink = client
        self._sink.on_connect(self._on_online)
        if self._sink.options.availability_topic is not None:
            self._sink.subscribe(self._sink.options.availability_topic, self._repeat_overwritten)
        self._sink.on_disconnect(self._on_offline)
        self._thread = threading.Thread(target=self._send_next, name="mqtt", daemon=True)

    def start(self) -> None:
        """Begin to connect in the background."""
        self._thread.start()
        self._sink.start()

    def close(self, timeout_s: float) -> None:
        """Send pending messages if connected, publish `offline`, and disconnect."""
        self.outbox.close()
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self._sink.close()
        self.outbox.end()
        if self._broker is not None:
            self._broker.close()

    def put(self, message: Message) -> None:
        """Queue a message. Never waits for the network. Thread-safe."""
        for listener in self._listeners:
            listener(message)
        self.outbox.put(message)

    def put_latest(self, compose: Callable[[], Message]) -> None:
        """Compose and queue a state under a lock, so that states stay in order."""
        with self._composing:
            self.put(compose())

    def on_message(self, listener: Callable[[Message], None]) -> None:
        """Add a listener that is called with each queued message, also without a session."""
        self._listeners.append(listener)

    def on_published(self, listener: Callable[[Message], None]) -> None:
        """Add a listener that is called with each message that was passed to the connection."""
        self._published.append(listener)

    def on_cleared(self, listener: Callable[[str], None]) -> None:
        """Add a listener for the broker's answers to cleared retained topics."""
        self._cleared.append(listener)

    def answer(self, message: Message) -> bool:
        """Send a message at once, or drop it and return False."""
        return self._sink.publish(message)

    def subscribe(
        self, topic: str, listener: Callable[[Received], None], *, others_only: bool = False
    ) -> None:
        """Subscribe to a topic or filter; with `others_only` to messages of other clients only."""
        self._sink.subscribe(topic, listener, others_only=others_only)

    def has_login(self, options: BrokerOptions) -> bool:
        """Return whether the login equals the one in use, and that one is not refused."""
        is_refused = self._sink.state is State.REFUSED
        return self._sink.options.login == options.login and not is_refused

    @property
    def tried(self) -> bool:
        """Whether at least one attempt to connect has ended."""
        return self._sink.wait_tried(0)

    @property
    def connected(self) -> bool:
        """Whether there is a session with the broker."""
        return self._sink.connected

    @property
    def refused(self) -> dict[str, str]:
        """Topics that the broker refuses, with its reasons."""
        return dict(self._sink.refused)

    @property
    def trouble(self) -> str:
        """Why there is no session with the broker; empty while there is one."""
        if self.connected:
            return ""
        return self._sink.trouble or "not yet reached"

    def on_connect(self, hook: Callable[[], None]) -> None:
        """Add a function to call at the start of each session."""
        self._sink.on_connect(hook)

    def on_disconnect(self, hook: Callable[[], None]) -> None:
        """Add a function to call after each session."""
        self._sink.on_disconnect(hook)

    def _repeat_overwritten(self, received: Received) -> None:
        """Send all states again once another device with this id, which overwrote them, stops."""
        if received.payload == OFFLINE and not self._closing.is_set():
            self.outbox.repeat()

    def _on_online(self) -> None:
        self.sessions += 1
        self.outbox.set_online(True)

    def _on_offline(self) -> None:
        # Wait until the event in progress has been sent or refused: if it were sent in the
        # next session, it would overtake older events.
        with self._sending:
            self.outbox.set_online(False)

    def _send_next(self) -> None:
        while self.outbox.wait():
            self.outbox.maintain()
            with self._sending:
                taken = self._send_one()
            if not taken and self._closing.wait(AGAIN_S):
                return

    def _send_one(self) -> bool:
        """Send the next message; return False if the session did not accept it."""
        outgoing = self.outbox.next()
        if outgoing is None:
            return True
        started_ns = self._clock.now_ns()
        clears = outgoing.message.retain and not outgoing.message.payload
        settled = partial(self._on_settled, outgoing) if outgoing.number or clears else None
        if not self._sink.publish(outgoing.message, settled):
            self.outbox.requeue(outgoing)
            return False
        self._measure_latency(outgoing.message, started_ns)
        for listener in self._published:
            listener(outgoing.message)
        return True

    def _on_settled(self, outgoing: Outgoing, accepted: bool) -> None:
        self.outbox.acknowledge(outgoing, accepted=accepted)
        if outgoing.number is None:
            for listener in self._cleared:
                listener(outgoing.message.topic)

    def _measure_latency(self, message: Message, started_ns: int) -> None:
        now_ns = self._clock.now_ns()
        self.publishing.add(now_ns - started_ns)
        if message.read_ns:
            self.latency.setdefault(message.topic, Durations()).add(now_ns - message.read_ns)
