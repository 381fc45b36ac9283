"""The page's process, with a test in place of the daemon."""

import asyncio
import http.client
import json
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("tomlkit")

from aiohttp import (
    ClientSession,
    ClientWebSocketResponse,
    CookieJar,
    WSMsgType,
    WSServerHandshakeError,
)

from edgepose.system.process import memory_mb
from edgepose.web import feed, tokens
from edgepose.web.daemon_client import DaemonClient
from edgepose.web.server import VIEWERS, PageServer
from tests.support.brokers import wait_until
from tests.support.pages import HELLO, Answer, Site, ask, site, start

pytestmark = pytest.mark.slow

FILE = """\
[mqtt]
url = "mqtt://ann:swordfish@127.0.0.1:1"  # the broker
[web]
listen = "127.0.0.1:8600"
[[camera]]
id = "hall"
source = "rtsp://bob:marlin@127.0.0.1:1/live?token=herring"  # the camera
"""
SECRETS = (b"swordfish", b"marlin", b"herring")
ZONE = {"id": "sofa", "name": "", "kind": "rest", "polygon": [[0.1, 0.5], [0.6, 0.5], [0.6, 1.0]]}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page") / "edgepose.toml"


@pytest.fixture(scope="module")
def running(file: Path) -> Iterator[Site]:
    """Serve a page on loopback, shared by all tests that leave no state in it."""
    with site(file) as made:
        yield made


@pytest.fixture
def page(running: Site, file: Path) -> Site:
    file.write_text(FILE)
    running.refusal = ""
    running.sets.clear()
    while not running.asked.empty():
        running.asked.get()
    return running


@pytest.fixture
def fresh(file: Path) -> Iterator[Site]:
    """Serve a page without any messages yet."""
    with site(file) as made:
        yield made


@pytest.fixture(scope="module")
def token_file(file: Path) -> Path:
    return file.with_name("token")


@pytest.fixture(scope="module")
def guarded(file: Path, token_file: Path) -> Iterator[Site]:
    """Serve a page that other machines reach."""
    with site(file, token_file=str(token_file), local=False, hosts=("pose.example",)) as made:
        yield made


Viewer = ClientWebSocketResponse


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine for a minute at most."""
    return asyncio.run(asyncio.wait_for(work, 60))


@asynccontextmanager
async def viewer(page: Site, **headers: str) -> AsyncIterator[Viewer]:
    """Open the page's WebSocket."""
    where = f"ws://127.0.0.1:{page.port}/api/live"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with ClientSession() as session, session.ws_connect(where, headers=named) as line:
        yield line


async def until(line: Viewer, wanted: Callable[[Any], bool]) -> Any:
    """Wait for a matching message, skipping others."""
    while True:
        message = await line.receive()
        assert message.type in {WSMsgType.TEXT, WSMsgType.BINARY}, message
        if message.type == WSMsgType.TEXT and wanted(json.loads(message.data)):
            return json.loads(message.data)


def is_(type_: str) -> Callable[[Any], bool]:
    """Return a predicate for a type of message."""
    return lambda message: bool(message["type"] == type_)


def sign_in(page: Site, token: str) -> Answer:
    return page.ask("POST", "/api/login", {"token": token})


class TestFiles:
    """The static files."""

    def test_it_is_all_there_and_nothing_else(self, page: Site) -> None:
        """Every file named in the page is served; paths outside of the folder are not."""
        first = page.ask("GET", "/")
        named = {
            part.split('"')[1].removeprefix("/")
            for part in first.body.decode().replace("src=", "href=").split("href=")[1:]
        }
        found = {name: page.ask("GET", f"/{name}") for name in named if "static/" in name}

        assert first.status == 200
        assert first.headers["Content-Type"].startswith("text/html")
        assert found
        assert {answer.status for answer in found.values()} == {200}
        for path in ("/static/", "/static/../server.py", "/static/%2e%2e/server.py", "/etc/passwd"):
            assert page.ask("GET", path).status == 404

    def test_what_a_browser_has_is_not_sent_again(self, page: Site) -> None:
        """An unchanged file is answered with 304; `no-cache` makes browsers ask each time."""
        first = page.ask("GET", "/")

        again = page.ask("GET", "/", If_None_Match=first.headers["ETag"])

        assert (again.status, again.body) == (304, b"")
        assert first.headers["Cache-Control"] == "no-cache"

    @pytest.mark.parametrize("path", ["/", "/nothing", "/api/config", "/api/live"])
    def test_every_answer_says_what_the_page_may_do(self, page: Site, path: str) -> None:
        """The security headers forbid foreign and inline scripts, and frames of other sites."""
        headers = page.ask("GET", path).headers

        policy = dict(
            (directive.strip() + " ").split(" ", 1)
            for directive in headers["Content-Security-Policy"].split(";")
        )
        assert policy["default-src"].strip() == "'none'"
        assert policy["script-src"].strip() == policy["style-src"].strip() == "'self'"
        assert policy["frame-ancestors"].strip() == "'self'"
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "ython" not in headers["Server"]


