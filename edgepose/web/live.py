"""Distributes the daemon's messages to the connected clients."""

import asyncio
import json
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from typing import Annotated, Any, ClassVar, Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Meta, Struct

from edgepose.errors import in_words
from edgepose.web.feed import CLIP_TRIGGERS, CLIPS, EVENTS, PASSING, IpcMessage

log: Final = logging.getLogger(__name__)

MAX_DUE: Final = 1000  # maximum queued frames of a client that does not read; frames are small
HEARTBEAT_S: Final = 15.0  # a lost client is detected after twice this time
MAX_MESSAGE_BYTES: Final = 4096

Id = Annotated[str, Meta(max_length=64)]
Key = tuple[str, ...] | int


class WatchRequest(Struct, frozen=True, forbid_unknown_fields=True, tag="watch"):
    """Request of a page: the cameras that it shows now."""

    cameras: Annotated[tuple[Id, ...], Meta(max_length=256)]
    picture: bool = False


class OutgoingFrame(Struct, frozen=True):
    """A message in the form sent to a client."""

    key: Key
    """A newer frame with the same key replaces a pending one."""

    content: bytes
    kind: WSMsgType = WSMsgType.TEXT


def text(type_: str, **fields: Any) -> bytes:
    """Return a message from the page process itself."""
    return json.dumps({"type": type_, **fields}).encode()


class LinkedEvent(Struct, frozen=True):
    """The fields of an event that are needed to link its clip."""

    id: str
    type: str


class Clip(Struct, frozen=True):
    """A clip that pages link to."""

    number: int
    event: str
    camera: str
    content: bytes

    def frame(self) -> OutgoingFrame:
        """Return the message that announces the clip to a page."""
        said = text("clip", camera=self.camera, event=self.event, number=self.number)
        return OutgoingFrame(self.number, said)


class Viewer(ABC):
    """A client. Gets the latest frame of each key, as fast as it reads them.

    Parameters
    ----------
    is_allowed : callable
        Returns whether the client still has access: a new token ends the old one's connections.
    """

    counts: ClassVar[bool] = True
    """Whether it counts towards the limit of clients."""

    gets_past_events: ClassVar[bool] = False

    def __init__(self, is_allowed: Callable[[], bool]) -> None:
        self.is_allowed = is_allowed
        self.first: tuple[OutgoingFrame, ...] = ()
        """Frames that are sent before all others."""

        self._due: dict[Key, OutgoingFrame] = {}
        self._more = asyncio.Event()
        self.is_over = False

    @abstractmethod
    def wants(self, type_: str, camera: str) -> bool:
        """Return whether a camera's ``poses`` or ``picture`` are needed for this client."""

    @abstractmethod
    def encode(self, message: IpcMessage, number: int) -> OutgoingFrame | None:
        """Return the frame for this client; None for messages that it does not get.

        `number` is different for each message.
        """

    def receive(self, message: IpcMessage, number: int) -> None:
        """Queue a message of the daemon, if the client gets it."""
        if message.type in PASSING and not self.wants(message.type, message.labels[0]):
            return
        frame = self.encode(message, number)
        if frame is not None:
            self.put(frame)

    def put(self, frame: OutgoingFrame) -> None:
        """Queue a frame; replaces a pending frame with the same key."""
        self._due.pop(frame.key, None)
        self._due[frame.key] = frame
        if len(self._due) > MAX_DUE:
            self.leave()
        self._more.set()

    def leave(self) -> None:
        """End the client: `next_frame` returns None from now on."""
        self.is_over = True
        self._more.set()

    async def next_frame(self) -> OutgoingFrame | None:
        """Wait for the next frame; None once the client has ended."""
        while not self._due and not self.is_over:
            self._more.clear()
            await self._more.wait()
        return None if self.is_over else self._due.pop(next(iter(self._due)))


class PageViewer(Viewer):
    """A browser that shows the page."""

    gets_past_events: ClassVar[bool] = True

    def __init__(self, hello: bytes, is_allowed: Callable[[], bool]) -> None:
        super().__init__(is_allowed)
        self.first = (OutgoingFrame(("hello",), hello),)
        self.request: WatchRequest | None = None
        """None: all cameras, no picture."""

    def wants(self, type_: str, camera: str) -> bool:
        """Return whether the page shows a camera, or its picture."""
        if self.request is None:
            return type_ != "picture"
        return camera in self.request.cameras and (self.request.picture or type_ != "picture")

    def encode(self, message: IpcMessage, number: int) -> OutgoingFrame | None:
        """Return a text message with its type, or a picture with its header."""
        if message.type in {"availability", "clip"}:  # the status has it; a clip is linked
            return None
        if message.type == "picture":
            camera, seq = message.labels
            head = json.dumps({"camera": camera, "seq": int(seq)}).encode()
            content = len(head).to_bytes(4, "big") + head + message.payload
            return OutgoingFrame(("picture", camera), content, WSMsgType.BINARY)
        if message.type == "link":
            return OutgoingFrame(("link",), b'{"type":"link","broker":%b}' % message.payload)
        of = (
            b',"camera":"%b"' % message.labels[0].encode()
            if message.labels and message.type != "event"
            else b""
        )
        content = b'{"type":"%b"%b,"message":%b}' % (message.type.encode(), of, message.payload)
        return OutgoingFrame(
            number if message.type == "event" else (message.type, *message.labels), content
        )


