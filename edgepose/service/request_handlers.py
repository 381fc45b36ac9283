"""What can be asked of a running daemon over MQTT."""

from typing import TYPE_CHECKING

from edgepose.errors import EdgeposeError
from edgepose.mqtt.messages import Pictures, Pong, Reloading, Report, StatusMessage
from edgepose.mqtt.requests import Refusal, Request, SnapshotRequest, Verb
from edgepose.timing import rfc3339

if TYPE_CHECKING:
    from edgepose.service.daemon import Daemon


def verbs(daemon: "Daemon") -> dict[str, Verb]:
    """Return every request that this daemon answers."""
    return {
        "ping": Verb(Request, Pong, lambda _: Pong(rfc3339(daemon.clock.unix_ns()))),
        "info": Verb(Request, StatusMessage, lambda _: _loaded(daemon).status()),
        "snapshot": Verb(SnapshotRequest, Pictures, lambda request: _snapshot(daemon, request)),
        "reload": Verb(Request, Reloading, lambda _: _reload(daemon)),
        "doctor": Verb(Request, Report, lambda _: report(_loaded(daemon)), slow=True),
    }


def report(daemon: "Daemon") -> Report:
    """Look at everything; takes seconds."""
    from edgepose.doctor import live  # nobody else needs it

    return live.report(daemon)


def _loaded(daemon: "Daemon") -> "Daemon":
    if not daemon.loaded:
        raise Refusal("the model is being loaded; ask again in a minute")
    return daemon


def _snapshot(daemon: "Daemon", request: SnapshotRequest) -> Pictures:
    """Send pictures; a camera that has none to show is an error only when it was named."""
    asked = [request.camera] if request.camera is not None else list(daemon.cameras)
    taken = {}
    for id_ in asked:
        try:
            taken[id_] = _picture(daemon, id_)
        except Refusal:
            if request.camera is not None:
                raise
    if not taken:
        raise Refusal("no camera has a picture to show")
    return Pictures(taken)


def _picture(daemon: "Daemon", id_: str) -> str:
    control = daemon.controls.get(id_)
    if control is None:
        known = ", ".join(daemon.controls) or "none"
        raise Refusal(f'camera "{id_[:64]}" is not known; known: {known}', "unknown")
    if daemon.overrides.paused(id_):
        raise Refusal(f'camera "{id_}" is paused')
    if control.camera.health.state == "offline":
        raise Refusal(f'camera "{id_}" is offline')
    message = control.snapshots.take()
    if message is None:
        raise Refusal(f'camera "{id_}" has not shown anything yet')
    daemon.link.put(message)
    return message.topic


def _reload(daemon: "Daemon") -> Reloading:
    """Refuse a file that is not good at once; what only shows later stands in the log."""
    try:
        daemon.read_config()
    except EdgeposeError as error:
        raise Refusal(f"nothing changed: {error}") from None
    daemon.reload()
    return Reloading(reloading=True)
