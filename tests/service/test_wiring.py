"""Wiring: from the configuration to the objects."""

from pathlib import Path

import numpy as np
import pytest

from edgepose.camera.build import limits, view
from edgepose.config.schema import Camera, CameraZone, Config, Device, Events, Mqtt, PoseSettings
from edgepose.mqtt.options import BrokerOptions
from edgepose.mqtt.requests import Settings
from edgepose.people.build import detectors, follower, tracker_options
from edgepose.service import wiring
from edgepose.timing import Clock
from edgepose.types import Frame, Size

SOFA = CameraZone(id="sofa", polygon=((0.1, 0.5), (0.6, 0.5), (0.6, 1.0)), kind="rest")
HALL = Camera(id="hall", source="demo://", rotate=90, mirror=True, zones=(SOFA,))
CONFIG = Config(device=Device(id="pi"), cameras=(HALL,))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    return tmp_path


def test_the_network_is_asked_for_weaker_people_than_may_begin() -> None:
    """The decoder's minimum score is below the score that starts a track."""
    pose = PoseSettings(max_people=3, min_pose_score=0.5)

    asked, begins = limits(pose), tracker_options(pose)

    assert asked.max_people == 3
    assert asked.min_pose_score < begins.birth_score == 0.5


@pytest.mark.parametrize(("least", "sure"), [(0.15, 0.25), (0.25, 0.35), (0.35, 0.35), (0.6, 0.6)])
def test_an_id_takes_more_than_the_minimum_score(least: float, sure: float) -> None:
    """Furniture stays just above the minimum; a high minimum is enough by itself."""
    options = tracker_options(PoseSettings(min_pose_score=least))

    assert options.birth_score == least
    assert options.sure_score == pytest.approx(sure)


def test_a_camera_has_its_own_zones_and_view() -> None:
    """Zones, smoothing and rotation are those of the camera's table."""
    people, shown = follower(CONFIG, HALL), view(HALL)

    assert [zone.id for zone in people.zones] == ["sofa"]
    assert people.smoother is not None
    assert shown.apply(Frame(np.zeros((20, 30, 3), np.uint8), 1, 1, 1)).size == Size(20, 30)


def test_only_what_is_asked_for_watches() -> None:
    """Disabled detectors and smoothing are not constructed."""
    all_of_them = detectors(CONFIG, HALL)
    fewer = detectors(Config(events=Events(fall=False, gestures=())), HALL)

    left_out = {type(each).__name__ for each in all_of_them} - {
        type(each).__name__ for each in fewer
    }
    assert len(left_out) == 2
    assert any("Fall" in name for name in left_out)
    assert follower(
        Config(pose=PoseSettings(smoothing="off")), HALL
    ).smoother is None  # fmt: skip


def test_what_is_remembered_stands_in_the_state_directory(state: Path) -> None:
    """Settings from MQTT are stored in the state directory."""
    wiring.overrides(CONFIG).store("hall", Settings(paused=True))

    assert wiring.overrides(CONFIG).is_paused("hall")
    assert list(state.rglob("settings.json"))


def test_with_a_broker_of_our_own_nothing_is_remembered(state: Path) -> None:
    """With an embedded broker nothing is stored on disk, so a demo leaves no files."""
    config = Config(device=Device(id="pi"), mqtt=Mqtt(url="embedded"), cameras=(HALL,))

    wiring.overrides(config).store("hall", Settings(paused=True))
    wiring.spool(config, Clock()).close()

    assert not wiring.overrides(config).is_paused("hall")
    assert not list(state.iterdir())


def test_the_broker_is_reached_as_configured() -> None:
    """Host, port and user are those of the configuration; client ids differ per device."""
    config = Config(device=Device(id="pi"), mqtt=Mqtt(url="mqtt://house:2883", username="ann"))

    options = BrokerOptions.from_config(config)
    other = BrokerOptions.from_config(Config(device=Device(id="pi-2"), mqtt=config.mqtt))

    assert (options.host, options.port, options.username) == ("house", 2883, "ann")
    assert options.client_id != other.client_id
