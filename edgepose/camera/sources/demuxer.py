"""Reads containers with PyAV: packets, decoded pictures and their times."""

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from edgepose.camera.sources.orientation import Orientation, orientation_of
from edgepose.camera.sources.planar import PlanarPicture, conversion, is_planar
from edgepose.timing import NS_PER_S
from edgepose.types import Image, Picture

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


class Demuxer:
    """Reads packets and pictures of a container. A lock prevents closing it during a read.

    Parameters
    ----------
    container : InputContainer
        Closed with the demuxer.
    stream : VideoStream
        The stream to decode.
    every_stream : bool
        Whether `read` returns the packets of all streams, including audio.
    """

    def __init__(
        self, container: "InputContainer", stream: "VideoStream", *, every_stream: bool = False
    ) -> None:
        self.container = container
        self.stream = stream
        self.closed = threading.Event()
        self._streams = () if every_stream else (stream,)
        self._lock = threading.Lock()
        self._packets: Iterator[Packet[Any]] | None = None

    def read(self) -> "Packet[Any] | None":
        """Return the next packet; None at the end or once closed.

        Raises
        ------
        av.error.FFmpegError
            When the packet cannot be read; the next call continues after it.
        """
        try:
            with self._lock:
                if self.closed.is_set():
                    return None
                if self._packets is None:
                    self._packets = self.container.demux(*self._streams)
                packet = next(self._packets, None)
        except Exception:
            self._packets = None  # the generator has ended, but the container can still be read
            raise
        finally:
            self._close_if_asked()
        return packet

    def decode(self, packet: "Packet[Any]") -> "list[VideoFrame]":
        """Return the pictures of a packet; empty once closed.

        Raises
        ------
        av.error.FFmpegError
            When the packet is damaged.
        """
        try:
            with self._lock:
                return [] if self.closed.is_set() else packet.decode()
        finally:
            self._close_if_asked()

    def close(self) -> None:
        """Close the container; if another thread reads, after that read. Does not wait."""
        self.closed.set()
        # Does not wait for the lock: a stalled stream may block its reader for long.
        if self._lock.acquire(blocking=False):
            self.container.close()
            self._lock.release()

    def _close_if_asked(self) -> None:
        if self.closed.is_set():
            with self._lock:
                self.container.close()


def pts_ns(timed: "Packet[Any] | VideoFrame") -> int | None:
    """Return the time of a packet or picture on the container's clock; None if it has none."""
    if timed.pts is None or timed.time_base is None:
        return None
    unit = timed.time_base
    return timed.pts * unit.numerator * NS_PER_S // unit.denominator


def has_timestamps(container: "InputContainer") -> bool:
    """Return whether a container stores times; else FFmpeg derives them from a picture count."""
    from av.format import Flags

    return not container.format.flags & cast(Any, Flags.no_timestamps).value


class Converter:
    """Converts the decoded pictures of one stream to upright arrays. Thread-safe."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        self._lock = threading.Lock()
        self._rotation: int | None = None
        self._orientation = Orientation()
        self._matrices: dict[tuple[Any, ...], NDArray[np.float64]] = {}

    def picture(self, picture: "VideoFrame") -> Picture:
        """Return a picture to be converted to RGB on demand if possible, else in RGB."""
        if not is_planar(picture) or self._orientation_of(picture) != Orientation():
            return self.convert(picture, "rgb24")
        kind = (picture.format.name, picture.colorspace, picture.color_range)
        if kind not in self._matrices:
            self._matrices[kind] = conversion(picture, self._to_rgb)
        return PlanarPicture(picture, self._matrices[kind], self._to_rgb)

    def convert(self, picture: "VideoFrame", format: str) -> Image:  # noqa: A002  # FFmpeg's word
        """Return a new array: (height, width, 3) for ``rgb24``, (height, width) for ``gray``."""
        orientation = self._orientation_of(picture)
        return np.ascontiguousarray(orientation.apply(self._reformat(picture, format)))

    def _orientation_of(self, picture: "VideoFrame") -> Orientation:
        # Side data is read only on changes: it keeps a frame in memory until garbage collection.
        if picture.rotation != self._rotation:
            self._rotation = picture.rotation
            self._orientation = orientation_of(picture)
        return self._orientation

    def _to_rgb(self, picture: "VideoFrame") -> Image:
        return np.ascontiguousarray(self._reformat(picture, "rgb24"))

    def _reformat(self, picture: "VideoFrame", format: str) -> Image:  # noqa: A002  # as above
        with self._lock:
            # One thread: the network needs the other cores.
            plane = self._reformatter.reformat(picture, format=format, threads=1).planes[0]
        # A view: a copy into newly mapped memory would cost as much as the conversion.
        rows = np.frombuffer(cast(Any, plane), dtype=np.uint8).reshape(
            plane.height, plane.line_size
        )
        if format == "gray":
            return rows[:, : plane.width]
        return rows[:, : 3 * plane.width].reshape(plane.height, plane.width, 3)
