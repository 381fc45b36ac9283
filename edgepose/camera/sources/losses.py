"""Counts the pictures of a video file that were lost by damage.

Decoders and demuxers skip much without an error: pictures that refer to a lost key frame, or
packets whose header is damaged. They are found by comparison: packets without a picture, and gaps
in the packets' times where the file has bytes that belong to no packet.
"""

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

SPARE_BYTES: Final = {"matroska,webm": 100, "flv": 100}
"""Bytes of headers between two packets, rounded up, of containers without fixed packets."""

SUSPICION_PACKETS: Final = 17  # H.264 reorders up to 16 packets, so a gap in the times shows later
EMPTY_BYTES: Final = 12  # MPEG-4 part 2: a VOP that is not coded repeats the previous picture
SHOW_FRAME: Final = 0x10  # bit of VP8's first byte (RFC 6386, 9.1); 0 occurs in damaged data only
CHUNK_HEADER: Final = 8  # of AVI: its index points at the header, packets at the data

TS_PACKETS: Final = (188, 192, 204)
"""Bytes per packet of MPEG-TS: plain, with time code (M2TS), with error correction."""

SYNC, SYNCS = 0x47, 5
"""First byte of a packet of MPEG-TS; packets compared to find its size."""


class LossCounter:
    """Counts lost pictures of one video stream.

    Limits: FFmpeg does not mark all damage of MPEG-TS, and none within its first picture. After
    damage the times of MPEG-PS are estimates, and so are the gaps.

    Parameters
    ----------
    stream : VideoStream
        The stream that is decoded.
    """

    def __init__(self, stream: "VideoStream") -> None:
        container = stream.container.format.name
        self._stream = stream
        self._codec = stream.codec_context.name
        self._spare_bytes = SPARE_BYTES.get(container)
        self._index = _avi_index(stream) if container == "avi" else {}
        self._indexed = len(self._index)
        self._end_byte = 0
        self._last_dts: int | None = None
        self._suspicion = 0
        self._candidate = (-SUSPICION_PACKETS, 0)
        """Index of the packet after a gap without evidence of damage; pictures lost in the gap."""

        self._packets = 0
        self._waiting: list[int | None] | None = []
        """Times of the packets before the first picture; None after it."""

        self._expected = 0
        self._shown = 0
        self._gaps = 0
        self._errors = 0
        self._interlaced = False

    @property
    def lost(self) -> int:
        """Number of pictures lost so far; exact at the end of the film."""
        if self._indexed:
            return max(0, self._indexed - self._shown)
        if self._interlaced:  # one picture may be two packets
            return self._gaps + self._errors
        return max(0, self._expected - self._shown) + self._gaps

    def note_error(self) -> None:
        """Note that a packet could not be read or decoded."""
        self._errors += 1
        self._suspect_damage()

    def note_packet(self, packet: "Packet[Any]") -> None:
        """Note a packet of any stream, in file order."""
        self._note_bytes(packet)
        if packet.stream is not self._stream:
            return
        if packet.is_corrupt:
            self._suspect_damage()
        self._note_gap(packet)
        if not packet.is_discard and self._has_picture(packet):
            if self._waiting is None:
                self._expected += 1
            else:
                self._waiting.append(packet.pts)

    def note_shown(self, picture: "VideoFrame") -> None:
        """Note a picture that was delivered, in display order."""
        self._shown += 1
        self._interlaced |= picture.interlaced_frame
        if picture.is_corrupt:
            self._suspect_damage()
        if self._waiting is None:
            return
        # Pictures before the first key frame are missing because of a cut, not of damage.
        self._expected = sum(
            bool(self._errors) or pts is None or picture.pts is None or pts >= picture.pts
            for pts in self._waiting
        )
        self._waiting = None

    def restore_times(self, packet: "Packet[Any]") -> None:
        """Correct the times of an AVI packet: FFmpeg does not count lost packets."""
        if packet.stream is not self._stream or packet.pos is None or packet.dts is None:
            return
        at = self._index.get(packet.pos - CHUNK_HEADER)
        if at is not None and at != packet.dts:
            shift = at - packet.dts
            packet.dts = at
            packet.pts = None if packet.pts is None else packet.pts + shift

    def _note_bytes(self, packet: "Packet[Any]") -> None:
        if self._spare_bytes is None or packet.pos is None or packet.pos < 0:
            return
        if self._end_byte and packet.pos - self._end_byte > self._spare_bytes:
            self._suspect_damage()
        self._end_byte = packet.pos + packet.size

    def _note_gap(self, packet: "Packet[Any]") -> None:
        before, self._last_dts = self._last_dts, packet.dts
        self._packets += 1
        period = self._period(packet)
        lost = 0
        if before is not None and packet.dts is not None and period:
            lost = max(0, round((packet.dts - before) / period) - 1)
        if lost and self._suspicion:
            self._gaps += lost
        elif lost:
            self._candidate = self._packets, lost
        self._suspicion = max(0, self._suspicion - 1)

    def _suspect_damage(self) -> None:
        """Count gaps near the current packet as damage: before it, and after it."""
        self._suspicion = SUSPICION_PACKETS
        number, lost = self._candidate
        if lost and self._packets - number < SUSPICION_PACKETS:
            self._gaps += lost
        self._candidate = (number, 0)

    def _period(self, packet: "Packet[Any]") -> Fraction:
        """Return the time between two pictures in the stream's unit; 0 if unknown."""
        if packet.duration:
            return Fraction(packet.duration)
        rate, unit = self._stream.average_rate, self._stream.time_base
        return 1 / (rate * unit) if rate and unit else Fraction(0)

    def _has_picture(self, packet: "Packet[Any]") -> bool:
        if self._codec == "vp8":
            first = bytes(packet)[:1]
            return first == b"\0" or any(byte & SHOW_FRAME for byte in first)
        return packet.size > (EMPTY_BYTES if self._codec == "mpeg4" else 0)


def _avi_index(stream: "VideoStream") -> dict[int, int]:
    """Return the times of the pictures by their place in the file; empty if it is incomplete."""
    entries = list(stream.index_entries)
    if not stream.frames or len(entries) != stream.frames:
        return {}
    least = EMPTY_BYTES if stream.codec_context.name == "mpeg4" else 0
    return {entry.pos: entry.timestamp for entry in entries if entry.size > least}


def ends_within_packet(path: Path) -> bool:
    """Return whether an MPEG-TS file ends within a packet because it was cut off."""
    longest = TS_PACKETS[-1] * (SYNCS + 1)
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - longest))
        tail = file.read()
    for at in range(len(tail) - 1, -1, -1):
        for size in TS_PACKETS:
            starts = range(at, at - SYNCS * size, -size)
            if starts[-1] >= 0 and all(tail[start] == SYNC for start in starts):
                return len(tail) - at != (TS_PACKETS[0] if size == TS_PACKETS[1] else size)
    return False
