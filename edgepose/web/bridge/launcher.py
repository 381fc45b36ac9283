"""The daemon's side of the page: a listening socket, and a process while the page is in use.

Nothing is loaded, started or sent before the first connection. Then the process (`edgepose.web`)
serves the socket, receives the messages for the broker, and sends commands back. It ends after
the page has been unused for a while.
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
from edgepose.mqtt.requests import CommandError
from edgepose.mqtt.topics import Topics
from edgepose.skeleton import JOINT_NAMES, LIMBS
from edgepose.system.sockets import listen
from edgepose.types import Frame, Message
from edgepose.urls import address, is_local
from edgepose.web import feed
from edgepose.web.bridge.channel import IpcChannel
from edgepose.web.bridge.preview import PreviewEncoder
from edgepose.web.bridge.process import PageProcess
from edgepose.web.feed import IpcMessage
from edgepose.web.requirements import _token_file, missing_requirement

log: Final = logging.getLogger(__name__)


class PageHost(Protocol):
    """The parts of the daemon that the page uses."""

    @property
    def config(self) -> Config:
        """The current configuration."""

    @property
    def origin(self) -> Origin | None:
        """Origin from which the configuration is read again."""

    @property
    def topics(self) -> Topics:
        """The device's topics."""

    @property
    def engine_threads(self) -> int:
        """Number of cores that inference uses; 0 before the model is loaded."""

    def newest_frame(self, camera: str) -> Frame | None:
        """Return the frame of a camera's latest message, with its picture."""

    def change_settings(self, camera: str, payload: bytes) -> None:
        """Apply settings like `C/set`; raise `CommandError` if they are refused."""

    def request_reload(self) -> None:
        """Request a reload of the configuration."""

    def show_cameras(self, cameras: frozenset[str]) -> None:
        """Set the cameras that the page shows now."""


