"""Wraps the MQTT client library; the only file that imports paho.

A `PahoClient` is one connection. Paho holds its locks while it calls the callbacks, so a session
only queues them.
"""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

from paho.mqtt.client import Client, MQTTMessage, topic_matches_sub
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edgepose.mqtt.connection import Attempt
from edgepose.mqtt.options import BrokerOptions
from edgepose.types import PAYLOAD_VERSION, Message, Received

CONNECT_TIMEOUT_S: Final = 5.0  # per address of the broker, and again for its answer
SEND_BUFFER: Final = 64 * 1024  # bytes in the kernel's queue arrive late on a slow network
MAX_UNACKNOWLEDGED: Final = 1000
MAX_IN_FLIGHT: Final = 20  # paho's default
WILL_DELAY_S: Final = 3  # a reconnection within this time cancels the last will
SESSION_S: Final = 60  # longer than the delay of the will; the broker queues commands meanwhile

OFFLINE: Final = b"offline"

topic_matches = topic_matches_sub
"""Return whether a filter, the first argument, matches a topic."""


@dataclass(frozen=True, slots=True)
class BrokerReason:
    """A reason code from the broker."""

    code: int
    text: str
    """Paho's name of the code, in lower case, with the other server that the broker names."""

    is_failure: bool

    @classmethod
    def from_code(cls, reason: ReasonCode, given: Properties | None = None) -> "BrokerReason":
        """Convert paho's reason code."""
        server = getattr(given, "ServerReference", "")
        text = str(reason).lower() + (f" ({server})" if server else "")
        return cls(reason.value, text, reason.is_failure)


OLD_PROTOCOL: Final = BrokerReason(0x84, "unsupported protocol version", is_failure=True)


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """Limits that the broker announced."""

    qos: int = 2
    retain: bool = True
    packet_bytes: int | None = None
    topic_aliases: int = 0


@dataclass(frozen=True, slots=True)
class ClientCallbacks:
    """Callbacks of a session. Paho calls them while it holds its locks."""

    answered: Callable[[BrokerReason, BrokerLimits], None]
    """The broker has accepted or refused the connection."""

    disconnected: Callable[[BrokerReason], None]
    acknowledged: Callable[[int, BrokerReason], None]
    """By message number: the broker, or with QoS 0 the kernel, has accepted the message."""

    subscribed: Callable[[int, list[BrokerReason]], None]
    received: Callable[[Received], None]


class PahoClient:
    """One connection to a broker.

    Parameters
    ----------
    options : BrokerOptions
        With one server.
    client_id : str
        Identifies this client at the broker.
    attempt : Attempt
        Protocol, quality of service and retaining to request.
    callbacks : ClientCallbacks
        Called with the broker's answers.
    """

    def __init__(
        self,
        options: BrokerOptions,
        client_id: str,
        attempt: Attempt,
        callbacks: ClientCallbacks,
    ) -> None:
        self._options = options
        self._attempt = attempt
        self._is_v5 = attempt.protocol == 5
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=MQTTProtocolVersion(attempt.protocol),
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_queued_messages_set(MAX_UNACKNOWLEDGED)
        if options.context is not None:
            client.tls_set_context(options.context)
        if options.username is not None:
            client.username_pw_set(options.username, options.password)
        if options.availability_topic is not None:
            will = will_properties() if self._is_v5 else None
            client.will_set(
                options.availability_topic, OFFLINE, attempt.qos, attempt.retain, properties=will
            )
        self._client = client
        self._answered = threading.Event()
        self._refuse: Callable[[], None] = partial(callbacks.answered, OLD_PROTOCOL, BrokerLimits())
        self._set_callbacks(callbacks)

    def _set_callbacks(self, to: ClientCallbacks) -> None:
        # The callbacks do not refer to `self` or the client: such cycles would keep the sockets
        # of ended sessions open until the next garbage collection.
        reason_of, client, answered = BrokerReason.from_code, self._client, self._answered
        keepalive_s = self._options.keepalive_s

        def on_connect(
            client_: Client, _u: Any, _f: Any, reason: ReasonCode, given: Properties | None
        ) -> None:
            most: int = getattr(given, "ReceiveMaximum", MAX_IN_FLIGHT)
            client_._max_inflight_messages = min(MAX_IN_FLIGHT, most)  # paho ignores this limit
            answered.set()
            to.answered(reason_of(reason, given), _broker_limits(given))

        def on_disconnect(
            _c: Client, _u: Any, _f: Any, reason: ReasonCode, given: Properties | None
        ) -> None:
            to.disconnected(reason_of(reason, given))

        client.on_connect = on_connect
        client.on_disconnect = on_disconnect
        client.on_publish = lambda _c, _u, mid, reason, _p: to.acknowledged(mid, reason_of(reason))
        client.on_subscribe = lambda _c, _u, mid, reasons, _p: to.subscribed(
            mid, [reason_of(reason) for reason in reasons]
        )
        client.on_message = lambda _c, _u, message: to.received(_received_message(message))
        client.on_socket_open = lambda _c, _u, sock: _tune_socket(sock, keepalive_s)
        # With this callback only `loop` writes to the socket. Without it, as paho's thread does
        # not run, `publish` would write as well, and two packets could be mixed.
        client.on_socket_register_write = lambda *_: None

    def connect(self) -> None:
        """Open the connection and send the connect packet.

        Raises
        ------
        OSError, ValueError
            When the connection fails.
        """
        host, port, keepalive_s = self._options.host, self._options.port, self._options.keepalive_s
        if not self._is_v5:
            self._client.connect(host, port, keepalive_s)
            return
        # A clean start would end the previous session and send its last will.
        lasting = session_properties(PacketTypes.CONNECT, SESSION_S)
        self._client.connect(host, port, keepalive_s, clean_start=False, properties=lasting)

    def loop(self, timeout_s: float) -> bool:
        """Read and write pending data; return False once the connection has ended."""
        code: MQTTErrorCode = self._client.loop(timeout_s)
        if code == MQTTErrorCode.MQTT_ERR_PROTOCOL and not (self._is_v5 or self._answered.is_set()):
            self._refuse()  # paho reports an invalid answer only by this code
        return code == MQTTErrorCode.MQTT_ERR_SUCCESS

    def wants_to_write(self) -> bool:
        """Return whether data waits to be written."""
        return self._client.want_write()

    def publish(self, message: Message, topic: str, qos: int, alias: int | None) -> int | None:
        """Queue a message; return its number, or None if it was not accepted."""
        about = None
        if self._is_v5:
            about = _message_properties(
                message.content_type, message.expiry_s, message.correlation, alias
            )
        retain = message.retain and self._attempt.retain
        info = self._client.publish(topic, message.payload, qos, retain, about)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def subscribe(self, topic: str, qos: int, *, others_only: bool = False) -> int | None:
        """Subscribe; return the number of the request.

        With `others_only` and MQTT 5, messages of this client id are not delivered.
        """
        if self._is_v5 and others_only:
            return self._client.subscribe(topic, options=SubscribeOptions(qos, noLocal=True))[1]
        return self._client.subscribe(topic, qos=qos)[1]

    def disconnect(self) -> None:
        """Send a disconnect packet: the broker drops the last will and the session."""
        self._client.disconnect(
            properties=session_properties(PacketTypes.DISCONNECT, 0) if self._is_v5 else None
        )

    def shut_down(self) -> None:
        """Shut down the socket. Thread-safe."""
        sock = self._client.socket()
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]

    def close(self) -> None:
        """Close the connection, in the thread that calls `loop`.

        Breaks the reference cycle of client and session, which would keep two sockets open until
        it is collected.
        """
        client = self._client
        sock = client.socket()
        if sock is not None:
            sock.close()
        self._refuse = lambda: None
        client.on_connect = client.on_disconnect = client.on_publish = None
        client.on_subscribe = client.on_message = None
        client.on_socket_open = client.on_socket_register_write = None


