"""Models by name."""

from pathlib import Path

import pytest

from edgepose import catalogue
from edgepose.errors import ModelError
from edgepose.structures import Size


@pytest.mark.parametrize("name", catalogue.bundled())
def test_every_name_is_a_file_that_is_there(name: str) -> None:
    """What the list promises, the package holds."""
    choice = catalogue.choose(name)

    assert choice.path.is_file()
    assert choice.path.stat().st_size == catalogue.entries()[name].bytes


def test_auto_is_a_model_for_several_people() -> None:
    """Without a word about it, a house with two people in it works."""
    choice = catalogue.choose("auto")

    assert catalogue.entries()[choice.name].people == "many"


def test_a_size_behind_the_name_is_height_by_width() -> None:
    """As the field names its files: 353x481 is 481 wide."""
    assert catalogue.choose("posenet@481x641").size == Size(641, 481)
    assert catalogue.choose("posenet").size == Size(481, 353)


def test_a_path_is_a_model_too(tmp_path: Path) -> None:
    """Also one with a size behind it."""
    path = tmp_path / "mine.tflite"
    path.write_bytes(b"")

    assert catalogue.choose(str(path)).path == path
    assert catalogue.choose(f"{path}@257x257").size == Size(257, 257)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("movenet-lightening", "did you mean movenet-lightning"),
        ("nothing-like-it", "; known: posenet"),
        ("missing.tflite", "no such file"),
        ("/nowhere/at/all", "no such file"),
    ],
)
def test_an_unknown_model_is_refused_in_words(name: str, words: str) -> None:
    """A typo gets the nearest name, a path that is not there is called that."""
    with pytest.raises(ModelError, match=words):
        catalogue.choose(name)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    """What cannot be read says why."""
    with pytest.raises(ModelError, match="cannot be read"):
        catalogue.read_file(tmp_path)
