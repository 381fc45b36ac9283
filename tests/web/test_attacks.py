"""Attacks on the page's process: floods, half requests, malformed requests and bodies."""

import gzip
import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("tomlkit")

from edgepose.web import tokens
from edgepose.web.editing import MAX_CORNERS, MAX_SHAPES
from edgepose.web.server import BODY, CONNECTIONS, NESTING, nesting
from tests.support.brokers import Authority, wait_until
from tests.support.pages import Answer, Site, site

pytestmark = pytest.mark.slow

FILE = """\
[mqtt]
url = "mqtt://127.0.0.1:1"
[[camera]]
id = "hall"
source = "demo://"
"""
ATTACKER = "127.0.0.2"
FLOOD = 500
ANSWER_S = 3.0
"""Maximum response time for other clients during an attack, on a busy machine."""

LOG_BYTES = 2000
SQUARE = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("attacks")


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Site]:
    with site(folder / "edgepose.toml", log=folder / "log") as made:
        yield made


@pytest.fixture
def page(running: Site, folder: Path) -> Site:
    (folder / "edgepose.toml").write_text(FILE)
    return quiet(running)


@pytest.fixture(scope="module")
def asking(folder: Path) -> Iterator[Site]:
    """Serve a page that requires a token."""
    file, token_file = folder / "guarded.toml", folder / "token"
    file.write_text(FILE)
    tokens.make(token_file)
    log = folder / "guarded.log"
    with site(file, log=log, token_file=str(token_file), local=False) as made:
        yield made


@pytest.fixture
def guarded(asking: Site) -> Site:
    return quiet(asking)


def quiet(page: Site) -> Site:
    """Clear the page's log."""
    assert page.log is not None
    page.log.write_bytes(b"")
    return page


def connect(port: int, address: str = ATTACKER) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(address, 0))


def seconds(page: Site) -> float:
    """Return how long a request takes."""
    before_s = time.monotonic()
    assert page.ask("GET", "/").status == 200
    return time.monotonic() - before_s


def logged(page: Site) -> str:
    assert page.log is not None
    return page.log.read_text()


def is_ended(line: socket.socket) -> bool:
    """Return whether the other end has closed a connection without sending anything."""
    line.settimeout(0.001)
    try:
        return line.recv(4096) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def status(port: int, request: bytes) -> int:
    """Send bytes; return the status code of the answer."""
    with connect(port, "127.0.0.1") as line:
        line.sendall(request)
        return int(line.recv(4096).split(b" ")[1])


def save(page: Site, body: Any) -> Answer:
    seen = page.ask("GET", "/api/config").data["revision"]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return page.ask("PUT", "/api/config", content, If_Match=f'"{seen}"')


