"""Finds and holds back messages that make the broker end the session.

A broker may disconnect after a message that it does not accept (too large, or a topic without
permission). MQTT 3.1.1 has no reason code for this. The same message would end the next session
as well, so it is held back and all others are sent.

Brokers handle the messages of a connection in order: an acknowledgement implies that all earlier
messages were accepted. After a short session the next one is careful: it sends one message at a
time, so that the message in flight at its end is the cause.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

CAREFUL_STRIKES: Final = 2  # a topic is held after it has ended this many careful sessions in a row
MAX_STRIKES: Final = 3  # the same for other sessions, in which several messages may be the cause
SUSPECT_S: Final = 5.0  # a broker disconnects within this time after a bad message
HOLD_S: Final = (300.0, 86_400.0)  # first and longest hold
MAX_SUSPECTS: Final = 256


@dataclass(frozen=True, slots=True)
class Suspect:
    """A sent message that may be the cause of a session's end."""

    serial: int
    topic: str
    size: int
    at_s: float
    is_acknowledged: bool
    """Whether the broker will acknowledge it."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A limit for a topic: messages of this size or larger are not sent."""

    size: int
    until_s: float
    lasts_s: float


class PoisonMessages:
    """Remembers across sessions which messages end them. Thread-safe."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self._suspects: deque[Suspect] = deque(maxlen=MAX_SUSPECTS)
        self._serial = 0
        self._strikes: dict[str, int] = {}
        self._holds: dict[str, Hold] = {}
        self._passed_bytes = 0
        """Size of the largest message that the broker accepted."""

    def sent(self, topic: str, size: int, *, is_acknowledged: bool) -> int:
        """Record a sent message and return its serial number."""
        with self._lock:
            self._serial += 1
            self._drop_old()
            self._suspects.append(
                Suspect(self._serial, topic, size, self._now_s(), is_acknowledged)
            )
            return self._serial

    def acknowledged(self, serial: int) -> None:
        """Record that a message and all earlier ones were accepted."""
        with self._lock:
            while self._suspects and self._suspects[0].serial <= serial:
                self._note_passed(self._suspects.popleft())

    def is_held(self, topic: str, size: int) -> bool:
        """Return whether a message must not be sent now."""
        with self._lock:
            hold = self._holds.get(topic)
        return hold is not None and size >= hold.size and self._now_s() < hold.until_s

    def session_survived(self) -> None:
        """Record that a session ended for a reason other than a message."""
        with self._lock:
            self._suspects.clear()
            self._strikes.clear()

    def session_ended(
        self, *, was_short: bool, was_careful: bool, too_large: bool = False
    ) -> tuple[str, Hold] | None:
        """Record that the broker ended a session; return the topic that is now held, with its hold.

        Parameters
        ----------
        was_short : bool
            Whether the session ended before it was stable.
        was_careful : bool
            Whether the session sent one message at a time.
        too_large : bool
            Whether the broker reported that a message was too large.
        """
        with self._lock:
            recent = self._recent_suspects()
            self._suspects.clear()
            if was_short and not was_careful and not too_large:
                return None  # several messages in flight; the next session is careful
            suspect = _largest_of(recent) if too_large else self._likeliest_suspect(recent)
            if suspect is None:
                self._strikes.clear()
                return None
            strikes = self._strikes.get(suspect.topic, 0) + 1
            self._strikes = {suspect.topic: strikes}
            needed = CAREFUL_STRIKES if was_careful else MAX_STRIKES
            if strikes < needed and not too_large and suspect.topic not in self._holds:
                return None
            return suspect.topic, self._hold_back(suspect)

    def _hold_back(self, suspect: Suspect) -> Hold:
        before = self._holds.get(suspect.topic)
        lasts_s = HOLD_S[0] if before is None else min(2 * before.lasts_s, HOLD_S[1])
        hold = Hold(suspect.size, self._now_s() + lasts_s, lasts_s)
        self._holds[suspect.topic] = hold
        self._strikes.clear()
        return hold

    def _recent_suspects(self) -> list[Suspect]:
        self._drop_old()
        since_s = self._now_s() - SUSPECT_S
        return [suspect for suspect in self._suspects if suspect.at_s >= since_s]

    def _likeliest_suspect(self, recent: list[Suspect]) -> Suspect | None:
        """Return the largest message if none of its size was accepted, or the only pending one.

        On an unreliable network any message may be in flight when the connection breaks; such
        messages must not be held back.
        """
        largest = _largest_of(recent)
        if largest is not None and largest.size > self._passed_bytes:
            return largest
        waiting = [suspect for suspect in recent if suspect.is_acknowledged]
        return waiting[0] if len(waiting) == 1 else None

    def _note_passed(self, suspect: Suspect) -> None:
        self._passed_bytes = max(self._passed_bytes, suspect.size)
        self._strikes.pop(suspect.topic, None)
        hold = self._holds.get(suspect.topic)
        if hold is not None and suspect.size >= hold.size:
            del self._holds[suspect.topic]

    def _drop_old(self) -> None:
        """Count messages older than `SUSPECT_S` as accepted, up to the first pending one."""
        oldest_s = self._now_s() - SUSPECT_S
        while self._suspects:
            first = self._suspects[0]
            if first.is_acknowledged or first.at_s >= oldest_s:
                return
            self._note_passed(self._suspects.popleft())


def _largest_of(suspects: list[Suspect]) -> Suspect | None:
    return max(suspects, key=lambda suspect: suspect.size, default=None)
