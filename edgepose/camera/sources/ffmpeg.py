"""Network cameras: RTSP, and HTTP in any format that FFmpeg reads."""

import errno
import logging
import math
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, Self, cast
from urllib.parse import parse_qsl

import numpy as np

from edgepose import extras
from edgepose.camera.sources import (
    THUMBNAIL_PX,
    FrameFilter,
    SourceAddress,
    SourceSettings,
    accept_all,
)
from edgepose.camera.sources.capture import decode_picture
from edgepose.camera.sources.demuxer import Converter, Demuxer, has_timestamps, pts_ns
from edgepose.camera.sources.playout import Playout
from edgepose.errors import SourceError
from edgepose.timing import NS_PER_S
from edgepose.types import Frame, Image

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from numpy import typing as npt

log = logging.getLogger(__name__)

TRANSPORTS: Final = ("tcp", "udp", "http")
DEFAULT_TIMEOUT_S: Final = 5.0  # cameras send a key frame every second, some every four

APART: Final = frozenset({"mjpeg", "mjpegb", "png"})
"""Codecs without references between pictures."""

SNAPSHOT_FPS: Final = 1.0  # if the caller gives no rate

MAX_HALVINGS: Final = 3
"""Maximum `lowres` of FFmpeg's JPEG decoder: how often it halves the size while decoding."""

# Without "nobuffer", which drops the first key frame; the next one may be seconds away.
LIVE: Final = {"flags": "low_delay"}
"""FFmpeg options for low latency."""

PLAIN: Final = {"pattern_type": "none"}
"""FFmpeg option: a percent sign in a picture's address is not a file name pattern."""


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Options after the ``#`` of a stream's address; they are not sent to the server."""

    url: str
    """The address without the options, credentials included."""

    transport: str
    """RTSP transport; packet loss with ``udp`` causes grey artefacts."""

    timeout_s: float
    """Seconds without data after which the stream has failed."""

    @classmethod
    def from_address(cls, address: SourceAddress) -> Self:
        """Parse the options of an address; its query is part of the camera's URL."""
        url, _, text = address.uri.partition("#")
        given = dict(parse_qsl(text))
        if text and ("@" in text or not given):  # a password with "#" must not be printed
            raise address.error('expected options such as timeout=5 behind "#"; "#" itself is %23')
        known = ("timeout", "transport") if address.scheme.startswith("rtsp") else ("timeout",)
        SourceAddress(address.uri, address.scheme, address.path, given).check(known)
        transport = given.get("transport", TRANSPORTS[0])
        if transport not in TRANSPORTS:
            expected = ", ".join(TRANSPORTS)
            raise address.error(f'transport is "{transport}"; expected one of {expected}')
        # FFmpeg knows lower-case schemes only
        url = address.scheme + url[len(address.scheme) :]
        return cls(url, transport, _parse_seconds(address, given))

    @property
    def is_rtsp(self) -> bool:
        """Whether the protocol is RTSP."""
        return self.url.lower().startswith("rtsp")

    def for_ffmpeg(self) -> dict[str, str]:
        """Return the options for FFmpeg."""
        return {**LIVE, "rtsp_transport": self.transport} if self.is_rtsp else {**LIVE, **PLAIN}


def open_http(address: SourceAddress, settings: SourceSettings) -> "StreamSource | SnapshotSource":
    """Open an HTTP address of a stream, or of a still picture that is requested repeatedly."""
    options = StreamOptions.from_address(address)
    container = connect(address, options)
    if not is_single_picture(container.format.name):
        return StreamSource(address, settings, container)
    container.close()
    return SnapshotSource(address, settings)


def is_single_picture(container: str) -> bool:
    """Return whether an FFmpeg format name is one of single pictures, such as jpeg_pipe."""
    return container == "image2" or container.endswith("_pipe")


