"""Each module has its tests, where a reader looks for them."""

from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
MODULES: Final = sorted(
    path.relative_to(ROOT / "edgepose").with_suffix("").as_posix()
    for path in (ROOT / "edgepose").rglob("*.py")
    if path.stem not in {"__init__", "__main__"}
)
FILES: Final = {path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")}

ELSEWHERE: Final = {
    "checkup": "control",
    "commands/bench": "benchmarking",
    "commands/config": "cli",
    "commands/demo": "daemon",
    "commands/run": "daemon",
    "commands/score": "scoring",
    "commands/record": "recording",
    "commands/replay": "recording",
    "commands/watch": "subscriber",
    "commands/eval": "evaluation",
    "motion": "gate",
    "events/postures": "posture",
    "events/settling": "zone_events",
    "events/zones": "zone_events",
    "sinks/jsonl": "recording",
    "sinks/mcap": "recording",
    "sources/capture": "sources_files",
}
"""Modules that are tested together with others, and in which file."""


@pytest.mark.parametrize("module", MODULES)
def test_each_module_has_its_tests(module: str) -> None:
    """In a file of its name, of its package's and its name, or of its package."""
    package, _, name = module.rpartition("/")
    usual = [name, f"{package}_{name}", package, ELSEWHERE.get(module, "")]

    if package == "web" or module == "page":
        usual.append("web")
    assert any(file in FILES or _begins(file) for file in usual if file)


def _begins(name: str) -> bool:
    return any(file.startswith(f"{name}_") for file in FILES)


def test_what_is_tested_elsewhere_is_there() -> None:
    """An entry of a module or a file that is gone would hide one without tests."""
    assert set(ELSEWHERE) <= set(MODULES)
    assert set(ELSEWHERE.values()) <= FILES
