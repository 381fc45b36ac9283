"""Cameras on the network: RTSP, and over HTTP whatever FFmpeg opens."""

import errno
import logging
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, cast
from urllib.parse import parse_qsl

import numpy as np

from edgepose import extras
from edgepose.camera.sources import GLIMPSE, Address, Settings, Wants, everything
from edgepose.errors import SourceError
from edgepose.timing import NS_PER_S
from edgepose.types import Frame, Image

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

log = logging.getLogger(__name__)

TRANSPORTS: Final = ("tcp", "udp", "http")
DEFAULT_TIMEOUT_S: Final = 5.0  # a key picture every second is usual, every four seen

APART: Final = frozenset({"mjpeg", "mjpegb", "png"})
"""Codes in which each picture stands for itself."""

MAX_HALVINGS: Final = 3
"""How often FFmpeg's decoder of JPEG halves a picture, decoding the less of it."""

# Not "nobuffer": it throws the first key picture away, and the next may be seconds off.
LIVE: Final = {"flags": "low_delay"}
"""FFmpeg's options against keeping pictures back."""


@dataclass(frozen=True, slots=True)
class Options:
    """What stands behind the ``#`` of a stream's address: no server ever gets to see that."""

    url: str
    """The address without it, credentials included."""

    transport: str
    """How RTSP carries its pictures; packets lost on ``udp`` leave grey smears."""

    timeout_s: float
    """How long nothing may come."""

    @classmethod
    def of(cls, address: Address) -> Self:
        """Read them; what a camera has behind its question mark is the camera's."""
        url, _, text = address.uri.partition("#")
        given = dict(parse_qsl(text))
        if text and ("@" in text or not given):  # a password with a "#": not to be shown
            raise address.error('expected options such as timeout=5 behind "#"; "#" itself is %23')
        known = ("timeout", "transport") if address.scheme.startswith("rtsp") else ("timeout",)
        Address(address.uri, address.scheme, address.path, given).check(known)
        transport = given.get("transport", TRANSPORTS[0])
        if transport not in TRANSPORTS:
            expected = ", ".join(TRANSPORTS)
            raise address.error(f'transport is "{transport}"; expected one of {expected}')
        return cls(url, transport, _seconds(address, given))

    @property
    def is_rtsp(self) -> bool:
        """Whether the stream comes by RTSP."""
        return self.url.lower().startswith("rtsp")

    def for_ffmpeg(self) -> dict[str, str]:
        """Return them under FFmpeg's names."""
        return {**LIVE, "rtsp_transport": self.transport} if self.is_rtsp else LIVE


class StreamSource:
    """A live stream, through PyAV."""

    live = True
    length: int | None = None

    def __init__(self, address: Address, settings: Settings) -> None:
        self._address = address
        self._clock = settings.clock
        self._options = Options.of(address)
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._container = connect(address, self._options)
        self._stream = self._container.streams.video[0]
        # Threads for whole frames would each keep one back.
        self._stream.thread_type = "SLICE"
        self._apart = self._stream.codec_context.name in APART
        self._glimpses = Glimpses(self._stream.codec_context)
        self._packets = self._container.demux(self._stream)
        rate = self._stream.average_rate
        self.fps: float | None = float(rate) if rate else None
        context = self._stream.codec_context
        log.info(
            "source %s: %d x %d %s", address, context.width, context.height, context.codec.name
        )

    def frames(self, wants: Wants = everything) -> Iterator[Frame]:
        """Yield pictures as they come, until the server ends the stream.

        Where each picture stands for itself, what nobody wants is not decoded; else it
        is, because later ones build upon it, but not turned into RGB.

        Raises
        ------
        SourceError
            When nothing comes any more, or nothing that can be decoded.
        """
        last_ns = self._clock.now_ns()
        broken_ns: int | None = None
        while (packet := self._read()) is not None:
            # When its last byte came: what is nearest to the sensor on a clock of ours.
            read_ns = max(self._clock.now_ns(), last_ns + 1)
            if self._apart and not wants(read_ns, partial(self._glimpses.of_packet, packet)):
                continue
            pictures = self._decode(packet)
            for picture in pictures:
                if self._apart or wants(read_ns, partial(self._glimpses.of, picture)):
                    yield self._frame(picture, read_ns)
                last_ns, read_ns = read_ns, read_ns + 1
                if self._closed.is_set():
                    return
            broken_ns = None if pictures else broken_ns or read_ns
            if broken_ns and read_ns - broken_ns > self._options.timeout_s * NS_PER_S:
                self.close()
                what = f"no picture that can be decoded within {self._options.timeout_s:g} s"
                raise self._address.error(what)

    def close(self) -> None:
        """Let go of the stream; when another thread waits for it, as soon as it has."""
        self._closed.set()
        # Waiting for the lock could take as long as a frozen stream keeps its reader.
        if self._lock.acquire(blocking=False):
            self._container.close()
            self._lock.release()

    def _read(self) -> "Packet[Any] | None":
        """Return the next packet; None at the end or once closed."""
        import av

        try:
            with self._lock:
                packet = None if self._closed.is_set() else next(self._packets, None)
        except (av.error.FFmpegError, OSError) as error:
            # FFmpeg calls the end of an HTTP stream without a length an I/O error.
            if not self._closed.is_set() and error.errno != errno.EIO:
                self.close()
                raise refusal(self._address, self._options, error) from None
            packet = None
        if packet is None or self._closed.is_set():
            self.close()
            return None
        return packet

    def _decode(self, packet: "Packet[Any]") -> "list[VideoFrame]":
        """Return the pictures of a packet; none of a broken one, as the first ones may be."""
        import av

        with self._lock:
            if self._closed.is_set():
                return []
            try:
                return packet.decode()
            except av.error.FFmpegError as error:
                log.debug("source %s: a packet cannot be decoded: %s", self._address, why(error))
                return []

    def _frame(self, picture: "VideoFrame", captured_ns: int) -> Frame:
        image = np.ascontiguousarray(picture.to_ndarray(format="rgb24"), dtype=np.uint8)
        return Frame(image, captured_ns, self._clock.unix_ns(captured_ns), captured_ns)