class TestFlood:
    """Many connections."""

    @pytest.mark.parametrize("begun", [b"", b"G", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
    def test_half_requests_hold_up_nobody_and_are_ended(self, page: Site, begun: bytes) -> None:
        """Connections per address are limited, incomplete requests end, the log stays short."""
        with ExitStack() as flood:
            lines = []
            for _ in range(FLOOD):
                lines.append(flood.enter_context(connect(page.port)))
                lines[-1].sendall(begun)
            waited_s = seconds(page)
            open_ = sum(not is_ended(line) for line in lines)
            limit_s = CONNECTIONS.request_s + 10
            assert wait_until(lambda: all(map(is_ended, lines)), limit_s)

        assert waited_s < ANSWER_S
        assert open_ <= CONNECTIONS.per_network
        assert len(logged(page)) < LOG_BYTES

    def test_one_address_cannot_lock_itself_out(self, page: Site) -> None:
        """A complete request displaces an incomplete one of the same address, as behind a proxy."""
        with ExitStack() as flood:
            for _ in range(FLOOD):
                flood.enter_context(connect(page.port, "127.0.0.1")).sendall(b"GET")

            assert seconds(page) < ANSWER_S

    def test_many_addresses_hold_up_nobody(self, page: Site) -> None:
        """The total is limited; the network with the most connections is displaced first."""
        with ExitStack() as flood:
            for number in range(FLOOD):
                line = connect(page.port, f"127.0.1.{1 + number % 50}")
                flood.enter_context(line).sendall(b"GET")

            assert seconds(page) < ANSWER_S
            assert len(list(Path(f"/proc/{page.process.pid}/fd").iterdir())) < 300

    def test_a_body_that_does_not_come_is_ended(self, page: Site) -> None:
        """A body that arrives too slowly is answered with an error and ended."""
        head = (
            b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n"
        )
        with connect(page.port) as line:
            line.sendall(head)
            line.settimeout(1)
            answer, until_s = b"", time.monotonic() + 30
            while b"\r\n\r\n" not in answer and time.monotonic() < until_s:
                try:
                    line.sendall(b" ")
                    answer += line.recv(4096)
                except TimeoutError:
                    continue

        assert b" 408 " in answer.splitlines()[0]

    def test_handshakes_that_stop_are_ended(self, folder: Path, tmp_path: Path) -> None:
        """Incomplete TLS handshakes are ended."""
        certificate, key = Authority(tmp_path).sign("localhost")
        with (
            site(folder / "edgepose.toml", cert_file=str(certificate), key_file=str(key)) as page,
            ExitStack() as flood,
        ):
            lines = [flood.enter_context(connect(page.port)) for _ in range(200)]
            for line in lines:
                line.sendall(b"\x16\x03\x01")

            limit_s = CONNECTIONS.request_s + 20
            assert wait_until(lambda: all(map(is_ended, lines)), limit_s)


class TestMalformed:
    """Malformed requests."""

    @pytest.mark.parametrize(
        "request_",
        [
            b"\x00\x01\x02\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        ],
    )
    def test_they_cost_a_line_in_the_log_at_most(self, page: Site, request_: bytes) -> None:
        """They are answered with 400, and the log stays small."""
        found = {status(page.port, request_) for _ in range(200)}

        assert found == {400}
        assert len(logged(page)) < LOG_BYTES
        assert "Traceback" not in logged(page)

    @pytest.mark.parametrize(
        "header",
        [
            b"Cookie: edgepose=\xff\xfe.\xff",
            b"Cookie: edgepose=1.\xe9",
            b"Cookie: edgepose-session=\xff.\xff",
            b"Cookie: \xff; =; edgepose",
            b"Origin: http://[::1",
            b"Origin: \xff",
            b"Host: [::1",
            b"Host: \xff",
            b"If-None-Match: \xff",
            b'If-None-Match: "',
            b"X-Forwarded-For: \xff",
            b"Sec-Fetch-Site: \xff",
            b"Accept-Encoding: \xff",
            b"Range: bytes=-",
        ],
    )
    @pytest.mark.parametrize(
        "path", [b"/", b"/api/config", b"/api/live", b"/%ff", b"/api/cameras/%ff%00/set"]
    )
    def test_headers_of_any_bytes_are_answered(
        self, guarded: Site, header: bytes, path: bytes
    ) -> None:
        """The answer is a proper status code, and no traceback is logged."""
        host = b"" if header.startswith(b"Host") else b"Host: localhost\r\n"
        close = b"Connection: close\r\n"

        found = status(
            guarded.port, b"GET %b HTTP/1.1\r\n%b%b%b\r\n\r\n" % (path, host, close, header)
        )

        assert found in {200, 400, 401, 403, 404, 405}
        assert "Traceback" not in logged(guarded)

    @pytest.mark.parametrize("camera", ["%ff", "%00", "%ED%A0%80", "..%2f..", "x" * 5000, "a%0ab"])
    def test_any_name_of_a_camera_is_answered(self, page: Site, camera: str) -> None:
        """The name is refused with an error, and no traceback is logged."""
        page.refusal = "no such camera"
        answer = page.ask("POST", f"/api/cameras/{camera}/set", {"paused": True})
        page.refusal = ""

        assert answer.status in {400, 404, 422}
        assert answer.data["error"]
        assert "Traceback" not in logged(page)

    @pytest.mark.parametrize(
        "path",
        [
            "/static/../server.py",
            "/static/..%2fserver.py",
            "/static/%2e%2e/server.py",
            "/static/%252e%252e/server.py",
            "/static/..\\server.py",
            "//etc/passwd",
            "/../../../../etc/passwd",
            "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
            "/static//etc/passwd",
            "/static/index.html%00.js",
        ],
    )
    def test_no_path_leads_out_of_the_page(self, page: Site, path: str) -> None:
        """Paths outside of the page's files are refused."""
        assert page.ask("GET", path).status in {400, 404}


class TestBodies:
    """Invalid JSON bodies."""

    NONSENSE = (
        b"null",
        b"true",
        b"0",
        b'""',
        b"[]",
        b"[null]",
        b"{",
        b"",
        b"NaN",
        b"1e999",
        b"\xff",
        b'{"pose": null}',
        b'{"pose": []}',
        b'{"cameras": null}',
        b'{"cameras": {"hall": null}}',
        b'{"cameras": {"hall": {"zones": null}}}',
        b'{"cameras": {"hall": {"zones": [null]}}}',
        b'{"cameras": {"hall": {"zones": [{}]}}}',
        b'{"cameras": {"hall": {"zones": [{"id": {}, "polygon": {}}]}}}',
        b'{"cameras": {"hall": {"zones": [{"id": "a", "polygon": [[[]]]}]}}}',
        b'{"cameras": {"hall": {"masks": null}}}',
        b'{"cameras": {"hall": {"masks": [[[1, 2], null]]}}}',
        b'{"cameras": {"hall": {"roi": {"a": [1]}}}}',
        b'{"cameras": {"hall": {"rotate": 1e308}}}',
        b'{"cameras": {"hall": {"rotate": 99999999999999999999999999}}}',
        b'{"cameras": {"\\u0000": {"rotate": 90}}}',
        b'{"cameras": {"hall": {"rotate": "\\ud800"}}}',
        b'{"pose": {"min_pose_score": 1e400}}',
    )

    @pytest.mark.parametrize("body", NONSENSE, ids=lambda body: body[:60].decode("latin-1"))
    def test_it_is_refused_with_a_sentence(self, page: Site, body: bytes, folder: Path) -> None:
        """It is refused with an error; nothing is written or logged."""
        answer = save(page, body)

        assert answer.status in {400, 422}
        assert answer.data["error"]
        assert (folder / "edgepose.toml").read_text() == FILE
        assert logged(page) == ""

    @pytest.mark.parametrize("path", ["/api/login", "/api/config", "/api/cameras/hall/set"])
    @pytest.mark.parametrize("body", [None, b"", b"null"])
    def test_a_missing_body_is_refused_with_a_sentence(
        self, page: Site, path: str, body: bytes | None
    ) -> None:
        """It is refused with 422, with or without a content type."""
        method = "PUT" if path == "/api/config" else "POST"
        answers = [
            page.ask(method, path, body, If_Match='"x"'),
            Answer(422, {}, b'{"error": "not sent"}')
            if body is None
            else page.ask(method, path, body, If_Match='"x"', Content_Type="application/json"),
        ]

        assert {answer.status for answer in answers} == {422}
        assert all(answer.data["error"] for answer in answers)

    def test_random_changes_are_refused_or_saved(self, page: Site) -> None:
        """Hundreds of random changes never cause an internal error."""
        make = random.Random(15)

        statuses = [save(page, changes(make)).status for _ in range(300)]

        assert set(statuses) <= {200, 403, 422}
        assert statuses.count(422) > 100
        assert logged(page) == ""

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "x", "identity, gzip"])
    @pytest.mark.parametrize("content", [b"rubbish", gzip.compress(b"0" * 50_000_000)])
    def test_compressed_bodies_are_refused(self, page: Site, encoding: str, content: bytes) -> None:
        """They are refused with 415 before they are decompressed."""
        answer = page.ask("PUT", "/api/config", content, If_Match='"x"', Content_Encoding=encoding)

        assert answer.status == 415
        assert answer.data["error"]
        assert logged(page) == ""

    @pytest.mark.parametrize("sent", [b"zz\r\n", b"5\r\nab", b"-1\r\n\r\n", b"2\r\n{}", b""])
    def test_bodies_that_break_off_cost_a_line_in_the_log_at_most(
        self, page: Site, sent: bytes
    ) -> None:
        """They cause no traceback and few log lines."""
        head = (
            b"PUT /api/config HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b'If-Match: "x"\r\nTransfer-Encoding: chunked\r\n\r\n'
        )
        for _ in range(50):
            with connect(page.port, "127.0.0.1") as line:
                line.sendall(head + sent)
        assert page.ask("GET", "/").status == 200

        assert "Traceback" not in logged(page)
        assert len(logged(page)) < LOG_BYTES

    @pytest.mark.parametrize("depth", [NESTING + 1, 900, 100_000])
    def test_deep_brackets_are_refused(self, page: Site, depth: int) -> None:
        """Deeply nested JSON is refused before it is parsed."""
        for opened, closed in ((b"[", b"]"), (b'{"a":', b"}")):
            content = opened * depth + b"0" + closed * depth
            answer = save(page, b'{"cameras": {"hall": {"roi": %b}}}' % content)

            assert answer.status in {413, 422}
            assert answer.data["error"]

    def test_brackets_in_strings_are_no_nesting(self) -> None:
        """Brackets in strings do not count; unterminated strings take no long time."""
        assert nesting(b'["[[[\\"[[", {"[": "]"}]') == 2
        before_s = time.process_time()
        nesting(b'"' + b'\\"' * 130_000)
        nesting(b"[" * 260_000)
        assert time.process_time() - before_s < 2

    def test_a_large_body_is_refused(self, page: Site) -> None:
        """The error names the limit."""
        answer = save(page, b'{"cameras": {"hall": {"roi": "%b"}}}' % (b"x" * BODY))

        assert answer.status == 413
        assert str(BODY) in answer.data["error"]

    @pytest.mark.parametrize(
        "hall",
        [
            {"zones": [{"id": "a", "polygon": [[i / 6000, (i % 2) / 2] for i in range(6000)]}]},
            {"masks": [[[i / 6000, (i % 2) / 2] for i in range(6000)]]},
            {"zones": [{"id": f"z{i}", "polygon": SQUARE} for i in range(MAX_SHAPES + 1)]},
            {"masks": [SQUARE] * (MAX_SHAPES + 1)},
            {"zones": [{"id": "a", "polygon": [[0.5, 0.5]] * 9000}]},
        ],
        ids=["zone", "mask", "zones", "masks", "points"],
    )
    def test_more_than_anybody_draws_is_refused_quickly(
        self, page: Site, hall: dict[str, Any]
    ) -> None:
        """Too many zones or corners are refused quickly, with limit and location."""
        before_s = time.monotonic()
        answer = save(page, {"cameras": {"hall": hall}})

        assert answer.status == 422
        assert time.monotonic() - before_s < ANSWER_S
        assert answer.data["problems"][0]["where"].startswith("camera.hall.")
        assert "at most" in answer.data["error"]

    def test_what_is_drawn_at_most_is_saved_quickly(self, page: Site) -> None:
        """A comb with the maximum number of corners, whose edges overlap on one axis."""
        corners = MAX_CORNERS // 2
        comb = [[0.1 if i % 2 else 0.8, round(i / corners, 4)] for i in range(corners)]
        back = [[round(x + 0.01, 4), y] for x, y in reversed(comb)]
        before_s = time.monotonic()

        answer = save(page, {"cameras": {"hall": {"zones": [{"id": "a", "polygon": comb + back}]}}})

        assert answer.status == 200, answer.data
        assert time.monotonic() - before_s < ANSWER_S

    def test_more_corners_in_the_file_stay(self, page: Site, folder: Path) -> None:
        """The limit does not apply to polygons that are already in the file."""
        many = [[round(i / 600, 4), 0.1] for i in range(300)] + [[0.3, 0.9]]
        zone = f'[[camera.zone]]\nid = "floor"\npolygon = {many}\n'
        (folder / "edgepose.toml").write_text(FILE + zone)
        zones = [{"id": "hall", "polygon": many}]

        assert save(page, {"cameras": {"hall": {"rotate": 90, "zones": zones}}}).status == 200

    @pytest.mark.parametrize(
        "broken", ["[[[", "a = ", '[[camera]]\nsource = "x"\n', "camera = 3\n"]
    )
    def test_a_broken_file_is_not_changed(self, page: Site, folder: Path, broken: str) -> None:
        """A file with errors is not changed: it may be edited by hand at the moment."""
        (folder / "edgepose.toml").write_text(broken)

        answer = save(page, {"cameras": {"hall": {"rotate": 90}}})

        assert answer.status == 403
        assert "by hand" in answer.data["error"]
        assert (folder / "edgepose.toml").read_text() == broken


def changes(make: random.Random) -> dict[str, Any]:
    """Return random changes, valid or invalid."""
    keys = ["rotate", "mirror", "roi", "masks", "zones", "source"]
    hall = {make.choice(keys): value(make, 0) for _ in range(make.randint(0, 3))}
    pose = {"min_pose_score": value(make, 2)}
    return {"cameras": {make.choice(["hall", "hall", "yard"]): hall}} | make.choice(
        [{}, {"pose": pose}]
    )


def value(make: random.Random, depth: int) -> Any:
    """Return a random JSON value, often a plausible one."""
    likely = [SQUARE, [SQUARE], [0, 0, 1, 1], 90, True, 0.5, [{"id": "a", "polygon": SQUARE}]]
    plain = [None, False, 0, -1, 1e300, 10**30, "", "a", "\x00", "é" * 50, [], {}]
    kind = make.random()
    if kind < 0.4:
        return make.choice(likely)
    if kind < 0.75 or depth > 3:
        return make.choice(plain)
    if kind < 0.9:
        return [value(make, depth + 1) for _ in range(make.randint(0, 5))]
    names = ["id", "polygon", "kind", "", "a.b", "\n"]
    return {make.choice(names): value(make, depth + 1) for _ in range(make.randint(0, 4))}
