"""One session with the broker, on paho."""

import logging
import math
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edgepose.mqtt.options import Options
from edgepose.types import PAYLOAD_VERSION, Message, Received

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 5.0  # for each address of the broker, then again for its answer
LOOP_S: Final = 1.0  # paho looks after its keepalive once in this time
ASK_AGAIN_S: Final = (5.0, 300.0)  # a cluster that has lost a node refuses topics for a while
BLOCKED_S: Final = 0.5  # a line on which nothing has moved for so long makes poses late
SEND_BUFFER: Final = 64 * 1024  # what the kernel holds of it would arrive late as well
MAX_UNACKNOWLEDGED: Final = 1000
HEADERS: Final = 100  # bytes that a message has besides its topic and payload, and some to spare
WILL_DELAY_S: Final = 3  # who is back by then was never away
SESSION_S: Final = 60  # longer than that, or the will would not wait; keeps commands meanwhile

UNSUPPORTED_PROTOCOL: Final = 0x84

CERTIFICATE_MENDS: Final = {
    10: "its owner has to renew it, or the clock here is wrong",  # expired
    9: "the clock here is wrong, or it is for later",  # not yet valid
    62: "write the name that it is for into mqtt.url",
    64: "write the name that it is for into mqtt.url",
}
"""What to do, by OpenSSL's codes."""

UNKNOWN_AUTHORITY: Final = "set mqtt.ca_file to the certificate of its authority"

ONLINE: Final = b"online"
OFFLINE: Final = b"offline"

Acknowledged = Callable[[bool], None]
"""True: the broker has it. False: it refuses this topic, and will again."""

Listener = Callable[[Received], None]


class _Packed(Properties):
    """Properties that are packed once: paho takes longer for it than for all the rest."""

    def __init__(self, properties: Properties) -> None:
        object.__setattr__(self, "_bytes", properties.pack())  # type: ignore[no-untyped-call]

    def pack(self) -> bytes:
        """Return them as they are sent."""
        packed: bytes = object.__getattribute__(self, "_bytes")
        return packed


@lru_cache(maxsize=64)
def _properties(
    content_type: str, expiry_s: int | None, correlation: bytes | None, alias: int | None
) -> Properties:
    """Say of a payload what MQTT 5 can say; few differ, so they are kept."""
    properties = _described(PacketTypes.PUBLISH, content_type)
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    if correlation is not None:
        properties.CorrelationData = correlation
    if alias is not None:
        properties.TopicAlias = alias
    return _Packed(properties)


def _described(packet: int, content_type: str) -> Properties:
    """Say what a payload is, and of which version."""
    properties = _blank(packet)
    properties.ContentType = content_type
    if content_type.startswith("text/") or content_type == "application/json":
        properties.PayloadFormatIndicator = 1
    properties.UserProperty = ("v", str(PAYLOAD_VERSION))
    return properties


