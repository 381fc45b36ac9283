"""The page as the daemon sees it, mostly with the real daemon and page process."""

import asyncio
import errno
import json
import logging
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import cv2
import jsonschema
import numpy as np
import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("tomlkit")

from aiohttp import ClientSession, WSMsgType

from edgepose.camera.motion_gate import ATTENTIVE_S
from edgepose.config.loading import Origin, loads
from edgepose.config.schema import Config
from edgepose.mqtt.topics import Topics
from edgepose.service.daemon import Daemon
from edgepose.system import storage
from edgepose.types import Kind, Message
from edgepose.web import feed, openapi, tokens
from edgepose.web.bridge.channel import IpcChannel
from edgepose.web.bridge.launcher import PageHost, PageLauncher
from edgepose.web.feed import EVENTS, IpcMessage
from tests.support import rooms, streams
from tests.support.brokers import free_port, wait_until
from tests.support.pages import ask

CAMERA = '[[camera]]\nid = "hall"  # first\nsource = "demo://"\n'


def poses(number: int) -> IpcMessage:
    return IpcMessage("poses", ("hall",), b'{"seq":%d}' % number)


def heard(line: socket.socket) -> list[IpcMessage]:
    """Receive all waiting messages."""
    found = []
    line.setblocking(False)
    try:
        while datagram := line.recv(feed.LIMIT):
            found.append(feed.unpack(datagram))
    except BlockingIOError:
        pass
    return found


