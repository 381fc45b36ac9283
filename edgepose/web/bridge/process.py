"""Starts and ends the process that serves the page."""

import logging
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from edgepose.web import feed

log: Final = logging.getLogger(__name__)

BUFFER: Final = 1 << 18  # bytes; room for a picture, or one second of messages of all cameras
END_S: Final = 1.0  # wait for the end of the process before it is killed
LONG_S: Final = 60.0  # a longer run counts as a successful start
RETRY_S: Final = (1, 2, 5, 10, 30, 60)


class PageProcess:
    """Starts the process with the first connection, and again after it has ended.

    Parameters
    ----------
    listener : socket
        Listens on the page's address; closed by `close`.
    on_start : callable
        Called with the socket to a new process.
    on_command : callable
        Called with each datagram from the process.
    on_end : callable
        Called after a process has ended.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        on_start: Callable[[socket.socket], None],
        on_command: Callable[[bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        self._listener = listener
        self._on_start, self._on_command, self._on_end = on_start, on_command, on_end
        self._closing = threading.Event()
        self._lines: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run_processes, name="page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the process and stop listening."""
        self._closing.set()
        lines = list(self._lines)
        for line in lines:
            line.shutdown(socket.SHUT_RDWR)
        if not lines:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the waiting thread
        self._thread.join(2 * END_S)
        self._listener.close()

    def _run_processes(self) -> None:
        failures = 0
        while self._wait_for_connection():
            started_s = time.monotonic()
            code = self._serve_process()
            lived_s = time.monotonic() - started_s
            failures = 0 if not code or lived_s > LONG_S else failures + 1
            if failures and not self._closing.is_set():
                pause_s = RETRY_S[min(failures, len(RETRY_S)) - 1]
                again = f"the next connection after {pause_s} s starts it again"
                log.warning("the page's process ended with %d; %s", code, again)
                self._closing.wait(pause_s)

    def _wait_for_connection(self) -> bool:
        """Wait for a connection; return False when the page is closed."""
        waiting = select.poll()
        waiting.register(self._listener, select.POLLIN)
        if not self._closing.is_set():
            waiting.poll()
        return not self._closing.is_set()

    def _serve_process(self) -> int:
        """Run a process until it ends; return its exit code."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            with theirs:
                process = _start_process(self._listener, theirs)
            self._lines.append(ours)
            try:
                if not self._closing.is_set():
                    self._on_start(ours)
                    while datagram := ours.recv(feed.LIMIT):
                        self._on_command(datagram)
            except OSError as error:  # the process was killed with unread data
                log.debug("the page's process: %s", error)
            finally:
                self._lines.remove(ours)
                self._on_end()
        return _end_process(process)


def _start_process(listener: socket.socket, line: socket.socket) -> subprocess.Popen[bytes]:
    """Start the process. It ends when the other end of its socket closes."""
    handles = (listener.fileno(), line.fileno())
    # In its own session: Ctrl-C reaches the daemon only, which ends the process.
    return subprocess.Popen(
        [sys.executable, "-m", "edgepose.web", *map(str, handles)],
        stdin=subprocess.DEVNULL,
        pass_fds=handles,
        start_new_session=True,
    )


def _end_process(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
