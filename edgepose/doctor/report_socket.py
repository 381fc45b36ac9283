"""A socket in the runtime directory from which `edgepose doctor` reads the service's report.

While the service runs, no other process can open its camera, delegate or password file. Each
connection gets one report as JSON. All users of the machine may connect; the report contains
nothing confidential.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from edgepose.mqtt.messages import Report

log: Final = logging.getLogger(__name__)

VARIABLE: Final = "RUNTIME_DIRECTORY"  # systemd's, from RuntimeDirectory= in the unit
SERVICE: Final = Path("/run/edgepose")
"""The runtime directory of the unit."""

NAME: Final = "doctor"
OPEN_TO_ALL: Final = 0o666  # every user of the machine may ask
ANSWER_S: Final = 60.0  # the broker's check may take 12 s, and requests are served one by one


class ReportSocket:
    """Answers connections with the report, one at a time; needs the runtime directory.

    Parameters
    ----------
    report : callable
        Runs all checks and returns the report; called in its own thread.
    """

    def __init__(self, report: Callable[[], Report]) -> None:
        self._report = report
        self._listener: socket.socket | None = None

    def open(self) -> None:
        """Bind the socket, replacing a stale one."""
        folder = os.environ.get(VARIABLE)
        if not folder:
            return
        path = Path(folder) / NAME
        self._listener = listener = socket.socket(socket.AF_UNIX)
        try:
            path.unlink(missing_ok=True)
            listener.bind(str(path))
            path.chmod(OPEN_TO_ALL)
            listener.listen()
        except OSError as error:
            log.warning(
                "%s: cannot be created: %s; edgepose doctor cannot query this daemon",
                path,
                error.strerror,
            )
            return
        threading.Thread(
            target=self._serve_reports, args=(listener,), name="hatch", daemon=True
        ).start()

    def close(self) -> None:
        """Close the socket; may be called twice."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):  # not listening
                listener.shutdown(socket.SHUT_RDWR)  # wakes the waiting thread
            listener.close()

    def _serve_reports(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed
                return
            with connection, suppress(OSError):  # the client may have disconnected
                connection.sendall(msgspec.json.encode(self._report()))


def ask() -> Report | None:
    """Return the report of the service on this machine; None if no service answers."""
    path = Path(os.environ.get(VARIABLE) or SERVICE) / NAME
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ANSWER_S)
        try:
            line.connect(str(path))
            with line.makefile("rb") as answer:
                return msgspec.json.decode(answer.read(), type=Report)
        except (OSError, msgspec.DecodeError):
            return None
