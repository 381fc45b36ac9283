"""The inference thread and the trial of a delegate."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from edgepose.config.schema import Config
from edgepose.errors import EdgeposeError
from edgepose.pose.selection import Chooser, Plan

log: Final = logging.getLogger(__name__)


class Trial:
    """A plan being made in a thread of its own, while frames go through on the CPU."""

    def __init__(self, chooser: Chooser, config: Config, done: Callable[[], None]) -> None:
        self.config = config
        self.plan: Plan | None = None
        self.over = False
        self._chooser = chooser
        self._done = done
        threading.Thread(target=self._run, name="trial", daemon=True).start()

    def _run(self) -> None:
        try:
            self.plan = self._chooser.plan(self.config)
        except EdgeposeError as error:
            log.warning("delegate: cannot be tried again: %s", error)
        self.over = True
        self._done()
