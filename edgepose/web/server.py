"""The HTTP server of the page: static files, API and WebSocket."""

import asyncio
import hashlib
import logging
import math
import os
import re
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import msgspec
from aiohttp import WSMsgType, web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Meta, Struct

from edgepose.errors import in_words
from edgepose.system import logs, process
from edgepose.system.connections import ConnectionLimits, LimitedListener
from edgepose.system.log_limit import RepeatFilter
from edgepose.web import certificates, feed, guard, live, tokens
from edgepose.web.answers import Refused, json_response, keep_short
from edgepose.web.api import Api
from edgepose.web.api_parameters import PREFIX
from edgepose.web.live import HEARTBEAT_S, MAX_MESSAGE_BYTES, Hub, PageViewer, Viewer

if TYPE_CHECKING:
    from edgepose.web.editing import Editor

from edgepose.web.daemon_client import DaemonClient

T = TypeVar("T")

log: Final = logging.getLogger(__name__)

TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
"""Media types by suffix; those of the system may differ from what browsers expect."""

STATIC: Final = Path(__file__).parent / "static"
IDLE_S: Final = 600.0  # the process ends this long after the last client
LOOK_S: Final = 10.0  # interval of checking `IDLE_S` and the access of clients
ENDING_S: Final = 0.2
BODY: Final = 256 * 1024
BODY_S: Final = 8.0  # to receive a body; less than the time limit of the connection
NESTING: Final = 16  # maximum nesting of a body; the page sends up to 6 levels
CONNECTIONS: Final = ConnectionLimits(total=256, per_network=64, request_s=10.0)
"""Limits of connections. A browser opens up to 7; behind a proxy all users share an address."""

VIEWERS: Final = 32

STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
BRACKET: Final = re.compile(rb"[\[\]{}]")

OPEN: Final = frozenset({"/api/session", "/api/login", "/api/logout"})
"""Paths without a token check; the request must come from this page."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Login(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a login."""

    token: Annotated[str, Meta(max_length=256)]


