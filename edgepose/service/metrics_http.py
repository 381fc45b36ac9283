"""The HTTP server of the metrics, with a time limit for each connection."""

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import Callable, Iterable
from email.message import Message
from http.client import HTTPException, parse_headers
from io import BytesIO
from typing import Any, Final

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, make_wsgi_app
from prometheus_client.registry import Collector

from edgepose.system.connections import ConnectionLimits, LimitedListener
from edgepose.system.log_limit import RepeatFilter

log: Final = logging.getLogger(__name__)
log.addFilter(RepeatFilter())

LIMITS: Final = ConnectionLimits(total=32, per_network=8, request_s=10.0)
"""Limits of connections; the time limit covers request, collection and response."""

HEAD_BYTES: Final = 8192
UNKNOWN_VERSION: Final = re.compile(r"version=(?!\s*\d+(\.\d+)*\s*([;,]|$))")
"""A version in an Accept header that is not a number: prometheus_client raises on it."""

Collect = Callable[[], Iterable[Metric]]
WsgiApp = Callable[[dict[str, Any], Callable[..., None]], Iterable[bytes]]


def serve(listener: socket.socket, collect: Collect) -> None:
    """Answer requests in the calling thread until the listener is shut down."""
    asyncio.run(_serve_requests(listener, _wsgi_app(collect)))


async def _serve_requests(listener: socket.socket, app: WsgiApp) -> None:
    collecting = asyncio.Lock()
    loop = asyncio.get_running_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            try:
                writer.write(await _answer_request(reader, app, collecting))
                await writer.drain()
            finally:
                writer.close()

    def make_protocol() -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(HEAD_BYTES, loop)
        return asyncio.StreamReaderProtocol(reader, answer, loop)

    await LimitedListener(listener, make_protocol, LIMITS).run()


async def _answer_request(
    reader: asyncio.StreamReader, app: WsgiApp, collecting: asyncio.Lock
) -> bytes:
    """Read one request and return the response; empty if the client disconnected."""
    try:
        environ = _wsgi_environ(await reader.readuntil(b"\r\n\r\n"))
    except asyncio.IncompleteReadError:
        return b""
    except asyncio.LimitOverrunError:
        return _build_response(
            "431 Request Header Fields Too Large", [], b"the request is too long\n"
        )
    except (ValueError, HTTPException):
        return _build_response("400 Bad Request", [], b"expected an HTTP request\n")
    try:
        async with collecting:
            return await asyncio.to_thread(_call_app, app, environ)
    except Exception:
        log.exception("metrics: the numbers could not be collected")
        return _build_response("500 Internal Server Error", [], b"see the log of edgepose\n")


def _wsgi_environ(head: bytes) -> dict[str, Any]:
    """Return the WSGI environment of a request, with the variables that the application reads.

    Raises
    ------
    ValueError, HTTPException
        When the head is not valid HTTP.
    """
    line, _, rest = head.partition(b"\r\n")
    method, target, version = line.decode("ascii").split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(version)
    path, _, query = target.partition("?")
    headers: Message = parse_headers(BytesIO(rest))
    accept = headers.get("Accept", "")
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "HTTP_ACCEPT": "" if UNKNOWN_VERSION.search(accept) else accept,
        "HTTP_ACCEPT_ENCODING": headers.get("Accept-Encoding", ""),
    }


def _call_app(app: WsgiApp, environ: dict[str, Any]) -> bytes:
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        started.append((status, headers))

    body = b"".join(app(environ, start_response))
    return _build_response(*started[0], body)


def _build_response(status: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    more = [("Content-Length", str(len(body))), ("Connection", "close")]
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in [*headers, *more])]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _wsgi_app(collect: Collect) -> WsgiApp:
    class Numbers(Collector):
        def collect(self) -> Iterable[Metric]:
            return collect()

    registry = CollectorRegistry()
    registry.register(Numbers())
    ProcessCollector(registry=registry)
    app: WsgiApp = make_wsgi_app(registry)
    return app
