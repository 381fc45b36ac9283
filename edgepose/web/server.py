"""The page: its files, what it asks for over HTTP, and the WebSocket that it lives on."""

import asyncio
import hashlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from itertools import count
from mimetypes import guess_type
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from edgepose import vitals
from edgepose.web import feed, guard, tokens
from edgepose.web.feed import Told
from edgepose.web.live import HEARTBEAT_S, MESSAGE, Hub

if TYPE_CHECKING:
    from edgepose.web.editing import Editor

log: Final = logging.getLogger("edgepose.web")

STATIC: Final = Path(__file__).parent / "static"
IDLE_S: Final = 600.0  # so long after the last who looked, we end
LOOK_S: Final = 10.0
ENDING_S: Final = 0.2
ANSWER_S: Final = 120.0  # a new model may be tried, timed and loaded
BODY: Final = 256 * 1024
VIEWERS: Final = 32
UNSENT: Final = 16 * 1024  # what the kernel holds back of a viewer's frames is late as well

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):  # noqa: N818  # an answer, no fault of the program
    """A request that is answered with a sentence."""

    def __init__(self, status: int, error: str, **more: Any) -> None:
        super().__init__(error)
        self.status, self.content = status, {"error": error, **more}
        self.headers: dict[str, str] = {}


class Daemon:
    """The daemon as this process sees it: says things, and is asked to do some.

    Parameters
    ----------
    line : socket
        Of datagrams, as `feed` writes them.
    """

    def __init__(self, line: socket.socket) -> None:
        line.setblocking(False)
        self._line = line
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[str]] = {}

    async def hear(self) -> Told | None:
        """Wait for what the daemon says next; None when it has gone."""
        try:
            datagram = await asyncio.get_running_loop().sock_recv(self._line, feed.LIMIT)
        except ConnectionError:
            return None
        return feed.unpack(datagram) if datagram else None

    async def tell(self, command: feed.Command) -> None:
        """Say something that needs no answer."""
        await asyncio.get_running_loop().sock_sendall(self._line, msgspec.json.encode(command))

    async def ask(self, make: Callable[[int], feed.Command]) -> str:
        """Ask for something; return why it was refused, or an empty text."""
        number = next(self._numbers)
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            await self.tell(make(number))
            return await asyncio.wait_for(answer, ANSWER_S)
        finally:
            del self._waiting[number]

    def answered(self, number: int, error: str) -> None:
        """Take an answer."""
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():
            answer.set_result(error)