class TestWhere:
    """Checks of Host and Origin."""

    @pytest.mark.parametrize("path", ["/", "/api/config", "/api/session", "/api/live"])
    def test_a_foreign_name_is_refused(self, page: Site, path: str) -> None:
        """A foreign Host, as with DNS rebinding, is refused; the error names `web.hosts`."""
        answer = page.ask("GET", path, Host="evil.example")

        assert answer.status == 403
        assert "web.hosts" in answer.data["error"]

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
        ],
    )
    def test_another_sites_page_changes_nothing(
        self, page: Site, file: Path, headers: dict[str, str]
    ) -> None:
        """Cross-site requests are refused and change nothing."""
        saved = page.ask("PUT", "/api/config", {"pose": {"min_pose_score": 0.5}}, **headers)
        put = page.ask("POST", "/api/cameras/hall/set", {"paused": True}, **headers)
        seen = page.ask("GET", "/api/config", **headers)

        assert {saved.status, put.status, seen.status} == {403}
        assert file.read_text() == FILE
        assert page.sets == []

    def test_another_sites_page_cannot_look(self, page: Site) -> None:
        """A cross-site WebSocket is refused."""

        async def look() -> None:
            with pytest.raises(WSServerHandshakeError) as refused:
                async with viewer(page, Origin="http://evil.example"):
                    pass
            assert refused.value.status == 403

        run(look())

    def test_a_form_is_no_command(self, page: Site) -> None:
        """The content types of HTML forms, which browsers send cross-site, are refused."""
        for type_ in ("text/plain", "application/x-www-form-urlencoded"):
            answer = page.ask(
                "POST", "/api/cameras/hall/set", b'{"paused": true}', Content_Type=type_
            )
            assert answer.status == 415
        assert page.sets == []

    def test_ours_may(self, page: Site) -> None:
        """Same-origin requests are accepted under each local name."""
        for host in (f"127.0.0.1:{page.port}", f"localhost:{page.port}"):
            answer = page.ask(
                "POST",
                "/api/cameras/hall/set",
                {"paused": True},
                Host=host,
                Origin=f"http://{host}",
                Sec_Fetch_Site="same-origin",
            )
            assert answer.status == 204


PROXY = "127.0.0.2"


def ask_from(address: str, port: int, method: str, path: str, **headers: str) -> int:
    """Send one request from a local address; return the status code."""
    line = http.client.HTTPConnection("127.0.0.1", port, 60, (address, 0))
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = None if method == "GET" else "{}"
    try:
        line.request(method, path, body, {"Content-Type": "application/json", **named})
        return line.getresponse().status
    finally:
        line.close()


