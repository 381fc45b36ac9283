"""Computes when a stream's pictures were captured and when each one is delivered.

Streams may deliver seconds of pictures at once and then none: HLS always, RTSP on a bad radio
link. The intervals of the pictures are then taken from the stream's time stamps instead of their
arrival, and each picture is delayed until it is due. Otherwise all but one picture of a burst
would be dropped. A stream that delivers evenly is not delayed.
"""

from typing import Final, NamedTuple

from edgepose.timing import NS_PER_S

BURST_NS: Final = NS_PER_S // 5
"""Delay of a picture, relative to its time stamp, that always counts as a burst. A shorter burst
counts if it is longer than the time between two frames that are used: otherwise none is lost."""

LONGEST_NS: Final = 30 * NS_PER_S
"""Maximum length of a burst; a larger step of the time stamps restarts the computation."""

QUIET: Final = 3
"""The delay is reduced once no picture was late for this multiple of the delay."""

DRAIN: Final = 0.2
"""Reduction of the delay per picture, as a fraction of the time step."""


class Moment(NamedTuple):
    """The times of one picture, on the frames' clock."""

    captured_ns: int
    """Capture time, estimated from arrival and time stamps."""

    due_ns: int
    """Delivery time; not before `captured_ns`."""


class Playout:
    """Computes capture and delivery times of one stream's pictures, in order.

    Parameters
    ----------
    stored : bool
        Whether the stream is a recording that arrives as fast as it is read: every picture is
        then due at its own time.
    fps : float or None
        Maximum rate of frames that are used, in Hz.
    """

    def __init__(self, *, stored: bool = False, fps: float | None = None) -> None:
        self._stored = stored
        self._used_ns = round(NS_PER_S / fps) if fps else BURST_NS
        self._burst_ns = BURST_NS
        self._pts_ns: int | None = None
        self._step_ns = 0
        self._captured_ns = 0
        self._delay_ns = 0
        self._quiet_since_ns = 0
        self._was_late = False

    def add(self, pts_ns: int | None, read_ns: int) -> Moment:
        """Return the times of the next picture.

        Parameters
        ----------
        pts_ns : int or None
            Time on the stream's clock; None if the stream has no usable time stamps.
        read_ns : int
            Arrival of its last byte, on the monotonic clock.
        """
        step_ns, is_continuous = self._step(pts_ns, read_ns)
        late_ns = read_ns - (self._captured_ns + step_ns + self._delay_ns)
        was_late, self._was_late = self._was_late, late_ns > self._burst_ns
        if (
            not is_continuous
            or abs(late_ns) > LONGEST_NS
            or self._is_even(late_ns, was_late=was_late)
        ):
            return self._by_arrival(read_ns)
        self._captured_ns += step_ns
        if late_ns >= 0:
            self._delay_ns += late_ns
            self._quiet_since_ns = read_ns
        elif not self._stored and read_ns - self._quiet_since_ns > QUIET * self._delay_ns:
            self._delay_ns = max(1, self._delay_ns - round(DRAIN * step_ns))
        return Moment(self._captured_ns, max(read_ns, self._captured_ns + self._delay_ns))

    def _step(self, pts_ns: int | None, read_ns: int) -> tuple[int, bool]:
        """Return the time since the previous picture, and whether it is known.

        At a jump of the time stamps within a burst, it is that of the previous pictures.
        """
        before_ns, self._pts_ns = self._pts_ns, pts_ns
        if pts_ns is None or before_ns is None:
            return 0, False
        step_ns = pts_ns - before_ns
        # A picture cannot be captured after its arrival: such a step is a jump.
        is_ahead = self._captured_ns + step_ns > read_ns + BURST_NS and not self._stored
        if 0 < step_ns < LONGEST_NS and not (self._delay_ns and is_ahead):
            self._step_ns = step_ns
            # The first picture of a burst arrives late by the burst's length minus one step.
            self._burst_ns = min(BURST_NS, max(step_ns // 2, self._used_ns - step_ns))
            return step_ns, True
        return self._step_ns, self._step_ns > 0 and (self._delay_ns > 0 or self._stored)

    def _is_even(self, late_ns: int, *, was_late: bool) -> bool:
        """Return whether the stream delivers pictures one by one, as they are captured."""
        if self._stored:
            return late_ns > 0
        if self._delay_ns == 0 and late_ns <= self._burst_ns:
            return True
        # Only the first picture of a burst is late; if all are, the time stamps are wrong.
        return late_ns >= 0 and (was_late or self._delay_ns + late_ns <= self._burst_ns)

    def _by_arrival(self, read_ns: int) -> Moment:
        self._captured_ns = max(read_ns, self._captured_ns + 1)
        self._delay_ns = 0
        return Moment(self._captured_ns, self._captured_ns)
