"""The findings of `edgepose doctor`, and their remedies."""

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from edgepose import cli
from edgepose.camera import sources
from edgepose.commands import doctor as command
from edgepose.config.loading import loads
from edgepose.config.schema import Camera, Config
from edgepose.doctor import broker as doctor_broker
from edgepose.doctor import checks, http_probe, machine, model
from edgepose.doctor.checks import Finding
from edgepose.errors import ModelError, SourceError
from edgepose.mqtt import embedded_broker
from edgepose.pose import interpreter
from edgepose.pose.delegates import edgetpu
from edgepose.system import hardware
from edgepose.system.hardware import Throttling
from tests.support import tpu
from tests.support.brokers import free_port, needs_mosquitto, with_passwords

CAMERA = '[[camera]]\nid = "hall"\nsource = "demo://"\n'


def config(text: str) -> Config:
    return loads(text + CAMERA, "test")


def is_helpful(finding: Finding) -> bool:
    """Return whether a finding has a text, and a remedy if it is not ok."""
    return bool(finding.found) and bool(finding.mend) == (finding.verdict != "ok")


@pytest.fixture
def no_edgetpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hide the machine's Edge TPUs; return the folder of simulated devices."""
    monkeypatch.setattr(edgetpu, "USB_DEVICES", tmp_path / "usb")
    monkeypatch.setattr(edgetpu, "NODES", tmp_path / "dev")
    monkeypatch.setattr(model, "NODES", tmp_path / "nodes")
    return tmp_path


def plug_in(folder: Path, *, mode: int) -> None:
    """Simulate an Edge TPU on USB, whose node has this mode."""
    device = folder / "usb" / "1-2"
    device.mkdir(parents=True)
    says = {"idVendor": "18d1", "idProduct": "9302", "busnum": "1", "devnum": "7"}
    for name, text in says.items():
        (device / name).write_text(text + "\n")
    node = folder / "nodes" / "001" / "007"
    node.parent.mkdir(parents=True)
    node.touch(mode)


def test_a_good_configuration_is_said_to_be_good(tmp_path: Path) -> None:
    """A valid configuration is ok."""
    file = tmp_path / "edgepose.toml"
    file.write_text(CAMERA)

    found, finding = checks.read(file)

    assert found is not None
    assert finding.verdict == "ok"


@pytest.mark.parametrize("text", ["[nonsense]\n", "", None])
def test_a_bad_configuration_fails(text: str | None, tmp_path: Path) -> None:
    """A wrong key, no camera or no file fails, with a remedy."""
    file = tmp_path / "edgepose.toml"
    if text is not None:
        file.write_text(text)

    found, finding = checks.read(file)

    assert found is None
    assert finding.verdict == "fail"
    assert ("config init" in finding.mend) == (text is None)
    assert is_helpful(finding)


def test_a_file_for_other_eyes_is_looked_at_as_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration unreadable for the user gets the remedy to use sudo."""
    file = tmp_path / "edgepose.toml"
    file.mkdir()  # unreadable, also for root
    monkeypatch.setattr(checks.os, "access", lambda path, mode: mode != os.R_OK)

    _, finding = checks.read(file)

    assert finding.verdict == "fail"
    assert finding.mend == f"sudo edgepose doctor -c {file}"


SHOWN = "LoadState={}\nActiveState={}\nSubState={}\nExecMainStatus={}\n"


@pytest.mark.parametrize(
    ("unit", "verdict", "words"),
    [
        (("loaded", "active", "running", "0"), "ok", ""),
        (("loaded", "inactive", "dead", "0"), "warn", "sudo systemctl start edgepose"),
        (("loaded", "activating", "start", "0"), "warn", "wait"),
        (("loaded", "activating", "auto-restart", "3"), "fail", "journalctl -u edgepose"),
        (("loaded", "failed", "failed", "4"), "fail", "journalctl -u edgepose"),
        (("loaded", "failed", "failed", "1"), "fail", "systemctl reset-failed edgepose; sudo "),
        (("not-found", "inactive", "dead", "0"), None, ""),
        (None, None, ""),
    ],
)
def test_the_service_is_looked_at_where_there_is_one(
    unit: tuple[str, ...] | None,
    verdict: str | None,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The finding has the unit's state and exit code, and a remedy."""
    monkeypatch.setenv("PATH", str(tmp_path))
    if unit is not None:
        manager = tmp_path / "systemctl"
        manager.write_text(f"#!/bin/sh\nprintf '{SHOWN.format(*unit)}'\n")
        manager.chmod(0o755)

    findings = list(machine.service())

    assert [finding.verdict for finding in findings] == ([verdict] if verdict else [])
    assert all(is_helpful(finding) and words in finding.mend for finding in findings)
    if unit is not None and verdict == "fail":
        assert f"exit code {unit[-1]}" in findings[0].found


