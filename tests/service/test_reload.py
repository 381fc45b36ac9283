"""A reload builds and checks everything before it replaces anything."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepose.config.loading import Origin
from edgepose.errors import ConfigError, EdgeposeError
from edgepose.service.daemon import Daemon
from edgepose.service.reload import prepare
from tests.support.brokers import (
    Mosquitto,
    free_port,
    needs_mosquitto,
    wait_until,
    witness,
)

pytestmark = [pytest.mark.slow, needs_mosquitto]

QUIET = '[metrics]\nlisten = ""\n[web]\nlisten = ""\n[model]\nname = "movenet-lightning"\n'
CAMERA = '[[camera]]\nid = "hall"\nsource = "demo://"\n'


class Running:
    """A daemon in this process, with a configuration file that can be changed."""

    def __init__(self, file: Path, mqtt: str) -> None:
        self.file = file
        self.write(mqtt)
        origin = Origin(file=str(file))
        self.daemon = Daemon(origin.read(), origin=origin)
        self._thread = threading.Thread(target=self.daemon.run)
        self._thread.start()
        assert wait_until(lambda: self.processed > 0, 60)

    def write(self, mqtt: str) -> None:
        """Change the tables below `[mqtt]`."""
        self.file.write_text(f'[device]\nid = "pi"\n[mqtt]\n{mqtt}{QUIET}{CAMERA}')

    @property
    def processed(self) -> int:
        """Return the number of processed frames."""
        control = self.daemon.state.cameras.get("hall")
        return control.camera.health.processed if control else 0

    def goes_on(self) -> bool:
        """Return whether frames are still processed."""
        before = self.processed
        return self._thread.is_alive() and wait_until(lambda: self.processed > before + 2, 30)

    def close(self) -> None:
        """End the daemon."""
        self.daemon.stop()
        self._thread.join(10)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with Mosquitto(tmp_path) as broker:
        made = Running(tmp_path / "edgepose.toml", f'url = "{broker.url}"\n')
        yield made
        made.close()


@pytest.mark.parametrize(
    "mqtt",
    [
        'url = "mqtt://127.0.0.1:{port}"\nusername = "me"\npassword_file = "/nowhere"\n',
        'url = "mqtts://127.0.0.1:{port}"\nca_file = "/nowhere"\n',
        'url = "mqtts://127.0.0.1:{port}"\nca_file = "{file}"\n',
        'url = "mqtts://127.0.0.1:{port}"\ncert_file = "/nowhere"\nkey_file = "/nowhere"\n',
    ],
)
def test_a_file_that_is_missing_is_found_before_the_old_connection_is_closed(
    running: Running, mqtt: str
) -> None:
    """The reload is refused, and the daemon continues with the old connection."""
    state = running.daemon.state
    broker, config = state.broker, state.config
    running.write(mqtt.format(port=free_port(), file=running.file))

    running.daemon.reload()

    assert wait_until(lambda: not state.reload_requested.is_set())
    with pytest.raises(ConfigError, match=r"mqtt\."):
        prepare(state, lambda _: state.estimator)
    assert running.goes_on()
    assert state.broker is broker
    assert state.config == config
    assert broker.publisher.connected


def test_an_embedded_broker_without_its_port_leaves_the_old_broker_in_use(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """If the embedded broker cannot start, the old broker stays in use."""
    config = running.daemon.state.config
    with socket.create_server(("127.0.0.1", 0)) as taken:
        running.write(f'url = "embedded:{taken.getsockname()[1]}"\n')
        running.daemon.reload()
        assert wait_until(lambda: "reload refused" in caplog.text, 30)

    assert running.daemon.state.config == config
    assert wait_until(lambda: running.daemon.state.broker.publisher.connected, 30)
    assert running.goes_on()


def test_another_broker_is_connected_with_every_camera(running: Running, tmp_path: Path) -> None:
    """After the reload everything is published to the new broker."""
    folder = tmp_path / "other"
    folder.mkdir()
    with Mosquitto(folder) as other, witness(other.port, "edgepose/pi/#") as seen:
        running.write(f'url = "{other.url}"\n')
        running.daemon.reload()

        seen.on("edgepose/pi/availability", b"online")
        seen.on("edgepose/pi/hall/availability", b"online")
        assert running.goes_on()
        running.close()


def test_a_model_that_is_not_known_is_refused(running: Running) -> None:
    """Nothing is replaced; the error names the model."""
    state = running.daemon.state
    text = running.file.read_text().replace("movenet-lightning", "movenet-lightening")
    running.file.write_text(text)

    with pytest.raises(EdgeposeError, match="movenet-lightening"):
        prepare(state, running.daemon._load_model)
    assert running.goes_on()


def test_a_changed_password_replaces_the_connection(tmp_path: Path) -> None:
    """A changed content of the password file reconnects, although its path is the same."""
    password = tmp_path / "password"
    password.write_text("old")
    with Mosquitto(tmp_path) as broker:
        login = f'url = "{broker.url}"\nusername = "ann"\npassword_file = "{password}"\n'
        running = Running(tmp_path / "edgepose.toml", login)
        try:
            state = running.daemon.state
            same = prepare(state, lambda _: state.estimator).broker
            password.write_text("new")
            changed = prepare(state, lambda _: state.estimator).broker
        finally:
            running.close()

    assert (same, changed) == (False, True)