class StreamSource:
    """A live stream read with PyAV."""

    live = True
    length: int | None = None

    def __init__(
        self,
        address: SourceAddress,
        settings: SourceSettings,
        container: "InputContainer | None" = None,
    ) -> None:
        self._address = address
        self._clock = settings.clock
        self._options = StreamOptions.from_address(address)
        container = container or connect(address, self._options)
        stream = container.streams.video[0]
        # Frame threads would add a frame of delay each.
        stream.thread_type = "SLICE"
        context = stream.codec_context
        self._demuxer = Demuxer(container, stream)
        self._apart = context.name in APART
        self._thumbnails = ThumbnailDecoder(context)
        self._converter = Converter()
        self._has_timestamps = has_timestamps(container)
        self._stored = container.duration is not None or not settings.realtime
        self._playout = Playout(stored=self._stored, fps=settings.fps)
        self._waits = settings.realtime
        self._ended = False
        """Whether the server has ended the stream."""

        rate = stream.average_rate
        self.fps: float | None = float(rate) if rate else None
        log.info(
            "source %s: %d x %d %s", address, context.width, context.height, context.codec.name
        )

    def frames(self, accept: FrameFilter = accept_all) -> Iterator[Frame]:
        """Yield pictures as they arrive, until the server ends the stream.

        Dropped pictures of a codec without references (MJPEG) are not decoded. Those of other
        codecs are decoded, because later ones refer to them, but not converted to RGB. Pictures
        that arrive in bursts are delayed until they are due.

        Raises
        ------
        SourceError
            When no data, or no decodable picture, arrives within the timeout, or before the end.
        """
        broken_ns: int | None = None
        any_decoded = False
        while (packet := self._next_packet()) is not None:
            # Arrival of the last byte: the best estimate of the capture time on the local clock.
            read_ns = self._clock.now_ns()
            if self._apart:
                frames = self._frames_apart(packet, read_ns, accept)
            else:
                frames = self._frames_in_order(packet, read_ns, accept)
            decoded = yield from frames
            any_decoded |= decoded
            broken_ns = None if decoded else broken_ns or read_ns
            if broken_ns and read_ns - broken_ns > self._options.timeout_s * NS_PER_S:
                self.close()
                what = f"no picture that can be decoded within {self._options.timeout_s:g} s"
                raise self._address.error(what)
        if self._ended and not any_decoded:
            what = "ended before a picture; an MP4 needs a server with ranges, or its index first"
            raise self._address.error(what)

    def close(self) -> None:
        """Close the stream; if another thread reads, after that read. Does not wait."""
        self._demuxer.close()

    def _frames_apart(
        self, packet: "Packet[Any]", read_ns: int, accept: FrameFilter
    ) -> Generator[Frame, None, bool]:
        """Yield a packet's picture if accepted; return False if it cannot be decoded."""
        captured_ns = self._await_turn(packet, read_ns)
        if captured_ns is None or not accept(
            captured_ns, partial(self._thumbnails.of_packet, packet)
        ):
            return True
        pictures = self._decode_packet(packet)
        yield from (self._make_frame(picture, captured_ns) for picture in pictures)
        return bool(pictures)

    def _frames_in_order(
        self, packet: "Packet[Any]", read_ns: int, accept: FrameFilter
    ) -> Generator[Frame, None, bool]:
        """Yield the accepted pictures that a packet completes; return whether there are any."""
        pictures = self._decode_packet(packet)
        for picture in pictures:
            captured_ns = self._await_turn(picture, read_ns)
            if captured_ns is None:
                break
            if accept(captured_ns, partial(self._thumbnails.of, picture)):
                yield self._make_frame(picture, captured_ns)
        return bool(pictures)

    def _await_turn(self, timed: "Packet[Any] | VideoFrame", read_ns: int) -> int | None:
        """Wait until a picture is due; return its capture time, or None once closed."""
        stamp_ns = pts_ns(timed) if self._has_timestamps else None
        captured_ns, due_ns = self._playout.add(stamp_ns, read_ns)
        wait_s = (due_ns - self._clock.now_ns()) / NS_PER_S
        if self._waits and wait_s > 0:
            self._demuxer.closed.wait(wait_s)
        return None if self._demuxer.closed.is_set() else captured_ns

    def _next_packet(self) -> "Packet[Any] | None":
        """Return the next packet; None at the end or once closed."""
        import av

        try:
            packet = self._demuxer.read()
        except (av.error.FFmpegError, OSError) as error:
            # FFmpeg reports the end of an HTTP stream without a length as an I/O error.
            if not self._demuxer.closed.is_set() and error.errno != errno.EIO:
                self.close()
                raise refusal(self._address, self._options, error) from None
            packet = None
        if packet is None or self._demuxer.closed.is_set():
            self._ended = not self._demuxer.closed.is_set()
            self.close()
            return None
        return packet

    def _decode_packet(self, packet: "Packet[Any]") -> "list[VideoFrame]":
        """Return the pictures of a packet; empty for a damaged one, which may be at the start."""
        import av

        try:
            return self._demuxer.decode(packet)
        except av.error.FFmpegError as error:
            log.debug("source %s: a packet cannot be decoded: %s", self._address, why(error))
            return []

    def _make_frame(self, picture: "VideoFrame", captured_ns: int) -> Frame:
        read_ns = self._clock.now_ns() if self._stored else captured_ns
        made = self._converter.picture(picture)
        return Frame(made, captured_ns, self._clock.unix_ns(captured_ns), read_ns)


