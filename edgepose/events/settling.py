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
        self._other_ns: int | None = None
        """First frame on the other side, while it lasts."""

        self._gap_from_ns: int | None = None

    def update(self, seen: bool, at_ns: int) -> bool:
        """Take what one frame shows; True when the belief changes with it."""
        if seen == self.value:
            self._forget_other(at_ns)
            return False
        self._gap_from_ns = None
        if self._other_ns is None:
            self._other_ns = at_ns
        if at_ns - self._other_ns < self._needed_ns[seen]:
            return False
        self._turn(self._other_ns)
        return True

    def end(self, at_ns: int) -> bool:
        """Stop believing without waiting; True when something was believed."""
        if not self.value:
            return False
        self._turn(at_ns if self._other_ns is None else self._other_ns)
        return True

    def _turn(self, at_ns: int) -> None:
        self.lasted_ns = 0 if self.since_ns is None else at_ns - self.since_ns
        self.value, self.since_ns, self._other_ns = not self.value, at_ns, None

    @property
    def quiet(self) -> bool:
        """True while it says no and nothing speaks for yes: nothing is lost by forgetting it."""
        return not self.value and self._other_ns is None

    def _forget_other(self, at_ns: int) -> None:
        """Give up a change in progress; on its way to yes a short gap is forgiven."""
        if self._other_ns is None:
            return
        if not self.value:
            if self._gap_from_ns is None:
                self._gap_from_ns = at_ns
            if self._gap_ns and at_ns - self._gap_from_ns < self._gap_ns:
                return
        self._other_ns = self._gap_from_ns = None
