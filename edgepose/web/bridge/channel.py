"""The line between the daemon and the page's process."""

import logging
import socket
import threading
from collections import deque
from collections.abc import Iterable
from typing import Final

from edgepose.web import feed
from edgepose.web.feed import EVENTS, PASSING, Told

log: Final = logging.getLogger(__name__)


class Line:
    """The way to the process: never waits, and what matters is told again after a jam.

    Poses and pictures are left out when the process is busy. Of states and numbers the
    newest are kept, and the last events, for a process that starts or was jammed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._kept: dict[tuple[str, ...], Told] = {}
        self._events: deque[Told] = deque(maxlen=EVENTS)
        self._behind = False

    def open(self, line: socket.socket, first: Told) -> None:
        """Speak on a socket from now on: first this, then all that is kept."""
        with self._lock:
            self._socket = line
            self._send(first)
            self._behind = not self._send_kept()

    def close(self) -> None:
        """Speak no more."""
        with self._lock:
            self._socket = None

    def put(self, told: Told) -> None:
        """Tell something; any thread."""
        with self._lock:
            passing = told.word in PASSING
            if not passing:
                self._keep(told)
            if self._socket is None:
                return
            if self._behind:
                self._behind = not self._send_kept()
                if not passing:
                    return
            if not self._send(told) and not passing:
                self._behind = True

    def keep_only(self, cameras: Iterable[str]) -> None:
        """Forget the states of other cameras."""
        known = set(cameras)
        with self._lock:
            self._kept = {
                key: told for key, told in self._kept.items() if known.issuperset(told.of)
            }

    def _keep(self, told: Told) -> None:
        if told.word == "event":
            self._events.append(told)
        else:
            self._kept[told.word, *told.of] = told

    def _send_kept(self) -> bool:
        return all(map(self._send, [*self._kept.values(), *self._events]))

    def _send(self, told: Told) -> bool:
        """Send if there is room; False if there is none."""
        if self._socket is None:
            return True
        try:
            self._socket.send(feed.pack(told), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError as error:  # it has ended, which its thread notices; or a picture too large
            log.debug("%s: %s", told.word, error)
        return True
