"""Finds files named in a configuration that cannot be read."""

from collections.abc import Iterator
from pathlib import Path

from edgepose.config import toml
from edgepose.config.error_messages import Problem, expected
from edgepose.config.schema import Config
from edgepose.errors import in_words


def missing_files(config: Config) -> Iterator[Problem]:
    """Yield a problem for each named file that is missing or cannot be read.

    Models and sources are not included; the packages that open them check them.
    """
    for table in ("mqtt", "web"):
        for key in ("password_file", "ca_file", "cert_file", "key_file"):
            named = getattr(getattr(config, table), key, "")
            if named:
                yield from _unreadable((table, key), named)
    if config.model.twin.endswith(".tflite"):
        yield from _unreadable(("model", "twin"), config.model.twin)
    if "/" in config.model.delegate:
        yield from _unreadable(("model", "delegate"), config.model.delegate)


def _unreadable(path: toml.Path, named: str) -> Iterator[Problem]:
    try:
        with Path(named).open("rb") as stream:
            stream.read(1)
    except OSError as error:
        what = f"a file this user may read ({in_words(error)})"
        yield Problem(path, expected(path, named, what))
