"""The API for programs, with real clients and a test in place of the daemon."""

import asyncio
import base64
import json
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import msgspec
import numpy as np
import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("tomlkit")

from aiohttp import ClientResponse, ClientSession, ClientWebSocketResponse, WSMsgType

from edgepose.mqtt.messages import (
    CameraSettings,
    CameraStatus,
    DelegateStatus,
    EventMessage,
    PersonMessage,
    PosesMessage,
    StateMessage,
    StatusMessage,
)
from edgepose.web import api, feed, openapi, tokens
from edgepose.web.daemon_client import DaemonClient
from edgepose.web.feed import IpcMessage
from edgepose.web.guard import MAX_FAILURES
from edgepose.web.server import VIEWERS, PageServer
from tests.support.pages import Site, site, start

pytestmark = pytest.mark.slow

PREFIX = "edgepose/pi"
CAMERAS = ("hall", "yard")
DOCUMENT = openapi.document()


def poses(seq: int, *, camera: str = "hall", score: float = 0.9) -> bytes:
    """Return a message with a person standing in the left half of the picture."""
    keypoints = [(320.0, 200.0 + 40 * joint, score) for joint in range(17)]
    person = PersonMessage(
        id=3, score=0.9, bbox=(280, 190, 80, 700), posture="standing", keypoints=keypoints
    )
    message = PosesMessage(
        device="pi",
        camera=camera,
        seq=seq,
        captured_at="2026-11-29T10:00:00.000Z",
        latency_ms=12.0,
        width=1280,
        height=960,
        model="test",
        poses=[person],
    )
    return msgspec.json.encode(message)


def state(*, count: int, min_score: float = 0.3) -> bytes:
    settings = CameraSettings(fps=10, min_pose_score=0.3, min_keypoint_score=min_score, fall=True)
    message = StateMessage(device="pi", camera="hall", count=count, settings=settings)
    return msgspec.json.encode(message)


STATUS = msgspec.json.encode(
    StatusMessage(
        device="pi",
        name="Pi",
        version="1",
        started_at="2026-11-29T10:00:00.000Z",
        model="test",
        runtime="test",
        delegate=DelegateStatus(name="cpu", reason="asked for"),
        cameras={"hall": CameraStatus(state="online")},
        topics={},
    )
)
EVENT = msgspec.json.encode(
    EventMessage(
        id="e1",
        type="person_entered",
        device="pi",
        camera="hall",
        person=3,
        at="2026-11-29T10:00:00.000Z",
        score=0.9,
    )
)


@pytest.fixture
def page() -> Iterator[Site]:
    with site(cameras=CAMERAS, topic_prefix=PREFIX) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def guarded(folder: Path) -> Iterator[Site]:
    """Serve a page that other machines reach, with a read token and an owner's token."""
    settings: dict[str, Any] = {"token_file": str(folder / tokens.FILE), "local": False}
    with site(cameras=CAMERAS, topic_prefix=PREFIX, **settings) as made:
        made.tell("status", STATUS)
        yield made


def check(schema: str, content: Any) -> None:
    """Validate an answer against the OpenAPI document."""
    whole = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(whole).validate(content)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 60))


def watched(page: Site) -> feed.Watch:
    """Return the process's next watch request."""
    while True:
        command = page.asked.get(timeout=60)
        if isinstance(command, feed.Watch):
            return command


@asynccontextmanager
async def stream(page: Site, query: str = "") -> AsyncIterator[ClientWebSocketResponse]:
    where = f"ws://127.0.0.1:{page.port}/api/v1/stream{query}"
    async with ClientSession() as session, session.ws_connect(where) as line:
        yield line


async def received(line: ClientWebSocketResponse, count: int) -> list[Any]:
    return [json.loads((await line.receive()).data) for _ in range(count)]


