"""Sends what waits in the outbox to the broker, in a thread of its own."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.connection import State
from edgepose.mqtt.embedded_broker import EmbeddedBroker
from edgepose.mqtt.options import BrokerOptions
from edgepose.mqtt.outbox import Outbox, Outgoing
from edgepose.timing import Clock, Durations
from edgepose.types import Message, Received

AGAIN_S: Final = 0.05  # a session may have ended a moment before we are told


class Publisher:
    """Sends messages to the broker in a thread of its own.

    Parameters
    ----------
    outbox : Outbox
        Holds what waits while there is no session.
    client : MqttClient
        The connection; not started yet.
    clock : Clock
        For the latency from the camera to the broker.
    embedded : EmbeddedBroker, optional
        A broker that runs; it is closed with the link.
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
        """Sessions with the broker so far."""

        self._clock = clock
        self._closing = threading.Event()
        self._sending = threading.Lock()
        self._composing = threading.RLock()
        self._broker = embedded
        self._listeners: list[Callable[[Message], None]] = []
        self._published: list[Callable[[Message], None]] = []
        self._cleared: list[Callable[[str], None]] = []
        self._sink = client
        self._sink.on_connect(self._online)
        self._sink.on_disconnect(self._offline)
        self._thread = threading.Thread(target=self._send, name="mqtt", daemon=True)

    def start(self) -> None:
        """Begin to reach for the broker; never waits for it."""
        self._thread.start()
        self._sink.start()

    def close(self, timeout_s: float) -> None:
        """Send what waits if there is a connection, then say `offline` and let go."""
        self.outbox.close()
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self._sink.close()
        self.outbox.end()
        if self._broker is not None:
            self._broker.close()

    def put(self, message: Message) -> None:
        """Hand over a message; never waits for the network; thread-safe."""
        for listener in self._listeners:
            listener(message)
        self.outbox.put(message)

    def put_latest(self, compose: Callable[[], Message]) -> None:
        """Compose a state and hand it over, one at a time: none overtakes a later one."""
        with self._composing:
            self.put(compose())

    def on_message(self, listener: Callable[[Message], None]) -> None:
        """Call a listener with each message that is handed over, with or without a session."""
        self._listeners.append(listener)

    def on_published(self, listener: Callable[[Message], None]) -> None:
        """Call a listener with each message that the broker's socket has accepted."""
        self._published.append(listener)

    def on_cleared(self, listener: Callable[[str], None]) -> None:
        """Call a listener with each retained topic that was cleared, or cannot be."""
        self._cleared.append(listener)

    def answer(self, message: Message) -> bool:
        """Send a message now or never."""
        return self._sink.publish(message)

    def subscribe(
        self, topic: str, listener: Callable[[Received], None], *, others_only: bool = False
    ) -> None:
        """Listen to a topic or filter; with `others_only` for what other clients publish."""
        self._sink.subscribe(topic, listener, others_only=others_only)

    def has_login(self, options: BrokerOptions) -> bool:
        """Return whether password and certificates are those in use, and are not refused."""
        is_refused = self._sink.state is State.REFUSED
        return self._sink.options.login == options.login and not is_refused

    @property
    def tried(self) -> bool:
        """Whether the broker has been reached, or not, at least once."""
        return self._sink.wait_tried(0)

    @property
    def connected(self) -> bool:
        """Whether there is a session with the broker."""
        return self._sink.connected

    @property
    def refused(self) -> dict[str, str]:
        """Topics that the broker refuses us, and its reasons."""
        return dict(self._sink.refused)

    @property
    def trouble(self) -> str:
        """Why there is no session with the broker; empty while there is one."""
        if self.connected:
            return ""
        return self._sink.trouble or "not yet reached"

    def on_connect(self, hook: Callable[[], None]) -> None:
        """Have something done in each new session."""
        self._sink.on_connect(hook)

    def on_disconnect(self, hook: Callable[[], None]) -> None:
        """Have something done after each session."""
        self._sink.on_disconnect(hook)

    def _online(self) -> None:
        self.sessions += 1
        self.outbox.set_online(True)

    def _offline(self) -> None:
        # Not while an event is between the spool and the session that has ended: in the
        # next session it would overtake older ones.
        with self._sending:
            self.outbox.set_online(False)

    def _send(self) -> None:
        while self.outbox.wait():
            self.outbox.maintain()
            with self._sending:
                taken = self._send_one()
            if not taken and self._closing.wait(AGAIN_S):
                return

    def _send_one(self) -> bool:
        """Send what is next; False when there was something that the session did not take."""
        outgoing = self.outbox.next()
        if outgoing is None:
            return True
        started_ns = self._clock.now_ns()
        clears = outgoing.message.retain and not outgoing.message.payload
        settled = partial(self._settled, outgoing) if outgoing.number or clears else None
        if not self._sink.publish(outgoing.message, settled):
            self.outbox.requeue(outgoing)
            return False
        self._measure(outgoing.message, started_ns)
        for listener in self._published:
            listener(outgoing.message)
        return True

    def _settled(self, outgoing: Outgoing, accepted: bool) -> None:
        self.outbox.acknowledge(outgoing, accepted=accepted)
        if outgoing.number is None:
            for listener in self._cleared:
                listener(outgoing.message.topic)

    def _measure(self, message: Message, started_ns: int) -> None:
        now_ns = self._clock.now_ns()
        self.publishing.add(now_ns - started_ns)
        if message.read_ns:
            self.latency.setdefault(message.topic, Durations()).add(now_ns - message.read_ns)