class PageServer:
    """Serves the page and the API, and holds the connection to the daemon."""

    def __init__(self, start: feed.Start, daemon: DaemonClient) -> None:
        self._start, self._daemon = start, daemon
        self._allowed_hosts = guard.AllowedHosts(start.hosts)
        self._proxies = guard.TrustedProxies(start.trusted_proxies)
        self._watch_changed = asyncio.Event()
        self.hub = Hub(start.cameras, self._watch_changed.set)
        self._files = {
            f"/static/{file.relative_to(STATIC).as_posix()}": file
            for file in STATIC.rglob("*")
            if file.suffix in TYPES
        }
        self._used_s = time.monotonic()
        self._editor: asyncio.Future[Editor]
        self._connections: LimitedListener
        self._revision = ""
        self._saving = asyncio.Lock()
        self._sessions = guard.Sessions(start.session_key)
        self._throttle = guard.LoginThrottle()

    async def run(self, listener: socket.socket) -> None:
        """Serve until the daemon ends or there has been no client for `IDLE_S`."""
        tls = certificates.context(self._start.cert_file, self._start.key_file)
        runner = web.AppRunner(
            self._build_app(), access_log=None, shutdown_timeout=ENDING_S, auto_decompress=False
        )
        await runner.setup()
        assert runner.server is not None
        self._connections = LimitedListener(listener, runner.server, CONNECTIONS, tls=tls)
        origin = bytes(self._start.origin)
        self._editor = asyncio.ensure_future(asyncio.to_thread(_editor, origin))
        ends = [
            self._listen_to_daemon(),
            self._send_watch(),
            self._wait_until_idle(),
            self._connections.run(),
        ]
        tasks = [asyncio.ensure_future(end) for end in ends]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for viewer in list(self.hub.viewers):
            viewer.leave()
        await runner.cleanup()
        for task in done:
            task.result()

    def _build_app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard_request], client_max_size=BODY)
        app.on_response_prepare.append(_harden_headers)
        app.router.add_get("/api/live", self._serve_live)
        app.router.add_get("/api/session", self._serve_session)
        app.router.add_post("/api/login", self._handle_login)
        app.router.add_post("/api/logout", self._handle_logout)
        app.router.add_get("/api/config", self._serve_config)
        app.router.add_get(r"/api/clips/{number:\d{1,15}}", self._clip)
        app.router.add_put("/api/config", self._save_config)
        app.router.add_post("/api/cameras/{camera}/set", self._apply_setting)
        Api(self.hub, self._start.topic_prefix, self).add_routes(app.router)
        app.router.add_get("/{path:.*}", self._serve_file)
        return app

    # The daemon

    async def _listen_to_daemon(self) -> None:
        """Handle the daemon's messages until it ends."""
        while (message := await self._daemon.receive()) is not None:
            if message.type == "answer":
                answer = msgspec.json.decode(message.payload, type=feed.Answer)
                self._daemon.add_answer(answer.number, answer.error)
            elif message.type == "reloaded":
                await self._on_reloaded(msgspec.json.decode(message.payload, type=feed.Reloaded))
            else:
                self.hub.receive(message)

    async def _on_reloaded(self, reload: feed.Reloaded) -> None:
        self.hub.keep_only(reload.cameras)
        if self._revision:  # a page has read a revision
            revision = await asyncio.to_thread((await self._editor).revision)
            if revision != self._revision:
                self._revision = revision
                self.hub.broadcast("config", revision=revision)
        for number in reload.numbers:
            self._daemon.add_answer(number, reload.error)

    async def _send_watch(self) -> None:
        """Send the needed cameras to the daemon, if they have changed."""
        sent = feed.Watch(poses=(), pictures=())
        while True:
            await self._watch_changed.wait()
            self._watch_changed.clear()
            now = feed.Watch(poses=self.hub.wanted("poses"), pictures=self.hub.wanted("picture"))
            if now != sent:
                await self._daemon.send(now)
                sent = now

    async def _wait_until_idle(self) -> None:
        """Wait until there has been no client for `IDLE_S`."""
        while self.hub.viewers or time.monotonic() - self._used_s < IDLE_S:
            await asyncio.sleep(LOOK_S)
            self.hub.drop_disallowed()

    # Requests

    @web.middleware
    async def _guard_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Handle an allowed request; answer every refusal with an error message."""
        self._used_s = time.monotonic()
        try:
            self._check_request(request)
            if request.method not in guard.SAFE:
                await _receive_body(request)
            # Until here the request is incomplete: a new connection may replace this one.
            with self._connections.handling(request.protocol):
                return await handler(request)
        except Refused as refused:
            return json_response(refused.content, status=refused.status, headers=refused.headers)
        except web.HTTPException as error:
            headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return json_response(
                {"error": error.reason.lower()}, status=error.status, headers=headers
            )
        except ConnectionError:  # the client has disconnected; raising would log an error
            return json_response({"error": "the connection ended"}, status=400)
        except Exception:
            log.exception("page: %s %s", request.method, request.path)
            return json_response(
                {"error": "internal error of the page; see the log of edgepose"}, status=500
            )

    def _check_request(self, request: web.Request) -> None:
        host = guard.host(request)
        trusted = self._proxies.sent(request)
        if not trusted and not self._allowed_hosts.allows(host):
            name = guard.bare(host)[:100]
            msg = f'"{name}" is not a known name of this machine; add it to web.hosts'
            raise Refused(403, msg)
        if request.path.startswith(PREFIX) and self._has_read_token(request):
            return
        api = request.path.startswith("/api/")
        if (api or request.method not in guard.SAFE) and not guard.is_ours(
            request, forwarded=trusted
        ):
            raise Refused(403, "requests from pages of other sites are refused")
        if request.method not in guard.SAFE:
            _check_content_type(request)
        if api and request.path not in OPEN and not self._is_allowed(request):
            raise Refused(401, "sign in with the token first")

    def may_read(self, request: web.Request) -> bool:
        """Return whether a request to the API has read access."""
        given = guard.credentials(request)
        return self._is_allowed(request) or (given is not None and self._fits_token(given))

    def _has_read_token(self, request: web.Request) -> bool:
        """Return whether a request has a valid token and needs it.

        Raises
        ------
        Refused
            If the token is wrong.
        """
        given = guard.credentials(request)
        ours = guard.is_ours(request, forwarded=self._proxies.sent(request))
        if given is None or (ours and self._is_allowed(request)):
            return False
        address = request.remote or ""
        self._require_patience(address)
        if not self._fits_token(given):
            self._throttle.add_failure(address)
            refused = Refused(401, "wrong token")
            refused.headers["WWW-Authenticate"] = "Bearer"
            raise refused
        return True

    def _fits_token(self, given: guard.Credentials) -> bool:
        """Return whether a token is the read token or, outside of URLs, the owner's token."""
        known = (
            [self._read_token()] if given.in_url else [self._read_token(), self._current_token()]
        )
        return any(token is not None and token.fits(given.token) for token in known)

    def _read_token(self) -> tokens.Hashed | None:
        file = self._start.token_file
        return tokens.read(Path(file).with_name(tokens.READ_FILE)) if file else None

    def _is_allowed(self, request: web.Request) -> bool:
        """Return whether a request needs no token, or its session is valid."""
        return not self._needs_token(request) or self._signed_in(request)

    def _needs_token(self, request: web.Request) -> bool:
        near = self._start.local and guard.is_near(request)
        return not near and not self._proxies.sent(request)

    def _signed_in(self, request: web.Request) -> bool:
        token, cookie = self._current_token(), request.cookies.get(guard.COOKIE, "")
        return token is not None and self._sessions.holds(cookie, token, time.time())

    def _current_token(self) -> tokens.Hashed | None:
        """Return the hash of the current token, read again as it may have been replaced."""
        return tokens.read(Path(self._start.token_file)) if self._start.token_file else None

    async def _serve_file(self, request: web.Request) -> web.StreamResponse:
        path = "/static/index.html" if request.path == "/" else request.path
        file = self._files.get(path)
        if file is None:
            raise Refused(404, "no such file")
        content = file.read_bytes()
        tag = hashlib.blake2s(content, digest_size=12).hexdigest()
        headers = {"Cache-Control": "no-cache", "ETag": f'"{tag}"'}
        if any(known.value == tag for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(
            body=content, content_type=TYPES[file.suffix], charset="utf-8", headers=headers
        )

    async def _serve_session(self, request: web.Request) -> web.StreamResponse:
        return json_response(
            {"signed_in": self._is_allowed(request), "token_needed": self._needs_token(request)}
        )

    async def _handle_login(self, request: web.Request) -> web.StreamResponse:
        login, address = await _read_body(request, Login), request.remote or ""
        self._require_patience(address)
        token = self._current_token()
        if token is None:
            raise Refused(401, "no token was made yet; make one: edgepose web token")
        if not token.fits(login.token):
            self._throttle.add_failure(address)
            raise Refused(401, "wrong token")
        answer = web.Response(status=204)
        answer.set_cookie(
            guard.COOKIE,
            self._sessions.cookie(token, time.time()),
            max_age=guard.SESSION_S,
            path=guard.COOKIE_PATH,
            httponly=True,
            samesite="Strict",
            secure=self._is_secure(request),
        )
        return answer

    def _require_patience(self, address: str) -> None:
        """Raise an error for an address that has sent too many wrong tokens.

        Raises
        ------
        Refused
        """
        wait_s = math.ceil(self._throttle.wait_s(address))
        if wait_s:
            refused = Refused(429, f"too many wrong tokens; try again in {wait_s} s")
            refused.headers["Retry-After"] = str(wait_s)
            raise refused

    async def _handle_logout(self, request: web.Request) -> web.StreamResponse:
        answer = web.Response(status=204)
        answer.del_cookie(guard.COOKIE, path=guard.COOKIE_PATH, samesite="Strict", httponly=True)
        return answer

    def _is_secure(self, request: web.Request) -> bool:
        """Return whether the browser uses HTTPS, with this server or a proxy."""
        return request.secure or request.headers.get("Origin", "").startswith("https:")

    async def _clip(self, request: web.Request) -> web.StreamResponse:
        """Return a clip that an event on the page links to."""
        content = self.hub.clip(int(request.match_info["number"]))
        if content is None:
            raise Refused(404, "this clip is not kept any more")
        return web.Response(body=content, content_type="image/webp")

    async def _serve_config(self, request: web.Request) -> web.StreamResponse:
        shown = await asyncio.to_thread((await self._editor).look)
        self._revision = self._revision or shown["revision"]
        return json_response(shown)

    async def _save_config(self, request: web.Request) -> web.StreamResponse:
        from edgepose.web import editing

        tags = request.if_match or ()
        if len(tags) != 1:
            raise Refused(428, "expected the header If-Match with the revision that was read")
        changes = await _read_body(request, editing.ConfigChanges)
        editor = await self._editor
        async with self._saving:
            try:
                revision = await asyncio.to_thread(editor.save, changes, tags[0].value)
            except editing.ReadOnlyConfig as error:
                raise Refused(403, str(error)) from None
            except editing.RevisionConflict as error:
                raise Refused(409, str(error), revision=error.revision) from None
            except editing.InvalidChanges as error:
                raise Refused(422, str(error), problems=error.problems) from None
            refusal = await self._ask_daemon(lambda number: feed.Reload(number=number))
        return json_response({"revision": revision} | ({"reload": refusal} if refusal else {}))

    async def _apply_setting(self, request: web.Request) -> web.StreamResponse:
        camera, settings = request.match_info["camera"], await _read_body(request, dict[str, Any])
        raw = msgspec.Raw(msgspec.json.encode(settings))
        refusal = await self._ask_daemon(
            lambda number: feed.Set(number=number, camera=camera, settings=raw)
        )
        if refusal:
            raise Refused(422, refusal)
        return web.Response(status=204)

    async def _ask_daemon(self, make: Callable[[int], feed.Command]) -> str:
        try:
            return await self._daemon.request(make)
        except TimeoutError:
            raise Refused(504, "the daemon did not answer in time; see its log") from None

    async def _serve_live(self, request: web.Request) -> web.StreamResponse:
        viewer = PageViewer(bytes(self._start.hello), lambda: self._is_allowed(request))

        def on_message(kind: WSMsgType, content: Any) -> None:
            asked = live.read_request(kind, content)
            if asked != viewer.request:
                viewer.request = asked
                self.hub.changed()

        return await self.serve_socket(request, viewer, on_message)

    async def serve_socket(
        self,
        request: web.Request,
        viewer: Viewer,
        on_message: Callable[[WSMsgType, Any], None],
    ) -> web.StreamResponse:
        """Serve a client over a WebSocket, if the limit of clients allows it."""
        self.require_room()
        answer = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S,
            max_msg_size=MAX_MESSAGE_BYTES,
            compress=False,
            writer_limit=0,
            timeout=ENDING_S,
        )
        if not answer.can_prepare(request):
            raise Refused(426, "expected a WebSocket")
        await answer.prepare(request)
        keep_short(request.transport)
        await live.serve_socket(self.hub, viewer, answer, on_message)
        return answer

    def require_room(self) -> None:
        """Raise an error if the limit of clients is reached.

        Raises
        ------
        Refused
        """
        if sum(viewer.counts for viewer in self.hub.viewers) >= VIEWERS:
            raise Refused(503, f"{VIEWERS} clients are connected already; close one")