def _blank(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho's own has no types


def _will() -> Properties:
    """Let the last will wait a little: a line that breaks and comes back is no end."""
    properties = _described(PacketTypes.WILLMESSAGE, "text/plain")
    properties.WillDelayInterval = WILL_DELAY_S
    return properties


def _lasting(packet: int, session_s: int) -> Properties:
    """Say how long the broker shall know the session after its connection has ended."""
    properties = _blank(packet)
    properties.SessionExpiryInterval = session_s
    return properties


@dataclass(frozen=True, slots=True)
class _End:
    """How a session ended."""

    reason: str
    code: int | None = None
    """The broker's own, where it gave one."""

    lasted_s: float = 0.0
    """Since the broker accepted us; 0 when it did not."""

    mend: bool = False
    """Waiting will not help; somebody has to change something."""

    unspoken: bool = False
    """It refused the version, hung up or stayed mute: maybe it knows 3.1.1 only. (amqtt is
    mute when the request of a version it does not know holds a last will.)"""

    @classmethod
    def unreached(cls, error: Exception) -> Self:
        """Say why no connection came about, and what to do where that is known."""
        if isinstance(error, ssl.SSLCertVerificationError):
            what = f"its certificate is not trusted ({error.verify_message})"
            todo = CERTIFICATE_MENDS.get(error.verify_code, UNKNOWN_AUTHORITY)
            return cls(f"{what}; {todo}", mend=True)
        if isinstance(error, ssl.SSLError):
            return cls(f"it does not speak TLS as we do ({error.reason or error})", mend=True)
        if isinstance(error, socket.gaierror):
            return cls("no such host is known")
        if isinstance(error, TimeoutError):
            return cls(f"no answer within {CONNECT_TIMEOUT_S:g} s")
        return cls(getattr(error, "strerror", None) or str(error))


class _Session:
    """One connection from its beginning to its end, in one thread; `publish` from any."""

    def __init__(
        self,
        options: Options,
        context: ssl.SSLContext | None,
        client_id: str,
        protocol: MQTTProtocolVersion,
        *,
        opened: Callable[["_Session"], None],
        received: Listener,
        refused: Callable[[str, str], None],
        granted: Callable[[str], None],
    ) -> None:
        self._options = options
        self._opened, self._received = opened, received
        self._refused, self._granted = refused, granted
        self._inbox: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._unacknowledged: dict[int, tuple[str, Acknowledged | None]] = {}
        self._asked: dict[int, str] = {}
        self._denied: set[str] = set()
        self._ask_again_s, self._patience_s = math.inf, ASK_AGAIN_S[0]
        self._flowing_s = 0.0
        self._accepted_s: float | None = None
        self._end: _End | None = None
        self._given_up = threading.Event()
        self._aliases: dict[str, int] = {}
        self._most_aliases = 0
        self._most_bytes = math.inf
        self.protocol = protocol
        self._client = self._make_client(context, client_id)

    def _make_client(self, context: ssl.SSLContext | None, client_id: str) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=self.protocol,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_queued_messages_set(MAX_UNACKNOWLEDGED)
        if context is not None:
            client.tls_set_context(context)
        if self._options.username is not None:
            client.username_pw_set(self._options.username, self._options.password)
        if self._options.availability_topic is not None:
            will = _will() if self._modern else None
            client.will_set(self._options.availability_topic, OFFLINE, 1, True, will)
        # paho calls these with its locks held; they only leave a note for `run`.
        client.on_connect = lambda _c, _u, _f, reason, p: self._note(self._answer, reason, p)
        client.on_disconnect = lambda _c, _u, _f, reason, _p: self._note(self._hang_up, reason)
        client.on_publish = lambda _c, _u, mid, reason, _p: self._note(self._settle, mid, reason)
        client.on_subscribe = lambda _c, _u, mid, reasons, _p: self._note(
            self._note_granted, mid, reasons
        )
        client.on_message = lambda _c, _u, message: self._note(self._receive, message)
        client.on_socket_open = lambda _c, _u, sock: _tune(sock, self._options.keepalive_s)
        # With this set `publish` leaves the writing to `run`: paho's own way, when its
        # thread is not used, lets two threads write into one packet.
        client.on_socket_register_write = lambda *_: None
        return client

    def _note(self, do: Callable[..., None], *args: Any) -> None:
        self._inbox.append(lambda: do(*args))

    @property
    def _modern(self) -> bool:
        return self.protocol == MQTTProtocolVersion.MQTTv5

    # In the session's own thread

    def run(self, closing: threading.Event) -> _End:
        """Connect and stay connected until something ends it; never raises for the network."""
        try:
            self._connect()
        except (OSError, ValueError) as error:
            self._hard_close()
            return _End.unreached(error)
        deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
        try:
            while self._end is None:
                self._turn()
                if self._accepted_s is None and self._end is None:
                    self._wait_for_answer(deadline_s, closing)
        finally:
            self._hard_close()
        return self._end

    def _connect(self) -> None:
        options = self._options
        if not self._modern:
            self._client.connect(options.host, options.port, options.keepalive_s)
            return
        # A clean start would end our last session, and with it carry out its will.
        lasting = _lasting(PacketTypes.CONNECT, SESSION_S)
        self._client.connect(
            options.host, options.port, options.keepalive_s, clean_start=False, properties=lasting
        )

    def _turn(self) -> None:
        code = self._loop(LOOP_S if self._accepted_s is not None else LOOP_S / 10)
        if not self._client.want_write():
            self._flowing_s = time.monotonic()
        while self._inbox:
            self._inbox.popleft()()
        if time.monotonic() > self._ask_again_s:
            self._ask_again()
        if self._end is None and (
            code != MQTTErrorCode.MQTT_ERR_SUCCESS or self._given_up.is_set()
        ):
            self._finish("the connection broke", unspoken=self._accepted_s is None)

    def _loop(self, timeout_s: float) -> MQTTErrorCode:
        try:
            return self._client.loop(timeout_s)
        except Exception:  # a fault in paho costs a session, not the thread
            if not self._given_up.is_set():
                log.exception("mqtt: the client library failed; connecting anew")
            return MQTTErrorCode.MQTT_ERR_UNKNOWN

    def _wait_for_answer(self, deadline_s: float, closing: threading.Event) -> None:
        if closing.is_set():
            self._finish("stopped")
        elif time.monotonic() > deadline_s:
            reason = f"it took the connection but gave no answer within {CONNECT_TIMEOUT_S:g} s"
            self._finish(reason, unspoken=True)

    def _finish(
        self, reason: str, code: int | None = None, *, mend: bool = False, unspoken: bool = False
    ) -> None:
        lasted_s = 0.0 if self._accepted_s is None else time.monotonic() - self._accepted_s
        with self._changed:
            self._end = _End(reason, code, lasted_s, mend, unspoken)
            self._changed.notify_all()

    def _answer(self, reason: ReasonCode, properties: Properties | None) -> None:
        if reason.is_failure:
            unspoken = reason.value == UNSUPPORTED_PROTOCOL
            self._finish(str(reason).lower(), reason.value, mend=True, unspoken=unspoken)
            return
        self._accepted_s = self._flowing_s = time.monotonic()
        self._most_aliases = getattr(properties, "TopicAliasMaximum", 0)
        self._most_bytes = getattr(properties, "MaximumPacketSize", math.inf)
        self._opened(self)

    def _hang_up(self, reason: ReasonCode) -> None:
        if self._end is not None:
            return
        if self._accepted_s is None:
            hint = f"it hung up without an answer; if it {self._suspicion()}"
            self._finish(hint, mend=True, unspoken=True)
            return
        unsaid = str(reason) == "Unspecified error"
        self._finish("the connection broke" if unsaid else str(reason).lower(), reason.value)

    def _suspicion(self) -> str:
        """Say what a broker may want that hangs up, and what to do then."""
        if not self._options.tls:
            return "speaks TLS there, write mqtts:// into mqtt.url"
        if self._options.cert_file is None:
            return "wants a client certificate, set mqtt.cert_file"
        return "does not trust our certificate, have mqtt.cert_file signed by its authority"

    def _settle(self, mid: int, reason: ReasonCode) -> None:
        with self._changed:
            topic, acknowledged = self._unacknowledged.pop(mid, ("", None))
            self._changed.notify_all()
        if topic and not reason.is_failure:
            self._granted(topic)
        elif topic:
            self._refused(topic, f"{str(reason).lower()}; check its access list")
        if acknowledged is not None:
            _guarded(acknowledged, not reason.is_failure)

    def _note_granted(self, mid: int, reasons: list[ReasonCode]) -> None:
        with self._changed:
            topic = self._asked.pop(mid, "")
            self._changed.notify_all()
        for reason in reasons:
            if reason.is_failure:
                self._refused(topic, f"{str(reason).lower()}; check its access list")
                self._denied.add(topic)
                self._ask_again_s = time.monotonic() + self._patience_s
            else:
                self._denied.discard(topic)
                self._granted(topic)

    def _ask_again(self) -> None:
        """Ask for topics that were refused; each time later, for most refusals are meant."""
        self._ask_again_s = math.inf
        self._patience_s = min(2 * self._patience_s, ASK_AGAIN_S[1])
        for topic in self._denied:
            self.subscribe(topic)

    def _receive(self, message: MQTTMessage) -> None:
        properties = message.properties
        self._received(
            Received(
                message.topic,
                bytes(message.payload),
                retained=bool(message.retain),
                response_topic=getattr(properties, "ResponseTopic", None),
                correlation=getattr(properties, "CorrelationData", None),
            )
        )

    def _hard_close(self) -> None:
        sock = self._client.socket()
        if sock is not None:
            sock.close()
        self._let_go_of_client()

    def _let_go_of_client(self) -> None:
        """Break the circle of client and session: until it is found, two sockets stay open."""
        client = self._client
        client.on_connect = client.on_disconnect = client.on_publish = None
        client.on_subscribe = client.on_message = None
        client.on_socket_open = client.on_socket_register_write = None
        self._inbox.clear()

    # From any thread

    def publish(self, message: Message, acknowledged: Acknowledged | None) -> bool:
        """Hand a message to the network thread; False when that would make it late."""
        if self._end is not None or (message.qos == 0 and self._is_blocked()):
            return False
        if self._is_too_big(message):
            if acknowledged is not None:
                acknowledged(False)
            return True
        # Held until the id is noted: the acknowledgement may come before we are back here.
        with self._changed:
            topic, alias = self._aliased(message)
            info = self._client.publish(
                topic, message.payload, message.qos, message.retain, self._about(message, alias)
            )
            taken = info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS
            if taken and message.qos > 0:
                self._unacknowledged[info.mid] = (message.topic, acknowledged)
            if taken and alias is not None:
                self._aliases[message.topic] = alias
        return taken

    def _is_too_big(self, message: Message) -> bool:
        """Keep back what the broker would end the session for, and report it."""
        size = len(message.topic) + len(message.payload) + HEADERS
        if size <= self._most_bytes:
            return False
        reason = f"{size} bytes are more than it takes ({self._most_bytes}); raise its limit"
        self._refused(message.topic, reason)
        return True

    def _aliased(self, message: Message) -> tuple[str, int | None]:
        """Return the topic, empty once the broker knows its number, and the number."""
        if message.kind != "poses" or message.qos > 0:
            return message.topic, None
        alias = self._aliases.get(message.topic)
        if alias is not None:
            return "", alias
        unused = len(self._aliases) + 1
        return message.topic, unused if unused <= self._most_aliases else None

    def _about(self, message: Message, alias: int | None) -> Properties | None:
        if not self._modern:
            return None
        return _properties(message.content_type, message.expiry_s, message.correlation, alias)

    def _is_blocked(self) -> bool:
        now_s = time.monotonic()
        if not self._client.want_write():
            self._flowing_s = now_s
        return now_s - self._flowing_s > BLOCKED_S

    def subscribe(self, topic: str) -> None:
        """Ask for what is published there.

        With 3.1.1 the session ends with its connection: QoS 1 would promise nothing that
        TCP does not, and cost some brokers a lot (NATS: a replicated consumer each).
        """
        qos = 1 if self._modern else 0
        with self._changed:
            _, mid = self._client.subscribe(topic, qos=qos)
            if mid is not None:
                self._asked[mid] = topic

    def wait_answered(self, timeout_s: float) -> bool:
        """Wait until the broker has granted or refused all that was asked for."""
        with self._changed:
            self._changed.wait_for(lambda: self._end is not None or not self._asked, timeout_s)
            return not self._asked

    def flush(self, timeout_s: float) -> bool:
        """Wait until the broker has acknowledged everything, or the session is over."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._end is not None or not self._unacknowledged, timeout_s
            )
            return not self._unacknowledged

    def disconnect(self) -> None:
        """Say goodbye, so that the last will is not carried out and the session is forgotten."""
        self._client.disconnect(
            properties=_lasting(PacketTypes.DISCONNECT, 0) if self._modern else None
        )

    def give_up(self) -> None:
        """End it now, whatever the broker does."""
        self._given_up.set()
        sock = self._client.socket()
        if sock is None:
            return
        try:
            sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]
        except OSError:
            log.debug("mqtt: the socket was gone already")


def _tune(sock: Any, keepalive_s: int) -> None:
    """Send at once, keep little in the kernel, notice early that nothing arrives."""
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        timeout_ms = 2000 * keepalive_s
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)


def _guarded(hook: Callable[..., None], *args: Any) -> None:
    """Call what others gave us; their mistake must not end the network thread."""
    try:
        hook(*args)
    except Exception:
        log.exception("mqtt: a listener failed; going on without it this time")
