"""Print the version of this tree, or with --notes its section of CHANGELOG.md; needs no library."""

import argparse
import re
from pathlib import Path
from typing import Final

TREE: Final = Path(__file__).parent.parent
FILE: Final = TREE / "edgepose" / "_version.py"


def version() -> str:
    """Return the version that the package has."""
    found = re.search(r'^__version__ = "(.*)"$', FILE.read_text(), re.M)
    if found is None:
        raise SystemExit(f"{FILE}: no version")
    return found[1]


def notes(number: str) -> str:
    """Return what CHANGELOG.md says of a version.

    Raises
    ------
    SystemExit
        When it has no section for it.
    """
    text = (TREE / "CHANGELOG.md").read_text()
    found = re.search(rf"^## {re.escape(number)}\b[^\n]*\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    if found is None:
        raise SystemExit(f"CHANGELOG.md: no section for {number}")
    return found[1].strip() + "\n"


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notes", action="store_true", help="its section of CHANGELOG.md")
    print(notes(version()) if parser.parse_args().notes else version())


if __name__ == "__main__":
    main()
