"""Whether inferences go through, for the service manager's watchdog."""


class InferenceWatchdog:
    """Tells a stalled interpreter from one that has nothing to do."""

    def __init__(self) -> None:
        self._begun = 0
        self._busy = False
        self._asked = 0

    def began(self) -> None:
        """Note that an inference has begun."""
        self._begun += 1
        self._busy = True

    def done(self) -> None:
        """Note that the inference has ended."""
        self._busy = False

    def is_passing(self) -> bool:
        """Return False if the inference that ran at the last call still runs.

        Without frames there is no inference, and that is no stall.
        """
        busy_with = self._begun if self._busy else 0
        stuck = busy_with > 0 and busy_with == self._asked
        self._asked = busy_with
        return not stuck
