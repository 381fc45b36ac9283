"""The TOML helpers: line numbers of keys, and writing."""

import datetime as dt
import tomllib
from typing import Any

import pytest

from edgepose.config import toml

AWKWARD = '''
# [camera]
title = """two
[[camera]] = "not a table"
lines""" # id = 3
"quoted.key" = '[it] = "1"'

[mqtt] # url = "x"
url = "a # b" # c
limits.low = 1
limits."h\\u0069gh" = 2_000

[[camera]]
id = "hall"
masks = [ # first
  [[0, 0], [0.2, 0],
   [0.2, 0.3]],
  [[1, 1]],  # "]"
]
  [[camera.zone]]
  id = "sofa"
  [[ camera . zone ]]
  id = "bed"
  style = {colour = "red", corners = [{x = 1}, {x = 2}]}

[[camera]]
id = """hall"""
[[camera.zone]]
id = "rug" # "x'
[camera.extra.deep]
since = 1979-05-27 07:32:00
x = [true, -inf, 0xff]
'''


def leaves(data: Any, path: toml.Path = ()) -> list[toml.Path]:
    """Return the paths of all values within plain data."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data)
    found = []
    for key, value in pairs:
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += leaves(value, (*path, key))
    return found


def test_every_value_of_an_awkward_file_has_a_line() -> None:
    """The paths are exactly those that tomllib finds."""
    data = tomllib.loads(AWKWARD)

    found = toml.lines(AWKWARD)

    assert set(found) == set(leaves(data))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("quoted.key",), '"quoted.key" ='),
        (("mqtt",), "[mqtt]"),
        (("mqtt", "url"), 'url = "a # b"'),
        (("mqtt", "limits", "low"), "limits.low"),
        (("mqtt", "limits", "high"), "2_000"),
        (("camera", 0, "id"), 'id = "hall"'),
        (("camera", 0, "masks", 0), "  [[0, 0], [0.2, 0],"),
        (("camera", 0, "masks", 0, 2), "   [0.2, 0.3]],"),
        (("camera", 0, "masks", 1), "[[1, 1]],"),
        (("camera", 0, "zone", 1), "[[ camera . zone ]]"),
        (("camera", 0, "zone", 1, "style", "corners", 1, "x"), "style ="),
        (("camera", 1, "id"), 'id = """hall"""'),
        (("camera", 1, "zone", 0, "id"), "rug"),
        (("camera", 1, "extra", "deep", "since"), "1979"),
    ],
)
def test_a_line_is_the_one_that_holds_the_value(path: toml.Path, text: str) -> None:
    """The line is that of the value, not of one with the same name elsewhere."""
    line = toml.line_of(AWKWARD, path)

    assert line is not None
    assert text in AWKWARD.splitlines()[line - 1]


def test_a_key_that_is_missing_is_found_at_its_table() -> None:
    """A missing key has the line of the nearest table around it, or None."""
    around = toml.line_of(AWKWARD, ("camera", 0, "zone", 0, "polygon"))

    assert around is not None
    assert AWKWARD.splitlines()[around - 1].strip() == "[[camera.zone]]"
    assert toml.line_of(AWKWARD, ("web", "listen")) is None


def test_what_is_written_reads_back_the_same() -> None:
    """Written data reads back equal, including odd keys and characters."""
    data = {
        "odd key": 'quote " back \\ tab \t line \n del \x7f nul \x00 ü 🙂',
        "empty": [],
        "mixed": [1, -2.5, True, "x", [0.1, 1e-9]],
        "when": dt.datetime(2026, 11, 22, 20, 5, 1),
        "table": {"a": 1, "inner": {"b": "c"}},
        "list": [{"id": "a", "deep": [{"x": 1}, {"x": 2}]}, {"id": "b"}],
        "values": [1, {"x": "y"}],
    }

    again = tomllib.loads(toml.dump(data))

    assert again == data


def test_a_path_is_spelt_as_people_read_it() -> None:
    """Keys are joined by dots, list indices are in brackets, odd keys in quotes."""
    assert toml.spell(("camera", 0, "zone", 1, "polygon")) == "camera[0].zone[1].polygon"
    assert toml.spell(("a", "b c")) == 'a."b c"'
    assert toml.spell(()) == ""


@pytest.mark.parametrize("text", ["[", "a", "a = [", "= 3", "[[x", "]\n]", '"""', "a = {b"])
def test_what_is_no_toml_does_not_hang_or_raise(text: str) -> None:
    """Invalid TOML gives a dict, without an exception or a hang."""
    assert isinstance(toml.lines(text), dict)
