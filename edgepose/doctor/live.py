"""The checks of `edgepose doctor` inside a running daemon.

Model, delegate and cameras are in use by the daemon: they are reported from its state instead of
being opened again. All other checks are those of the command.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from edgepose.camera.health import CameraHealth
from edgepose.config.loading import Origin
from edgepose.config.schema import Config
from edgepose.doctor import broker as doctor_broker
from edgepose.doctor import checks, machine
from edgepose.doctor import model as doctor_model
from edgepose.errors import EdgeposeError
from edgepose.mqtt.messages import Finding, Report
from edgepose.pose import delegates
from edgepose.pose.selection import Plan
from edgepose.system import hardware


@dataclass(frozen=True, slots=True, eq=False)
class RunningDaemon:
    """State of a running daemon that the report uses."""

    config: Config
    origin: Origin | None
    read_config: Callable[[], Config]
    """Reads the configuration file again; raises `EdgeposeError` if it is invalid."""

    model: str
    plan: Plan
    infer_ms: tuple[float, float] | None
    """Median and 99th percentile of the inference time; None before the first inference."""

    cameras: Mapping[str, CameraHealth]
    paused: Collection[str]
    refused_topics: Mapping[str, str]
    """Reasons of topics that the broker has refused, by topic."""

    has_duplicate: bool
    """Whether another device with the same id has sent statistics within the last minute."""


def report(daemon: RunningDaemon) -> Report:
    """Run all checks, as `edgepose doctor --json` does; takes seconds."""
    return Report.from_findings(list(checks.readable(_live_findings(daemon))))


def _live_findings(daemon: RunningDaemon) -> Iterator[Finding]:
    yield file(daemon)
    yield doctor_model.runtime(tried=True)
    if daemon.origin is not None and daemon.origin.path.exists():
        yield checks.secrets(daemon.origin.path)
    yield checks.state(daemon.config)
    yield model(daemon)
    yield delegate(daemon)
    for id_, health in daemon.cameras.items():
        yield source(id_, health, paused=id_ in daemon.paused)
    yield broker(daemon)
    if daemon.has_duplicate:
        yield doctor_broker.duplicate(daemon.config.device.id)
    yield checks.live_page(daemon.config, runs=True)
    yield checks.numbers(daemon.config, runs=True)
    yield machine.clock()
    throttling = hardware.read_throttling()
    yield machine.power(throttling)
    yield machine.heat(throttling)


def file(daemon: RunningDaemon) -> Finding:
    """Check whether the file is valid and the daemon uses its current content."""
    try:
        found = daemon.read_config()
    except EdgeposeError as error:
        remedy = "change it, then reload; until then the old one stays in use"
        return Finding("configuration", "fail", str(error), remedy)
    if found != daemon.config:
        remedy = "reload it: systemctl reload edgepose"
        return Finding("configuration", "warn", "the file has changed since it was loaded", remedy)
    return Finding("configuration", "ok", "valid and in use")


def model(daemon: RunningDaemon) -> Finding:
    """Report the model and its inference time."""
    name, took_ms = daemon.model, daemon.infer_ms
    if took_ms is None:
        return Finding("model", "ok", f"{name}: has not processed a frame yet")
    return Finding("model", "ok", f"{name}: {took_ms[0]:.1f} ms for a frame")


def delegate(daemon: RunningDaemon) -> Finding:
    """Report the delegate, and whether it is the configured one."""
    plan, asked = daemon.plan, daemon.config.model.delegate
    found = f"{plan.delegate.name}: {plan.reason}"
    wanted = delegates.named(asked).plugin
    if asked == "auto" or wanted is None or plan.delegate.plugin is not None:
        return Finding("delegate", "ok", found)
    remedy = "it is retried automatically; for details stop the daemon and run `edgepose doctor`"
    return Finding("delegate", "fail", found, remedy)


def source(id_: str, health: CameraHealth, *, paused: bool) -> Finding:
    """Check whether a camera delivers frames."""
    check = f"camera {id_}"
    if health.state == "offline":
        remedy = (
            "check the address, cable and permissions (group video); it is retried automatically"
        )
        return Finding(check, "fail", health.error or "offline", remedy)
    if paused:
        return Finding(check, "ok", "paused")
    return Finding(check, "ok", f"{health.state}, {health.processed} frames processed")


def broker(daemon: RunningDaemon) -> Finding:
    """Check the login again, and report the topics that the broker refused."""
    finding = doctor_broker.broker(daemon.config)
    refused = daemon.refused_topics
    if finding.verdict != "ok" or not refused:
        return finding
    named = ", ".join(f"{topic} ({reason})" for topic, reason in sorted(refused.items()))
    return Finding("broker", "fail", f"it refuses {named}", "correct the broker's settings")
