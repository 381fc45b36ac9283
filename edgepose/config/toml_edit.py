"""Changes values in a TOML text and keeps comments, order and spaces.

A text is a sequence of blocks, each from a header such as ``[[camera]]`` to the next. tomlkit
changes values within a block. Whole lines and blocks are inserted and removed here, because their
position depends on the comments around them.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import tomlkit
from tomlkit.items import Array

from edgepose.config import toml
from edgepose.config.toml import Path

HEADER: Final = re.compile(r"\s*\[[^\[\]{}]+\]\s*(#.*)?|\s*\[\[[^\[\]{}]+\]\]\s*(#.*)?")
SAID: Final = re.compile(r"\s*[^\s#].*", re.DOTALL)
"""A line with content other than a comment."""

SWITCHED_OFF: Final = re.compile(r"\s*#\s*(\[+[\w.]+\]+\s*|(?P<key>\w+)\s*=.*)", re.DOTALL)
"""A setting that is commented out, which belongs to the table above it."""


class UnusualError(ValueError):
    """The text is valid, but its form cannot be edited in place."""


@dataclass(eq=False)
class Block:
    """The lines of a table, up to the next header."""

    path: Path
    """Path of the table; empty for the lines before the first header."""

    lines: list[str]
    """Lines, each with its line end."""

    @property
    def said(self) -> int:
        """Number of lines up to the end of the last value."""
        return max((i for i, line in enumerate(self.lines, 1) if SAID.fullmatch(line)), default=0)

    @property
    def own(self) -> int:
        """Number of lines that belong to this table; the rest belongs to the next one."""
        off = (i for i, line in enumerate(self.lines, 1) if SWITCHED_OFF.fullmatch(line))
        return max(self.said, *off, 0)

    @property
    def indent(self) -> str:
        """Indentation of its keys."""
        keys = self.lines[1 : self.said] or self.lines[:1]
        first = next((line for line in keys if SAID.fullmatch(line)), "")
        return first[: len(first) - len(first.lstrip())]

    def put(self, keys: Sequence[str], value: Any) -> None:
        """Set the value of a path below this table."""
        said = self.said
        text = "".join(self.lines[:said])
        document = tomlkit.parse(text)
        table: Any = document
        for step in _steps_of(tomllib.loads(text), self.path):
            table = table[step]
        for parent in keys[:-1]:
            table = table[parent]
        key = keys[-1]
        if key not in table and len(keys) == 1:
            self._add_line(key, value)
            return
        if not (_is_list(table.get(key), value) and _adapt_list(table[key], value)):
            table[key] = value
        self.lines[:said] = document.as_string().splitlines(keepends=True)

    def _add_line(self, key: str, value: Any) -> None:
        """Add a line: below the same key where it is commented out, else at the end."""
        place = self.said
        for number, line in enumerate(self.lines, 1):
            off = SWITCHED_OFF.fullmatch(line)
            if off and number > self.said and not off["key"]:
                break
            if off and off["key"] == key:
                place = number
        self.end_line()
        self.lines.insert(place, f"{self.indent}{key} = {toml.value(value)}\n")

    def end_line(self) -> None:
        """Add a line end to the last line if it has none."""
        if self.lines and not self.lines[-1].endswith("\n"):
            self.lines[-1] += "\n"


class Text:
    """A TOML text that is edited in place."""

    def __init__(self, text: str) -> None:
        self.blocks = list(_split_blocks(text))

    def __str__(self) -> str:
        return "".join(line for block in self.blocks for line in block.lines)

    def block(self, path: Path) -> Block | None:
        """Return a table's block; None if the table has no header."""
        return next((block for block in self.blocks if block.path == path), None)

    def put(self, path: Path, key: str, value: Any) -> None:
        """Set a key of a table; adds the table if it does not exist."""
        block = self.block(path)
        if block is not None:
            block.put((key,), value)
            return
        if len(path) > 1:
            raise UnusualError(toml.spell(path))
        (name,) = map(str, path)
        first, last = self.blocks[0], self.blocks[-1]
        if name in tomllib.loads("".join(first.lines)):
            first.put((name, key), value)
            return
        last.end_line()
        lines = ["\n", f"[{name}]\n", f"{key} = {toml.value(value)}\n"]
        self.blocks.append(Block(path, lines))

    def append(self, path: Path, name: str, table: Mapping[str, Any], *, many: bool = True) -> None:
        """Add a table ``[[path.name]]`` below another one, after the existing ones.

        With `many` False it is the only one, ``[path.name]``.
        """
        below = [block for block in self.blocks if block.path[: len(path)] == path]
        if not below:
            raise UnusualError(toml.spell(path))
        last = below[-1]
        last.end_line()
        alike = next((block for block in below if block.path[len(path) :][:1] == (name,)), None)
        outer = _before_header(alike or below[0])
        inner = (alike or below[0]).indent
        spelled = ".".join(str(step) for step in (*path, name) if isinstance(step, str))
        lines = [
            "\n",
            f"{outer}[[{spelled}]]\n" if many else f"{outer}[{spelled}]\n",
            *(f"{inner}{key} = {toml.value(value)}\n" for key, value in table.items()),
        ]
        rest = last.lines[last.own :]
        del last.lines[last.own :]
        number = sum(block.path[len(path) :][:1] == (name,) for block in below)
        new = Block((*path, name, number) if many else (*path, name), lines + rest)
        self.blocks.insert(self.blocks.index(last) + 1, new)

    def remove(self, block: Block) -> None:
        """Remove a table; comments around it are kept."""
        before = self.blocks[self.blocks.index(block) - 1]
        before.lines += block.lines[block.said :]
        self.blocks.remove(block)


