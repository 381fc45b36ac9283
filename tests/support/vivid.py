"""The kernel's virtual camera: its node, and unbinding its driver."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

DRIVER: Final = Path("/sys/bus/platform/drivers/vivid")


def find() -> Path:
    """Return its node; skips the test if there is none."""
    for name in sorted(Path("/sys/class/video4linux").glob("video*/name")):
        if name.read_text().startswith("vivid") and name.read_text().endswith("vid-cap\n"):
            return Path("/dev") / name.parent.name
    pytest.skip("no virtual camera of the kernel here: sudo modprobe vivid")


@contextmanager
def away() -> Iterator[None]:
    """Unbind its driver for a while, which removes its node."""
    (DRIVER / "unbind").write_text("vivid.0")
    try:
        yield
    finally:
        (DRIVER / "bind").write_text("vivid.0")