class Glimpses:
    """Small grey pictures of a stream, for less than decoding and converting whole ones.

    Parameters
    ----------
    whole : VideoCodecContext
        The stream's own decoder.
    """

    def __init__(self, whole: "VideoCodecContext") -> None:
        import av
        from av.video.reformatter import VideoReformatter

        self._decoder = cast("VideoCodecContext", av.CodecContext.create(whole.name, "r"))
        halvings = int(math.log2(max(1, max(whole.width, whole.height) / GLIMPSE)))
        self._decoder.options = {"lowres": str(min(halvings, MAX_HALVINGS))}
        self._reformatter = VideoReformatter()

    def of_packet(self, packet: "Packet[Any]") -> Image | None:
        """Return the picture of a packet that stands for itself; None if it is broken."""
        import av

        try:
            pictures = self._decoder.decode(packet)
        except av.error.FFmpegError:
            return None
        return self.of(pictures[0]) if pictures else None

    def of(self, picture: "VideoFrame") -> Image:
        """Return a decoded picture in grey."""
        return cast(Image, self._reformatter.reformat(picture, format="gray").to_ndarray())


def connect(address: Address, options: Options) -> "InputContainer":
    """Open a stream that has pictures.

    Raises
    ------
    SourceError
        When the library is missing, nobody answers, we are refused, or there is no video.
    """
    try:
        import av
    except ImportError as error:
        msg = f"streams need a library: {extras.install('stream')}"
        raise address.error(msg) from error
    # What FFmpeg has to say of an address would have its password in it.
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
        raise address.error("found pictures in a code that FFmpeg here does not know; try H.264")
    return container


def refusal(address: Address, options: Options, error: Exception) -> SourceError:
    """Say in words what FFmpeg has to say; its own words name the address, password and all."""
    import av

    match error:
        case av.error.ExitError():
            what = f"nothing came for {options.timeout_s:g} s"
        case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
            what = "refuses us; check user and password in the address"
        case av.error.HTTPNotFoundError():
            what = "has nothing there; check the path of the address"
        # Silence before RTSP has begun is called either of these.
        case av.error.InvalidDataError() | av.error.PermissionError() if options.is_rtsp:
            what = f"gave no answer that begins a stream within {options.timeout_s:g} s"
        case av.error.InvalidDataError():
            what = "answers, but with nothing that FFmpeg knows as pictures"
        case OSError(errno=errno.EIO):
            what = "hung up, or there is no such host"
        case _:
            what = f"cannot be read: {why(error)}"
    return address.error(what)


def why(error: Exception) -> str:
    """Return an error's reason without the address."""
    return (getattr(error, "strerror", None) or type(error).__name__).lower()


def _seconds(address: Address, given: dict[str, str]) -> float:
    text = given.get("timeout", f"{DEFAULT_TIMEOUT_S:g}")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 60:
        raise address.error(f'timeout is "{text}"; expected whole seconds from 1 to 60')
    return float(text)
