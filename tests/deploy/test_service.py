"""The service under a real systemd: start, kill, hang, reload, stop, and repeated failure."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.box import FILE, SOON_S, SUITES, Box, needs_box
from tests.support.brokers import Mosquitto, needs_mosquitto, wait_until, with_passwords, witness

pytestmark = [*needs_box, needs_mosquitto]

QUIET = '[metrics]\nlisten = ""\n[web]\nlisten = ""\n'  # other programs here may use these
MODEL = '[model]\nname = "movenet-lightning"\n'
DEMO = '[[camera]]\nid = "hall"\nsource = "demo://"\n'


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="module", params=SUITES)
def box(request: pytest.FixtureRequest, broker: Mosquitto) -> Iterator[Box]:
    """Install the service in a Debian container, with short watchdog and restart times."""
    with Box(request.param) as running:
        running.put_tree("/root/edgepose")
        running.ok(f"/root/edgepose/deploy/install.sh --broker {broker.url}")
        with drop_in(running, "WatchdogSec=5\nTimeoutAbortSec=2\nRestartSec=100ms\n"):
            yield running


@contextmanager
def drop_in(box: Box, lines: str) -> Iterator[None]:
    """Change the unit's section `Service` for a while."""
    folder = box.root / "etc/systemd/system/edgepose.service.d"
    folder.mkdir(exist_ok=True)
    file = folder / f"{len(list(folder.iterdir()))}.conf"
    file.write_text(f"[Service]\n{lines}")
    box.ok("systemctl daemon-reload")
    try:
        yield
    finally:
        file.unlink()
        box.ok("systemctl daemon-reload")


class Service:
    """The service in its box."""

    def __init__(self, box: Box, url: str) -> None:
        self.box, self._url = box, url

    def configure(self, *tables: str, url: str = "") -> None:
        """Write the configuration."""
        device, broker = '[device]\nid = "test-pi"\n', f'[mqtt]\nurl = "{url or self._url}"\n'
        text = "".join([device, QUIET, broker, *tables])
        (self.box.root / FILE.lstrip("/")).write_text(text)

    def prop(self, name: str) -> str:
        """Return a property of the unit from systemd."""
        return self.box.systemctl(f"show -P {name} edgepose")

    def becomes(self, state: str, timeout_s: float = SOON_S) -> bool:
        """Wait for a state."""
        return wait_until(lambda: self.prop("ActiveState") == state, timeout_s)

    def restarted(self, times: int = 1) -> bool:
        """Wait until systemd has restarted it and it is ready."""
        return wait_until(
            lambda: int(self.prop("NRestarts")) >= times and self.prop("ActiveState") == "active",
            SOON_S,
        )

    def said(self) -> str:
        """Return the unit's journal since the last boot."""
        return self.box.ok("journalctl -b -u edgepose -o cat")


@pytest.fixture
def service(box: Box, broker: Mosquitto) -> Iterator[Service]:
    """Stop it, write a valid configuration, and reset its failures in systemd."""
    box.systemctl("stop edgepose")
    box.systemctl("reset-failed edgepose")
    found = Service(box, broker.url)
    found.configure(MODEL, DEMO)
    yield found
    box.systemctl("stop edgepose")


def test_systemd_finds_nothing_wrong_with_it(box: Box) -> None:
    """`systemd-analyze` finds no unknown key, and an exposure of at most 2.0."""
    checked = box.sh("systemd-analyze verify --man=no edgepose.service")
    counted = box.sh("systemd-analyze security --no-pager --threshold=20 edgepose.service")

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    assert counted.returncode == 0, counted.stdout


def test_it_starts_and_stops(service: Service, broker: Mosquitto) -> None:
    """`start` returns when it is ready; `stop` within 5 s, and `offline` is published."""
    with witness(broker.port, "edgepose/test-pi/availability") as watcher:
        service.box.ok("systemctl start edgepose")
        assert service.prop("ActiveState") == "active"
        assert "movenet-lightning on cpu" in service.prop("StatusText")
        watcher.on("edgepose/test-pi/availability", b"online")

        service.box.ok("timeout 5 systemctl stop edgepose")
        watcher.on("edgepose/test-pi/availability", b"offline")
    assert (service.prop("Result"), service.prop("ExecMainStatus")) == ("success", "0")


def test_udev_understands_the_rules(box: Box) -> None:
    """`udevadm verify` finds no error."""
    if box.suite == "bookworm":
        pytest.skip("udevadm verifies since Debian 13")

    box.ok("udevadm verify /etc/udev/rules.d/60-edgepose.rules")


def test_the_doctor_asks_the_one_that_runs(service: Service) -> None:
    """Any user gets the service's report; without the service doctor runs the checks itself."""
    service.box.ok("systemctl start edgepose")

    told = service.box.ok("setpriv --reuid=nobody --regid=nogroup --clear-groups edgepose doctor")
    service.box.ok("systemctl stop edgepose")
    looked = service.box.ok("edgepose doctor")

    assert "ok    configuration: valid and in use" in told
    assert "ok    camera hall: " in told
    assert "in force" not in looked
    assert "ok    camera hall: " in looked


