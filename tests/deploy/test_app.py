"""The Home Assistant app: its description, its options and its start."""

import importlib.util
import itertools
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from edgepose._version import __version__
from edgepose.config.loading import loads
from tests.support.brokers import free_port, needs_mosquitto, wait_until, with_passwords
from tests.support.supervisor import TOKEN, Supervisor, supervising

pytest.importorskip("tomlkit", reason="the extra web is not installed")
yaml = pytest.importorskip("yaml", reason="comes with the extra broker")


APP: Final = Path(__file__).parent.parent.parent / "deploy" / "homeassistant-app"
FOLDER: Final = APP / "edgepose"

LOGIN: Final = {
    "addon": "core_mosquitto",
    "host": "core-mosquitto",
    "port": 1883,
    "ssl": False,
    "username": "addons",
    "password": "pass:w@rd",
    "protocol": "3.1.1",
}

FILE: Final = """\
# of the house
[device]
id = "home"

[[camera]]
id = "hall"  # above the door
source = "demo://"
rotate = 180

  [[camera.zone]]
  id = "sofa"
  polygon = [[0.1, 0.5], [0.6, 0.5], [0.6, 1.0]]

[[camera]]
id = "yard"
source = "rtsp://192.0.2.7/live"

  [[camera.zone]]
  id = "gate"
  polygon = [[0.1, 0.5], [0.6, 0.5], [0.6, 1.0]]

# what is worth a message
[events]
fall = false
"""


