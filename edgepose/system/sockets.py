"""Sockets that others connect to."""

import logging
import socket

from edgepose.urls import Address


def listen(place: Address, key: str, log: logging.Logger) -> socket.socket | None:
    """Listen on a place, there only; None, and a warning that names the key, where that fails.

    A port that is taken is no reason to end: people are watched without it, too.
    """
    try:
        return _open(place)
    except OSError as error:
        log.warning("cannot listen on %s: %s; %s", place, _reason(error), way_out(key))
        return None


def why_not(place: Address) -> str:
    """Say why nobody could listen on a place now; empty where one could."""
    try:
        _open(place).close()
    except OSError as error:
        return _reason(error)
    return ""


def or_another(place: Address) -> Address:
    """Return the place, or another port of its host where somebody has that one."""
    if not why_not(place):
        return place
    with _open(Address(place.host, 0)) as free:
        return Address(place.host, free.getsockname()[1])


def way_out(key: str) -> str:
    """Say what to do about a place that cannot be had."""
    return f'set {key} to another port, or to "" for off'


def _open(place: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    return socket.create_server(place, family=family)


def _reason(error: OSError) -> str:
    # the library adds to the system's words where it was
    return str(error.strerror).partition(" (while")[0].lower()
