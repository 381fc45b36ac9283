"""Network cameras that tests start on this machine."""

import io
import shutil
import socket
import struct
import subprocess
import threading
import wave
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

import cv2
import pytest

from edgepose.types import Image, Size
from tests.support.brokers import free_port, wait_until
from tests.support.moving import numbered

SYSTEM_PYTHON: Final = "/usr/bin/python3"  # GStreamer's bindings come from Debian's packages
RTSP: Final = Path(__file__).parent / "rtsp.py"
USER, PASSWORD = "anna", "s3cret"


def jpeg(rgb: Image) -> bytes:
    """Return a picture encoded as a camera sends it."""
    good, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    assert good
    return data.tobytes()


def sound() -> bytes:
    """Return a WAV file with a second of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(bytes(16000))
    return file.getvalue()


class Camera(ThreadingHTTPServer):
    """An HTTP camera that sends JPEG pictures.

    The path selects its behaviour: ``/live``, ``/login`` (with a password), ``/ends``,
    ``/freezes``, ``/resets`` and ``/breaks`` after 20 pictures, ``/sound``, ``/page``,
    ``/file...`` (what `file` holds), ``/still...`` (a new picture at
    each request), ``/pieces...`` (the film in that many pieces, a second apart).
    """

    daemon_threads = True
    allow_reuse_address = True
    picture: Image | None = None
    period_s = 0.02
    file = b""
    stills = 0
    exif = b""
    pieces = 1

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.closing = threading.Event()
        self.frozen = threading.Event()
        self._lines: list[socket.socket] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._lines.append(request)
        super().process_request(request, client_address)

    def url(self, path: str, login: str = "") -> str:
        return f"http://{login and login + '@'}127.0.0.1:{self.server_port}/{path}"

    def handle_error(self, *_: Any) -> None:
        """Ignore clients that hang up."""

    def jpegs(self) -> Iterator[bytes]:
        for index in count():
            data = jpeg(numbered(index) if self.picture is None else self.picture)
            yield data[:2] + self.exif + data[2:]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()
        for line in self._lines:
            line.close()


class Handler(BaseHTTPRequestHandler):
    server: Camera

    def do_GET(self) -> None:
        what = self.path[1:].partition("?")[0]
        expected = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if what == "login" and self.headers.get("Authorization") != expected:
            self._answer(401, "text/plain", b"", ("WWW-Authenticate", 'Basic realm="camera"'))
        elif what == "sound":
            self._answer(200, "audio/wav", sound())
        elif what.startswith("file"):
            self._answer(200, "application/octet-stream", self.server.file)
        elif what.startswith("pieces"):
            self._send_in_pieces()
        elif what.startswith("still"):
            self._still()
        elif what == "page":
            self._answer(200, "text/html", b"<html><body>Welcome to your camera</body></html>" * 50)
        elif what in {"live", "login", "ends", "freezes", "resets", "breaks"}:
            self._stream(what)
        else:
            self.send_error(404)

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, code: int, kind: str, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(code)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _still(self) -> None:
        self.server.stills += 1
        if self.server.frozen.is_set():
            self.send_error(503)
        else:
            data = jpeg(numbered(self.server.stills))
            self._answer(200, "image/jpeg", data[:2] + self.server.exif + data[2:])

    def _send_in_pieces(self) -> None:
        """Send the film as if recorded live: in pieces, one per second, without a length."""
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        data, pieces = self.server.file, self.server.pieces
        step = -(-len(data) // pieces // 188) * 188
        for begin in range(0, len(data), step):
            self.wfile.write(data[begin : begin + step])
            if self.server.closing.wait(1):
                return

    def _stream(self, what: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        for index, data in enumerate(self.server.jpegs()):
            if index >= 20 and what not in {"live", "login"} and self._misbehave(what):
                return
            body = bytes(len(data)) if index >= 20 and what == "breaks" else data
            head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body + b"\r\n")
            if self.server.closing.wait(self.server.period_s):
                return

    def _misbehave(self, what: str) -> bool:
        """Return whether the stream is over."""
        if what == "freezes":
            self.server.frozen.set()
            self.server.closing.wait()
        if what == "resets":
            linger = struct.pack("ii", 1, 0)  # discards bytes under way: RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.shutdown(socket.SHUT_RD)
            self.connection.close()
        return what != "breaks"


class Rtsp:
    """GStreamer's RTSP server in its own process; skips the test if it is not installed."""

    size: Final = Size(320, 240)

    def __init__(self, *words: str, port: int = 0) -> None:
        if not rtsp_is_there():
            pytest.skip("GStreamer's RTSP server is not installed: gir1.2-gst-rtsp-server-1.0")
        self.port = port or free_port()
        self.process = subprocess.Popen([SYSTEM_PYTHON, RTSP, str(self.port), *words])

    def url(self, login: str = "") -> str:
        return f"rtsp://{login and login + '@'}127.0.0.1:{self.port}/camera"

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def __enter__(self) -> Self:
        assert wait_until(self._answers)
        return self

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def rtsp_is_there() -> bool:
    """Return whether GStreamer's RTSP server is installed."""
    if shutil.which(SYSTEM_PYTHON) is None:
        return False
    check = [SYSTEM_PYTHON, RTSP, "--check"]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0
