"""The requested log level: it persists across restarts, and null restores the file's."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepose.config.schema import Config, Log
from edgepose.service.log_level import LogLevel
from edgepose.system import logs
from edgepose.system.logs import Level
from edgepose.system.storage import StateFile

FILE = Config(log=Log(level="warning"))


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("edgepose")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:], root.level = before[0], before[1]
    ours.setLevel(before[2])


def level(path: Path | None) -> LogLevel:
    return LogLevel(StateFile(path, Level | None))


def test_without_a_request_the_file_decides(tmp_path: Path) -> None:
    """Without a request the level is the file's."""
    assert level(tmp_path / "level.json").current(FILE) == "warning"


def test_a_requested_level_outlives_a_restart(tmp_path: Path) -> None:
    """The requested level is stored."""
    path = tmp_path / "level.json"

    level(path).store("debug")

    assert level(path).current(FILE) == "debug"


def test_null_restores_the_value_of_the_file(tmp_path: Path) -> None:
    """`null` restores the file's level at once and after a restart."""
    path = tmp_path / "level.json"
    held = level(path)
    held.store("debug")

    held.store(None)

    assert held.current(FILE) == "warning"
    assert level(path).current(FILE) == "warning"


def test_it_is_in_force_at_once() -> None:
    """`apply` sets the level without a restart."""
    held = level(None)
    held.store("error")

    held.apply(FILE)

    assert logging.getLogger("edgepose").level == logging.ERROR
    assert any(isinstance(each, logs.Handler) for each in logging.getLogger().handlers)
