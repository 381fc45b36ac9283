"""Finds a second device with this device's id on the same broker.

Two devices of one id write the same topics: their poses mix and each overwrites the other's
states. A device hears its own `B/stats` topic; statistics that it has not sent itself come
from another one that is alive: they are never retained and never queued.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from edgepose.mqtt.topics import Topics
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Message, Received

log: Final = logging.getLogger(__name__)

REMEMBERED: Final = 8  # own messages; those of MQTT 3.1.1 come back, the latest within seconds
RECENT_S: Final = 60.0  # a second device sends statistics every ten seconds


def log_warning(sentence: str) -> None:
    """Write a sentence to the log."""
    log.warning("mqtt: %s", sentence)


class DuplicateDevice:
    """Compares the statistics that arrive with those that were sent. Thread-safe.

    Parameters
    ----------
    topics : Topics
        Of the device.
    clock : Clock
        For how long ago the other device was heard.
    found : callable
        Takes the sentence about the other device, once.
    """

    def __init__(
        self, topics: Topics, clock: Clock, found: Callable[[str], None] = log_warning
    ) -> None:
        self.topic = topics.stats
        self._device = topics.device
        self._clock = clock
        self._found = found
        self._lock = threading.Lock()
        self._sent: deque[bytes] = deque(maxlen=REMEMBERED)
        self._heard_ns: int | None = None

    def note_sent(self, message: Message) -> None:
        """Remember what is about to be sent, if it is statistics."""
        if message.topic == self.topic:
            with self._lock:
                self._sent.append(message.payload)

    def on_message(self, received: Received) -> None:
        """Compare statistics that arrive; warns of the first that are not ours."""
        with self._lock:
            if received.retained or received.payload in self._sent:
                return
            is_first, self._heard_ns = self._heard_ns is None, self._clock.now_ns()
        if is_first:
            self._found(warning(self._device))

    @property
    def is_present(self) -> bool:
        """Whether another device was heard within the last minute."""
        with self._lock:
            heard_ns = self._heard_ns
        return heard_ns is not None and self._clock.now_ns() - heard_ns < RECENT_S * NS_PER_S


def warning(device: str) -> str:
    """Return the sentence that names the id and what to do."""
    return (
        f'another device with the id "{device}" sends to this broker; their poses mix and each'
        " overwrites the other's states; give each device its own device.id"
    )
