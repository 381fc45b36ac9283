"""Logging for the journal, a terminal, or as JSON lines, with passwords removed."""

import logging
import os
import socket
import sys
import threading
import time
from typing import Final, Literal, TextIO

import msgspec

from edgepose.timing import rfc3339
from edgepose.urls import redact

log: Final = logging.getLogger(__name__)

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json"]

PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.NOTSET, 7),
)
"""Syslog priorities by the lowest logging level of each (sd-daemon(3))."""

JOURNAL: Final = "/run/systemd/journal/socket"
"""Socket of the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""

COLOURS: Final = {3: "\x1b[31m", 2: "\x1b[31m", 4: "\x1b[33m", 7: "\x1b[2m"}
PLAIN: Final = "\x1b[0m"


class Redaction(logging.Filter):
    """Removes secrets from URLs in every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Remove secrets from the record's text and traceback."""
        record.msg, record.args = redact(_record_text(record)), None
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        record.exc_text = redact(record.exc_text) if record.exc_text else None
        record.stack_info = redact(record.stack_info) if record.stack_info else None
        return True


class Readable(logging.Formatter):
    """Formats for a terminal: time, level and message, in colour where supported."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")
        self.colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Return one record as text."""
        text = super().format(record)
        tint = COLOURS.get(priority(record.levelno)) if self.colour else None
        return f"{tint}{text}{PLAIN}" if tint else text


class Prefixed(logging.Formatter):
    """Formats for a stderr read by the journal: each line has its priority and no time."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one record as lines, each with the priority."""
        return marked(super().format(record), record.levelno)


class Json(logging.Formatter):
    """Formats one JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one record as JSON."""
        fields = {
            "time": rfc3339(int(record.created * 1e9)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
        }
        if record.exc_text:
            fields["traceback"] = record.exc_text
        return msgspec.json.encode(fields).decode()


class Handler(logging.StreamHandler[TextIO]):
    """Marker class: lets `configure` find and replace its own handlers."""


class JournalHandler(Handler):
    """Sends records to systemd's journal with structured fields.

    Records that the socket does not accept go to stderr, which the journal reads as well.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        fields = {
            "MESSAGE": logging.Formatter().format(record),
            "PRIORITY": priority(record.levelno),
            "SYSLOG_IDENTIFIER": "edgepose",
            "LOGGER": record.name,
            "THREAD_NAME": record.threadName,
            "CODE_FILE": record.pathname,
            "CODE_LINE": record.lineno,
            "CODE_FUNC": record.funcName,
        }
        try:
            self._socket.sendto(b"".join(map(_journal_field, fields.items())), JOURNAL)
        except OSError:  # no socket, or the record is too large
            super().emit(record)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()


def _journal_field(field: tuple[str, object]) -> bytes:
    """Encode a field in the journal's protocol for multi-line values."""
    name, value = field[0].encode(), str(field[1]).encode(errors="replace")
    return name + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"


def configure(level: Level, format: Format = "auto") -> None:  # noqa: A002
    """Send all records to stderr; may be called again to change level or format.

    Libraries log from `warning` on; at level `debug` from `info` on.
    """
    to_journal = format != "json" and is_journal(sys.stderr)
    handler = (JournalHandler if to_journal else Handler)(sys.stderr)
    handler.addFilter(Redaction())
    handler.setFormatter(formatter(format, sys.stderr))
    root = logging.getLogger()
    for old in [known for known in root.handlers if isinstance(known, Handler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.INFO if level == "debug" else logging.WARNING)
    logging.getLogger("edgepose").setLevel(level.upper())
    logging.captureWarnings(True)
    threading.excepthook = _say_ended


def formatter(format: Format, stream: TextIO) -> logging.Formatter:  # noqa: A002
    """Return the formatter for a stream."""
    if format == "json":
        return Json()
    if is_journal(stream):
        return Prefixed()
    colour = stream.isatty() and not os.environ.get("NO_COLOR")
    chosen = Readable(colour=colour)
    chosen.converter = time.localtime
    return chosen


def is_journal(stream: TextIO) -> bool:
    """Return whether a stream is connected to systemd's journal.

    `$JOURNAL_STREAM` holds device and inode of the journal's socket; a stream that was
    redirected later has others (systemd.exec(5)).
    """
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def marked(text: str, level: int) -> str:
    """Prefix each line with the priority, in the format that the journal reads from stderr."""
    return "\n".join(f"<{priority(level)}>{line}" for line in text.split("\n"))


def priority(level: int) -> int:
    """Return the syslog priority of a logging level."""
    return next(number for least, number in PRIORITIES if level >= least)


def _say_ended(fault: threading.ExceptHookArgs) -> None:
    """Log the error that ended a thread; Python would print it without removing secrets."""
    if fault.exc_value is not None and not isinstance(fault.exc_value, SystemExit):
        name = fault.thread.name if fault.thread else "unknown"
        what = (type(fault.exc_value), fault.exc_value, fault.exc_traceback)
        log.error("thread %s: ended by a fault; please report it", name, exc_info=what)


def _record_text(record: logging.LogRecord) -> str:
    """Return a record's text, even if its arguments do not match the format."""
    try:
        return record.getMessage()
    except Exception:
        return f"{record.msg} (its arguments do not fit)"
