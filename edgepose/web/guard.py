"""Access checks of requests: origin and authentication."""

import hashlib
import hmac
import socket
import time
from base64 import b64decode
from collections import deque
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, NamedTuple
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
"""Headers of every response."""

COOKIE: Final = "edgepose-session"
COOKIE_PATH: Final = ""
"""Omitted: the browser then uses the path of the request, ``/api`` below any path prefix.

Other applications under the same host name do not get the cookie.
"""
SESSION_S: Final = 30 * 24 * 3600
MAX_FAILURES: Final = 5  # wrong tokens within a minute from one address
MAX_FAILURES_IN_ALL: Final = 50
MINUTE_S: Final = 60.0
SAFE: Final = frozenset({"GET", "HEAD"})


class AllowedHosts:
    """Host names under which the page is served: protection against DNS rebinding.

    An attacker's name may resolve to this machine, so that a browser treats the page as part of
    the attacker's site. IP addresses cannot be abused in this way and are always allowed.
    """

    def __init__(self, more: tuple[str, ...]) -> None:
        own = socket.gethostname().lower()
        short = own.partition(".")[0]
        self._known = {"localhost", own, short, f"{short}.local", *map(str.lower, more)}

    def allows(self, named: str) -> bool:
        """Return whether a request with this ``Host`` header is served."""
        name = bare(named)
        return name in self._known or _is_address(name)


def host(request: web.Request) -> str:
    """Return a request's ``Host`` header in lower case, with the port."""
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


class TrustedProxies:
    """Proxies that authenticate their users themselves.

    Uses the address of the connection, which a header cannot change.
    """

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self._addresses = frozenset(ip_address(it.partition("%")[0]) for it in addresses)

    def sent(self, request: web.Request) -> bool:
        """Return whether a request comes from one of these proxies."""
        if not self._addresses or request.remote is None:
            return False
        return ip_address(request.remote.partition("%")[0]) in self._addresses


def is_ours(request: web.Request, *, forwarded: bool = False) -> bool:
    """Return whether a request comes from this page, or from no page at all.

    Browsers send ``Origin`` with every request that may change state, and newer ones
    ``Sec-Fetch-Site``. A trusted proxy may replace ``Host``: with `forwarded` the name in
    ``X-Forwarded-Host`` is accepted as well.
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
    named = {host(request)}
    if forwarded:
        named.add(request.headers.get("X-Forwarded-Host", "").lower())
    return parts.scheme in {"http", "https"} and parts.netloc.lower() in named


def is_near(request: web.Request) -> bool:
    """Return whether a request comes from this machine and was not forwarded by a proxy."""
    proxied = {"Forwarded", "X-Forwarded-For", "X-Real-IP"} & request.headers.keys()
    return not proxied and is_local(bare(host(request)))


class Credentials(NamedTuple):
    """A token in a request's header or URL, not in a cookie."""

    token: str
    in_url: bool


def credentials(request: web.Request) -> Credentials | None:
    """Return the token of ``Authorization`` (``Bearer``, or ``Basic`` password) or of the URL."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            return Credentials(value.strip(), in_url=False)
        case "basic":
            return Credentials(_basic_password(value), in_url=False)
    token = request.query.get("token")
    return None if token is None else Credentials(token, in_url=True)


def _basic_password(value: str) -> str:
    try:
        return b64decode(value, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


class Sessions:
    """Creates and checks signed session cookies, which contain their expiry time.

    Parameters
    ----------
    key : bytes
        Signs the cookies. A new key, as after a restart of the daemon, ends all sessions.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def cookie(self, token: Hashed, now_s: float) -> str:
        """Return a session cookie, valid until it expires or the token is replaced."""
        until = str(int(now_s + SESSION_S))
        return f"{until}.{self._sign_session(token, until)}"

    def holds(self, cookie: str, token: Hashed, now_s: float) -> bool:
        """Return whether a cookie was created here for this token and has not expired."""
        until, _, signature = cookie.partition(".")
        # In headers, bytes that are not UTF-8 arrive as surrogates.
        given = signature.encode(errors="surrogateescape")
        signed = hmac.compare_digest(self._sign_session(token, until).encode(), given)
        return signed and int(until) > now_s

    def _sign_session(self, token: Hashed, until: str) -> str:
        signed = token.salt + token.digest + until.encode(errors="surrogateescape")
        return hmac.new(self._key, signed, hashlib.sha256).hexdigest()


class LoginThrottle:
    """Limits wrong tokens per network and in total."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: deque[tuple[float, str]] = deque(maxlen=MAX_FAILURES_IN_ALL)

    def wait_s(self, address: str) -> float:
        """Return the seconds until this address may try again; 0 if it may now."""
        now_s, network = self._clock(), network_of(address)
        while self._failed and self._failed[0][0] <= now_s - MINUTE_S:
            self._failed.popleft()
        own = [at_s for at_s, failed in self._failed if failed == network]
        if len(own) >= MAX_FAILURES:
            return own[-MAX_FAILURES] + MINUTE_S - now_s
        if len(self._failed) >= MAX_FAILURES_IN_ALL:
            return self._failed[0][0] + MINUTE_S - now_s
        return 0.0

    def add_failure(self, address: str) -> None:
        """Count a wrong token."""
        self._failed.append((self._clock(), network_of(address)))
