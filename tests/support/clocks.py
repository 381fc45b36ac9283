"""Clocks that tests move by hand."""

from edgepose.timing import NS_PER_S, Clock


class ClockByHand(Clock):
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.ns = 5 * NS_PER_S
        self.began_unix_ns = 1_795_464_301 * NS_PER_S

    def now_ns(self) -> int:
        """Return the moment that it stands at."""
        return self.ns

    def unix_ns(self, at_ns: int | None = None) -> int:
        """Return the wall time of a moment, of this one by default."""
        return self.began_unix_ns + (self.ns if at_ns is None else at_ns)

    def forward(self, seconds: float) -> None:
        """Move it."""
        self.ns += int(seconds * NS_PER_S)
