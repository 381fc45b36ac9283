"""Shared by all HTTP handlers: refusals, JSON responses and small send buffers."""

import asyncio
import socket
from typing import Any, Final

import msgspec
from aiohttp import web

UNSENT_BYTES: Final = 16 * 1024  # frames in the kernel's buffer cannot be replaced by newer ones


class Refused(Exception):  # noqa: N818  # a response, not a program error
    """A refused request; answered with a status and an error message."""

    def __init__(self, status: int, error: str, **more: Any) -> None:
        super().__init__(error)
        # Header bytes that are not UTF-8 are surrogates here, which JSON cannot encode.
        printable = error.encode(errors="backslashreplace").decode()
        self.status, self.content = status, {"error": printable, **more}
        self.headers: dict[str, str] = {}


def json_response(
    content: Any, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """Return a JSON response that is not cached."""
    return web.Response(
        body=msgspec.json.encode(content),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def keep_short(transport: asyncio.Transport | None) -> None:
    """Limit the send buffers, so that pending frames can still be replaced by newer ones."""
    assert transport is not None
    transport.set_write_buffer_limits(high=UNSENT_BYTES)
    line: Any = transport.get_extra_info("socket")
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
