"""edgepose's exceptions: their base classes and exit codes."""

import pytest

from edgepose import errors
from edgepose.errors import EdgeposeError

CONTRACT = {
    "EdgeposeError": 1,
    "UsageError": 2,
    "ConfigError": 2,
    "SourceError": 3,
    "ModelError": 4,
    "DelegateError": 4,
    "BrokerError": 5,
}
"""Exit codes: scripts and the service's restart rules rely on them."""

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type)]


@pytest.mark.parametrize("kind", [it for it in ALL if issubclass(it, EdgeposeError)])
def test_every_error_has_the_exit_code_that_is_promised(kind: type[EdgeposeError]) -> None:
    """Every exception has the exit code in the contract."""
    assert CONTRACT[kind.__name__] == kind.exit_code


@pytest.mark.parametrize(
    ("kind", "usual"),
    [
        (errors.UsageError, ValueError),
        (errors.SourceError, OSError),
        (errors.ModelError, ValueError),
        (errors.DelegateError, RuntimeError),
        (errors.BrokerError, ConnectionError),
    ],
)
def test_programs_catch_what_they_know(kind: type[EdgeposeError], usual: type[Exception]) -> None:
    """Each exception is also caught by its built-in base class, with its message."""
    with pytest.raises(usual, match="no such thing"):
        raise kind("no such thing")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("Expected `int`, got `str`"), "expected `int`, got `str`"),
        (ValueError("JSON is malformed"), "JSON is malformed"),
        (RecursionError("maximum recursion depth exceeded"), "brackets within brackets"),
    ],
)
def test_what_reading_raises_becomes_words(error: Exception, words: str) -> None:
    """Decoding errors are converted to a phrase that fits into a sentence."""
    assert errors.in_words(error).startswith(words)
