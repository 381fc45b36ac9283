"""The command line as data: what completions, the manual page and the documentation are made of."""

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Final, cast

from edgepose import cli

FILES: Final = re.compile(r"FILE|DIR|OUT|PATH|SOURCE|URI|PICTURE|RECORDING", re.IGNORECASE)
"""Metavars of values that are paths of files, or may be."""


@dataclass(frozen=True, slots=True)
class Argument:
    """An option or a positional argument."""

    flags: tuple[str, ...]
    """Such as ``-c`` and ``--config``; empty for a positional argument."""

    metavar: str
    """Placeholder of the value; empty where there is none."""

    help: str
    choices: tuple[str, ...] = ()
    """All values it takes; empty for any."""

    @property
    def takes_file(self) -> bool:
        """Whether its value is, or may be, the path of a file."""
        return not self.choices and FILES.search(self.metavar) is not None


@dataclass(frozen=True, slots=True)
class Syntax:
    """A command, or the program itself."""

    path: tuple[str, ...]
    """Such as ``edgepose config check``."""

    summary: str
    """One line."""

    text: str
    """What it does, in paragraphs."""

    options: tuple[Argument, ...]
    positionals: tuple[Argument, ...]
    commands: tuple["Syntax", ...] = ()
    help: str = ""
    """What ``--help`` prints."""

    def all(self) -> Iterator["Syntax"]:
        """Yield this command and all below it."""
        yield self
        for command in self.commands:
            yield from command.all()


def program() -> Syntax:
    """Return the whole command line; imports every command."""
    top = _read(cli.parser(), ("edgepose",), "")
    commands = []
    for name, row in cli.COMMANDS.items():
        parser = cli.parser(name, cast(cli.Command, import_module(row.module)))
        below = next(iter(_choices(parser)))[0][name]
        commands.append(_read(below, ("edgepose", name), row.help))
    return Syntax(
        top.path, top.summary, top.text, top.options, top.positionals, tuple(commands), top.help
    )


def _choices(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[dict[str, argparse.ArgumentParser], dict[str, str]]]:
    """Yield the commands below a parser, and their one-line helps."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            yield dict(action.choices), helps


def _read(parser: argparse.ArgumentParser, path: tuple[str, ...], summary: str) -> Syntax:
    visible = [
        action
        for action in parser._actions
        if action.help != argparse.SUPPRESS and not isinstance(action, argparse._SubParsersAction)
    ]
    nested = () if path == ("edgepose",) else tuple(_choices(parser))
    return Syntax(
        path=path,
        summary=summary,
        text=(parser.description or summary).strip(),
        options=tuple(_argument(action) for action in visible if action.option_strings),
        positionals=tuple(_argument(action) for action in visible if not action.option_strings),
        commands=tuple(
            _read(below, (*path, name), helps.get(name, ""))
            for commands, helps in nested
            for name, below in commands.items()
        ),
        help=parser.format_help(),
    )


def _argument(action: argparse.Action) -> Argument:
    takes = action.nargs != 0
    metavar = action.metavar or (action.dest.upper() if takes else "")
    return Argument(
        flags=tuple(action.option_strings),
        metavar=metavar if isinstance(metavar, str) else " ".join(metavar),
        help=" ".join((action.help or "").replace("%%", "%").split()),
        choices=tuple(map(str, action.choices or ())),
    )
