"""Detects a second device with this device's id on the same broker.

Two devices with the same id publish to the same topics: their poses mix, and each overwrites the
other's states. A device subscribes to its own `B/stats` topic. Statistics that it has not sent
itself come from another running device, because they are never retained or queued.
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

REMEMBERED: Final = 8  # own messages; with MQTT 3.1.1 the broker sends them back within seconds
RECENT_S: Final = 60.0  # a second device sends statistics every ten seconds
FORGET_S: Final = 3600.0  # after this time without its messages, a device is reported again


def log_warning(sentence: str) -> None:
    """Log the warning."""
    log.warning("mqtt: %s", sentence)


class DuplicateDevice:
    """Compares received statistics with sent ones. Thread-safe.

    Parameters
    ----------
    topics : Topics
        Topics of the device.
    clock : Clock
        Measures the time since the other device's last message.
    found : callable
        Called once with a warning about the other device.
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
        """Store a message that will be sent, if it holds statistics."""
        if message.topic == self.topic:
            with self._lock:
                self._sent.append(message.payload)

    def on_message(self, received: Received) -> None:
        """Compare received statistics; warns once about those of another device.

        Warns again if the other device returns after an hour.
        """
        with self._lock:
            if received.retained or received.payload in self._sent:
                return
            before_ns, self._heard_ns = self._heard_ns, self._clock.now_ns()
            is_new = before_ns is None or self._heard_ns - before_ns > FORGET_S * NS_PER_S
        if is_new:
            self._found(warning(self._device))

    @property
    def is_present(self) -> bool:
        """Whether another device has sent statistics within the last minute."""
        with self._lock:
            heard_ns = self._heard_ns
        return heard_ns is not None and self._clock.now_ns() - heard_ns < RECENT_S * NS_PER_S


def warning(device: str) -> str:
    """Return the warning, with the id and the remedy."""
    return (
        f'another device with the id "{device}" sends to this broker; their poses mix and each'
        " overwrites the other's states; give each device its own device.id"
    )
