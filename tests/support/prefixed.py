"""A proxy that serves a page below a path prefix that is unknown to the page.

It follows Home Assistant's documentation of ingress: the prefix is stripped, `Host` is
forwarded, `X-Forwarded-For` and `X-Ingress-Path` are added, and every WebSocket message is
forwarded separately. With a session it admits only browsers that send its cookie.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import ClientSession, TCPConnector, WSMsgType, web

COOKIE: Final = "ingress_session"
HOP: Final = frozenset({"connection", "content-length", "transfer-encoding", "upgrade"})
FRAME: Final = (
    '<!doctype html><title>frame</title><iframe src="{}/" width=1240 height=800></iframe>'
)


@dataclass
class Prefixed:
    """A running proxy."""

    port: int
    prefix: str
    outside: list[str] = field(default_factory=list)
    """Requested paths outside of the prefix."""

    @property
    def url(self) -> str:
        """Return the address of the page, with a slash at the end."""
        return f"http://127.0.0.1:{self.port}{self.prefix}/"

    @property
    def frame(self) -> str:
        """Return the address of a page on the same host that embeds ours in a frame."""
        return f"http://127.0.0.1:{self.port}/frame"


class Proxy:
    """The proxy's request handler.

    Parameters
    ----------
    target : str
        Address of the page, without a slash at its end.
    made : Prefixed
        Records the requests outside of the prefix.
    address : str
        Source address of its connections.
    session : str
        The cookie that browsers must send; empty for none.
    """

    def __init__(self, target: str, made: Prefixed, address: str, session: str) -> None:
        self._target, self._made = target, made
        self._address, self._session = address, session
        self._client: ClientSession | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Forward a request."""
        if request.path == "/frame":
            text = FRAME.format(self._made.prefix)
            answer = web.Response(text=text, content_type="text/html")
            answer.set_cookie(COOKIE, self._session, path="/", samesite="Strict")
            return answer
        if request.path == "/favicon.ico":  # requested by the page around ours
            return web.Response(status=204)
        if not request.path.startswith(f"{self._made.prefix}/"):
            self._made.outside.append(request.path)
            raise web.HTTPNotFound
        if self._session and request.cookies.get(COOKIE) != self._session:
            raise web.HTTPUnauthorized
        if self._client is None:
            connector = TCPConnector(local_addr=(self._address, 0))
            self._client = ClientSession(connector=connector, auto_decompress=False)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._join(request, self._client)
        return await self._fetch(request, self._client)

    async def close(self) -> None:
        """Close its connections to the page."""
        if self._client is not None:
            await self._client.close()

    def _where(self, request: web.Request) -> str:
        return self._target + request.raw_path.removeprefix(self._made.prefix)

    def _headers(self, request: web.Request) -> dict[str, str]:
        own = {"X-Ingress-Path": self._made.prefix, "X-Forwarded-For": request.remote or ""}
        kept = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in HOP and not name.lower().startswith("sec-websocket")
        }
        return kept | own

    async def _fetch(self, request: web.Request, client: ClientSession) -> web.Response:
        asked = client.request(
            request.method,
            self._where(request),
            headers=self._headers(request),
            data=await request.read(),
            allow_redirects=False,
        )
        async with asked as found:
            answer = web.Response(status=found.status, body=await found.read())
            for name, value in found.headers.items():
                if name.lower() not in HOP:
                    answer.headers.add(name, value)
            return answer

    async def _join(self, request: web.Request, client: ClientSession) -> web.WebSocketResponse:
        headers = self._headers(request)
        async with client.ws_connect(self._where(request), headers=headers) as there:
            here = web.WebSocketResponse()
            await here.prepare(request)
            ways = [asyncio.ensure_future(_forward(*way)) for way in ((here, there), (there, here))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await here.close()
        return here


async def _forward(source: Any, sink: Any) -> None:
    async for message in source:
        if message.type == WSMsgType.TEXT:
            await sink.send_str(message.data)
        else:
            await sink.send_bytes(message.data)


@contextmanager
def prefixed(
    target: str, prefix: str, *, address: str = "127.0.0.1", session: str = ""
) -> Iterator[Prefixed]:
    """Serve the site at `target` below a prefix."""
    loop = asyncio.new_event_loop()
    made = Prefixed(0, prefix)
    proxy = Proxy(target, made, address, session)

    async def begin() -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(proxy.answer), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.port = runner.addresses[0][1]
        return runner

    async def end(runner: web.ServerRunner) -> None:
        await proxy.close()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(end(runner), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
