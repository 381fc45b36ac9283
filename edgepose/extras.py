"""Install commands for the libraries of optional features."""

import re
from functools import cache


def install(extra: str) -> str:
    """Return the command that installs the libraries of an extra.

    Examples
    --------
    >>> install("mcap")
    "pip install 'mcap>=1.2'"
    """
    return "pip install " + " ".join(f"'{name}'" for name in libraries(extra))


@cache
def libraries(extra: str) -> tuple[str, ...]:
    """Return the requirements of an extra from the package's metadata.

    Raises
    ------
    ValueError
        When the extra is unknown.
    """
    from importlib.metadata import PackageNotFoundError, requires  # takes 10 ms, rarely needed

    try:
        lines = requires("edgepose") or []
    except PackageNotFoundError:  # run from a source folder, not installed
        return (extra,)
    marker = re.compile(rf"extra == ['\"]{re.escape(extra)}['\"]")
    found = tuple(line.partition(";")[0].strip() for line in lines if marker.search(line))
    if not found:
        raise ValueError(extra)
    return found
