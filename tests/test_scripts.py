"""The scripts start and answer `--help`."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
SCRIPTS: Final = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for folder in ("benchmarks", "tools")
    for file in (ROOT / folder).glob("*.py")
    if "__main__" in file.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_it_answers_help(script: str) -> None:
    """Their imports work, and they do nothing before parsing arguments."""
    done = subprocess.run(
        [sys.executable, "-m", script, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")
