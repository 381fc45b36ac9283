"""Home Assistant's Supervisor as an app sees it: the answers of its documentation."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "the-supervisors-token"


@dataclass
class Supervisor:
    """Its answers, and the requests it received."""

    mqtt: dict[str, Any] | None = None
    """The MQTT service; None while no app provides one."""

    slug: str = "a0d7b954_edgepose"
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str, authorization: str) -> tuple[int, dict[str, Any]]:
        """Return status and content."""
        self.asked.append(path)
        if authorization != f"Bearer {TOKEN}":
            return 401, {"result": "error", "message": "unauthorized"}
        if path == "/services/mqtt" and self.mqtt is None:
            return 400, {"result": "error", "message": "Service not enabled"}
        data = {"/services/mqtt": self.mqtt, "/addons/self/info": {"slug": self.slug}}.get(path)
        if data is None:
            return 403, {"result": "error", "message": "forbidden"}
        return 200, {"result": "ok", "data": data}


@contextmanager
def supervising(address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[Supervisor]:
    """Serve a Supervisor."""
    made = Supervisor()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = made.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(address, Handler) as server:
        made.url = f"http://{address[0]}:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()


def answer_of(
    line: HTTPConnection,
    path: str,
    headers: Mapping[str, str],
    method: str = "GET",
    body: str | None = None,
) -> tuple[int, bytes]:
    """Send a request over a connection and close it; return status and body, 0 if refused."""
    try:
        line.request(method, path, body, {"Host": "homeassistant.local:8123", **headers})
        answer = line.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        line.close()
