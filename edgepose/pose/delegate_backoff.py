"""Exponential back-off for failed delegates, persisted across restarts."""

import os
from pathlib import Path
from typing import Final

import msgspec

from edgepose.system.storage import StateFile
from edgepose.timing import NS_PER_S, Clock

FILE: Final = "delegates.json"
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

FIRST_S: Final = 60.0
LONGEST_S: Final = 6 * 3600.0
FORGET_S: Final = 24 * 3600.0  # the back-off restarts after this time without a failure


class FailureRecord(msgspec.Struct):
    """Failures and use of one delegate."""

    failures: int = 0
    failed_unix_s: float = 0.0
    reason: str = ""
    in_use: str = ""
    """Boot id and process id of the process that uses it; remains set if that process crashed."""


class DelegateBackoff:
    """Exponential back-off for failed delegates, persisted across restarts.

    Parameters
    ----------
    folder : Path or None
        The state directory; if None, failures are kept in memory only.
    """

    def __init__(self, folder: Path | None, clock: Clock) -> None:
        self._clock = clock
        self._note = StateFile(folder and folder / FILE, dict[str, FailureRecord])
        self._records: dict[str, FailureRecord] = self._note.read() or {}
        for name, record in self._records.items():
            if record.in_use and not _is_running(record.in_use):
                self._judge_the_end(name, record)

    def sentence(self, name: str) -> str:
        """Return why a delegate must not be used now; empty if it may be used."""
        record = self._records.get(name)
        if record is None or not record.failures or (rest_s := self._rest_s(record)) <= 0:
            return ""
        times = "" if record.failures == 1 else f", for the {_format_ordinal(record.failures)} time"
        return f"{record.reason}{times}; to be tried again in {_format_duration(rest_s)}"

    def failed(self, name: str, reason: str) -> None:
        """Record a failure of a delegate and start its back-off."""
        record = self._records.setdefault(name, FailureRecord())
        now_s = self._now_s()
        if now_s - record.failed_unix_s > FORGET_S:
            record.failures = 0
        record.failures += 1
        record.failed_unix_s, record.reason, record.in_use = now_s, reason, ""
        self._note.write(self._records)

    def enter(self, name: str) -> None:
        """Record that this process uses a delegate."""
        self._records.setdefault(name, FailureRecord()).in_use = f"{_boot_id()} {os.getpid()}"
        self._note.write(self._records)

    def leave(self, name: str) -> None:
        """Record that a delegate is no longer used and did not fail."""
        if record := self._records.get(name):
            record.in_use = ""
            self._note.write(self._records)

    def _judge_the_end(self, name: str, record: FailureRecord) -> None:
        boot, _, _ = record.in_use.partition(" ")
        record.in_use = ""
        if boot == _boot_id():  # otherwise the machine was restarted or lost power
            reason = (
                "edgepose ended while using it: crashed, killed, or hung until the watchdog"
                " ended it"
            )
            self.failed(name, reason)

    def _rest_s(self, record: FailureRecord) -> float:
        now_s = self._now_s()
        # A Pi has no clock battery: after a boot the time may be before the failure.
        record.failed_unix_s = min(record.failed_unix_s, now_s)
        wait_s = min(FIRST_S * 2.0 ** (record.failures - 1), LONGEST_S)
        return record.failed_unix_s + wait_s - now_s

    def _now_s(self) -> float:
        return self._clock.unix_ns() / NS_PER_S


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return "unknown"


def _is_running(user: str) -> bool:
    """Return whether another process still uses it.

    False for this process's own id: containers assign the same id after each start.
    """
    boot, _, pid = user.partition(" ")
    if boot != _boot_id() or not pid.isdecimal() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _format_ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in {11, 12, 13} else 0)
    return f"{number}{ending or 'th'}"


def _format_duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.0f} h"
