"""Google's Edge TPU, driven by libedgetpu, which the runtime loads itself."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from edgepose.models.info import EDGETPU_OP
from edgepose.pose.delegates import Plugin

LIBRARIES: Final = {"darwin": "libedgetpu.1.dylib", "win32": "edgetpu.dll"}
LIBRARY: Final = LIBRARIES.get(sys.platform, "libedgetpu.so.1")
"""What the library is called on this platform."""

USB_IDS: Final = {("1a6e", "089a"): "before its firmware is loaded", ("18d1", "9302"): "ready"}
"""Vendor and product of the USB accelerator; it changes them when it is first used."""

USB_DEVICES: Final = Path("/sys/bus/usb/devices")
NODES: Final = Path("/dev")
_TEXT: Final = re.compile(r"edgetpu(?::(?P<bus>usb|pci):(?P<index>\d{1,2}))?")


@dataclass(frozen=True, slots=True)
class EdgeTpu:
    """One Edge TPU, or the first of any."""

    bus: Literal["", "usb", "pci"] = ""
    index: int = 0

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read ``edgetpu``, ``edgetpu:usb:0`` or ``edgetpu:pci:0``; ``auto`` is the first."""
        if text == "auto":
            return cls()
        found = _TEXT.fullmatch(text)
        if found is None:
            return None
        bus: Literal["", "usb", "pci"] = found["bus"] or ""  # type: ignore[assignment]  # as matched
        return cls(bus, int(found["index"] or 0))

    @property
    def name(self) -> str:
        """As the configuration writes it."""
        return f"edgetpu:{self.bus}:{self.index}" if self.bus else "edgetpu"

    @property
    def plugin(self) -> Plugin:
        """The library and the device's number.

        The number is always given, as ``:0`` or ``usb:0``: without one libedgetpu
        drops all other options in silence.
        """
        return Plugin(LIBRARY, (("device", f"{self.bus}:{self.index}"),), EDGETPU_OP)

    def absent(self) -> str:
        """Say that no such device is plugged in, by what the system knows of its buses."""
        buses = {"usb": list(on_usb()), "pci": list(on_pci())}
        there = buses[self.bus] if self.bus else [*buses["usb"], *buses["pci"]]
        if len(there) > self.index:
            return ""
        where = {"": "USB or PCIe", "usb": "USB", "pci": "PCIe"}[self.bus]
        if not there:
            return f"no Edge TPU was found on {where}"
        return f"Edge TPU {self.index} on {where} was asked for and {len(there)} found"


def on_usb() -> Iterator[str]:
    """Yield the place of each Edge TPU on USB."""
    for device in sorted(USB_DEVICES.glob("*")):
        try:
            ids = tuple((device / name).read_text().strip() for name in ("idVendor", "idProduct"))
        except OSError:  # an interface or a hub's port, or just unplugged
            continue
        if ids in USB_IDS:
            yield device.name


def on_pci() -> Iterator[str]:
    """Yield the node of each Edge TPU on PCIe."""
    yield from (str(node) for node in sorted(NODES.glob("apex_*")))
