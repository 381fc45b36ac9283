"""Asks who answers over HTTP on this machine: a daemon of ours, or somebody else."""

import http.client
import ssl
from contextlib import closing
from typing import Final

from edgepose.urls import Address

WAIT_S: Final = 5.0  # the page starts a process first
HERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where to find what listens everywhere."""


def has_numbers(place: Address) -> bool:
    """Say whether a daemon's numbers are at a place."""
    _, text = _ask(place, "/metrics")
    return "\nedgepose_info{" in text


def is_page(place: Address, *, tls: bool) -> bool:
    """Say whether a daemon's page answers at a place."""
    server, _ = _ask(place, "/", tls=tls)
    return server == "edgepose"


def _ask(place: Address, path: str, *, tls: bool = False) -> tuple[str, str]:
    """Return what a server calls itself, and what it says; empty where there is none."""
    host = HERE.get(place.host, place.host)
    make = _trusting if tls else http.client.HTTPConnection
    try:
        with closing(make(host, place.port, timeout=WAIT_S)) as line:
            line.request("GET", path)
            answer = line.getresponse()
            return answer.getheader("Server", ""), answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return "", ""


def _trusting(host: str, port: int, *, timeout: float) -> http.client.HTTPConnection:
    """Make a line to a server of our own, whose certificate bears another name than this."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
