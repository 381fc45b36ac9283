"""Finds the message after which a broker ends the session again and again.

A broker that gets a message it does not take (too large, or a topic that is not allowed)
may hang up without a word: MQTT 3.1.1 has none. The same message would end the next
session, too. So it is held back, and everything else goes through.

Brokers handle a connection's messages in order: an acknowledgement tells that all messages
before it went through as well. After a short session the next one is careful: it sends one
message after the other, so that the one under way at its end is known for sure.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

CAREFUL_STRIKES: Final = 2  # careful sessions in a row that ended after a message of one topic
MAX_STRIKES: Final = 3  # the same for sessions that were not careful: the message is a guess
SUSPECT_S: Final = 5.0  # a broker that does not take a message hangs up within this time
HOLD_S: Final = (300.0, 86_400.0)  # the first and the longest time for which a message is held
MAX_SUSPECTS: Final = 256


@dataclass(frozen=True, slots=True)
class Suspect:
    """A message that was sent and may be the reason for the end of the session."""

    serial: int
    topic: str
    size: int
    at_s: float
    is_acknowledged: bool
    """Whether the broker will acknowledge it."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Messages of a topic that are not sent: those of this size and larger."""

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
        """The largest message that went through."""

    def sent(self, topic: str, size: int, *, is_acknowledged: bool) -> int:
        """Note a message that is on its way; return its serial number."""
        with self._lock:
            self._serial += 1
            self._drop_old()
            self._suspects.append(
                Suspect(self._serial, topic, size, self._now_s(), is_acknowledged)
            )
            return self._serial

    def acknowledged(self, serial: int) -> None:
        """Note that a message and all before it went through."""
        with self._lock:
            while self._suspects and self._suspects[0].serial <= serial:
                self._note_passed(self._suspects.popleft())

    def is_held(self, topic: str, size: int) -> bool:
        """Say whether a message must not be sent now."""
        with self._lock:
            hold = self._holds.get(topic)
        return hold is not None and size >= hold.size and self._now_s() < hold.until_s

    def session_survived(self) -> None:
        """Note that a session ended for other reasons than a message."""
        with self._lock:
            self._suspects.clear()
            self._strikes.clear()

    def session_ended(
        self, *, was_short: bool, was_careful: bool, too_large: bool = False
    ) -> tuple[str, Hold] | None:
        """Note that the broker ended a session; return what is held from now on, and how.

        Parameters
        ----------
        was_short : bool
            It ended before it was stable.
        was_careful : bool
            One message was sent after the other.
        too_large : bool
            The broker said that a message was too large.
        """
        with self._lock:
            recent = self._recent()
            self._suspects.clear()
            if was_short and not was_careful and not too_large:
                return None  # too many were under way; the next session is careful
            suspect = _largest(recent) if too_large else self._likeliest(recent)
            if suspect is None:
                self._strikes.clear()
                return None
            strikes = self._strikes.get(suspect.topic, 0) + 1
            self._strikes = {suspect.topic: strikes}
            needed = CAREFUL_STRIKES if was_careful else MAX_STRIKES
            if strikes < needed and not too_large and suspect.topic not in self._holds:
                return None
            return suspect.topic, self._hold(suspect)

    def _hold(self, suspect: Suspect) -> Hold:
        before = self._holds.get(suspect.topic)
        lasts_s = HOLD_S[0] if before is None else min(2 * before.lasts_s, HOLD_S[1])
        hold = Hold(suspect.size, self._now_s() + lasts_s, lasts_s)
        self._holds[suspect.topic] = hold
        self._strikes.clear()
        return hold

    def _recent(self) -> list[Suspect]:
        self._drop_old()
        since_s = self._now_s() - SUSPECT_S
        return [suspect for suspect in self._suspects if suspect.at_s >= since_s]

    def _likeliest(self, recent: list[Suspect]) -> Suspect | None:
        """Return the largest message if none of its size went through, or the only one that waits.

        A line that breaks often must not make us hold back what merely happened to be on it.
        """
        largest = _largest(recent)
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
        """Drop messages that the session has outlived, up to one that is not acknowledged yet."""
        oldest_s = self._now_s() - SUSPECT_S
        while self._suspects:
            first = self._suspects[0]
            if first.is_acknowledged or first.at_s >= oldest_s:
                return
            self._note_passed(self._suspects.popleft())


def _largest(suspects: list[Suspect]) -> Suspect | None:
    return max(suspects, key=lambda suspect: suspect.size, default=None)
