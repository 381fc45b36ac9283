"""The page's process, with a test in place of the daemon; and minimal HTTP clients."""

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msgspec

from edgepose.config.loading import Origin
from edgepose.web import feed
from edgepose.web.feed import IpcMessage

HELLO = {"type": "hello", "version": "1", "picture": True}


@dataclass
class Answer:
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


def ask(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Send one request; a body that is not bytes is sent as JSON."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    usual = {} if body is None else {"Content-Type": "application/json"}
    try:
        line.request(method, path, content, usual | (headers or {}))
        found = line.getresponse()
        return Answer(found.status, dict(found.headers), found.read())
    finally:
        line.close()


@dataclass
class Site:
    """The page's process, and its requests to the daemon."""

    port: int
    process: subprocess.Popen[bytes]
    line: socket.socket
    refusal: str = ""
    """The error in answers to `set` and reloads."""

    log: Path | None = None
    """The file of the process's stderr."""

    cameras: tuple[str, ...] = ("hall",)
    asked: SimpleQueue[feed.Command] = field(default_factory=SimpleQueue)
    sets: list[tuple[str, Any]] = field(default_factory=list)

    def tell(self, word: str, payload: bytes, *of: str) -> None:
        """Send it a message as the daemon would."""
        self.line.send(feed.pack(IpcMessage(word, of, payload)))

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send one request, from this machine; ``_`` in names of headers stands for ``-``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(self.port, method, path, body, named)

    def obey(self) -> None:
        """Carry out its requests until it ends."""
        with suppress(OSError):
            while datagram := self.line.recv(feed.LIMIT):
                command = feed.read_command(datagram)
                match command:
                    case feed.Reload(number=number):
                        told = feed.Reloaded(
                            cameras=self.cameras, numbers=(number,), error=self.refusal
                        )
                        self.tell("reloaded", msgspec.json.encode(told))
                    case feed.Set(number=number, camera=camera, settings=settings):
                        self.sets.append((camera, json.loads(bytes(settings))))
                        answer = feed.Answer(number=number, error=self.refusal)
                        self.tell("answer", msgspec.json.encode(answer))
                self.asked.put(command)


def start(file: Path | str = "", **settings: Any) -> feed.Start:
    """Return the process's start message."""
    usual: dict[str, Any] = {
        "hello": msgspec.Raw(json.dumps(HELLO).encode()),
        "origin": msgspec.Raw(msgspec.json.encode(Origin(file=str(file)))),
        "cameras": ("hall",),
        "local": True,
        "hosts": (),
        "cert_file": "",
        "key_file": "",
        "token_file": "",
        "session_key": b"key",
        "engine_threads": 0,
    }
    return feed.Start(**usual | settings)


@contextmanager
def site(file: Path | str = "", *, log: Path | None = None, **settings: Any) -> Iterator[Site]:
    """Start the page's process for a configuration file, and end it."""
    listener = socket.create_server(("127.0.0.1", 0))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    handles = (listener.fileno(), theirs.fileno())
    command = [sys.executable, "-m", "edgepose.web", *map(str, handles)]
    with log.open("ab") if log else nullcontext() as stderr:
        process = subprocess.Popen(command, pass_fds=handles, stderr=stderr)
    theirs.close()
    made = Site(listener.getsockname()[1], process, ours, log=log)
    made.tell("start", msgspec.json.encode(start(file, **settings)))
    daemon = threading.Thread(target=made.obey)
    daemon.start()
    try:
        yield made
    finally:
        ours.shutdown(socket.SHUT_RDWR)
        daemon.join(10)
        process.wait(10)
        ours.close()
        listener.close()
