"""Suggestions for unknown words."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final

SHOWN: Final = 60  # characters of an invalid value, enough to find it in the file


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the most similar known name; None if none is similar."""
    names = list(known)
    close = get_close_matches(name, names, n=1) or get_close_matches(name.lower(), names, n=1)
    return next(iter(close), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question with the most similar known name, after a space; empty without one."""
    match = nearest(name, known)
    return f' did you mean "{match}"?' if match else ""


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """Return the message for an unknown name, with a suggestion and all known names."""
    hint = did_you_mean(name, known)
    return f'unknown {what} "{shorten(name)}";{hint} known: {", ".join(sorted(known))}'


def shorten(text: str) -> str:
    """Return a text cut to at most `SHOWN` characters, with an ellipsis if it was longer."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
