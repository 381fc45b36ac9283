"""Every deliberate error, with its exit code.

A message says where, what was found, what was expected and what to do; lower
case, no final period. Anything else that is raised is a bug.
"""

from typing import ClassVar


class EdgeposeError(Exception):
    """What edgepose itself has to say when something cannot be done."""

    exit_code: ClassVar[int] = 1


class UsageError(EdgeposeError, ValueError):
    """The command line asks for something that does not exist."""

    exit_code: ClassVar[int] = 2


class ConfigError(UsageError):
    """A configuration file holds something that cannot be meant."""


class SourceError(EdgeposeError, OSError):
    """A source of pictures cannot be opened, or ended unexpectedly."""

    exit_code: ClassVar[int] = 3


class ModelError(EdgeposeError, ValueError):
    """A model file is missing, broken or of no known family."""

    exit_code: ClassVar[int] = 4


class DelegateError(EdgeposeError, RuntimeError):
    """A TFLite delegate cannot be loaded, or failed while running."""

    exit_code: ClassVar[int] = 4


class BrokerError(EdgeposeError, ConnectionError):
    """The broker refused us; trying again cannot help."""

    exit_code: ClassVar[int] = 5
