"""Typed messages from the devices of a broker, for programs and for `edgepose watch`."""

import logging
import threading
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec

from edgepose.errors import BrokerError, UsageError
from edgepose.mqtt import messages
from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.messages import AnyMessage, PosesMessage
from edgepose.mqtt.options import BrokerOptions
from edgepose.types import Received

log = logging.getLogger(__name__)

DEFAULT_URL: Final = "mqtt://localhost:1883"
DEPTH: Final = 256
"""Maximum number of queued messages; above it the oldest poses are dropped."""


Encoding = Literal["json", "msgpack"]

POSES: Final = {"json": "poses", "msgpack": "poses/msgpack"}
"""Last levels of the poses topic, by encoding."""


class Inbox:
    """A bounded queue of messages for one reader; drops the oldest poses first."""

    def __init__(self, depth: int = DEPTH) -> None:
        self._depth = depth
        self._changed = threading.Condition()
        self._held: deque[AnyMessage] = deque()
        self._failure: BrokerError | None = None
        self._closed = False
        self.dropped = 0

    def put(self, message: AnyMessage) -> None:
        """Add a message; never blocks."""
        with self._changed:
            if self._closed:
                return
            if len(self._held) >= self._depth:
                self._make_room()
            self._held.append(message)
            self._changed.notify()

    def _make_room(self) -> None:
        oldest = next((n for n, held in enumerate(self._held) if isinstance(held, PosesMessage)), 0)
        del self._held[oldest]
        self.dropped += 1

    def take(self, timeout_s: float | None = None) -> AnyMessage | None:
        """Wait for the next message; None on timeout or once closed.

        Raises
        ------
        BrokerError
            Once the broker has refused the login and earlier messages have been taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._held or self._closed or self._failure, timeout_s)
            if self._held:
                return self._held.popleft()
            if self._failure is not None and not self._closed:
                raise self._failure
            return None

    @property
    def closed(self) -> bool:
        """Whether no further message will come."""
        with self._changed:
            return self._closed and not self._held

    def fail(self, failure: BrokerError) -> None:
        """End the queue with an error for the reader."""
        with self._changed:
            self._failure = failure
            self._changed.notify_all()

    def close(self) -> None:
        """End the queue; messages that wait are dropped."""
        with self._changed:
            self._closed = True
            self._held.clear()
            self._changed.notify_all()


class Subscription:
    """An iterator over the messages of one or all devices; close it when done.

    It reconnects by itself. No messages arrive while the broker is unreachable; after a
    reconnection the retained messages arrive again.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        device: str | None = None,
        camera: str | None = None,
        base_topic: str = "edgepose",
        encoding: Encoding = "json",
        depth: int = DEPTH,
        **settings: Any,
    ) -> None:
        self._base = base_topic
        self._inbox = Inbox(depth)
        options = BrokerOptions.from_url(url, client_id="edgepose-reader", **settings)
        self._link = MqttClient(options, on_failure=self._inbox.fail)
        for topic in filters(base_topic, device, camera, encoding):
            self._link.subscribe(topic, self._on_received)
        self._link.start()

    @property
    def connected(self) -> bool:
        """True while there is a session with the broker."""
        return self._link.connected

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._inbox.closed

    @property
    def dropped(self) -> int:
        """Messages dropped for a slow reader: poses first, oldest first."""
        return self._inbox.dropped

    def _on_received(self, received: Received) -> None:
        try:
            message = messages.read(self._base, received.topic, received.payload)
        except msgspec.DecodeError as error:
            log.warning("subscribe: %s: not a message of edgepose: %s", received.topic, error)
            return
        if message is not None:
            self._inbox.put(message)

    def take(self, timeout_s: float | None = None) -> AnyMessage | None:
        """Wait for the next message; None on timeout or once closed.

        Raises
        ------
        BrokerError
            When the broker refuses the login.
        """
        return self._inbox.take(timeout_s)

    def close(self) -> None:
        """Close the connection; thread-safe, may be called twice."""
        self._inbox.close()
        self._link.close()

    def __iter__(self) -> Iterator[AnyMessage]:
        return self

    def __next__(self) -> AnyMessage:
        message = self.take()
        if message is None:
            raise StopIteration
        return message

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def filters(
    base_topic: str, device: str | None, camera: str | None, encoding: Encoding = "json"
) -> list[str]:
    """Return the filters to subscribe to; they do not overlap, so no message arrives twice.

    Raises
    ------
    UsageError
        When a name cannot be part of a topic, or the encoding is unknown.
    """
    if encoding not in POSES:
        msg = f"encoding = {encoding!r}: expected json or msgpack"
        raise UsageError(msg)
    check_names(*(name for name in (device, camera) if name is not None))
    if not base_topic.strip("/") or set(base_topic) & set("+#"):
        msg = f"base topic {base_topic!r}: expected a topic without wildcards, such as edgepose"
        raise UsageError(msg)
    prefix = f"{base_topic}/{device or '+'}"
    of_device = [f"{prefix}/{leaf}" for leaf in ("availability", "status", "stats")]
    leaves = ("availability", POSES[encoding], "state", "event")
    return of_device + [f"{prefix}/{camera or '+'}/{leaf}" for leaf in leaves]


def check_names(*names: str) -> None:
    """Raise an error for names that are not ids of devices or cameras, such as wildcards.

    Raises
    ------
    UsageError
        Names the first invalid name.
    """
    for name in names:
        if not name or set(name) & set("+#/"):
            msg = f"{name!r} is no name of a device or camera; expected letters, digits, - and _"
            raise UsageError(msg)


def subscribe(
    url: str = DEFAULT_URL,
    *,
    device: str | None = None,
    camera: str | None = None,
    **settings: Any,
) -> Subscription:
    """Subscribe to the messages of running devices.

    Parameters
    ----------
    url : str
        ``mqtt://[user[:password]@]host[:port]``, ``mqtts://`` for TLS.
    device, camera : str, optional
        Ids; None for all.
    **settings
        `base_topic`, `depth` (maximum number of queued messages), `encoding`
        (``"msgpack"`` for poses in MessagePack, of devices that send it), and `username`,
        `password`, `ca_file`, `cert_file`, `key_file`, `protocol` as in the
        configuration file.

    Returns
    -------
    Subscription
        Yields `PosesMessage`, `StateMessage`, `EventMessage`, `StatusMessage`,
        `StatsMessage` and `AvailabilityMessage` of `edgepose.mqtt.messages`.

    Examples
    --------
    >>> for message in edgepose.subscribe("mqtt://localhost"):  # doctest: +SKIP
    ...     if isinstance(message, PosesMessage):
    ...         print(message.camera, len(message.poses))
    """
    return Subscription(url, device=device, camera=camera, **settings)
