"""One session with the broker, from connecting to the end of the connection."""

import logging
import math
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from edgepose.mqtt.connection import (
    STABLE_SESSION_S,
    UNSUPPORTED_PROTOCOL,
    Attempt,
    SessionEnd,
)
from edgepose.mqtt.options import BrokerOptions
from edgepose.mqtt.paho_client import (
    CONNECT_TIMEOUT_S,
    BrokerLimits,
    BrokerReason,
    ClientCallbacks,
    PahoClient,
)
from edgepose.mqtt.poison_messages import PoisonMessages
from edgepose.mqtt.reason_codes import (
    ACCESS_LIST,
    CONNECT_REMEDIES,
    DISCONNECT_REMEDIES,
    SUBSCRIBE_REMEDIES,
    with_remedy,
)
from edgepose.types import Message, Received

log = logging.getLogger(__name__)

LOOP_S: Final = 1.0  # interval at which paho checks the keepalive
ASK_AGAIN_S: Final = (5.0, 300.0)  # first and longest; a cluster may refuse topics temporarily
BLOCKED_S: Final = 0.5  # the network is blocked if nothing could be written for this time
HEADERS: Final = 100  # bytes of a message besides topic and payload, rounded up
UNSPECIFIED: Final = 0x80  # paho's code for a connection that ended without a reason code
PACKET_TOO_LARGE: Final = 0x95
MESSAGE_FAULTS: Final = frozenset(
    {UNSPECIFIED, 0x81, 0x82, 0x83, 0x87, 0x90, 0x94, PACKET_TOO_LARGE, 0x99}
)
"""Reason codes of a session's end that a message may have caused. Other codes have other causes,
such as a broker that stops (0x8B) or another client with the same client id (0x8E)."""

CERTIFICATE_REMEDIES: Final = {
    10: "renew it on the broker, or correct the clock here",  # expired
    9: "correct the clock here, or use a certificate that is valid now",  # not yet valid
    62: "write the name in its subjectAltName into mqtt.url; if it has none, create a new"
    " certificate",
    64: "write the address in its subjectAltName into mqtt.url; if it has none, create a new"
    " certificate",
}
"""Remedies by OpenSSL error code."""

MALFORMED_CERTIFICATE: Final = frozenset({24, 25, 26, 32, 66, 67, 68, 79, *range(80, 95)})
"""OpenSSL error codes for certificates that lack an extension or are weak."""

TLS_REMEDIES: Final = {
    "WRONG_VERSION_NUMBER": "write the port for TLS, mostly 8883, or mqtt:// into mqtt.url",
    "UNEXPECTED_EOF_WHILE_READING": "write the port for TLS, mostly 8883, or mqtt:// into mqtt.url",
}
"""Remedies by OpenSSL's reason."""

OTHER_TLS: Final = "let it offer TLS 1.2 or newer with a current cipher"

UNKNOWN_AUTHORITY: Final = "set mqtt.ca_file to the certificate of its authority"
OTHER_AUTHORITY: Final = (
    "mqtt.ca_file is not the certificate of the authority that signed it; copy that one there"
)
NEW_CERTIFICATES: Final = (
    "make the authority's certificate and the broker's anew, with keyUsage and key identifiers"
    " (deploy/mosquitto/README.md has the commands)"
)

Acknowledged = Callable[[bool], None]
"""Called with True if the broker has the message, with False if it refuses the topic."""

Listener = Callable[[Received], None]


class SessionOwner(Protocol):
    """Receives the reports of a session, in the session's thread."""

    def session_opened(self, session: "Session") -> None:
        """Note that the broker has accepted the connection."""

    def session_settled(self) -> None:
        """Note that the session has lasted `STABLE_SESSION_S`."""

    def dispatch(self, received: Received) -> None:
        """Pass a message to its listeners."""

    def note_refused(self, topic: str, reason: str) -> None:
        """Note that the broker refuses a topic."""

    def note_granted(self, topic: str) -> None:
        """Note that the broker accepts a topic."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message that the broker has not acknowledged."""

    topic: str
    acknowledged: Acknowledged | None
    serial: int


@dataclass(frozen=True, slots=True)
class _Queued:
    """A message that waits for the acknowledgement of another one."""

    message: Message
    size: int
    acknowledged: Acknowledged | None