class TestTrustedProxy:
    """A proxy that authenticates its users itself, such as Home Assistant's ingress."""

    @pytest.fixture(scope="class")
    @staticmethod
    def proxied(file: Path) -> Iterator[Site]:
        file.write_text(FILE)
        with site(file, local=False, trusted_proxies=(PROXY,)) as made:
            yield made

    def test_it_needs_no_token_and_no_known_name(self, proxied: Site) -> None:
        """A trusted proxy needs no token, and may use any Host."""
        headers = {"Host": "home.example:8123", "X_Forwarded_For": "192.0.2.7"}

        assert ask_from(PROXY, proxied.port, "GET", "/api/config", **headers) == 200
        ours = {**headers, "Origin": "https://home.example:8123"}
        assert ask_from(PROXY, proxied.port, "POST", "/api/cameras/hall/set", **ours) == 204

    def test_it_may_put_another_name_in_the_place_of_the_browsers(self, proxied: Site) -> None:
        """The browser's name in `X-Forwarded-Host` is compared with Origin."""
        headers = {"Host": "backend:8099", "Origin": "https://home.example"}

        known = {**headers, "X_Forwarded_Host": "home.example"}
        assert ask_from(PROXY, proxied.port, "POST", "/api/cameras/hall/set", **known) == 204
        assert ask_from(PROXY, proxied.port, "POST", "/api/cameras/hall/set", **headers) == 403

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec_Fetch_Site": "cross-site"},
        ],
    )
    def test_through_it_too_another_sites_page_is_refused(
        self, proxied: Site, headers: dict[str, str]
    ) -> None:
        """Cross-site requests through the proxy are refused."""
        named = {"Host": "home.example", **headers}

        assert ask_from(PROXY, proxied.port, "POST", "/api/cameras/hall/set", **named) == 403
        assert ask_from(PROXY, proxied.port, "GET", "/api/config", **named) == 403

    @pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.3"])
    @pytest.mark.parametrize("path", ["/api/config", "/api/live", "/api/nothing"])
    def test_all_others_need_a_token(self, proxied: Site, address: str, path: str) -> None:
        """Other addresses need a token, whatever their headers claim."""
        claims = {
            "X_Forwarded_For": PROXY,
            "X_Real_IP": PROXY,
            "Forwarded": f"for={PROXY}",
            "X_Ingress_Path": "/api/hassio_ingress/token",
            "X_Remote_User_Id": "admin",
        }

        assert ask_from(address, proxied.port, "GET", path) == 401
        assert ask_from(address, proxied.port, "GET", path, **claims) == 401

    def test_all_others_need_a_known_name(self, proxied: Site) -> None:
        """Other addresses need a known Host, whatever `X-Forwarded-Host` says."""
        claims = {"Host": "evil.example", "X_Forwarded_Host": "127.0.0.1"}

        assert ask_from("127.0.0.1", proxied.port, "GET", "/api/session", **claims) == 403


class TestToken:
    """Access with the token."""

    def test_on_this_machine_nobody_needs_one(self, page: Site) -> None:
        """On loopback no token is needed, except with a proxy's headers."""
        near = page.ask("GET", "/api/session")
        proxied = page.ask("GET", "/api/config", X_Forwarded_For="192.0.2.7")

        assert near.data == {"signed_in": True, "token_needed": False}
        assert proxied.status == 401

    def test_without_it_nothing_is_told(self, guarded: Site, token_file: Path) -> None:
        """Without a token only the static page is served."""
        tokens.make(token_file)

        for method, path, body in (
            ("GET", "/api/config", None),
            ("PUT", "/api/config", {}),
            ("POST", "/api/cameras/hall/set", {}),
            ("GET", "/api/live", None),
            ("GET", "/api/nothing", None),
        ):
            assert guarded.ask(method, path, body).status == 401, path
        assert guarded.ask("GET", "/").status == 200
        assert guarded.ask("GET", "/api/session").data == {"signed_in": False, "token_needed": True}

    def test_it_opens_everything_until_one_signs_out(self, guarded: Site, token_file: Path) -> None:
        """Signing in sets an HttpOnly, SameSite cookie; signing out ends the session."""
        token = tokens.make(token_file)

        signed = sign_in(guarded, token)
        cookie = signed.headers["Set-Cookie"]
        held = cookie.partition(";")[0]

        assert signed.status == 204
        assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
        assert "Path" not in cookie
        assert token not in cookie
        assert guarded.ask("GET", "/api/config", Cookie=held).status == 200
        out = guarded.ask("POST", "/api/logout", {}, Cookie=held).headers["Set-Cookie"]
        assert 'edgepose-session=""' in out
        assert "Path" not in out

    def test_over_https_the_cookie_stays_there(self, guarded: Site, token_file: Path) -> None:
        """With an HTTPS origin the cookie is Secure, also behind a proxy."""
        token = tokens.make(token_file)
        body, host = {"token": token}, "pose.example"

        signed = guarded.ask("POST", "/api/login", body, Host=host, Origin=f"https://{host}")

        assert "Secure" in signed.headers["Set-Cookie"].split("; ")

    def test_another_token_signs_everybody_out(self, guarded: Site, token_file: Path) -> None:
        """A new token ends all sessions at once."""
        held = sign_in(guarded, tokens.make(token_file)).headers["Set-Cookie"].partition(";")[0]
        assert guarded.ask("GET", "/api/config", Cookie=held).status == 200

        tokens.make(token_file)

        assert guarded.ask("GET", "/api/config", Cookie=held).status == 401

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b'{"token": 3}', b'{"token": "%b"}' % (b"x" * 300), b"[" * 9999]
    )
    def test_nonsense_signs_nobody_in(self, guarded: Site, token_file: Path, body: bytes) -> None:
        """An invalid body is refused with an error."""
        tokens.make(token_file)

        answer = guarded.ask("POST", "/api/login", body)

        assert answer.status == 422
        assert answer.data["error"]

    def test_guessing_is_slow(self, guarded: Site, token_file: Path) -> None:
        """After five failures all attempts are delayed, also with the right token."""
        token = tokens.make(token_file)

        tries = [sign_in(guarded, f"{token}{number}") for number in range(7)]
        right = sign_in(guarded, token)

        assert [answer.status for answer in tries] == [401] * 5 + [429] * 2
        assert right.status == 429
        assert 0 < int(right.headers["Retry-After"]) <= 60


