"""An MQTT client that reconnects by itself and queues nothing while offline.

`MqttClient` runs one session after the other in one thread; `edgepose.mqtt.connection` decides
the next step after each. Every session has its own connection. Messages that the broker has not
acknowledged when a session ends are not resent here: their owner (the spool for events, the
outbox for states) sends them in the next session.
"""

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from edgepose.errors import BrokerError
from edgepose.mqtt.connection import (
    CLIENT_ID_REFUSED,
    MAX_SHORT_SESSIONS,
    Accepted,
    Attempt,
    Closing,
    Connection,
    Ended,
    Event,
    RetryPolicy,
    SessionEnd,
    Settled,
    Started,
    State,
    transition,
)
from edgepose.mqtt.discovery import describe_loss
from edgepose.mqtt.options import BrokerOptions, backoff_s, tls_context
from edgepose.mqtt.paho_client import OFFLINE, topic_matches
from edgepose.mqtt.poison_messages import Hold, PoisonMessages
from edgepose.mqtt.session import PACKET_TOO_LARGE, Acknowledged, Listener, Session, call_guarded
from edgepose.types import Message, Received

log = logging.getLogger(__name__)
DISCONNECT_TIMEOUT_S: Final = 1.0  # wait for an unresponsive broker in `close`
JOIN_S: Final = 0.4  # wait for the thread after the disconnect packet

ONLINE: Final = b"online"
Hook = Callable[[], None]


