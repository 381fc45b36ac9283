"""The command line as data, for completions, the manual page and the documentation."""

import argparse
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Final, Protocol

FILES: Final = re.compile(r"FILE|DIR|OUT|PATH|SOURCE|URI|PICTURE|RECORDING", re.IGNORECASE)
"""Matches metavars of values that are, or may be, file paths."""


@dataclass(frozen=True, slots=True)
class Argument:
    """An option or a positional argument."""

    flags: tuple[str, ...]
    """Such as ``-c`` and ``--config``; empty for a positional argument."""

    metavar: str
    """Placeholder of the value; empty for an option without a value."""

    help: str
    choices: tuple[str, ...] = ()
    """All permitted values; empty if any value is permitted."""

    @property
    def takes_file(self) -> bool:
        """Whether the value is, or may be, a file path."""
        return not self.choices and FILES.search(self.metavar) is not None


@dataclass(frozen=True, slots=True)
class Syntax:
    """A command, or the program itself."""

    path: tuple[str, ...]
    """The words of the command, such as ``edgepose config check``."""

    summary: str
    """Description in one line."""

    text: str
    """Description in paragraphs."""

    options: tuple[Argument, ...]
    positionals: tuple[Argument, ...]
    commands: tuple["Syntax", ...] = ()

    def all(self) -> Iterator["Syntax"]:
        """Yield this command and all its subcommands."""
        yield self
        for command in self.commands:
            yield from command.all()


class OptionRow(Protocol):
    """A command in the table of the command line."""

    @property
    def module(self) -> str:
        """Name of the command's module."""

    @property
    def help(self) -> str:
        """Description in one line."""


def program(
    table: Mapping[str, OptionRow], build: Callable[..., argparse.ArgumentParser]
) -> Syntax:
    """Return the syntax of the whole command line. Imports every command.

    Parameters
    ----------
    table : mapping
        The commands by name: `edgepose.cli.COMMANDS`.
    build : callable
        Builds the parser with one command's arguments: `edgepose.cli.parser`.
    """
    top = _read_parser(build(), ("edgepose",), "")
    commands = []
    for name, row in table.items():
        parser = build(name, import_module(row.module))
        below = next(iter(_subcommands_of(parser)))[0][name]
        commands.append(_read_parser(below, ("edgepose", name), row.help))
    return replace(top, commands=tuple(commands))


def _subcommands_of(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[dict[str, argparse.ArgumentParser], dict[str, str]]]:
    """Yield the subcommands of a parser and their one-line descriptions, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            yield dict(action.choices), helps


def _read_parser(parser: argparse.ArgumentParser, path: tuple[str, ...], summary: str) -> Syntax:
    visible = [
        action
        for action in parser._actions
        if action.help != argparse.SUPPRESS and not isinstance(action, argparse._SubParsersAction)
    ]
    nested = () if path == ("edgepose",) else tuple(_subcommands_of(parser))
    return Syntax(
        path=path,
        summary=summary,
        text=(parser.description or summary).strip(),
        options=tuple(_read_argument(action) for action in visible if action.option_strings),
        positionals=tuple(
            _read_argument(action) for action in visible if not action.option_strings
        ),
        commands=tuple(
            _read_parser(below, (*path, name), helps.get(name, ""))
            for commands, helps in nested
            for name, below in commands.items()
        ),
    )


def _read_argument(action: argparse.Action) -> Argument:
    takes = action.nargs != 0
    metavar = action.metavar or (action.dest.upper() if takes else "")
    return Argument(
        flags=tuple(action.option_strings),
        metavar=metavar if isinstance(metavar, str) else " ".join(metavar),
        help=" ".join((action.help or "").replace("%%", "%").split()),
        choices=tuple(map(str, action.choices or ())),
    )