class TestConfig:
    """Reading and changing the configuration file over HTTP."""

    def put(self, page: Site, changes: Any, seen: str) -> Answer:
        return page.ask("PUT", "/api/config", changes, If_Match=f'"{seen}"')

    def test_what_is_saved_is_in_the_file_and_reloaded(self, page: Site, file: Path) -> None:
        """Comments are kept, and all viewers receive the new revision."""

        async def both() -> tuple[Answer, Any]:
            async with viewer(page) as line:
                await until(line, is_("hello"))
                seen = (await asyncio.to_thread(page.ask, "GET", "/api/config")).data["revision"]
                zones = {"cameras": {"hall": {"zones": [ZONE]}}}
                answer = await asyncio.to_thread(self.put, page, zones, seen)
                return answer, await until(line, is_("config"))

        answer, told = run(both())

        now = page.ask("GET", "/api/config").data
        assert answer.data == {"revision": now["revision"]}
        assert told["revision"] == now["revision"]
        assert now["cameras"][0]["zones"] == [ZONE]
        assert "# the camera" in file.read_text()
        assert any(isinstance(page.asked.get(), feed.Reload) for _ in range(page.asked.qsize()))

    def test_the_second_of_two_browsers_is_told(self, page: Site, file: Path) -> None:
        """A save based on an old revision answers 409 and changes nothing."""
        seen = page.ask("GET", "/api/config").data["revision"]
        first = self.put(page, {"cameras": {"hall": {"rotate": 90}}}, seen)

        second = self.put(page, {"cameras": {"hall": {"mirror": True}}}, seen)

        assert first.status == 200
        assert second.status == 409
        assert second.data["revision"] == first.data["revision"]
        assert "mirror" not in file.read_text()

    def test_a_wrong_value_is_refused_at_its_place(self, page: Site, file: Path) -> None:
        """The answer names the place and the expected value; the file is unchanged."""
        seen = page.ask("GET", "/api/config").data["revision"]

        answer = self.put(page, {"cameras": {"hall": {"rotate": 45}}}, seen)

        assert answer.status == 422
        assert [problem["where"] for problem in answer.data["problems"]] == ["camera.hall.rotate"]
        assert "90" in answer.data["problems"][0]["text"]
        assert file.read_text() == FILE

    def test_a_refused_reload_is_told(self, page: Site) -> None:
        """The file is saved, and the answer contains the daemon's reload error."""
        page.refusal = "model: is gone"
        seen = page.ask("GET", "/api/config").data["revision"]

        answer = self.put(page, {"pose": {"min_pose_score": 0.5}}, seen)

        assert answer.status == 200
        assert answer.data["reload"] == "model: is gone"

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b'{"mqtt": {}}', b'{"cameras": {"hall": {"source": "x"}}}', b"[" * 9999],
    )
    def test_nonsense_changes_nothing(self, page: Site, file: Path, body: bytes) -> None:
        """An invalid body, or a key that cannot be edited, is refused and changes nothing."""
        seen = page.ask("GET", "/api/config").data["revision"]

        answer = page.ask("PUT", "/api/config", body, If_Match=f'"{seen}"')

        assert answer.status == 422
        assert answer.data["error"]
        assert file.read_text() == FILE

    def test_what_was_seen_must_be_said(self, page: Site) -> None:
        """A save without `If-Match` answers 428."""
        assert page.ask("PUT", "/api/config", {}).status == 428
        assert page.ask("PUT", "/api/config", {}, If_Match="*").status in {409, 428}

    def test_a_camera_is_set_as_over_mqtt(self, page: Site) -> None:
        """A setting is passed to the daemon; its refusal is answered with 422."""
        taken = page.ask("POST", "/api/cameras/hall/set", {"min_pose_score": 0.5})
        page.refusal = "expected a number"
        refused = page.ask("POST", "/api/cameras/hall/set", {"min_pose_score": "x"})

        assert (taken.status, taken.body) == (204, b"")
        assert page.sets[0] == ("hall", {"min_pose_score": 0.5})
        assert (refused.status, refused.data["error"]) == (422, "expected a number")

    def test_no_secret_is_in_any_answer(self, page: Site) -> None:
        """Neither answers nor errors contain a password."""
        seen = page.ask("GET", "/api/config").data["revision"]
        answers = [
            page.ask("GET", "/api/config"),
            page.ask("GET", "/api/session"),
            self.put(page, {"cameras": {"hall": {"rotate": 45}}}, seen),
            self.put(page, {"cameras": {"nobody": {}}}, seen),
            self.put(page, {}, "nothing"),
            self.put(page, {"cameras": {"hall": {"rotate": 90}}}, seen),
            page.ask("GET", "/nothing"),
        ]

        for answer in answers:
            assert not any(secret in answer.body for secret in SECRETS), answer


