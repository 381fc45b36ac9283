"""CPU time of this process by part of the daemon."""

import threading
import time
from collections.abc import Mapping
from typing import Final

from edgepose.timing import NS_PER_MS

TOTAL: Final = "total"
REST: Final = "rest"
PARTS: Final = ("read", "prepare", "infer", "finish", "publish", REST, TOTAL)
"""Parts in the order in which they process a frame.

`finish` is decoding, tracking and composing messages. `rest` is the main thread and threads
not created by Python, such as the additional threads of the TFLite runtime."""

BY_THREAD: Final = {
    "source": "read",
    "prepare": "prepare",
    "finish": "finish",
    "engine": "infer",
    "looks": "infer",
    "mqtt": "publish",
}
"""Part by thread name, without camera id and number."""


def spent_ns() -> dict[str, int]:
    """Return the CPU time of each of `PARTS` since the start of the process."""
    spent = dict.fromkeys(PARTS, 0)
    for thread in threading.enumerate():
        part = BY_THREAD.get(_thread_role(thread.name))
        if part is not None and thread.ident is not None:
            clock = time.pthread_getcpuclockid(thread.ident)
            spent[part] += time.clock_gettime_ns(clock)
    spent[TOTAL] = time.process_time_ns()
    spent[REST] = 2 * spent[TOTAL] - sum(spent.values())
    return spent


def per_frame_ms(
    before: Mapping[str, int], after: Mapping[str, int], frames: int
) -> dict[str, float]:
    """Return the CPU time per frame of each part, between two results of `spent_ns`."""
    return {part: (after[part] - before[part]) / frames / NS_PER_MS for part in PARTS}


def _thread_role(name: str) -> str:
    return name.rpartition(":")[2].partition("_")[0]
