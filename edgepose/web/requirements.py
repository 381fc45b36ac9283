"""Requirements for serving the page."""

import ssl
from importlib.util import find_spec
from pathlib import Path

from edgepose import extras
from edgepose.config.schema import Config
from edgepose.system import storage
from edgepose.urls import address, is_local
from edgepose.web import certificates, tokens


def missing_requirement(config: Config) -> tuple[str, str] | None:
    """Return what is missing to serve the page, with the remedy; None if nothing is missing."""
    if find_spec("aiohttp") is None or find_spec("tomlkit") is None:
        todo = f'{extras.install("web")}, or set web.listen to "" for off'
        return "its libraries are not installed", todo
    place = address(config.web.listen)
    open_to_others = place is not None and not is_local(place.host)
    proxied = config.web.trusted_proxies
    if open_to_others and not proxied and tokens.read(_token_file(config)) is None:
        found = f"web.listen = {config.web.listen} is beyond this machine and there is no token"
        return found, "make one: sudo edgepose web token; then: sudo systemctl reload edgepose"
    found = bad_certificate(config)
    if found:
        return found, "name a certificate in PEM, and in web.key_file its key"
    return None


def bad_certificate(config: Config) -> str:
    """Return why the page's certificate cannot be used; empty if it can, or if there is none."""
    try:
        certificates.context(config.web.cert_file, config.web.key_file)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or error.strerror
        return f"web.cert_file = {config.web.cert_file}: no certificate with its key ({reason})"
    return ""


def _token_file(config: Config) -> Path | None:
    folder = storage.state_directory(config.device.id)
    return folder and folder / tokens.FILE
