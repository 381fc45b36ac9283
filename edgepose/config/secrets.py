"""Reads the password for the broker."""

import os
from pathlib import Path
from typing import Final

from edgepose.config.schema import Mqtt
from edgepose.errors import ConfigError
from edgepose.urls import broker

CREDENTIAL: Final = "mqtt-password"
PASSWORD_KEY: Final = ("mqtt", "password_file")
PASSWORD_VARIABLE: Final = "EDGEPOSE_MQTT_PASSWORD"


def login(mqtt: Mqtt) -> tuple[str, str | None]:
    """Return user name and password for the broker; empty and None if not configured.

    The password is the first one found in the URL, `password_file`, the systemd credential and
    the environment. It is not cached, so that a reload uses a changed password.
    """
    asked = broker(mqtt.url)
    username = asked.username or mqtt.username
    if asked.password:
        return username, asked.password
    if mqtt.password_file:
        return username, _read_password(
            Path(mqtt.password_file), "mqtt.password_file", PASSWORD_KEY
        )
    credential = Path(os.environ.get("CREDENTIALS_DIRECTORY", "")) / CREDENTIAL
    # On Debian 12 systemd hides the credential from `ExecReload`: there it counts as missing.
    if credential.is_absolute() and os.access(credential, os.F_OK, effective_ids=True):
        return username, _read_password(credential, f"credential {CREDENTIAL}")
    return username, os.environ.get(PASSWORD_VARIABLE) or None


def _read_password(path: Path, where: str, key: tuple[str, ...] = ()) -> str:
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        msg = f"{where} = {path}: cannot be read: {reason}; expected a file this user may read"
        raise ConfigError(msg, key) from None
    if password:
        return password
    msg = f"{where} = {path}: the file is empty; expected the password"
    raise ConfigError(msg, key)