class TestCameras:
    """The list of cameras."""

    def test_cameras_come_with_their_status_and_state(self, page: Site) -> None:
        """Status and state are those of the topics; null until received."""
        before = page.ask("GET", "/api/v1/cameras").data
        page.tell("status", STATUS)
        page.tell("state", state(count=2), "hall")
        while (after := page.ask("GET", "/api/v1/cameras").data)["cameras"][0]["state"] is None:
            time.sleep(0.01)

        hall, yard = after["cameras"]
        assert before["cameras"][0] == {"id": "hall", "status": None, "state": None}
        assert (hall["status"]["state"], hall["state"]["count"]) == ("online", 2)
        assert yard == {"id": "yard", "status": None, "state": None}
        check("CameraList", before)
        check("CameraList", after)

    @pytest.mark.parametrize("path", ["cameras/attic/poses", "cameras/attic/skeletons.mjpeg"])
    def test_an_unknown_camera_is_refused_with_the_known_ones(self, page: Site, path: str) -> None:
        """The error lists the known cameras."""
        answer = page.ask("GET", f"/api/v1/{path}")

        assert answer.status == 404
        assert "hall, yard" in answer.data["error"]
        check("ErrorMessage", answer.data)

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
    def test_it_only_reads(self, page: Site, method: str) -> None:
        """Writing methods are refused."""
        assert page.ask(method, "/api/v1/cameras", {}).status == 405


class TestPoses:
    """The latest poses of a camera."""

    def test_the_first_request_waits_for_a_frame(self, page: Site) -> None:
        """The first request subscribes and waits; the next one is answered at once."""

        async def poll() -> tuple[Any, Any, float]:
            first = asyncio.ensure_future(
                asyncio.to_thread(page.ask, "GET", "/api/v1/cameras/hall/poses")
            )
            assert await asyncio.to_thread(watched, page) == feed.Watch(
                poses=("hall",), pictures=()
            )
            page.tell("poses", poses(1, camera="yard"), "yard")
            page.tell("poses", poses(7), "hall")
            answer = await first
            page.tell("poses", poses(8), "hall")
            before_s = time.monotonic()
            while (again := page.ask("GET", "/api/v1/cameras/hall/poses").data)["seq"] == 7:
                pass
            return answer.data, again, time.monotonic() - before_s

        first, again, waited_s = run(poll())

        assert (first["camera"], first["seq"]) == ("hall", 7)
        assert again["seq"] == 8
        assert waited_s < 2
        check("PosesMessage", first)

    def test_a_camera_without_frames_is_a_sentence(self, page: Site) -> None:
        """Without frames the answer is 503 with a reason, not outdated poses."""
        answer = page.ask("GET", "/api/v1/cameras/hall/poses")

        assert answer.status == 503
        assert "hall" in answer.data["error"]
        assert int(answer.headers["Retry-After"]) > 0

    def test_polling_takes_no_place_of_a_page(self, page: Site) -> None:
        """Polling does not occupy a viewer's slot."""

        async def all_open() -> int:
            async with ClientSession() as session:
                where = f"ws://127.0.0.1:{page.port}/api/live"
                lines = [await session.ws_connect(where) for _ in range(VIEWERS - 1)]
                asked = asyncio.to_thread(page.ask, "GET", "/api/v1/cameras/hall/poses")
                polling = asyncio.ensure_future(asked)
                await asyncio.sleep(0.5)
                lines.append(await session.ws_connect(where))
                page.tell("poses", poses(1), "hall")
                for line in lines:
                    await line.close()
                return (await polling).status

        assert run(all_open()) == 200