def connect_error(error: Exception, options: BrokerOptions) -> SessionEnd:
    """Return why the connection failed, and the remedy if it is known."""
    if isinstance(error, ssl.SSLCertVerificationError):
        what = f"its certificate is not trusted ({error.verify_message})"
        return SessionEnd(f"{what}; {_certificate_remedy(error, options)}", needs_user=True)
    if isinstance(error, ssl.SSLError):
        remedy = TLS_REMEDIES.get(error.reason or "", OTHER_TLS)
        reason = f"the TLS handshake failed ({error.reason or error}); {remedy}"
        return SessionEnd(reason, needs_user=True)
    if options.tls and isinstance(error, ConnectionResetError):
        reason = f"it hung up while TLS began; {TLS_REMEDIES['WRONG_VERSION_NUMBER']}"
        return SessionEnd(reason, needs_user=True)
    if isinstance(error, socket.gaierror):
        return SessionEnd("the host name is unknown")
    if isinstance(error, TimeoutError):
        return SessionEnd(f"no answer within {CONNECT_TIMEOUT_S:g} s")
    return SessionEnd(getattr(error, "strerror", None) or str(error))


def _certificate_remedy(error: ssl.SSLCertVerificationError, options: BrokerOptions) -> str:
    if error.verify_code in MALFORMED_CERTIFICATE:
        return NEW_CERTIFICATES
    unknown = UNKNOWN_AUTHORITY if options.ca_file is None else OTHER_AUTHORITY
    return CERTIFICATE_REMEDIES.get(error.verify_code, unknown)


