"""Clocks that tests set by hand."""

from edgepose.timing import NS_PER_S, Clock


class ClockByHand(Clock):
    """A clock that stands still until `forward` is called."""

    def __init__(self) -> None:
        self.ns = 5 * NS_PER_S
        self.began_unix_ns = 1_795_464_301 * NS_PER_S

    def now_ns(self) -> int:
        """Return the clock's current time."""
        return self.ns

    def unix_ns(self, at_ns: int | None = None) -> int:
        """Return the wall-clock time of a monotonic time, by default of the current one."""
        return self.began_unix_ns + (self.ns if at_ns is None else at_ns)

    def forward(self, seconds: float) -> None:
        """Advance the clock."""
        self.ns += int(seconds * NS_PER_S)
