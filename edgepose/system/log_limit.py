"""Rate limit for log records that remote parties can trigger repeatedly."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

REPEAT_S: Final = 600.0
"""Seconds in which each kind of record is logged once."""

MAX_KINDS: Final = 256
"""Maximum number of stored kinds; the least recent one is removed first."""

KIND_CHARACTERS: Final = 80
"""Leading characters of a message that define its kind: some libraries format it themselves."""


class _Seen(NamedTuple):
    at_s: float
    left_out: int


class RepeatFilter(logging.Filter):
    """Passes one record of a kind per interval; the next one has the number of suppressed ones.

    The kind consists of logger, level, unformatted message and, for an exception, its type and
    the line that raised it. May be called from several threads: a race affects at most one line.

    Parameters
    ----------
    interval_s : float
    clock_s : callable
    """

    def __init__(
        self, interval_s: float = REPEAT_S, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._interval_s, self._clock_s = interval_s, clock_s
        self._seen: OrderedDict[tuple[object, ...], _Seen] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged."""
        kind, now_s = _record_kind(record), self._clock_s()
        seen = self._seen.pop(kind, None)
        passes = seen is None or now_s - seen.at_s >= self._interval_s
        if seen is None or passes:
            self._seen[kind] = _Seen(now_s, 0)
        else:
            self._seen[kind] = _Seen(seen.at_s, seen.left_out + 1)
        if len(self._seen) > MAX_KINDS:
            self._seen.popitem(last=False)
        if passes and seen is not None and seen.left_out:
            record.msg = f"{record.getMessage()} ({seen.left_out} more like this before)"
            record.args = None
        return passes


def _record_kind(record: logging.LogRecord) -> tuple[object, ...]:
    kind = (record.name, record.levelno, str(record.msg)[:KIND_CHARACTERS])
    if not record.exc_info or record.exc_info[0] is None:
        return kind
    type_, _, traceback = record.exc_info
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    place = traceback and (traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
    return (*kind, type_, place)