def test_it_is_started_again_after_a_kill(service: Service, broker: Mosquitto) -> None:
    """After SIGKILL it is restarted and publishes `online`."""
    service.box.ok("systemctl start edgepose")

    with witness(broker.port, "edgepose/test-pi/availability") as watcher:
        watcher.on("edgepose/test-pi/availability", b"online")
        service.box.ok("systemctl kill -s KILL --kill-who=main edgepose")
        watcher.on("edgepose/test-pi/availability", b"online", timeout_s=SOON_S)

    assert service.restarted()


def test_it_is_started_again_when_it_hangs(service: Service) -> None:
    """A stopped process misses the watchdog and is restarted."""
    service.box.ok("systemctl start edgepose")

    service.box.ok("systemctl kill -s STOP --kill-who=main edgepose")

    assert service.restarted()
    assert "Watchdog timeout" in service.said()


def test_a_reload_takes_a_good_file_and_refuses_a_bad_one(
    service: Service, broker: Mosquitto
) -> None:
    """The process stays the same; `systemctl reload` reports what is wrong with an invalid file."""
    service.box.ok("systemctl start edgepose")
    pid = service.prop("MainPID")

    service.configure(MODEL, DEMO.replace("hall", "attic"))
    with witness(broker.port, "edgepose/test-pi/attic/poses") as watcher:
        service.box.ok("systemctl reload edgepose")
        watcher.until(lambda _: True)

        service.configure("[nonsense]\n")
        refused = service.box.sh("systemctl reload edgepose")
        watcher.noted()
        watcher.until(lambda _: True)

    assert refused.returncode != 0
    assert 'unknown name "nonsense"' in service.said()
    assert (service.prop("ActiveState"), service.prop("MainPID")) == ("active", pid)


def test_a_camera_that_does_not_open_is_waited_for(service: Service, broker: Mosquitto) -> None:
    """The service stays active and says which camera is offline; the camera may come later."""
    service.configure(MODEL, DEMO.replace("demo://", "/var/lib/edgepose/later.mp4"))

    service.box.ok("systemctl start edgepose")
    assert service.prop("ActiveState") == "active"
    assert wait_until(lambda: "offline: hall" in service.prop("StatusText"))

    with witness(broker.port, "edgepose/test-pi/hall/poses") as watcher:
        demo = "/opt/edgepose/venv/lib/python3*/site-packages/edgepose/data/demo.mp4"
        service.box.ok(f"install -o edgepose {demo} /var/lib/edgepose/later.mp4")
        watcher.until(lambda _: True)
    assert service.prop("NRestarts") == "0"


def test_a_crash_loop_comes_to_an_end(service: Service) -> None:
    """A daemon that ends with a fault is started up to twenty times; then the unit has failed."""
    with drop_in(service.box, "ExecStart=\nExecStart=/bin/false\n"):
        service.box.sh("systemctl start edgepose")

        assert service.becomes("failed", timeout_s=60)
        assert service.prop("ExecMainStatus") == "1"
        assert 15 <= int(service.prop("NRestarts")) <= 20
        assert "repeated too quickly" in service.said()


@pytest.mark.parametrize(
    ("tables", "code"),
    [(["[nonsense]\n"], "2"), (['[model]\nname = "/etc/hostname"\n', DEMO], "4")],
    ids=["configuration", "model"],
)
def test_what_no_restart_mends_is_tried_once(
    service: Service, tables: list[str], code: str
) -> None:
    """Errors in configuration or model are not retried."""
    service.configure(*tables)

    service.box.sh("systemctl start edgepose")

    assert service.becomes("failed")
    assert (service.prop("ExecMainStatus"), service.prop("NRestarts")) == (code, "0")


def test_a_refused_login_does_not_end_the_service(service: Service, tmp_path: Path) -> None:
    """The service stays active; its status names the reason."""
    with with_passwords(tmp_path, {"edgepose": "swordfish"}) as strict:
        service.configure(MODEL, DEMO, url=strict.url)

        service.box.ok("systemctl start edgepose")

        assert wait_until(lambda: "refuses the login" in service.prop("StatusText"))
    assert (service.prop("ActiveState"), service.prop("NRestarts")) == ("active", "0")


def test_the_password_is_a_credential(service: Service, tmp_path: Path) -> None:
    """The service gets the password from a file that only root may read."""
    credential = service.box.root / "etc/credstore/edgepose.mqtt-password"
    credential.parent.mkdir(mode=0o700, exist_ok=True)
    credential.write_text("swordfish")
    credential.chmod(0o600)

    with with_passwords(tmp_path, {"edgepose": "swordfish"}) as strict:
        service.configure('username = "edgepose"\n', MODEL, DEMO, url=strict.url)
        with witness(
            strict.port, "edgepose/test-pi/#", username="edgepose", password="swordfish"
        ) as watcher:
            service.box.ok("systemctl start edgepose")
            watcher.on("edgepose/test-pi/availability", b"online")
    credential.unlink()
