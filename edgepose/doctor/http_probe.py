"""HTTP requests that check whether an edgepose daemon answers on this machine."""

import http.client
import ssl
from contextlib import closing
from typing import Final

from edgepose.urls import Address

WAIT_S: Final = 5.0  # the page first starts a process
HERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses to connect to for listeners on all interfaces."""


def has_numbers(place: Address) -> bool:
    """Return whether a daemon's metrics are served at an address."""
    _, text = _request_page(place, "/metrics")
    return "\nedgepose_info{" in text


def is_page(place: Address, *, tls: bool) -> bool:
    """Return whether a daemon's page answers at an address."""
    server, _ = _request_page(place, "/", tls=tls)
    return server == "edgepose"


def _request_page(place: Address, path: str, *, tls: bool = False) -> tuple[str, str]:
    """Return the Server header and the body of a response; empty if there is none."""
    host = HERE.get(place.host, place.host)
    make = _unverified_connection if tls else http.client.HTTPConnection
    try:
        with closing(make(host, place.port, timeout=WAIT_S)) as line:
            line.request("GET", path)
            answer = line.getresponse()
            return answer.getheader("Server", ""), answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return "", ""


def _unverified_connection(host: str, port: int, *, timeout: float) -> http.client.HTTPConnection:
    """Return a connection that does not verify the certificate: it is this machine's own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
