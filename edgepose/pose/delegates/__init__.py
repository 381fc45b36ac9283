"""What may run a model besides the runtime's own kernels on the CPU.

To add one: write `delegates/<name>.py`, add one row here, and test it as
`tests/pose/delegates/test_registry.py` tests these.
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
"""Name to class; asked in this order whether a configured text is theirs."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A library that takes operators of a model over from the runtime: a TFLite delegate."""

    library: str
    """What to load: a path, or a name that the system's loader knows."""

    options: tuple[tuple[str, str], ...] = ()
    """Key and value, as the library names them."""

    op: str = ""
    """The custom operator it is for; empty where it may take any operator."""

    def helps(self, model: ModelInfo) -> bool:
        """Say whether the model has anything that it may take over."""
        return not self.op or self.op in model.custom_ops


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