class Session:
    """One connection, run by one thread. `publish`, `subscribe` and `flush` are thread-safe.

    Parameters
    ----------
    options : BrokerOptions
        With one server.
    client_id : str
        Identifies this client at the broker.
    attempt : Attempt
        Features to request from the broker.
    owner : SessionOwner
        Receives the session's reports.
    poison : PoisonMessages
        Knows the messages that end sessions.
    careful : bool
        Until the session is stable, send each message only after the broker has acknowledged
        the previous one. This identifies a message that ends sessions.
    """

    def __init__(
        self,
        options: BrokerOptions,
        client_id: str,
        attempt: Attempt,
        owner: SessionOwner,
        poison: PoisonMessages,
        *,
        careful: bool = False,
    ) -> None:
        self.attempt = attempt
        self._options = options
        self._owner = owner
        self._poison = poison
        self._careful = careful
        self._inbox: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._unacknowledged: dict[int, _Sent] = {}
        self._queued: deque[_Queued] = deque()
        self._subscribing: dict[int, str] = {}
        self._others_only: set[str] = set()
        self._denied: set[str] = set()
        self._ask_again_s, self._patience_s = math.inf, ASK_AGAIN_S[0]
        self._flowing_s = 0.0
        self._accepted_s: float | None = None
        self._settled = False
        self._end: SessionEnd | None = None
        self._given_up = threading.Event()
        self._aliases: dict[str, int] = {}
        self.limits = BrokerLimits()
        self._client = PahoClient(options, client_id, attempt, self._queueing_callbacks())

    def _queueing_callbacks(self) -> ClientCallbacks:
        """Return callbacks that only queue paho's reports: it holds its locks during the calls."""

        def queued(do: Callable[..., None]) -> Callable[..., None]:
            return lambda *args: self._inbox.append(lambda: do(*args))

        return ClientCallbacks(
            answered=queued(self._on_answer),
            disconnected=queued(self._on_disconnect),
            acknowledged=queued(self._on_acknowledged),
            subscribed=queued(self._on_subscribed),
            received=queued(self._owner.dispatch),
        )

    @property
    def qos(self) -> int:
        """The highest quality of service that the broker accepts."""
        return min(self.attempt.qos, self.limits.qos)

    def lacks(self) -> tuple[str, ...]:
        """Return the features that the broker lacks, as text."""
        found = []
        if self.qos < 1:
            found.append("accepts QoS 0 only (mosquitto: max_qos); events may be lost")
        if not (self.attempt.retain and self.limits.retain):
            found.append(
                "retains no messages (mosquitto: retain_available); clients that connect later"
                " do not get the states"
            )
        return tuple(found)

    # In the session's own thread

    def run(self, closing: threading.Event) -> SessionEnd:
        """Run the connection until it ends, and return why; never raises for the network."""
        try:
            self._client.connect()
        except (OSError, ValueError) as error:
            self._close_socket()
            return connect_error(error, self._options)
        deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
        try:
            while self._end is None:
                self._run_turn()
                if self._accepted_s is None and self._end is None:
                    self._wait_for_answer(deadline_s, closing)
        finally:
            self._close_socket()
        return self._end

    def _run_turn(self) -> None:
        is_alive = self._run_loop(LOOP_S if self._accepted_s is not None else LOOP_S / 10)
        if not self._client.wants_to_write():
            self._flowing_s = time.monotonic()
        while self._inbox:
            self._inbox.popleft()()
        self._do_due()
        if self._end is None and (not is_alive or self._given_up.is_set()):
            self._finish_session(
                SessionEnd("the connection broke", protocol_suspect=self._accepted_s is None)
            )

    def _run_loop(self, timeout_s: float) -> bool:
        try:
            return self._client.loop(timeout_s)
        except Exception:  # an error in paho ends the session, not the thread
            if not self._given_up.is_set():
                log.exception("mqtt: the client library failed; reconnecting")
            return False

    def _do_due(self) -> None:
        now_s = time.monotonic()
        if now_s > self._ask_again_s:
            self._subscribe_again()
        if self._settled or self._accepted_s is None or self._end is not None:
            return
        if now_s - self._accepted_s >= STABLE_SESSION_S:
            self._settle_session()

    def _settle_session(self) -> None:
        with self._changed:
            self._settled, self._careful = True, False
            self._publish_queued()
        self._owner.session_settled()

    def _wait_for_answer(self, deadline_s: float, closing: threading.Event) -> None:
        if closing.is_set():
            self._finish_session(SessionEnd("stopped"))
        elif time.monotonic() > deadline_s:
            reason = f"it accepted the connection but did not answer within {CONNECT_TIMEOUT_S:g} s"
            self._finish_session(SessionEnd(reason, protocol_suspect=True))

    def _finish_session(self, end: SessionEnd) -> None:
        with self._changed:
            self._end = end
            self._changed.notify_all()

    def _on_answer(self, reason: BrokerReason, limits: BrokerLimits) -> None:
        if reason.is_failure:
            self._finish_session(_refused_end(reason))
            return
        self._accepted_s = self._flowing_s = time.monotonic()
        self.limits = limits
        self._owner.session_opened(self)

    def _on_disconnect(self, reason: BrokerReason) -> None:
        if self._end is not None:
            return
        if self._accepted_s is None:
            hint = f"it closed the connection without an answer; if it {self._disconnect_hint()}"
            self._finish_session(
                SessionEnd(hint, needs_user=True, protocol_suspect=True, hung_up=True)
            )
            return
        text = "the connection broke"
        if reason.code != UNSPECIFIED:
            text = with_remedy(reason.text, DISCONNECT_REMEDIES, reason.code)
        needs_user = reason.code in DISCONNECT_REMEDIES
        hung_up = reason.code in MESSAGE_FAULTS
        self._finish_session(SessionEnd(text, reason.code, needs_user, hung_up=hung_up))

    def _disconnect_hint(self) -> str:
        """Return a likely reason for a disconnect without a reason code, with the remedy."""
        if not self._options.tls:
            return "expects TLS there, use mqtts:// in mqtt.url"
        if self._options.cert_file is None:
            return "requires a client certificate, set mqtt.cert_file"
        return "does not trust the client certificate, have mqtt.cert_file signed by its authority"

    def _on_acknowledged(self, number: int, reason: BrokerReason) -> None:
        with self._changed:
            sent = self._unacknowledged.pop(number, None)
            if sent is not None:
                self._poison.acknowledged(sent.serial)
            self._publish_queued()
            self._changed.notify_all()
        if sent is None:
            return
        if reason.is_failure:
            why = with_remedy(reason.text, DISCONNECT_REMEDIES, reason.code, ACCESS_LIST)
            self._owner.note_refused(sent.topic, why)
        elif sent.topic not in self._denied:  # publishing may work where subscribing is denied
            self._owner.note_granted(sent.topic)
        if sent.acknowledged is not None:
            call_guarded(sent.acknowledged, not reason.is_failure)

    def _on_subscribed(self, number: int, reasons: list[BrokerReason]) -> None:
        with self._changed:
            topic = self._subscribing.pop(number, "")
            self._changed.notify_all()
        for reason in reasons:
            if reason.is_failure:
                why = with_remedy(reason.text, SUBSCRIBE_REMEDIES, reason.code, ACCESS_LIST)
                self._owner.note_refused(topic, why)
                self._denied.add(topic)
                self._ask_again_s = time.monotonic() + self._patience_s
            else:
                self._denied.discard(topic)
                self._owner.note_granted(topic)

    def _subscribe_again(self) -> None:
        """Retry refused subscriptions, with growing pauses: most refusals are intended."""
        self._ask_again_s = math.inf
        self._patience_s = min(2 * self._patience_s, ASK_AGAIN_S[1])
        for topic in self._denied:
            self.subscribe(topic, others_only=topic in self._others_only)

    def _close_socket(self) -> None:
        self._client.close()
        self._inbox.clear()

    # From any thread

    def publish(self, message: Message, acknowledged: Acknowledged | None) -> bool:
        """Queue a message for the network thread; return False while the network is blocked."""
        if self._end is not None or (message.qos == 0 and self._is_blocked()):
            return False
        size = len(message.topic) + len(message.payload) + HEADERS
        if self._is_held(message, size):
            if acknowledged is not None:
                acknowledged(False)
            return True
        # Locked until the number is stored: the acknowledgement may arrive before that.
        with self._changed:
            if self._careful and (self._unacknowledged or self._queued):
                return self._queue_message(message, size, acknowledged)
            return self._publish_message(message, size, acknowledged)

    def _queue_message(
        self, message: Message, size: int, acknowledged: Acknowledged | None
    ) -> bool:
        if message.qos == 0:
            return False
        self._queued.append(_Queued(message, size, acknowledged))
        return True

    def _publish_queued(self) -> None:
        while self._queued and not (self._careful and self._unacknowledged):
            queued = self._queued.popleft()
            self._publish_message(queued.message, queued.size, queued.acknowledged)

    def _publish_message(
        self, message: Message, size: int, acknowledged: Acknowledged | None
    ) -> bool:
        topic, alias = self._apply_alias(message)
        qos = min(message.qos, self.qos)
        number = self._client.publish(message, topic, qos, alias)
        if number is None:
            return False
        serial = self._poison.sent(message.topic, size, is_acknowledged=qos > 0)
        if message.qos > 0:
            self._unacknowledged[number] = _Sent(message.topic, acknowledged, serial)
        if alias is not None:
            self._aliases[message.topic] = alias
        return True

    def _is_held(self, message: Message, size: int) -> bool:
        """Return whether a message must not be sent; reports one that is too large."""
        most = self.limits.packet_bytes
        if most is not None and size > most:
            reason = f"{size} bytes are more than it takes ({most}); raise its limit"
            self._owner.note_refused(message.topic, reason)
            return True
        return self._poison.is_held(message.topic, size)

    def _apply_alias(self, message: Message) -> tuple[str, int | None]:
        """Return the topic, or "" if the broker knows its alias, and the topic alias."""
        if message.kind != "poses" or message.qos > 0:
            return message.topic, None
        alias = self._aliases.get(message.topic)
        if alias is not None:
            return "", alias
        unused = len(self._aliases) + 1
        return message.topic, unused if unused <= self.limits.topic_aliases else None

    def _is_blocked(self) -> bool:
        now_s = time.monotonic()
        if not self._client.wants_to_write():
            self._flowing_s = now_s
        return now_s - self._flowing_s > BLOCKED_S

    def subscribe(self, topic: str, *, others_only: bool = False) -> None:
        """Subscribe to a topic or filter.

        With 3.1.1 QoS 0 is used: the session ends with its connection, so QoS 1 would add
        nothing to TCP, but is expensive for some brokers (NATS: a replicated consumer each).
        """
        if others_only:
            self._others_only.add(topic)
        qos = min(1, self.qos) if self.attempt.protocol == 5 else 0
        with self._changed:
            number = self._client.subscribe(topic, qos, others_only=others_only)
            if number is not None:
                self._subscribing[number] = topic

    def wait_subscribed(self, timeout_s: float) -> bool:
        """Wait until the broker has granted or refused all subscriptions."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._end is not None or not self._subscribing, timeout_s
            )
            return not self._subscribing

    def flush(self, timeout_s: float) -> bool:
        """Wait until the broker has acknowledged all messages or the session has ended."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._end is not None or not self._is_sending(), timeout_s
            )
            return not self._is_sending()

    def _is_sending(self) -> bool:
        return bool(self._unacknowledged or self._queued)

    def disconnect(self) -> None:
        """Send a disconnect packet: the broker drops the last will and the session."""
        self._client.disconnect()

    def give_up(self) -> None:
        """End the session at once, without waiting for the broker. Thread-safe."""
        self._given_up.set()
        try:
            self._client.shut_down()
        except OSError:
            log.debug("mqtt: the socket was already closed")


def _refused_end(reason: BrokerReason) -> SessionEnd:
    """Return the `SessionEnd` of an attempt that the broker refused."""
    suspect = reason.code == UNSUPPORTED_PROTOCOL
    text = with_remedy(reason.text, CONNECT_REMEDIES, reason.code)
    return SessionEnd(text, reason.code, needs_user=True, protocol_suspect=suspect)


def call_guarded(hook: Callable[..., None], *args: Any) -> None:
    """Call a hook and log its errors: they must not end the network thread."""
    try:
        hook(*args)
    except Exception:
        log.exception("mqtt: a callback failed and is skipped")