class TestLive:
    """The WebSocket."""

    def test_who_comes_gets_the_newest_of_everything(self, fresh: Site) -> None:
        """`hello` comes first, then the latest messages; the last events once, oldest first."""
        fresh.tell("state", b'{"count":1}', "hall")
        fresh.tell("state", b'{"count":2}', "hall")
        fresh.tell("status", b'{"model":"m"}')
        for number in (1, 2, 2, 3):
            fresh.tell("event", b'{"id":%d}' % number, "hall")
        fresh.tell("link", b'"connected"')

        async def look() -> list[Any]:
            async with viewer(fresh) as line:
                return [json.loads((await line.receive()).data) for _ in range(7)]

        found = run(look())

        assert found[0] == HELLO
        rest = [message for message in found[1:] if message["type"] != "event"]
        assert {"type": "state", "camera": "hall", "message": {"count": 2}} in rest
        assert {"type": "status", "message": {"model": "m"}} in rest
        assert {"type": "link", "broker": "connected"} in rest
        events = [message["message"]["id"] for message in found if message["type"] == "event"]
        assert events == [1, 2, 3]

    def test_the_daemon_is_told_what_somebody_looks_at(self, page: Site) -> None:
        """At first all poses are watched; pictures on request; nothing without viewers."""

        async def look() -> None:
            async with viewer(page) as line:
                await until(line, is_("hello"))
                await line.send_str('{"type":"watch","cameras":["hall"],"picture":true}')
                assert await asyncio.to_thread(page.asked.get, timeout=60) == feed.Watch(
                    poses=("hall",), pictures=()
                )
                assert await asyncio.to_thread(page.asked.get, timeout=60) == feed.Watch(
                    poses=("hall",), pictures=("hall",)
                )

        run(look())

        assert page.asked.get(timeout=60) == feed.Watch(poses=(), pictures=())

    def test_a_picture_comes_with_its_frame(self, page: Site) -> None:
        """A header names the frame, followed by the JPEG; other viewers do not get it."""

        async def look() -> bytes:
            async with viewer(page) as plain, viewer(page) as line:
                await until(line, is_("hello"))
                await line.send_str('{"type":"watch","cameras":["hall"],"picture":true}')
                while True:
                    command = await asyncio.to_thread(page.asked.get, timeout=60)
                    if isinstance(command, feed.Watch) and command.pictures:
                        break
                page.tell("picture", b"\xff\xd8jpeg", "hall", "42")
                page.tell("poses", b'{"seq":43}', "hall")
                found = await line.receive()
                assert (await until(plain, is_("poses")))["message"] == {"seq": 43}
                assert found.type == WSMsgType.BINARY
                return bytes(found.data)

        content = run(look())

        (length,) = struct.unpack_from(">I", content)
        assert json.loads(content[4 : 4 + length]) == {"camera": "hall", "seq": 42}
        assert content[4 + length :] == b"\xff\xd8jpeg"

    @pytest.mark.parametrize(
        "said",
        [
            "",
            "{",
            "[]",
            '{"type":"watch"}',
            '{"type":"watch","cameras":"hall"}',
            '{"type":"watch","cameras":[],"more":1}',
            '{"type":"stop","cameras":[]}',
            '{"type":"watch","cameras":["' + "x" * 100 + '"]}',
            "[" * 4000,
            b"\x00\x01",
        ],
    )
    def test_what_is_not_understood_ends_it(self, page: Site, said: str | bytes) -> None:
        """An invalid message closes the connection with 1008; other viewers continue."""

        async def look() -> int | None:
            async with viewer(page) as other, viewer(page) as line:
                await until(line, is_("hello"))
                await (line.send_bytes(said) if isinstance(said, bytes) else line.send_str(said))
                async for _ in line:
                    pass
                page.tell("poses", b'{"seq":1}', "hall")
                await until(other, is_("poses"))
                return line.close_code

        assert run(look()) == 1008

    def test_too_much_at_once_ends_it(self, page: Site) -> None:
        """A message that is too large closes the connection with 1009."""

        async def look() -> int | None:
            async with viewer(page) as line:
                await until(line, is_("hello"))
                await line.send_str("x" * 100_000)
                async for _ in line:
                    pass
                return line.close_code

        assert run(look()) == 1009

    @pytest.mark.parametrize(
        "sent",
        [
            b"\x81\x02hi",  # unmasked, as only servers send
            b"\xf1\x80\x00\x00\x00\x00",  # reserved bits
            b"\x83\x80\x00\x00\x00\x00",  # an unknown opcode
            b"\x80\x80\x00\x00\x00\x00",  # a continuation without a start
            b"\x89\xfe\x01\x00\x00\x00\x00\x00",  # a ping that is too long
            b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff",  # an excessive length
            b"\x81\x84\x00\x00\x00\x00\xff\xfe\xfd\xfc",  # invalid UTF-8
            b"\x88\x81\x00\x00\x00\x00\x01",  # a close reason of one byte
            b"GET / HTTP/1.1\r\n\r\n" * 100,
        ],
    )
    def test_bytes_that_are_no_frames_end_it(self, page: Site, sent: bytes) -> None:
        """Invalid frames close the connection; the process goes on."""
        one = Stalled(page.port)
        one.line.sendall(sent)
        one.line.settimeout(20)
        with suppress(ConnectionError):
            while one.line.recv(65536):
                pass
        one.line.close()

        assert page.ask("GET", "/api/session").status == 200

    def test_a_camera_that_is_no_more_is_forgotten(self, fresh: Site) -> None:
        """The state of a camera removed by a reload is not sent to new viewers."""
        fresh.tell("state", b'{"count":1}', "hall")
        fresh.tell("state", b'{"count":2}', "yard")
        fresh.tell(
            "reloaded",
            msgspec.json.encode(feed.Reloaded(cameras=("yard",), numbers=(), error="")),
        )
        fresh.tell("link", b'"connected"')

        async def look() -> list[Any]:
            async with viewer(fresh) as line:
                found = []
                while not found or found[-1]["type"] != "link":
                    found.append(json.loads((await line.receive()).data))
                return found

        states = [message for message in run(look()) if message["type"] == "state"]
        assert [message["camera"] for message in states] == ["yard"]