class Hub:
    """Distributes messages to clients, and keeps the latest of each kind for new clients.

    Parameters
    ----------
    cameras : iterable of str
        Ids of the cameras.
    on_change : callable
        Called when the cameras that a client shows change.
    """

    def __init__(self, cameras: Iterable[str], on_change: Callable[[], None]) -> None:
        self.cameras = tuple(cameras)
        self._on_change = on_change
        self._latest: dict[tuple[str, ...], IpcMessage] = {}
        self._events: deque[IpcMessage] = deque(maxlen=EVENTS)
        self._numbers = count()
        self._clips: deque[Clip] = deque(maxlen=CLIPS)
        self.viewers: set[Viewer] = set()

    def receive(self, message: IpcMessage) -> None:
        """Store a message of the daemon and pass it to the clients."""
        if message.type == "event":
            if message in self._events:
                return  # already stored: the daemon sends it again after the socket was full
            self._events.append(message)
        elif message.type == "clip":
            self._keep_clip(message)
            return
        elif message.type not in PASSING:
            self._latest[message.type, *message.labels] = message
        number = next(self._numbers)
        for viewer in list(self.viewers):
            viewer.receive(message, number)

    def _keep_clip(self, message: IpcMessage) -> None:
        """Store a clip and link it to the latest event that makes clips."""
        (camera,) = message.labels
        for event in reversed(self._events):
            found = msgspec.json.decode(event.payload, type=LinkedEvent)
            if event.labels == (camera,) and found.type in CLIP_TRIGGERS:
                break
        else:
            return
        if any(clip.content == message.payload for clip in self._clips):
            return  # already stored: the daemon sends it again after the socket was full
        clip = Clip(next(self._numbers), found.id, camera, message.payload)
        self._clips.append(clip)
        for viewer in self.viewers:
            if isinstance(viewer, PageViewer):
                viewer.put(clip.frame())

    def clip(self, number: int) -> bytes | None:
        """Return a clip as WebP; None if it is not stored any more."""
        return next((clip.content for clip in self._clips if clip.number == number), None)

    def latest(self, *key: str) -> bytes | None:
        """Return the latest payload of a kind, such as ``("state", "hall")``."""
        message = self._latest.get(key)
        return None if message is None else message.payload

    def keep_only(self, cameras: Iterable[str]) -> None:
        """Remove the messages of all other cameras."""
        self.cameras = tuple(cameras)
        known = set(cameras)
        self._latest = {
            key: message for key, message in self._latest.items() if known.issuperset(key[1:])
        }
        kept = (clip for clip in self._clips if clip.camera in known)
        self._clips = deque(kept, maxlen=CLIPS)
        self._on_change()

    def broadcast(self, type_: str, **fields: Any) -> None:
        """Send a message from the page process itself to all pages."""
        for viewer in self.viewers:
            if isinstance(viewer, PageViewer):
                viewer.put(OutgoingFrame((type_,), text(type_, **fields)))

    def wanted(self, type_: str) -> tuple[str, ...]:
        """Return the cameras whose ``poses`` or ``picture`` at least one client needs."""
        return tuple(
            camera
            for camera in self.cameras
            if any(viewer.wants(type_, camera) for viewer in self.viewers)
        )

    def drop_disallowed(self) -> None:
        """End the clients that no longer have access."""
        for viewer in list(self.viewers):
            if not viewer.is_allowed():
                viewer.leave()

    def add(self, viewer: Viewer) -> None:
        """Add a client; it gets all stored messages and then new ones."""
        for frame in viewer.first:
            viewer.put(frame)
        events = self._events if viewer.gets_past_events else ()
        for message in (*self._latest.values(), *events):
            viewer.receive(message, next(self._numbers))
        for clip in self._clips if viewer.gets_past_events else ():
            viewer.put(clip.frame())
        self.viewers.add(viewer)
        self._on_change()

    def remove(self, viewer: Viewer) -> None:
        """Remove a client."""
        self.viewers.discard(viewer)
        self._on_change()

    def changed(self) -> None:
        """Note that the cameras that a client shows have changed."""
        self._on_change()


async def serve_socket(
    hub: Hub,
    viewer: Viewer,
    socket: web.WebSocketResponse,
    on_message: Callable[[WSMsgType, Any], None],
) -> None:
    """Serve one client over a WebSocket until the connection ends.

    Parameters
    ----------
    on_message : callable
        Called with each message of the client; a ValueError ends the connection.
    """
    hub.add(viewer)
    receiving = asyncio.ensure_future(_receive_messages(socket, on_message))
    sending = asyncio.ensure_future(_send_updates(socket, viewer))
    try:
        await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hub.remove(viewer)
        receiving.cancel()
        sending.cancel()
        for ended in await asyncio.gather(receiving, sending, return_exceptions=True):
            if isinstance(ended, Exception):
                log.debug("a client disconnected: %s", ended)


async def _send_updates(socket: web.WebSocketResponse, viewer: Viewer) -> None:
    while (frame := await viewer.next_frame()) is not None:
        await socket.send_frame(frame.content, frame.kind)


async def _receive_messages(
    socket: web.WebSocketResponse, on_message: Callable[[WSMsgType, Any], None]
) -> None:
    async for message in socket:
        try:
            on_message(message.type, message.data)
        except ValueError as error:
            reason = str(error).encode()[:100].decode(errors="ignore")
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=reason.encode())
            return


def read_request(kind: WSMsgType, content: Any) -> WatchRequest:
    """Decode a message of a page.

    Raises
    ------
    ValueError
        With the reason, if it is not a `WatchRequest`.
    """
    if kind != WSMsgType.TEXT:
        msg = "expected a text message"
        raise ValueError(msg)
    try:
        return msgspec.json.decode(content, type=WatchRequest)
    except RecursionError as error:
        raise ValueError(in_words(error)) from None