@pytest.mark.parametrize(
    ("mode", "url", "verdict"),
    [
        (0o644, "mqtt://ann:swordfish@h", "warn"),
        (0o640, "mqtt://ann:swordfish@h", "ok"),
        (0o644, "mqtt://h", "ok"),
    ],
)
def test_an_open_password_is_a_warning(mode: int, url: str, verdict: str, tmp_path: Path) -> None:
    """A warning is given only for a password in a world-readable file."""
    file = tmp_path / "edgepose.toml"
    file.write_text(f'[mqtt]\nurl = "{url}"\n')
    file.chmod(mode)

    finding = checks.secrets(file)

    assert finding.verdict == verdict
    assert is_helpful(finding)
    assert "swordfish" not in finding.found + finding.mend


def test_the_state_directory_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a state directory a warning says that events are kept in memory only."""
    good = checks.state(config(""))
    (tmp_path / "file").touch()
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "file" / "below"))
    bad = checks.state(config(""))

    assert (good.verdict, bad.verdict) == ("ok", "warn")
    assert is_helpful(bad)


def test_a_full_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The finding has the free space and a remedy."""
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: SimpleNamespace(free=5_000_000))

    finding = checks.state(config(""))

    assert finding.verdict == "warn"
    assert "5 MB" in finding.found
    assert is_helpful(finding)


def test_a_missing_runtime_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is a pip command."""
    good = model.runtime()

    def missing() -> str:
        raise ModelError("no TFLite runtime is installed")

    monkeypatch.setattr(interpreter, "runtime", missing)
    bad = model.runtime()

    assert (good.verdict, bad.verdict) == ("ok", "fail")
    assert "pip install" in bad.mend


@pytest.mark.parametrize(
    ("name", "verdict"), [("movenet-lightning", "ok"), ("auto", "ok"), ("movenet-nonsense", "fail")]
)
def test_the_model_is_really_run(name: str, verdict: str) -> None:
    """A known model is executed, an unknown one fails, `auto` is not measured."""
    finding = model.model(config(f'[model]\nname = "{name}"\n'))

    assert finding.verdict == verdict
    assert ("ms" in finding.found) == (verdict == "ok")
    assert is_helpful(finding)


@pytest.mark.parametrize(("falls", "verdict"), [(True, "warn"), (False, "ok")])
def test_a_model_that_finds_few_people_who_lie_is_named(falls: bool, verdict: str) -> None:
    """With fall detection PoseNet gets a warning, MultiPose does not."""
    tables = f'[model]\nname = "{{}}"\n[events]\nfall = {str(falls).lower()}\n'

    unfit = model.model(config(tables.format("posenet-uint8")))
    fit = model.model(config(tables.format("movenet-multipose")))

    assert (unfit.verdict, fit.verdict) == (verdict, "ok")
    assert ("lying people" in unfit.found) == falls
    assert is_helpful(unfit)


@pytest.mark.parametrize(
    ("asked", "verdict"), [("cpu", "ok"), ("auto", "ok"), ("edgetpu", "fail"), ("/no/lib", "fail")]
)
@pytest.mark.usefixtures("no_edgetpu")
def test_an_absent_delegate_fails_only_if_it_was_named(asked: str, verdict: str) -> None:
    """With `auto` an absent delegate is ok, a configured one fails."""
    finding = model.delegate(config(f'[model]\ndelegate = "{asked}"\n'))

    assert finding.verdict == verdict
    assert is_helpful(finding)


def test_an_edgetpu_that_may_not_be_opened_is_named(
    no_edgetpu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finding names the node and the group of the udev rule."""
    plug_in(no_edgetpu, mode=0o600)
    monkeypatch.setattr(checks.os, "access", lambda path, mode: "007" not in str(path))

    finding = model.delegate(config('[model]\ndelegate = "edgetpu"\n'))

    assert finding.verdict == "fail"
    assert "001/007" in finding.found
    assert "plugdev" in finding.mend


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "verdict", "words"),
    [
        ({}, "ok", "passed its trial"),
        ({"AT_INVOKE": "CRASH"}, "fail", "crashed"),
        ({"AT_LOAD": "REFUSE"}, "fail", "delegate"),
    ],
)
def test_a_delegate_is_tried_in_a_child_process(
    told: dict[str, str], verdict: str, words: str, tmp_path: Path
) -> None:
    """A crash of the delegate is a finding."""
    library = tpu.compile_delegate(tmp_path, **told)
    for_the_tpu, _ = tpu.pair(tmp_path)
    tables = f'[model]\nname = "{for_the_tpu}"\ndelegate = "{library}"\n'

    finding = model.delegate(config(tables))
    on_cpu = model.model(config(tables))

    assert finding.verdict == verdict, finding
    assert words in finding.found
    assert is_helpful(finding)
    assert on_cpu.verdict == "ok"  # the CPU model


