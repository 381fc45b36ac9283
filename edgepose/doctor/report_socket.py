"""A socket in the runtime directory, where `edgepose doctor` asks the service that runs.

Another process cannot open what the service holds (a camera, a delegate, a password)
beside it. Whoever connects gets one report, as JSON; it holds nothing that others on
this machine may not know.
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
"""The directory that the unit asks for."""

NAME: Final = "doctor"
OPEN_TO_ALL: Final = 0o666  # every user of the machine may ask
ANSWER_S: Final = 60.0  # the broker's check may take 12 s, and another request may be served first


class Hatch:
    """Answers each connection in turn with the report; needs the runtime directory.

    Parameters
    ----------
    report : callable
        Looks at everything; called in a thread of its own.
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
            log.warning("%s: cannot be made: %s; doctor cannot ask us", path, error.strerror)
            return
        threading.Thread(target=self._serve, args=(listener,), name="hatch", daemon=True).start()

    def close(self) -> None:
        """Close the socket; may be called twice."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):  # it may not have listened
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits
            listener.close()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed
                return
            with connection, suppress(OSError):  # the client may have disconnected
                connection.sendall(msgspec.json.encode(self._report()))


def ask() -> Report | None:
    """Return the report of the service on this machine; None where none answers."""
    path = Path(os.environ.get(VARIABLE) or SERVICE) / NAME
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ANSWER_S)
        try:
            line.connect(str(path))
            with line.makefile("rb") as answer:
                return msgspec.json.decode(answer.read(), type=Report)
        except (OSError, msgspec.DecodeError):
            return None
