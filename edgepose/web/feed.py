"""What passes between the daemon and the process that serves its page: one datagram each."""

from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Raw, Struct

LIMIT: Final = 1 << 20
"""More bytes than any datagram has: the kernel's own buffers are smaller."""

EVENTS: Final = 50
"""How many of the last events a page shows at once."""

PASSING: Final = frozenset({"poses", "picture"})
"""What is worthless when late."""


class Told(NamedTuple):
    """What the daemon says: a word, what it is of, and the bytes, as MQTT has them too."""

    word: str
    """``poses``, ``state``, ``event``, ``status``, ``stats``, ``picture``, ``link``,
    ``start``, ``reloaded`` or ``answer``."""

    of: tuple[str, ...]
    """The camera, where it is one's; of a picture also the frame's `seq`."""

    payload: bytes


def pack(told: Told) -> bytes:
    """Write a datagram."""
    return " ".join((told.word, *told.of)).encode() + b"\n" + told.payload


def unpack(datagram: bytes) -> Told:
    """Read a datagram."""
    head, _, payload = datagram.partition(b"\n")
    word, *of = head.decode().split(" ")
    return Told(word, tuple(of), payload)


class Start(Struct, frozen=True, kw_only=True):
    """The first thing the process is told."""

    hello: Raw
    """What every viewer gets first, as JSON."""

    origin: Raw
    """A `config.loading.Origin`: it is read where it is needed, which is not at the start."""

    cameras: tuple[str, ...]
    topic_prefix: str = ""
    """``<base_topic>/<device id>``."""

    local: bool
    """Whether only this machine reaches the page."""

    hosts: tuple[str, ...]
    cert_file: str
    key_file: str
    token_file: str
    """Empty: there is no place for one."""

    session_key: bytes
    """Signs who is signed in; lives as long as the daemon."""

    engine_threads: int
    """Cores that belong to the network."""

    log_format: Literal["auto", "json"] = "auto"
    """How the daemon writes its log, which is this process' too."""


class Reloaded(Struct, frozen=True, kw_only=True):
    """A reload is over."""

    cameras: tuple[str, ...]
    numbers: tuple[int, ...]
    """Those who asked for it."""

    error: str
    """Why nothing has changed; empty when all has."""


class Answer(Struct, frozen=True, kw_only=True):
    """A command was carried out, or refused."""

    number: int
    error: str


class Watch(Struct, frozen=True, kw_only=True, tag="watch"):
    """What somebody is looking at."""

    poses: tuple[str, ...]
    pictures: tuple[str, ...]


class Reload(Struct, frozen=True, kw_only=True, tag="reload"):
    """Asks for the configuration to be read again."""

    number: int


class Set(Struct, frozen=True, kw_only=True, tag="set"):
    """Asks for what `C/set` does."""

    number: int
    camera: str
    settings: Raw


Command = Watch | Reload | Set

_COMMANDS: Final[Any] = msgspec.json.Decoder(Command)


def read_command(datagram: bytes) -> Command:
    """Read what the process asks for."""
    command: Command = _COMMANDS.decode(datagram)
    return command
