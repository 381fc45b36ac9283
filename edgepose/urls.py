"""Where to connect and where to listen, and hiding what is secret in an address."""

import re
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

EMBEDDED: Final = "embedded"
PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


class Address(NamedTuple):
    """A place to listen on, or to connect to."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return ``HOST:PORT`` as URLs have it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Broker(NamedTuple):
    """What `mqtt.url` says."""

    host: str
    """Empty for the embedded broker."""

    port: int | None
    """None: the embedded broker takes a free one if the usual one is taken."""

    tls: bool = False
    username: str = ""
    password: str = ""
    others: tuple[Address, ...] = ()
    """More servers of the same cluster, for when this one is not there."""

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


def is_local(host: str) -> bool:
    """Say whether only this machine reaches a host.

    Examples
    --------
    >>> is_local("127.0.0.1"), is_local("0.0.0.0")
    (True, False)
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def broker(url: str) -> Broker:
    """Take apart ``mqtt://user:password@host:port``, ``mqtts://…`` or ``embedded[:port]``.

    The servers of a cluster follow each other with commas: ``mqtt://one,two:1884``.

    Raises
    ------
    ValueError
        When it is no such URL.
    """
    name, colon, port = url.partition(":")
    if name == EMBEDDED:
        return Broker("", _port(port) if colon else None)
    # Only behind the password, which may hold a comma, do commas part servers.
    end = url.rfind("@") + 1 or url.find("//") + 2
    first, *more = url[end:].split(",")
    parts = urlsplit(url[:end] + first)
    if parts.scheme not in PORTS:
        raise ValueError(redact(url))
    return Broker(
        *_server(parts),
        parts.scheme == "mqtts",
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        tuple(_server(urlsplit(f"{parts.scheme}://{server}")) for server in more),
    )


def user_path(text: str) -> Path:
    """Return a path with ``~`` and ``~user`` replaced by the home directory.

    A name that only begins with a tilde is kept: no user of that name has a home.
    """
    path = Path(text)
    with suppress(RuntimeError):
        return path.expanduser()
    return path


def redact(text: str) -> str:
    """Hide what is secret in the URLs within a text.

    Examples
    --------
    >>> redact("rtsp://admin:swordfish@192.0.2.7/live?token=abc&size=2")
    'rtsp://admin:***@192.0.2.7/live?token=***&size=2'
    """
    # a password may hold anything, even a blank; behind a port there is none
    text = re.sub(r"(//[^\s:/@]*):(?:\S*|(?!\d+\s)[^\n/]*)@", r"\1:***@", text)
    text = re.sub(r"(//)[^\s:/@]+@", r"\1***@", text)  # alone it may be a token
    # typed with a slash or the scheme left out
    text = re.sub(r"((?:^|[\s/])[^\s:/@'\"]+):(?![/'\"])\S*@(?=[\w\[])", r"\1:***@", text)
    return re.sub(
        r"(?i)([?&;/_](?:\w*(?:pass|pwd|token|secret|key|auth)\w*)=)[^&#\s]+", r"\1***", text
    )


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text, re.ASCII) or not 0 < int(text) < 65536:
        msg = f"port {text}: expected a number from 1 to 65535"
        raise ValueError(msg)
    return int(text)


def _server(parts: SplitResult) -> Address:
    """Return the host that a URL names, and nothing on it, with its port or the usual one."""
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(redact(parts.geturl()))
    port = PORTS[parts.scheme] if parts.port is None else _port(str(parts.port))
    return Address(parts.hostname, port)


STDIN: Final = frozenset({"-", "/dev/stdin", "/dev/fd/0"})
"""What other programs read standard input for."""

NOT_STDIN: Final = "standard input is not read; write it to a file first, and give that"
