"""Options of a connection to the broker."""

import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from edgepose import urls
from edgepose.config import secrets as config_secrets
from edgepose.config.schema import Config
from edgepose.errors import ConfigError

if TYPE_CHECKING:
    from edgepose.mqtt.embedded_broker import EmbeddedBroker


QUICK: Final = 24  # attempts before the pauses grow: about half a minute


@dataclass(frozen=True, slots=True)
class Options:
    """Where the broker is and who we are to it."""

    host: str
    port: int = 1883
    others: tuple[urls.Address, ...] = ()
    """More servers of the same cluster."""

    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | Path | None = None
    """Certificate of the authority to trust instead of the system's."""

    cert_file: str | Path | None = None
    """Our own certificate, where the broker asks for one; with its `key_file`."""

    key_file: str | Path | None = None
    protocol: Literal[4, 5] = 5
    """5 falls back to 3.1.1 when the broker does not know it; 4 is 3.1.1 at once."""

    client_id: str = "edgepose"
    """Begins our client id; a random part follows, because two clients of one id throw
    each other out for ever."""

    session: str | None = None
    """Follows instead of the random part, so that a session outlives this process."""

    availability_topic: str | None = None
    """Holds ``online`` while we are there: birth message, last will and farewell."""

    keepalive_s: int = 15
    """A silent connection is given up after twice this time."""

    retry_s: tuple[float, float] = (0.5, 30.0)
    """The first and the longest pause between two attempts."""

    @classmethod
    def from_url(cls, url: str, **settings: Any) -> Self:
        """Read ``mqtt[s]://[user[:password]@]host[:port][,host…]``; given settings win over it.

        Raises
        ------
        ConfigError
            When the URL cannot be meant; never repeats its password.
        """
        try:
            found = urls.broker(url)
        except ValueError:
            found = None
        if found is None or found.port is None or found.embedded:
            _, at, rest = url.rpartition("@")
            shown = f"***@{rest}" if at else url
            msg = f"mqtt.url = {shown!r}: expected mqtt://HOST:PORT, or mqtts://HOST:PORT for TLS"
            raise ConfigError(msg)
        given = {key: value for key, value in settings.items() if value not in {None, ""}}
        login = {"username": found.username or None, "password": found.password or None}
        place: dict[str, Any] = {"host": found.host, "port": found.port, "tls": found.tls}
        return cls(**(place | {"others": found.others} | login | given))

    def at(self, turn: int) -> Self:
        """Return the same for one server alone: each in its turn."""
        servers = (urls.Address(self.host, self.port), *self.others)
        host, port = servers[turn % len(servers)]
        return replace(self, host=host, port=port, others=())

    @property
    def address(self) -> str:
        """Host and port, fit to be logged."""
        return str(urls.Address(self.host, self.port))


def backoff_s(failures: int, limits_s: tuple[float, float], part: float) -> float:
    """Return the pause after so many failed attempts in a row.

    It doubles twice, stays so for the time in which a broker restarts, and then doubles
    up to the limit; `part`, from 0 to 1, picks a moment in its second half, so that the
    devices of a house do not all come back at once.
    """
    first_s, longest_s = limits_s
    doublings = min(failures - 1, 2) + max(0, failures - QUICK)
    return min(longest_s, first_s * 2.0 ** min(doublings, 32)) * (0.5 + part / 2)


def tls_context(options: Options) -> ssl.SSLContext:
    """Read the certificates.

    Raises
    ------
    ConfigError
        When one of the files is missing or is no certificate or key.
    """
    for key in ("ca_file", "cert_file", "key_file"):
        path = getattr(options, key)
        if path is not None and not Path(path).is_file():
            msg = f"mqtt.{key} = {str(path)!r}: no such file"
            raise ConfigError(msg)
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except ssl.SSLError as error:
        msg = f"mqtt.ca_file = {str(options.ca_file)!r}: no certificate ({error.reason})"
        raise ConfigError(msg) from None
    if options.cert_file is None:
        return context
    try:
        context.load_cert_chain(options.cert_file, options.key_file)
    except ssl.SSLError as error:
        msg = f"mqtt.cert_file = {str(options.cert_file)!r}: no certificate with its key"
        raise ConfigError(f"{msg} ({error.reason}); set mqtt.key_file") from None
    return context


def login(config: Config, own: "EmbeddedBroker | None" = None) -> Options:
    """Say where the configured broker is, or our own, and who we are to it."""
    mqtt = config.mqtt
    username, password = config_secrets.login(mqtt)
    return Options.from_url(
        own.url if own else mqtt.url,
        username=username,
        password=password,
        ca_file=mqtt.ca_file,
        cert_file=mqtt.cert_file,
        key_file=mqtt.key_file,
        protocol=own.protocol if own else mqtt.protocol,
        client_id=f"edgepose-{config.device.id}",
    )