class MqttClient:
    """Publishes to and subscribes at a broker; reconnects until closed.

    Parameters
    ----------
    options : BrokerOptions
        Address of the broker and login.
    on_failure : callable
        Called in the network thread when the broker refuses the login and no further attempt
        follows.

    Notes
    -----
    Hooks and listeners run in the network thread: they may publish, but must not wait for the
    network.
    """

    def __init__(
        self, options: BrokerOptions, *, on_failure: Callable[[BrokerError], None] | None = None
    ) -> None:
        if options.tls and options.context is None:
            options = replace(options, context=tls_context(options))
        self.options = options
        self.refused: dict[str, str] = {}
        """Topics to which the broker refuses messages, with its reason."""

        self._on_failure = on_failure
        self._policy = RetryPolicy(options.protocol, options.retry_refused)
        self._connection = Connection(attempt=Attempt(options.protocol))
        # The same id for all connections: the broker then closes a half-open one before it
        # accepts the next. With MQTT 5 the session continues and no last will is sent; with
        # 3.1.1 the last will is sent before the birth message.
        self.client_id = self._new_client_id(options.session)
        self._poison = PoisonMessages()
        self._listeners: list[tuple[str, Listener]] = []
        self._others_only: set[str] = set()
        self._on_connect: list[Hook] = []
        self._on_disconnect: list[Hook] = []
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._session: Session | None = None
        self._attempted: Session | None = None
        # Random, so that devices begin at different servers of a cluster.
        self._server = random.randrange(1 + len(options.others))
        self._at = options.at(self._server)
        self._thread = threading.Thread(target=self._keep_connected, name="mqtt", daemon=True)

    def _new_client_id(self, session: str | None = None) -> str:
        if self.options.fixed_client_id:
            return self.options.fixed_client_id
        return f"{self.options.client_id}-{session or secrets.token_hex(4)}"

    def start(self) -> None:
        """Begin to connect in the background; an unreachable broker is not an error."""
        self._thread.start()

    @property
    def state(self) -> State:
        """State of the connection."""
        return self._connection.state

    @property
    def connected(self) -> bool:
        """True while there is a session with the broker."""
        return self._session is not None

    @property
    def trouble(self) -> str:
        """Why the last attempt or session ended; empty while there is a session."""
        connection = self._connection
        return self._refusal_message(connection) if connection.is_refused else connection.reason

    @property
    def failure(self) -> BrokerError | None:
        """The broker's refusal if no further attempt follows; else None."""
        connection = self._connection
        if connection.state is not State.FAILED:
            return None
        return BrokerError(f"mqtt: {self._refusal_message(connection)}")

    @property
    def protocol(self) -> int | None:
        """Protocol of the session: 5, or 4 for 3.1.1; None without a session."""
        session = self._session
        return None if session is None else session.attempt.protocol

    @property
    def lacks(self) -> tuple[str, ...]:
        """Features that the broker lacks, as text; empty without a session."""
        session = self._session
        return () if session is None else session.lacks()

    def on_connect(self, hook: Hook) -> None:
        """Add a function to call at the start of each session, for example to publish states."""
        self._on_connect.append(hook)

    def on_disconnect(self, hook: Hook) -> None:
        """Add a function to call after each session; unacknowledged messages must be sent again."""
        self._on_disconnect.append(hook)

    def subscribe(self, topic: str, listener: Listener, *, others_only: bool = False) -> None:
        """Subscribe to a topic or filter, in this session and all that follow.

        Different filters that overlap may deliver a message twice: the broker may send it
        once per filter.

        Parameters
        ----------
        topic : str
            A topic or filter.
        listener : callable
            Called with each message.
        others_only : bool
            Receive only messages of other clients (with MQTT 5). A refusal by the broker is
            not reported.
        """
        with self._changed:
            known = topic in self._all_topics()
            self._listeners.append((topic, listener))
            if others_only:
                self._others_only.add(topic)
            if self._session is not None and not known:
                self._session.subscribe(topic, others_only=others_only)

    def publish(self, message: Message, on_acknowledged: Acknowledged | None = None) -> bool:
        """Queue one message for sending; return False while offline or blocked.

        Parameters
        ----------
        message : Message
            With QoS 0 it is never sent again.
        on_acknowledged : callable
            For QoS 1: called in the network thread when the broker has answered. If the
            session ends first it is never called, and the message may or may not have
            arrived: send it again in the next session. If the broker supports only QoS 0, it
            is called when the message has been written.
        """
        session = self._session
        return session is not None and session.publish(message, on_acknowledged)

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait for a session; return False on timeout, or if no attempt follows."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._session is not None or self._connection.is_over, timeout_s
            )
            return self._session is not None

    def wait_subscribed(self, timeout_s: float) -> bool:
        """Wait until the broker has answered all subscriptions; return False on timeout."""
        connected = self.wait_connected(timeout_s)
        session = self._session
        return connected and session is not None and session.wait_subscribed(timeout_s)

    def wait_tried(self, timeout_s: float) -> bool:
        """Wait until the first attempt has succeeded or failed."""
        with self._changed:
            return self._changed.wait_for(lambda: self._connection.tried, timeout_s)

    def flush(self, timeout_s: float) -> bool:
        """Wait until the broker has acknowledged all messages; return False on timeout."""
        session = self._session
        return session is not None and session.flush(timeout_s)

    def close(self) -> None:
        """Disconnect within two seconds, even from an unresponsive broker. May be called twice."""
        self._closing.set()
        session = self._session
        if session is not None:
            self._announce_availability(session, OFFLINE)
            session.flush(DISCONNECT_TIMEOUT_S)
            session.disconnect()
        if not self._thread.is_alive() or threading.current_thread() is self._thread:
            return
        self._thread.join(JOIN_S)
        attempted = self._attempted
        if self._thread.is_alive() and attempted is not None:
            attempted.give_up()
            self._thread.join(JOIN_S)

    # In the network thread

    def _keep_connected(self) -> None:
        while self._begin_attempt():
            end = self._run_session(self._connection.attempt)
            self._go_to_next_state(
                Closing() if self._closing.is_set() else Ended(end, time.monotonic())
            )
            if self._connection.state is not State.CONNECTING:
                self._server += 1
                self._closing.wait(self._pause_s())
        failure = self.failure
        if failure is not None and self._on_failure is not None:
            call_guarded(self._on_failure, failure)

    def _begin_attempt(self) -> bool:
        """Go to the next attempt; return False if none follows."""
        if not self._connection.is_over:
            self._go_to_next_state(Closing() if self._closing.is_set() else Started())
        return not self._connection.is_over

    def _pause_s(self) -> float:
        part = random.random()
        if self._connection.state is State.REFUSED:
            return self.options.refused_retry_s * (0.5 + part / 2)
        if self._connection.is_over:
            return 0.0
        return backoff_s(self._connection.failures, self.options.retry_s, part)

    def _go_to_next_state(self, event: Event) -> None:
        """Go to the next state and log what an operator needs to know."""
        before = self._connection
        with self._changed:
            self._connection = after = transition(before, event, self._policy)
            self._changed.notify_all()
        if after.client_id_number != before.client_id_number:
            self.client_id = self._new_client_id()
        self._log_transition(before, after, event)

    def _run_session(self, attempt: Attempt) -> SessionEnd:
        self._at = self.options.at(self._server)
        careful = self._connection.short_sessions > 1
        self._attempted = session = Session(
            self._at, self.client_id, attempt, self, self._poison, careful=careful
        )
        was_open = was_stable = False
        try:
            end = session.run(self._closing)
        finally:
            was_open, was_stable = self._connection.is_open, self._connection.state is State.STABLE
            self._session = None
            self._attempted = None
            if was_open:
                for hook in self._on_disconnect:
                    call_guarded(hook)
        if was_open and not self._closing.is_set():
            self._hold_poison(end, was_short=not was_stable, was_careful=careful)
        return end

    def _hold_poison(self, end: SessionEnd, *, was_short: bool, was_careful: bool) -> None:
        if not end.hung_up:
            self._poison.session_survived()
            return
        found = self._poison.session_ended(
            was_short=was_short,
            was_careful=was_careful,
            too_large=end.code == PACKET_TOO_LARGE,
        )
        if found is not None:
            topic, hold = found
            self.note_refused(topic, _held_because(topic, hold))

    # From the session, in the network thread

    def session_opened(self, session: Session) -> None:
        """Publish `online`, subscribe, and call the hooks."""
        self._announce_availability(session, ONLINE)
        with self._changed:
            for topic in self._all_topics():
                session.subscribe(topic, others_only=topic in self._others_only)
            self._session = session
            self._go_to_next_state(Accepted())
        self._warn_of_limits(session)
        for hook in self._on_connect:
            call_guarded(hook)

    def session_settled(self) -> None:
        """Note that the session is stable: the outage is over."""
        self._go_to_next_state(Settled())

    def dispatch(self, received: Received) -> None:
        """Pass a message to its listeners."""
        if received.topic == self.options.availability_topic and received.payload != ONLINE:
            self._reassert_online()
        for topic, listener in self._listeners:
            if topic_matches(topic, received.topic):
                call_guarded(listener, received)

    def note_refused(self, topic: str, reason: str) -> None:
        """Log once that the broker refuses a topic."""
        if topic in self._others_only:
            log.debug("mqtt: the broker refuses %s: %s", topic, reason)
            return
        if topic not in self.refused:
            log.warning("mqtt: the broker refuses %s: %s", topic, reason)
        self.refused[topic] = reason

    def note_granted(self, topic: str) -> None:
        """Log once that the broker accepts a topic that it refused before."""
        if self.refused.pop(topic, None) is not None:
            log.info("mqtt: the broker grants %s now", topic)

    def _all_topics(self) -> list[str]:
        own = self.options.availability_topic
        return list(dict.fromkeys(([own] if own else []) + [topic for topic, _ in self._listeners]))

    def _announce_availability(self, session: Session, payload: bytes) -> None:
        topic = self.options.availability_topic
        if topic is not None:
            message = Message(topic, payload, "state", 1, retain=True, content_type="text/plain")
            session.publish(message, None)

    def _reassert_online(self) -> None:
        # The broker may send the last will of an earlier connection late: without this, the
        # device would stay `offline` although it is connected.
        if self._session is not None and not self._closing.is_set():
            log.debug("mqtt: the broker lists this device as offline; publishing online again")
            self._announce_availability(self._session, ONLINE)

    # Logging

    def _warn_of_limits(self, session: Session) -> None:
        for lacks in session.lacks():
            log.warning("mqtt: %s %s", self._at.address, lacks)

    def _log_transition(self, before: Connection, after: Connection, event: Event) -> None:
        where = self._at.address
        match after.state:
            case State.CONNECTED:
                version = "5" if after.attempt.protocol == 5 else "3.1.1"
                # Without availability this is no connection of a device, but doctor's, for example.
                minor = after.short_sessions > 1 or not self.options.availability_topic
                level = logging.DEBUG if minor else logging.INFO
                log.log(level, "mqtt: connected to %s with MQTT %s", where, version)
            case State.STABLE if before.short_sessions > 1:
                log.info(
                    "mqtt: connected to %s for good after %d short sessions",
                    where,
                    before.short_sessions,
                )
            case State.WAITING | State.REFUSED if isinstance(event, Ended):
                self._log_away(before, after, event.end)

    def _log_away(self, before: Connection, after: Connection, end: SessionEnd) -> None:
        """Log an outage once, and again only for a reason that needs the user."""
        known = before.reported
        level = (
            logging.DEBUG
            if known and (end.reason in known or not end.needs_user)
            else logging.WARNING
        )
        was_reached = end.code is not None or end.protocol_suspect
        what = "no session with" if was_reached else "cannot reach"
        what = "lost" if before.is_open else what
        if after.is_refused:
            log.log(level, "mqtt: %s; trying again", self._refusal_message(after))
        else:
            log.log(level, "mqtt: %s %s: %s; trying again", what, self._at.address, end.reason)
        if after.short_sessions == MAX_SHORT_SESSIONS and self.options.fixed_client_id:
            log.warning(
                "mqtt: sessions with the client id %r end at once; does another client use"
                " mqtt.client_id?",
                self.client_id,
            )

    def _refusal_message(self, connection: Connection) -> str:
        """Return the log message for a refused login, with the remedy."""
        options = self.options
        user = f"user {options.username!r}" if options.username else "no user name"
        refused = (
            f"{self._at.address} refuses the login ({user}, client id {self.client_id!r}):"
            f" {connection.reason}"
        )
        set_id = "set mqtt.client_id if it accepts only certain client ids"
        if connection.code == CLIENT_ID_REFUSED:
            return f"{refused}; {set_id}"
        return (
            f"{refused}; check mqtt.username and the password (mqtt.password_file, the systemd"
            f" credential mqtt-password or EDGEPOSE_MQTT_PASSWORD), or {set_id}"
        )


def _held_because(topic: str, hold: Hold) -> str:
    minutes = hold.lasts_s / 60
    return (
        f"the session ends after this message of {hold.size} bytes; it is held back for"
        f" {minutes:.0f} min; raise the broker's limit (max_packet_size) or allow the topic"
        f"{describe_loss(topic)}"
    )