class TestStream:
    """The broker's messages over a WebSocket."""

    def test_messages_come_with_their_topics(self, page: Site) -> None:
        """Retained messages come first, then new ones, each with its MQTT topic."""
        page.tell("status", STATUS)
        page.tell("state", state(count=1), "hall")
        page.tell("availability", b'"online"', "hall")
        page.tell("event", EVENT, "hall")
        page.tell("link", b'"connected"')

        async def look() -> list[Any]:
            async with stream(page) as line:
                found = await received(line, 3)
                page.tell("poses", poses(1), "hall")
                found += await received(line, 1)
                page.tell("event", EVENT.replace(b"e1", b"e2"), "hall")
                return found + await received(line, 1)

        found = run(look())

        assert [message["topic"] for message in found] == [
            f"{PREFIX}/status",
            f"{PREFIX}/hall/state",
            f"{PREFIX}/hall/availability",
            f"{PREFIX}/hall/poses",
            f"{PREFIX}/hall/event",
        ]
        assert found[0]["payload"] == json.loads(STATUS)
        assert found[2]["payload"] == "online"
        assert found[3]["payload"] == json.loads(poses(1))
        assert found[4]["payload"]["id"] == "e2"
        for message in found:
            check("StreamMessage", message)

    def test_cameras_and_types_can_be_chosen(self, page: Site) -> None:
        """Only the selected cameras' poses are requested from the daemon."""
        page.tell("status", STATUS)
        page.tell("state", state(count=1), "hall")

        async def look() -> list[Any]:
            async with stream(page, "?camera=yard&type=poses&type=event") as line:
                assert (await asyncio.to_thread(watched, page)).poses == ("yard",)
                page.tell("poses", poses(1), "hall")
                page.tell("event", EVENT, "hall")
                page.tell("poses", poses(2, camera="yard"), "yard")
                return await received(line, 1)

        (message,) = run(look())

        assert message["topic"] == f"{PREFIX}/yard/poses"

    def test_without_poses_the_daemon_is_asked_for_none(self, page: Site) -> None:
        """Without poses in the selection none are requested from the daemon."""

        async def look() -> bool:
            async with stream(page, "?type=event") as line:
                page.tell("event", EVENT, "hall")
                await received(line, 1)
                return page.asked.empty()

        assert run(look())

    @pytest.mark.parametrize(
        ("query", "status"),
        [("?type=picture", 422), ("?type=", 422), ("?camera=attic", 404), ("", 426)],
    )
    def test_what_is_not_there_is_refused(self, page: Site, query: str, status: int) -> None:
        """An unknown camera or type is refused with a reason."""
        answer = page.ask("GET", f"/api/v1/stream{query}")

        assert answer.status == status
        check("ErrorMessage", answer.data)

    def test_it_takes_no_messages(self, page: Site) -> None:
        """A client that sends a message is disconnected with code 1008."""

        async def say() -> int | None:
            async with stream(page) as line:
                await line.send_str("{}")
                async for _ in line:
                    pass
                return line.close_code

        assert run(say()) == 1008

    def test_a_slow_client_gets_the_newest_poses_and_all_events(self, page: Site) -> None:
        """For a slow client poses are replaced by newer ones; events are all sent."""

        async def look() -> tuple[list[int], list[str]]:
            async with stream(page) as line:
                assert line._reader  # the client's own buffer, which aiohttp limits
                for number in range(3000):
                    page.tell("poses", poses(number), "hall")
                for number in range(100):
                    page.tell("event", EVENT.replace(b"e1", b"n%d" % number), "hall")
                page.tell("poses", poses(3000), "hall")
                seqs: list[int] = []
                events: list[str] = []
                while not seqs or seqs[-1] != 3000:
                    (message,) = await received(line, 1)
                    if message["topic"].endswith("poses"):
                        seqs.append(message["payload"]["seq"])
                    else:
                        events.append(message["payload"]["id"])
                return seqs, events

        seqs, events = run(look())

        assert seqs == sorted(seqs)
        assert events == [f"n{number}" for number in range(100)]


async def pictures(answer: ClientResponse, count: int) -> list[np.ndarray]:
    """Read pictures of a Motion JPEG stream by their Content-Length."""
    found = []
    while len(found) < count:
        line = await answer.content.readline()
        if line.lower().startswith(b"content-length:"):
            await answer.content.readline()
            content = await answer.content.readexactly(int(line.split(b":")[1]))
            picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
            assert picture is not None
            found.append(picture)
    return found


