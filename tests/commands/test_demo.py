"""The demo: its configuration, output, and saved changes."""

import subprocess
import sys
from pathlib import Path

import pytest

from edgepose.commands import demo, watch
from edgepose.config.loading import loads
from edgepose.mqtt.messages import EventMessage
from edgepose.urls import Address
from tests.service.test_daemon import Running
from tests.support.brokers import Mosquitto, needs_mosquitto, witness

BROKER, PAGE = Address("127.0.0.1", 1883), Address("127.0.0.1", 8600)


def test_it_shows_the_clips_picture_two_zones_and_a_fall() -> None:
    """The demo shows the clip's picture, two zones and a second clip with a fall."""
    config = loads(demo.configuration("demo://", BROKER, PAGE), "demo.toml")

    assert config.web.picture
    assert [camera.source for camera in config.cameras] == ["demo://", "demo://fall"]
    assert [zone.id for zone in config.cameras[0].zones] == ["sofa", "door"]


def test_an_own_source_is_shown_as_skeletons() -> None:
    """With another source only skeletons are shown, and one camera is configured."""
    config = loads(demo.configuration("/dev/video0", BROKER, PAGE), "demo.toml")

    assert not config.web.picture
    assert [(camera.id, camera.source) for camera in config.cameras] == [("camera", "/dev/video0")]
    assert config.cameras[0].zones == ()


def test_the_client_is_imported_before_the_daemon_starts() -> None:
    """Ctrl-C during an import can end Python with a signal although it was handled."""
    code = "import sys, edgepose.commands.demo; sys.exit('edgepose.mqtt.client' not in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_was_saved_is_kept_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A saved configuration is copied into the working directory, under a free name."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "demo.toml"
    file.write_text("# drawn")

    first, second = demo.keep_saved(file), demo.keep_saved(file)

    assert "edgepose run -c edgepose-demo.toml" in first
    assert "edgepose-demo-1.toml" in second
    assert (tmp_path / "edgepose-demo.toml").read_text() == "# drawn"


def test_an_event_fits_a_terminal_of_80_columns() -> None:
    """The demo's longest event fits into 80 columns."""
    event = EventMessage(
        id="1",
        device="pi",
        type="posture_changed",
        camera="camera",
        person=12,
        at="2026-11-22T20:05:01.123Z",
        score=0.9,
        data={"posture": "standing", "before": "unknown"},
    )

    row = watch.brief(event)

    assert row == "20:05:01 camera: posture changed #12 standing unknown"
    assert len(row) < 80


@needs_mosquitto
@pytest.mark.slow
def test_the_fall_of_the_demo_is_confirmed(tmp_path: Path) -> None:
    """The daemon reports a suspected, a confirmed and a recovered fall at the clip's own rate."""
    camera = '[[camera]]\nid = "fall"\nsource = "demo://fall"\n[web]\nlisten = ""\n'
    with Mosquitto(tmp_path) as broker, witness(broker.port, "edgepose/+/+/event") as seen:
        running = Running(tmp_path, broker.url, camera + '[metrics]\nlisten = ""\n')
        try:
            for type_ in (b"fall_suspected", b"fall_confirmed", b"fall_recovered"):
                seen.until(lambda m, type_=type_: type_ in m.payload, timeout_s=90)  # type: ignore[misc]
        finally:
            running.process.terminate()
            running.process.wait(10)
