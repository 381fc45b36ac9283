"""An emulated USB camera: the kernel's own USB video driver treats it as a real one.

Linux attaches remote devices through a socket to its virtual host controller
(`vhci_hcd`), which carries USB requests and answers; here the other end of the socket is
a thread. Everything from there on is real: enumeration, uvcvideo, the node under `/dev`,
udev's link by serial number, and the reader's behaviour when the plug is pulled. It needs
root, and ``modprobe -a vhci-hcd uvcvideo``.
"""

import os
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final, Self

import cv2
import numpy as np

from edgepose.types import Image, Size
from tests.support.moving import number_of, numbered

HOST: Final = Path("/sys/devices/platform/vhci_hcd.0")
LINK: Final = Path("/dev/v4l/by-id/usb-edgepose_Paper_camera_1234-video-index0")
VIDEO: Final = 0x81  # the endpoint of the pictures
PAYLOAD: Final = 16384
FORMATS: Final = ("YUYV", "MJPG")  # in the order of their index, from 1
FOR_TESTS: Final = (0x1209, 1)  # unassigned vendor and product ids
STRINGS: Final = ("edgepose", "Paper camera", "1234")

SUBMIT, UNLINK, ANSWER, UNLINKED = 1, 2, 3, 4
HIGH_SPEED: Final = 3
GONE: Final = -104  # ECONNRESET: cancelled before it was answered
STALL: Final = -32  # EPIPE: not supported


def lack() -> str:
    """Return which requirement is missing; empty if all are present."""
    if not (HOST / "attach").exists():
        return "no virtual USB host here: sudo modprobe -a vhci-hcd uvcvideo"
    return "" if os.geteuid() == 0 else "plugs in a USB camera, which needs root"


class UsbCamera:
    """A camera with YUYV and MJPEG, plugged in while the context lasts.

    Parameters
    ----------
    picture : (H, W, 3), optional
        The picture it delivers, RGB; by default numbered pictures.
    ids : (int, int)
        Its vendor and product ids.
    """

    size: Final = Size(160, 120)
    fps: Final = 10

    def __init__(self, picture: Image | None = None, ids: tuple[int, int] = FOR_TESTS) -> None:
        self.picture = picture
        self.ids = ids
        self.silent = threading.Event()
        """While set, the camera stays plugged in but sends no pictures."""

        self.begun_ns: dict[int, int] = {}
        """Time of each picture's first byte, by the picture's number."""

        self._format = "YUYV"
        self._waiting: deque[int] = deque()  # the kernel's pending requests for pictures
        self._payloads: deque[bytes] = deque()
        self._line: socket.socket | None = None
        self._thread = threading.Thread()

    def __enter__(self) -> Self:
        self.plug()
        return self

    def __exit__(self, *_: object) -> None:
        self.pull()

    def plug(self) -> None:
        """Plug the camera in."""
        self._waiting.clear()
        self._payloads.clear()
        self._line, kernels = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, args=(self._line,), daemon=True)
        self._thread.start()
        with kernels:
            words = f"{self._free_port()} {kernels.fileno()} 1 {HIGH_SPEED}"
            (HOST / "attach").write_text(words)

    def pull(self) -> None:
        """Unplug the camera."""
        if self._line is not None:
            self._line.shutdown(socket.SHUT_RDWR)
            self._thread.join()
            self._line.close()
            self._line = None

    def _free_port(self) -> str:
        for line in (HOST / "status").read_text().splitlines()[1:]:
            hub, port, state, *_ = line.split()
            if hub == "hs" and state == "004":  # not connected
                return port
        raise AssertionError("no free port of the virtual USB host")

    def _serve(self, line: socket.socket) -> None:
        """Answer the kernel's requests until the camera is unplugged."""
        with suppress(ConnectionError):
            pictures = self._pictures()
            next_s = time.monotonic()
            while True:
                ready, _, _ = select.select([line], [], [], max(0.0, next_s - time.monotonic()))
                if ready:
                    self._answer(line, _receive(line, 48))
                if time.monotonic() >= next_s:
                    next_s = max(next_s + 1 / self.fps, time.monotonic())
                    if self._waiting and not self._payloads and not self.silent.is_set():
                        self._payloads.extend(next(pictures))
                while self._waiting and self._payloads:
                    _reply(line, self._waiting.popleft(), self._payloads.popleft())

    def _answer(self, line: socket.socket, header: bytes) -> None:
        command, number, _, inward, endpoint, flags, length = struct.unpack(">7I", header[:28])
        if command == UNLINK:
            status = GONE if flags in self._waiting else 0
            with suppress(ValueError):
                self._waiting.remove(flags)
            line.sendall(struct.pack(">5Ii24x", UNLINKED, number, 0, 0, 0, status))
            return
        sent = b"" if inward else _receive(line, length)
        if endpoint:
            self._waiting.append(number)
            return
        data = self._told(header[40:48], sent)
        if data is None:
            _reply(line, number, b"", status=STALL)
        else:
            _reply(line, number, data[:length] if inward else b"", actual=len(sent))

    def _told(self, setup: bytes, sent: bytes) -> bytes | None:
        """Answer a request about the camera; None for an unknown one."""
        kind, request, value, index, _ = struct.unpack("<BBHHH", setup)
        told: bytes | None = None
        match kind, request, value >> 8:
            case 0x80, 6, 1:
                told = _device(*self.ids)
            case 0x80, 6, 2:
                told = _configuration(self.size, self.fps)
            case 0x80, 6, 3:
                told = _string(value & 0xFF)
            case 0x80 | 0x81 | 0x82, 0, _:  # status
                told = bytes(2)
            case 0x00 | 0x01 | 0x02, _, _:  # set configuration, interface; clear a halt
                told = b""
            case 0x21, 1, 1 | 2:  # probe and commit of the driver's format
                self._format = FORMATS[sent[2] - 1]
                self._payloads.clear()
                told = b""
            case 0xA1, 0x86, _:  # which operations a control supports: read and write
                told = b"\x03"
            case 0xA1, _, 1 | 2 if index & 0xFF == 1:
                told = self._settings()
        return told

    def _settings(self) -> bytes:
        """Return the video format in force (probe and commit control)."""
        (width, height), period = self.size, 10**7 // self.fps
        format_ = 1 + FORMATS.index(self._format)
        return struct.pack(
            "<HBBI5HII", 1, format_, 1, period, 0, 0, 0, 0, 0, 2 * width * height, PAYLOAD
        )

    def _pictures(self) -> Iterator[list[bytes]]:
        """Yield each picture as the payloads of its transfers."""
        room = PAYLOAD - 2
        for index in count():
            rgb = numbered(index, self.size) if self.picture is None else self.picture
            data = _yuyv(rgb) if self._format == "YUYV" else _jpeg(rgb)
            parts = [data[start : start + room] for start in range(0, len(data), room)]
            flags = [0x80 | index & 1 for _ in parts]
            flags[-1] |= 2  # the end of the picture
            self.begun_ns[number_of(rgb)] = time.monotonic_ns()
            yield [bytes((2, flag)) + part for flag, part in zip(flags, parts, strict=True)]


