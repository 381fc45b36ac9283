"""A daemon with its page, and a real browser that shows it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

import pytest

from tests.support.brokers import Mosquitto, free_port, wait_until

CHROMIUM: Final = shutil.which("chromium")

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium here: sh tests/support/install-chromium.sh"
)

HALL: Final = """\
# the Pi in the hall
[device]
id = "hall-pi"
name = "Hall Pi"  # as the family calls it

[mqtt]
url = "{url}"

[homeassistant]
discovery = false

[model]
name = "movenet-multipose"

[metrics]
listen = ""

[web]
listen = "{listen}"
{more}
[[camera]]
id = "hall"  # above the door, tilted
source = "demo://"
"""

LIVES_S: Final = 30.0  # time for a daemon to answer on a busy machine


class House:
    """A daemon with the demo source, its broker and its configuration file.

    Parameters
    ----------
    folder : Path
        Folder of all its files.
    host : str
        Address on which the page listens.
    more : str
        More lines for the table ``[web]``.
    """

    def __init__(self, folder: Path, *, host: str = "127.0.0.1", more: str = "") -> None:
        self.broker = Mosquitto(folder)
        self.file = folder / "edgepose.toml"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.text = HALL.format(url=self.broker.url, listen=f"{host}:{port}", more=more)
        self.file.write_text(self.text)
        self.environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
        self.environment.pop("STATE_DIRECTORY", None)
        self._log = folder / "log"

    def run(self, *words: str) -> str:
        """Run an edgepose command in this environment; return its output."""
        command = [sys.executable, "-m", "edgepose", *words]
        done = subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    def __enter__(self) -> Self:
        self.broker.start()
        command = [sys.executable, "-m", "edgepose", "run", "-c", str(self.file)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, env=self.environment, stderr=log)
        assert wait_until(self.answers, LIVES_S), self.said()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        self.broker.__exit__()

    def said(self) -> str:
        """Return the daemon's log."""
        return self._log.read_text()

    def answers(self) -> bool:
        """Return whether the page answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/session", timeout=5):
                return True
        except OSError:
            return False

    def configured(self) -> dict[str, Any]:
        """Return the first camera of the configuration file."""
        camera: dict[str, Any] = tomllib.loads(self.file.read_text())["camera"][0]
        return camera

    def write(self, text: str) -> None:
        """Replace the configuration file and reload it."""
        before = self.said().count("reloaded")
        self.file.write_text(text)
        self._process.send_signal(signal.SIGHUP)
        assert wait_until(lambda: self.said().count("reloaded") > before), self.said()

    def restore(self) -> None:
        """Restore the original configuration."""
        if self.file.read_text() != self.text:
            self.write(self.text)


class Word(BaseHTTPRequestHandler):
    """A page that consists of one word."""

    def do_GET(self) -> None:
        """Send the page."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>word</title><p>word")

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def one_word() -> Iterator[str]:
    """Serve the page of one word; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Word) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def settled(page: Any, state: Callable[[], Any], timeout_s: float = 10.0) -> bool:
    """Wait for a condition while the browser processes its events."""

    def now() -> Any:
        page.wait_for_timeout(20)  # the browser's events are read only during this wait
        return state()

    return wait_until(now, timeout_s)


def told(payload: bytes) -> dict[str, Any]:
    """Parse a message."""
    message: dict[str, Any] = json.loads(payload)
    return message
