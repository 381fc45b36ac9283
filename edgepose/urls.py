"""Parses broker URLs and listen addresses, and redacts secrets in URLs."""

import re
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

EMBEDDED: Final = "embedded"
PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


class Address(NamedTuple):
    """Host and port to connect to or to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return ``HOST:PORT``, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Broker(NamedTuple):
    """The parsed `mqtt.url`."""

    host: str
    """Empty for the embedded broker."""

    port: int | None
    """None for the embedded broker: port 1883, or a free one if it is taken."""

    tls: bool = False
    username: str = ""
    password: str = ""
    others: tuple[Address, ...] = ()
    """Further servers of the same cluster, tried if the first one is unreachable."""

    @property
    def embedded(self) -> bool:
        """Whether the daemon starts its own broker."""
        return not self.host


def address(listen: str) -> Address | None:
    """Parse ``HOST:PORT``; return None for an empty text, which disables listening.

    Raises
    ------
    ValueError
        When the text is not an address.

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
    return Address(bare, _parse_port(port))


def is_local(host: str) -> bool:
    """Return whether a host is a loopback address, reachable only from this machine.

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
    """Parse ``mqtt://user:password@host:port``, ``mqtts://…`` or ``embedded[:port]``.

    The servers of a cluster are separated by commas: ``mqtt://one,two:1884``.

    Raises
    ------
    ValueError
        When the URL has another form.
    """
    name, colon, port = url.partition(":")
    if name == EMBEDDED:
        return Broker("", _parse_port(port) if colon else None)
    # A password may contain commas, so only the part after it is split.
    end = url.rfind("@") + 1 or url.find("//") + 2
    first, *more = url[end:].split(",")
    parts = urlsplit(url[:end] + first)
    if parts.scheme not in PORTS:
        raise ValueError(redact(url))
    return Broker(
        *_server_address(parts),
        parts.scheme == "mqtts",
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        tuple(_server_address(urlsplit(f"{parts.scheme}://{server}")) for server in more),
    )


def user_path(text: str) -> Path:
    """Return a path with ``~`` and ``~user`` replaced by the home directory.

    A name with a leading tilde is kept as it is if there is no such user.
    """
    path = Path(text)
    with suppress(RuntimeError):
        return path.expanduser()
    return path


def redact(text: str) -> str:
    """Replace passwords and tokens in the URLs of a text by ``***``.

    Examples
    --------
    >>> redact("rtsp://admin:swordfish@192.0.2.7/live?token=abc&size=2")
    'rtsp://admin:***@192.0.2.7/live?token=***&size=2'
    """
    # A password may contain any character, even a space; digits and a space are a port.
    text = re.sub(r"(//[^\s:/@]*):(?:\S*|(?!\d+\s)[^\n/]*)@", r"\1:***@", text)
    text = re.sub(r"(//)[^\s:/@]+@", r"\1***@", text)  # without a colon it may be a token
    # URLs with a missing slash or scheme
    text = re.sub(r"((?:^|[\s/])[^\s:/@'\"]+):(?![/'\"])\S*@(?=[\w\[])", r"\1:***@", text)
    return re.sub(
        r"(?i)([?&;/_](?:\w*(?:pass|pwd|token|secret|key|auth)\w*)=)[^&#\s]+", r"\1***", text
    )


def _parse_port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text, re.ASCII) or not 0 < int(text) < 65536:
        msg = f"port {text}: expected a number from 1 to 65535"
        raise ValueError(msg)
    return int(text)


def _server_address(parts: SplitResult) -> Address:
    """Return host and port of a URL, with the scheme's default port.

    Raises
    ------
    ValueError
        When there is no host, or the URL has a path, query or fragment.
    """
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(redact(parts.geturl()))
    port = PORTS[parts.scheme] if parts.port is None else _parse_port(str(parts.port))
    return Address(parts.hostname, port)


STDIN: Final = frozenset({"-", "/dev/stdin", "/dev/fd/0"})
"""File names that other programs take for standard input."""

NOT_STDIN: Final = "standard input is not read; write it to a file first, and give that"
