"""Finds files named in a configuration that cannot be read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edgepose.config import toml
from edgepose.config.error_messages import Problem, expected
from edgepose.config.schema import Config
from edgepose.errors import in_words

ELF: Final = b"\x7fELF"  # first bytes of a shared library


def missing_files(config: Config) -> Iterator[Problem]:
    """Yield a problem for each named file that is missing or cannot be read.

    Models and sources are not included; the packages that open them check them.
    """
    for table in ("mqtt", "web"):
        for key in ("password_file", "ca_file", "cert_file", "key_file"):
            named = getattr(getattr(config, table), key, "")
            if named:
                yield from _unreadable_problems((table, key), named)
    if config.model.twin.endswith(".tflite"):
        yield from _unreadable_problems(("model", "twin"), config.model.twin)
    if "/" in config.model.delegate:
        path = ("model", "delegate")
        problems = list(_unreadable_problems(path, config.model.delegate))
        yield from problems or _no_library(path, config.model.delegate)


def _no_library(path: toml.Path, named: str) -> Iterator[Problem]:
    with Path(named).open("rb") as stream:
        if stream.read(len(ELF)) != ELF:
            yield Problem(path, expected(path, named, "a shared library (.so) of this machine"))


def _unreadable_problems(path: toml.Path, named: str) -> Iterator[Problem]:
    try:
        with Path(named).open("rb") as stream:
            stream.read(1)
    except OSError as error:
        what = f"a file this user may read ({in_words(error)})"
        yield Problem(path, expected(path, named, what))
