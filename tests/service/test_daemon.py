"""The daemon as a process with a real broker: start, kill, reload."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from edgepose.camera.sources.demo import CLIPS
from edgepose.config.loading import loads
from edgepose.mqtt.spool_segments import SUFFIX
from edgepose.pose.failover import FailoverEstimator
from edgepose.service.daemon import Daemon
from edgepose.skeleton import LEFT_WRIST, RIGHT_WRIST
from tests.support.brokers import Mosquitto, Witness, free_port, wait_until, with_passwords, witness
from tests.support.streams import PASSWORD, USER, Camera

pytestmark = pytest.mark.slow

PERSON = Path(__file__).parents[2] / "docs" / "images" / "person.jpg"
DEVICE = "edgepose/test-pi"
CAMERA = '[[camera]]\nid = "hall"\nsource = "demo://"\n'
TYPO = CAMERA.replace("demo", "rstp")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


class Running:
    """A daemon in a process of its own."""

    def __init__(self, folder: Path, url: str, tables: str = CAMERA, *words: str) -> None:
        self.file = folder / "edgepose.toml"
        self.url = url
        self.write(tables)
        self._log = folder / "log"
        command = [sys.executable, "-m", "edgepose", "run", "-c", str(self.file), *words]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log)

    def write(self, tables: str) -> None:
        """Write the tables into the configuration file."""
        model = "" if "[model]" in tables else '[model]\nname = "movenet-lightning"\n'
        head = f'[device]\nid = "test-pi"\n[mqtt]\nurl = "{self.url}"\n'
        self.file.write_text(head + model + tables)

    def said(self) -> str:
        """Return the daemon's log."""
        return self._log.read_text()

    def says(self, words: str) -> bool:
        """Wait until the log contains these words."""
        return wait_until(lambda: words in self.said())

    def send(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 10) -> int:
        """Wait for its end and return the exit code."""
        return self.process.wait(timeout_s)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start daemons, which are killed after the test."""
    started: list[Running] = []

    def start(url: str, tables: str = CAMERA, *words: str) -> Running:
        started.append(Running(tmp_path, url, tables, *words))
        return started[-1]

    yield start
    for running in started:
        running.process.kill()
        running.process.wait()


def poses(watcher: Witness, camera: str = "hall") -> dict[str, Any]:
    """Wait for the next pose message and return it."""
    found: dict[str, Any] = json.loads(watcher.on(f"{DEVICE}/{camera}/poses").payload)
    return found


def status(watcher: Witness, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for a matching status and return it."""
    topic = f"{DEVICE}/status"
    message = watcher.until(lambda m: m.topic == topic and wanted(json.loads(m.payload)))
    found: dict[str, Any] = json.loads(message.payload)
    return found