def _broker_limits(given: Properties | None) -> BrokerLimits:
    return BrokerLimits(
        qos=getattr(given, "MaximumQoS", 2),
        retain=bool(getattr(given, "RetainAvailable", 1)),
        packet_bytes=getattr(given, "MaximumPacketSize", None),
        topic_aliases=getattr(given, "TopicAliasMaximum", 0),
    )


def _received_message(message: MQTTMessage) -> Received:
    properties = message.properties
    return Received(
        message.topic,
        bytes(message.payload),
        retained=bool(message.retain),
        response_topic=getattr(properties, "ResponseTopic", None),
        correlation=getattr(properties, "CorrelationData", None),
    )


class _Packed(Properties):
    """Properties with a cached encoding: encoding is the slowest part of paho's `publish`."""

    def __init__(self, properties: Properties) -> None:
        object.__setattr__(self, "_bytes", properties.pack())  # type: ignore[no-untyped-call]

    def pack(self) -> bytes:
        """Return the cached encoding."""
        packed: bytes = object.__getattribute__(self, "_bytes")
        return packed


@lru_cache(maxsize=64)
def _message_properties(
    content_type: str, expiry_s: int | None, correlation: bytes | None, alias: int | None
) -> Properties:
    """Return the MQTT 5 properties of a message; cached, as few combinations occur."""
    properties = _described_properties(PacketTypes.PUBLISH, content_type)
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    if correlation is not None:
        properties.CorrelationData = correlation
    if alias is not None:
        properties.TopicAlias = alias
    return _Packed(properties)


def _described_properties(packet: int, content_type: str) -> Properties:
    """Return properties with content type and payload version."""
    properties = _blank_properties(packet)
    properties.ContentType = content_type
    if content_type.startswith("text/") or content_type == "application/json":
        properties.PayloadFormatIndicator = 1
    properties.UserProperty = ("v", str(PAYLOAD_VERSION))
    return properties


def _blank_properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho's own has no types


def will_properties() -> Properties:
    """Return a delay for the last will, so that a short interruption does not trigger it."""
    properties = _described_properties(PacketTypes.WILLMESSAGE, "text/plain")
    properties.WillDelayInterval = WILL_DELAY_S
    return properties


def session_properties(packet: int, session_s: int) -> Properties:
    """Return the session expiry interval, which starts when the connection ends."""
    properties = _blank_properties(packet)
    properties.SessionExpiryInterval = session_s
    return properties


def _tune_socket(sock: Any, keepalive_s: int) -> None:
    """Set socket options: no delay, a small send buffer, and early detection of dead peers."""
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        timeout_ms = 2000 * keepalive_s
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