def _editor(origin: bytes) -> "Editor":
    """Load and create the editor, while the browser loads the page."""
    from edgepose.web.editing import Editor

    return Editor(origin)


async def _receive_body(request: web.Request) -> None:
    """Receive the body of a request; the request caches it.

    Raises
    ------
    Refused
        When it is too large, malformed, or takes too long.
    """
    try:
        async with asyncio.timeout(BODY_S):
            await request.read()
    except TimeoutError:
        raise Refused(408, f"expected the whole body within {BODY_S:g} s") from None
    except web.HTTPRequestEntityTooLarge:
        raise Refused(413, f"expected a body of at most {BODY} bytes") from None
    except web.RequestPayloadError:
        raise Refused(400, "the body does not have the encoding that its headers say") from None


async def _read_body(request: web.Request, type_: type[T]) -> T:
    """Decode the body of a request.

    Raises
    ------
    Refused
        When it is not JSON of this type, or too deeply nested.
    """
    body = await request.read()
    if nesting(body) > NESTING:
        raise Refused(422, f"expected at most {NESTING} levels of brackets within brackets")
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(422, in_words(error)) from None


def nesting(body: bytes) -> int:
    """Return the nesting depth of brackets in a JSON text."""
    depth = deepest = 0
    for bracket in BRACKET.findall(STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _check_content_type(request: web.Request) -> None:
    """Raise an error unless the body is declared as JSON: browsers send others across sites.

    Raises
    ------
    Refused
    """
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Refused(415, "expected a body without Content-Encoding")
    if request.content_type == "application/json":
        return
    if "Content-Type" not in request.headers:
        raise Refused(422, "expected a JSON body and the header Content-Type: application/json")
    raise Refused(415, f"expected application/json, not {request.content_type[:100]}")


async def _harden_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(guard.HEADERS)
    if request.path.startswith(PREFIX) and guard.credentials(request) is not None:
        # Dashboards of other sites may embed it: its URL contains the token.
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"


class BadRequestFilter(logging.Filter):
    """Shortens aiohttp's traceback of a malformed request to one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten the record; always returns True."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            message = record.getMessage()  # contains the client's address
            record.msg, record.args = "page: a request is not valid HTTP: %s", (message,)
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.exc_info = record.exc_text = None
        return True


def limit_logs() -> None:
    """Rate-limit log records that remote parties can trigger repeatedly."""
    logging.getLogger("aiohttp.server").addFilter(BadRequestFilter())
    for name in (__name__, "aiohttp.server", "asyncio"):
        logging.getLogger(name).addFilter(RepeatFilter())


async def serve(listener: socket.socket, line: socket.socket) -> None:
    """Serve the page on a listener; `line` is the socket to the daemon."""
    daemon = DaemonClient(line)
    message = await daemon.receive()
    if message is None:
        return
    start = msgspec.json.decode(message.payload, type=feed.Start)
    logs.configure("warning", start.log_format)
    limit_logs()
    os.nice(5)  # lower priority than inference
    process.pin_to_spare_cores(start.engine_threads)
    await PageServer(start, daemon).run(listener)
