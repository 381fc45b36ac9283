"""Suggestions for a word that is not known: the nearest of those that are."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final

SHOWN: Final = 60  # characters of a wrong value: enough to recognise it in the file


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant."""
    return next(iter(get_close_matches(name, list(known), n=1)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Ask, with a blank before, for the known name that was probably meant; empty if none was."""
    match = nearest(name, known)
    return f' did you mean "{match}"?' if match else ""


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """Say that there is no such thing, which was probably meant and which there are."""
    hint = did_you_mean(name, known)
    return f'unknown {what} "{shorten(name)}";{hint} known: {", ".join(sorted(known))}'


def shorten(text: str) -> str:
    """Cut a text to at most `SHOWN` characters, with an ellipsis where something is missing."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