def load_app() -> ModuleType:
    """Import the app's start script."""
    spec = importlib.util.spec_from_file_location("edgepose_app", FOLDER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


app = load_app()


def described() -> dict[str, Any]:
    """Return the app's description."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / "config.yaml").read_text())
    return found


class TestDescription:
    """The file that the Supervisor reads, checked against its documentation."""

    def test_it_has_what_is_required(self) -> None:
        """Required keys exist, and the version is the package's, which tags the image."""
        found = described()

        assert {"name", "version", "slug", "description", "arch"} <= found.keys()
        assert found["version"] == __version__
        assert set(found["arch"]) == {"aarch64", "amd64"}
        assert re.fullmatch(r"[-_.A-Za-z0-9]+", found["slug"])
        assert yaml.safe_load((APP / "repository.yaml").read_text())["name"]

    def test_it_asks_for_no_right_that_it_does_not_need(self) -> None:
        """No privileges are requested; MQTT and the configuration folder suffice."""
        found = described()

        asked = {
            "privileged",
            "full_access",
            "host_network",
            "host_pid",
            "hassio_api",
            "docker_api",
        }
        assert not asked & found.keys()
        assert found["services"] == ["mqtt:want"]
        assert found["map"] == ["app_config:rw"]

    def test_its_ports_are_those_that_the_start_script_opens(self) -> None:
        """Ports match the start script, and none is exposed to the network."""
        found = described()

        assert found["ingress"] is True
        assert f"0.0.0.0:{found['ingress_port']}" == app.PAGE
        assert found["watchdog"] == f"http://[HOST]:{app.HEALTH_PORT}/health"
        assert re.match(r"^https?://\[HOST\]:\d+.*$", found["watchdog"])
        assert "ports" not in found

    def test_every_option_has_a_type_and_is_translated(self) -> None:
        """Options with a default are required, the others are optional; all are translated."""
        found, kinds = described(), r"(str|bool|int|float|url|password|port|device|match|list)\b.*"
        schema = found["schema"]

        for name, kind in schema.items():
            for each in kind[0].values() if isinstance(kind, list) else [kind]:
                assert re.fullmatch(kinds, each), name
            assert (name in found["options"]) != (isinstance(kind, str) and kind.endswith("?"))
        for file in (FOLDER / "translations").glob("*.yaml"):
            told = yaml.safe_load(file.read_text())["configuration"]
            assert told.keys() == schema.keys(), file.name
            assert told["cameras"]["fields"].keys() == schema["cameras"][0].keys()
            for each in [*told.values(), *told["cameras"]["fields"].values()]:
                assert each["name"]
                assert each["description"]

    @pytest.mark.parametrize(("name", "shape"), [("icon", (128, 128)), ("logo", (250, 100))])
    def test_its_pictures_have_the_recommended_size(self, name: str, shape: Any) -> None:
        """The pictures are PNG; the icon is square."""
        head = (FOLDER / f"{name}.png").read_bytes()[:24]

        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", head[16:24]) == shape

    def test_it_has_the_pages_that_the_store_shows(self) -> None:
        """The introduction and the documentation tab exist."""
        assert (FOLDER / "README.md").read_text()
        assert (FOLDER / "DOCS.md").read_text()


class TestBroker:
    """Choice of the broker."""

    def test_the_supervisor_tells(self) -> None:
        """The broker comes from the Supervisor; the password is not part of the URL."""
        with supervising() as house:
            house.mqtt = LOGIN

            found = app.Supervisor(house.url, TOKEN).broker()

        assert found.url == "mqtt://addons@core-mosquitto:1883"
        assert found.password == LOGIN["password"]

    @pytest.mark.parametrize(
        ("changes", "url"),
        [
            ({"ssl": True, "port": "8883"}, "mqtts://addons@core-mosquitto:8883"),
            ({"username": "a@b:c"}, "mqtt://a%40b%3Ac@core-mosquitto:1883"),
            ({"username": None, "password": None}, "mqtt://core-mosquitto:1883"),
        ],
    )
    def test_it_may_have_tls_and_any_login(self, changes: dict[str, Any], url: str) -> None:
        """TLS and any login give a valid URL."""
        with supervising() as house:
            house.mqtt = LOGIN | changes
            found = app.Supervisor(house.url, TOKEN).broker()

        assert found.url == url
        assert loads(f'[mqtt]\nurl = "{found.url}"', "test").mqtt.url == url

    def test_without_one_it_waits(self, caplog: pytest.LogCaptureFixture) -> None:
        """Without a broker the log says once what to install; the app starts when there is one."""
        waits = itertools.count(1)
        with supervising() as house:

            def wait(_: float) -> None:
                if next(waits) == 3:
                    house.mqtt = LOGIN

            found = app.await_broker(app.Supervisor(house.url, TOKEN).broker, wait)

        assert found.url
        assert caplog.text.count("Mosquitto broker") == 1

    @pytest.mark.parametrize(
        ("options", "text", "url", "password"),
        [
            ({"mqtt_url": "mqtt://192.0.2.5"}, "", "mqtt://192.0.2.5", ""),
            (
                {"mqtt_url": "mqtts://b:8883", "mqtt_username": "me@x", "mqtt_password": "s"},
                "",
                "mqtts://me%40x@b:8883",
                "s",
            ),
            ({"mqtt_url": "mqtt://192.0.2.5"}, '[mqtt]\nurl = "mqtt://own"', "", ""),
        ],
    )
    def test_an_option_or_the_file_may_name_another(
        self, options: dict[str, Any], text: str, url: str, password: str
    ) -> None:
        """Options or the file name another broker; the file has precedence."""
        assert app.chosen_broker(options, tomllib.loads(text)) == app.Broker(url, password)

    @pytest.mark.parametrize("token", ["", "wrong"])
    def test_a_refusal_is_no_broker(self, token: str) -> None:
        """A refusal, an absent Supervisor or an invalid answer means no broker."""
        with supervising() as house:
            house.mqtt = LOGIN
            assert app.Supervisor(house.url, token).broker() is None
        assert app.Supervisor(house.url, TOKEN).broker() is None


class TestOptions:
    """The configuration that results from the options."""

    def test_the_page_is_for_ingress_only(self) -> None:
        """The page listens for ingress only, whatever the file says."""
        text = f'{FILE}[web]\nlisten = "0.0.0.0:80"\ntrusted_proxies = ["192.0.2.1"]\n'

        found = loads(app.with_options(text, {}, "homeassistant://hassio/ingress/x"), "test").web

        assert (found.listen, found.trusted_proxies) == (app.PAGE, (app.INGRESS,))
        assert found.url == "homeassistant://hassio/ingress/x"

    @pytest.mark.parametrize(
        "ids", [(), ("hall",), ("yard",), ("hall", "yard"), ("new",), ("new", "yard", "newer")]
    )
    def test_the_cameras_are_those_of_the_options(self, ids: tuple[str, ...]) -> None:
        """A camera that stays keeps its settings; without camera options the file's stay."""
        before = loads(FILE, "before")
        wanted = [{"id": id_, "source": f"rtsp://192.0.2.9/{id_}"} for id_ in ids]

        text = app.with_options(FILE, {"cameras": wanted}, "")
        after = loads(text, "after")

        known = {camera.id: camera for camera in before.cameras}
        found = {camera.id: camera for camera in after.cameras}
        assert found.keys() == (set(ids) or known.keys())
        for id_ in ids:
            assert found[id_].source == f"rtsp://192.0.2.9/{id_}"
            if id_ in known:
                assert found[id_].zones == known[id_].zones
                assert found[id_].rotate == known[id_].rotate
        assert after.events == before.events
        assert "# of the house" in text
        assert app.with_options(text, {"cameras": wanted}, "") == text

    @pytest.mark.parametrize("text", ["", "# nothing\n", '[device]\nid = "home"'])
    def test_a_file_without_cameras_gets_them(self, text: str) -> None:
        """A file without cameras, or an empty one, gets those of the options."""
        found = loads(app.with_options(text, {"cameras": [{"id": "a", "source": "b"}]}, ""), "t")

        assert [camera.id for camera in found.cameras] == ["a"]
        assert found.web.listen == app.PAGE

    def test_the_file_before_is_kept(self, tmp_path: Path) -> None:
        """The previous file is kept as a copy if something changes."""
        file = tmp_path / "edgepose.toml"
        file.write_text(FILE)

        app.update_file(file, {"cameras": [{"id": "hall", "source": "demo://"}]}, "")

        before = tmp_path / "edgepose.toml.before-start"
        assert before.read_text() == FILE
        before.unlink()
        app.update_file(file, {"cameras": [{"id": "hall", "source": "demo://"}]}, "")
        assert not before.exists()

    def test_the_first_file_is_good(self, tmp_path: Path) -> None:
        """The first file has a camera, and an id independent of the container's name."""
        file = tmp_path / "edgepose.toml"

        app.write_first_file(file)
        app.update_file(file, {"log_level": "warning"}, "")

        found = loads(file.read_text(), str(file))
        assert found.device.id == "home"
        assert len(found.cameras) == 1
        assert found.log.level == "warning"


class TestHealth:
    """The answers for the watchdog."""

    @pytest.fixture
    def now(self) -> list[float]:
        return [0.0]

    @pytest.fixture
    def heart(self, now: list[float]) -> Any:
        return app.Heart(clock=lambda: now[0])

    def test_the_start_has_its_time(self, heart: Any, now: list[float]) -> None:
        """The start has its own time limit, since models may be measured."""
        now[0] = app.START_S - 1
        assert heart.beats()
        now[0] = app.START_S + 1
        assert not heart.beats()

    def test_then_it_must_be_heard_of(self, heart: Any, now: list[float]) -> None:
        """After the start the watchdog interval applies; a beat recovers it."""
        heart.take(b"READY=1\nSTATUS=1 camera, 10 fps")
        assert heart.sentence == "1 camera, 10 fps"
        now[0] = app.BEAT_S - 1
        assert heart.beats()
        now[0] = app.BEAT_S + 1
        assert not heart.beats()
        heart.take(b"WATCHDOG=1")
        assert heart.beats()

    def test_a_reload_may_take_longer(self, heart: Any, now: list[float]) -> None:
        """The daemon can extend the interval."""
        heart.take(b"READY=1")
        heart.take(b"WATCHDOG_USEC=90000000")
        now[0] = app.BEAT_S + 1
        assert heart.beats()

    @pytest.mark.parametrize("rubbish", [b"", b"\xff\xfe", b"WATCHDOG_USEC=soon", b"=", b"READY"])
    def test_rubbish_changes_nothing(self, heart: Any, now: list[float], rubbish: bytes) -> None:
        """Invalid notifications are ignored."""
        heart.take(rubbish)
        now[0] = app.START_S + 1
        assert not heart.beats()


@contextmanager
def started(folder: Path, house: Supervisor, health: int, page: int) -> Iterator[Any]:
    """Start the app as its image does, with other folders and ports."""
    code = (
        f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import run; from pathlib import Path;"
        f"run.HEALTH_PORT = {health}; run.PAGE = '127.0.0.1:{page}'; run.INGRESS = '127.0.0.2';"
        "run.BEAT_S = 3.0;"
        f"places = run.Places({house.url!r}, Path({str(folder)!r}), Path({str(folder)!r}, 'none'));"
        f"sys.exit(run.main(places, Path({str(folder)!r}, 'runtime')))"
    )
    environment = {**os.environ, "SUPERVISOR_TOKEN": TOKEN}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGCONT)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def health(port: int) -> tuple[int, str]:
    """Send the request of the Supervisor's watchdog."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def child(pid: int) -> int:
    """Return the process id of the only child."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


