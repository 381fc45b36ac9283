"""The exceptions that edgepose raises, with their exit codes.

A message states the place, what was found, what was expected and what to do, in lower case and
without a final period. Any other exception is a bug.
"""

from typing import ClassVar


class EdgeposeError(Exception):
    """Base class of all errors that edgepose raises on purpose."""

    exit_code: ClassVar[int] = 1


class UsageError(EdgeposeError, ValueError):
    """The command line has an unknown or invalid argument."""

    exit_code: ClassVar[int] = 2


class ConfigError(UsageError):
    """A configuration file has an unknown key or an invalid value."""

    def __init__(self, message: str, key: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.key = key
        """Path of the invalid value; empty if unknown or if the message has the line."""


class SourceError(EdgeposeError, OSError):
    """An image source cannot be opened, or ended unexpectedly."""

    exit_code: ClassVar[int] = 3


class ModelError(EdgeposeError, ValueError):
    """A model file is missing, damaged or of an unknown family."""

    exit_code: ClassVar[int] = 4


class DelegateError(EdgeposeError, RuntimeError):
    """A TFLite delegate cannot be loaded, or failed while running."""

    exit_code: ClassVar[int] = 4


class BrokerError(EdgeposeError, ConnectionError):
    """The broker refused the connection permanently; retrying does not help."""

    exit_code: ClassVar[int] = 5


def in_words(error: Exception) -> str:
    """Return the message of an exception from reading a file or message, in lower case.

    Examples
    --------
    >>> in_words(ValueError("Expected `int`, got `str`"))
    'expected `int`, got `str`'
    """
    if isinstance(error, RecursionError):
        return "brackets within brackets without end"
    system = error.strerror if isinstance(error, OSError) else None
    text = system or str(error) or type(error).__name__
    # keeps acronyms such as JSON
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