class SnapshotSource:
    """An HTTP address of a still picture, requested for each frame.

    Failed requests are an error only when none has succeeded within the address's `timeout`.
    """

    live = True

    def __init__(self, address: SourceAddress, settings: SourceSettings) -> None:
        self._address = address
        self._clock = settings.clock
        self._options = StreamOptions.from_address(address)
        self._once = settings.once
        self._closed = threading.Event()
        self.fps: float | None = settings.fps or SNAPSHOT_FPS
        self.length: int | None = 1 if settings.once else None
        log.info("source %s: a snapshot address, requested %g times a second", address, self.fps)

    def frames(self, accept: FrameFilter = accept_all) -> Iterator[Frame]:
        """Yield the picture repeatedly, at most at `fps`.

        Raises
        ------
        SourceError
            When no request succeeds within the timeout.
        """
        period_ns = round(NS_PER_S / (self.fps or SNAPSHOT_FPS))
        due_ns = good_ns = self._clock.now_ns()
        while not self._closed.wait(max(0, due_ns - self._clock.now_ns()) / NS_PER_S):
            due_ns = max(due_ns + period_ns, self._clock.now_ns())
            try:
                data = self._fetch_picture()
            except SourceError:
                if self._clock.now_ns() - good_ns > self._options.timeout_s * NS_PER_S:
                    self.close()
                    raise
                continue
            read_ns = good_ns = self._clock.now_ns()
            picture = cache(partial(decode_picture, data))
            if self._closed.is_set():
                return
            if accept(read_ns, picture) and (image := picture()) is not None:
                name = str(self._address) if self._once else ""
                yield Frame(image, read_ns, self._clock.unix_ns(read_ns), read_ns, name)
            if self._once:
                return

    def close(self) -> None:
        """End `frames`."""
        self._closed.set()

    def _fetch_picture(self) -> "npt.NDArray[np.uint8]":
        """Return the encoded picture."""
        import av

        container = connect(self._address, self._options)
        try:
            packet = next(container.demux(container.streams.video[0]))
            return np.frombuffer(bytes(packet), dtype=np.uint8)
        except (av.error.FFmpegError, OSError, StopIteration) as error:
            raise refusal(self._address, self._options, error) from None
        finally:
            container.close()


class ThumbnailDecoder:
    """Makes grey thumbnails of a stream's pictures, cheaper than full decoding.

    Parameters
    ----------
    whole : VideoCodecContext
        The stream's own decoder.
    """

    def __init__(self, whole: "VideoCodecContext") -> None:
        import av

        self._decoder = cast("VideoCodecContext", av.CodecContext.create(whole.name, "r"))
        halvings = int(math.log2(max(1, max(whole.width, whole.height) / THUMBNAIL_PX)))
        self._decoder.options = {"lowres": str(min(halvings, MAX_HALVINGS))}
        self._converter = Converter()

    def of_packet(self, packet: "Packet[Any]") -> Image | None:
        """Return the grey thumbnail of a packet without references; None if it is damaged."""
        import av

        try:
            pictures = self._decoder.decode(packet)
        except av.error.FFmpegError:
            return None
        return self.of(pictures[0]) if pictures else None

    def of(self, picture: "VideoFrame") -> Image:
        """Return a decoded picture in grey and upright."""
        return self._converter.convert(picture, "gray")


def connect(address: SourceAddress, options: StreamOptions) -> "InputContainer":
    """Open a stream and return its container.

    Raises
    ------
    SourceError
        When the library is missing, the server does not answer or refuses the request, or the
        stream has no video.
    """
    try:
        import av
    except ImportError as error:
        msg = f"streams need a library: {extras.install('stream')}"
        raise address.error(msg) from error
    # FFmpeg's log messages would contain the password of the address.
    av.logging.set_level(None)
    try:
        container = av.open(
            options.url,
            options=options.for_ffmpeg(),
            timeout=(options.timeout_s, options.timeout_s),
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise refusal(address, options, error) from None
    if not container.streams.video:
        kinds = ", ".join(stream.type for stream in container.streams) or "nothing"
        container.close()
        raise address.error(f"found {kinds}; expected a stream of pictures")
    if container.streams.video[0].codec_context is None:
        container.close()
        raise address.error("found a video codec that this FFmpeg does not support; try H.264")
    return container


def refusal(address: SourceAddress, options: StreamOptions, error: Exception) -> SourceError:
    """Return an error without FFmpeg's message, which contains the address and its password."""
    import av

    match error:
        case av.error.ExitError():
            what = f"no data for {options.timeout_s:g} s"
        case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
            what = "refuses the login; check user and password in the address"
        case av.error.HTTPNotFoundError():
            what = "has no stream there; check the path of the address"
        # FFmpeg reports a timeout before the start of RTSP as either of these.
        case av.error.InvalidDataError() | av.error.PermissionError() if options.is_rtsp:
            what = f"started no stream within {options.timeout_s:g} s"
        case av.error.InvalidDataError():
            what = "answers, but not with a video format that FFmpeg supports"
        case OSError(errno=errno.EIO):
            what = "closed the connection, or the host does not exist"
        case _:
            what = f"cannot be read: {why(error)}"
    return address.error(what)


def why(error: Exception) -> str:
    """Return an error's reason without the address."""
    return (getattr(error, "strerror", None) or type(error).__name__).lower()


def _parse_seconds(address: SourceAddress, given: dict[str, str]) -> float:
    text = given.get("timeout", f"{DEFAULT_TIMEOUT_S:g}")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 60:
        raise address.error(f'timeout is "{text}"; expected whole seconds from 1 to 60')
    return float(text)
