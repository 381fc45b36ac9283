"""Who answers on a port of this machine: a daemon, another program, nothing."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from edgepose.config.loading import loads
from edgepose.doctor import http_probe
from edgepose.service.daemon import Daemon
from edgepose.urls import Address
from tests.support.brokers import Mosquitto, free_port, needs_mosquitto, wait_until


@pytest.fixture
def other() -> Iterator[int]:
    """Serve a page without metrics; return its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello { \xff")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's word
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


def test_nobody_and_strangers_are_not_ours(other: int) -> None:
    """A free port and another program are not recognised."""
    for place in (Address("127.0.0.1", free_port()), Address("127.0.0.1", other)):
        assert not http_probe.has_numbers(place)
        assert not http_probe.is_page(place, tls=False)
        assert not http_probe.is_page(place, tls=True)


@pytest.mark.slow
@needs_mosquitto
def test_a_daemon_is_known_by_what_it_says(tmp_path: Path) -> None:
    """Metrics and page of a daemon are recognised, also if it listens on all addresses."""
    metrics, page = free_port(), free_port()
    with Mosquitto(tmp_path) as broker:
        config = loads(
            f'[mqtt]\nurl = "{broker.url}"\n[model]\nname = "movenet-lightning"\n'
            f'[metrics]\nlisten = "127.0.0.1:{metrics}"\n[web]\nlisten = "127.0.0.1:{page}"\n'
            '[[camera]]\nid = "hall"\nsource = "demo://"\n',
            "test",
        )
        daemon = Daemon(config)
        thread = threading.Thread(target=daemon.run)
        thread.start()
        try:
            assert wait_until(lambda: "hall" in daemon.state.cameras, 30)
            found = (
                http_probe.has_numbers(Address("127.0.0.1", metrics)),
                http_probe.has_numbers(Address("0.0.0.0", metrics)),
                http_probe.is_page(Address("127.0.0.1", page), tls=False),
                http_probe.is_page(Address("127.0.0.1", metrics), tls=False),
                http_probe.has_numbers(Address("127.0.0.1", page)),
            )
        finally:
            daemon.stop()
            thread.join(10)

    assert found == (True, True, True, False, False)
