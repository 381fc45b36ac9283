"""When the pictures of a stream were taken, and when each is handed on.

Streams may deliver seconds of pictures at once, and then none: HLS does so always, RTSP on
a bad radio link. How far the pictures lie apart is then told by the stream's own time
stamps, not by their arrival, and each waits for its turn: else all but one of them would
be left out. A stream that delivers evenly is not held up.
"""

from typing import Final, NamedTuple

from edgepose.timing import NS_PER_S

BURST_NS: Final = NS_PER_S // 5
"""How much later than its time stamp says a picture must come for a burst to be seen."""

LONGEST_NS: Final = 30 * NS_PER_S
"""The longest burst; a larger step of the time stamps is a new beginning."""

QUIET: Final = 3
"""After so many times the delay without a gap, the delay is more than the stream needs."""

DRAIN: Final = 0.2
"""By which part of a step the delay then shrinks at each picture."""


class Moment(NamedTuple):
    """The times of one picture, on the frames' clock."""

    captured_ns: int
    """When it was taken, as far as its arrival and the stream's time stamps tell."""

    due_ns: int
    """When it is handed on; never before `captured_ns`."""


class Playout:
    """Computes the moments of one stream's pictures, in order.

    Parameters
    ----------
    stored : bool
        The stream has an end, and comes as fast as it is read: every picture is due at
        its own time.
    """

    def __init__(self, *, stored: bool = False) -> None:
        self._stored = stored
        self._pts_ns: int | None = None
        self._captured_ns = 0
        self._delay_ns = 0
        self._quiet_since_ns = 0
        self._was_late = False

    def add(self, pts_ns: int | None, read_ns: int) -> Moment:
        """Return the moments of the next picture.

        Parameters
        ----------
        pts_ns : int or None
            Its time on the stream's clock; None where that means nothing.
        read_ns : int
            When its last byte was read.
        """
        before_ns, self._pts_ns = self._pts_ns, pts_ns
        step_ns = 0 if pts_ns is None or before_ns is None else pts_ns - before_ns
        late_ns = read_ns - (self._captured_ns + step_ns + self._delay_ns)
        jumped = not 0 < step_ns < LONGEST_NS or abs(late_ns) > LONGEST_NS
        was_late, self._was_late = self._was_late, late_ns > BURST_NS
        if jumped or self._is_even(late_ns, was_late=was_late):
            return self._by_arrival(read_ns)
        self._captured_ns += step_ns
        if late_ns >= 0:
            self._delay_ns += late_ns
            self._quiet_since_ns = read_ns
        elif not self._stored and read_ns - self._quiet_since_ns > QUIET * self._delay_ns:
            self._delay_ns = max(1, self._delay_ns - round(DRAIN * step_ns))
        return Moment(self._captured_ns, max(read_ns, self._captured_ns + self._delay_ns))

    def _is_even(self, late_ns: int, *, was_late: bool) -> bool:
        """Say whether the stream delivers its pictures one by one, as they are taken."""
        if self._stored:
            return late_ns > 0
        if self._delay_ns == 0 and late_ns <= BURST_NS:
            return True
        # In a burst only the first picture is late; where all are, the time stamps are wrong.
        return late_ns >= 0 and (was_late or self._delay_ns + late_ns <= BURST_NS)

    def _by_arrival(self, read_ns: int) -> Moment:
        self._captured_ns = max(read_ns, self._captured_ns + 1)
        self._delay_ns = 0
        return Moment(self._captured_ns, self._captured_ns)
