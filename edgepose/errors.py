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

    def __init__(self, message: str, key: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.key = key
        """Path of the value at fault, where it is known and the message names no line."""


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


def in_words(error: Exception) -> str:
    """Say what is wrong with something that was sent or named, by what reading it has raised.

    Examples
    --------
    >>> in_words(ValueError("Expected `int`, got `str`"))
    'expected `int`, got `str`'
    """
    if isinstance(error, RecursionError):
        return "brackets within brackets without end"
    system = error.strerror if isinstance(error, OSError) else None
    text = system or str(error) or type(error).__name__
    # not the J of JSON
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
