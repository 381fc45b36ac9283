"""What all handlers of the page's process share: refusals, JSON, and connections kept short."""

import asyncio
import socket
from typing import Any, Final

import msgspec
from aiohttp import web

UNSENT_BYTES: Final = 16 * 1024  # what the kernel holds back of a client's frames is late as well


class Refused(Exception):  # noqa: N818  # an answer, no fault of the program
    """A request that is answered with a sentence."""

    def __init__(self, status: int, error: str, **more: Any) -> None:
        super().__init__(error)
        # Bytes of headers that are not UTF-8 are surrogates here, which JSON cannot hold.
        printable = error.encode(errors="backslashreplace").decode()
        self.status, self.content = status, {"error": printable, **more}
        self.headers: dict[str, str] = {}


def json_response(
    content: Any, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """Return a response that no cache keeps."""
    return web.Response(
        body=msgspec.json.encode(content),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def keep_short(transport: asyncio.Transport | None) -> None:
    """Keep what waits for a slow client where something newer can still replace it."""
    assert transport is not None
    transport.set_write_buffer_limits(high=UNSENT_BYTES)
    line: Any = transport.get_extra_info("socket")
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
