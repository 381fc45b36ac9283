"""Temperature, throttling and power supply of the board."""

import math
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec


class Throttling(msgspec.Struct, frozen=True):
    """Throttling flags of a Raspberry Pi; flags that the machine does not report are missing."""

    now: dict[str, bool]
    """`under_voltage`, `frequency_capped`, `throttled`, `soft_temperature_limit`."""

    since_boot: dict[str, bool]
    """The same flags, set if the condition occurred since the boot."""

    @property
    def is_slow(self) -> bool:
        """Whether the board is throttled now."""
        return any(self.now.values())


THERMAL: Final = Path("/sys/class/thermal/thermal_zone0/temp")
FIRMWARE: Final = ("vcgencmd", "get_throttled")
FIRMWARE_S: Final = 2.0  # time limit; it answers within milliseconds or not at all
THROTTLED: Final = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
"""Last throttling state of the firmware; in kernels up to 6.12, not on a Pi 5."""

MONITORS: Final = Path("/sys/class/hwmon")
FLAGS: Final = ("under_voltage", "frequency_capped", "throttled", "soft_temperature_limit")
"""Flags of the firmware: bits 0 to 3 now, bits 16 to 19 since the boot."""

WAIT_S: Final = 0.05  # the firmware usually answers within milliseconds
REFRESH_S: Final = 9.0  # statistics come every ten seconds


def temperature_c() -> float | None:
    """Return the processor's temperature; None if the machine does not report it."""
    try:
        return int(THERMAL.read_text("ascii")) / 1000
    except (OSError, ValueError):
        return None


class ThrottlingReader:
    """Caches the throttling flags, which are read in a separate thread.

    The program that queries the firmware may take seconds; callers wait at most `WAIT_S` for it.
    Thread-safe.

    Parameters
    ----------
    read : callable, optional
        Reads the flags; may block.
    refresh_s : float
        Age of a value after which it is read again.
    """

    def __init__(
        self,
        read: Callable[[], Throttling | None] | None = None,
        refresh_s: float = REFRESH_S,
    ) -> None:
        self._read = read or read_throttling
        self._refresh_s = refresh_s
        self._lock = threading.Lock()
        self._latest: Throttling | None = None
        self._read_s = -math.inf
        self._is_reading = False

    def latest(self) -> Throttling | None:
        """Return the latest value; waits up to `WAIT_S` for a new one. None before the first."""
        reader = self._start_reading()
        if reader is not None:
            reader.join(WAIT_S)
        with self._lock:
            return self._latest

    def _start_reading(self) -> threading.Thread | None:
        with self._lock:
            now_s = time.monotonic()
            if self._is_reading or now_s - self._read_s < self._refresh_s:
                return None
            self._read_s, self._is_reading = now_s, True
        reader = threading.Thread(target=self._read_flags, name="throttling", daemon=True)
        reader.start()
        return reader

    def _read_flags(self) -> None:
        found = self._read()
        with self._lock:
            self._latest, self._is_reading = found, False


def read_throttling() -> Throttling | None:
    """Return the throttling flags of a Raspberry Pi; None if the machine does not report them.

    The sources, in order: the program of the firmware, a file of older kernels, and the kernel's
    power supply monitor, which all users may read but which has only one flag. May take
    `FIRMWARE_S`.
    """
    word = _firmware_word()
    if word is not None:
        return Throttling(_throttling_flags(word), _throttling_flags(word >> 16))
    low = _supply_is_low()
    return None if low is None else Throttling({FLAGS[0]: low}, {})


def _firmware_word() -> int | None:
    with suppress(OSError, subprocess.SubprocessError):
        if shutil.which(FIRMWARE[0]):
            answer = subprocess.run(
                FIRMWARE, capture_output=True, text=True, timeout=FIRMWARE_S, check=False
            )
            if found := re.search("throttled=0x([0-9a-f]+)", answer.stdout):
                return int(found[1], 16)
    with suppress(OSError, ValueError):
        return int(THROTTLED.read_text("ascii"), 16)
    return None


def _throttling_flags(word: int) -> dict[str, bool]:
    return {flag: bool(word >> bit & 1) for bit, flag in enumerate(FLAGS)}


def _supply_is_low() -> bool | None:
    for name in MONITORS.glob("*/name"):
        with suppress(OSError, ValueError):
            if name.read_text("ascii").strip() == "rpi_volt":
                return bool(int((name.parent / "in0_lcrit_alarm").read_text("ascii")))
    return None


THROTTLING: Final = ThrottlingReader()
"""The reader that all users in this process share."""
