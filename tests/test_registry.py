"""Registries: names to classes, imported on demand."""

import subprocess
import sys
from collections.abc import Mapping

import pytest

from edgepose import registry
from edgepose.camera.sources import SOURCES
from edgepose.people.events import EVENTS
from edgepose.pose.decoders import CUSTOM_OPS, DECODERS
from edgepose.pose.delegates import DELEGATES

REGISTRIES: dict[str, Mapping[str, str]] = {
    "sources": SOURCES,
    "decoders": DECODERS,
    "custom ops": CUSTOM_OPS,
    "delegates": DELEGATES,
    "events": EVENTS,
}


@pytest.mark.parametrize("name", REGISTRIES)
def test_every_row_names_something_that_can_be_called(name: str) -> None:
    """Every entry of a registry can be loaded."""
    for row in REGISTRIES[name].values():
        try:
            found = registry.load(row)
        except ImportError as error:  # of system packages, such as picamera2
            assert "edgepose" not in str(error.name)
        else:
            assert callable(found)


def test_a_row_is_imported_when_it_is_chosen_and_not_before() -> None:
    """An entry's module is not imported before it is loaded."""
    program = (
        "import sys; from edgepose import registry; row = 'edgepose.config.toml:dump';"
        "before = 'edgepose.config.toml' in sys.modules; registry.load(row);"
        "print(before, 'edgepose.config.toml' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["False", "True"]


def test_a_row_that_names_nothing_is_a_bug() -> None:
    """An entry with a wrong name raises AttributeError."""
    with pytest.raises(AttributeError):
        registry.load("edgepose.errors:NoSuchError")
