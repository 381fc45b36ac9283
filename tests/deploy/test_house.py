"""The examples for Home Assistant and Node-RED match edgepose's topics and entities."""

import json
import re
from pathlib import Path

import pytest

from edgepose.config.loading import loads
from edgepose.mqtt import discovery
from edgepose.mqtt.topics import Topics

DEPLOY = Path(__file__).parents[2] / "deploy"
HALL = """
[device]
id = "hall-pi"
name = "Hall Pi"
[[camera]]
id = "hall"
source = "demo://"
[[camera.zone]]
id = "sofa"
polygon = [[0,0],[1,0],[1,1]]
"""


def slug(text: str) -> str:
    return re.sub("[^a-z0-9]+", "_", text.lower())


@pytest.mark.parametrize("name", ["automations.yaml", "dashboard.yaml"])
def test_the_examples_name_entities_that_there_are(name: str) -> None:
    """The entity ids exist, as Home Assistant derives them from device and entity names."""
    of = loads(HALL, "test")
    found = discovery.discovered_devices(of, Topics("edgepose", "hall-pi")).values()
    known = {
        f"{entity['platform']}.{slug(device.about['device']['name'])}_{slug(entity['name'])}"
        for device in found
        for entity in device.components.values()
    }

    named = set(re.findall(r"\b[a-z_]+\.hall_\w+", (DEPLOY / "homeassistant" / name).read_text()))

    assert len(named) >= 5
    assert named <= known


@pytest.mark.parametrize(
    "file", sorted((DEPLOY / "homeassistant" / "blueprints").glob("*.yaml")), ids=lambda it: it.stem
)
def test_a_blueprint_uses_what_it_asks_for(file: Path) -> None:
    """Every input of a blueprint is used, and every used input is declared."""
    yaml = pytest.importorskip("yaml", reason="comes with the extra broker")
    used: set[str] = set()

    class Loader(yaml.SafeLoader):  # type: ignore[name-defined,misc]
        """A YAML loader with support for `!input`."""

    def note(loader: Loader, node: yaml.Node) -> str:
        used.add(node.value)
        return str(node.value)

    Loader.add_constructor("!input", note)
    found = yaml.load(file.read_text(), Loader)

    asked = found["blueprint"]["input"]
    assert found["blueprint"]["domain"] == "automation"
    assert used == asked.keys()
    assert all(each["name"] and each["selector"] for each in asked.values())
    assert found["triggers"]
    assert found["actions"]


def test_the_flow_is_whole() -> None:
    """Wires end at existing nodes, nodes are on the tab, topics are edgepose's."""
    nodes = json.loads((DEPLOY / "node-red" / "flow.json").read_text())
    ids = {node["id"] for node in nodes}

    wired = {end for node in nodes for port in node.get("wires", []) for end in port}
    topics = [node["topic"] for node in nodes if node["type"] == "mqtt in"]

    assert len(ids) == len(nodes)
    assert wired <= ids
    assert all(node.get("z", "edgepose.tab") == "edgepose.tab" for node in nodes)
    assert topics == ["edgepose/+/+/poses", "edgepose/+/+/event"]