@pytest.mark.slow
@needs_mosquitto
class TestStart:
    """The complete app, with a real broker that requires a login."""

    def test_it_runs_hangs_recovers_and_ends(self, tmp_path: Path) -> None:
        """The health check follows each state; SIGTERM ends it with 0 and the state is kept."""
        login = {**LOGIN, "host": "127.0.0.1", "password": "sesame"}
        (tmp_path / "options.json").write_text(json.dumps({"cameras": [], "log_level": "info"}))
        port, page = free_port(), free_port()
        with supervising() as house, with_passwords(tmp_path, {"addons": "sesame"}) as broker:
            house.mqtt = login | {"port": broker.port}
            with started(tmp_path, house, port, page) as running:
                assert wait_until(lambda: health(port)[1] not in {"", "starting"}, 60)
                daemon = child(running.pid)
                environment = Path(f"/proc/{daemon}/environ").read_text()
                assert TOKEN not in environment
                assert login["password"] not in Path(f"/proc/{daemon}/cmdline").read_text()

                os.kill(daemon, signal.SIGSTOP)
                assert wait_until(lambda: health(port)[0] == 503, 20)
                os.kill(daemon, signal.SIGCONT)
                assert wait_until(lambda: health(port)[0] == 200, 20)

                running.terminate()
                assert running.wait(10) == 0
        assert (tmp_path / "edgepose.toml").exists()
        assert list((tmp_path / "state").iterdir())

    def test_it_ends_cleanly_however_early(self, tmp_path: Path) -> None:
        """SIGTERM while the daemon is loading ends the app cleanly."""
        with supervising() as house, with_passwords(tmp_path, {"addons": "sesame"}) as broker:
            house.mqtt = {**LOGIN, "host": "127.0.0.1", "port": broker.port, "password": "sesame"}
            with started(tmp_path, house, free_port(), free_port()) as running:
                children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
                ready = tmp_path / "runtime" / "notify"
                assert wait_until(lambda: ready.exists() and children.read_text(), 60)
                daemon = Path("/proc", children.read_text().split()[0])
                running.terminate()
                assert running.wait(10) == 0
                assert wait_until(lambda: not daemon.exists(), 10)  # no daemon without the app

    def test_while_it_waits_for_a_broker_it_ends_at_once(self, tmp_path: Path) -> None:
        """SIGTERM while waiting for a broker ends the app with 0."""
        with supervising() as house, started(tmp_path, house, free_port(), free_port()) as running:
            assert wait_until(lambda: "/services/mqtt" in house.asked, 60)
            running.terminate()
            assert running.wait(10) == 0


def test_the_apparmor_profile_is_whole() -> None:
    """The profile can be parsed, and has the app's slug, by which the Supervisor loads it."""
    parser = shutil.which("apparmor_parser", path="/usr/sbin:/usr/bin:/sbin")
    profile = FOLDER / "apparmor.txt"
    slug = yaml.safe_load((FOLDER / "config.yaml").read_text())["slug"]

    assert f"\nprofile {slug} " in profile.read_text()
    if parser is None:
        pytest.skip("no apparmor_parser here: apt install apparmor")
    words = [parser, "--skip-kernel-load", "--skip-cache", str(profile)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
