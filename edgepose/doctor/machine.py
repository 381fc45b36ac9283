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
RESET: Final = "sudo systemctl reset-failed edgepose"  # needed after too many failed starts
HOT_C: Final = 80.0  # a Raspberry Pi slows down from here on
TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised


def service() -> Iterator[Finding]:
    """Check the service, if it is installed."""
    properties = _unit_properties()
    if properties.get("LoadState") != "loaded":
        return
    state, code = properties.get("ActiveState"), properties.get("ExecMainStatus")
    if state == "active":
        yield Finding("service", "ok", "it runs")
    elif state == "inactive":
        yield Finding("service", "warn", "not running", "sudo systemctl start edgepose")
    elif state == "activating" and properties.get("SubState") != "auto-restart":
        yield Finding("service", "warn", "starting", f"wait a minute; {JOURNAL}")
    else:
        remedy = f"{JOURNAL} shows why; correct that, then: {RESET}; {RESTART}"
        yield Finding("service", "fail", f"ended with exit code {code}", remedy)


def _unit_properties() -> dict[str, str]:
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
    # A zeroed struct timex (208 bytes on 64 bits) reads the clock without setting it.
    kept = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    if kept < 0:  # the service is not permitted to call adjtimex; timedatectl is
        properties = _said_by(
            "timedatectl", "show", "--property=NTPSynchronized", "--value"
        ).strip()
        kept = {"yes": 0, "no": TIME_ERROR}.get(properties, kept)
    if kept == TIME_ERROR:
        remedy = "sudo timedatectl set-ntp true; times in messages are wrong until it is"
        return Finding("clock", "warn", "not synchronised", remedy)
    if kept < 0:
        return Finding("clock", "ok", "not reported by this machine")
    return Finding("clock", "ok", "synchronised")


def power(throttling: Throttling | None) -> Finding:
    """Check the power supply of a Raspberry Pi."""
    if throttling is None or "under_voltage" not in throttling.now:
        return Finding("power", "ok", "not reported by this machine")
    remedy = (
        "use the power supply made for this Pi and a short, thick cable, and give USB devices"
        " a supply of their own; then restart it: sudo reboot"
    )
    if throttling.now["under_voltage"]:
        return Finding(
            "power", "warn", "too low right now: the machine slows down or crashes", remedy
        )
    if throttling.since_boot.get("under_voltage"):
        return Finding("power", "warn", "was too low at some time since the start", remedy)
    return Finding("power", "ok", "enough")


def heat(throttling: Throttling | None) -> Finding:
    """Check whether the processor is hot or throttled."""
    temperature_c = hardware.temperature_c()
    remedy = "add a heat sink, a fan or air around it; if it is cool, check the power supply first"
    shown = [] if temperature_c is None else [f"{temperature_c:.0f} °C"]
    if throttling is not None:
        now = _throttling_causes(throttling.now)
        if slowed := now or _throttling_causes(throttling.since_boot):
            when = "right now" if now else "at some time since it was started"
            shown.append(f"slowed down {when} ({', '.join(slowed)})")
            return Finding("heat", "warn", ", ".join(shown), remedy)
        shown.append("not slowed down")
    if temperature_c is not None and temperature_c > HOT_C:
        return Finding("heat", "warn", ", ".join(shown), remedy)
    return Finding("heat", "ok", ", ".join(shown) or "not reported by this machine")


def _throttling_causes(flags: dict[str, bool]) -> list[str]:
    return [flag for flag, is_set in flags.items() if is_set and flag != "under_voltage"]
