"""Temperature, throttling and supply of the board."""

import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec


class Throttling(msgspec.Struct, frozen=True):
    """What slows a Raspberry Pi down, by flag; one that the machine cannot tell is missing."""

    now: dict[str, bool]
    """`under_voltage`, `frequency_capped`, `throttled`, `soft_temperature_limit`."""

    since_boot: dict[str, bool]
    """The same, at any time since it was started."""

    @property
    def is_slow(self) -> bool:
        """Whether anything slows it down right now."""
        return any(self.now.values())


THERMAL: Final = Path("/sys/class/thermal/thermal_zone0/temp")
FIRMWARE: Final = ("vcgencmd", "get_throttled")
FIRMWARE_S: Final = 2.0  # it answers within milliseconds, or not at all
THROTTLED: Final = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
"""What the firmware said last: kernels up to 6.12 have it, and not on a Pi 5."""

MONITORS: Final = Path("/sys/class/hwmon")
FLAGS: Final = ("under_voltage", "frequency_capped", "throttled", "soft_temperature_limit")
"""What the firmware tells: in bits 0 to 3 what is, in bits 16 to 19 what was since the boot."""


def temperature_c() -> float | None:
    """Return the processor's temperature; None where the machine does not tell."""
    try:
        return int(THERMAL.read_text("ascii")) / 1000
    except (OSError, ValueError):
        return None


def throttling() -> "Throttling | None":
    """Return what slows a Raspberry Pi down; None where nobody tells.

    Asked are the firmware, by its own program; what an older kernel has of it; and the
    kernel's monitor of the supply, which anybody may read but which knows one flag only.
    """
    pass  # after `configure_malloc`: it loads numpy

    word = _firmware_word()
    if word is not None:
        return Throttling(_flags(word), _flags(word >> 16))
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


def _flags(word: int) -> dict[str, bool]:
    return {flag: bool(word >> bit & 1) for bit, flag in enumerate(FLAGS)}


def _supply_is_low() -> bool | None:
    for name in MONITORS.glob("*/name"):
        with suppress(OSError, ValueError):
            if name.read_text("ascii").strip() == "rpi_volt":
                return bool(int((name.parent / "in0_lcrit_alarm").read_text("ascii")))
    return None
