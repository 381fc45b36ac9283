"""The daemon's own page, as the daemon sees it: a socket, and a process while somebody looks.

Nothing is loaded, started or sent before somebody connects. Then a process of its own
takes the socket over (`edgepose.web`), is told what goes to the broker too, and hands
back what people do on the page. It ends when nobody has looked for a while.
"""

import logging
import os
import socket
from collections.abc import Iterable
from typing import Any, Final, Protocol

import msgspec

from edgepose._version import __version__
from edgepose.config.loading import Origin
from edgepose.config.schema import Config
from edgepose.mqtt.requests import Refusal
from edgepose.mqtt.topics import Topics
from edgepose.skeleton import JOINT_NAMES, LIMBS
from edgepose.system.sockets import listen
from edgepose.types import Frame, Message
from edgepose.urls import address, is_local
from edgepose.web import feed
from edgepose.web.bridge.channel import Line
from edgepose.web.bridge.preview import Painter
from edgepose.web.bridge.process import Server
from edgepose.web.feed import Told
from edgepose.web.requirements import _token_file, lack

log: Final = logging.getLogger(__name__)


class PageHost(Protocol):
    """What the page needs of the daemon that it belongs to."""

    @property
    def config(self) -> Config:
        """The configuration in force."""

    @property
    def origin(self) -> Origin | None:
        """Where the configuration is read again."""

    @property
    def topics(self) -> Topics:
        """The device's topics."""

    @property
    def engine_threads(self) -> int:
        """How many cores the model takes; 0 before it is loaded."""

    def newest_frame(self, camera: str) -> Frame | None:
        """Return the frame that a camera's latest message is about, with its picture."""

    def change_settings(self, camera: str, payload: bytes) -> None:
        """Apply settings as `C/set` does; raise `Refusal` where they are refused."""

    def request_reload(self) -> None:
        """Ask for a reload of the configuration."""

    def show_cameras(self, cameras: frozenset[str]) -> None:
        """Take which cameras the page shows from now on."""


