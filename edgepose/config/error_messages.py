"""Error messages for a configuration: location, value found and values expected."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Struct
from msgspec.inspect import (
    BoolType,
    FloatType,
    IntType,
    LiteralType,
    Metadata,
    StructType,
    TupleType,
    VarTupleType,
)

from edgepose.config import toml
from edgepose.suggestions import nearest, shorten
from edgepose.urls import redact

Root = TypeVar("Root", bound=Struct)


SYNTAX: Final = {
    "Invalid value": 'text needs quotes, lists need [ ], and yes and no are written "true" '
    'and "false"',
    "Expected '='": "a line is a [table] or key = value",
    "Invalid statement": "a line is a [table], key = value or a # comment",
    "Invalid initial character": "a line is a [table], key = value or a # comment",
    "Cannot overwrite": "the key is there twice; keep one",
    "Cannot declare": "the table is there twice; keep one, or write [[camera]] for each camera",
    "Unclosed array": "a list ends with ]",
    "Expected newline": "one key to a line",
    "Illegal character '\\n'": 'the text has no closing quote, or needs """ for several lines',
    "Unescaped": "a backslash in double quotes is written twice; or use single quotes",
}
"""Remedies, by the beginning of tomllib's messages."""

MISTAKES: Final = (
    (re.compile("[“”„‘’]"), 'these are typographic quotes; use "'),
    (re.compile(r"=\s*-?\d+,\d+\s*(#.*)?$"), "decimals have a point: 0.5"),
    (re.compile(r"\d\s*%"), "10 % is written 0.1"),
)
"""Remedies, by what the line contains."""

EARLY_PART: Final = "a [[{0}.…]] follows the [[{0}]] that it belongs to"


PASSWORD: Final = (
    "a password does not belong into this file; write it into a file of its own and name that "
    "as mqtt.password_file, or use the systemd credential mqtt-password or the environment's "
    "EDGEPOSE_MQTT_PASSWORD"
)


class Problem(NamedTuple):
    """An error in the configuration."""

    path: toml.Path
    """The key or table."""

    message: str
    """The error message; names the path."""


def syntax(message: str, where: str, text: str = "") -> str:
    """Convert a message of tomllib to edgepose's format, which begins with the line."""
    match = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message)
    what, line, column = match.groups() if match else (message.partition(";")[0], None, None)
    remedy = next((remedy for begin, remedy in SYNTAX.items() if what.startswith(begin)), "")
    remedy = _of_line(text.split("\n"), int(line) if line else 0) or remedy
    place = f"{where}:{line}" if line else where
    at = f"at column {column}" if column else "at the end" if match else "somewhere"
    what = what[:1].lower() + what[1:]
    return f"{place}: not TOML {at}: {what}" + (f"; {remedy}" if remedy else "")


def _of_line(lines: list[str], number: int) -> str:
    """Return the remedy for a common mistake in a line, counted from 1; empty for others."""
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    if found := next((remedy for pattern, remedy in MISTAKES if pattern.search(line)), ""):
        return found
    header = re.fullmatch(r"\s*\[\[(\w+)\]\]\s*(#.*)?", line)
    early = header and any(it.lstrip().startswith(f"[[{header[1]}.") for it in lines[:number])
    return EARLY_PART.format(header[1]) if header and early else ""


def expected(path: toml.Path, found: Any, what: str) -> str:
    """Return the message for a wrong value."""
    shown = shorten(redact(toml.value(found)))
    return f"{toml.spell(path)} = {shown}: expected {what}{_hint(path, found)}"


def _hint(path: toml.Path, found: Any) -> str:
    """Return a hint on a likely mistake, with a leading semicolon; empty if there is none."""
    if isinstance(found, str) and re.fullmatch(r"-?\d+(\.\d+)?", found):
        return "; a number is written without quotes"
    corner = bool({"polygon", "points", "masks", "roi"} & set(path))
    if corner and isinstance(found, int | float) and found > 1:
        return "; pixels? divide x by the width of the frame and y by its height"
    return ""


def decode(data: Mapping[str, Any], root: type[Root]) -> tuple[Root | None, list[Problem]]:
    """Decode plain data to a structure of type `root`; return it and the problems.

    The structure is None if there are problems. They are in the order in which to solve them: a
    misspelt key comes before the missing value that it causes.
    """
    problems = [*_unknown_keys(data, root, ()), *_not_finite(data, ())]
    if problems:
        return None, problems
    try:
        return msgspec.convert(data, root), []
    except msgspec.ValidationError as error:
        return None, [_mistyped_problem(str(error), data, root)]


def _unknown_keys(data: Any, root: type[Struct], path: toml.Path) -> Iterator[Problem]:
    """Yield unknown keys. Values that should be tables are left to the type check."""
    for place, found, table in _tables_in(data, root, path):
        known = [item.encode_name for item in msgspec.structs.fields(table)]
        strange = [key for key in found if key not in known]
        if strange:
            yield Problem((*place, strange[0]), _unknown_keys_message(strange, known, place, root))