@asynccontextmanager
async def skeletons(page: Site, query: str = "") -> AsyncIterator[ClientResponse]:
    where = f"http://127.0.0.1:{page.port}/api/v1/cameras/hall/skeletons.mjpeg{query}"
    async with ClientSession() as session, session.get(where) as answer:
        yield answer


class TestSkeletons:
    """Skeletons as Motion JPEG."""

    def test_skeletons_are_drawn_on_black(self, page: Site) -> None:
        """They are drawn at their positions; no pictures are requested from the daemon."""

        async def look() -> tuple[str, np.ndarray]:
            async with skeletons(page) as answer:
                command = await asyncio.to_thread(watched, page)
                assert command == feed.Watch(poses=("hall",), pictures=())
                page.tell("poses", poses(1), "hall")
                (picture,) = await pictures(answer, 1)
                return answer.headers["Content-Type"], picture

        kind, picture = run(look())

        height, width = picture.shape[:2]
        lit = np.argwhere(picture.max(axis=2) > 60)
        assert kind.startswith("multipart/x-mixed-replace; boundary=")
        assert (width, height) == (640, 480)
        assert len(lit) > 500
        assert np.median(lit[:, 1]) == pytest.approx(width * 320 / 1280, abs=10)

    def test_points_below_the_score_in_force_are_not_drawn(self, page: Site) -> None:
        """The minimum score is the one in the camera's state."""
        page.tell("state", state(count=1, min_score=0.8), "hall")

        async def look() -> np.ndarray:
            async with skeletons(page, "?size=320") as answer:
                await asyncio.to_thread(watched, page)
                page.tell("poses", poses(1, score=0.7), "hall")
                return (await pictures(answer, 1))[0]

        picture = run(look())

        assert picture.shape == (240, 320, 3)
        assert picture.max() < 60

    def test_so_many_a_second_and_the_newest(self, page: Site) -> None:
        """The frame rate is limited; the latest frame is used."""

        async def look() -> float:
            async with skeletons(page, "?fps=4") as answer:
                await asyncio.to_thread(watched, page)
                loop = asyncio.get_running_loop()

                async def tell() -> None:
                    for number in range(1000):
                        page.tell("poses", poses(number), "hall")
                        await asyncio.sleep(0.02)

                telling = asyncio.ensure_future(tell())
                await pictures(answer, 1)
                before_s = loop.time()
                await pictures(answer, 4)
                telling.cancel()
                return loop.time() - before_s

        assert 0.8 < run(look()) < 4

    def test_without_frames_it_is_empty(self, page: Site) -> None:
        """Without frames the picture is black."""

        async def look() -> np.ndarray:
            async with skeletons(page) as answer:
                return (await pictures(answer, 1))[0]

        assert run(look()).max() < 10

    @pytest.mark.parametrize(
        "query", ["fps=0", "fps=x", "fps=nan", "size=1", "size=99999", "size="]
    )
    def test_wrong_numbers_are_refused(self, page: Site, query: str) -> None:
        """The error names the allowed range."""
        answer = page.ask("GET", f"/api/v1/cameras/hall/skeletons.mjpeg?{query}")

        assert answer.status == 422
        assert "from" in answer.data["error"]

    def test_a_client_that_leaves_is_noticed(self, page: Site) -> None:
        """When the client disconnects, the camera is no longer watched."""

        async def look() -> None:
            async with skeletons(page):
                await asyncio.to_thread(watched, page)

        run(look())
        until_s = time.monotonic() + 20
        while (asked := watched(page)).poses and time.monotonic() < until_s:
            pass

        assert asked == feed.Watch(poses=(), pictures=())


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class TestToken:
    """Access by tokens."""

    @pytest.fixture
    def read_token(self, folder: Path) -> str:
        tokens.make(folder / tokens.FILE)
        return tokens.make(folder / tokens.READ_FILE)

    def test_without_a_token_nothing_is_answered(self, guarded: Site, read_token: str) -> None:
        """Without a token every path answers 401."""
        for route in openapi.ROUTES:
            path = route.path.replace("{camera}", "hall")
            assert guarded.ask("GET", path).status == 401, path

    def test_it_is_taken_in_three_places(self, guarded: Site, read_token: str) -> None:
        """The token is accepted as Bearer, as Basic password and in the URL."""
        basic = base64.b64encode(f"any:{read_token}".encode()).decode()
        path = "/api/v1/cameras"

        for headers in (bearer(read_token), {"Authorization": f"Basic {basic}"}):
            assert guarded.ask("GET", path, **headers).status == 200
        assert guarded.ask("GET", f"{path}?token={read_token}").status == 200

    def test_it_opens_nothing_else(self, guarded: Site, read_token: str) -> None:
        """The read token gives no access to configuration, settings or page, nor to a login."""
        for method, path in (
            ("GET", "/api/config"),
            ("PUT", "/api/config"),
            ("POST", "/api/cameras/hall/set"),
            ("GET", "/api/live"),
        ):
            body = None if method == "GET" else {}
            assert guarded.ask(method, path, body, **bearer(read_token)).status == 401
            assert guarded.ask(method, f"{path}?token={read_token}", body).status == 401
        assert guarded.ask("POST", "/api/login", {"token": read_token}).status == 401

    def test_the_owners_opens_it_but_not_in_a_url(self, guarded: Site, folder: Path) -> None:
        """The owner's token is accepted in the header, but not in a URL, which may be logged."""
        owner = tokens.make(folder / tokens.FILE)

        assert guarded.ask("GET", "/api/v1/cameras", **bearer(owner)).status == 200
        assert guarded.ask("GET", f"/api/v1/cameras?token={owner}").status == 401

    def test_a_session_of_the_page_opens_it_too(self, guarded: Site, folder: Path) -> None:
        """A session works, also behind a proxy that forwards its own Basic authentication."""
        token = tokens.make(folder / tokens.FILE)
        signed = guarded.ask("POST", "/api/login", {"token": token})
        cookie = signed.headers["Set-Cookie"].partition(";")[0]
        of_proxy = "Basic " + base64.b64encode(b"ann:password of the proxy").decode()

        for _ in range(2 * MAX_FAILURES):
            answer = guarded.ask("GET", "/api/v1/cameras", Cookie=cookie, Authorization=of_proxy)
            assert answer.status == 200

    def test_guessing_is_slow(self, guarded: Site, read_token: str) -> None:
        """Wrong read tokens count for the same limit as wrong logins."""
        for number in range(MAX_FAILURES):
            assert guarded.ask("GET", f"/api/v1/cameras?token={number}").status == 401
        guessed = guarded.ask("GET", "/api/v1/cameras", **bearer(read_token))

        assert guessed.status == 429
        assert int(guessed.headers["Retry-After"]) > 0
        assert guarded.ask("POST", "/api/login", {"token": "x"}).status == 429

    @pytest.mark.parametrize(
        "value", ["Bearer", "Bearer \xff", "Basic \xff", "Basic eA", "Digest x"]
    )
    def test_rubbish_is_refused(self, guarded: Site, read_token: str, value: str) -> None:
        """An invalid Authorization header is treated as a wrong token."""
        assert guarded.ask("GET", "/api/v1/cameras", Authorization=value).status == 401

    def test_a_dashboard_elsewhere_needs_the_token(self, page: Site) -> None:
        """Cross-site requests need a token, even on this machine."""
        foreign = {"Sec_Fetch_Site": "cross-site", "Origin": "http://dashboard.example"}

        assert page.ask("GET", "/api/v1/cameras", **foreign).status == 403

    def test_a_dashboard_elsewhere_may_show_it_by_its_token(
        self, guarded: Site, read_token: str
    ) -> None:
        """An API answer with a token may be embedded cross-origin, the page may not."""
        foreign = {"Sec_Fetch_Site": "cross-site"}
        policy = "Cross-Origin-Resource-Policy"

        shown = guarded.ask("GET", f"/api/v1/cameras?token={read_token}", **foreign)
        page = guarded.ask("GET", f"/?token={read_token}", **foreign)

        assert (shown.status, shown.headers[policy]) == (200, "cross-origin")
        assert page.headers[policy] == "same-origin"

    def test_a_foreign_name_is_refused_with_any_token(self, guarded: Site, read_token: str) -> None:
        """A wrong Host is refused even with a valid token."""
        answer = guarded.ask("GET", "/api/v1/cameras", Host="evil.example", **bearer(read_token))

        assert answer.status == 403


