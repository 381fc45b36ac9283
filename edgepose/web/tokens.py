"""The token that opens the page from other machines: made once, kept as a hash."""

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final

import msgspec

from edgepose.system import storage

FILE: Final = "web-token"
BYTES: Final = 24  # nobody guesses 192 random bits, so the hash need not be a slow one


class Hashed(msgspec.Struct, frozen=True):
    """What is kept of a token."""

    salt: bytes
    digest: bytes

    def fits(self, token: str) -> bool:
        """Say whether a token is the one; how long that takes tells nothing about it."""
        return hmac.compare_digest(_digest(token, self.salt), self.digest)


def make(file: Path) -> str:
    """Make a new token, whose hash takes the place of the older one's; return it.

    The hash is for the eyes of whom its folder belongs to.
    """
    token, salt = secrets.token_urlsafe(BYTES), secrets.token_bytes(16)
    folder = file.parent.stat()
    storage.write(
        file,
        msgspec.json.encode(Hashed(salt, _digest(token, salt))),
        mode=0o600,
        owner=(folder.st_uid, folder.st_gid),
    )
    return token


def read(file: Path | None) -> Hashed | None:
    """Return what is kept; None where there is no token, or nothing that can be read."""
    if file is None:
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=Hashed)
    except (OSError, msgspec.DecodeError):
        return None


def _digest(token: str, salt: bytes) -> bytes:
    return hashlib.blake2b(token.encode(), salt=salt, digest_size=32).digest()
