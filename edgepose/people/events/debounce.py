"""Debouncing of a yes-or-no observation."""

from edgepose.timing import NS_PER_S


class Debounce:
    """A boolean that changes only after the new value was observed for long enough.

    The time counts from the first frame with the new value, also while no frames arrive.

    Parameters
    ----------
    on_s, off_s : float
        Seconds before the value turns true or false.
    gap_s : float
        If the observation is false for this long, the time before turning true restarts.
    """

    def __init__(self, on_s: float, off_s: float, gap_s: float = 0.0) -> None:
        self.value = False
        """The debounced value."""

        self.since_ns: int | None = None
        """Time of the first frame with this value; None before the first change."""

        self.lasted_ns = 0
        """Duration of the previous value."""

        self._needed_ns = (int(off_s * NS_PER_S), int(on_s * NS_PER_S))
        self._gap_ns = int(gap_s * NS_PER_S)
        self._change = _Change()

    def update(self, seen: bool, at_ns: int) -> bool:
        """Add the observation of one frame; return whether the value changed."""
        change = self._change
        if seen == self.value:
            change.doubt(at_ns)
            if self.value or change.doubtful(at_ns, self._gap_ns):
                self._change = _Change()
            return False
        change.support(at_ns)
        assert change.since_ns is not None
        if at_ns - change.since_ns < self._needed_ns[seen]:
            return False
        self._flip_value(change.since_ns)
        return True

    def end(self, at_ns: int) -> bool:
        """Turn the value false at once; return whether it was true."""
        if not self.value:
            return False
        self._flip_value(at_ns if self._change.since_ns is None else self._change.since_ns)
        return True

    @property
    def quiet(self) -> bool:
        """Whether the value is false with no change pending, so that it can be discarded."""
        return not self.value and self._change.since_ns is None

    def _flip_value(self, at_ns: int) -> None:
        self.lasted_ns = 0 if self.since_ns is None else at_ns - self.since_ns
        self.value, self.since_ns, self._change = not self.value, at_ns, _Change()


class _Change:
    """A pending change of the value."""

    def __init__(self) -> None:
        self.since_ns: int | None = None
        self._for = 0
        self._against = 0
        self._gap_from_ns: int | None = None

    def support(self, at_ns: int) -> None:
        """Count a frame with the new value."""
        if self.since_ns is None:
            self.since_ns = at_ns
        self._for += 1
        self._gap_from_ns = None

    def doubt(self, at_ns: int) -> None:
        """Count a frame with the old value."""
        self._against += 1
        if self._gap_from_ns is None:
            self._gap_from_ns = at_ns

    def doubtful(self, at_ns: int, gap_ns: int) -> bool:
        """Whether to cancel the change: the gap is too long, or about a third of frames oppose."""
        if self.since_ns is None or self._gap_from_ns is None:
            return True
        too_long = at_ns - self._gap_from_ns >= gap_ns
        return too_long or 2 * self._against > self._for + 1
