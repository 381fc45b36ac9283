"""What the daemon says, on its way to everybody who looks."""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from typing import Annotated, Any, Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import Meta, Struct

from edgepose.errors import in_words
from edgepose.web.feed import EVENTS, PASSING, Told

log: Final = logging.getLogger(__name__)

MOST_DUE: Final = 1000  # frames that may wait for one who takes none; they are small
HEARTBEAT_S: Final = 15.0  # one who is gone without a word is noticed after twice this
MESSAGE: Final = 4096  # bytes of what a page may say at once

Id = Annotated[str, Meta(max_length=64)]


class WatchRequest(Struct, frozen=True, forbid_unknown_fields=True, tag="watch"):
    """What a page says: what it wants to see."""

    cameras: Annotated[tuple[Id, ...], Meta(max_length=256)]
    picture: bool = False


class Frame(Struct, frozen=True):
    """A message as it goes over a WebSocket."""

    key: tuple[str, ...] | int
    """A newer frame of the same key takes its place."""

    content: bytes
    kind: WSMsgType = WSMsgType.TEXT


def text(type_: str, **fields: Any) -> bytes:
    """Write a message of ours."""
    return json.dumps({"type": type_, **fields}).encode()


class Viewer:
    """One who looks: gets the newest there is whenever there is room, never a queue of poses."""

    def __init__(self, socket: web.WebSocketResponse, allowed: Callable[[], bool]) -> None:
        self.allowed = allowed
        """Whether it still may: a new token ends what the older one has opened."""

        self.wish: WatchRequest | None = None
        """None: all cameras, no picture."""

        self._socket = socket
        self._due: dict[tuple[str, ...] | int, Frame] = {}
        self._more = asyncio.Event()
        self._over = False

    def sees(self, camera: str, *, picture: bool) -> bool:
        """Say whether a camera's poses, or its pictures, are wanted."""
        if self.wish is None:
            return not picture
        return camera in self.wish.cameras and (self.wish.picture or not picture)

    def put(self, frame: Frame) -> None:
        """Hand over a frame; what it replaces is never sent."""
        self._due.pop(frame.key, None)
        self._due[frame.key] = frame
        if len(self._due) > MOST_DUE:
            self.leave()
        self._more.set()

    def leave(self) -> None:
        """Let `send` come to an end."""
        self._over = True
        self._more.set()

    async def send(self) -> None:
        """Send what is due for as long as the connection lasts and takes it."""
        while not self._over:
            await self._more.wait()
            self._more.clear()
            while self._due and not self._over:
                frame = self._due.pop(next(iter(self._due)))
                await self._socket.send_frame(frame.content, frame.kind)


class Hub:
    """Keeps the newest of everything for those who come, and hands on what is new.

    Parameters
    ----------
    hello : bytes
        What everybody gets first.
    cameras : iterable of str
        Their ids.
    changed : callable
        Told when somebody looks at something else than before.
    """

    def __init__(self, hello: bytes, cameras: Iterable[str], changed: Callable[[], None]) -> None:
        self._hello = hello
        self.cameras = tuple(cameras)
        self._changed = changed
        self._latest: dict[tuple[str, ...], Frame] = {}
        self._events: deque[Frame] = deque(maxlen=EVENTS)
        self._numbers = count()
        self.viewers: set[Viewer] = set()

    # From the daemon

    def take(self, told: Told) -> None:
        """Take what the daemon says, and hand it on."""
        frame = self._frame(told)
        if told.word == "event":
            if any(known.content == frame.content for known in self._events):
                return  # told again after a jam
            self._events.append(frame)
        elif told.word not in PASSING:
            self._latest[told.word, *told.of] = frame
        for viewer in self.viewers:
            if told.word not in PASSING or viewer.sees(told.of[0], picture=told.word == "picture"):
                viewer.put(frame)

    def _frame(self, told: Told) -> Frame:
        if told.word == "picture":
            camera, seq = told.of
            head = json.dumps({"camera": camera, "seq": int(seq)}).encode()
            content = len(head).to_bytes(4, "big") + head + told.payload
            return Frame(("picture", camera), content, WSMsgType.BINARY)
        if told.word == "link":
            return Frame(("link",), b'{"type":"link","broker":%b}' % told.payload)
        of = b',"camera":"%b"' % told.of[0].encode() if told.of and told.word != "event" else b""
        content = b'{"type":"%b"%b,"message":%b}' % (told.word.encode(), of, told.payload)
        key = next(self._numbers) if told.word == "event" else (told.word, *told.of)
        return Frame(key, content)

    def keep_only(self, cameras: Iterable[str]) -> None:
        """Forget what is known of other cameras: they are no more."""
        self.cameras = tuple(cameras)
        known = set(cameras)
        self._latest = {
            key: frame for key, frame in self._latest.items() if known.issuperset(key[1:])
        }
        self._changed()

    def tell(self, type_: str, **fields: Any) -> None:
        """Tell everybody something of our own."""
        for viewer in self.viewers:
            viewer.put(Frame((type_,), text(type_, **fields)))

    def looked_at(self, *, picture: bool) -> tuple[str, ...]:
        """Return the cameras whose poses, or pictures, somebody wants."""
        return tuple(
            camera
            for camera in self.cameras
            if any(viewer.sees(camera, picture=picture) for viewer in self.viewers)
        )

    def dismiss(self) -> None:
        """Let those go who may not look any more."""
        for viewer in self.viewers:
            if not viewer.allowed():
                viewer.leave()

    # For one who looks

    async def show(self, socket: web.WebSocketResponse, allowed: Callable[[], bool]) -> None:
        """Show everything to one who looks until the connection ends."""
        viewer = Viewer(socket, allowed)
        for frame in (Frame(("hello",), self._hello), *self._latest.values(), *self._events):
            viewer.put(frame)
        self.viewers.add(viewer)
        self._changed()
        listening = asyncio.ensure_future(self._listen(viewer, socket))
        sending = asyncio.ensure_future(viewer.send())
        try:
            await asyncio.wait({listening, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.viewers.discard(viewer)
            self._changed()
            listening.cancel()
            sending.cancel()
            for ended in await asyncio.gather(listening, sending, return_exceptions=True):
                if isinstance(ended, Exception):
                    log.debug("a viewer has gone: %s", ended)

    async def _listen(self, viewer: Viewer, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            try:
                wish = _read(message.type, message.data)
            except ValueError as error:
                reason = str(error).encode()[:100].decode(errors="ignore")
                await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=reason.encode())
                return
            if wish != viewer.wish:
                viewer.wish = wish
                self._changed()


def _read(kind: WSMsgType, content: Any) -> WatchRequest:
    """Read what a page says.

    Raises
    ------
    ValueError
        With the reason, when it is nothing that is understood.
    """
    if kind != WSMsgType.TEXT:
        msg = "only text is understood"
        raise ValueError(msg)
    try:
        return msgspec.json.decode(content, type=WatchRequest)
    except RecursionError as error:
        raise ValueError(in_words(error)) from None
