"""Listening sockets."""

import logging
import socket

from edgepose.urls import Address


def listen(place: Address, key: str, log: logging.Logger) -> socket.socket | None:
    """Return a listening socket. On failure, log a warning with the key and return None.

    Does not raise: the daemon also works without this port.
    """
    try:
        return _open_socket(place)
    except OSError as error:
        log.warning("cannot listen on %s: %s; %s", place, _reason_of(error), way_out(key))
        return None


def why_not(place: Address) -> str:
    """Return why an address cannot be bound; empty if it can."""
    try:
        _open_socket(place).close()
    except OSError as error:
        return _reason_of(error)
    return ""


def or_another(place: Address) -> Address:
    """Return the address, with a free port if its port is in use."""
    if not why_not(place):
        return place
    with _open_socket(Address(place.host, 0)) as free:
        return Address(place.host, free.getsockname()[1])


def way_out(key: str) -> str:
    """Return the remedy for an address that cannot be bound."""
    return f'set {key} to another port, or to "" for off'


def _open_socket(place: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    return socket.create_server(place, family=family)


def _reason_of(error: OSError) -> str:
    # socket.create_server appends the address to the system's message
    return str(error.strerror).partition(" (while")[0].lower()
