"""Registry of TFLite delegates, which run a model outside the runtime's CPU kernels.

To add a delegate, write `delegates/<name>.py`, add one row here, and add a test as in
`tests/pose/delegates/test_registry.py`.
"""

from dataclasses import dataclass
from typing import Final, Protocol, Self

from edgepose import registry
from edgepose.errors import ConfigError
from edgepose.models.info import ModelInfo

DELEGATES: Final = {
    "cpu": "edgepose.pose.delegates.cpu:Cpu",
    "edgetpu": "edgepose.pose.delegates.edgetpu:EdgeTpu",
    "a library": "edgepose.pose.delegates.library:Library",
}
"""Name to class; `parse` is tried in this order."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """Library of a TFLite delegate, with its options."""

    library: str
    """A path, or a name for the system's library loader."""

    options: tuple[tuple[str, str], ...] = ()
    """Pairs of key and value, as defined by the library."""

    op: str = ""
    """The custom operator that it runs; empty if it may run any operator."""

    def helps(self, model: ModelInfo) -> bool:
        """Return whether the model has operators for this delegate."""
        return not self.op or self.op in model.custom_ops


class Delegate(Protocol):
    """Interface of a delegate's description; `TfliteInterpreter` loads the library."""

    @property
    def name(self) -> str:
        """Name in status and log."""

    @property
    def plugin(self) -> Plugin | None:
        """Library to load; None for the CPU."""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse `model.delegate`; return None if it names another delegate."""

    def absent(self) -> str:
        """Return why it cannot work now, without loading it; empty if it may work."""


def named(text: str) -> Delegate:
    """Return the delegate that `model.delegate` names; `auto` means the Edge TPU.

    Raises
    ------
    ConfigError
        If it names none.
    """
    for row in DELEGATES.values():
        delegate: Delegate | None = registry.load(row).parse(text)
        if delegate is not None:
            return delegate
    msg = f'model.delegate = "{text}": expected auto, cpu, edgetpu, edgetpu:usb:0 or a path'
    raise ConfigError(msg)
