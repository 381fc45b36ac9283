"""Tests of logging: its three forms, and that no secret gets through any of them."""

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
    """Whoever runs the tests may be a service."""
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("form", ["auto", "json"])
def test_no_secret_gets_through(capsys: pytest.CaptureFixture[str], form: logs.Format) -> None:
    """Text, arguments, exceptions, their causes, warnings: the password is in none of them."""
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
    """Python itself would print it without hiding anything, and in no form that programs read."""
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
    """A library's wrong call is still a line; logging itself would print the arguments."""
    record = logging.LogRecord("library", logging.INFO, "", 0, "%s of %s", (URL,), None)

    logs.Redaction().filter(record)

    assert logs.Json().format(record).endswith('"message":"%s of %s (its arguments do not fit)"}')


class Stderr:
    """What ends in a journal, whose own socket is not there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._file = folder / "journal"
        stream = self._file.open("w")
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        monkeypatch.setattr(logs, "JOURNAL", str(folder / "socket"))
        monkeypatch.setattr(sys, "stderr", stream)

    def lines(self) -> list[str]:
        """Return what was written."""
        return self._file.read_text().splitlines()


def fields(datagram: bytes) -> dict[str, str]:
    """Read what the journal is sent: a name, its value's length in eight bytes, the value."""
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
    """One entry each, however many lines: its priority, who said it and where; no secret."""
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
    """Each line of stderr carries its priority, and no time: the journal has it."""
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
    """The variable is inherited by children whose stderr is another: the inode decides."""
    with (tmp_path / "file").open("w") as stream:
        monkeypatch.setenv("JOURNAL_STREAM", "1:2")

        assert not logs.is_journal(stream)
        assert not logs.is_journal(io.StringIO())


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, a pipe and NO_COLOR get plain text."""
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
    """Programs read time, level, logger, thread and message; a traceback stays in its line."""
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
    """At `info` only warnings of others are worth a line; at `debug` also what they tell."""
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
    """After a reload each record is still one line, at the new level."""
    logs.configure("info")
    logs.configure("error")

    log.info("quiet")
    log.error("loud")

    written = capsys.readouterr().err
    assert "quiet" not in written
    assert written.count("loud") == 1
