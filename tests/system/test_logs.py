"""Logging: its three formats, and that no secret appears in any of them."""

import io
import json
import logging
import os
import socket
import sys
import threading
import warnings
from pathlib import Path

import pytest

from edgepose.system import logs

URL = "rtsp://admin:swordfish@192.0.2.7/live?token=swordfish"

log = logging.getLogger("edgepose.somewhere")


@pytest.fixture(autouse=True)
def _no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo the effect of running the tests in a service."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("form", ["auto", "json"])
def test_no_secret_gets_through(capsys: pytest.CaptureFixture[str], form: logs.Format) -> None:
    """The password is hidden in texts, arguments, exceptions, causes and warnings."""
    logs.configure("debug", form)

    log.info("camera hall: %s is away", URL)
    log.info("camera %(id)s: %(url)s", {"id": "hall", "url": URL})
    log.info(f"cannot open {URL}")
    log.warning("an object", extra={"url": URL}, stack_info=True)
    logging.getLogger("some.library").error("lost %r", [URL])
    warnings.warn(f"slow {URL}", stacklevel=1)
    try:
        try:
            raise ValueError(URL)
        except ValueError as error:
            raise OSError(f"broken {URL}") from error
    except OSError:
        log.exception("camera hall: lost")

    written = capsys.readouterr().err
    assert "swordfish" not in written
    assert "slow rtsp" in written
    assert written.count("admin:***@192.0.2.7") >= 7
    assert "Traceback" in written


def test_what_ends_a_thread_is_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    """Uncaught exceptions of threads are logged in the chosen format, with secrets hidden."""
    logs.configure("info", "json")

    def fail() -> None:
        raise OSError(f"broken {URL}")

    for target in (fail, sys.exit):
        thread = threading.Thread(target=target, name="mqtt")
        thread.start()
        thread.join()

    (record,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert record["level"] == "error"
    assert "thread mqtt" in record["message"]
    assert "admin:***@192.0.2.7" in record["traceback"]
    assert "swordfish" not in record["traceback"]


def test_arguments_that_do_not_fit_are_left_out() -> None:
    """A wrong number of arguments gives a record without them."""
    record = logging.LogRecord("library", logging.INFO, "", 0, "%s of %s", (URL,), None)

    logs.Redaction().filter(record)

    assert logs.Json().format(record).endswith('"message":"%s of %s (its arguments do not fit)"}')


class Stderr:
    """A stderr connected to a journal whose socket is missing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._file = folder / "journal"
        stream = self._file.open("w")
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        monkeypatch.setattr(logs, "JOURNAL", str(folder / "socket"))
        monkeypatch.setattr(sys, "stderr", stream)

    def lines(self) -> list[str]:
        """Return the written lines."""
        return self._file.read_text().splitlines()


def fields(datagram: bytes) -> dict[str, str]:
    """Decode the journal's datagram: a name, the value's length in eight bytes, the value."""
    found = {}
    while datagram:
        name, _, rest = datagram.partition(b"\n")
        length = int.from_bytes(rest[:8], "little")
        found[name.decode()] = rest[8 : 8 + length].decode()
        assert rest[8 + length : 9 + length] == b"\n"
        datagram = rest[9 + length :]
    return found


def test_the_journal_gets_records_with_fields(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each record is one entry with priority, logger and code location, without secrets."""
    stderr = Stderr(monkeypatch, tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(logs.JOURNAL)
        journal.settimeout(10)
        logs.configure("debug")

        log.warning("camera hall:\n%s is away", URL)
        try:
            raise OSError(f"broken {URL}")
        except OSError:
            log.exception("lost")
        log.info("x" * 10_000_000)

        first, second = (fields(journal.recv(1 << 16)) for _ in range(2))
    assert first["MESSAGE"].startswith("camera hall:\nrtsp://admin:***@")
    assert first["PRIORITY"] == "4"
    assert first["SYSLOG_IDENTIFIER"] == "edgepose"
    assert first["LOGGER"] == "edgepose.somewhere"
    assert first["THREAD_NAME"] == "MainThread"
    assert Path(first["CODE_FILE"]).name == "test_logs.py"
    assert first["CODE_FUNC"] == "test_the_journal_gets_records_with_fields"
    assert int(first["CODE_LINE"]) > 0
    assert second["MESSAGE"].startswith("lost\nTraceback")
    assert second["PRIORITY"] == "3"
    assert "swordfish" not in str(first) + str(second)
    assert stderr.lines() == [f"<6>{'x' * 10_000_000}"]  # too large for the socket


def test_without_its_socket_the_journal_gets_a_priority_on_each_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each line on stderr begins with its priority, without a time."""
    stderr = Stderr(monkeypatch, tmp_path)
    logs.configure("debug")

    log.debug("details")
    log.info("first\nsecond")
    log.warning("beware")
    log.error("broken")
    log.critical("the end")

    assert stderr.lines() == [
        "<7>details",
        "<6>first",
        "<6>second",
        "<4>beware",
        "<3>broken",
        "<2>the end",
    ]


def test_a_stream_that_was_sent_elsewhere_is_not_the_journal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """JOURNAL_STREAM is inherited by child processes: device and inode are compared."""
    with (tmp_path / "file").open("w") as stream:
        monkeypatch.setenv("JOURNAL_STREAM", "1:2")

        assert not logs.is_journal(stream)
        assert not logs.is_journal(io.StringIO())


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, pipes and terminals with NO_COLOR get plain text."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    record = logging.LogRecord("edgepose", logging.ERROR, "", 0, "broken", (), None)

    coloured = logs.formatter("auto", Terminal()).format(record)
    plain = logs.formatter("auto", io.StringIO()).format(record)
    monkeypatch.setenv("NO_COLOR", "1")
    refused = logs.formatter("auto", Terminal()).format(record)

    assert "\x1b[" in coloured
    assert coloured.endswith(logs.PLAIN)
    assert "\x1b" not in plain + refused
    assert plain.endswith("ERROR   broken")


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Each record is one JSON object per line, including its traceback."""
    logs.configure("info", "json")

    log.warning("two\nlines %s", "ü")
    try:
        raise KeyError("x")
    except KeyError:
        log.exception("broken")

    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first | {"time": ""} == {
        "time": "",
        "level": "warning",
        "logger": "edgepose.somewhere",
        "thread": "MainThread",
        "message": "two\nlines ü",
    }
    assert first["time"].endswith("Z")
    assert "KeyError" in second["traceback"]


def test_libraries_are_quieter_than_we_are(capsys: pytest.CaptureFixture[str]) -> None:
    """At `info` libraries log only warnings, at `debug` everything."""
    other = logging.getLogger("some.library")

    logs.configure("info")
    other.info("chatter")
    log.info("ours")
    logs.configure("debug")
    other.info("asked for")

    written = capsys.readouterr().err
    assert "chatter" not in written
    assert "ours" in written
    assert "asked for" in written


def test_configuring_again_changes_and_does_not_double(capsys: pytest.CaptureFixture[str]) -> None:
    """Configuring twice changes the level and does not duplicate records."""
    logs.configure("info")
    logs.configure("error")

    log.info("quiet")
    log.error("loud")

    written = capsys.readouterr().err
    assert "quiet" not in written
    assert written.count("loud") == 1
