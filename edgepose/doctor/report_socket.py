"""A socket in the runtime directory, where `edgepose doctor` asks the service that runs.

What the service holds (a camera, a delegate, the broker's password) nobody else can try
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
OPEN_TO_ALL: Final = 0o666  # whoever looks over SSH need not be root
ANSWER_S: Final = 60.0  # the broker's part may take 12 s, and somebody may have asked before


class Hatch:
    """Answers whoever connects, one after the other; there is none without the directory.

    Parameters
    ----------
    report : callable
        Looks at everything; called in a thread of its own.
    """

    def __init__(self, report: Callable[[], Report]) -> None:
        self._report = report
        self._listener: socket.socket | None = None

    def open(self) -> None:
        """Listen, in a place that an earlier run may have left behind."""
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
        """Listen no more; twice is fine."""
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
            with connection, suppress(OSError):  # whoever asked may have gone
                connection.sendall(msgspec.json.encode(self._report()))


def ask() -> Report | None:
    """Return what the service on this machine says; None if none runs, or it says nothing."""
    path = Path(os.environ.get(VARIABLE) or SERVICE) / NAME
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ANSWER_S)
        try:
            line.connect(str(path))
            with line.makefile("rb") as answer:
                return msgspec.json.decode(answer.read(), type=Report)
        except (OSError, msgspec.DecodeError):
            return None
