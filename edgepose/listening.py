"""Sockets that others connect to."""

import logging
import socket

from edgepose.addresses import Address


def listen(place: Address, key: str, log: logging.Logger) -> socket.socket | None:
    """Listen on a place, there only; None, and a warning that names the key, where that fails.

    A port that is taken is no reason to end: people are watched without it, too.
    """
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    try:
        return socket.create_server(place, family=family)
    except OSError as error:
        todo = f'set {key} to another port, or to "" for off'
        # the library adds to the system's words where it was
        reason = str(error.strerror).partition(" (while")[0].lower()
        log.warning("cannot listen on %s: %s; %s", place, reason, todo)
        return None
