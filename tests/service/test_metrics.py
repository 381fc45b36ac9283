"""The metrics endpoint, read by Prometheus' parser."""

import contextlib
import logging
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from edgepose.config.loading import loads
from edgepose.pose.failover import FailoverEstimator
from edgepose.service import metrics_http, wiring
from edgepose.service.daemon import Daemon
from edgepose.service.metrics import MetricsServer
from edgepose.system import hardware
from edgepose.system.connections import ConnectionLimits
from edgepose.system.hardware import Throttling
from edgepose.system.log_limit import RepeatFilter
from edgepose.timing import BOUNDS_S, NS_PER_S, Durations
from tests.support.brokers import Mosquitto, free_port, needs_mosquitto, wait_until

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "metrics.md"
RULES = ROOT / "deploy" / "prometheus" / "edgepose.rules.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "edgepose.json"


def get(where: str) -> str:
    """Return the metrics endpoint's text."""
    with urllib.request.urlopen(f"http://{where}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def scrape(where: str) -> dict[str, Metric]:
    """Return all metric families of the endpoint."""
    return {family.name: family for family in text_string_to_metric_families(get(where))}


def value(found: dict[str, Metric], sample: str, **labels: str) -> float:
    """Return the only sample with this name and these labels."""
    values = [
        one.value
        for family in found.values()
        for one in family.samples
        if one.name == sample and labels.items() <= one.labels.items()
    ]
    assert len(values) == 1, (sample, labels, values)
    return float(values[0])


@pytest.fixture
def endpoint() -> Iterator[MetricsServer]:
    made = MetricsServer(lambda: [GaugeMetricFamily("answer", "To everything", 42)])
    yield made
    made.close()


def test_it_answers_a_scraper_again_and_again(endpoint: MetricsServer) -> None:
    """Two scrapes return our metrics and those of the process."""
    where = f"127.0.0.1:{free_port()}"
    endpoint.listen(where)

    both = [scrape(where) for _ in range(2)]

    assert all(value(found, "answer") == 42 for found in both)
    assert value(both[0], "process_resident_memory_bytes") > 1e6


def test_a_taken_port_is_one_warning(
    endpoint: MetricsServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A port in use logs one warning that names `metrics.listen`."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        where = f"127.0.0.1:{other.getsockname()[1]}"

        endpoint.listen(where)
        endpoint.listen(where)

    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 1
    assert "metrics.listen" in said[0].getMessage()


def test_it_moves_and_ends(endpoint: MetricsServer) -> None:
    """A reload frees the old port; an empty address turns it off; it can be closed twice."""
    old, new = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    endpoint.listen(old)
    scrape(old)

    endpoint.listen(new)
    assert "answer" in scrape(new)
    with pytest.raises(OSError, match="refused"):
        get(old)

    endpoint.listen("")
    with pytest.raises(OSError, match="refused"):
        get(new)
    endpoint.close()
    assert wait_until(lambda: all(thread.name != "metrics" for thread in threading.enumerate()))


def test_one_who_hangs_up_does_not_end_it(endpoint: MetricsServer) -> None:
    """Closed connections and invalid requests do not end the endpoint."""
    port = free_port()
    endpoint.listen(f"127.0.0.1:{port}")
    for said in (b"", b"GET /met", b"nonsense\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(said)

    assert "answer" in scrape(f"127.0.0.1:{port}")


def test_slow_clients_hold_up_nobody(endpoint: MetricsServer) -> None:
    """A hundred clients with incomplete requests do not delay a scrape."""
    port = free_port()
    endpoint.listen(f"127.0.0.1:{port}")
    get(f"127.0.0.1:{port}")  # loads its modules

    with contextlib.ExitStack() as slow:
        for _ in range(100):
            line = slow.enter_context(socket.create_connection(("127.0.0.1", port)))
            line.sendall(b"GET /metr")
        before_s = time.monotonic()
        found = scrape(f"127.0.0.1:{port}")
        waited_s = time.monotonic() - before_s

    assert "answer" in found
    assert waited_s < 2


def test_a_request_that_drips_is_ended(
    endpoint: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time limit applies to the whole request, however regularly its bytes arrive."""
    monkeypatch.setattr(metrics_http, "LIMITS", ConnectionLimits(32, 8, request_s=0.5))
    port = free_port()
    endpoint.listen(f"127.0.0.1:{port}")

    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"GET /metrics HTTP/1.1\r\n")
        line.settimeout(0.05)
        started_s = time.monotonic()
        while time.monotonic() - started_s < 10:
            try:
                line.sendall(b"X-Header: more\r\n")
                if line.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break

    assert 0.3 < time.monotonic() - started_s < 5


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\n\r\n", b"200"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"GET / HTTP/1.1\r\nAccept: application/openmetrics-text;version=x\r\n\r\n", b"200"),
        (b"GET / HTTP/1.1\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n", b"200"),
        (b"GET / HTTP/1.1\r\nAccept: text/plain;version=1.x;q=\r\n\r\n", b"200"),
        (b"GET / HTTP/1.1\r\nAccept: \xff,;=,\r\nAccept-Encoding: \xff\r\n\r\n", b"200"),
        (b"GET /?name[]=%ff&name[]= HTTP/1.1\r\n\r\n", b"200"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /metrics SMTP\r\n\r\n", b"400"),
        (b"\xff\x00 / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n", b"400"),
    ],
)
def test_every_request_gets_a_status(
    endpoint: MetricsServer, request_: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Every request gets a status code, and invalid ones are not logged as warnings."""
    port = free_port()
    endpoint.listen(f"127.0.0.1:{port}")

    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(request_)
        assert line.recv(12) == b"HTTP/1.1 " + status

    assert not [it for it in caplog.records if it.levelno >= logging.WARNING]


def test_a_failing_collection_is_logged_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing collection answers 500 and is logged once."""
    monkeypatch.setattr(metrics_http.log, "filters", [RepeatFilter()])
    broken = MetricsServer(lambda: [1 / 0])  # type: ignore[list-item]
    where = f"127.0.0.1:{free_port()}"
    broken.listen(where)

    for _ in range(3):
        with pytest.raises(urllib.error.HTTPError, match="500"):
            get(where)
    broken.close()

    assert len([it for it in caplog.records if it.levelno >= logging.WARNING]) == 1


def test_durations_fall_into_their_buckets() -> None:
    """Buckets are cumulative, and include their upper bound."""
    durations = Durations()
    for seconds in (BOUNDS_S[0], BOUNDS_S[0] * 1.5, BOUNDS_S[-1] * 2):
        durations.add(round(seconds * NS_PER_S))

    counts, sum_s = durations.histogram()

    assert counts == [1, *[2] * (len(BOUNDS_S) - 1), 3]
    assert sum_s == pytest.approx(BOUNDS_S[0] * 2.5 + BOUNDS_S[-1] * 2)


@pytest.mark.slow
def test_nobody_answers_before_the_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the model is loaded connections are refused."""
    where = f"127.0.0.1:{free_port()}"
    daemon = Daemon(
        loads(
            f'[mqtt]\nurl = "mqtt://127.0.0.1:{free_port()}"\n[metrics]\nlisten = "{where}"\n'
            '[model]\nname = "movenet-lightning"\n'
            '[[camera]]\nid = "hall"\nsource = "demo://"\n',
            "test",
        )
    )
    make, tried = wiring.estimator, []

    def load(*words: Any) -> FailoverEstimator:
        with pytest.raises(urllib.error.URLError) as refused:
            get(where)
        tried.append(refused.value.reason)
        daemon.stop()
        return make(*words)

    monkeypatch.setattr(wiring, "estimator", load)
    daemon.run()

    assert [type(reason) for reason in tried] == [ConnectionRefusedError]


@pytest.mark.slow
@needs_mosquitto
def test_the_daemon_tells_what_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames, offline cameras, durations and messages are exported and documented."""
    weak = Throttling({"under_voltage": True, "throttled": False}, {"under_voltage": True})
    monkeypatch.setattr(hardware.THROTTLING, "latest", lambda: weak)
    monkeypatch.setattr(hardware, "temperature_c", lambda: 61.5)
    with Mosquitto(tmp_path) as broker:
        where = f"127.0.0.1:{free_port()}"
        daemon = Daemon(
            loads(
                f'[mqtt]\nurl = "{broker.url}"\n[metrics]\nlisten = "{where}"\n'
                '[model]\nname = "movenet-lightning"\n'
                '[[camera]]\nid = "hall"\nsource = "demo://"\n'
                '[[camera]]\nid = "yard"\nsource = "/dev/video99"\n',
                "test",
            )
        )
        thread = threading.Thread(target=daemon.run)
        thread.start()
        try:
            assert wait_until(lambda: "hall" in daemon.state.cameras and _processed(daemon) > 3)
            first = scrape(where)
            seen = _processed(daemon)
            assert wait_until(lambda: _processed(daemon) > seen + 3)
            later = scrape(where)
        finally:
            daemon.stop()
            thread.join(10)

    frames = "edgepose_frames_processed_total"
    assert value(later, frames, camera="hall") > value(first, frames, camera="hall") > 3
    assert value(later, "edgepose_camera_up", camera="hall") == 1
    assert value(later, "edgepose_camera_up", camera="yard") == 0
    assert value(later, "edgepose_broker_connected") == 1
    assert value(later, "edgepose_info", model="movenet-lightning", delegate="cpu") == 1
    assert value(later, "edgepose_messages_dropped_total", kind="event") == 0
    inferences = value(later, "edgepose_stage_seconds_count", stage="infer")
    assert inferences >= value(later, frames, camera="hall")
    assert 0 < value(later, "edgepose_stage_seconds_sum", stage="infer") < 60
    assert value(later, "edgepose_latency_seconds_count", camera="hall") > 0
    assert value(later, "edgepose_temperature_celsius") == 61.5
    assert value(later, "edgepose_throttled") == 1
    flags = "edgepose_throttling"
    assert value(later, flags, flag="under_voltage", when="now") == 1
    assert value(later, flags, flag="throttled", when="now") == 0
    assert value(later, flags, flag="under_voltage", when="since_boot") == 1
    undocumented = {
        name for name in later if name.startswith("edgepose") and f"`{name}" not in DOCS.read_text()
    }
    assert not undocumented


@pytest.mark.parametrize("file", [DOCS, RULES, DASHBOARD], ids=lambda file: file.name)
def test_what_is_asked_for_is_there(file: Path) -> None:
    """Alerts, queries and the dashboard use only documented metrics."""
    explained = set(re.findall(r"^\| `(edgepose_\w+)`", DOCS.read_text(), re.MULTILINE))
    parts = {f"{name}_{part}" for name in explained for part in ("bucket", "sum", "count")}

    asked = set(re.findall(r"\b(edgepose_\w+)", file.read_text()))

    assert len(asked) > 5
    assert asked <= explained | parts


def test_every_alert_says_what_to_do() -> None:
    """The rules and the documentation's table list the same alerts."""
    alerts = re.findall(r"alert: (\w+)", RULES.read_text())

    assert alerts == re.findall(r"^\| (Edgepose\w+) \|", DOCS.read_text(), re.MULTILINE)


def _processed(daemon: Daemon) -> int:
    return daemon.state.cameras["hall"].camera.health.processed
