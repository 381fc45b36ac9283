"""The read-only API for programs under ``/api/v1/``: cameras, poses and streams."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar, Final, Protocol

import msgspec
from aiohttp import WSMsgType, web
from msgspec import Raw

from edgepose.web.answers import Refused, json_response, keep_short
from edgepose.web.api_parameters import FPS, PREFIX, TYPES, WIDTH
from edgepose.web.feed import IpcMessage
from edgepose.web.live import Hub, OutgoingFrame, Viewer

POLLED_S: Final = 30.0  # the daemon sends poses for this time after a request for them
STALE_S: Final = 15.0  # older poses are neither returned nor drawn
FIRST_S: Final = 5.0  # wait for the first poses of a camera without other clients
REPEAT_S: Final = 5.0  # without new frames, resend the picture to detect lost clients
WRITE_S: Final = 15.0  # a client that does not read for this time is disconnected
BOUNDARY: Final = "edgepose-frame"


class PoseViewer(Viewer):
    """A client of one camera's poses."""

    def __init__(self, camera: str, is_allowed: Callable[[], bool]) -> None:
        super().__init__(is_allowed)
        self._camera = camera

    def wants(self, type_: str, camera: str) -> bool:
        """Return whether the type is ``poses`` and the camera is this client's."""
        return (type_, camera) == ("poses", self._camera)

    def encode(self, message: IpcMessage, number: int) -> OutgoingFrame | None:
        """Return the payload unchanged."""
        return OutgoingFrame(("poses",), message.payload) if message.type == "poses" else None


class LatestPoses(PoseViewer):
    """Caches a camera's latest poses while they are polled."""

    counts: ClassVar[bool] = False

    def __init__(self, camera: str, hub: Hub) -> None:
        super().__init__(camera, lambda: time.monotonic() < self._until_s)
        self._hub = hub
        self._until_s = 0.0
        self._payload = b""
        self._at_s = -math.inf
        self._arrived = asyncio.Event()

    def put(self, frame: OutgoingFrame) -> None:
        """Store a payload."""
        self._payload, self._at_s = frame.content, time.monotonic()
        self._arrived.set()

    def leave(self) -> None:
        """Stop receiving poses from the daemon."""
        self._hub.remove(self)

    async def get(self) -> bytes | None:
        """Return the latest payload; None if none arrives within `FIRST_S`."""
        self._until_s = time.monotonic() + POLLED_S
        if self not in self._hub.viewers:
            self._hub.add(self)
        if time.monotonic() - self._at_s > STALE_S:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), FIRST_S)
            except TimeoutError:
                return None
        return self._payload


class StreamViewer(Viewer):
    """A client of the MQTT messages, each with its topic.

    Parameters
    ----------
    prefix : str
        ``<base_topic>/<device id>``.
    cameras, types : set of str
        Cameras and types to send; no cameras: all.
    """

    def __init__(
        self, prefix: str, cameras: set[str], types: set[str], is_allowed: Callable[[], bool]
    ) -> None:
        super().__init__(is_allowed)
        self._prefix, self._cameras, self._types = prefix, cameras, types

    def wants(self, type_: str, camera: str) -> bool:
        """Return whether the client has requested messages of this type from this camera."""
        return type_ in self._types and (not self._cameras or camera in self._cameras)

    def encode(self, message: IpcMessage, number: int) -> OutgoingFrame | None:
        """Return a JSON object with topic and payload; None for messages not requested."""
        if message.type not in self._types or (
            message.labels and not self.wants(message.type, message.labels[0])
        ):
            return None
        topic = msgspec.json.encode("/".join((self._prefix, *message.labels, message.type)))
        content = b'{"topic":%b,"payload":%b}' % (topic, message.payload)
        return OutgoingFrame(
            number if message.type == "event" else (message.type, *message.labels), content
        )


class Sockets(Protocol):
    """The parts of the server that the API uses."""

    def require_room(self) -> None:
        """Raise `Refused` if no more clients are allowed."""

    async def serve_socket(
        self,
        request: web.Request,
        viewer: Viewer,
        on_message: Callable[[WSMsgType, Any], None],
    ) -> web.StreamResponse:
        """Serve a client over a WebSocket."""

    def may_read(self, request: web.Request) -> bool:
        """Return whether a request still has read access."""


