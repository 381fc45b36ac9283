"""Tests of how optional features are installed."""

import tomllib
from pathlib import Path

import pytest

from edgepose import extras

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


@pytest.mark.parametrize("extra", sorted(EXTRAS.keys() - {"tflite-runtime"}))
def test_the_libraries_are_named(extra: str) -> None:
    """Those of pyproject.toml, in quotes, since a shell takes ">" for a file."""
    wanted = " ".join(f"'{library}'" for library in EXTRAS[extra])

    assert extras.install(extra) == f"pip install {wanted}"


def test_no_command_names_the_package_itself() -> None:
    """No index has it."""
    assert all("edgepose" not in extras.install(extra) for extra in EXTRAS)


def test_an_extra_that_does_not_exist_is_a_mistake() -> None:
    """Not a command without libraries."""
    with pytest.raises(ValueError, match="speech"):
        extras.install("speech")