class PageLauncher:
    """Serves the page of a daemon in a separate process.

    Parameters
    ----------
    host : PageHost
        The daemon.
    """

    def __init__(self, host: PageHost) -> None:
        self._host = host
        self._channel = IpcChannel()
        self._server: PageProcess | None = None
        self._served: Any = None
        self._session_key = os.urandom(32)
        self._watched: frozenset[str] = frozenset()
        self._encoders: dict[str, PreviewEncoder] = {}
        self._reload_requests: list[int] = []
        self._link_state = ""

    # Called from the daemon's main thread

    def configure(self, config: Config) -> None:
        """Serve the page as configured; restarts it only if its settings have changed."""
        self._channel.keep_only_clips(lambda camera: _may_show_clip(config, camera))
        clips = [(camera.id, camera.clip) for camera in config.cameras]
        asked = (config.web, config.device, config.log.format, self._host.topics, clips)
        if self._server is not None and asked == self._served:
            return
        self.close()
        place = address(config.web.listen)
        if place is None:
            return
        if missing := missing_requirement(config):
            log.warning("the page is not served: %s; %s", *missing)
            return
        listener = listen(place, "web.listen", log)
        if listener is None:
            return
        scheme = "https" if config.web.cert_file else "http"
        log.info("the page is on %s://%s", scheme, config.web.listen)
        self._served = asked
        self._server = PageProcess(
            listener,
            on_start=self._begin_process,
            on_command=self._handle_command,
            on_end=self._end_process,
        )

    def close(self) -> None:
        """Stop serving. May be called twice."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.watch((), ())

    def send_link_state(self, trouble: str) -> None:
        """Send the state of the broker connection if it changed; empty `trouble`: connected."""
        state = trouble or "connected"
        if state != self._link_state:
            self._link_state = state
            self._channel.put(IpcMessage("link", (), msgspec.json.encode(state)))

    def take_reload_requests(self) -> list[int]:
        """Return and clear the numbers of the requests for the reload that begins now."""
        requests, self._reload_requests = self._reload_requests, []
        return requests

    def send_reloaded(self, requests: list[int], error: str) -> None:
        """Send the end of a reload, with the reason if it was refused."""
        reloaded = feed.Reloaded(cameras=self._camera_ids(), numbers=tuple(requests), error=error)
        self._channel.keep_only(reloaded.cameras)
        self._channel.put(IpcMessage("reloaded", (), msgspec.json.encode(reloaded)))

    # From any thread

    def receive(self, message: Message) -> None:
        """Handle a message for the broker: send it to the page if the page shows it."""
        if message.kind not in {"poses", "state", "event", "stats", "snapshot"}:
            return
        if not message.payload:
            return
        if message.kind == "poses" and not self._watched:
            return
        ipc = self._ipc_message(message)
        if ipc is None:
            return
        if ipc.type != "poses":
            self._channel.put(ipc)
        elif ipc.labels[0] in self._watched:
            self._channel.put(ipc)
            self._encode_picture(ipc.labels[0], message)

    def _ipc_message(self, message: Message) -> IpcMessage | None:
        """Convert a message for the page process; None if the page does not show its topic."""
        prefix, _, rest = message.topic.rpartition("/")
        own = self._host.topics.prefix
        if prefix == own and rest in {"status", "stats"}:
            return IpcMessage(rest, (), message.payload)
        parent, _, camera = prefix.rpartition("/")
        if parent == own and rest == "clip" and not self._is_linked(message, camera):
            return None
        if parent == own and rest in {"poses", "state", "event", "clip"}:
            return IpcMessage(rest, (camera,), message.payload)
        if parent == own and rest == "availability":
            return IpcMessage(rest, (camera,), msgspec.json.encode(message.payload.decode()))
        return None

    def _is_linked(self, message: Message, camera: str) -> bool:
        """Return whether the page may show a clip, and links it to an event."""
        return not message.is_requested and _may_show_clip(self._host.config, camera)

    # Called from the thread of the page process

    def _begin_process(self, line: socket.socket) -> None:
        """Send the settings and all stored messages to a new process."""
        self._channel.open(
            line, IpcMessage("start", (), msgspec.json.encode(self._start_message()))
        )

    def _end_process(self) -> None:
        """Stop sending: the process has ended."""
        self._channel.close()
        self.watch((), ())

    def _start_message(self) -> feed.Start:
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
            cameras=self._camera_ids(),
            topic_prefix=host.topics.prefix,
            local=place is not None and is_local(place.host),
            hosts=web.hosts,
            trusted_proxies=web.trusted_proxies,
            cert_file=web.cert_file,
            key_file=web.key_file,
            token_file=str(_token_file(config) or ""),
            session_key=self._session_key,
            engine_threads=host.engine_threads,
            log_format=config.log.format,
        )

    def _camera_ids(self) -> tuple[str, ...]:
        return tuple(camera.id for camera in self._host.config.cameras)

    def _handle_command(self, datagram: bytes) -> None:
        """Execute a command of the page process."""
        command = feed.read_command(datagram)
        match command:
            case feed.Watch(poses=poses, pictures=pictures):
                self.watch(poses, pictures if self._host.config.web.picture else ())
            case feed.Reload(number=number):
                self._reload_requests.append(number)
                self._host.request_reload()
            case feed.Set():
                answer = feed.Answer(number=command.number, error=self._change_settings(command))
                self._channel.put(IpcMessage("answer", (), msgspec.json.encode(answer)))

    def _change_settings(self, command: feed.Set) -> str:
        """Change settings like `C/set`; return why they were refused, or an empty string."""
        try:
            self._host.change_settings(command.camera, bytes(command.settings))
        except CommandError as refusal:
            return str(refusal)
        return ""

    def watch(self, poses: Iterable[str], pictures: Iterable[str]) -> None:
        """Set the cameras whose poses and pictures are sent."""
        self._watched = frozenset(poses)
        self._host.show_cameras(self._watched)
        wanted = set(pictures)
        encoders = dict(self._encoders)
        for gone in encoders.keys() - wanted:
            encoders.pop(gone).close()
        for camera in wanted - encoders.keys():
            encoders[camera] = PreviewEncoder(camera, self._channel, self._host.engine_threads)
        self._encoders = encoders

    def _encode_picture(self, camera: str, message: Message) -> None:
        encoder = self._encoders.get(camera)
        # The caller has just processed the newest frame: it belongs to the message.
        frame = None if encoder is None else self._host.newest_frame(camera)
        if encoder is not None and frame is not None:
            encoder.put(frame, message.payload)


def _may_show_clip(config: Config, camera: str) -> bool:
    """Return whether a clip has no camera picture, or the page may show those."""
    shows = any(each.id == camera and each.clip == "camera" for each in config.cameras)
    return config.web.picture or not shows
