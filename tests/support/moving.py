"""Generated clips and pictures."""

import struct
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from edgepose.types import Image, Size

WIDE = Size(96, 48)


def numbered(index: int, size: Size = WIDE) -> Image:
    """Return a grey RGB picture whose brightness encodes its number, modulo 40."""
    return np.full((size.height, size.width, 3), 20 + 5 * (index % 40), dtype=np.uint8)


def number_of(image: Image) -> int:
    """Return the number of a numbered picture, compressed or not."""
    return round((float(image.mean()) - 20) / 5)


def clip(path: Path, count: int, *, fps: float = 20.0, size: Size = WIDE) -> Path:
    """Write a video of numbered frames."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, size)
    for index in range(count):
        writer.write(numbered(index, size))
    writer.release()
    return path


def picture(path: Path, rgb: Image) -> Path:
    """Write an RGB picture; the extension selects the format."""
    assert cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return path


def h264(path: Path, stamps_ms: list[int], *, size: Size = WIDE, group: int = 1) -> Path:
    """Write numbered frames in H.264 at these times, a key frame every `group` pictures."""
    import av

    options = {"g": str(group), "bf": "0" if group == 1 else "3", "sc_threshold": "0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for index, stamp_ms in enumerate(stamps_ms):
            frame = av.VideoFrame.from_ndarray(numbered(index, size), format="rgb24")
            frame.pts, frame.time_base = stamp_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def with_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Set the display matrix of an mp4: ``x' = a x + c y``, ``y' = b x + d y``."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4
    at += 4 + (20 if data[at] == 0 else 32) + 16
    matrix = (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, at, *matrix)
    path.write_bytes(data)
    return path


def box(kind: bytes, *parts: bytes, full: bool = False, version: int = 0) -> bytes:
    """Return a box of the ISO base media file format (ISO 14496-12, 4.2)."""
    body = (bytes((version, 0, 0, 0)) if full else b"") + b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def avif_of_tiles(path: Path, tile: Image, columns: int, *, apart: bool = False) -> Path:
    """Write an AVIF picture as a grid of tiles, as phones write HEIC (ISO 23008-12, 6.6).

    With `apart` the tiles are separate pictures, as in a burst.
    """
    good, encoded = cv2.imencode(".avif", tile)
    assert good
    one = encoded.tobytes()
    height, width = tile.shape[:2]
    at = one.index(b"av1C") - 4
    av1c = one[at : at + int.from_bytes(one[at : at + 4])]
    data = one[one.index(b"mdat") + 4 :]
    items = range(2, 2 + columns)
    grid = struct.pack(">BBBBHH", 0, 0, 0, columns - 1, columns * width, height)
    size = struct.Struct(">II")
    properties = box(
        b"ipco",
        box(b"ispe", size.pack(columns * width, height), full=True),
        box(b"ispe", size.pack(width, height), full=True),
        av1c,
    )
    used = struct.pack(">IHBB", 1 + columns, 1, 1, 1)
    used += b"".join(struct.pack(">HBBB", item, 2, 2, 0x83) for item in items)
    kind = b"Exif" if apart else b"grid"
    infos = [box(b"infe", struct.pack(">HH4sx", 1, 0, kind), full=True, version=2)]
    infos += [
        box(b"infe", struct.pack(">HH4sx", item, 0, b"av01"), full=True, version=2)
        for item in items
    ]

    def meta(offset: int) -> bytes:
        places = struct.pack(">HH", 0x4400, 1 + columns)
        places += struct.pack(">HHHHII", 1, 1, 0, 1, 0, len(grid))
        for index, item in enumerate(items):
            at = offset + index * len(data)
            places += struct.pack(">HHHHII", item, 0, 0, 1, at, len(data))
        parts = (
            box(b"hdlr", struct.pack(">I4s12xx", 0, b"pict"), full=True),
            box(b"pitm", struct.pack(">H", 2 if apart else 1), full=True),
            box(b"iloc", places, full=True, version=1),
            box(b"iinf", struct.pack(">H", len(infos)), *infos, full=True),
            box(
                b"iref",
                box(
                    b"cdsc" if apart else b"dimg",
                    struct.pack(">HH", 1, columns),
                    *(struct.pack(">H", item) for item in items),
                ),
                full=True,
            ),
            box(b"iprp", properties, box(b"ipma", used, full=True)),
            box(b"idat", grid),
        )
        return box(b"meta", *parts, full=True)

    head = box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf")
    begin = len(head) + len(meta(0)) + 8
    path.write_bytes(head + meta(begin) + box(b"mdat", data * columns))
    return path
