"""Messages between the daemon and the process that serves its page: one datagram each."""

from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Raw, Struct

LIMIT: Final = 1 << 20
"""Bytes to read at once: more than the kernel lets a datagram have."""

EVENTS: Final = 50
"""Number of latest events that a page shows."""

PASSING: Final = frozenset({"poses", "picture"})
"""Types of messages that are dropped rather than delayed."""


class IpcMessage(NamedTuple):
    """A message of the daemon: its type, labels, and the payload as MQTT has it."""

    type: str
    """``poses``, ``state``, ``event``, ``availability``, ``status``, ``stats``, ``picture``,
    ``link``, ``start``, ``reloaded`` or ``answer``."""

    labels: tuple[str, ...]
    """The camera, where it is about one; of a picture also the frame's `seq`."""

    payload: bytes


def pack(message: IpcMessage) -> bytes:
    """Encode a datagram."""
    return " ".join((message.type, *message.labels)).encode() + b"\n" + message.payload


def unpack(datagram: bytes) -> IpcMessage:
    """Decode a datagram."""
    head, _, payload = datagram.partition(b"\n")
    type_, *labels = head.decode().split(" ")
    return IpcMessage(type_, tuple(labels), payload)


class Start(Struct, frozen=True, kw_only=True):
    """The first message to the process."""

    hello: Raw
    """The first message to every page, as JSON."""

    origin: Raw
    """A `config.loading.Origin`, decoded only when the editor is loaded."""

    cameras: tuple[str, ...]
    topic_prefix: str = ""
    """``<base_topic>/<device id>``."""

    local: bool
    """Whether only this machine reaches the page."""

    hosts: tuple[str, ...]
    trusted_proxies: tuple[str, ...] = ()
    """Addresses whose requests need no token."""

    cert_file: str
    key_file: str
    token_file: str
    """Empty: there is no state folder for one."""

    session_key: bytes
    """Signs session cookies; made anew with each start of the daemon."""

    engine_threads: int
    """Cores that the model uses."""

    log_format: Literal["auto", "json"] = "auto"
    """Log format of the daemon, which this process uses too."""


class Reloaded(Struct, frozen=True, kw_only=True):
    """A reload is over."""

    cameras: tuple[str, ...]
    numbers: tuple[int, ...]
    """Numbers of the requests for it."""

    error: str
    """Why the reload was refused; empty where it was not."""


class Answer(Struct, frozen=True, kw_only=True):
    """A command was carried out, or refused."""

    number: int
    error: str


class Watch(Struct, frozen=True, kw_only=True, tag="watch"):
    """The cameras whose poses and pictures are needed."""

    poses: tuple[str, ...]
    pictures: tuple[str, ...]


class Reload(Struct, frozen=True, kw_only=True, tag="reload"):
    """Requests a reload of the configuration."""

    number: int


class Set(Struct, frozen=True, kw_only=True, tag="set"):
    """Requests a change of settings as `C/set` does."""

    number: int
    camera: str
    settings: Raw


Command = Watch | Reload | Set

_COMMANDS: Final[Any] = msgspec.json.Decoder(Command)


def read_command(datagram: bytes) -> Command:
    """Decode a command of the process."""
    command: Command = _COMMANDS.decode(datagram)
    return command