class Server:
    """Everything this process does."""

    def __init__(self, start: feed.Start, daemon: Daemon) -> None:
        self._start, self._daemon = start, daemon
        self._names = guard.Names(start.hosts)
        self._look_changed = asyncio.Event()
        self.hub = Hub(bytes(start.hello), start.cameras, self._look_changed.set)
        self._files = {
            f"/static/{file.relative_to(STATIC).as_posix()}": file
            for file in STATIC.rglob("*")
            if file.is_file()
        }
        self._used_s = time.monotonic()
        self._editor: Editor | None = None

    async def run(self, listener: socket.socket) -> None:
        """Serve until the daemon has gone or nobody has looked for long."""
        tls = tokens.tls(self._start.cert_file, self._start.key_file)
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=ENDING_S)
        await runner.setup()
        await web.SockSite(runner, listener, ssl_context=tls).start()
        ends = [self._listen(), self._tell_looks(), self._idle()]
        tasks = [asyncio.ensure_future(end) for end in ends]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for viewer in list(self.hub.viewers):
            viewer.leave()
        await runner.cleanup()
        for task in done:
            task.result()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=BODY)
        app.on_response_prepare.append(_harden)
        app.router.add_get("/api/live", self._live)
        app.router.add_get("/api/config", self._config)
        app.router.add_get("/{path:.*}", self._file)
        return app

    # The daemon

    async def _listen(self) -> None:
        """Hand on what the daemon says until it has gone."""
        while (told := await self._daemon.hear()) is not None:
            if told.word == "answer":
                answer = msgspec.json.decode(told.payload, type=feed.Answer)
                self._daemon.answered(answer.number, answer.error)
            elif told.word == "reloaded":
                await self._reloaded(msgspec.json.decode(told.payload, type=feed.Reloaded))
            else:
                self.hub.take(told)

    async def _reloaded(self, told: feed.Reloaded) -> None:
        self.hub.keep_only(told.cameras)
        for number in told.numbers:
            self._daemon.answered(number, told.error)

    async def _tell_looks(self) -> None:
        """Tell the daemon what somebody looks at, when that has changed."""
        told = feed.Watch(poses=(), pictures=())
        while True:
            await self._look_changed.wait()
            self._look_changed.clear()
            now = feed.Watch(
                poses=self.hub.looked_at(picture=False),
                pictures=self.hub.looked_at(picture=True) if self._start.picture else (),
            )
            if now != told:
                await self._daemon.tell(now)
                told = now

    async def _idle(self) -> None:
        """Wait until nobody has looked for long."""
        while self.hub.viewers or time.monotonic() - self._used_s < IDLE_S:
            await asyncio.sleep(LOOK_S)

    # Requests

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let through who may pass; every refusal is a sentence."""
        self._used_s = time.monotonic()
        try:
            self._check(request)
            return await handler(request)
        except Refused as refused:
            return _json(refused.content, status=refused.status, headers=refused.headers)
        except web.HTTPException as error:
            headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return _json({"error": error.reason.lower()}, status=error.status, headers=headers)
        except Exception:
            log.exception("page: %s %s", request.method, request.path)
            return _json({"error": "a fault of the page; the log tells more"}, status=500)

    def _check(self, request: web.Request) -> None:
        if not self._names.know(request.host):
            name = guard.bare(request.host)[:100]
            msg = f'"{name}" is no name of this machine that it knows; add it to web.hosts'
            raise Refused(403, msg)
        api = request.path.startswith("/api/")
        if (api or request.method not in guard.SAFE) and not guard.is_ours(request):
            raise Refused(403, "another site's page asks for this; only our own may")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = "/static/index.html" if request.path == "/" else request.path
        file = self._files.get(path)
        if file is None:
            raise Refused(404, "there is nothing of this name")
        content = file.read_bytes()
        tag = hashlib.blake2s(content, digest_size=12).hexdigest()
        headers = {"Cache-Control": "no-cache", "ETag": f'"{tag}"'}
        if any(known.value == tag for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        type_ = guess_type(file.name)[0] or "application/octet-stream"
        charset = "utf-8" if type_.startswith("text/") else None
        return web.Response(body=content, content_type=type_, charset=charset, headers=headers)

    async def _config(self, request: web.Request) -> web.StreamResponse:
        return _json(await asyncio.to_thread(self._edit().look))

    def _edit(self) -> "Editor":
        """Return the editor; what it takes is loaded after the first view."""
        from edgepose.web.editing import Editor

        self._editor = self._editor or Editor(bytes(self._start.origin))
        return self._editor

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if len(self.hub.viewers) >= VIEWERS:
            raise Refused(503, f"{VIEWERS} pages are open already; close one")
        answer = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S,
            max_msg_size=MESSAGE,
            compress=False,
            writer_limit=0,
            timeout=ENDING_S,
        )
        if not answer.can_prepare(request):
            raise Refused(426, "this is a WebSocket")
        await answer.prepare(request)
        _keep_short(request.transport)
        await self.hub.show(answer)
        return answer


def _keep_short(transport: asyncio.Transport | None) -> None:
    """Keep what waits for a slow viewer where it can still be replaced by something newer."""
    assert transport is not None
    transport.set_write_buffer_limits(high=UNSENT)
    line: Any = transport.get_extra_info("socket")
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)


def _json(
    content: Any, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(guard.HEADERS)


async def serve(listener: socket.socket, line: socket.socket) -> None:
    """Serve the page on a socket for the daemon at the other end of a line."""
    daemon = Daemon(line)
    told = await daemon.hear()
    if told is None:
        return
    start = msgspec.json.decode(told.payload, type=feed.Start)
    os.nice(5)  # the network comes first
    vitals.keep_to_rest(start.engine_threads)
    await Server(start, daemon).run(listener)
