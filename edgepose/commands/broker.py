"""Selects the broker for `watch`, `record` and `replay`."""

import argparse
import os
from dataclasses import dataclass
from typing import Any, Final, Self

from edgepose.config import loading, secrets
from edgepose.config.schema import Mqtt
from edgepose.config.secrets import PASSWORD_VARIABLE
from edgepose.errors import UsageError
from edgepose.mqtt.subscriber import DEFAULT_URL
from edgepose.urls import PORTS, broker

LOOPBACK: Final = "127.0.0.1"  # address of the embedded broker


@dataclass(frozen=True, slots=True)
class BrokerChoice:
    """A broker's URL and login."""

    url: str
    settings: dict[str, Any]
    """Keyword arguments of `edgepose.mqtt.options.BrokerOptions.from_url`."""

    base_topic: str
    """First part of the topics."""

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Self:
        """Return the broker of ``--mqtt``, else of the configuration, else on this machine.

        Raises
        ------
        UsageError
            When the configuration or the broker's address is invalid.
        """
        if args.mqtt is not None:
            return cls._of_url(args.mqtt, args)
        if args.config is None and not _is_configured():
            return cls._of_url(DEFAULT_URL, args)
        mqtt = loading.load(args.config or loading.DEFAULT_FILE).mqtt
        username, password = secrets.login(mqtt)
        settings = {
            "username": username,
            "password": password,
            "ca_file": args.ca_file or mqtt.ca_file,
            "cert_file": mqtt.cert_file,
            "key_file": mqtt.key_file,
            "protocol": mqtt.protocol,
        }
        base_topic = getattr(args, "base_topic", None) or mqtt.base_topic
        if (place := broker(mqtt.url)).embedded:
            port = place.port or PORTS["mqtt"]
            return cls(f"mqtt://{LOOPBACK}:{port}", {}, base_topic)
        return cls(mqtt.url, settings, base_topic)

    @classmethod
    def _of_url(cls, url: str, args: argparse.Namespace) -> Self:
        if url == "embedded":
            msg = '--mqtt "embedded" may be at any port; give the url that edgepose run printed'
            raise UsageError(msg)
        if url.startswith("embedded:"):
            url = url.replace("embedded", f"mqtt://{LOOPBACK}", 1)
        named = ":" in url.rpartition("@")[0].partition("//")[2]
        password = None if named else os.environ.get(PASSWORD_VARIABLE)
        base_topic = getattr(args, "base_topic", None) or Mqtt().base_topic
        return cls(url, {"ca_file": args.ca_file, "password": password}, base_topic)


def _is_configured() -> bool:
    """Return whether this machine has a configuration, even one that this user may not read."""
    try:
        return loading.DEFAULT_FILE.exists()
    except PermissionError:
        return True