def test_a_new_token_ends_what_the_older_one_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new token ends open streams of the old one."""
    monkeypatch.setattr("edgepose.web.server.LOOK_S", 0.05)
    monkeypatch.setattr("edgepose.web.server.IDLE_S", 0.5)
    file = tmp_path / tokens.READ_FILE
    token = tokens.make(file)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    async def look() -> WSMsgType:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        settings: dict[str, Any] = {"token_file": str(tmp_path / tokens.FILE), "local": False}
        told = start(cameras=CAMERAS, topic_prefix=PREFIX, **settings)
        serving = asyncio.create_task(PageServer(told, DaemonClient(theirs)).run(listener))
        where = f"ws://127.0.0.1:{port}/api/v1/stream?token={token}"
        async with ClientSession() as session, session.ws_connect(where) as line:
            tokens.make(file)
            ended = (await line.receive()).type
        await serving
        listener.close()
        return ended

    with ours, theirs:
        assert run(look()) in {WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING}


def test_a_client_that_takes_no_pictures_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not read is disconnected, and its slot is free again."""
    monkeypatch.setattr("edgepose.web.api.WRITE_S", 0.5)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    async def look() -> bool:
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as line:
            server = PageServer(start(cameras=CAMERAS, topic_prefix=PREFIX), DaemonClient(theirs))
            serving = asyncio.create_task(server.run(listener))
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.to_thread(line.connect, listener.getsockname())
            path = "/api/v1/cameras/hall/skeletons.mjpeg?fps=30&size=1280"
            line.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
            seen = False
            for number in range(3000):
                ours.send(feed.pack(IpcMessage("poses", ("hall",), poses(number))))
                await asyncio.sleep(0.01)
                seen |= bool(server.hub.viewers)
                if seen and not server.hub.viewers:
                    break
            ours.shutdown(socket.SHUT_RDWR)
            await serving
            return seen and not server.hub.viewers

    with ours, theirs:
        assert run(look())


class TestDocument:
    """The OpenAPI document."""

    def test_it_is_served(self, page: Site) -> None:
        """The served document is the published one."""
        assert page.ask("GET", "/api/v1/openapi.json").data == json.loads(json.dumps(DOCUMENT))

    def test_it_describes_what_there_is(self) -> None:
        """The documented paths are exactly the served ones."""
        from aiohttp import web

        app = web.Application()
        api.Api(None, "", None).add_routes(app.router)  # type: ignore[arg-type]
        served = {resource.canonical for resource in app.router.resources()}

        assert served == set(DOCUMENT["paths"])

    def test_its_references_lead_somewhere(self) -> None:
        """Every reference resolves, and every schema is valid."""
        text = json.dumps(DOCUMENT)
        named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}

        assert named <= DOCUMENT["components"]["schemas"].keys()
        for schema in DOCUMENT["components"]["schemas"].values():
            jsonschema.Draft202012Validator.check_schema(schema)
            assert len(schema["description"]) > 10