class Page:
    """Serves the page of a daemon.

    Parameters
    ----------
    host : PageHost
        The daemon that the page belongs to.
    """

    def __init__(self, host: PageHost) -> None:
        self._host = host
        self._line = Line()
        self._server: Server | None = None
        self._served: Any = None
        self._session_key = os.urandom(32)
        self._watched: frozenset[str] = frozenset()
        self._painters: dict[str, Painter] = {}
        self._asked: list[int] = []
        self._linked = ""

    # From the daemon's main thread

    def configure(self, config: Config) -> None:
        """Serve, or not, as a configuration says; those who look notice only what concerns them."""
        asked = (config.web, config.device, config.log.format, self._host.topics)
        if self._server is not None and asked == self._served:
            return
        self.close()
        place = address(config.web.listen)
        if place is None:
            return
        if missing := lack(config):
            log.warning("the page is not served: %s; %s", *missing)
            return
        listener = listen(place, "web.listen", log)
        if listener is None:
            return
        scheme = "https" if config.web.cert_file else "http"
        log.info("the page is on %s://%s", scheme, config.web.listen)
        self._served = asked
        self._server = Server(listener, on_start=self.begin, on_command=self.obey, on_end=self.end)

    def close(self) -> None:
        """Serve no more; twice is fine."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.watch((), ())

    def tell_link(self, trouble: str) -> None:
        """Tell whether there is a broker, if that is news; the reason is empty while there is."""
        word = trouble or "connected"
        if word != self._linked:
            self._linked = word
            self._line.put(Told("link", (), msgspec.json.encode(word)))

    def reload_begins(self) -> list[int]:
        """Return who has asked for the reload that begins now."""
        asked, self._asked = self._asked, []
        return asked

    def reloaded(self, asked: list[int], error: str) -> None:
        """Tell that a reload is over, and why it was refused if it was."""
        told = feed.Reloaded(cameras=self._cameras(), numbers=tuple(asked), error=error)
        self._line.keep_only(told.cameras)
        self._line.put(Told("reloaded", (), msgspec.json.encode(told)))

    # From any thread

    def see(self, message: Message) -> None:
        """Take a message that is on its way to the broker."""
        if message.kind not in {"poses", "state", "event", "stats"} or not message.payload:
            return
        if message.kind == "poses" and not self._watched:
            return
        told = self._told(message)
        if told is None:
            return
        if told.word != "poses":
            self._line.put(told)
        elif told.of[0] in self._watched:
            self._line.put(told)
            self._paint(told.of[0], message)

    def _told(self, message: Message) -> Told | None:
        """Say what a message is, by its topic; None for what the page does not show."""
        prefix, _, rest = message.topic.rpartition("/")
        own = self._host.topics.prefix
        if prefix == own and rest in {"status", "stats"}:
            return Told(rest, (), message.payload)
        parent, _, camera = prefix.rpartition("/")
        if parent == own and rest in {"poses", "state", "event"}:
            return Told(rest, (camera,), message.payload)
        if parent == own and rest == "availability":
            return Told(rest, (camera,), msgspec.json.encode(message.payload.decode()))
        return None

    # From the server's thread

    def begin(self, line: socket.socket) -> None:
        """Tell a new process where it is, and all there is to know."""
        self._line.open(line, Told("start", (), msgspec.json.encode(self._start())))

    def end(self) -> None:
        """Tell nobody any more."""
        self._line.close()
        self.watch((), ())

    def _start(self) -> feed.Start:
        host, config = self._host, self._host.config
        web, place = config.web, address(config.web.listen)
        hello = {
            "type": "hello",
            "version": __version__,
            "device": {"id": config.device.id, "name": config.device.title},
            "picture": web.picture,
            "keypoints": JOINT_NAMES,
            "skeleton": LIMBS,
        }
        return feed.Start(
            hello=msgspec.Raw(msgspec.json.encode(hello)),
            origin=msgspec.Raw(msgspec.json.encode(host.origin)),
            cameras=self._cameras(),
            topic_prefix=host.topics.prefix,
            local=place is not None and is_local(place.host),
            hosts=web.hosts,
            cert_file=web.cert_file,
            key_file=web.key_file,
            token_file=str(_token_file(config) or ""),
            session_key=self._session_key,
            engine_threads=host.engine_threads,
            log_format=config.log.format,
        )

    def _cameras(self) -> tuple[str, ...]:
        return tuple(camera.id for camera in self._host.config.cameras)

    def obey(self, datagram: bytes) -> None:
        """Do what the process asks for."""
        command = feed.read_command(datagram)
        match command:
            case feed.Watch(poses=poses, pictures=pictures):
                self.watch(poses, pictures if self._host.config.web.picture else ())
            case feed.Reload(number=number):
                self._asked.append(number)
                self._host.request_reload()
            case feed.Set():
                answer = feed.Answer(number=command.number, error=self._set(command))
                self._line.put(Told("answer", (), msgspec.json.encode(answer)))

    def _set(self, command: feed.Set) -> str:
        """Change a camera as `C/set` does; say why not, where it is refused."""
        try:
            self._host.change_settings(command.camera, bytes(command.settings))
        except Refusal as refusal:
            return str(refusal)
        return ""

    def watch(self, poses: Iterable[str], pictures: Iterable[str]) -> None:
        """Tell from now on of these cameras' poses, and show these cameras' pictures."""
        self._watched = frozenset(poses)
        self._host.show_cameras(self._watched)
        wanted = set(pictures)
        painters = dict(self._painters)
        for gone in painters.keys() - wanted:
            painters.pop(gone).close()
        for camera in wanted - painters.keys():
            painters[camera] = Painter(camera, self._line, self._host.engine_threads)
        self._painters = painters

    def _paint(self, camera: str, message: Message) -> None:
        painter = self._painters.get(camera)
        # On this thread the newest frame is the one that the message is about.
        frame = None if painter is None else self._host.newest_frame(camera)
        if painter is not None and frame is not None:
            painter.take(frame, message.payload)