def _before_header(block: Block) -> str:
    headers = (line for line in block.lines if HEADER.fullmatch(line.rstrip("\n")))
    header = next(headers, "")  # the first block has none
    return header[: len(header) - len(header.lstrip())]


def _split_blocks(text: str) -> Iterator[Block]:
    """Split a text at its table headers."""
    lines, data = text.splitlines(keepends=True), tomllib.loads(text)
    starts: dict[int, Path] = {1: ()}
    for path, number in toml.lines(text).items():
        header = HEADER.fullmatch(lines[number - 1].rstrip("\n"))
        if header and isinstance(_value_at(data, path), dict):
            starts[number] = max(starts.get(number, ()), path, key=len)
    numbers = sorted(starts)
    for number, end in zip(numbers, [*numbers[1:], len(lines) + 1], strict=True):
        yield Block(starts[number], lines[number - 1 : end - 1])


def _value_at(data: Any, path: Path) -> Any:
    for step in path:
        data = data[step]
    return data


def _steps_of(data: Any, path: Path) -> Iterator[str | int]:
    """Yield the steps of a path within a single block, in which list indices are 0."""
    for step in path:
        if isinstance(step, int) and not isinstance(data, list):
            continue
        step_here = 0 if isinstance(step, int) else step
        data = data[step_here]
        yield step_here


def _adapt_list(array: Array, wanted: Sequence[Any]) -> bool:
    """Change a list in place where it differs; return False if that is not possible."""
    old = array.unwrap()
    head = _common_prefix(old, wanted)
    shorter = min(len(old), len(wanted)) - head
    tail = min(shorter, _common_prefix(old[::-1], wanted[::-1]))
    for index in range(head, head + shorter - tail):
        item = array[index]
        if not (_is_list(item, wanted[index]) and _adapt_list(item, wanted[index])):
            array[index] = wanted[index]
    place = head + shorter - tail
    for _ in range(len(old) - len(wanted)):
        del array[place]
    for new in reversed(wanted[place : len(wanted) - tail]):
        array.insert(place, new)
    return bool(array.unwrap() == wanted)


def _common_prefix(some: Sequence[Any], others: Sequence[Any]) -> int:
    """Return the length of the common prefix of two sequences."""
    pairs = enumerate(zip(some, others, strict=False))
    different = (index for index, (one, other) in pairs if one != other)
    return next(different, min(len(some), len(others)))


def _is_list(item: Any, wanted: Any) -> bool:
    return isinstance(item, Array) and isinstance(wanted, list)