class TestChannel:
    """The message channel to the page's process."""

    @pytest.fixture
    def ends(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        yield ends
        for end in ends:
            end.close()

    def test_who_starts_late_is_told_what_matters(
        self, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        """A new process gets the latest state and the last events in order, but no poses."""
        line, start = IpcChannel(), IpcMessage("start", (), b"{}")
        for number in range(EVENTS + 5):
            line.put(poses(number))
            line.put(IpcMessage("state", ("hall",), b"%d" % number))
            line.put(IpcMessage("event", ("hall",), b"%d" % number))

        line.open(ends[0], start)

        first, state, *events = heard(ends[1])
        assert first == start
        assert state == IpcMessage("state", ("hall",), b"%d" % (EVENTS + 4))
        assert [event.payload for event in events] == [b"%d" % n for n in range(5, EVENTS + 5)]

    def test_one_who_does_not_listen_holds_nobody_up(
        self, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        """When the buffer is full poses are dropped; states and events are sent later."""
        line = IpcChannel()
        line.open(ends[0], IpcMessage("start", (), b"{}"))
        for number in range(5000):
            line.put(poses(number))
        line.put(IpcMessage("state", ("hall",), b"new"))
        line.put(IpcMessage("event", ("hall",), b"fall"))
        before = heard(ends[1])

        line.put(poses(5000))

        after = heard(ends[1])
        assert len(before) < 5000
        assert {message.type for message in before} == {"start", "poses"}
        assert IpcMessage("state", ("hall",), b"new") in after
        assert IpcMessage("event", ("hall",), b"fall") in after
        assert after[-1] == poses(5000)

    def test_clips_that_exceed_the_buffer_are_sent_in_parts(
        self, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        """Each stored clip is sent once, and poses follow as soon as all are sent."""
        line = IpcChannel()
        clips = [IpcMessage("clip", (f"c{number}",), bytes(60_000)) for number in range(8)]
        for clip in clips:
            line.put(clip)
        line.open(ends[0], IpcMessage("start", (), b"{}"))

        received = heard(ends[1])
        for number in range(8):
            line.put(poses(number))
            received += heard(ends[1])

        assert [message for message in received if message.type == "clip"] == clips
        assert received[-1] == poses(7)

    def test_clips_that_may_not_be_shown_any_more_are_dropped(
        self, ends: tuple[socket.socket, socket.socket]
    ) -> None:
        """Neither stored nor due clips of such a camera are sent."""
        line = IpcChannel()
        line.put(IpcMessage("clip", ("hall",), b"1"))
        line.put(IpcMessage("clip", ("yard",), b"2"))
        line.put(IpcMessage("state", ("hall",), b"{}"))

        line.keep_only_clips(lambda camera: camera == "yard")
        line.open(ends[0], IpcMessage("start", (), b"{}"))

        sent = [message[:2] for message in heard(ends[1])[1:]]
        assert sent == [("state", ("hall",)), ("clip", ("yard",))]

    def test_one_who_has_gone_is_no_error(self, ends: tuple[socket.socket, socket.socket]) -> None:
        """Sending to an ended process is no error."""
        line = IpcChannel()
        line.open(ends[0], IpcMessage("start", (), b"{}"))
        ends[1].close()

        line.put(poses(1))
        line.put(IpcMessage("state", ("hall",), b"{}"))

    def test_what_is_no_more_is_forgotten(self, ends: tuple[socket.socket, socket.socket]) -> None:
        """Messages of removed cameras are dropped."""
        line = IpcChannel()
        for camera in ("hall", "yard"):
            line.put(IpcMessage("state", (camera,), b"{}"))
        line.put(IpcMessage("status", (), b"{}"))

        line.keep_only(["yard"])
        line.open(ends[0], IpcMessage("start", (), b"{}"))

        assert [told[:2] for told in heard(ends[1])[1:]] == [("state", ("yard",)), ("status", ())]


class Host:
    """The parts of the daemon that the page uses."""

    engine_threads = 0

    def __init__(self, config: Config, topics: Topics) -> None:
        self.config, self.topics = config, topics

    def newest_frame(self, camera: str) -> None:
        """Return no picture."""

    def show_cameras(self, cameras: frozenset[str]) -> None:
        """Do nothing."""


class TestSeen:
    """Which of the daemon's messages the page gets."""

    @pytest.fixture
    def page(self) -> PageLauncher:
        config = loads(f'[device]\nid = "pi"\n{CAMERA}', "test")
        topics = Topics("edgepose", "pi")
        return PageLauncher(cast(PageHost, Host(config, topics)))

    def told(self, page: PageLauncher, *messages: Message) -> list[IpcMessage]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            page._channel.open(ours, IpcMessage("start", (), b""))
            for message in messages:
                page.receive(message)
            page._channel.close()
            return heard(theirs)[1:]

    def message(self, topic: str, kind: Kind) -> Message:
        return Message(topic, b"{}", kind)

    def test_nobody_looks_and_nothing_is_sent(self, page: PageLauncher) -> None:
        """Poses are sent only for watched cameras."""
        hall = self.message("edgepose/pi/hall/poses", "poses")
        yard = self.message("edgepose/pi/yard/poses", "poses")

        before = self.told(page, hall, yard)
        page.watch(["hall"], [])
        during = self.told(page, hall, yard)
        page.watch([], [])
        after = self.told(page, hall, yard)

        assert [told[:2] for told in during] == [("poses", ("hall",))]
        assert before == after == []

    @pytest.mark.parametrize(
        ("tables", "shown"),
        [
            (CAMERA, True),
            (f'{CAMERA}clip = "camera"\n', False),
            (f'[web]\npicture = true\n{CAMERA}clip = "camera"\n', True),
        ],
    )
    def test_a_clip_with_the_room_in_it_needs_permission(self, tables: str, shown: bool) -> None:
        """A clip with the camera's picture is sent to the page only if permitted."""
        config = loads(f'[device]\nid = "pi"\n{tables}', "test")
        page = PageLauncher(cast(PageHost, Host(config, Topics("edgepose", "pi"))))

        found = self.told(page, self.message("edgepose/pi/hall/clip", "snapshot"))

        assert [each[:2] for each in found] == ([("clip", ("hall",))] if shown else [])

    def test_a_requested_clip_is_not_linked_to_an_event(self, page: PageLauncher) -> None:
        """A clip that was made on request does not reach the page, which would link it."""
        clip = self.message("edgepose/pi/hall/clip", "snapshot")

        assert self.told(page, replace(clip, is_requested=True)) == []

    def test_a_clip_comes_after_the_event_that_it_belongs_to(self, page: PageLauncher) -> None:
        """A new process gets the event before its clip, so that it can link them."""
        for name, kind in (("clip", "snapshot"), ("state", "state"), ("event", "event")):
            page.receive(self.message(f"edgepose/pi/hall/{name}", cast(Kind, kind)))

        assert [each.type for each in self.told(page)] == ["state", "event", "clip"]

    def test_what_is_not_for_people_is_left_out(self, page: PageLauncher) -> None:
        """Discovery messages, snapshots and MessagePack are not sent."""
        page.watch(["hall"], [])

        found = self.told(
            page,
            self.message("edgepose/pi/availability", "state"),
            self.message("edgepose/pi/hall/availability", "state"),
            self.message("homeassistant/device/pi/config", "state"),
            self.message("edgepose/pi/hall/snapshot", "snapshot"),
            self.message("edgepose/pi/hall/poses/msgpack", "poses"),
            self.message("edgepose/pi/status", "state"),
            self.message("edgepose/pi/stats", "stats"),
            self.message("edgepose/pi/hall/state", "state"),
            self.message("edgepose/pi/hall/event", "event"),
        )

        assert [told[:2] for told in found] == [
            ("availability", ("hall",)),
            ("status", ()),
            ("stats", ()),
            ("state", ("hall",)),
            ("event", ("hall",)),
        ]


class Served:
    """A daemon in this process, and its page."""

    def __init__(self, folder: Path, tables: str = CAMERA, web: str = "") -> None:
        self.port = free_port()
        self.broker = free_port()
        self.file = folder / "edgepose.toml"
        self.write(tables, web)
        origin = Origin(file=str(self.file))
        self.daemon = Daemon(origin.read(), origin=origin)
        self._thread = threading.Thread(target=self.daemon.run)
        self._thread.start()

    def write(self, tables: str = CAMERA, web: str = "", listen: str = "127.0.0.1") -> None:
        """Write the configuration file."""
        self.file.write_text(
            f'[device]\nid = "pi"\n[mqtt]\nurl = "mqtt://127.0.0.1:{self.broker}"\n'
            f'[metrics]\nlisten = ""\n[web]\nlisten = "{listen}:{self.port}"\n{web}'
            f'[model]\nname = "movenet-lightning"\n{tables}'
        )

    @property
    def processed(self) -> int:
        """Return the number of processed frames."""
        control = self.daemon.state.cameras.get("hall")
        return control.camera.health.processed if control else 0

    def goes_on(self) -> bool:
        """Return whether frames are processed."""
        before = self.processed
        return wait_until(lambda: self.processed > before + 3, 60)

    def processes(self) -> list[int]:
        """Return the ids of the page's processes."""
        found = []
        for task in Path("/proc/self/task").iterdir():
            for pid in (task / "children").read_text().split():
                command = Path(f"/proc/{pid}/cmdline")
                if command.exists() and b"edgepose.web" in command.read_bytes():
                    found.append(int(pid))
        return found

    def close(self) -> None:
        """End the daemon."""
        self.daemon.stop()
        self._thread.join(10)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start daemons, which end after the test."""
    started: list[Served] = []

    def start(*words: str, **settings: str) -> Served:
        started.append(Served(tmp_path, *words, **settings))
        assert wait_until(lambda: started[-1].processed > 0, 60)
        return started[-1]

    yield start
    for served in started:
        served.close()


def refused(port: int) -> bool:
    """Return whether the port refuses connections."""
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 60))


async def look(port: int, wanted: Callable[[dict[str, Any]], bool], *said: str) -> list[Any]:
    """Receive the page's messages until one matches; return all of them."""
    found: list[Any] = []
    where = f"ws://127.0.0.1:{port}/api/live"
    async with ClientSession() as session, session.ws_connect(where) as line:
        for words in said:
            await line.send_str(words)
        async for message in line:
            if message.type == WSMsgType.BINARY:
                found.append({"type": "picture", "content": message.data})
            else:
                found.append(json.loads(message.data))
            if wanted(found[-1]):
                return found
    raise AssertionError(found)


def is_(type_: str) -> Callable[[dict[str, Any]], bool]:
    return lambda message: bool(message["type"] == type_)


@pytest.mark.slow
class TestDaemon:
    """The real daemon without a broker: the page works nevertheless."""

    def test_a_process_comes_with_the_first_who_looks(self, serve: Callable[..., Served]) -> None:
        """The process starts with the first request and ends with the daemon."""
        served = serve()
        assert served.processes() == []

        found = run(look(served.port, is_("poses")))
        (process,) = served.processes()

        types = [message["type"] for message in found]
        assert types[0] == "hello"
        assert {"status", "state", "link"} <= set(types)
        assert found[0]["device"]["id"] == "pi"
        assert len(found[0]["keypoints"]) == 17
        link = next(message for message in found if message["type"] == "link")
        assert link["broker"] != "connected"
        assert found[-1]["camera"] == "hall"
        assert found[-1]["message"]["width"] > 0
        served.close()
        assert not Path(f"/proc/{process}").exists()

    def test_a_process_that_is_killed_costs_a_line_in_the_log(
        self, serve: Callable[..., Served], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Frames go on, and the next request starts a new process; the log gets one line."""
        served = serve()
        run(look(served.port, is_("poses")))
        (first,) = served.processes()

        os.kill(first, signal.SIGKILL)

        assert served.goes_on()
        run(look(served.port, is_("poses")))
        (second,) = served.processes()
        assert second != first
        said = [
            r
            for r in caplog.records
            if r.name == "edgepose.web.bridge.process" and r.levelno > logging.INFO
        ]
        assert len(said) == 1

    def test_a_process_that_hangs_slows_nothing(self, serve: Callable[..., Served]) -> None:
        """A stopped page process does not slow the daemon; afterwards it continues."""
        served = serve()
        run(look(served.port, is_("poses")))
        (process,) = served.processes()

        async def stall() -> None:
            where = f"ws://127.0.0.1:{served.port}/api/live"
            async with ClientSession() as session, session.ws_connect(where) as line:
                await line.receive()
                os.kill(process, signal.SIGSTOP)
                try:
                    assert await asyncio.to_thread(served.goes_on)
                    assert await asyncio.to_thread(served.goes_on)
                finally:
                    os.kill(process, signal.SIGCONT)
                seen = served.processed
                async for message in line:
                    told = json.loads(message.data)
                    if told["type"] == "poses" and told["message"]["seq"] > seen:
                        return

        run(stall())

    def test_what_is_saved_holds_at_once(self, serve: Callable[..., Served]) -> None:
        """The daemon has reloaded when the answer arrives; the state contains the new zone."""
        served = serve()
        seen = ask(served.port, "GET", "/api/config").data["revision"]
        zone = {"id": "floor", "kind": "area", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
        changes = {"cameras": {"hall": {"zones": [zone]}}}

        answer = ask(served.port, "PUT", "/api/config", changes, {"If-Match": f'"{seen}"'})
        camera = served.daemon.state.config.cameras[0]
        found = run(
            look(
                served.port,
                lambda m: (
                    m["type"] == "state" and m["message"]["zones"].get("floor", {}).get("count")
                ),
            )
        )

        assert answer.status == 200
        assert "reload" not in answer.data
        assert [zone.id for zone in camera.zones] == ["floor"]
        assert found[-1]["message"]["zones"]["floor"]["occupied"]
        assert "# first" in served.file.read_text()

    def test_programs_read_without_a_broker(self, serve: Callable[..., Served]) -> None:
        """Poses, states and skeletons of the real daemon conform to the OpenAPI document."""
        served = serve()
        schemas = openapi.document()["components"]

        def check(name: str, content: Any) -> None:
            whole = {"$ref": f"#/components/schemas/{name}", "components": schemas}
            jsonschema.Draft202012Validator(whole).validate(content)

        async def read() -> tuple[Any, Any, list[Any], bytes]:
            where = f"http://127.0.0.1:{served.port}/api/v1"
            async with ClientSession() as session:
                async with session.get(f"{where}/cameras/hall/poses") as answer:
                    poses = await answer.json()
                async with session.get(f"{where}/cameras") as answer:
                    cameras = await answer.json()
                async with session.ws_connect(f"{where}/stream") as line:
                    messages = []
                    while not messages or not messages[-1]["topic"].endswith("/poses"):
                        messages.append(json.loads((await line.receive()).data))
                async with session.get(f"{where}/cameras/hall/skeletons.mjpeg") as answer:
                    picture = await answer.content.readuntil(b"\xff\xd9")
                return poses, cameras, messages, picture

        poses, cameras, messages, picture = run(read())

        check("PosesMessage", poses)
        check("CameraList", cameras)
        for message in messages:
            check("StreamMessage", message)
        assert poses["width"] > 0
        assert cameras["cameras"][0]["status"]["state"] == "online"
        topics = {message["topic"] for message in messages}
        own = {f"edgepose/pi/{rest}" for rest in ("status", "hall/state", "hall/availability")}
        assert own <= topics
        assert b"\xff\xd8" in picture

    def test_a_camera_is_set(self, serve: Callable[..., Served]) -> None:
        """Settings and refusals are as over MQTT; the state contains the new value."""
        served = serve()
        path = "/api/cameras/hall/set"

        taken = ask(served.port, "POST", path, {"min_pose_score": 0.5})
        wrong = ask(served.port, "POST", path, {"min_pose_score": 5})
        nobody = ask(served.port, "POST", "/api/cameras/nobody/set", {"fall": True})
        found = run(look(served.port, is_("state")))

        assert (taken.status, wrong.status, nobody.status) == (204, 422, 422)
        assert "nobody" in nobody.data["error"]
        assert found[-1]["message"]["settings"]["min_pose_score"] == 0.5

    def test_an_empty_room_moves_for_who_looks(
        self, serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The motion gate is open while the page is watched, and closed afterwards."""
        monkeypatch.setitem(ATTENTIVE_S, "somebody", 0.2)
        with streams.Camera() as camera:
            camera.picture = rooms.empty()
            served = serve(f'[[camera]]\nid = "hall"\nsource = "{camera.url("/live")}"\n')
            dropped = served.daemon.state.cameras["hall"].camera.health.dropped
            assert wait_until(lambda: dropped["still"] > 20, 60)
            count = iter(range(12))

            found = run(look(served.port, lambda m: is_("poses")(m) and next(count) == 11))
            before = dropped["still"]
            assert wait_until(lambda: dropped["still"] > before + 20, 60)

        moments = [
            datetime.fromisoformat(message["message"]["captured_at"])
            for message in found
            if message["type"] == "poses"
        ]
        idle_s = 1 / served.daemon.state.config.cameras[0].idle_fps
        assert (moments[-1] - moments[0]).total_seconds() < idle_s

    def test_pictures_are_shown_where_the_owner_wants(self, serve: Callable[..., Served]) -> None:
        """`web.picture` sends small masked pictures with their frame's number."""
        mask = "masks = [[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]]\n"
        served = serve(CAMERA + mask, web="picture = true\n")
        wish = '{"type":"watch","cameras":["hall"],"picture":true}'

        found = run(look(served.port, is_("picture"), wish))

        content = found[-1]["content"]
        (length,) = struct.unpack_from(">I", content)
        head = json.loads(content[4 : 4 + length])
        image = cv2.imdecode(np.frombuffer(content[4 + length :], np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        half = image.shape[1] // 2
        assert found[0]["picture"] is True
        assert head["camera"] == "hall"
        assert head["seq"] > 0
        assert max(image.shape) <= 960
        assert image[:, : half - 8].mean() < 2 < image[:, half + 8 :].mean()

    def test_pictures_are_shown_nowhere_else(self, serve: Callable[..., Served]) -> None:
        """Without `web.picture` no pictures are sent, even on request."""
        served = serve()
        wish = '{"type":"watch","cameras":["hall"],"picture":true}'
        count = iter(range(10))

        found = run(look(served.port, lambda m: is_("poses")(m) and next(count) == 5, wish))

        assert found[0]["picture"] is False
        assert "picture" not in {message["type"] for message in found}

    def test_beyond_this_machine_it_waits_for_a_token(
        self, serve: Callable[..., Served], caplog: pytest.LogCaptureFixture
    ) -> None:
        """On other addresses the page is served only with a token; the log says how to make one."""
        caplog.set_level(logging.INFO, "edgepose")
        served = serve()
        served.write(listen="0.0.0.0")
        served.daemon.reload()
        assert wait_until(lambda: "edgepose web token" in caplog.text, 60)
        assert refused(served.port)

        folder = storage.state_directory("pi")
        assert folder is not None
        token = tokens.make(folder / tokens.FILE)
        served.daemon.reload()
        assert wait_until(lambda: "the page is on http://0.0.0.0" in caplog.text, 60)
        shut = ask(served.port, "GET", "/api/config")
        signed = ask(served.port, "POST", "/api/login", {"token": token})
        cookie = {"Cookie": signed.headers["Set-Cookie"].partition(";")[0]}

        assert shut.status == 401
        assert ask(served.port, "GET", "/api/config", None, cookie).status == 200

    def test_it_moves_and_ends_with_a_reload(
        self, serve: Callable[..., Served], caplog: pytest.LogCaptureFixture
    ) -> None:
        """A reload changes the address and frees the old one; an empty one turns the page off."""
        caplog.set_level(logging.INFO, "edgepose")
        served = serve()
        ask(served.port, "GET", "/api/session")
        old, served.port = served.port, free_port()
        served.write()
        served.daemon.reload()
        assert wait_until(lambda: f"127.0.0.1:{served.port}" in caplog.text, 60)
        assert ask(served.port, "GET", "/api/session").status == 200
        assert refused(old)

        served.file.write_text(served.file.read_text().replace(f'"127.0.0.1:{served.port}"', '""'))
        served.daemon.reload()

        assert wait_until(lambda: refused(served.port), 60)
        assert served.processes() == []


class TestServed:
    """Reasons for not serving the page, each logged in one sentence with a remedy."""

    @pytest.fixture(autouse=True)
    def _told(self, caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog

    def configure(self, web: str) -> list[str]:
        config = loads(f"[web]\n{web}\n{CAMERA}", "test")
        topics = Topics("edgepose", config.device.id)
        page = PageLauncher(cast(PageHost, Host(config, topics)))
        page.configure(config)
        served = page._server is not None
        page.close()
        assert not served
        return [record.getMessage() for record in self.caplog.records]

    def test_the_libraries_are_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The optional libraries are missing."""
        monkeypatch.setattr("edgepose.web.requirements.find_spec", lambda name: None)

        (said,) = self.configure(f'listen = "127.0.0.1:{free_port()}"')

        assert "aiohttp" in said

    def test_the_port_is_taken(self) -> None:
        """The port is in use."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            (said,) = self.configure(f'listen = "127.0.0.1:{other.getsockname()[1]}"')

        assert "web.listen" in said

    def test_the_certificate_is_none(self, tmp_path: Path) -> None:
        """The certificate is missing or invalid."""
        file = tmp_path / "page.pem"
        listen = f'listen = "127.0.0.1:{free_port()}"\ncert_file = "{file}"'

        missing = self.configure(listen)[-1]
        file.write_text("no certificate")
        wrong = self.configure(listen)[-1]

        assert "web.cert_file" in missing
        assert "web.cert_file" in wrong

    def test_it_is_off(self) -> None:
        """An empty address logs nothing."""
        assert self.configure('listen = ""') == []
