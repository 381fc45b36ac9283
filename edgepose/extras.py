"""How to install the libraries of an optional feature: by their own names."""

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
    """Return the requirements of an extra, as the package's own metadata names them.

    Raises
    ------
    ValueError
        When there is no such extra.
    """
    from importlib.metadata import PackageNotFoundError, requires  # 10 ms that most starts save

    try:
        lines = requires("edgepose") or []
    except PackageNotFoundError:  # run from a folder, without an installation
        return (extra,)
    marker = re.compile(rf"extra == ['\"]{re.escape(extra)}['\"]")
    found = tuple(line.partition(";")[0].strip() for line in lines if marker.search(line))
    if not found:
        raise ValueError(extra)
    return found
