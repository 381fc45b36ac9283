"""Whether inferences go through, for the service manager's watchdog."""


class Progress:
    """Says whether the frame that was in the engine at the last question has come back."""

    def __init__(self) -> None:
        self._begun = 0
        self._busy = False
        self._asked = 0

    def began(self) -> None:
        """Note that the engine was given a frame; whoever hung before is out of it."""
        self._begun += 1
        self._busy = True

    def done(self) -> None:
        """Note that the engine's answer is on its way."""
        self._busy = False

    def fine(self) -> bool:
        """Return False only when it is still the same frame that the engine is busy with.

        A camera that delivers nothing is no stall: then the engine has nothing to do.
        """
        busy_with = self._begun if self._busy else 0
        stuck = busy_with > 0 and busy_with == self._asked
        self._asked = busy_with
        return not stuck
