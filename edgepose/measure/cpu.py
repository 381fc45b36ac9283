"""CPU time of this process, by the part of the daemon that spent it."""

import threading
import time
from collections.abc import Mapping
from typing import Final

from edgepose.timing import NS_PER_MS

TOTAL: Final = "total"
REST: Final = "rest"
PARTS: Final = ("read", "prepare", "infer", "finish", "publish", REST, TOTAL)
"""In the order of a frame's walk. `finish` is decode, follow and compose; `rest` is the main
thread and threads that are not Python's: those of the runtime with more than one."""

BY_THREAD: Final = {
    "source": "read",
    "prepare": "prepare",
    "finish": "finish",
    "engine": "infer",
    "looks": "infer",
    "mqtt": "publish",
}
"""From a thread's name, without the camera's id and without its number, to its part."""


def spent_ns() -> dict[str, int]:
    """Return the CPU time of each of `PARTS` since the process began."""
    spent = dict.fromkeys(PARTS, 0)
    for thread in threading.enumerate():
        part = BY_THREAD.get(_role(thread.name))
        if part is not None and thread.ident is not None:
            clock = time.pthread_getcpuclockid(thread.ident)
            spent[part] += time.clock_gettime_ns(clock)
    spent[TOTAL] = time.process_time_ns()
    spent[REST] = 2 * spent[TOTAL] - sum(spent.values())
    return spent


def per_frame_ms(
    before: Mapping[str, int], after: Mapping[str, int], frames: int
) -> dict[str, float]:
    """Return the CPU milliseconds of each part for one frame between two calls of `spent_ns`."""
    return {part: (after[part] - before[part]) / frames / NS_PER_MS for part in PARTS}


def _role(name: str) -> str:
    return name.rpartition(":")[2].partition("_")[0]
