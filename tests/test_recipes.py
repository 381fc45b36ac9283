"""The recipes: configurations, commands, programs and entity names."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

import edgepose
from edgepose import cli
from edgepose.config.loading import loads
from edgepose.errors import UsageError

TREE: Final = Path(__file__).parent.parent
PAGE: Final = TREE / "docs" / "recipes.md"
CAMERA: Final = '\n[[camera]]\nid = "hall"\nsource = "demo://"\n'
ENTITY: Final = re.compile(
    r"\b(binary_sensor|sensor|event|switch|image|number|button)\.(?!turn_)(\w+)"
)


class Recipe(NamedTuple):
    """A code block of a recipe."""

    title: str
    language: str
    text: str


def recipes() -> Iterator[Recipe]:
    """Yield all code blocks."""
    title = ""
    for part in re.finditer(r"^## ([^\n]*)$|^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.M | re.S):
        if part[1]:
            title = part[1]
        else:
            yield Recipe(title, part[2], part[3])


def of(language: str) -> Any:
    """Parametrise a test with the blocks of a language."""
    found = [it for it in recipes() if it.language == language]
    assert found
    return pytest.mark.parametrize("recipe", found, ids=[it.title for it in found])


def test_there_are_twenty_and_each_has_something_to_copy() -> None:
    """Each recipe has a code block in one of the tested languages."""
    titles = re.findall(r"^## (.*)$", PAGE.read_text(), re.M)

    assert len(titles) >= 20
    assert {it.title for it in recipes()} == set(titles)
    assert {it.language for it in recipes()} == {"toml", "yaml", "sh", "python"}


@of("toml")
def test_a_file_is_good(recipe: Recipe) -> None:
    """Each configuration loads, with a camera added if it has none."""
    text = recipe.text if "[[camera]]" in recipe.text else recipe.text + CAMERA

    found = loads(text, recipe.title)

    assert found.cameras
    assert found != loads(CAMERA, "bare")


@of("sh")
def test_a_command_exists(recipe: Recipe) -> None:
    """`edgepose`'s commands and options exist; other programs are not checked."""
    for line in recipe.text.splitlines():
        words = shlex.split(line.partition(">")[0])
        words = words[1:] if words[0] == "sudo" else words
        if words[0] != "edgepose":
            assert words[0] in {"install", "systemctl", "mosquitto_sub"}
            continue
        try:
            cli.parse(words[1:])
        except UsageError as error:
            pytest.fail(f"{line}: {error}")


@of("yaml")
def test_an_automation_names_entities_that_exist(recipe: Recipe) -> None:
    """The entities exist for a device with one camera and one zone."""
    yaml = pytest.importorskip("yaml", reason="comes with the extra broker")
    automation = yaml.safe_load(recipe.text)
    known = entities()

    assert {"alias", "triggers", "actions"} <= automation.keys()
    named = {match[0] for match in ENTITY.finditer(recipe.text)}
    assert named
    assert named <= known, named - known


def entities() -> set[str]:
    """Return Home Assistant's entity ids, made of platform, device and name."""
    from edgepose.mqtt import discovery
    from edgepose.mqtt.topics import Topics

    text = (
        '[device]\nid = "hall-pi"\n[[camera]]\nid = "hall"\nsource = "demo://"\n'
        '[[camera.zone]]\nid = "sofa"\npolygon = [[0, 0], [1, 0], [1, 1]]\n'
    )
    config = loads(text, "test")
    found = discovery.discovered_devices(config, Topics(config.mqtt.base_topic, config.device.id))
    return {
        f"{entity['platform']}.{device.about['device']['name']} {entity['name']}".lower().replace(
            " ", "_"
        )
        for device in found.values()
        for entity in device.components.values()
    }


@of("python")
def test_a_program_is_right(recipe: Recipe) -> None:
    """Programs run, or those that subscribe use existing names."""
    if "subscribe" in recipe.text:
        compile(recipe.text, recipe.title, "exec")
        for name in re.findall(r"edgepose\.(\w+)", recipe.text):
            assert hasattr(edgepose, name)
        return
    done = subprocess.run(
        [sys.executable, "-c", recipe.text], cwd=TREE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ degrees", done.stdout)
