"""The daemon's metrics for Prometheus.

Libraries are loaded and metrics computed on request only. The counters are kept by the daemon's
parts and only read here.
"""

import logging
import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from edgepose._version import __version__
from edgepose.pose import interpreter
from edgepose.service.state import DaemonState
from edgepose.system import hardware
from edgepose.system.sockets import listen
from edgepose.timing import BOUNDS_S, Durations
from edgepose.urls import address

if TYPE_CHECKING:
    from prometheus_client import Metric

log: Final = logging.getLogger(__name__)

CLOSE_S: Final = 2.0  # time for a running collection
BOUNDS: Final = (*map(str, BOUNDS_S), "+Inf")


class MetricsServer:
    """Serves the metrics over HTTP in a separate thread.

    Parameters
    ----------
    collect : callable
        Returns the metrics; called in another thread, one call at a time.
    """

    def __init__(self, collect: Callable[[], Iterable["Metric"]]) -> None:
        self._collect = collect
        self._where = ""
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def listen(self, where: str) -> None:
        """Listen on ``HOST:PORT``; stop listening if it is empty."""
        if where == self._where:
            return
        self.close()
        self._where = where
        place = address(where)
        if place is None:
            return
        listener = listen(place, "metrics.listen", log)
        if listener is None:
            return
        log.info("metrics: on http://%s/metrics", where)
        self._listener = listener
        self._thread = threading.Thread(
            target=_serve_requests, args=(listener, self._collect), name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening. Idempotent."""
        listener, self._listener, self._where = self._listener, None, ""
        if listener is not None and self._thread is not None:
            listener.shutdown(socket.SHUT_RDWR)  # wakes the thread, which closes it
            self._thread.join(CLOSE_S)


def _serve_requests(listener: socket.socket, collect: Callable[[], Iterable["Metric"]]) -> None:
    """Answer requests until the socket is shut down. Imports the HTTP server on the first one."""
    with listener:
        waiting = select.poll()
        waiting.register(listener, select.POLLIN)
        if any(found & select.POLLHUP for _, found in waiting.poll()):
            return
        from edgepose.service.metrics_http import serve

        serve(listener, collect)


def collect(state: DaemonState) -> Iterator["Metric"]:
    """Yield all metrics of a daemon with their help texts."""
    yield from _running_metrics(state)
    yield from _camera_metrics(state)
    yield from _duration_metrics(state)
    yield from _broker_metrics(state)
    yield from _machine_metrics()


def _running_metrics(state: DaemonState) -> Iterator["Metric"]:
    from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

    plan = state.estimator.plan
    info = {
        "version": __version__,
        "device": state.config.device.id,
        "model": state.estimator.name,
        "runtime": interpreter.runtime(),
        "delegate": plan.delegate.name,
        "reason": plan.reason,
    }
    yield InfoMetricFamily("edgepose", "Version, model, runtime and delegate", info)
    what = "1 while a configured delegate cannot be used and will be tried again"
    yield GaugeMetricFamily("edgepose_delegate_benched", what, float(plan.waits))


def _camera_metrics(state: DaemonState) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    counted = {
        "received": CounterMetricFamily(
            "edgepose_frames_received", "Frames received from the source", labels=["camera"]
        ),
        "processed": CounterMetricFamily(
            "edgepose_frames_processed", "Frames processed into messages", labels=["camera"]
        ),
        "reconnects": CounterMetricFamily(
            "edgepose_camera_reconnects", "Reconnects of the source", labels=["camera"]
        ),
    }
    dropped = CounterMetricFamily(
        "edgepose_frames_dropped", "Frames that were skipped", labels=["camera", "reason"]
    )
    up = GaugeMetricFamily(
        "edgepose_camera_up", "1 while the source delivers frames", labels=["camera"]
    )
    for control in state.running_cameras():
        id_, camera = control.camera.id, control.camera
        for name, family in counted.items():
            family.add_metric([id_], getattr(camera.health, name))
        for reason, count in camera.health.dropped.items():
            dropped.add_metric([id_, reason], count)
        up.add_metric([id_], float(camera.health.state == "online"))
    yield from counted.values()
    yield dropped
    yield up


def _duration_metrics(state: DaemonState) -> Iterator["Metric"]:
    from prometheus_client.core import HistogramMetricFamily

    def add(family: HistogramMetricFamily, labels: list[str], durations: Durations) -> None:
        counts, sum_s = durations.histogram()
        family.add_metric(labels, list(zip(BOUNDS, counts, strict=True)), sum_s)

    stages = HistogramMetricFamily(
        "edgepose_stage_seconds",
        "Duration of each stage for a frame; no camera for shared stages",
        labels=["stage", "camera"],
    )
    add(stages, ["infer", ""], state.inference_times)
    add(stages, ["publish", ""], state.broker.publisher.publishing)
    latency = HistogramMetricFamily(
        "edgepose_latency_seconds",
        "From capture to the broker's socket",
        labels=["camera"],
    )
    for control in state.running_cameras():
        id_, camera = control.camera.id, control.camera
        for stage, durations in list(camera.health.stages.items()):
            add(stages, [stage, id_], durations)
        found = state.broker.publisher.latency.get(state.broker.topics.camera(id_).poses)
        if found is not None:
            add(latency, [id_], found)
    yield stages
    yield latency


def _broker_metrics(state: DaemonState) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    publisher = state.broker.publisher
    what = "1 while there is a session with the broker"
    yield GaugeMetricFamily("edgepose_broker_connected", what, float(publisher.connected))
    what = "Reconnects to the broker"
    yield CounterMetricFamily("edgepose_broker_reconnects", what, max(0, publisher.sessions - 1))
    what = "Events that the broker has not acknowledged"
    yield GaugeMetricFamily("edgepose_events_waiting", what, publisher.outbox.waiting())
    dropped = CounterMetricFamily(
        "edgepose_messages_dropped", "Messages that were discarded", labels=["kind"]
    )
    for kind, count in publisher.outbox.counts().items():
        dropped.add_metric([kind], count)
    yield dropped


def _machine_metrics() -> Iterator["Metric"]:
    from prometheus_client.core import GaugeMetricFamily

    temperature_c, throttling = hardware.temperature_c(), hardware.THROTTLING.latest()
    if temperature_c is not None:
        what = "Processor temperature"
        yield GaugeMetricFamily("edgepose_temperature_celsius", what, temperature_c)
    if throttling is not None:
        what = "1 while a Raspberry Pi is throttled by heat or a weak supply"
        yield GaugeMetricFamily("edgepose_throttled", what, float(throttling.is_slow))
        what = "Throttling flags of the firmware: now, or since_boot at any time"
        flags = GaugeMetricFamily("edgepose_throttling", what, labels=["flag", "when"])
        for when, flags_set in (("now", throttling.now), ("since_boot", throttling.since_boot)):
            for flag, is_set in flags_set.items():
                flags.add_metric([flag, when], float(is_set))
        yield flags