def _tables_in(
    data: Any, table: type[Struct], path: toml.Path
) -> Iterator[tuple[toml.Path, Mapping[str, Any], type[Struct]]]:
    """Yield all tables in the data, with their types."""
    if isinstance(data, list):
        for index, entry in enumerate(data):
            yield from _tables_in(entry, table, (*path, index))
    if not isinstance(data, Mapping):
        return
    yield path, data, table
    for item in msgspec.structs.fields(table):
        inner = table_in(item.type)
        if inner and item.encode_name in data:
            yield from _tables_in(data[item.encode_name], inner, (*path, item.encode_name))


def _unknown_keys_message(
    strange: list[str], known: list[str], path: toml.Path, root: type[Struct]
) -> str:
    """Return the message for unknown keys, with suggestions and the known keys."""
    place = f"{toml.spell(path)}: " if path else ""
    if "password" in strange:
        return place + PASSWORD
    meant = [match for key in strange if (match := nearest(key, known))]
    owners = [] if meant else [owner for key in strange for owner in _tables_with_key(key, root)]
    hint = f"; did you mean {_join_words(meant)}?" if meant else ";"
    hint += f" it belongs to {' or '.join(owners)};" if owners else ""
    names = "name" if len(strange) == 1 else "names"
    return f"{place}unknown {names} {_join_words(strange)}{hint} known: {', '.join(sorted(known))}"


def _tables_with_key(key: str, root: type[Struct]) -> list[str]:
    """Return the headers of the top-level tables that have a key of this name."""
    found = []
    for item in msgspec.structs.fields(root):
        table = table_in(item.type)
        if table and any(inner.encode_name == key for inner in msgspec.structs.fields(table)):
            listed = table is not item.type
            found.append(f"[[{item.encode_name}]]" if listed else f"[{item.encode_name}]")
    return found


def _join_words(names: Iterable[str]) -> str:
    return " and ".join(f'"{shorten(name)}"' for name in names)


def table_in(kind: Any) -> type[Struct] | None:
    """Return the table type of a field, or of the elements of its list; else None."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return kind
    return next(filter(None, map(table_in, getattr(kind, "__args__", ()))), None)


def _not_finite(data: Any, path: toml.Path) -> Iterator[Problem]:
    """Yield values that are NaN or infinite: NaN passes every range check."""
    if isinstance(data, float) and not math.isfinite(data):
        yield Problem(path, expected(path, data, "a finite number"))
    inner: Iterable[tuple[str | int, Any]] = ()
    if isinstance(data, Mapping):
        inner = data.items()
    elif isinstance(data, list):
        inner = enumerate(data)
    for key, found in inner:
        yield from _not_finite(found, (*path, key))


def _mistyped_problem(message: str, data: Any, root: type[Struct]) -> Problem:
    """Return the problem for a value of the wrong type or range."""
    reason, _, place = message.partition(" - at `$")
    steps = re.findall(r"\.([^.\[\]`]+)|\[(\d+)\]", place)
    path = tuple(name or int(index) for name, index in steps)
    missing = re.fullmatch(r"Object missing required field `(\w+)`", reason)
    if missing:
        what = describe((*path, missing[1]), root)
        return Problem(path, f'{toml.spell(path)}: no "{missing[1]}"; expected {what}')
    found = data
    for step in path:
        found = found[step]
    return Problem(path, expected(path, found, describe(path, root)))


def describe(path: toml.Path, root: type[Struct]) -> str:
    """Describe the values of a key, from its type."""
    kind: Any = msgspec.inspect.type_info(root)
    for step in path:
        kind = _step_into(kind, step)
    return _describe_type(kind, path)


def _describe_type(kind: Any, path: toml.Path) -> str:
    """Describe a type with its own description if it has one, else by its structure."""
    match kind:
        case Metadata(extra_json_schema={"description": str() as words}):
            return words
        case LiteralType(values=values):
            *listed, last = map(toml.value, values)
            return f"{', '.join(listed)} or {last}" if listed else last
        case StructType():
            return f"a table, under a line {_table_header(path)}"
        case VarTupleType(item_type=StructType()):
            return f"tables, each under a line {_table_header((*path, 0))}"
        case VarTupleType(item_type=item):
            return f"a list, of which each is {_describe_type(item, path)}"
    return _describe_simple_type(kind)


def _describe_simple_type(kind: Any) -> str:
    """Describe a simple type."""
    match kind:
        case IntType(ge=low, le=high) | FloatType(ge=low, le=high):
            least = "" if low is None else f" from {low}"
            most = "" if high is None else f" up to {high}"
            return f"a number{least}{most}"
        case BoolType():
            return "true or false"
    return "a text in quotes"


def _table_header(path: toml.Path) -> str:
    name = ".".join(step for step in path if isinstance(step, str))
    return f"[[{name}]]" if isinstance(path[-1], int) else f"[{name}]"


def _step_into(kind: Any, step: str | int) -> Any:
    """Return the type one step down a path."""
    while isinstance(kind, Metadata):
        kind = kind.type
    if isinstance(step, str):
        return next(item.type for item in kind.fields if item.encode_name == step)
    return kind.item_types[step] if isinstance(kind, TupleType) else kind.item_type