class Stalled:
    """A client that opens the WebSocket and does not read."""

    def __init__(self, port: int) -> None:
        self.line = socket.socket()
        self.line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.line.connect(("127.0.0.1", port))
        self.line.settimeout(60)
        self.line.sendall(
            b"GET /api/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )
        assert self.line.recv(12) == b"HTTP/1.1 101"

    def newest(self) -> int:
        """Read all waiting data; return the highest frame number in it."""
        content, end = b"", b'"last":true'
        while end not in content:
            content += self.line.recv(65536)
        found = content.split(b'"seq":')[1:]
        return max(int(part.split(b",")[0]) for part in found)


POSES = b'{"seq":%d,"last":%b,"more":"' + b"x" * 3000 + b'"}'


class TestSlow:
    """Slow viewers."""

    def test_twenty_that_stall_cost_little_and_hold_up_nobody(self, page: Site) -> None:
        """Memory stays bounded for 1,000 frames, and a fast viewer gets its frames meanwhile."""

        async def look() -> tuple[int, float]:
            async with viewer(page) as line:
                await until(line, is_("hello"))
                stalled = [await asyncio.to_thread(Stalled, page.port) for _ in range(20)]
                before = memory_mb(page.process.pid) or 0
                seen = 0
                for number in range(1000):
                    page.tell("poses", POSES % (number, b"false"), "hall")
                    if number % 10 == 0:
                        message = await until(line, lambda m, n=number: m["message"]["seq"] == n)
                        seen += message["type"] == "poses"
                grown = (memory_mb(page.process.pid) or 0) - before
                for one in stalled:
                    one.line.close()
                return seen, grown

        seen, grown = run(look())

        assert seen == 100
        assert grown < 20

    def test_one_that_was_slow_gets_the_newest(self, page: Site) -> None:
        """Old poses are skipped; all events are sent."""
        one = Stalled(page.port)
        count = 2000
        for number in range(count):
            page.tell("poses", POSES % (number, b"false"), "hall")
        for number in range(100):
            page.tell("event", b'{"id":%d}' % number, "hall")
        page.tell("poses", POSES % (count, b"true"), "hall")
        one.line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

        content = b""
        while b'"last":true' not in content:
            content += one.line.recv(65536)
        one.line.close()

        frames = content.count(b'"type":"poses"')
        assert frames < count / 4
        assert content.count(b'"type":"event"') == 100

    def test_one_too_many_is_told(self, page: Site) -> None:
        """A connection above `VIEWERS` answers 503."""
        lines = [Stalled(page.port) for _ in range(VIEWERS)]

        answer = page.ask("GET", "/api/live")

        assert answer.status == 503
        for one in lines:
            one.line.close()
        assert wait_until(lambda: page.ask("GET", "/api/live").status == 426, 60)


def test_a_new_token_ends_what_the_older_one_opened(
    file: Path, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Viewers of the old session are closed; without viewers the process ends."""
    monkeypatch.setattr("edgepose.web.server.LOOK_S", 0.05)
    monkeypatch.setattr("edgepose.web.server.IDLE_S", 0.5)
    token = tokens.make(token_file)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    async def look() -> int | None:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        told = start(file, token_file=str(token_file), local=False)
        serving = asyncio.create_task(PageServer(told, DaemonClient(theirs)).run(listener))
        where = f"127.0.0.1:{port}"
        async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser:
            async with browser.post(f"http://{where}/api/login", json={"token": token}) as signed:
                assert signed.status == 204
            async with browser.ws_connect(f"ws://{where}/api/live") as line:
                await until(line, is_("hello"))
                tokens.make(token_file)
                async for _ in line:
                    pass
        await serving
        return line.close_code

    with ours, theirs:
        assert run(look()) is not None


def test_nobody_waits_for_certificates_that_nobody_needs() -> None:
    """`aiohttp` does not load the CA certificates at its import, which saves 0.1 s."""
    look = (
        "import ssl, sys, edgepose.web.__main__ as page; early = 'aiohttp' in sys.modules;"
        "page.main(sys.argv[1:]); known = ssl.create_default_context().cert_store_stats()['x509'];"
        "print(early, 'aiohttp' in sys.modules, known)"
    )
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener = socket.create_server(("127.0.0.1", 0))
    ours.close()  # without the daemon it ends at once

    with listener, theirs:
        handles = (listener.fileno(), theirs.fileno())
        command = [sys.executable, "-c", look, *map(str, handles)]
        said = subprocess.run(command, pass_fds=handles, check=True, capture_output=True, text=True)

    assert said.stdout.split() == ["False", "True", "0"]


def test_it_ends_with_the_daemon(file: Path) -> None:
    """It ends when the daemon's socket closes, also with viewers."""
    with site(file) as page:
        line = Stalled(page.port)

        page.line.shutdown(socket.SHUT_RDWR)

        assert page.process.wait(10) == 0
        line.line.close()


def test_https_is_spoken_where_there_is_a_certificate(tmp_path: Path, file: Path) -> None:
    """A client verifies the certificate."""
    import ssl
    import urllib.request

    from tests.support.brokers import Authority

    authority = Authority(tmp_path)
    certificate, key = authority.sign("localhost")
    trust = ssl.create_default_context(cafile=authority.certificate)

    with site(file, cert_file=str(certificate), key_file=str(key)) as page:
        where = f"https://localhost:{page.port}/api/session"
        with urllib.request.urlopen(where, timeout=60, context=trust) as answer:
            assert json.loads(answer.read())["token_needed"] is False
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(page.port, "GET", "/api/session")
