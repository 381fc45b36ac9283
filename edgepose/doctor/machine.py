"""Doctor's checks of the machine: service, clock, power and heat."""

import ctypes
import subprocess
from collections.abc import Iterator
from typing import Final

from edgepose.doctor.remedies import JOURNAL, RESTART
from edgepose.mqtt.messages import Finding
from edgepose.system import hardware
from edgepose.system.hardware import Throttling

ASK_S: Final = 5.0  # the service manager answers at once
HOT_C: Final = 80.0  # a Raspberry Pi slows down from here on
TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised


def service() -> Iterator[Finding]:
    """Check the service, if it is installed."""
    told = _unit()
    if told.get("LoadState") != "loaded":
        return
    state, code = told.get("ActiveState"), told.get("ExecMainStatus")
    if state == "active":
        yield Finding("service", "ok", "it runs")
    elif state == "inactive":
        yield Finding("service", "warn", "it does not run", "sudo systemctl start edgepose")
    elif state == "activating" and told.get("SubState") != "auto-restart":
        yield Finding("service", "warn", "it is starting", f"wait a minute; {JOURNAL}")
    else:
        mend = f"{JOURNAL} shows why; mend that, then: {RESTART}"
        yield Finding("service", "fail", f"it ended by itself, with exit code {code}", mend)


def _unit() -> dict[str, str]:
    """Return the service manager's properties of the service; empty if it is unknown."""
    asked = "--property=LoadState,ActiveState,SubState,ExecMainStatus"
    lines = _said_by("systemctl", "show", "edgepose", asked).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _said_by(*command: str) -> str:
    """Return the output of a system program; empty if it is missing or fails."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=ASK_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def clock() -> Finding:
    """Check whether the clock is synchronised."""
    # struct timex of zeros reads the clock without setting it; 208 bytes on 64-bit machines
    kept = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    if kept < 0:  # the service may not call adjtimex; timedatectl may
        told = _said_by("timedatectl", "show", "--property=NTPSynchronized", "--value").strip()
        kept = {"yes": 0, "no": TIME_ERROR}.get(told, kept)
    if kept == TIME_ERROR:
        mend = "sudo timedatectl set-ntp true; times in messages are wrong until it is"
        return Finding("clock", "warn", "not synchronised", mend)
    if kept < 0:
        return Finding("clock", "ok", "this machine does not tell")
    return Finding("clock", "ok", "synchronised")


def power(throttling: Throttling | None) -> Finding:
    """Check the power supply of a Raspberry Pi."""
    if throttling is None or "under_voltage" not in throttling.now:
        return Finding("power", "ok", "this machine does not tell")
    mend = (
        "use the power supply made for this Pi and a short, thick cable, and give USB devices"
        " a supply of their own; then restart it: sudo reboot"
    )
    if throttling.now["under_voltage"]:
        return Finding("power", "warn", "too little right now: it slows down, or crashes", mend)
    if throttling.since_boot.get("under_voltage"):
        return Finding("power", "warn", "there was too little since it was started", mend)
    return Finding("power", "ok", "enough")


def heat(throttling: Throttling | None) -> Finding:
    """Check whether the processor is hot or throttled."""
    temperature_c = hardware.temperature_c()
    mend = "a heat sink, a fan, or air around it; if it is cool, look at power first"
    shown = [] if temperature_c is None else [f"{temperature_c:.0f} °C"]
    if throttling is not None:
        now = _slowed(throttling.now)
        if slowed := now or _slowed(throttling.since_boot):
            when = "right now" if now else "at some time since it was started"
            shown.append(f"slowed down {when} ({', '.join(slowed)})")
            return Finding("heat", "warn", ", ".join(shown), mend)
        shown.append("not slowed down")
    if temperature_c is not None and temperature_c > HOT_C:
        return Finding("heat", "warn", ", ".join(shown), mend)
    return Finding("heat", "ok", ", ".join(shown) or "this machine does not tell")


def _slowed(flags: dict[str, bool]) -> list[str]:
    return [flag for flag, is_set in flags.items() if is_set and flag != "under_voltage"]