def video(path: Path, frames: int) -> Path:
    """Write a video with a moving circle."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (320, 240))
    for number in range(frames):
        picture = np.full((240, 320, 3), 90, dtype=np.uint8)
        cv2.circle(picture, (20 + 2 * number, 120), 15, (20, 60, 200), -1)
        writer.write(picture)
    writer.release()
    return path


def test_what_the_contract_says_is_on_the_wire(
    broker: Mosquitto, daemon: Callable[..., Running]
) -> None:
    """Availability, status, state and poses have the topics and fields of the contract."""
    with witness(broker.port) as watcher:
        daemon(broker.url)
        watcher.on(f"{DEVICE}/availability", b"online")
        watcher.on(f"{DEVICE}/hall/availability", b"online")
        told = status(watcher, lambda m: m["cameras"]["hall"]["state"] == "online")
        first = poses(watcher)
        state = json.loads(watcher.on(f"{DEVICE}/hall/state").payload)
        later = poses(watcher)

    assert first["v"] == 1
    assert (first["device"], first["camera"]) == ("test-pi", "hall")
    assert first["width"] > 0
    assert first["captured_at"] < later["captured_at"]
    assert later["seq"] > first["seq"]
    assert 0 < later["latency_ms"] < 5000
    assert (told["model"], told["policy"]) == ("movenet-lightning", "follow")
    assert len(told["keypoints"]) == 17
    assert {"occupied", "count", "fall", "posture", "zones", "paused"} <= set(state)


def test_people_of_the_demo_are_found(broker: Mosquitto, daemon: Callable[..., Running]) -> None:
    """The bundled model finds people in the bundled clip."""
    with witness(broker.port) as watcher:
        daemon(broker.url)
        seen = [poses(watcher) for _ in range(30)]

    with_people = [message for message in seen if message["poses"]]
    assert len(with_people) > 20
    person = with_people[-1]["poses"][0]
    assert len(person["keypoints"]) == 17
    assert person["id"] >= 1
    assert 0 < person["score"] <= 1


def test_a_termination_ends_it_cleanly(broker: Mosquitto, daemon: Callable[..., Running]) -> None:
    """On SIGTERM it publishes `offline` and exits with 0 within five seconds."""
    with witness(broker.port) as watcher:
        running = daemon(broker.url)
        poses(watcher)

        running.send(signal.SIGTERM)

        assert running.wait(5) == 0
        watcher.on(f"{DEVICE}/hall/availability", b"offline")
        watcher.on(f"{DEVICE}/availability", b"offline")
    assert "Traceback" not in running.said()


def test_a_kill_leaves_the_last_will(broker: Mosquitto, daemon: Callable[..., Running]) -> None:
    """After SIGKILL the last will publishes `offline`."""
    with witness(broker.port) as watcher:
        running = daemon(broker.url)
        poses(watcher)

        running.send(signal.SIGKILL)

        watcher.on(f"{DEVICE}/availability", b"offline")


def test_a_broker_that_comes_later_is_found(tmp_path: Path, daemon: Callable[..., Running]) -> None:
    """Without a broker the daemon processes frames and logs it once; it connects later."""
    broker = Mosquitto(tmp_path)
    running = daemon(broker.url)
    assert wait_until(lambda: "cannot reach" in running.said())
    spool = tmp_path / "state" / "edgepose" / "test-pi" / "spool"
    assert wait_until(
        lambda: any(path.stat().st_size for path in spool.glob(f"*{SUFFIX}")), timeout_s=60
    )

    with broker, witness(broker.port) as watcher:
        message = poses(watcher)

    assert message["seq"] > 1
    assert running.said().count("cannot reach") == 1


def test_a_broker_that_was_killed_hears_everything_again(
    broker: Mosquitto, daemon: Callable[..., Running]
) -> None:
    """After a restart of a broker without persistence all retained topics are published again."""
    with witness(broker.port) as watcher:
        running = daemon(broker.url)
        before = poses(watcher)

    broker.kill()
    assert wait_until(lambda: "lost" in running.said())
    broker.start()

    with witness(broker.port) as watcher:
        retained = {f"{DEVICE}/{leaf}" for leaf in ("availability", "status", "hall/availability")}
        retained.add(f"{DEVICE}/hall/state")
        assert wait_until(lambda: retained <= {message.topic for message in watcher.noted()})
        after = poses(watcher)
    assert after["seq"] > before["seq"] + 1
    assert running.process.poll() is None


def test_a_finite_source_is_read_in_full(
    tmp_path: Path, broker: Mosquitto, daemon: Callable[..., Running]
) -> None:
    """With `--once` every frame is published, then the daemon exits with 0."""
    clip = video(tmp_path / "clip.mp4", frames=120)
    tables = f'[[camera]]\nid = "hall"\nsource = "{clip}"\nrealtime = false\n'

    with witness(broker.port) as watcher:
        running = daemon(broker.url, tables, "--once")
        assert running.wait(30) == 0
        watcher.on(f"{DEVICE}/availability", b"offline")

    messages = [json.loads(m.payload) for m in watcher.seen if m.topic.endswith("/poses")]
    sequence = [message["seq"] for message in messages]
    assert sequence == sorted(set(sequence))
    assert sequence[-1] == 120
    last = [line.partition("INFO")[2].strip() for line in running.said().splitlines()[-2:]]
    assert last == ["camera hall: its source has ended", "stopping"]


def test_a_video_that_has_ended_is_offline_and_not_empty(
    tmp_path: Path, broker: Mosquitto, daemon: Callable[..., Running]
) -> None:
    """The last state is kept, and the camera is offline."""
    person = cv2.imread(str(PERSON))
    assert person is not None
    source = film(tmp_path / "person.avi", person)

    with witness(broker.port) as watcher:
        daemon(broker.url, f'[[camera]]\nid = "hall"\nsource = "{source}"\n')
        watcher.on(f"{DEVICE}/hall/availability", b"online")
        watcher.on(f"{DEVICE}/hall/availability", b"offline", timeout_s=30)
        told = status(watcher, lambda m: m["cameras"]["hall"]["state"] == "ended")
    with witness(broker.port) as later:
        last = json.loads(later.on(f"{DEVICE}/hall/state").payload)

    assert told["cameras"]["hall"]["error"] is None
    assert (last["occupied"], last["count"]) == (True, 1)


def test_a_camera_shows_what_its_table_says(
    tmp_path: Path, broker: Mosquitto, daemon: Callable[..., Running]
) -> None:
    """Rotation, mirroring, region and masks apply; coordinates refer to the shown frame."""
    picture = cv2.imread(str(PERSON))
    assert picture is not None
    height, width = picture.shape[:2]
    black = np.zeros_like(picture)
    upright = film(tmp_path / "upright.avi", np.hstack([picture, black]))
    sideways = film(tmp_path / "sideways.avi", cv2.rotate(np.hstack([picture, black]), 2))
    tables = {
        "plain": upright,
        "turned": f'{sideways}"\nrotate = 90\nmirror = true\nroi = [0.5, 0, 0.5, 1]\n#',
        "masked": f'{upright}"\nmasks = [[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]]\n#',
        "beside": f'{upright}"\nroi = [0.5, 0, 0.5, 1]\n#',
    }
    cameras = "".join(
        f'[[camera]]\nid = "{id_}"\nrealtime = false\nsource = "{source}"\n'
        for id_, source in tables.items()
    )

    with witness(broker.port) as watcher:
        assert daemon(broker.url, cameras, "--once").wait(60) == 0
        watcher.on(f"{DEVICE}/availability", b"offline")
        last = {
            id_: [json.loads(m.payload) for m in watcher.noted() if f"/{id_}/poses" in m.topic][-1]
            for id_ in tables
        }

    assert {(told["width"], told["height"]) for told in last.values()} == {(2 * width, height)}
    assert last["masked"]["poses"] == last["beside"]["poses"] == []
    (plain,), (turned,) = last["plain"]["poses"], last["turned"]["poses"]
    for joint in (LEFT_WRIST, RIGHT_WRIST):
        x, y, _ = plain["keypoints"][joint]
        assert turned["keypoints"][joint][:2] == pytest.approx(
            [2 * width - 1 - x, y], abs=0.08 * width
        )


def film(path: Path, picture: Any) -> str:
    """Write a video of one picture."""
    size = (picture.shape[1], picture.shape[0])
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, size)
    for _ in range(10):
        writer.write(picture)
    writer.release()
    return str(path)


def test_a_stream_that_breaks_off_comes_back(
    broker: Mosquitto, daemon: Callable[..., Running]
) -> None:
    """It goes offline once and returns; the password is not logged."""
    pytest.importorskip("av")
    port = free_port()
    with witness(broker.port) as watcher:
        with Camera(port) as camera:
            url = camera.url("login", f"{USER}:{PASSWORD}")
            running = daemon(broker.url, f'[[camera]]\nid = "hall"\nsource = "{url}"\n')
            before = poses(watcher)
        watcher.on(f"{DEVICE}/hall/availability", b"offline")
        with Camera(port):
            assert wait_until(lambda: "camera hall: back" in running.said())
            after = poses(watcher)
            said = running.said()
        noted = watcher.noted()

    assert after["seq"] > before["seq"]
    assert running.process.poll() is None
    assert PASSWORD not in said + "".join(str(message.payload) for message in noted)
    assert said.count("camera hall: lost") == 1


def test_a_camera_that_never_delivered_is_offline_and_not_empty(
    broker: Mosquitto, daemon: Callable[..., Running]
) -> None:
    """No state is published for it; the other camera works."""
    pytest.importorskip("av")
    dead = f'[[camera]]\nid = "yard"\nsource = "rtsp://127.0.0.1:{free_port()}/none"\n'
    with witness(broker.port) as watcher:
        daemon(broker.url, CAMERA + dead)
        watcher.on(f"{DEVICE}/yard/availability", b"offline")
        poses(watcher)
        poses(watcher)
        topics = {message.topic for message in watcher.noted()}

    assert f"{DEVICE}/hall/state" in topics
    assert f"{DEVICE}/yard/state" not in topics


def test_a_frozen_stream_does_not_hold_up_the_end(
    broker: Mosquitto, daemon: Callable[..., Running]
) -> None:
    """SIGTERM ends the daemon in time while a source waits for data."""
    pytest.importorskip("av")
    with witness(broker.port) as watcher, Camera() as camera:
        url = camera.url("freezes#timeout=60")
        running = daemon(broker.url, f'[[camera]]\nid = "hall"\nsource = "{url}"\n')
        poses(watcher)
        assert camera.frozen.wait(10)

        running.send(signal.SIGTERM)

        assert running.wait(5) == 0
        watcher.on(f"{DEVICE}/availability", b"offline")
    assert "Traceback" not in running.said()


def test_a_reload_applies_what_has_changed(
    broker: Mosquitto, daemon: Callable[..., Running]
) -> None:
    """Cameras are added and removed; an invalid file changes nothing."""
    with witness(broker.port) as watcher:
        running = daemon(broker.url)
        poses(watcher)

        running.write(CAMERA + CAMERA.replace("hall", "yard"))
        running.send(signal.SIGHUP)
        poses(watcher, "yard")
        refused = f"reload refused, nothing changed: {running.file}:"
        for bad, words in (
            (CAMERA + "wrong = 1\n", "10: camera[0]: "),
            (TYPO, "9: camera[0].source: "),
        ):
            running.write(bad)
            running.send(signal.SIGHUP)
            assert running.says(refused + words)
            poses(watcher, "yard")
        running.write(CAMERA.replace("hall", "yard"))
        running.send(signal.SIGHUP)

        watcher.on(f"{DEVICE}/hall/availability", b"offline")
        told = status(watcher, lambda m: "hall" not in m["cameras"])
        assert set(told["cameras"]) == {"yard"}
        poses(watcher, "yard")
        watcher.on(f"{DEVICE}/hall/availability", b"", timeout_s=30)
        watcher.on(f"{DEVICE}/hall/state", b"", timeout_s=30)
    with witness(broker.port, f"{DEVICE}/+/state") as later:
        later.on(f"{DEVICE}/yard/state")
        assert len(later.noted()) == 1


@pytest.mark.parametrize(
    ("tables", "code", "words"),
    [
        (CAMERA + "rotat = 3\n", 2, 'did you mean "rotate"'),
        ('[[camera]]\nid = "hall"\nsource = "/nowhere.mp4"\n', 3, "no such file"),
        ('[[camera]]\nid = "hall"\nsource = "/dev/video99"\n', 3, "/dev/video99"),
        (
            '[model]\nname = "movenet-lightening"\n' + CAMERA,
            4,
            "edgepose.toml:6: model.name: unknown",
        ),
        (TYPO, 3, "edgepose.toml:9: camera[0].source: "),
    ],
)
def test_what_cannot_work_ends_with_its_exit_code(
    broker: Mosquitto, daemon: Callable[..., Running], tables: str, code: int, words: str
) -> None:
    """One sentence is logged, and the exit code tells the service manager whether to retry."""
    running = daemon(broker.url, tables)

    assert running.wait(20) == code
    assert words in running.said()
    assert "Traceback" not in running.said()


def test_a_refused_login_ends_with_code_five(
    tmp_path: Path, daemon: Callable[..., Running]
) -> None:
    """A refused login ends the daemon with exit code 5."""
    with with_passwords(tmp_path, {"somebody": "else"}) as broker:
        running = daemon(broker.url)

        assert running.wait(20) == 5
    assert "refuses the login" in running.said()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Receive the daemon's notifications as a service manager."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield receiver


def notification(manager: socket.socket, words: bytes) -> bytes:
    """Wait for the notification with these words."""
    told = b""
    while words not in told:
        told = manager.recv(65536)
    return told


def test_a_refused_login_does_not_end_a_service(
    tmp_path: Path, daemon: Callable[..., Running], manager: socket.socket
) -> None:
    """Under a service manager the status names the reason; after a reload it connects."""
    password = tmp_path / "password"
    password.write_text("wrong")
    login = f'username = "edgepose"\npassword_file = "{password}"\n'
    tables = login + '[model]\nname = "movenet-lightning"\n' + CAMERA
    with with_passwords(tmp_path, {"edgepose": "right"}) as broker:
        running = daemon(broker.url, tables)
        told = notification(manager, b"refuses the login")
        password.write_text("right")
        running.send(signal.SIGHUP)

        assert running.says("mqtt: connected")
        assert running.process.poll() is None
    assert b"mqtt.username" in told


def test_a_service_waits_for_its_only_camera(
    broker: Mosquitto, tmp_path: Path, daemon: Callable[..., Running], manager: socket.socket
) -> None:
    """Under a service manager it stays, says what is wrong, and uses the camera when it comes."""
    film = tmp_path / "later.mp4"
    running = daemon(broker.url, CAMERA.replace("demo://", str(film)))

    assert b"offline: hall" in notification(manager, b"READY=1")
    assert running.says("no such file")

    shutil.copy(CLIPS[""], film)
    with witness(broker.port) as watcher:
        assert poses(watcher)["camera"] == "hall"
    assert running.process.poll() is None


def test_the_embedded_broker_serves_others_too(daemon: Callable[..., Running]) -> None:
    """With `mqtt.url = "embedded:PORT"` other clients can connect."""
    port = free_port()
    daemon(f"embedded:{port}")
    assert wait_until(lambda: listens(port))

    with witness(port, protocol=MQTTProtocolVersion.MQTTv311) as watcher:
        assert poses(watcher)["camera"] == "hall"


def listens(port: int) -> bool:
    """Return whether a port of this machine accepts connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_demo_prints_what_is_published() -> None:
    """`demo` starts broker, daemon and reader; Ctrl-C ends all three."""
    command = [sys.executable, "-m", "edgepose", "demo", "--model", "movenet-lightning"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as demo:
        assert demo.stdout is not None
        lines = [demo.stdout.readline().decode() for _ in range(40)]  # 3 s
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=15)

    assert demo.returncode == 0
    assert any("camera" in line and "standing" in line for line in lines), lines


