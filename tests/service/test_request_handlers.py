"""The handlers of the daemon's requests."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from edgepose.config.loading import loads
from edgepose.config.schema import Config
from edgepose.errors import ConfigError
from edgepose.mqtt.requests import (
    REQUESTS,
    CommandError,
    LogLevelRequest,
    Request,
    ResetLinesRequest,
    SnapshotRequest,
)
from edgepose.service.line_counts import LineCounts, NotedCounts
from edgepose.service.request_handlers import request_handlers
from edgepose.service.state import DaemonState
from edgepose.system.storage import StateFile
from edgepose.timing import Clock
from edgepose.types import Event, Message

CLIP = ("clip", "clip/poses")


class Camera:
    """The parts of a camera that requests use."""

    def __init__(self, id_: str, state: str = "online", *, shows: bool = True) -> None:
        self.camera = SimpleNamespace(health=SimpleNamespace(state=state))
        topic = f"edgepose/pi/{id_}/snapshot"
        picture = Message(topic, b"jpeg", "snapshot") if shows else None
        self.snapshots = SimpleNamespace(take=lambda: picture)
        clip = [Message(f"edgepose/pi/{id_}/{leaf}", b"", "snapshot") for leaf in CLIP]
        self.clips = SimpleNamespace(take=lambda: clip if shows else [])
        self.state_message = lambda: Message(f"edgepose/pi/{id_}/state", b"{}", "state")


class House:
    """The parts of the daemon's state that requests use."""

    def __init__(self, paused: str = "", **cameras: Camera) -> None:
        self.clock = Clock()
        self.config = Config()
        self.cameras = cameras
        self.sent: list[Message] = []
        overrides = SimpleNamespace(is_paused=lambda id_: id_ == paused)
        link = SimpleNamespace(put=self.sent.append)
        self.levels: list[object] = []
        levels = SimpleNamespace(
            store=self.levels.append,
            apply=self.levels.append,
            current=lambda _: self.levels[0] or "info",
        )
        self.broker = SimpleNamespace(overrides=overrides, publisher=link, log_level=levels)
        self.loaded_estimator = None
        self.reloads = self.restarts = 0
        self.stopping = threading.Event()
        self.read_config: Callable[[], None] = lambda: None

    def request_reload(self) -> None:
        self.reloads += 1

    def request_restart(self) -> None:
        self.restarts += 1

    def ask(self, name: str, request: Request | None = None) -> Any:
        handlers = request_handlers(cast(DaemonState, self))
        return msgspec.to_builtins(handlers[name](request or Request()))


def test_every_request_has_a_handler() -> None:
    """The handlers are exactly the requests in the AsyncAPI document."""
    assert request_handlers(cast(DaemonState, House())).keys() == REQUESTS.keys()


@pytest.mark.parametrize("verb", ["info", "doctor"])
def test_what_tells_of_the_model_waits_for_it(verb: str) -> None:
    """Before the model is loaded these requests are refused with that reason."""
    with pytest.raises(CommandError, match="being loaded"):
        House().ask(verb)


def test_a_snapshot_of_one_camera_or_of_all() -> None:
    """Snapshots are sent on the cameras' topics, which the response lists."""
    house = House(hall=Camera("hall"), shed=Camera("shed"))

    one = house.ask("snapshot", SnapshotRequest(camera="shed"))
    both = house.ask("snapshot", SnapshotRequest())

    assert one == {"topics": {"shed": "edgepose/pi/shed/snapshot"}}
    assert set(both["topics"]) == {"hall", "shed"}
    assert [message.topic.split("/")[2] for message in house.sent] == ["shed", "hall", "shed"]


def test_a_clip_is_sent_with_its_poses() -> None:
    """The clip and its poses are sent; the response has the clip's topic."""
    house = House(hall=Camera("hall"), shed=Camera("shed", shows=False))

    answer = house.ask("clip", SnapshotRequest())

    assert answer == {"topics": {"hall": "edgepose/pi/hall/clip"}}
    assert [message.topic for message in house.sent] == [
        "edgepose/pi/hall/clip",
        "edgepose/pi/hall/clip/poses",
    ]