def test_a_camera_is_asked_for_one_picture(tmp_path: Path) -> None:
    """The finding has the picture's size, also for a finite source."""
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((48, 64, 3), np.uint8))

    finding = checks.source(Camera(id="hall", source=str(tmp_path / "one.png")))

    assert finding.verdict == "ok"
    assert "64x48" in finding.found


@pytest.mark.parametrize("source", ["/dev/video99", "/no/such.mp4", "nonsense://x"])
def test_a_camera_without_a_picture_fails(source: str) -> None:
    """The finding has the source's error."""
    finding = checks.source(Camera(id="hall", source=source))

    assert finding.verdict == "fail"
    assert is_helpful(finding)


def test_each_kind_of_camera_has_a_mend_of_its_own() -> None:
    """The remedy depends on the kind of source."""
    mends = {
        scheme: checks.source(Camera(id="hall", source=uri)).mend
        for scheme, uri in {
            "v4l2": "/dev/video99",
            "file": "/no/such.mp4",
            "rtsp": f"rtsp://ann:pw@127.0.0.1:{free_port()}/x",
        }.items()
    }

    assert "usermod -aG video" in mends["v4l2"]
    assert "password" in mends["rtsp"]
    assert len(set(mends.values())) == len(mends)
    assert set(sources.SOURCES) - set(checks.CAMERA_REMEDIES) == {"rtsp", "rtsps", "http", "https"}


def test_a_camera_that_says_nothing_does_not_hold_us_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that delivers nothing fails after a timeout."""
    monkeypatch.setattr(checks, "PICTURE_S", 0.05)
    monkeypatch.setattr(checks.sources, "open_source", lambda *_, **__: Silent())

    finding = checks.source(Camera(id="hall", source="/dev/video0"))

    assert finding.verdict == "fail"
    assert "no picture" in finding.found


class Silent:
    """A source that blocks until the end of the test run."""

    def frames(self) -> Iterator[None]:
        import threading

        threading.Event().wait()
        yield None

    def close(self) -> None:
        """Do nothing."""


def test_a_broker_that_is_not_there_fails() -> None:
    """The finding has the system's reason."""
    finding = doctor_broker.broker(config(f'[mqtt]\nurl = "mqtt://127.0.0.1:{free_port()}"\n'))

    assert finding.verdict == "fail"
    assert "refused" in finding.found
    assert is_helpful(finding)


@pytest.mark.parametrize(
    ("url", "trouble", "words"),
    [
        ("mqtt://localhost", "connection refused", "mosquitto"),
        ("mqtt://house.local", "timed out", "house.local on"),
        ("mqtts://house.local", "connection reset", "without TLS it is mqtt://"),
        ("mqtts://house.local", "its certificate is not trusted; set mqtt.ca_file", "[mqtt]"),
    ],
)
def test_what_to_do_about_a_broker_depends_on_where_it_is(
    url: str, trouble: str, words: str
) -> None:
    """The remedy is to start a service, to find a machine or to change a key."""
    mend = doctor_broker._remedy_connection(config(f'[mqtt]\nurl = "{url}"\n'), trouble)

    assert words in mend


