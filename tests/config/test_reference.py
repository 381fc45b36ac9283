"""The starter file, the reference page and the schema, generated from the structs."""

import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from edgepose.config import loading, reference
from edgepose.config import schema as config
from edgepose.config.schema import Camera, Config

PAGE = Path(__file__).parents[2] / "docs" / "config.md"
EVERY_KEY = [
    pytest.param(path, table, key, id=f"{table.__name__}.{key.name}")
    for path, table in reference.tables()
    for key in reference.keys(table, path)
]


def test_the_starter_loads_to_the_defaults() -> None:
    """The file of `config init` loads to the defaults, except for the camera."""
    found = loading.loads(reference.starter("/dev/video0"), "starter")

    assert found == Config(cameras=(Camera(id="camera", source="/dev/video0"),))


def test_the_starter_names_the_broker_it_is_told() -> None:
    """The given broker is active in the file, and nothing else differs."""
    found = loading.loads(reference.starter("demo://", "mqtt://broker.example"), "starter")

    expected = config.Mqtt(url="mqtt://broker.example")
    assert found == Config(mqtt=expected, cameras=(Camera(id="camera", source="demo://"),))


def test_the_starter_is_good_with_every_mark_taken_away() -> None:
    """Each commented-out line can be activated and shows the default; every key is listed."""
    text = re.sub(r"(?m)^#(?=\[|\w+ = )", "", reference.starter("demo://"))
    text = re.sub(r'(?m)^id = "hall-pi"$', f'id = "{config.host_id()}"', text, count=1)

    found = loading.loads(text, "starter")

    (drawn,) = found.cameras
    shapes = {name: getattr(drawn, name) for name in ("zones", "lines", "floor")}
    camera = Camera(id="camera", source="demo://", **shapes)
    assert found == Config(cameras=(camera,), gestures=found.gestures)
    assert len(found.rules()) == len(found.events.gestures) + 1
    assert [zone.id for zone in camera.zones] == ["sofa"]
    assert [line.id for line in camera.lines] == ["door"]
    assert len(camera.floor.points) == 4
    missing = [param.values[2].name for param in EVERY_KEY if not _offers(text, param.values[2])]
    assert missing == []


def _offers(text: str, key: reference.Key) -> bool:
    return re.search(rf"(?m)^{key.name} = ", text) is not None


@pytest.mark.parametrize(("path", "table", "key"), EVERY_KEY)
def test_every_key_has_a_text(path: tuple[str, ...], table: type, key: reference.Key) -> None:
    """Every key has an explanation."""
    assert len(key.text) > 10, f"write a docstring under {table.__name__}.{key.name}"
    assert key.text.endswith(".")


def test_the_page_is_current() -> None:
    """docs/config.md equals the generated page."""
    assert PAGE.read_text(encoding="utf-8") == reference.markdown(), (
        "run: edgepose config docs > docs/config.md"
    )


def test_the_examples_of_the_page_load() -> None:
    """The examples of the page are valid."""
    examples = re.findall(r"```toml\n(.*?)```", reference.markdown(), re.DOTALL)

    loaded = [loading.loads(example, "docs/config.md") for example in examples]

    assert [len(one.cameras) for one in loaded] == [2]


def test_the_schema_agrees_with_the_reader() -> None:
    """The schema accepts valid files and refuses misspelt keys, wrong types and values."""
    schema = reference.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)

    good = tomllib.loads(reference.starter("demo://"))
    camera = good["camera"][0]

    assert check.is_valid(good)
    for wrong in ({"rotat": 90}, {"rotate": 45}, {"mirror": "yes"}, {"id": "Hall"}, {"roi": [0]}):
        assert not check.is_valid(good | {"camera": [camera | wrong]}), wrong
    described = schema["$defs"]["Camera"]["properties"]["rotate"]["description"]
    assert described.startswith("Clockwise rotation in degrees")
