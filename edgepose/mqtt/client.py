"""MQTT: one connection that comes back by itself, and nothing queued while it is away.

A connection is a `_Session` with a paho client of its own, which ends with it: what
the broker has not acknowledged by then is told to nobody twice, because its owner
(the spool for events, the outbox for states) sends it again. `MqttSink` makes
sessions, one after the other, in one thread.
"""

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable
from typing import Final

from paho.mqtt.client import topic_matches_sub
from paho.mqtt.enums import MQTTProtocolVersion

from edgepose.errors import BrokerError
from edgepose.mqtt.options import Options, backoff_s, tls_context
from edgepose.mqtt.session import (
    OFFLINE,
    ONLINE,
    UNSUPPORTED_PROTOCOL,
    Acknowledged,
    Listener,
    _End,
    _guarded,
    _Session,
)
from edgepose.types import Message, Received

log = logging.getLogger(__name__)
FAREWELL_S: Final = 1.0  # what a broker that hangs may cost when we stop
LEAVE_S: Final = 0.4  # from "disconnect" to the end of the thread
SETTLED_S: Final = 10.0  # a session that lasted so long was no failed attempt
PATIENCE_S: Final = 300.0  # a broker that knew us may refuse us while its user database starts
THROWN_OUT: Final = 3  # short sessions in a row: somebody else may have our name
DOUBTS: Final = 3  # attempts in vain after which a broker that spoke MQTT 5 may not any more

HOPELESS: Final = frozenset({0x85, 0x86, 0x87, 0x8A, 0x8C})
"""Reason codes of MQTT 5 (paho translates those of 3.1.1): the client id, user or
password is wrong, we are not authorised, banned, or of the wrong method."""
Hook = Callable[[], None]


