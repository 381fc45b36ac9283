"""The parts of a release: one version everywhere, notes, and no invented URL."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import pytest

from edgepose._version import __version__

TREE: Final = Path(__file__).parent.parent.parent
TOOL: Final = TREE / "tools" / "version.py"


def tool(*words: str) -> str:
    """Run the tool that prints the version for Makefile and release."""
    done = subprocess.run(
        [sys.executable, "-S", TOOL, *words], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_tool_knows_the_version() -> None:
    """The tool prints the version without any library."""
    assert tool().strip() == __version__


def test_the_changelog_has_notes_for_it() -> None:
    """The changelog has release notes for the version."""
    assert tool("--notes").startswith("### ")


def test_the_bridge_to_ros_has_the_same_version() -> None:
    """package.xml and setup.py of the ROS bridge have the version."""
    package = ElementTree.parse(TREE / "deploy/ros2/package.xml")

    assert package.findtext("version") == __version__
    assert f'version="{__version__}"' in (TREE / "deploy/ros2/setup.py").read_text()


def test_there_is_no_address_of_the_project() -> None:
    """The project has no URL yet; an invented one would lead to strangers."""
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    files = [*TREE.glob("*.md"), *TREE.glob("docs/**/*.md"), *TREE.glob("deploy/**/*.yaml")]

    assert "urls" not in project
    for file in files:
        assert not re.search(r"git(hub|lab)\.\w+/[\w-]+/edgepose", file.read_text()), file


@pytest.mark.parametrize("folder", ["edgepose", "docs", "deploy", "README.md"])
def test_nothing_is_installed_by_a_name_that_no_index_has(folder: str) -> None:
    """Documented commands install the wheel or libraries, not a package of this name."""
    place = TREE / folder
    files = [place] if place.is_file() else [it for it in place.rglob("*") if it.is_file()]
    kinds = {".py", ".md", ".sh", ".yaml", ".js", ".html", ""}

    for file in files:
        if file.suffix in kinds and "__pycache__" not in file.parts:
            found = re.search(
                r"pip3? install[^\n]*\bedgepose(\[[a-z,]*\])?['\"`\s]", file.read_text()
            )
            assert found is None, f"{file}: {found}"


def test_every_page_of_the_documentation_is_in_the_menu() -> None:
    """The site's menu has each page once; those of the commands are added by the hook."""
    menu = (TREE / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    listed = re.findall(r"(?m)^ +- (?:[^:\n]+: )?(\S+\.md)$", menu)

    pages = {file.name for file in (TREE / "docs").glob("*.md")}

    assert sorted(listed) == sorted(pages | {"commands/index.md"})
