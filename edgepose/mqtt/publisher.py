"""The way to the broker: outbox, sink, the thread between them and a broker of our own if asked."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from edgepose.config.schema import Config
from edgepose.mqtt.outbox import Outbox, Outgoing
from edgepose.mqtt.topics import Topics
from edgepose.service import wiring
from edgepose.timing import Clock, Durations
from edgepose.types import Message, Received

AGAIN_S: Final = 0.05  # a session may have ended a moment before we are told


class Link:
    """Sends messages in a thread of its own; what waits while the broker is away, the outbox says.

    Parameters
    ----------
    config : Config
        Names the broker.
    topics : Topics
        Where the device speaks.
    clock : Clock
        For the latency from the camera to the broker.
    refused : callable
        Told when the broker refuses us and trying again cannot help.
    published : callable
        Told of each message that the broker's socket has taken.
    seen : callable, optional
        Told of each message before that, also while there is no broker.
    """

    def __init__(
        self,
        config: Config,
        topics: Topics,
        clock: Clock,
        *,
        refused: Callable[[BaseException], None],
        published: Callable[[Message], None],
        seen: Callable[[Message], None] = lambda message: None,
    ) -> None:
        spool = wiring.spool(config, clock)
        self.outbox = Outbox(spool, seen)
        self.latency: dict[str, Durations] = {}
        self.publishing = Durations()
        self.put = self.outbox.put
        self.cleared: Callable[[str], None] = lambda topic: None
        """Told of each retained topic that was cleared, or cannot be."""

        self.sessions = 0
        """How often there was a session with the broker."""

        self._published = published
        self._clock = clock
        self._closing = threading.Event()
        self._sending = threading.Lock()
        self._broker = wiring.broker(config)
        self.alone = spool.ours
        """Whether the device's folder is ours, and no other process is the same device."""

        # Two processes of one name would throw each other out of the broker for ever.
        session = wiring.session(config) if self.alone else None
        self._sink = wiring.sink(config, topics, self._broker, refused, session)
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
        self._thread.join(timeout_s)
        self._sink.close()
        self.outbox.end()
        if self._broker is not None:
            self._broker.close()

    def answer(self, message: Message) -> bool:
        """Send a message now or never."""
        return self._sink.publish(message)

    def subscribe(self, topic: str, listener: Callable[[Received], None]) -> None:
        """Listen to a topic or filter."""
        self._sink.subscribe(topic, listener)

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
            self.outbox.keep()
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
            self.outbox.back(outgoing)
            return False
        self._measure(outgoing.message, started_ns)
        self._published(outgoing.message)
        return True

    def _settled(self, outgoing: Outgoing, accepted: bool) -> None:
        self.outbox.settle(outgoing, accepted=accepted)
        if outgoing.number is None:
            self.cleared(outgoing.message.topic)

    def _measure(self, message: Message, started_ns: int) -> None:
        now_ns = self._clock.now_ns()
        self.publishing.add(now_ns - started_ns)
        if message.read_ns:
            self.latency.setdefault(message.topic, Durations()).add(now_ns - message.read_ns)
