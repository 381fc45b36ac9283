"""Detection of inferences that hang, for systemd's watchdog."""


class InferenceWatchdog:
    """Detects an inference that does not finish. One thread writes, another one reads."""

    def __init__(self) -> None:
        self._started = 0
        self._busy = False
        self._checked = 0

    def start(self) -> None:
        """Mark the start of an inference; supersedes one that hung."""
        self._started += 1
        self._busy = True

    def finish(self) -> None:
        """Mark the end of the inference."""
        self._busy = False

    def is_progressing(self) -> bool:
        """Return False if the inference that ran at the previous call still runs.

        Without frames no inference runs, and the result is True.
        """
        running = self._started if self._busy else 0
        stuck = running > 0 and running == self._checked
        self._checked = running
        return not stuck
