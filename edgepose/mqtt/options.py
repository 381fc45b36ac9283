"""Options of a connection to the broker."""

import hashlib
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, Self

from edgepose import urls
from edgepose.config import secrets as config_secrets
from edgepose.config.schema import Config
from edgepose.errors import ConfigError
from edgepose.mqtt.embedded_broker import EmbeddedBroker

FAST_RETRIES: Final = 24  # attempts before the pauses grow: about half a minute
CERTIFICATE, KEY, ENCRYPTED = b"-----BEGIN CERTIFICATE", b"PRIVATE KEY-----", b"ENCRYPTED"
"""Marks of PEM files."""

DER: Final = b"0"  # first byte of a binary certificate: an ASN.1 sequence
CERTIFICATE_FILES: Final = ("ca_file", "cert_file", "key_file")


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """Address of the broker, login and retry policy."""

    host: str
    port: int = 1883
    others: tuple[urls.Address, ...] = ()
    """Further servers of the same cluster."""

    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | Path | None = None
    """Certificate of the authority to trust instead of the system's."""

    cert_file: str | Path | None = None
    """Client certificate, if the broker requires one; used with `key_file`."""

    key_file: str | Path | None = None
    context: ssl.SSLContext | None = field(default=None, repr=False, compare=False)
    """Context with the certificates; None without TLS."""

    certificates: str = ""
    """Digest of the certificate files: options with renewed certificates differ."""

    protocol: Literal[4, 5] = 5
    """5 falls back to 3.1.1 if the broker does not support it; 4 forces 3.1.1."""

    client_id: str = "edgepose"
    """Prefix of the client id. A random part follows: of two clients with the same id, the broker
    disconnects the older one."""

    fixed_client_id: str = ""
    """The whole client id, for brokers that accept only certain ids."""

    session: str | None = None
    """Replaces the random part, so that a session can outlive this process."""

    availability_topic: str | None = None
    """Topic of the birth message ``online`` and of the last will ``offline``."""

    keepalive_s: int = 15
    """Keepalive interval. A silent connection is closed after twice this time."""

    retry_s: tuple[float, float] = (0.5, 30.0)
    """First and longest pause between two attempts."""

    retry_refused: bool = False
    """Whether to keep trying if the broker has refused the login from the start."""

    refused_retry_s: float = 180.0
    """Longest pause after a refused login."""

    @classmethod
    def from_url(cls, url: str, **settings: Any) -> Self:
        """Read ``mqtt[s]://[user[:password]@]host[:port][,host…]``; explicit settings override it.

        Raises
        ------
        ConfigError
            When the URL is invalid; the message never contains its password.
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
        options = cls(**(place | {"others": found.others} | login | given))
        if not options.tls:
            return options
        context = tls_context(options)
        return replace(options, context=context, certificates=_options_digest(options))

    @classmethod
    def from_config(cls, config: Config, own: EmbeddedBroker | None = None) -> Self:
        """Return the options for the configured or the embedded broker.

        Reads the password and the certificates.

        Raises
        ------
        ConfigError
            When a file of the table `mqtt` is missing, cannot be read or has invalid content.
        """
        mqtt = config.mqtt
        username, password = config_secrets.login(mqtt)
        return cls.from_url(
            own.url if own else mqtt.url,
            username=username,
            password=password,
            ca_file=mqtt.ca_file,
            cert_file=mqtt.cert_file,
            key_file=mqtt.key_file,
            protocol=min(own.protocol, mqtt.protocol) if own else mqtt.protocol,
            client_id=f"edgepose-{config.device.id}",
            fixed_client_id=mqtt.client_id,
        )

    def at(self, turn: int) -> Self:
        """Return the options for one server of the cluster, number `turn` modulo their count."""
        servers = (urls.Address(self.host, self.port), *self.others)
        host, port = servers[turn % len(servers)]
        return replace(self, host=host, port=port, others=())

    @property
    def login(self) -> tuple[str | None, str | None, str]:
        """User name, password and certificate digest, to detect changed files."""
        return self.username, self.password, self.certificates

    @property
    def address(self) -> str:
        """Host and port, without secrets, for the log."""
        return str(urls.Address(self.host, self.port))


def backoff_s(failures: int, limits_s: tuple[float, float], part: float) -> float:
    """Return the pause in seconds after `failures` failed attempts in a row.

    The pause doubles twice, stays constant for the time that a broker needs to restart, and then
    doubles up to the limit. `part`, from 0 to 1, selects a point in its second half, so that not
    all devices of a house reconnect at once.
    """
    first_s, longest_s = limits_s
    doublings = min(failures - 1, 2) + max(0, failures - FAST_RETRIES)
    return min(longest_s, first_s * 2.0 ** min(doublings, 32)) * (0.5 + part / 2)


def tls_context(options: BrokerOptions) -> ssl.SSLContext:
    """Return a TLS context with the configured certificates.

    Raises
    ------
    ConfigError
        When one of the files is missing, cannot be read, or is no certificate or key.
    """
    for key in CERTIFICATE_FILES:
        _require_readable(key, getattr(options, key))
    if options.key_file is not None and options.cert_file is None:
        raise _file_error("key_file", options.key_file, "it needs mqtt.cert_file, which is not set")
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except ssl.SSLError as error:
        what = f"no certificate{_reason(error)}; {_expected(options.ca_file)}"
        raise _file_error("ca_file", options.ca_file, what) from None
    if options.ca_file is not None:
        # Python 3.13 refuses authorities without keyUsage, which many tutorials create. The
        # configured authority is trusted; signatures, names and dates are still verified.
        context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    if options.cert_file is not None:
        _load_own_certificate(context, options)
    return context


def _load_own_certificate(context: ssl.SSLContext, options: BrokerOptions) -> None:
    try:
        # Without a password callback OpenSSL would ask for one in the terminal.
        context.load_cert_chain(options.cert_file or "", options.key_file, password=lambda: "")
    except ssl.SSLError as error:
        reason = _reason(error)
        if not _holds(options.cert_file, CERTIFICATE):
            what = f"no certificate{reason}; {_expected(options.cert_file)}"
            raise _file_error("cert_file", options.cert_file, what) from None
        if options.key_file is None:
            what = f"no certificate with its key{reason}; set mqtt.key_file"
            raise _file_error("cert_file", options.cert_file, what) from None
        what = f"no key without a password that belongs to mqtt.cert_file{reason}"
        if _holds(options.key_file, ENCRYPTED):
            what += "; it has a password: openssl pkey -in LOCKED -out OPEN removes it"
        elif not _holds(options.key_file, KEY):
            what += f"; {_expected(options.key_file, 'key')}"
        raise _file_error("key_file", options.key_file, what) from None


def _reason(error: ssl.SSLError) -> str:
    return f" ({error.reason})" if error.reason else ""


def _holds(path: str | Path | None, mark: bytes) -> bool:
    return path is not None and mark in Path(path).read_bytes()


def _expected(path: str | Path | None, what: str = "certificate") -> str:
    """Return what was found in place of a PEM certificate or key, and what was expected."""
    content = b"" if path is None else Path(path).read_bytes()
    expected = f"expected a {what} in PEM form"
    if not content:
        return f"the file is empty; {expected}"
    if KEY in content and what == "certificate":
        return f"found a key; {expected}"
    if CERTIFICATE in content:
        found = "a certificate" if what == "key" else "a damaged certificate"
        return f"found {found}; {expected}"
    if content[:1] == DER:
        return f"it is in DER form; {expected}: openssl x509 -inform der -in OLD -out NEW"
    return expected


def _require_readable(key: str, path: str | Path | None) -> None:
    if path is None:
        return
    try:
        Path(path).read_bytes()
    except OSError as error:
        what = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise _file_error(key, path, f"{what}; expected a file this user may read") from None


def _file_error(key: str, path: str | Path | None, what: str) -> ConfigError:
    return ConfigError(f"mqtt.{key} = {str(path)!r}: {what}", ("mqtt", key))


def _options_digest(options: BrokerOptions) -> str:
    found = hashlib.sha256()
    for key in CERTIFICATE_FILES:
        path = getattr(options, key)
        found.update(b"" if path is None else Path(path).read_bytes())
    return found.hexdigest()
