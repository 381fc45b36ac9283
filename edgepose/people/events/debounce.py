"""A yes or no that is believed once it has lasted."""

from edgepose.timing import NS_PER_S


class Settling:
    """Follows what each frame shows, but only after it has shown it for long enough.

    Time runs from the first frame on the new side, so a camera that was away does not
    turn anything by its silence.
    """

    def __init__(self, on_s: float, off_s: float, gap_s: float = 0.0) -> None:
        self.value = False
        """What is believed now."""

        self.since_ns: int | None = None
        """First frame of what is believed; None before anything was."""

        self.lasted_ns = 0
        """How long the belief before this one held."""

        self._needed_ns = (int(off_s * NS_PER_S), int(on_s * NS_PER_S))
        self._gap_ns = int(gap_s * NS_PER_S)
        self._change = _Change()

    def update(self, seen: bool, at_ns: int) -> bool:
        """Take what one frame shows; True when the belief changes with it."""
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
        self._turn(change.since_ns)
        return True

    def end(self, at_ns: int) -> bool:
        """Stop believing without waiting; True when something was believed."""
        if not self.value:
            return False
        self._turn(at_ns if self._change.since_ns is None else self._change.since_ns)
        return True

    @property
    def quiet(self) -> bool:
        """True while it says no and nothing speaks for yes: nothing is lost by forgetting it."""
        return not self.value and self._change.since_ns is None

    def _turn(self, at_ns: int) -> None:
        self.lasted_ns = 0 if self.since_ns is None else at_ns - self.since_ns
        self.value, self.since_ns, self._change = not self.value, at_ns, _Change()


class _Change:
    """A change of belief on its way."""

    def __init__(self) -> None:
        self.since_ns: int | None = None
        self._for = 0
        self._against = 0
        self._gap_from_ns: int | None = None

    def support(self, at_ns: int) -> None:
        """Count a frame that speaks for the change."""
        if self.since_ns is None:
            self.since_ns = at_ns
        self._for += 1
        self._gap_from_ns = None

    def doubt(self, at_ns: int) -> None:
        """Count a frame that speaks against it."""
        self._against += 1
        if self._gap_from_ns is None:
            self._gap_from_ns = at_ns

    def doubtful(self, at_ns: int, gap_ns: int) -> bool:
        """Say whether it is over: a gap too long, or a third of the frames against it."""
        if self.since_ns is None or self._gap_from_ns is None:
            return True
        too_long = at_ns - self._gap_from_ns >= gap_ns
        return too_long or 2 * self._against > self._for + 1
