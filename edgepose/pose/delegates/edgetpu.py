"""Google's Edge TPU, with the delegate libedgetpu."""

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
"""Name of the library on this platform."""

USB_IDS: Final = {("1a6e", "089a"): "before its firmware is loaded", ("18d1", "9302"): "ready"}
"""USB ids of the accelerator: vendor and product; they change on first use."""

USB_DEVICES: Final = Path("/sys/bus/usb/devices")
NODES: Final = Path("/dev")
_TEXT: Final = re.compile(r"edgetpu(?::(?P<bus>usb|pci):(?P<index>\d{1,2}))?")


@dataclass(frozen=True, slots=True)
class EdgeTpu:
    """An Edge TPU by bus and number; without a bus, the first one."""

    bus: Literal["", "usb", "pci"] = ""
    index: int = 0

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse ``edgetpu``, ``edgetpu:usb:0`` or ``edgetpu:pci:0``; ``auto`` is ``edgetpu``."""
        if text == "auto":
            return cls()
        found = _TEXT.fullmatch(text)
        if found is None:
            return None
        bus: Literal["", "usb", "pci"] = found["bus"] or ""  # type: ignore[assignment]  # as matched
        return cls(bus, int(found["index"] or 0))

    @property
    def name(self) -> str:
        """Name as in the configuration."""
        return f"edgetpu:{self.bus}:{self.index}" if self.bus else "edgetpu"

    @property
    def plugin(self) -> Plugin:
        """The library, with the device's number as option ``device``.

        The number is always set, as ``:0`` or ``usb:0``: without it libedgetpu silently
        ignores all other options.
        """
        return Plugin(LIBRARY, (("device", f"{self.bus}:{self.index}"),), EDGETPU_OP)

    def absent(self) -> str:
        """Return why no such device is available; empty if the system lists it."""
        buses = {"usb": list(on_usb()), "pci": list(on_pci())}
        there = buses[self.bus] if self.bus else [*buses["usb"], *buses["pci"]]
        if len(there) > self.index:
            return ""
        where = {"": "USB or PCIe", "usb": "USB", "pci": "PCIe"}[self.bus]
        if not there:
            return f"no Edge TPU was found on {where}"
        return f"Edge TPU {self.index} on {where} was requested and {len(there)} found"


def on_usb() -> Iterator[str]:
    """Yield the USB device name of each Edge TPU."""
    for device in sorted(USB_DEVICES.glob("*")):
        try:
            ids = tuple((device / name).read_text().strip() for name in ("idVendor", "idProduct"))
        except OSError:  # an interface, a hub port, or a device unplugged meanwhile
            continue
        if ids in USB_IDS:
            yield device.name


def on_pci() -> Iterator[str]:
    """Yield the device node of each Edge TPU on PCIe."""
    yield from (str(node) for node in sorted(NODES.glob("apex_*")))
