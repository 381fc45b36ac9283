"""The channel from the daemon to the page process."""

import logging
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from edgepose.web import feed
from edgepose.web.feed import EVENTS, PASSING, IpcMessage

log: Final = logging.getLogger(__name__)

MAX_DUE: Final = 200  # above it, a slow process gets the latest messages instead of all


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
        self._due: deque[IpcMessage] = deque()
        """Messages that did not fit into the socket yet, in order."""

    def open(self, socket_: socket.socket, first: IpcMessage) -> None:
        """Start sending on a socket: `first`, then all stored messages."""
        with self._lock:
            self._socket, self._due = socket_, deque([first, *self._stored()])
            self._send_due()

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
            if not passing:
                self._due.append(message)
                if len(self._due) > MAX_DUE:
                    self._due = deque(self._stored())
            if self._send_due() and passing:
                self._send_message(message)

    def keep_only(self, cameras: Iterable[str]) -> None:
        """Drop the stored messages of other cameras."""
        known = set(cameras)
        with self._lock:
            self._kept = {
                key: message
                for key, message in self._kept.items()
                if known.issuperset(message.labels)
            }

    def keep_only_clips(self, may_show: Callable[[str], bool]) -> None:
        """Drop the stored clips of cameras that may not be shown."""

        def is_kept(message: IpcMessage) -> bool:
            return message.type != "clip" or may_show(message.labels[0])

        with self._lock:
            self._kept = {key: it for key, it in self._kept.items() if is_kept(it)}
            self._due = deque(filter(is_kept, self._due))

    def _store_message(self, message: IpcMessage) -> None:
        if message.type == "event":
            self._events.append(message)
        else:
            self._kept[message.type, *message.labels] = message

    def _stored(self) -> list[IpcMessage]:
        """Return all stored messages; the events before the clips, which link to them."""
        clips = [message for message in self._kept.values() if message.type == "clip"]
        others = [message for message in self._kept.values() if message.type != "clip"]
        return [*others, *self._events, *clips]

    def _send_due(self) -> bool:
        """Send what is due; return False if the socket is full."""
        while self._due:
            if not self._send_message(self._due[0]):
                return False
            self._due.popleft()
        return True

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
