"""Status and statistics for MQTT, and the status line for systemd."""

from edgepose._version import __version__
from edgepose.camera.pipeline import STAGES
from edgepose.camera.worker import CameraWorker
from edgepose.mqtt import encoding
from edgepose.mqtt.messages import (
    CameraStats,
    CameraStatus,
    DelegateStatus,
    Percentiles,
    StatsMessage,
    StatusMessage,
)
from edgepose.pose import interpreter
from edgepose.service.state import DaemonState
from edgepose.system import hardware, process
from edgepose.timing import NS_PER_S, Durations, rfc3339


def publish_status(state: DaemonState) -> None:
    """Publish the retained status message. Thread-safe."""
    broker = state.broker
    broker.publisher.put_latest(lambda: encoding.status(broker.topics, status_message(state)))


def status_message(state: DaemonState) -> StatusMessage:
    """Return the status of model, delegate and cameras. The model must be loaded."""
    config, topics, plan = state.config, state.broker.topics, state.estimator.plan
    packed = config.mqtt.encoding == "msgpack"
    return StatusMessage(
        device=config.device.id,
        name=config.device.title,
        version=__version__,
        started_at=rfc3339(state.started_unix_ns),
        model=state.estimator.name,
        model_reason=plan.model_reason,
        arrangement=f"{state.estimator.interpreters} x {state.estimator.engine.threads}",
        arrangement_reason=plan.arrangement_reason,
        policy=state.estimator.policy.name,
        runtime=interpreter.runtime(),
        delegate=DelegateStatus(name=plan.delegate.name, reason=plan.reason),
        log_level=state.broker.log_level.current(config),
        cameras={
            control.camera.id: CameraStatus(
                state=control.camera.health.state,
                error=control.camera.health.error or None,
                topics=topics.camera(control.camera.id).listed(packed=packed),
            )
            for control in state.running_cameras()
        },
        topics=topics.listed(),
    )


class StatsPublisher:
    """Publishes statistics of the interval since the previous message."""

    def __init__(self, state: DaemonState) -> None:
        self._state = state
        self._processor = process.Processor()

    def publish(self) -> StatsMessage:
        """Publish statistics and return them. Not thread-safe."""
        state, now_ns = self._state, self._state.clock.now_ns()
        throttling = hardware.THROTTLING.latest()
        stats = StatsMessage(
            device=state.config.device.id,
            at=rfc3339(state.clock.unix_ns(now_ns)),
            uptime_s=(now_ns - state.started_ns) / NS_PER_S,
            cameras={
                control.camera.id: _camera_stats(state, control.camera, now_ns)
                for control in state.running_cameras()
            },
            stages_ms=stages_ms(state),
            messages_dropped=state.broker.publisher.outbox.counts(),
            cpu_percent=self._processor.percent(),
            memory_mb=process.memory_mb(),
            temperature_c=hardware.temperature_c(),
            throttled=throttling.is_slow if throttling else None,
            throttling=throttling,
        )
        state.broker.publisher.put(encoding.stats(state.broker.topics, stats))
        return stats


def _camera_stats(state: DaemonState, camera: CameraWorker, now_ns: int) -> CameraStats:
    publisher, topics = state.broker.publisher, state.broker.topics
    latency = publisher.latency.get(topics.camera(camera.id).poses)
    return CameraStats(
        fps=camera.health.rate_hz(now_ns),
        frames=camera.health.processed,
        dropped=camera.health.dropped["overtaken"],
        left_out={str(reason): n for reason, n in camera.health.dropped.items()},
        latency_ms=None if latency is None else _percentiles_of(latency),
    )


def stages_ms(state: DaemonState) -> dict[str, Percentiles]:
    """Return the percentiles of each stage in milliseconds, in the order of the pipeline."""
    measured = {"infer": state.inference_times, "publish": state.broker.publisher.publishing}
    for control in state.running_cameras():
        for stage, durations in control.camera.health.stages.items():
            measured.setdefault(stage, durations)
    ordered = sorted(measured, key=STAGES.index)
    found = {stage: _percentiles_of(measured[stage]) for stage in ordered}
    return {stage: percentiles for stage, percentiles in found.items() if percentiles is not None}


def sentence(state: DaemonState, fps: float | None = None) -> str:
    """Return one line with frame rate, model, delegate and problems."""
    parts = [] if fps is None else [f"{fps:.1f} frames a second"]
    parts.append(f"{state.estimator.name} on {state.estimator.plan.delegate.name}")
    if not state.broker.publisher.connected:
        parts.append(f"no broker: {state.broker.publisher.trouble}")
    offline = [
        control.camera.id
        for control in state.running_cameras()
        if control.camera.health.state == "offline"
    ]
    if offline:
        parts.append(f"offline: {', '.join(offline)}")
    return "; ".join(parts)


def _percentiles_of(durations: Durations) -> Percentiles | None:
    found = durations.percentiles_ms()
    return None if found is None else Percentiles(p50=found[0], p99=found[1])