class TestPlaces:
    """Page and metrics: answering, startable, or not."""

    @pytest.fixture(autouse=True)
    def _nobody_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch
        monkeypatch.setattr(http_probe, "is_page", lambda place, tls: False)
        monkeypatch.setattr(http_probe, "has_numbers", lambda place: False)

    def look(self, port: int | None, *, runs: bool = False) -> tuple[Finding, Finding]:
        listen = "" if port is None else f"127.0.0.1:{port}"
        page = config(f'[web]\nlisten = "{listen}"\n')
        numbers = config(f'[metrics]\nlisten = "{listen}"\n')
        return checks.live_page(page, runs=runs), checks.numbers(numbers, runs=runs)

    def test_what_answers_is_well(self) -> None:
        """A port in use by the daemon is ok."""
        self.patch.setattr(http_probe, "is_page", lambda place, tls: True)
        self.patch.setattr(http_probe, "has_numbers", lambda place: True)
        with socket.create_server(("127.0.0.1", 0)) as ours:
            findings = self.look(ours.getsockname()[1])

        assert all(one.verdict == "ok" and "answers" in one.found for one in findings)

    @pytest.mark.parametrize(("runs", "verdict"), [(False, "ok"), (True, "warn")])
    def test_a_free_port_is_well_before_the_daemon_runs(self, runs: bool, verdict: str) -> None:
        """A free port is ok, but not while the daemon runs."""
        findings = self.look(free_port(), runs=runs)

        assert all(one.verdict == verdict and is_helpful(one) for one in findings)

    def test_a_port_that_others_have_is_a_warning(self) -> None:
        """The finding names the key."""
        with socket.create_server(("127.0.0.1", 0)) as theirs:
            page, numbers = self.look(theirs.getsockname()[1])

        assert page.verdict == numbers.verdict == "warn"
        assert "web.listen" in page.mend
        assert "metrics.listen" in numbers.mend

    def test_off_is_well(self) -> None:
        """An empty address is ok."""
        assert all(one.verdict == "ok" and is_helpful(one) for one in self.look(None))

    def test_what_the_page_lacks_is_named(self, tmp_path: Path) -> None:
        """Missing libraries, token or certificate are reported as by the daemon."""
        self.patch.setenv("STATE_DIRECTORY", str(tmp_path))
        listen = f'listen = "127.0.0.1:{free_port()}"\n'
        no_token = config(f'[web]\nlisten = "0.0.0.0:{free_port()}"\n')
        no_file = config(f'[web]\n{listen}cert_file = "{tmp_path}/none.pem"\n')

        found = [checks.live_page(made, runs=False) for made in (no_token, no_file)]
        self.patch.setattr("edgepose.web.requirements.find_spec", lambda name: None)
        found.append(checks.live_page(config(f"[web]\n{listen}"), runs=False))

        assert all(one.verdict == "warn" and is_helpful(one) for one in found)
        assert "edgepose web token" in found[0].mend
        assert "none.pem" in found[1].found
        assert "aiohttp" in found[2].mend