def test_a_demo_beside_another_daemon_takes_ports_of_its_own() -> None:
    """It prints the ports; its page allows editing zones."""
    with ExitStack() as held:
        for port in (1883, 8600, 9464):
            with suppress(OSError):  # in use already, which is fine
                held.enter_context(socket.create_server(("127.0.0.1", port)))
        demo = held.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "edgepose", "demo", "--model", "movenet-lightning"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        assert demo.stderr is not None
        named = (line.rpartition(" is on ") for line in demo.stderr)
        url = next(where.strip() for _, on, where in named if on)
        with urllib.request.urlopen(f"{url}/api/config", timeout=10) as answer:
            told = json.load(answer)
        demo.send_signal(signal.SIGINT)
        said = demo.communicate(timeout=15)[1]

    assert demo.returncode == 0
    assert not url.endswith(":8600")
    assert (told["editable"], told["cameras"][0]["source"]) == (True, "demo://")
    assert "Traceback" not in said


def test_a_demo_that_cannot_run_ends() -> None:
    """It ends with the daemon's error and exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "edgepose", "demo", "--model", "movenet-lightening"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 4
    assert 'did you mean "movenet-lightning"' in done.stderr


def test_a_reload_changes_the_log(broker: Mosquitto, daemon: Callable[..., Running]) -> None:
    """Level and format of the log change without a restart."""
    with witness(broker.port) as watcher:
        running = daemon(broker.url, f'[log]\nlevel = "error"\n{CAMERA}')
        poses(watcher)
        assert running.said() == ""

        running.write(f'[log]\nformat = "json"\n{CAMERA}')
        running.send(signal.SIGHUP)

        assert wait_until(lambda: '"message":"reloaded"' in running.said())
    assert all(json.loads(line) for line in running.said().splitlines())


IDLE = {"aiohttp", "amqtt", "av", "prometheus_client", "tomlkit"}
"""Libraries used only on demand: for page, metrics, streams, embedded broker."""


def test_what_nobody_asks_for_is_not_loaded(broker: Mosquitto, tmp_path: Path) -> None:
    """Page and metrics modules are not imported until the first request, to save memory."""
    file = tmp_path / "edgepose.toml"
    file.write_text(
        f'[mqtt]\nurl = "{broker.url}"\n[model]\nname = "movenet-lightning"\n'
        f'[metrics]\nlisten = "127.0.0.1:{free_port()}"\n'
        f'[web]\nlisten = "127.0.0.1:{free_port()}"\n'
        f'[[camera]]\nid = "hall"\nsource = "{PERSON}"\n'
    )
    program = (
        "import sys; from edgepose.cli import main; code = main(sys.argv[1:]);"
        f"print({IDLE | {'edgepose.doctor.checks', 'edgepose.web.server'}} & set(sys.modules));"
        "raise SystemExit(code)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, "run", "--once", "-c", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "the page is on" in done.stderr
    assert (done.returncode, done.stdout.strip()) == (0, "set()")


def test_ids_are_not_used_again_after_a_reload(
    broker: Mosquitto, daemon: Callable[..., Running]
) -> None:
    """After a reload new people get ids that were not used before."""
    with witness(broker.port) as watcher:
        running = daemon(broker.url)
        first = people(watcher)

        running.write(CAMERA + "fps = 20\n")
        running.send(signal.SIGHUP)
        watcher.on(f"{DEVICE}/hall/availability", b"offline")
        watcher.on(f"{DEVICE}/hall/availability", b"online")

        assert min(people(watcher)) > max(first)


def people(watcher: Witness) -> set[int]:
    """Wait for a frame with people and return their ids."""
    while not (found := {person["id"] for person in poses(watcher)["poses"]}):
        continue
    return found


@pytest.mark.parametrize("cameras", [1, 3])
def test_an_inference_that_takes_long_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, cameras: int
) -> None:
    """The daemon ends with an inference running, and reports that its thread must not be joined."""
    begun, late = threading.Event(), threading.Event()

    def infer(*_: object) -> Any:
        begun.set()
        return late.wait()

    monkeypatch.setattr(FailoverEstimator, "infer", infer)
    watching = "".join(CAMERA.replace("hall", f"hall{number}") for number in range(cameras))
    quiet = f'[mqtt]\nurl = "mqtt://127.0.0.1:{free_port()}"\n[metrics]\nlisten = ""\n'
    model = '[web]\nlisten = ""\n[model]\nname = "movenet-lightning"\n'
    daemon = Daemon(loads(quiet + model + watching, "test"))
    running = threading.Thread(target=daemon.run)

    running.start()
    assert begun.wait(20)
    daemon.stop()
    running.join(5)

    assert not running.is_alive()
    assert daemon.stuck
    late.set()
