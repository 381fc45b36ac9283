"""Error messages about a configuration."""

import re
import tomllib
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta, Struct

from edgepose import suggestions
from edgepose.config import error_messages
from edgepose.config.loading import loads
from edgepose.errors import ConfigError


class Leaf(Struct, forbid_unknown_fields=True):
    colour: str = "green"
    length: Annotated[float, Meta(ge=0, description="centimetres from 0")] = 5.0


class Trunk(Struct, forbid_unknown_fields=True):
    rings: int = 0
    leaf: tuple[Leaf, ...] = ()


class Tree(Struct, forbid_unknown_fields=True):
    trunk: Trunk = msgspec.field(default_factory=Trunk)
    name: str = ""


def sentences(text: str) -> list[str]:
    """Return the errors of a configuration tree."""
    return [problem.message for problem in error_messages.decode(tomllib.loads(text), Tree)[1]]


def test_what_is_good_becomes_the_structure() -> None:
    """A valid configuration gives a struct and no errors."""
    tree, problems = error_messages.decode(
        tomllib.loads("[trunk]\nrings = 3\n[[trunk.leaf]]\ncolour = 'red'\n"), Tree
    )

    assert problems == []
    assert tree == Tree(trunk=Trunk(rings=3, leaf=(Leaf(colour="red"),)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nmae = 'oak'", 'unknown name "nmae"; did you mean "name"? known: name, trunk'),
        ("[trunk]\nring = 1", 'trunk: unknown name "ring"; did you mean "rings"?'),
        ("[trunk]\nrings = 'many'", 'trunk.rings = "many": expected'),
        ("[[trunk.leaf]]\n[[trunk.leaf]]\nlength = -1", "trunk.leaf[1].length = -1: expected"),
        ("[[trunk.leaf]]\nlength = nan", "trunk.leaf[0].length = nan: expected"),
        ("rings = 3", 'unknown name "rings"; it belongs to [trunk];'),
    ],
)
def test_a_sentence_names_the_place_and_what_was_found(text: str, words: str) -> None:
    """The path is written as in the file, with list indices from 0."""
    assert words in sentences(text)[0]


def test_a_misspelt_key_comes_before_the_value_it_hides() -> None:
    """Errors come in the order in which to fix them."""
    first, *_ = sentences("nmae = 'oak'\n[trunk]\nrings = 'many'")

    assert "nmae" in first


def test_a_password_in_the_file_is_told_where_it_belongs() -> None:
    """The error names `password_file` and does not repeat the password."""
    (told,) = sentences("password = 'swordfish'")

    assert "password_file" in told
    assert "swordfish" not in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = yes", ("file.toml:1: ", "text needs quotes")),
        ("a = 1\na = 2\nb = 3", ("file.toml:2: ", "the key is there twice")),
        ("a = [1, 2", ("file.toml: ", "a list ends with ]")),
        ("a 1", ("file.toml:1: ", "key = value")),
    ],
)
def test_a_slip_in_the_syntax_gets_its_line_and_a_mend(text: str, words: tuple[str, ...]) -> None:
    """A syntax error has its line and a remedy besides the parser's words."""
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)

    told = error_messages.syntax(str(caught.value), "file.toml")

    assert told.startswith(words[0])
    assert words[1] in told


def test_only_something_alike_is_meant() -> None:
    """Only a similar name is suggested."""
    assert suggestions.nearest("treshold", ["threshold", "thread"]) == "threshold"
    assert suggestions.nearest("banana", ["threshold", "thread"]) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hold_s = 0,5", "decimals have a point: 0.5"),
        ("id = “yard”", 'these are typographic quotes; use "'),
        ("polygon = [[10%, 0], [1, 1]]", "10 % is written 0.1"),
        (
            '[[camera.zone]]\nid = "a"\n[[camera]]\nid = "b"',
            "a [[camera.…]] follows the [[camera]]",
        ),
    ],
)
def test_a_common_slip_gets_its_own_remedy(text: str, words: str) -> None:
    """The error has a specific remedy in place of tomllib's message."""
    with pytest.raises(ConfigError, match=re.escape(words)):
        loads(text, "test")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ('fps = "10"', "a number is written without quotes"),
        ("FPS = 10", 'did you mean "fps"?'),
        ("roi = [64, 252, 640, 480]", "pixels? divide x by the width of the frame"),
    ],
)
def test_what_was_meant_is_said(key: str, words: str) -> None:
    """The error suggests the right value."""
    with pytest.raises(ConfigError, match=re.escape(words)):
        loads(f'[[camera]]\nid = "a"\nsource = "demo://"\n{key}\n', "test")


def test_page_and_metrics_need_ports_of_their_own() -> None:
    """The same port for page and metrics is refused."""
    with pytest.raises(ConfigError, match=r"web\.listen = .*another port than metrics\.listen"):
        loads('[web]\nlisten = "127.0.0.1:9464"\n', "test")


def test_all_unknown_keys_are_reported_at_once() -> None:
    """The message has one line for each, with its line in the file."""
    text = '[[camera]]\nid = "a"\nsource = "-"\nsorce = 1\n[[camera]]\nid = "b"\nrotat = 90\n'

    with pytest.raises(ConfigError) as refused:
        loads(text, "edgepose.toml")

    first, second = str(refused.value).splitlines()
    assert first.startswith('edgepose.toml:4: camera[0]: unknown name "sorce"')
    assert second.startswith('edgepose.toml:7: camera[1]: unknown name "rotat"')