@pytest.mark.parametrize("verb", ["snapshot", "clip"])
@pytest.mark.parametrize(
    ("camera", "why"),
    [
        ("attic", '"attic" is not known; known: hall, gate, yard, shed'),
        ("gate", "is offline"),
        ("yard", "has not delivered a frame yet"),
        ("shed", "is paused"),
    ],
)
def test_a_camera_that_cannot_show_anything_says_why(camera: str, why: str, verb: str) -> None:
    """A camera requested by name is refused with the reason; among all it is skipped."""
    house = House(
        hall=Camera("hall"),
        gate=Camera("gate", "offline"),
        yard=Camera("yard", shows=False),
        shed=Camera("shed"),
        paused="shed",
    )

    with pytest.raises(CommandError, match=why):
        house.ask(verb, SnapshotRequest(camera=camera))

    assert set(house.ask(verb, SnapshotRequest())["topics"]) == {"hall"}


def test_no_camera_at_all_is_refused() -> None:
    """If no camera has a picture, the request is refused."""
    with pytest.raises(CommandError, match="no camera has delivered"):
        House(gate=Camera("gate", "offline")).ask("snapshot", SnapshotRequest())


def test_a_reload_of_a_bad_file_is_refused_before_anything_changes() -> None:
    """The error is that of `config check`; a valid file starts the reload."""
    house = House()
    good = house.ask("reload")

    def read_config() -> None:
        raise ConfigError("edgepose.toml:3: nonsense")

    house.read_config = read_config
    with pytest.raises(CommandError, match=r"nothing changed: edgepose\.toml:3: nonsense"):
        house.ask("reload")

    assert good == {"reloading": True}
    assert house.reloads == 1


class TestResetLines:
    """Resets the counts of one camera and line, or of all."""

    CONFIG = loads(
        """
[[camera]]
id = "hall"
source = "demo://"
[[camera.line]]
id = "door"
points = [[0, 0], [1, 1]]
[[camera]]
id = "yard"
source = "demo://"
[[camera.line]]
id = "gate"
points = [[0, 0], [1, 1]]
""",
        "test",
    )

    def house(self) -> House:
        house = House(hall=Camera("hall"), yard=Camera("yard"))
        house.config = self.CONFIG
        house.broker.line_counts = LineCounts(StateFile(None, NotedCounts), Clock())
        for camera, line in (("hall", "door"), ("yard", "gate")):
            table = next(each for each in self.CONFIG.cameras if each.id == camera)
            data = {"line": line, "from": "left", "to": "right"}
            house.broker.line_counts.count(table, [Event("line_crossed", 0, 1, 0.5, data)])
        return house

    def test_it_resets_what_was_asked_for_and_publishes_it(self) -> None:
        """The counts of the other camera are unchanged."""
        house = self.house()

        answer = house.ask("reset_lines", ResetLinesRequest(camera="hall"))

        assert answer == {"lines": {"hall": {"door": {"left": 0, "right": 0}}}}
        assert [message.topic for message in house.sent] == ["edgepose/pi/hall/state"]
        kept = house.broker.line_counts.count(self.CONFIG.cameras[1], ())
        assert kept == {"gate": {"left": 0, "right": 1}}

    @pytest.mark.parametrize(
        ("request_", "why"),
        [
            (ResetLinesRequest(camera="attic"), '"attic" is not known; known: hall, yard'),
            (ResetLinesRequest(line="roof"), '"roof" is not known; known: door, gate'),
            (ResetLinesRequest(camera="hall", line="gate"), '"gate" is not known; known: door'),
        ],
    )
    def test_what_is_not_there_is_refused(self, request_: ResetLinesRequest, why: str) -> None:
        """An unknown camera or line is refused with the known names."""
        with pytest.raises(CommandError, match=why):
            self.house().ask("reset_lines", request_)


def test_a_restart_is_answered_and_requested() -> None:
    """The request is answered, and the restart is requested."""
    house = House()

    assert house.ask("restart") == {"restarting": True}
    assert house.restarts == 1


def test_a_restart_that_would_fail_is_refused() -> None:
    """With an invalid file the restart is refused, as the daemon could not start again."""
    house = House()

    def refuse() -> None:
        raise ConfigError("edgepose.toml:3: no")

    house.read_config = refuse

    with pytest.raises(CommandError, match=r"not restarted: edgepose\.toml:3: no"):
        house.ask("restart")
    assert house.restarts == 0


def test_a_restart_while_the_daemon_stops_is_refused() -> None:
    """A stop is not turned into a restart."""
    house = House()
    house.stopping.set()

    with pytest.raises(CommandError, match="is stopping"):
        house.ask("restart")
    assert house.restarts == 0


def test_a_log_level_is_stored_and_applied() -> None:
    """The level is stored, then applied; the answer has the current level."""
    house = House()

    answer = house.ask("log_level", LogLevelRequest(level="debug"))

    assert answer == {"level": "debug"}
    assert house.levels == ["debug", house.config]
