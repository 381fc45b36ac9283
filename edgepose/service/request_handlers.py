"""Handlers of the requests in `mqtt.requests.REQUESTS`."""

from collections.abc import Callable, Mapping

from edgepose.errors import EdgeposeError
from edgepose.mqtt.messages import (
    ClipsSent,
    LinesReset,
    LogLevelSet,
    Pictures,
    Pong,
    Reloading,
    Report,
    Restarting,
)
from edgepose.mqtt.requests import (
    CommandError,
    LogLevelRequest,
    RequestHandler,
    ResetLinesRequest,
    SnapshotRequest,
)
from edgepose.service.camera_control import CameraControl
from edgepose.service.state import DaemonState
from edgepose.service.status import publish_status, status_message
from edgepose.timing import rfc3339


def request_handlers(state: DaemonState) -> Mapping[str, RequestHandler]:
    """Return the handlers by request type."""
    return {
        "ping": lambda _: Pong(rfc3339(state.clock.unix_ns())),
        "info": lambda _: status_message(_require_loaded(state)),
        "snapshot": lambda request: Pictures(_for_cameras(state, request, _request_picture)),
        "clip": lambda request: ClipsSent(_for_cameras(state, request, _request_clip)),
        "reset_lines": lambda request: _reset_lines(state, request),
        "reload": lambda _: _request_reload(state),
        "restart": lambda _: _restart(state),
        "log_level": lambda request: _set_log_level(state, request),
        "doctor": lambda _: report(_require_loaded(state)),
    }


def report(state: DaemonState) -> Report:
    """Run the doctor's checks on the running daemon; takes seconds."""
    from edgepose.doctor import live  # loaded on request only

    cameras = state.running_cameras()
    overrides = state.broker.overrides
    return live.report(
        live.RunningDaemon(
            config=state.config,
            origin=state.origin,
            read_config=state.read_config,
            model=state.estimator.name,
            plan=state.estimator.plan,
            infer_ms=state.inference_times.percentiles_ms(),
            cameras={control.camera.id: control.camera.health for control in cameras},
            paused={id_ for id_ in state.camera_ids if overrides.is_paused(id_)},
            refused_topics=state.broker.publisher.refused,
            has_duplicate=state.broker.duplicate_device.is_present,
        )
    )


def _require_loaded(state: DaemonState) -> DaemonState:
    if state.loaded_estimator is None:
        raise CommandError("the model is being loaded; ask again in a minute")
    return state


def _for_cameras(
    state: DaemonState, request: SnapshotRequest, send: Callable[[DaemonState, str], str]
) -> dict[str, str]:
    """Send a picture of each camera; return topics by camera.

    Raises
    ------
    CommandError
        When the requested camera, or every camera, has no picture.
    """
    asked = [request.camera] if request.camera is not None else list(state.cameras)
    taken = {}
    for id_ in asked:
        try:
            taken[id_] = send(state, id_)
        except CommandError:
            if request.camera is not None:
                raise
    if not taken:
        raise CommandError("no camera has delivered a frame")
    return taken


def _known_camera(state: DaemonState, id_: str) -> CameraControl:
    control = state.cameras.get(id_)
    if control is None:
        known = ", ".join(state.cameras) or "none"
        raise CommandError(f'camera "{id_[:64]}" is not known; known: {known}', "unknown")
    return control


def _watching_camera(state: DaemonState, id_: str) -> CameraControl:
    control = _known_camera(state, id_)
    if state.broker.overrides.is_paused(id_):
        raise CommandError(f'camera "{id_}" is paused')
    if control.camera.health.state == "offline":
        raise CommandError(f'camera "{id_}" is offline')
    return control


def _request_clip(state: DaemonState, id_: str) -> str:
    messages = _watching_camera(state, id_).clips.take()
    if not messages:
        raise CommandError(f'camera "{id_}" has not delivered a frame yet')
    for message in messages:
        state.broker.publisher.put(message)
    return messages[0].topic


def _request_picture(state: DaemonState, id_: str) -> str:
    message = _watching_camera(state, id_).snapshots.take()
    if message is None:
        raise CommandError(f'camera "{id_}" has not delivered a frame yet')
    state.broker.publisher.put(message)
    return message.topic


def _reset_lines(state: DaemonState, request: ResetLinesRequest) -> LinesReset:
    """Reset line counts and publish the states of their cameras."""
    if request.camera is not None:
        _known_camera(state, request.camera)
    cameras = [c for c in state.config.cameras if request.camera in {None, c.id}]
    lines = {line.id for camera in cameras for line in camera.lines}
    if request.line is not None and request.line not in lines:
        known = ", ".join(sorted(lines)) or "none"
        raise CommandError(f'line "{request.line[:64]}" is not known; known: {known}', "unknown")
    counts = {c.id: dict(state.broker.line_counts.reset(c, request.line)) for c in cameras}
    for camera in cameras:
        if control := state.cameras.get(camera.id):
            state.broker.publisher.put(control.state_message())
    return LinesReset(counts)


def _request_reload(state: DaemonState) -> Reloading:
    """Request a reload; refuse an invalid file at once. Later errors are logged."""
    try:
        state.read_config()
    except EdgeposeError as error:
        raise CommandError(f"nothing changed: {error}") from None
    state.request_reload()
    return Reloading(reloading=True)


def _restart(state: DaemonState) -> Restarting:
    """Request a restart; refuse it while the file is invalid, because the start would fail."""
    try:
        state.read_config()
    except EdgeposeError as error:
        raise CommandError(f"not restarted: {error}") from None
    if state.stopping.is_set():
        raise CommandError("not restarted: the daemon is stopping")
    state.request_restart()
    return Restarting(restarting=True)


def _set_log_level(state: DaemonState, request: LogLevelRequest) -> LogLevelSet:
    """Set the level at once and for later starts, and publish it with the status."""
    levels = state.broker.log_level
    levels.store(request.level)
    levels.apply(state.config)
    if state.loaded_estimator is not None:
        publish_status(state)
    return LogLevelSet(levels.current(state.config))
