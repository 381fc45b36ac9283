"""Tokens for access from other machines, stored as hashes."""

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final

import msgspec

from edgepose.system import storage

FILE: Final = "web-token"
READ_FILE: Final = "web-read-token"
"""File of the read-only token for programs, in the same folder."""

BYTES: Final = 24  # 192 random bits cannot be guessed, so a fast hash is sufficient


class Hashed(msgspec.Struct, frozen=True):
    """The stored hash of a token."""

    salt: bytes
    digest: bytes

    def fits(self, token: str) -> bool:
        """Return whether a token has this hash, in constant time."""
        return hmac.compare_digest(_token_digest(token, self.salt), self.digest)


def make(file: Path) -> str:
    """Create and return a token; its hash replaces the stored one.

    Only the owner of the folder can read the file.
    """
    token, salt = secrets.token_urlsafe(BYTES), secrets.token_bytes(16)
    folder = file.parent.stat()
    storage.write(
        file,
        msgspec.json.encode(Hashed(salt, _token_digest(token, salt))),
        mode=0o600,
        owner=(folder.st_uid, folder.st_gid),
    )
    return token


def read(file: Path | None) -> Hashed | None:
    """Return the stored hash; None if there is none or it cannot be read."""
    if file is None:
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=Hashed)
    except (OSError, msgspec.DecodeError):
        return None


def _token_digest(token: str, salt: bytes) -> bytes:
    return hashlib.blake2b(
        token.encode(errors="surrogateescape"), salt=salt, digest_size=32
    ).digest()
