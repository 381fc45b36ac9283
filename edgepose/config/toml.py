"""The line of each key in a TOML text, and a TOML writer.

`tomllib` returns no positions and has no writer. `lines` is short because it reads only texts
that are known to be valid TOML.
"""

import json
import re
import tomllib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Path = tuple[str | int, ...]
"""Path of a value, for example ``("camera", 0, "rotate")``."""

BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
BARE_VALUE: Final = re.compile(r"[^,\]}#\r\n]+")  # numbers, booleans and dates
SPACE: Final = re.compile(r"[ \t]*")
BETWEEN: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
STRINGS: Final = (
    re.compile(r'"""(?:[^"\\]|\\[\s\S]|"(?!""))*"{3,5}'),
    re.compile(r"'''(?:[^']|'(?!''))*'{3,5}"),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)
"""Long strings first: their quotes also match an empty short string."""

DELETE: Final = "\x7f"  # the one control character that JSON does not escape and TOML forbids


def spell(path: Path) -> str:
    """Return a path as text.

    Examples
    --------
    >>> spell(("camera", 0, "rotate"))
    'camera[0].rotate'
    """
    parts = (f"[{part}]" if isinstance(part, int) else f".{_format_key(part)}" for part in path)
    return "".join(parts).removeprefix(".")


def line_of(text: str, path: Path) -> int | None:
    """Return the line, from 1, of a value or of the nearest table around it.

    None if neither is in the text.
    """
    known = lines(text)
    around = (path[:length] for length in range(len(path), 0, -1))
    return next((known[place] for place in around if place in known), None)


def lines(text: str) -> dict[Path, int]:
    """Return the lines, from 1, of all keys and tables of a valid TOML text."""
    return _TomlReader(text).read()


class _TomlReader:
    """Reads valid TOML and records the line of each value."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.breaks = [match.start() for match in re.finditer("\n", text)]
        self.found: dict[Path, int] = {}
        self.tables: dict[Path, int] = {}
        """Number of headers of each ``[[table]]`` so far."""

    def read(self) -> dict[Path, int]:
        """Read to the end; stops early in a text that is not TOML."""
        table: Path = ()
        self._skip_pattern(BETWEEN)
        while self.at < len(self.text):
            before = self.at
            if self._skip_mark("["):
                table = self._read_header()
            else:
                self._read_pair(table)
            self._skip_pattern(BETWEEN)
            if self.at == before:
                break
        return self.found

    def _read_header(self) -> Path:
        """Read ``[a.b]`` or ``[[a.b]]`` after its first bracket; return the path of the table."""
        line = self._line_number()
        repeated = self._skip_mark("[")
        *parents, last = self._read_keys()
        self._skip_mark("]")
        self._skip_mark("]" if repeated else "")
        path = (*self._enter_table(parents, line), last)
        self.found.setdefault(path, line)
        if not repeated:
            return path
        self.tables[path] = self.tables.get(path, 0) + 1
        path = (*path, self.tables[path] - 1)
        self.found[path] = line
        return path

    def _enter_table(self, keys: Sequence[str], line: int) -> Path:
        """Return the path of a table, with the index of the last entry of each repeated table."""
        path: Path = ()
        for key in keys:
            path = (*path, key)
            self.found.setdefault(path, line)
            if path in self.tables:
                path = (*path, self.tables[path] - 1)
        return path

    def _read_pair(self, table: Path) -> None:
        """Read ``key = value``."""
        line = self._line_number()
        path = table
        for key in self._read_keys():
            path = (*path, key)
            self.found.setdefault(path, line)
        self._skip_mark("=")
        self._skip_pattern(SPACE)
        self._read_value(path)

    def _read_keys(self) -> list[str]:
        """Read ``a."b".c``."""
        keys = [self._one_key()]
        while self._skip_mark("."):
            keys.append(self._one_key())
        return keys

    def _one_key(self) -> str:
        self._skip_pattern(SPACE)
        quoted = self._read_string()
        if quoted:
            return str(tomllib.loads(f"x = {quoted}")["x"])
        bare = self._skip_pattern(BARE_KEY)
        self._skip_pattern(SPACE)
        return bare

    def _read_value(self, path: Path) -> None:
        self.found.setdefault(path, self._line_number())
        if self._read_string():
            return
        if self._skip_mark("["):
            self._read_list(path)
        elif self._skip_mark("{"):
            self._read_inline_table(path)
        else:
            self._skip_pattern(BARE_VALUE)

    def _read_list(self, path: Path) -> None:
        """Read a list after its opening bracket."""
        self._skip_pattern(BETWEEN)
        index = 0
        while self.at < len(self.text) and not self._skip_mark("]"):
            before = self.at
            self._read_value((*path, index))
            self._skip_pattern(BETWEEN)
            self._skip_mark(",")
            self._skip_pattern(BETWEEN)
            index += 1
            if self.at == before:
                return

    def _read_inline_table(self, path: Path) -> None:
        """Read an inline table after its opening brace."""
        self._skip_pattern(BETWEEN)
        while self.at < len(self.text) and not self._skip_mark("}"):
            before = self.at
            self._read_pair(path)
            self._skip_pattern(BETWEEN)
            self._skip_mark(",")
            self._skip_pattern(BETWEEN)
            if self.at == before:
                return

    def _read_string(self) -> str:
        matches = (pattern.match(self.text, self.at) for pattern in STRINGS)
        match = next(filter(None, matches), None)
        if match is None:
            return ""
        self.at = match.end()
        return match[0]

    def _skip_mark(self, mark: str) -> bool:
        """Skip a mark and the space before it; return whether the mark is there."""
        space = SPACE.match(self.text, self.at)
        start = space.end() if space else self.at
        if not mark or not self.text.startswith(mark, start):
            return False
        self.at = start + len(mark)
        return True

    def _skip_pattern(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match[0]

    def _line_number(self) -> int:
        return bisect_left(self.breaks, self.at) + 1


def value(found: Any) -> str:
    """Return one value as TOML on one line."""
    match found:
        case bool():
            return "true" if found else "false"
        case str():
            return json.dumps(found, ensure_ascii=False).replace(DELETE, "\\u007f")
        case int() | float():
            return repr(found)
        case Mapping():
            return "{" + ", ".join(f"{_format_key(k)} = {value(v)}" for k, v in found.items()) + "}"
        case Sequence():
            return "[" + ", ".join(map(value, found)) + "]"
    return str(found)


def dump(data: Mapping[str, Any]) -> str:
    """Return a TOML document of nested mappings."""
    return "\n".join(_table_lines(data, ())).strip() + "\n"


def _table_lines(data: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    for key, found in data.items():
        if not _tables_of(found):
            yield f"{_format_key(key)} = {value(found)}"
    for key, found in data.items():
        name = ".".join(map(_format_key, (*path, key)))
        for table in _tables_of(found):
            yield f"\n[{name}]" if isinstance(found, Mapping) else f"\n[[{name}]]"
            yield from _table_lines(table, (*path, key))


def _tables_of(found: Any) -> Sequence[Mapping[str, Any]]:
    """Return the tables of a value, which is a table or a list of tables; else empty."""
    if isinstance(found, Mapping):
        return [found]
    listed = isinstance(found, Sequence) and not isinstance(found, str)
    return found if listed and found and all(isinstance(i, Mapping) for i in found) else []


def _format_key(key: str) -> str:
    return key if BARE_KEY.fullmatch(key) else value(key)
