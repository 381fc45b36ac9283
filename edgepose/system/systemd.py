"""What the service manager is told: ready, reloading, stopping, a sentence, and that we live.

The protocol is sd_notify(3): datagrams on a socket that `$NOTIFY_SOCKET` names. Without
one nobody wants to know, and nothing is sent.
"""

import logging
import os
import socket
from collections.abc import Callable
from typing import Final

from edgepose.timing import NS_PER_S

log: Final = logging.getLogger(__name__)

BEATS: Final = 3  # within the watchdog's time: one may be lost, one late
US_PER_S: Final = 1_000_000
SEND_S: Final = 0.5  # a manager that does not read must not hold us up


def is_managed() -> bool:
    """Say whether a service manager runs us, which restarts what ends and shows `STATUS=`."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def notify(*states: str) -> bool:
    """Send ``NAME=value`` lines to the service manager; False when there is none."""
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
    """Return how often the service manager wants to hear of us at the least; None for never."""
    try:
        meant_for = int(os.environ.get("WATCHDOG_PID", "") or os.getpid())
        limit_us = int(os.environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return limit_us / US_PER_S if meant_for == os.getpid() and limit_us > 0 else None


class Service:
    """The daemon as the service manager sees it.

    Parameters
    ----------
    alive : callable
        Says whether frames go through; asked once a beat.
    """

    def __init__(self, alive: Callable[[], bool]) -> None:
        self._alive = alive
        self._limit_s = watchdog_s()
        self._beat_ns = 0
        self.is_ready = False

    @property
    def beat_s(self) -> float:
        """How long to wait at the most before `beat` is called again."""
        return float("inf") if self._limit_s is None else self._limit_s / BEATS

    def ready(self, sentence: str) -> None:
        """Say that the start, or a reload, is done."""
        self.is_ready = True
        notify("READY=1", f"STATUS={_one_line(sentence)}")

    def status(self, sentence: str) -> None:
        """Say in one sentence how things are."""
        notify(f"STATUS={_one_line(sentence)}")

    def stopping(self) -> None:
        """Say that the end has begun."""
        notify("STOPPING=1", "STATUS=stopping")

    def reloading(self, patience_s: float) -> None:
        """Say that the configuration is being read again, which may take this long."""
        self._allow(patience_s)
        notify("RELOADING=1", "STATUS=reloading")

    def reloaded(self, sentence: str) -> None:
        """Say that the reload is done, and be watched as before."""
        self._allow(0.0)
        if self.is_ready:
            self.ready(sentence)

    def beat(self, now_ns: int) -> None:
        """Say that frames go through, if they do; often enough, and not more often."""
        if self._limit_s is None or now_ns - self._beat_ns < self.beat_s * NS_PER_S / 2:
            return
        self._beat_ns = now_ns
        if self._alive():
            notify("WATCHDOG=1")

    def _allow(self, patience_s: float) -> None:
        """Let the watchdog wait longer, but never for less than the unit says."""
        if self._limit_s is not None:
            notify(f"WATCHDOG_USEC={int(max(patience_s, self._limit_s) * US_PER_S)}")


def _one_line(sentence: str) -> str:
    return " ".join(sentence.split())