def _receive(line: socket.socket, length: int) -> bytes:
    """Return exactly this many bytes."""
    data = b""
    while len(data) < length:
        more = line.recv(length - len(data))
        if not more:
            raise ConnectionError("the plug is out")
        data += more
    return data


def _reply(
    line: socket.socket, number: int, data: bytes, *, status: int = 0, actual: int = 0
) -> None:
    head = struct.pack(">5Ii4I8x", ANSWER, number, 0, 0, 0, status, actual or len(data), 0, 0, 0)
    line.sendall(head + data)


def _yuyv(rgb: Image) -> bytes:
    """Return a picture as YUYV: two pixels share their chroma, as in BT.601."""
    red, green, blue = (rgb[..., channel].astype(np.float32) for channel in range(3))
    y = 16 + 0.257 * red + 0.504 * green + 0.098 * blue
    u = 128 - 0.148 * red - 0.291 * green + 0.439 * blue
    v = 128 + 0.439 * red - 0.368 * green - 0.071 * blue
    packed = np.stack([y[:, 0::2], u[:, 0::2], y[:, 1::2], v[:, 0::2]], axis=-1)
    return packed.round().astype(np.uint8).tobytes()


def _jpeg(rgb: Image) -> bytes:
    good, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    assert good
    return data.tobytes()


def _device(maker: int, product: int) -> bytes:
    # a composite device
    kind = 18, 1, 0x200, 239, 2, 1, 64
    return struct.pack("<BBHBBBBHHHBBBB", *kind, maker, product, 1, 1, 2, 3, 1)


def _string(index: int) -> bytes:
    text = STRINGS[index - 1].encode("utf-16-le") if index else b"\x09\x04"
    return bytes((2 + len(text), 3)) + text


def _configuration(size: Size, fps: int) -> bytes:
    """Return the camera's descriptors (USB Device Class for Video Devices 1.0)."""
    camera = struct.pack("<BBBBHBB3HB3x", 18, 36, 2, 1, 0x201, 0, 0, 0, 0, 0, 3)
    out = struct.pack("<BBBBHBBB", 9, 36, 3, 2, 0x101, 0, 1, 0)
    total = 13 + len(camera) + len(out)
    control = struct.pack("<BBBHHIBB", 13, 36, 1, 0x100, total, 48_000_000, 1, 1) + camera + out

    guid = bytes.fromhex("5955593200001000800000aa00389b71")
    yuyv = struct.pack("<5B16s6B", 27, 36, 4, 1, 1, guid, 16, 1, 0, 0, 0, 0)
    mjpeg = struct.pack("<11B", 11, 36, 6, 2, 1, 1, 1, 0, 0, 0, 0)
    colours = bytes((6, 36, 13, 1, 1, 4))
    formats = yuyv + _frame(5, size, fps) + colours + mjpeg + _frame(7, size, fps) + colours
    total = 15 + len(formats)
    streaming = struct.pack("<BBBBHB8B", 15, 36, 1, 2, total, VIDEO, 0, 2, 0, 0, 0, 1, 0, 0)

    body = bytes((8, 11, 0, 2, 14, 3, 0, 0))  # groups both interfaces into one camera
    body += bytes((9, 4, 0, 0, 0, 14, 1, 0, 0)) + control
    body += bytes((9, 4, 1, 0, 1, 14, 2, 0, 0)) + streaming + formats
    body += struct.pack("<BBBBHB", 7, 5, VIDEO, 2, 512, 0)
    return struct.pack("<BBHBBBBB", 9, 2, 9 + len(body), 2, 1, 0, 0x80, 250) + body


def _frame(kind: int, size: Size, fps: int) -> bytes:
    bits, period = 16 * size.width * size.height * fps, 10**7 // fps
    sizes = (size.width, size.height, bits, bits, 2 * size.width * size.height)
    return struct.pack("<5B2H3IIBI", 30, 36, kind, 1, 0, *sizes, period, 1, period)
