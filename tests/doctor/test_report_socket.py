"""The socket through which `edgepose doctor` asks the running service."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepose import cli
from edgepose.config.loading import loads
from edgepose.doctor import report_socket
from edgepose.doctor.report_socket import ReportSocket, ask
from edgepose.mqtt.messages import Finding, Report
from edgepose.service.daemon import Daemon
from tests.support.brokers import free_port, wait_until

REPORT = Report.from_findings([Finding("camera hall", "fail", "no picture", "its cable")])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Provide a runtime directory, as systemd does."""
    monkeypatch.setenv(report_socket.VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture
def opened() -> Iterator[ReportSocket]:
    made = ReportSocket(lambda: REPORT)
    made.open()
    yield made
    made.close()


@pytest.mark.usefixtures("opened")
def test_whoever_asks_is_told_again_and_again(folder: Path) -> None:
    """Each request gets the complete report; every user may connect."""
    assert [ask(), ask()] == [REPORT, REPORT]
    assert (folder / report_socket.NAME).stat().st_mode & 0o777 == 0o666


def test_one_who_hangs_up_does_not_end_it(folder: Path) -> None:
    """A client that disconnects while waiting does not end the socket."""
    asked, gone = threading.Event(), threading.Event()

    def slow() -> Report:
        asked.set()
        gone.wait(10)
        return REPORT

    made = ReportSocket(slow)
    made.open()
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(folder / report_socket.NAME))
        assert asked.wait(10)
    gone.set()

    assert ask() == REPORT
    made.close()


def test_nobody_there_is_no_answer(opened: ReportSocket) -> None:
    """Before start and after close there is no answer; a stale socket is replaced."""
    opened.close()
    opened.close()
    assert ask() is None

    again = ReportSocket(lambda: REPORT)
    again.open()
    assert ask() == REPORT
    again.close()


def test_without_a_directory_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a runtime directory no socket is made."""
    monkeypatch.delenv(report_socket.VARIABLE)
    monkeypatch.setattr(report_socket, "SERVICE", tmp_path)

    ReportSocket(lambda: REPORT).open()

    assert list(tmp_path.iterdir()) == []
    assert ask() is None


def test_a_directory_that_is_closed_is_one_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An unusable directory logs one warning."""
    monkeypatch.setenv(report_socket.VARIABLE, str(tmp_path / "nowhere"))
    closed = ReportSocket(lambda: REPORT)

    closed.open()
    closed.close()

    assert len(caplog.records) == 1


@pytest.mark.usefixtures("opened")
def test_the_doctor_says_what_the_service_says(capsys: pytest.CaptureFixture[str]) -> None:
    """The printed report and the exit code are the service's."""
    code = cli.main(["doctor"])

    assert code == 1
    assert capsys.readouterr().out == "fail  camera hall: no picture\n      -> its cable\n"


@pytest.mark.usefixtures("opened")
def test_another_configuration_is_not_the_services(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With another configuration doctor runs the checks itself."""
    code = cli.main(["doctor", "-c", str(tmp_path / "other.toml")])

    assert code == 1
    assert "other.toml" in capsys.readouterr().out


@pytest.mark.slow
def test_a_running_daemon_answers() -> None:
    """The report has its camera and model; the socket ends with the daemon."""
    quiet = '[metrics]\nlisten = ""\n[web]\nlisten = ""\n[model]\nname = "movenet-lightning"\n'
    camera = '[[camera]]\nid = "hall"\nsource = "demo://"\n'
    away = f'[mqtt]\nurl = "mqtt://127.0.0.1:{free_port()}"\n'
    daemon = Daemon(loads(away + quiet + camera, "test"))
    running = threading.Thread(target=daemon.run)
    running.start()
    try:
        assert wait_until(lambda: "hall" in daemon.state.cameras and _processed(daemon) > 0)
        assert wait_until(lambda: ask() is not None)
        told = ask()
    finally:
        daemon.stop()
        running.join(10)

    assert told is not None
    verdicts = {finding.check: finding.verdict for finding in told.findings}
    assert (verdicts["camera hall"], verdicts["model"]) == ("ok", "ok")
    assert verdicts["broker"] == "fail"
    assert ask() is None


def _processed(daemon: Daemon) -> int:
    return daemon.state.cameras["hall"].camera.health.processed
