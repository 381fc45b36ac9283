"""The model catalogue."""

import json
from pathlib import Path

import pytest

from edgepose.cli import main
from edgepose.errors import ModelError
from edgepose.models import catalog
from edgepose.types import Size


@pytest.mark.parametrize("name", catalog.bundled())
def test_every_name_is_a_file_that_is_there(name: str) -> None:
    """Every bundled model exists with the listed size."""
    choice = catalog.choose(name)

    assert choice.path.is_file()
    assert choice.path.stat().st_size == catalog.entries()[name].bytes


def test_auto_is_a_model_for_several_people() -> None:
    """`auto` selects a model for several people."""
    choice = catalog.choose("auto")

    assert catalog.entries()[choice.name].people == "many"


def test_a_size_behind_the_name_is_height_by_width() -> None:
    """A size is written as height x width: 353x481 is 481 wide."""
    assert catalog.choose("posenet@481x641").size == Size(641, 481)
    assert catalog.choose("posenet").size == Size(481, 353)


def test_a_path_is_a_model_too(tmp_path: Path) -> None:
    """A path is accepted, also with a size."""
    path = tmp_path / "mine.tflite"
    path.write_bytes(b"")

    assert catalog.choose(str(path)).path == path
    assert catalog.choose(f"{path}@257x257").size == Size(257, 257)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("movenet-lightening", 'did you mean "movenet-lightning"'),
        ("nothing-like-it", "; known: posenet"),
        ("missing.tflite", "no such file"),
        ("/nowhere/at/all", "no such file"),
    ],
)
def test_an_unknown_model_is_refused_in_words(name: str, words: str) -> None:
    """A typo gets a suggestion, a missing path is named."""
    with pytest.raises(ModelError, match=words):
        catalog.choose(name)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    """A folder raises ModelError."""
    with pytest.raises(ModelError, match="cannot be read"):
        catalog.read_file(tmp_path)


@pytest.mark.parametrize("name", catalog.PRESETS)
def test_a_pair_is_models_that_are_there(name: str) -> None:
    """A preset has detectors and one refiner, all bundled."""
    team = catalog.model_set(name)

    assert team.name == name
    assert team.refiner is not None
    assert all(choice.path.is_file() for choice in team.members)


def test_pairs_are_known_where_names_are_told() -> None:
    """A misspelt preset gets a suggestion."""
    with pytest.raises(ModelError, match='did you mean "refined"'):
        catalog.model_set("refind")


def test_the_list_has_the_pairs_too(capsys: pytest.CaptureFixture[str]) -> None:
    """The command lists all values of `model.name`; all JSON entries have the same keys."""
    assert main(["models"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line]
    assert main(["models", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert {*catalog.entries(), *catalog.PRESETS} == set(told)
    assert set(told) <= set(listed)
    assert len({frozenset(entry) for entry in told.values()}) == 1
    assert told["refined"]["bytes"] > told["movenet-thunder"]["bytes"]


@pytest.mark.parametrize("name", ["refined", "posenet-uint8+movenet-thunder-int8"])
def test_a_pair_is_shown_model_by_model(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each model is shown with its tensors, the refiner last."""
    assert main(["models", "show", name]) == 0
    page = capsys.readouterr().out
    assert main(["models", "show", name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert [found["family"] for found in told["finders"]][-1] == "posenet"
    assert told["looker"]["family"] == "movenet single"
    assert page.index("heatmap") < page.rindex(told["looker"]["name"])


def test_open_sizes_are_shown_with_what_they_become(capsys: pytest.CaptureFixture[str]) -> None:
    """Open input sizes are shown with the size that is used."""
    assert main(["models", "show", "movenet-multipose"]) == 0

    page = capsys.readouterr().out
    assert "1 x any x any x 3 uint8, 1 x 256 x 256 x 3 if nothing is set" in page
    assert "used at     256x256" in page


@pytest.mark.parametrize(
    "name", [300 * "a", 300 * "a" + "+posenet", "posenet|posenet+" + 300 * "a"]
)
def test_a_name_that_is_too_long_is_refused(name: str) -> None:
    """A file name that is too long raises ModelError."""
    with pytest.raises(ModelError, match="cannot be read: File name too long"):
        catalog.model_set(name)
