"""Where to connect and where to listen, and hiding what is secret in an address."""

import re
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

EMBEDDED: Final = "embedded"
PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


class Address(NamedTuple):
    """A place to listen on."""

    host: str
    port: int


class Broker(NamedTuple):
    """What `mqtt.url` says."""

    host: str
    """Empty for the embedded broker."""

    port: int | None
    """None: the embedded broker takes a free one if the usual one is taken."""

    tls: bool = False
    username: str = ""
    password: str = ""

    @property
    def embedded(self) -> bool:
        """Whether we start the broker ourselves."""
        return not self.host


def address(listen: str) -> Address | None:
    """Split ``HOST:PORT``; None when it is empty, which means off.

    Raises
    ------
    ValueError
        When it is no address.

    Examples
    --------
    >>> address("[::1]:9464")
    Address(host='::1', port=9464)
    """
    if not listen:
        return None
    host, _, port = listen.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host == f"[{bare}]"
    if not re.fullmatch(r"[^\s/\[\]]+", bare) or (":" in bare) != bracketed:
        raise ValueError(listen)
    return Address(bare, _port(port))


def broker(url: str) -> Broker:
    """Take apart ``mqtt://user:password@host:port``, ``mqtts://…`` or ``embedded[:port]``.

    Raises
    ------
    ValueError
        When it is no such URL.
    """
    name, colon, port = url.partition(":")
    if name == EMBEDDED:
        return Broker("", _port(port) if colon else None)
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname or not _bare(parts):
        raise ValueError(redact(url))
    return Broker(
        parts.hostname,
        PORTS[parts.scheme] if parts.port is None else _port(str(parts.port)),
        parts.scheme == "mqtts",
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


def redact(text: str) -> str:
    """Hide what is secret in the URLs within a text.

    Examples
    --------
    >>> redact("rtsp://admin:swordfish@192.0.2.7/live?token=abc&size=2")
    'rtsp://admin:***@192.0.2.7/live?token=***&size=2'
    """
    text = re.sub(r"(//[^\s:/@]*):\S*@", r"\1:***@", text)
    return re.sub(
        r"(?i)([?&](?:\w*(?:pass|pwd|token|secret|key|auth)\w*)=)[^&#\s]+", r"\1***", text
    )


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text, re.ASCII) or not 0 < int(text) < 65536:
        msg = f"port {text}: expected a number from 1 to 65535"
        raise ValueError(msg)
    return int(text)


def _bare(parts: SplitResult) -> bool:
    """Say whether a URL names a host and nothing on it."""
    return not (parts.path.strip("/") or parts.query or parts.fragment)
