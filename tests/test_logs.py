"""Tests of logging: its three forms, and that no secret gets through any of them."""

import io
import json
import logging
import os
import sys
import warnings
from pathlib import Path

import pytest

from edgepose import logs

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


def test_arguments_that_do_not_fit_are_left_out() -> None:
    """A library's wrong call is still a line; logging itself would print the arguments."""
    record = logging.LogRecord("library", logging.INFO, "", 0, "%s of %s", (URL,), None)

    logs.Redaction().filter(record)

    assert logs.Json().format(record).endswith('"message":"%s of %s (its arguments do not fit)"}')


def test_the_journal_gets_a_priority_on_each_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Under systemd each line carries its priority, and no time: the journal has it."""
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        monkeypatch.setattr(sys, "stderr", stream)
        logs.configure("debug")

        log.debug("details")
        log.info("first\nsecond")
        log.warning("beware")
        log.error("broken")
        log.critical("the end")

        stream.seek(0)
        written = stream.read().splitlines()
    assert written == [
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
