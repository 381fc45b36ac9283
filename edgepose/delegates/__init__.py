"""What may run a model besides the runtime's own kernels on the CPU.

To add one: write `delegates/<name>.py`, add one row here, and test it as
`tests/test_delegates.py` tests these.
"""

from typing import Final, Protocol, Self

from edgepose import registry
from edgepose.errors import ConfigError
from edgepose.models import Plugin

DELEGATES: Final = {
    "cpu": "edgepose.delegates.cpu:Cpu",
    "edgetpu": "edgepose.delegates.edgetpu:EdgeTpu",
    "a library": "edgepose.delegates.library:Library",
}
"""Name to class; asked in this order whether a configured text is theirs."""


class Delegate(Protocol):
    """What a delegate must say of itself; loading it is the engine's work."""

    @property
    def name(self) -> str:
        """What status and log call it."""

    @property
    def plugin(self) -> Plugin | None:
        """What the engine is to load; None for nothing."""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read `model.delegate`; None if it is another's."""

    def absent(self) -> str:
        """Say why it cannot work now, without loading anything; empty when it may."""


def named(text: str) -> Delegate:
    """Return the delegate that `model.delegate` names; `auto` means the Edge TPU.

    Raises
    ------
    ConfigError
        When it names none.
    """
    for row in DELEGATES.values():
        delegate: Delegate | None = registry.load(row).parse(text)
        if delegate is not None:
            return delegate
    msg = f'model.delegate = "{text}": expected auto, cpu, edgetpu, edgetpu:usb:0 or a path'
    raise ConfigError(msg)
