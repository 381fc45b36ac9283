"""The install command of optional features."""

import tomllib
from pathlib import Path

import pytest

from edgepose import extras

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


@pytest.mark.parametrize("extra", sorted(EXTRAS.keys() - {"tflite-runtime"}))
def test_the_libraries_are_named(extra: str) -> None:
    """The command lists the libraries of pyproject.toml in quotes, because of ">"."""
    wanted = " ".join(f"'{library}'" for library in EXTRAS[extra])

    assert extras.install(extra) == f"pip install {wanted}"


def test_no_command_names_the_package_itself() -> None:
    """The command does not name edgepose, which is not on an index."""
    assert all("edgepose" not in extras.install(extra) for extra in EXTRAS)


def test_an_extra_that_does_not_exist_is_a_mistake() -> None:
    """An unknown extra raises ValueError."""
    with pytest.raises(ValueError, match="speech"):
        extras.install("speech")