class Api:
    """The handlers of the API.

    Parameters
    ----------
    hub : Hub
    topic_prefix : str
        ``<base_topic>/<device id>``.
    sockets : Sockets
    """

    def __init__(self, hub: Hub, topic_prefix: str, sockets: Sockets) -> None:
        self._hub, self._topic_prefix, self._sockets = hub, topic_prefix, sockets
        self._polled: dict[str, LatestPoses] = {}

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the paths of the API, which `openapi.ROUTES` describes."""
        router.add_get(f"{PREFIX}openapi.json", self._openapi_document)
        router.add_get(f"{PREFIX}cameras", self._cameras)
        router.add_get(f"{PREFIX}cameras/{{camera}}/poses", self._latest_poses)
        stream = f"{PREFIX}cameras/{{camera}}/skeletons.mjpeg"
        router.add_get(stream, self._stream_skeletons, allow_head=False)
        router.add_get(f"{PREFIX}stream", self._stream_messages, allow_head=False)

    async def _openapi_document(self, request: web.Request) -> web.StreamResponse:
        return json_response(await asyncio.to_thread(_openapi_document))

    async def _cameras(self, request: web.Request) -> web.StreamResponse:
        status = self._hub.latest("status")
        known = msgspec.json.decode(status, type=_Status).cameras if status else {}
        cameras = [
            {"id": camera, "status": known.get(camera), "state": self._state_of(camera)}
            for camera in self._hub.cameras
        ]
        return json_response({"cameras": cameras})

    def _state_of(self, camera: str) -> Raw | None:
        state = self._hub.latest("state", camera)
        return None if state is None else Raw(state)

    async def _latest_poses(self, request: web.Request) -> web.StreamResponse:
        camera = self._camera(request)
        polled = self._polled.setdefault(camera, LatestPoses(camera, self._hub))
        payload = await polled.get()
        if payload is None:
            refused = Refused(503, f"{camera}: no frame yet; the camera may be offline or paused")
            refused.headers["Retry-After"] = str(round(FIRST_S))
            raise refused
        return json_response(Raw(payload))

    async def _stream_messages(self, request: web.Request) -> web.StreamResponse:
        cameras = {self._check_known(camera) for camera in request.query.getall("camera", [])}
        types = set(request.query.getall("type", [])) or set(TYPES)
        if unknown := types - set(TYPES):
            found = sorted(unknown)[0][:50]
            raise Refused(422, f'type: expected one of {", ".join(TYPES)}, not "{found}"')
        viewer = StreamViewer(
            self._topic_prefix, cameras, types, lambda: self._sockets.may_read(request)
        )
        return await self._sockets.serve_socket(request, viewer, _refuse_message)

    async def _stream_skeletons(self, request: web.Request) -> web.StreamResponse:
        camera = self._camera(request)
        pause_s, longest_px = 1 / FPS.read(request), round(WIDTH.read(request))
        self._sockets.require_room()
        answer = web.StreamResponse(
            headers={
                "Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}",
                "Cache-Control": "no-store",
            }
        )
        await answer.prepare(request)
        keep_short(request.transport)
        viewer = PoseViewer(camera, lambda: self._sockets.may_read(request))
        self._hub.add(viewer)
        try:
            await answer.write(f"--{BOUNDARY}\r\n".encode())
            async for jpeg in self._skeleton_pictures(viewer, camera, longest_px):
                async with asyncio.timeout(WRITE_S):
                    await answer.write(_multipart_part(jpeg))
                await asyncio.sleep(pause_s)
        except (OSError, TimeoutError):  # the client has disconnected or does not read
            pass
        finally:
            self._hub.remove(viewer)
        return answer

    async def _skeleton_pictures(
        self, viewer: Viewer, camera: str, longest_px: int
    ) -> AsyncIterator[bytes]:
        """Yield a picture of each frame; without new frames the last one, then an empty one."""
        from edgepose.web.skeletons import picture

        poses: bytes | None = None
        at_s = -math.inf
        while not viewer.is_over:
            try:
                frame = await asyncio.wait_for(viewer.next_frame(), REPEAT_S)
            except TimeoutError:
                frame = None
            if frame is not None:
                poses, at_s = frame.content, time.monotonic()
            elif time.monotonic() - at_s > STALE_S:
                poses = None
            yield await asyncio.to_thread(picture, poses, longest_px, self._min_score(camera))

    def _min_score(self, camera: str) -> float:
        """Return the camera's current minimum keypoint score."""
        state = self._hub.latest("state", camera)
        settings = msgspec.json.decode(state, type=_State).settings if state else None
        return DEFAULT_SCORE if settings is None else settings.min_keypoint_score

    def _camera(self, request: web.Request) -> str:
        return self._check_known(request.match_info["camera"])

    def _check_known(self, camera: str) -> str:
        if camera not in self._hub.cameras:
            known = ", ".join(self._hub.cameras) or "none"
            raise Refused(404, f'camera "{camera[:64]}" is not known; known: {known}')
        return camera


DEFAULT_SCORE: Final = 0.3


class _Status(msgspec.Struct):
    cameras: dict[str, Raw]


class _Settings(msgspec.Struct):
    min_keypoint_score: float


class _State(msgspec.Struct):
    settings: _Settings | None = None


def _multipart_part(jpeg: bytes) -> bytes:
    """Return a picture with headers and a boundary after it: browsers show it only then."""
    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    return head.encode() + jpeg + f"\r\n--{BOUNDARY}\r\n".encode()


def _refuse_message(kind: WSMsgType, content: Any) -> None:
    msg = "this stream takes no messages"
    raise ValueError(msg)


def _openapi_document() -> dict[str, Any]:
    from edgepose.web.openapi import document

    return document()
