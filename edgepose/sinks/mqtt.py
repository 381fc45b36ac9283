"""MQTT: one connection that comes back by itself, and nothing queued while it is away.

A connection is a `_Session` with a paho client of its own, which ends with it: what
the broker has not acknowledged by then is told to nobody twice, because its owner
(the spool for events, the outbox for states) sends it again. `MqttSink` makes
sessions, one after the other, in one thread.
"""

import logging
import math
import random
import secrets
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, Self

from paho.mqtt.client import Client, MQTTMessage, topic_matches_sub
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edgepose import addresses
from edgepose.errors import BrokerError, ConfigError
from edgepose.sinks import Received
from edgepose.structures import PAYLOAD_VERSION, Message

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 5.0  # for each address of the broker, then again for its answer
LOOP_S: Final = 1.0  # paho looks after its keepalive once in this time
FAREWELL_S: Final = 1.0  # what a broker that hangs may cost when we stop
LEAVE_S: Final = 0.4  # from "disconnect" to the end of the thread
SETTLED_S: Final = 10.0  # a session that lasted so long was no failed attempt
PATIENCE_S: Final = 300.0  # a broker that knew us may refuse us while its user database starts
ASK_AGAIN_S: Final = (5.0, 300.0)  # a cluster that has lost a node refuses topics for a while
BLOCKED_S: Final = 0.5  # a line on which nothing has moved for so long makes poses late
SEND_BUFFER: Final = 64 * 1024  # what the kernel holds of it would arrive late as well
MAX_UNACKNOWLEDGED: Final = 1000
QUICK: Final = 24  # attempts before the pauses grow: about half a minute
HEADERS: Final = 100  # bytes that a message has besides its topic and payload, and some to spare
WILL_DELAY_S: Final = 3  # who is back by then was never away
SESSION_S: Final = 60  # longer than that, or the will would not wait; keeps commands meanwhile
THROWN_OUT: Final = 3  # short sessions in a row: somebody else may have our name
DOUBTS: Final = 3  # attempts in vain after which a broker that spoke MQTT 5 may not any more

HOPELESS: Final = frozenset({0x85, 0x86, 0x87, 0x8A, 0x8C})
"""Reason codes of MQTT 5 (paho translates those of 3.1.1): the client id, user or
password is wrong, we are not authorised, banned, or of the wrong method."""

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
Hook = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Options:
    """Where the broker is and who we are to it."""

    host: str
    port: int = 1883
    others: tuple[addresses.Address, ...] = ()
    """More servers of the same cluster."""

    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | Path | None = None
    """Certificate of the authority to trust instead of the system's."""

    cert_file: str | Path | None = None
    """Our own certificate, where the broker asks for one; with its `key_file`."""

    key_file: str | Path | None = None
    protocol: Literal[4, 5] = 5
    """5 falls back to 3.1.1 when the broker does not know it; 4 is 3.1.1 at once."""

    client_id: str = "edgepose"
    """Begins our client id; a random part follows, because two clients of one id throw
    each other out for ever."""

    session: str | None = None
    """Follows instead of the random part, so that a session outlives this process."""

    availability_topic: str | None = None
    """Holds ``online`` while we are there: birth message, last will and farewell."""

    keepalive_s: int = 15
    """A silent connection is given up after twice this time."""

    retry_s: tuple[float, float] = (0.5, 30.0)
    """The first and the longest pause between two attempts."""

    @classmethod
    def from_url(cls, url: str, **settings: Any) -> Self:
        """Read ``mqtt[s]://[user[:password]@]host[:port][,host…]``; given settings win over it.

        Raises
        ------
        ConfigError
            When the URL cannot be meant; never repeats its password.
        """
        try:
            found = addresses.broker(url)
        except ValueError:
            found = None
        if found is None or found.port is None or found.embedded:
            _, at, rest = url.rpartition("@")
            shown = f"***@{rest}" if at else url
            msg = f"mqtt.url = {shown!r}: expected mqtt://HOST:PORT, or mqtts://HOST:PORT for TLS"
            raise ConfigError(msg)
        given = {key: value for key, value in settings.items() if value not in {None, ""}}
        login = {"username": found.username or None, "password": found.password or None}
        place: dict[str, Any] = {"host": found.host, "port": found.port, "tls": found.tls}
        return cls(**(place | {"others": found.others} | login | given))

    def at(self, turn: int) -> Self:
        """Return the same for one server alone: each in its turn."""
        servers = (addresses.Address(self.host, self.port), *self.others)
        host, port = servers[turn % len(servers)]
        return replace(self, host=host, port=port, others=())

    @property
    def address(self) -> str:
        """Host and port, fit to be logged."""
        return str(addresses.Address(self.host, self.port))


def backoff_s(failures: int, limits_s: tuple[float, float], part: float) -> float:
    """Return the pause after so many failed attempts in a row.

    It doubles twice, stays so for the time in which a broker restarts, and then doubles
    up to the limit; `part`, from 0 to 1, picks a moment in its second half, so that the
    devices of a house do not all come back at once.
    """
    first_s, longest_s = limits_s
    doublings = min(failures - 1, 2) + max(0, failures - QUICK)
    return min(longest_s, first_s * 2.0 ** min(doublings, 32)) * (0.5 + part / 2)


def tls_context(options: Options) -> ssl.SSLContext:
    """Read the certificates.

    Raises
    ------
    ConfigError
        When one of the files is missing or is no certificate or key.
    """
    for key in ("ca_file", "cert_file", "key_file"):
        path = getattr(options, key)
        if path is not None and not Path(path).is_file():
            msg = f"mqtt.{key} = {str(path)!r}: no such file"
            raise ConfigError(msg)
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except ssl.SSLError as error:
        msg = f"mqtt.ca_file = {str(options.ca_file)!r}: no certificate ({error.reason})"
        raise ConfigError(msg) from None
    if options.cert_file is None:
        return context
    try:
        context.load_cert_chain(options.cert_file, options.key_file)
    except ssl.SSLError as error:
        msg = f"mqtt.cert_file = {str(options.cert_file)!r}: no certificate with its key"
        raise ConfigError(f"{msg} ({error.reason}); set mqtt.key_file") from None
    return context


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
