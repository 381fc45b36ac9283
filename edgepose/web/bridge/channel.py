"""The channel from the daemon to the page process."""

import logging
import socket
import threading
from collections import deque
from collections.abc import Iterable
from typing import Final

from edgepose.web import feed
from edgepose.web.feed import EVENTS, PASSING, IpcMessage

log: Final = logging.getLogger(__name__)


class IpcChannel:
    """Sends messages to the page process without blocking. Thread-safe.

    Poses and pictures are dropped while the socket is full. The latest message of every other
    type and the latest events are stored, and sent again when a process starts or was slow.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._kept: dict[tuple[str, ...], IpcMessage] = {}
        self._events: deque[IpcMessage] = deque(maxlen=EVENTS)
        self._behind = False

    def open(self, socket_: socket.socket, first: IpcMessage) -> None:
        """Start sending on a socket: `first`, then all stored messages."""
        with self._lock:
            self._socket = socket_
            self._send_message(first)
            self._behind = not self._send_kept()

    def close(self) -> None:
        """Stop sending."""
        with self._lock:
            self._socket = None

    def put(self, message: IpcMessage) -> None:
        """Send a message, or store it for later."""
        with self._lock:
            passing = message.type in PASSING
            if not passing:
                self._store_message(message)
            if self._socket is None:
                return
            if self._behind:
                self._behind = not self._send_kept()
                if not passing:
                    return
            if not self._send_message(message) and not passing:
                self._behind = True

    def keep_only(self, cameras: Iterable[str]) -> None:
        """Drop the stored messages of other cameras."""
        known = set(cameras)
        with self._lock:
            self._kept = {
                key: message
                for key, message in self._kept.items()
                if known.issuperset(message.labels)
            }

    def _store_message(self, message: IpcMessage) -> None:
        if message.type == "event":
            self._events.append(message)
        else:
            self._kept[message.type, *message.labels] = message

    def _send_kept(self) -> bool:
        clips = [message for message in self._kept.values() if message.type == "clip"]
        others = [message for message in self._kept.values() if message.type != "clip"]
        return all(
            map(self._send_message, [*others, *self._events, *clips])
        )  # events first: clips link to them

    def _send_message(self, message: IpcMessage) -> bool:
        """Send a message; return False if the socket is full."""
        if self._socket is None:
            return True
        try:
            self._socket.send(feed.pack(message), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError as error:  # the process has ended, or the picture is too large
            log.debug("%s: %s", message.type, error)
        return True
