"""Messages between the daemon and the page process, one datagram each."""

from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Raw, Struct

LIMIT: Final = 1 << 20
"""Bytes per read: more than the kernel's limit of a datagram."""

EVENTS: Final = 50
"""Number of recent events on a page."""

CLIPS: Final = 8
"""Number of recent clips that a page links to; each takes up to 200 kB of memory."""

CLIP_TRIGGERS: Final = ("fall_suspected", "long_lie")
"""Types of events whose clips are linked."""

PASSING: Final = frozenset({"poses", "picture"})
"""Message types that are dropped instead of delayed."""


class IpcMessage(NamedTuple):
    """A message of the daemon: type, labels, and the payload as on MQTT."""

    type: str
    """``poses``, ``state``, ``event``, ``availability``, ``status``, ``stats``, ``picture``,
    ``clip``, ``link``, ``start``, ``reloaded`` or ``answer``."""

    labels: tuple[str, ...]
    """The camera, if the message is about one; for a picture also the frame's `seq`."""

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
    """First message to the page process."""

    hello: Raw
    """First message to every page, as JSON."""

    origin: Raw
    """A `config.loading.Origin`, decoded only when the editor is loaded."""

    cameras: tuple[str, ...]
    topic_prefix: str = ""
    """``<base_topic>/<device id>``."""

    local: bool
    """Whether only this machine can reach the page."""

    hosts: tuple[str, ...]
    trusted_proxies: tuple[str, ...] = ()
    """Addresses whose requests need no token."""

    cert_file: str
    key_file: str
    token_file: str
    """Path of the token's file. Empty: there is no state folder for it."""

    session_key: bytes
    """Key that signs session cookies; created at each start of the daemon."""

    engine_threads: int
    """Number of cores that inference uses."""

    log_format: Literal["auto", "json"] = "auto"
    """Log format of the daemon, also used by the page process."""


class Reloaded(Struct, frozen=True, kw_only=True):
    """Sent when a reload has ended."""

    cameras: tuple[str, ...]
    numbers: tuple[int, ...]
    """Numbers of the requests for this reload."""

    error: str
    """Why the reload was refused; empty on success."""


class Answer(Struct, frozen=True, kw_only=True):
    """Sent when a command was executed or refused."""

    number: int
    error: str


class Watch(Struct, frozen=True, kw_only=True, tag="watch"):
    """Sets the cameras whose poses and pictures are needed."""

    poses: tuple[str, ...]
    pictures: tuple[str, ...]


class Reload(Struct, frozen=True, kw_only=True, tag="reload"):
    """Requests a reload of the configuration."""

    number: int


class Set(Struct, frozen=True, kw_only=True, tag="set"):
    """Requests a change of settings, like `C/set`."""

    number: int
    camera: str
    settings: Raw


Command = Watch | Reload | Set

_COMMANDS: Final[Any] = msgspec.json.Decoder(Command)


def read_command(datagram: bytes) -> Command:
    """Decode a command of the page process."""
    command: Command = _COMMANDS.decode(datagram)
    return command
