"""Accepts TCP connections within limits, and closes those without a timely request."""

import asyncio
import errno
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from edgepose.system.log_limit import RepeatFilter

log: Final = logging.getLogger(__name__)
log.addFilter(RepeatFilter())

ACCEPT_RETRY_S: Final = 1.0  # pause after a failed accept, for example without free descriptors
SWEEP_S: Final = 0.5
CLOSED: Final = frozenset({errno.EBADF, errno.EINVAL})
"""Errors of `accept` after the listener was shut down."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of the number of connections and of the time for a request."""

    total: int
    per_network: int
    """Maximum connections from one IPv4 address or one IPv6 /64 network."""

    request_s: float
    """Seconds for a complete request, from the connection or the end of the last request."""


@dataclass(slots=True, eq=False)
class _Connection:
    line: socket.socket
    network: str
    deadline_s: float | None
    """Event loop time at which it is closed; None while a request is handled."""

    protocol: asyncio.BaseProtocol | None = None
    transport: asyncio.Transport | None = None
    closing: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the socket is still open."""
        return self.line.fileno() != -1


class LimitedListener:
    """Accepts connections for a protocol, within limits.

    Above a limit, the connection that has waited longest without a complete request is closed
    in favour of the new one. If all connections are handling requests, the new one is closed.

    Parameters
    ----------
    listener : socket
        Bound and listening; the caller closes it.
    make_protocol : callable
        Returns the protocol of a new connection.
    limits : ConnectionLimits
    tls : ssl.SSLContext, optional
    """

    def __init__(
        self,
        listener: socket.socket,
        make_protocol: Callable[[], asyncio.BaseProtocol],
        limits: ConnectionLimits,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._listener, self._make_protocol = listener, make_protocol
        self._limits, self._tls = limits, tls
        self._connections: set[_Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Accept until cancelled, or until the listener is shut down.

        At the end, closes idle connections, but not those that are handling a request.
        """
        self._listener.setblocking(False)
        sweeping = asyncio.ensure_future(self._close_expired())
        try:
            while (accepted := await self._accept_connection()) is not None:
                self._admit_connection(*accepted)
        finally:
            sweeping.cancel()
            for connection in self._connections:
                if connection.deadline_s is not None:
                    self._close_connection(connection)

    @contextmanager
    def handling(self, protocol: asyncio.BaseProtocol) -> Iterator[None]:
        """Suspend the time limit of a connection while its request is handled."""
        connection = next((it for it in self._connections if it.protocol is protocol), None)
        if connection is None:
            yield
            return
        connection.deadline_s = None
        try:
            yield
        finally:
            connection.deadline_s = self._deadline_s()

    async def _accept_connection(self) -> tuple[socket.socket, str] | None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                line, address = await loop.sock_accept(self._listener)
                return line, str(address[0])
            except OSError as error:
                if error.errno in CLOSED:
                    return None
                log.warning("a connection cannot be accepted: %s", error.strerror)
            await asyncio.sleep(ACCEPT_RETRY_S)

    def _admit_connection(self, line: socket.socket, address: str) -> None:
        network = network_of(address)
        if not self._make_room(network):
            log.warning("too many connections, the last one from %s: it was closed", address)
            line.close()
            return
        connection = _Connection(line, network, self._deadline_s())
        self._connections.add(connection)
        opening = asyncio.ensure_future(self._open_connection(connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open_connection(self, connection: _Connection) -> None:
        def make() -> asyncio.BaseProtocol:
            connection.protocol = self._make_protocol()
            return connection.protocol

        loop = asyncio.get_running_loop()
        handshake_s = self._limits.request_s if self._tls else None
        try:
            connection.transport, _ = await loop.connect_accepted_socket(
                make, connection.line, ssl=self._tls, ssl_handshake_timeout=handshake_s
            )
        except (OSError, asyncio.CancelledError) as error:
            log.debug("a connection from %s did not open: %s", connection.network, error)
            connection.line.close()

    def _make_room(self, network: str) -> bool:
        """Close idle connections until one more is allowed; return whether that succeeded."""
        self._forget_closed()
        own = [it for it in self._connections if it.network == network]
        if len(own) >= self._limits.per_network:
            return self._close_oldest(own)
        if len(self._connections) < self._limits.total:
            return True
        counts = Counter(it.network for it in self._connections if it.deadline_s is not None)
        if not counts:
            return False
        most = counts.most_common(1)[0][0]
        return self._close_oldest([it for it in self._connections if it.network == most])

    def _close_oldest(self, connections: list[_Connection]) -> bool:
        waiting = [it for it in connections if it.deadline_s is not None]
        if not waiting:
            return False
        oldest = min(waiting, key=lambda it: it.deadline_s or 0)
        log.warning("too many connections from %s: the oldest are closed", oldest.network)
        self._close_connection(oldest)
        self._connections.discard(oldest)
        return True

    async def _close_expired(self) -> None:
        """Close connections that have exceeded their time limit."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(SWEEP_S, self._limits.request_s / 4))
            self._forget_closed()
            for connection in list(self._connections):
                if connection.deadline_s is not None and connection.deadline_s <= loop.time():
                    self._close_connection(connection)

    def _forget_closed(self) -> None:
        self._connections = {it for it in self._connections if it.is_open}

    def _close_connection(self, connection: _Connection) -> None:
        """Close a connection; abort it if an earlier close has not finished."""
        if connection.transport is None:  # during the handshake, which then fails
            with suppress(OSError):
                connection.line.shutdown(socket.SHUT_RDWR)
        elif connection.closing or connection.transport.get_write_buffer_size():
            connection.transport.abort()
        else:
            connection.transport.close()
        connection.closing = True

    def _deadline_s(self) -> float:
        return asyncio.get_running_loop().time() + self._limits.request_s


def network_of(address: str) -> str:
    """Return the IPv4 address or the IPv6 /64 network, the usual allocation of one user."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = getattr(found, "ipv4_mapped", None)
    if mapped is not None:
        return str(mapped)
    return address if found.version == 4 else found.exploded[:19]
