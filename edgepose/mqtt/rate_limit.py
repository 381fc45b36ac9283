"""Limits the rate of incoming commands."""

from typing import Final

from edgepose.timing import NS_PER_S, Clock

BURST: Final = 20.0  # an automation may set six cameras at once
PER_S: Final = 5.0


class TokenBucket:
    """A token bucket: allows a burst, then a constant rate."""

    def __init__(self, clock: Clock, burst: float = BURST, per_s: float = PER_S) -> None:
        self._clock, self._burst, self._per_s = clock, burst, per_s
        self._left = burst
        self._at_ns = clock.now_ns()

    def take(self) -> bool:
        """Take a token; return False if none is left."""
        now_ns = self._clock.now_ns()
        passed_s = (now_ns - self._at_ns) / NS_PER_S
        self._left = min(self._burst, self._left + passed_s * self._per_s)
        self._at_ns = now_ns
        if self._left < 1:
            return False
        self._left -= 1
        return True
