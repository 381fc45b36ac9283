"""Who may see and change what: checks of where a request comes from, and of who sends it."""

import socket
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from edgepose.addresses import is_local

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

    def know(self, host: str) -> bool:
        """Say whether a request's ``Host`` means this machine."""
        name = bare(host)
        return name in self._known or _is_address(name)


def bare(host: str) -> str:
    """Return the name or address of ``HOST[:PORT]``, in lower case."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
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
    parts = urlsplit(origin)
    return parts.scheme in {"http", "https"} and parts.netloc.lower() == request.host.lower()


def is_near(request: web.Request) -> bool:
    """Say whether somebody at this very machine asks, not a proxy for somebody else."""
    proxied = {"Forwarded", "X-Forwarded-For", "X-Real-IP"} & request.headers.keys()
    return not proxied and is_local(bare(request.host))
