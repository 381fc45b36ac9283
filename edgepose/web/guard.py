"""Who may see and change what: checks of where a request comes from, and of who sends it."""

import hashlib
import hmac
import socket
import time
from collections import deque
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from edgepose.system.connections import network_of
from edgepose.urls import is_local
from edgepose.web.tokens import Hashed

HEADERS: Final = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob: data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "edgepose",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer."""

COOKIE: Final = "edgepose"
SESSION_S: Final = 30 * 24 * 3600
TRIES: Final = 5  # wrong tokens within a minute from one address
TRIES_IN_ALL: Final = 50
MINUTE_S: Final = 60.0
SAFE: Final = frozenset({"GET", "HEAD"})


class Names:
    """The names by which this machine may be called.

    A foreign name may lead here, too: that is how a page elsewhere would make a browser
    talk to us as if we were its own server (DNS rebinding). An address cannot do that.
    """

    def __init__(self, more: tuple[str, ...]) -> None:
        own = socket.gethostname().lower()
        short = own.partition(".")[0]
        self._known = {"localhost", own, short, f"{short}.local", *map(str.lower, more)}

    def know(self, named: str) -> bool:
        """Say whether a request's ``Host`` means this machine."""
        name = bare(named)
        return name in self._known or _is_address(name)


def host(request: web.Request) -> str:
    """Return the name by which a request calls this machine, with the port."""
    return request.headers.get("Host", "").lower()


def bare(named: str) -> str:
    """Return the name or address of ``HOST[:PORT]``, in lower case."""
    try:
        return (urlsplit(f"//{named}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_ours(request: web.Request) -> bool:
    """Say whether a request comes from our own page, or from no page at all.

    Browsers say it with every request that could do harm: in ``Origin``, and newer ones in
    ``Sec-Fetch-Site`` too.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = request.headers.get("Origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and parts.netloc.lower() == host(request)


def is_near(request: web.Request) -> bool:
    """Say whether somebody at this very machine asks, not a proxy for somebody else."""
    proxied = {"Forwarded", "X-Forwarded-For", "X-Real-IP"} & request.headers.keys()
    return not proxied and is_local(bare(host(request)))


class Sessions:
    """Who is signed in: a cookie says until when, signed so that nobody else can write one.

    Parameters
    ----------
    key : bytes
        Of the daemon: when it starts anew, everybody signs in again.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def cookie(self, token: Hashed, now_s: float) -> str:
        """Return the cookie of somebody who knows the token; another token ends it."""
        until = str(int(now_s + SESSION_S))
        return f"{until}.{self._sign(token, until)}"

    def holds(self, cookie: str, token: Hashed, now_s: float) -> bool:
        """Say whether a cookie is one of ours and still good."""
        until, _, signature = cookie.partition(".")
        # In headers, bytes that are not UTF-8 arrive as surrogates.
        given = signature.encode(errors="surrogateescape")
        signed = hmac.compare_digest(self._sign(token, until).encode(), given)
        return signed and int(until) > now_s

    def _sign(self, token: Hashed, until: str) -> str:
        told = token.salt + token.digest + until.encode(errors="surrogateescape")
        return hmac.new(self._key, told, hashlib.sha256).hexdigest()


class Attempts:
    """Remembers wrong tokens, and makes whoever brings many of them wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: deque[tuple[float, str]] = deque(maxlen=TRIES_IN_ALL)

    def wait_s(self, address: str) -> float:
        """Return how long this address has to wait before it may try again; 0 if it may now."""
        now_s, network = self._clock(), network_of(address)
        while self._failed and self._failed[0][0] <= now_s - MINUTE_S:
            self._failed.popleft()
        own = [at_s for at_s, whose in self._failed if whose == network]
        if len(own) >= TRIES:
            return own[-TRIES] + MINUTE_S - now_s
        if len(self._failed) >= TRIES_IN_ALL:
            return self._failed[0][0] + MINUTE_S - now_s
        return 0.0

    def failed(self, address: str) -> None:
        """Note a wrong token."""
        self._failed.append((self._clock(), network_of(address)))
