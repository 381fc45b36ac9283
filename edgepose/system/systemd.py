"""Notifications to the service manager: ready, reloading, stopping, status and watchdog.

The protocol is sd_notify(3): datagrams to the socket in `$NOTIFY_SOCKET`. Without that variable
nothing is sent.
"""

import logging
import os
import socket
from collections.abc import Callable
from typing import Final

from edgepose.timing import NS_PER_S

log: Final = logging.getLogger(__name__)

BEATS: Final = 3  # per watchdog interval: one may be lost and one late
US_PER_S: Final = 1_000_000
SEND_S: Final = 0.5  # a manager that does not read must not block the daemon


def is_managed() -> bool:
    """Return whether a service manager accepts notifications from this process."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def notify(*states: str) -> bool:
    """Send ``NAME=value`` lines to the service manager; return False if there is none."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name.startswith(("/", "@")):
        return False
    address = name.replace("@", "\0", 1) if name.startswith("@") else name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            line.settimeout(SEND_S)
            line.sendto("\n".join(states).encode(), address)
    except OSError as error:
        log.debug("the service manager is not reached: %s", error)
        return False
    return True


def watchdog_s() -> float | None:
    """Return the watchdog's time limit; None without a watchdog."""
    try:
        meant_for = int(os.environ.get("WATCHDOG_PID", "") or os.getpid())
        limit_us = int(os.environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return limit_us / US_PER_S if meant_for == os.getpid() and limit_us > 0 else None


class Service:
    """Notifies the service manager of the daemon's state.

    Parameters
    ----------
    alive : callable
        Returns whether frames are being processed; called once per beat.
    """

    def __init__(self, alive: Callable[[], bool]) -> None:
        self._alive = alive
        self._limit_s = watchdog_s()
        self._beat_ns = 0
        self.is_ready = False

    @property
    def beat_s(self) -> float:
        """Longest time until the next call of `beat`, in seconds."""
        return float("inf") if self._limit_s is None else self._limit_s / BEATS

    def ready(self, sentence: str) -> None:
        """Notify that the start or a reload is complete, and restore the watchdog's limit."""
        self.is_ready = True
        self._set_limit(0.0)
        notify("READY=1", f"STATUS={_one_line(sentence)}")

    def status(self, sentence: str) -> None:
        """Set the status text."""
        notify(f"STATUS={_one_line(sentence)}")

    def stopping(self, restart_s: float | None = None) -> None:
        """Notify that the daemon is stopping, or starts again as the same process.

        Parameters
        ----------
        restart_s : float, optional
            Seconds until the new start must be ready; None: the daemon ends.
        """
        if restart_s is None:
            notify("STOPPING=1", "STATUS=stopping")
        else:
            self.reloading(restart_s)

    def reloading(self, patience_s: float) -> None:
        """Notify that a reload has begun, and extend the watchdog's limit."""
        self._set_limit(patience_s)
        notify("RELOADING=1", "STATUS=reloading")

    def reloaded(self, sentence: str) -> None:
        """Notify that the reload is complete; before `ready` only restore the watchdog's limit."""
        if self.is_ready:
            self.ready(sentence)
        else:
            self._set_limit(0.0)

    def beat(self, now_ns: int) -> None:
        """Reset the watchdog while frames are being processed; sends at most twice per beat."""
        if self._limit_s is None or now_ns - self._beat_ns < self.beat_s * NS_PER_S / 2:
            return
        self._beat_ns = now_ns
        if self._alive():
            notify("WATCHDOG=1")

    def _set_limit(self, patience_s: float) -> None:
        """Set the watchdog's limit, never below the unit's."""
        if self._limit_s is not None:
            notify(f"WATCHDOG_USEC={int(max(patience_s, self._limit_s) * US_PER_S)}")


def _one_line(sentence: str) -> str:
    return " ".join(sentence.split())