class MqttSink:
    """Publishes to a broker, for as long as it takes to reach one.

    Parameters
    ----------
    options : Options
        Where the broker is.
    on_failure : callable
        Told, in the network thread, that the broker refuses us for good. Nothing
        more is tried then.

    Notes
    -----
    Hooks and listeners run in the network thread: they may publish, and must not
    wait for anything that needs the network.
    """

    def __init__(
        self, options: Options, *, on_failure: Callable[[BrokerError], None] | None = None
    ) -> None:
        self.options = options
        self.failure: BrokerError | None = None
        self.refused: dict[str, str] = {}
        """Topics on which the broker refuses our messages, and its reason."""

        self.trouble = ""
        """Why the last attempt came to nothing; empty while there is a session."""

        self._on_failure = on_failure
        self._context = tls_context(options) if options.tls else None
        # The same for all our connections: a broker then ends a half-open one before it
        # accepts the next. With MQTT 5 the session goes on, and no last will is carried out;
        # with 3.1.1 it comes before our birth message.
        self._client_id = self._name(options.session)
        self._listeners: list[tuple[str, Listener]] = []
        self._on_connect: list[Hook] = []
        self._on_disconnect: list[Hook] = []
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._session: _Session | None = None
        self._attempt: _Session | None = None
        self._tried = False
        self._said: set[str] = set()
        self._known_s: float | None = None
        # Devices begin at different servers of a cluster, and go on to the next.
        self._turn = random.randrange(1 + len(options.others))
        self._at = options.at(self._turn)
        self._knows_5 = False
        self._thread = threading.Thread(target=self._keep_connected, name="mqtt", daemon=True)

    def _name(self, session: str | None = None) -> str:
        return f"{self.options.client_id}-{session or secrets.token_hex(4)}"

    def start(self) -> None:
        """Begin to connect, in the background; an absent broker is no error."""
        self._thread.start()

    @property
    def connected(self) -> bool:
        """True while there is a session with the broker."""
        return self._session is not None

    @property
    def protocol(self) -> int | None:
        """5, or 4 for 3.1.1; None while there is no session."""
        session = self._session
        return None if session is None else int(session.protocol)

    def on_connect(self, hook: Hook) -> None:
        """Have something done in each new session: publish what the broker must know."""
        self._on_connect.append(hook)

    def on_disconnect(self, hook: Hook) -> None:
        """Have something done after each session; unacknowledged messages are its owner's again."""
        self._on_disconnect.append(hook)

    def subscribe(self, topic: str, listener: Listener) -> None:
        """Listen to a topic or filter, in this session and all that follow.

        Filters that overlap without being the same may bring a message twice: the
        broker sends it once for each.
        """
        with self._changed:
            known = topic in self._topics()
            self._listeners.append((topic, listener))
            if self._session is not None and not known:
                self._session.subscribe(topic)

    def publish(self, message: Message, on_acknowledged: Acknowledged | None = None) -> bool:
        """Hand one message over; False when it was not taken, because we are offline or blocked.

        Parameters
        ----------
        message : Message
            With QoS 0 it is on its way now, or never.
        on_acknowledged : callable
            For QoS 1: called in the network thread once the broker has answered. When
            the session ends first it is never called, and the message may or may not
            have arrived: send it again in the next one.
        """
        session = self._session
        return session is not None and session.publish(message, on_acknowledged)

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait for a session; False when there is none in time, or never will be."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._session is not None or self.failure is not None, timeout_s
            )
            return self._session is not None

    def wait_subscribed(self, timeout_s: float) -> bool:
        """Wait until the broker lets us listen; False when it does not in time, or never will."""
        connected = self.wait_connected(timeout_s)
        session = self._session
        return connected and session is not None and session.wait_answered(timeout_s)

    def wait_tried(self, timeout_s: float) -> bool:
        """Wait for the end of the first attempt, whatever came of it."""
        with self._changed:
            return self._changed.wait_for(lambda: self._tried, timeout_s)

    def flush(self, timeout_s: float) -> bool:
        """Wait until the broker has acknowledged all it was given; False when it has not."""
        session = self._session
        return session is not None and session.flush(timeout_s)

    def close(self) -> None:
        """Say goodbye and let go, within two seconds even when the broker hangs; twice is fine."""
        self._closing.set()
        session = self._session
        if session is not None:
            self._announce(session, OFFLINE)
            session.flush(FAREWELL_S)
            session.disconnect()
        if not self._thread.is_alive() or threading.current_thread() is self._thread:
            return
        self._thread.join(LEAVE_S)
        attempt = self._attempt
        if self._thread.is_alive() and attempt is not None:
            attempt.give_up()
            self._thread.join(LEAVE_S)

    # In the network thread

    def _keep_connected(self) -> None:
        failures = short = 0
        while not self._closing.is_set():
            end = self._connect_and_stay(failures)
            if self._closing.is_set():
                break
            if end.code in HOPELESS and self._is_hopeless():
                self._fail(end)
                break
            short = short + 1 if 0 < end.lasted_s < SETTLED_S else 0
            if short == THROWN_OUT:
                self._client_id, short = self._name(), 0
            failures = 1 if end.lasted_s > SETTLED_S else failures + 1
            self._tell_away(end)
            pause_s = backoff_s(failures, self.options.retry_s, random.random())
            self._closing.wait(pause_s)

    def _connect_and_stay(self, failures: int) -> _End:
        """Live through one session, in the newest protocol that the broker speaks."""
        self._at = self.options.at(self._turn)
        self._turn += 1
        end = self._live(MQTTProtocolVersion(self.options.protocol))
        # One that spoke MQTT 5 and is silent now is ill, and will speak it again.
        doubtful = not self._knows_5 or failures >= DOUBTS or end.code == UNSUPPORTED_PROTOCOL
        older = self.options.protocol == 5 and end.unspoken and doubtful
        if older and not self._closing.is_set():
            end = self._live(MQTTProtocolVersion.MQTTv311)
        return end

    def _live(self, protocol: MQTTProtocolVersion) -> _End:
        self._attempt = _Session(
            self._at,
            self._context,
            self._client_id,
            protocol,
            opened=self._open,
            received=self._dispatch,
            refused=self._note_refused,
            granted=self._note_granted,
        )
        try:
            return self._attempt.run(self._closing)
        finally:
            was_connected = self._session is not None
            self._session = None
            self._attempt = None
            if was_connected:
                for hook in self._on_disconnect:
                    _guarded(hook)

    def _open(self, session: _Session) -> None:
        self._known_s = time.monotonic()
        self.trouble = ""
        self._said.clear()
        self._knows_5 = session.protocol == MQTTProtocolVersion.MQTTv5
        version = "5" if self._knows_5 else "3.1.1"
        log.info("mqtt: connected to %s with MQTT %s", self._at.address, version)
        self._announce(session, ONLINE)
        with self._changed:
            for topic in self._topics():
                session.subscribe(topic)
            self._session = session
            self._tried = True
            self._changed.notify_all()
        for hook in self._on_connect:
            _guarded(hook)

    def _topics(self) -> list[str]:
        own = self.options.availability_topic
        return list(dict.fromkeys(([own] if own else []) + [topic for topic, _ in self._listeners]))

    def _announce(self, session: _Session, payload: bytes) -> None:
        topic = self.options.availability_topic
        if topic is not None:
            message = Message(topic, payload, "state", 1, retain=True, content_type="text/plain")
            session.publish(message, None)

    def _dispatch(self, received: Received) -> None:
        if received.topic == self.options.availability_topic and received.payload != ONLINE:
            self._contradict()
        for topic, listener in self._listeners:
            if topic_matches_sub(topic, received.topic):
                _guarded(listener, received)

    def _contradict(self) -> None:
        # The last will of our predecessor, when the broker notices late that its line was
        # dead: it would call us offline for as long as we are well.
        if self._session is not None and not self._closing.is_set():
            log.debug("mqtt: told offline while online; saying otherwise")
            self._announce(self._session, ONLINE)

    def _note_refused(self, topic: str, reason: str) -> None:
        if topic not in self.refused:
            log.warning("mqtt: the broker refuses %s: %s", topic, reason)
        self.refused[topic] = reason

    def _note_granted(self, topic: str) -> None:
        if self.refused.pop(topic, None) is not None:
            log.info("mqtt: the broker grants %s now", topic)

    def _is_hopeless(self) -> bool:
        return self._known_s is None or time.monotonic() - self._known_s > PATIENCE_S

    def _fail(self, end: _End) -> None:
        who = f"user {self.options.username!r}" if self.options.username else "no user name"
        failure = BrokerError(
            f"mqtt: {self._at.address} refuses us ({who}): {end.reason}; check mqtt.username"
            " and the password (mqtt.password_file, the systemd credential mqtt-password or"
            " EDGEPOSE_MQTT_PASSWORD)"
        )
        with self._changed:
            self.failure = failure
            self._tried = True
            self._changed.notify_all()
        if self._on_failure is not None:
            _guarded(self._on_failure, failure)

    def _tell_away(self, end: _End) -> None:
        self.trouble = end.reason
        with self._changed:
            self._tried = True
            self._changed.notify_all()
        # Said once until it is back; again only for what somebody has to mend.
        news = not self._said or (end.mend and end.reason not in self._said)
        level = logging.WARNING if news else logging.DEBUG
        what = "lost" if end.lasted_s else "cannot reach"
        log.log(level, "mqtt: %s %s: %s; trying again", what, self._at.address, end.reason)
        self._said.add(end.reason)
