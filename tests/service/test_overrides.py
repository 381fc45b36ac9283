"""Settings changed by `C/set`, which override the file."""

from pathlib import Path

import msgspec
import pytest

from edgepose.config.schema import Camera, Config
from edgepose.mqtt.requests import Settings
from edgepose.service.overrides import Overrides, StoredSettings
from edgepose.system.storage import StateFile

HALL, SHED = Camera(id="hall", source="demo://", fps=10), Camera(id="shed", source="demo://", fps=4)
CONFIG = Config(cameras=(HALL, SHED))


def overrides(folder: Path | None = None) -> Overrides:
    return Overrides(StateFile(folder and folder / "settings.json", StoredSettings))


def read(text: bytes) -> Settings:
    """Decode settings as received over MQTT."""
    return msgspec.json.decode(text, type=Settings)


def test_what_is_not_given_stays_as_it_was() -> None:
    """Settings of two commands are combined."""
    held = overrides()

    held.store("hall", read(b'{"fps": 2}'))
    held.store("hall", read(b'{"min_pose_score": 0.5, "fall": false}'))
    config, camera = held.apply_to(CONFIG, HALL)

    assert (camera.fps, config.pose.min_pose_score, config.events.fall) == (2, 0.5, False)
    assert config.pose.max_people == CONFIG.pose.max_people


def test_null_goes_back_to_the_file() -> None:
    """`null` restores one setting of the file; the others stay."""
    held = overrides()
    held.store("hall", read(b'{"fps": 2, "min_pose_score": 0.5}'))

    held.store("hall", read(b'{"fps": null}'))
    config, camera = held.apply_to(CONFIG, HALL)

    assert (camera.fps, config.pose.min_pose_score) == (HALL.fps, 0.5)


def test_cameras_have_settings_of_their_own() -> None:
    """Settings of one camera do not affect another."""
    held = overrides()

    held.store("hall", read(b'{"paused": true, "fps": 2}'))

    assert (held.is_paused("hall"), held.is_paused("shed")) == (True, False)
    assert held.apply_to(CONFIG, SHED) == (CONFIG, SHED)


def test_a_pause_outlives_a_restart(tmp_path: Path) -> None:
    """A pause persists across restarts; the current settings include the overrides."""
    overrides(tmp_path).store("hall", read(b'{"paused": true, "min_keypoint_score": 0.6}'))

    again = overrides(tmp_path)

    assert again.is_paused("hall")
    assert again.current_settings(CONFIG, HALL).min_keypoint_score == 0.6


def test_the_rate_is_that_of_all_cameras_that_are_looked_at() -> None:
    """The total rate is the sum over cameras that are not paused, with their overrides."""
    held = overrides()
    before = held.total_fps(CONFIG)

    held.store("hall", read(b'{"fps": 2}'))
    slower = held.total_fps(CONFIG)
    held.store("hall", read(b'{"paused": true}'))
    paused = held.total_fps(CONFIG)
    held.store("shed", read(b'{"paused": true}'))

    assert (before, slower, paused, held.total_fps(CONFIG)) == (14, 6, 4, 0)


@pytest.mark.parametrize(
    "text", [b'{"fps": 0}', b'{"fps": 1e9}', b'{"fall": 1}', b'{"pause": true}', b"[]"]
)
def test_what_cannot_be_meant_is_refused(text: bytes) -> None:
    """Values out of range, of a wrong type or unknown raise ValidationError."""
    with pytest.raises(msgspec.ValidationError):
        read(text)