@pytest.mark.parametrize(("there", "verdict"), [(object(), "ok"), (None, "fail")])
def test_the_built_in_broker_needs_its_library(
    there: object, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finding names the missing extra."""
    monkeypatch.setattr(embedded_broker, "find_spec", lambda name: there)
    monkeypatch.setattr(embedded_broker, "find_mosquitto", lambda: None)

    finding = doctor_broker.broker(config('[mqtt]\nurl = "embedded"\n'))

    assert finding.verdict == verdict
    assert is_helpful(finding)


@pytest.mark.slow
@needs_mosquitto
@pytest.mark.parametrize(("password", "verdict"), [("right", "ok"), ("swordfish", "fail")])
def test_the_login_is_tried(
    password: str, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused login names the user, not the password."""
    with with_passwords(tmp_path, {"ann": "right"}) as broker:
        monkeypatch.setenv("EDGEPOSE_MQTT_PASSWORD", password)
        finding = doctor_broker.broker(config(f'[mqtt]\nurl = "{broker.url}"\nusername = "ann"\n'))

    assert finding.verdict == verdict
    assert is_helpful(finding)
    assert verdict == "ok" or "'ann'" in finding.found
    assert "swordfish" not in finding.found + finding.mend


@pytest.mark.slow
@needs_mosquitto
def test_a_password_that_only_the_service_has_is_thought_of(tmp_path: Path) -> None:
    """Without the service's credential the remedy is to use sudo."""
    with with_passwords(tmp_path, {"ann": "right"}) as broker:
        finding = doctor_broker.broker(config(f'[mqtt]\nurl = "{broker.url}"\nusername = "ann"\n'))

    assert finding.verdict == "fail"
    assert "sudo edgepose doctor" in finding.mend


@pytest.mark.parametrize(
    ("kernel", "service", "verdict", "words"),
    [
        (0, "", "ok", "synchronised"),
        (5, "yes", "warn", "not synchronised"),
        (-1, "no", "warn", "not synchronised"),
        (-1, "yes", "ok", "synchronised"),
        (-1, "", "ok", "not reported"),
    ],
)
def test_a_clock_that_nobody_keeps_is_a_warning(
    kernel: int, service: str, verdict: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's clock state is used, or the system service's if not permitted."""

    class Library:
        def adjtimex(self, _: object) -> int:
            return kernel

    monkeypatch.setattr(machine.ctypes, "CDLL", lambda _: Library())
    monkeypatch.setattr(machine, "_said_by", lambda *command: f"{service}\n")

    finding = machine.clock()

    assert finding.verdict == verdict
    assert words in finding.found
    assert is_helpful(finding)


COOL = dict.fromkeys(hardware.FLAGS, False)


@pytest.mark.parametrize(
    ("now", "since_boot", "power", "heat"),
    [
        (set(), set(), "ok", "ok"),
        (set(), {"under_voltage"}, "warn", "ok"),
        ({"under_voltage", "throttled"}, {"under_voltage", "throttled"}, "warn", "warn"),
        (set(), {"soft_temperature_limit"}, "ok", "warn"),
        ({"frequency_capped"}, {"frequency_capped"}, "ok", "warn"),
    ],
)
def test_what_slows_a_pi_down_is_a_warning(
    now: set[str], since_boot: set[str], power: str, heat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Undervoltage and heat are separate warnings, each with a remedy."""
    monkeypatch.setattr(hardware, "temperature_c", lambda: 55.0)
    told = Throttling(COOL | dict.fromkeys(now, True), COOL | dict.fromkeys(since_boot, True))

    findings = machine.power(told), machine.heat(told)

    assert tuple(finding.verdict for finding in findings) == (power, heat)
    assert all(is_helpful(finding) for finding in findings)
    assert all(flag in findings[1].found for flag in now - {"under_voltage"})
    if power == heat == "warn":
        assert all("right now" in finding.found for finding in findings)


@pytest.mark.parametrize(("temperature_c", "verdict"), [(None, "ok"), (55.0, "ok"), (85.0, "warn")])
def test_a_machine_without_a_firmware_to_ask_may_be_hot(
    temperature_c: float | None, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without firmware data only the temperature is judged."""
    monkeypatch.setattr(hardware, "temperature_c", lambda: temperature_c)

    finding = machine.heat(None)

    assert finding.verdict == verdict
    assert is_helpful(finding)
    assert "slowed" not in finding.found
    assert machine.power(None).verdict == machine.power(Throttling({}, {})).verdict == "ok"


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the findings of the checks."""

    def let(*findings: Finding) -> None:
        monkeypatch.setattr(checks, "_all_findings", lambda file: iter(findings))

    return let


FINE = Finding("clock", "ok", "synchronised")
ODD = Finding("heat", "warn", "85 °C", "air")
BAD = Finding("camera", "fail", "rtsp://ann:swordfish@h/: gone", "look at its cable")


@pytest.mark.parametrize(
    ("findings", "code"), [((FINE,), 0), ((FINE, ODD), 0), ((BAD, FINE), 1), ((FINE, ODD, BAD), 1)]
)
@pytest.mark.parametrize("words", [[], ["--json"]])
def test_only_a_failure_fails(
    findings: tuple[Finding, ...],
    code: int,
    words: list[str],
    examined: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Text and JSON agree, only failures give exit code 1, and no password is printed."""
    examined(*findings)

    assert cli.main(["doctor", *words]) == code

    said = capsys.readouterr().out
    assert "swordfish" not in said
    if words:
        report = json.loads(said)
        assert report["ok"] == (code == 0)
        assert [one["check"] for one in report["findings"]] == [one.check for one in findings]
    else:
        assert [line.split()[0] for line in said.splitlines() if not line.startswith(" ")] == [
            one.verdict for one in findings
        ]
        assert all(f"-> {one.mend}" in said for one in findings if one.mend)


def test_commands_are_as_they_are_typed(examined: Callable[..., None]) -> None:
    """The pip command is that of this Python environment."""
    missing = "the page's libraries are missing"
    examined(Finding("page", "warn", missing, "pip install 'aiohttp>=3.11', or set it to off"))

    (finding,) = checks.run_checks(None)

    assert f"{sys.prefix}/bin/pip install 'aiohttp>=3.11'" in finding.mend
    assert finding.found == missing


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch, examined: Callable[..., None]) -> list[list[str]]:
    """Return the recorded exec calls of this process, as root on a machine with the service."""
    commands: list[list[str]] = []

    def become(name: str, command: list[str]) -> None:
        commands.append(command)
        raise SystemExit

    examined(FINE)
    monkeypatch.setattr(command.os, "geteuid", lambda: 0)
    monkeypatch.setattr(command, "has_service", lambda: True)
    monkeypatch.setattr(command.os, "execvp", become)
    return commands


@pytest.mark.parametrize("words", [["doctor"], ["--debug", "doctor", "--json"]])
def test_root_looks_as_the_service_does(became: list[list[str]], words: list[str]) -> None:
    """As root, doctor runs with the unit's user, state and credentials."""
    with pytest.raises(SystemExit):
        cli.main(words)

    (said,) = became
    assert said[0] == "systemd-run"
    assert said[-len(words) - 3 :] == [sys.executable, "-m", "edgepose", *words]
    given = {said[index + 1] for index, word in enumerate(said) if word == "-p"}
    unit = Path(__file__).parents[2] / "systemd" / "edgepose.service"
    assert {"User=edgepose", "StateDirectory=edgepose"} < given <= set(unit.read_text().split("\n"))


@pytest.mark.parametrize(
    ("user", "installed", "words"), [(1000, True, []), (0, False, []), (0, True, ["-c", "my.toml"])]
)
def test_others_look_for_themselves(
    became: list[list[str]],
    user: int,
    installed: bool,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without root, service or its configuration, doctor runs in this process."""
    monkeypatch.setattr(command.os, "geteuid", lambda: user)
    monkeypatch.setattr(command, "has_service", lambda: installed)

    assert cli.main(["doctor", *words]) == 0

    assert became == []


@pytest.mark.slow
def test_all_of_it_looks_at_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A real run raises nothing and finds the failing broker."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
    file = tmp_path / "edgepose.toml"
    file.write_text(f'[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\n{CAMERA}')

    code = cli.main(["doctor", "--json", "-c", str(file)])

    report = json.loads(capsys.readouterr().out)
    verdicts = {one["check"]: one["verdict"] for one in report["findings"]}
    assert code == 1
    assert verdicts["broker"] == "fail"
    fine = ("configuration", "runtime", "model", "camera hall", "permissions", "state")
    assert {verdicts[check] for check in fine} == {"ok"}
    assert {"clock", "power", "heat", "delegate"} <= set(verdicts)


def test_a_source_without_an_end_of_its_own_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that fails is closed, as the device is needed again."""
    closed = []

    class Failing:
        def frames(self) -> Iterator[None]:
            raise SourceError("the cable is loose")
            yield

        def close(self) -> None:
            closed.append(True)

    monkeypatch.setattr(checks.sources, "open_source", lambda *_, **__: Failing())

    finding = checks.source(Camera(id="hall", source="/dev/video0"))

    assert finding.found == "the cable is loose"
    assert closed == [True]
