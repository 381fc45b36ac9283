"""Animated WebP, supported by browsers and Home Assistant.

OpenCV encodes single pictures; this module joins them in the container of RFC 9649.
"""

from collections.abc import Sequence
from typing import Final

import cv2

from edgepose.types import Image

MEDIA_TYPE: Final = "image/webp"
HEADER_BYTES: Final = 12  # "RIFF", length, "WEBP"
ANIMATED: Final = 0x02  # flag of VP8X
NO_BLEND: Final = 0x02  # flag of ANMF: a frame replaces the previous one


def animation(frames: Sequence[Image], frame_ms: int, *, quality: int) -> bytes:
    """Encode pictures of equal size as an endlessly repeating animation.

    Parameters
    ----------
    frames : sequence of (height, width, 3)
        RGB, uint8; at least one.
    frame_ms : int
        Duration of each frame in milliseconds.
    quality : int
        WebP quality from 1 to 100.
    """
    height, width = frames[0].shape[:2]
    canvas = _three_bytes(width - 1) + _three_bytes(height - 1)
    parts = [
        _encode_chunk(b"VP8X", bytes((ANIMATED, 0, 0, 0)) + canvas),
        _encode_chunk(b"ANIM", bytes(6)),
    ]
    for frame in frames:
        head = bytes(6) + canvas + _three_bytes(frame_ms) + bytes((NO_BLEND,))
        parts.append(_encode_chunk(b"ANMF", head + _picture_chunks(frame, quality)))
    content = b"WEBP" + b"".join(parts)
    return b"RIFF" + len(content).to_bytes(4, "little") + content


def _picture_chunks(frame: Image, quality: int) -> bytes:
    """Return the WebP chunks of one picture, without the file header."""
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return bytes(content)[HEADER_BYTES:]


def _encode_chunk(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)


def _three_bytes(value: int) -> bytes:
    return value.to_bytes(3, "little")
