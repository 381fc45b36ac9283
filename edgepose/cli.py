"""The command line: a table of commands; only the chosen command is imported.

To add a command, write `commands/<name>.py` with `add_arguments` and `run`, and add a row to
`COMMANDS`.
"""

import argparse
import codecs
import errno
import io
import logging
import os
import re
import select
import sys
import traceback
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Final, NamedTuple, NoReturn, Protocol, cast

from edgepose._version import __version__
from edgepose.errors import EdgeposeError, UsageError
from edgepose.suggestions import did_you_mean
from edgepose.system import logs
from edgepose.urls import redact

INTERRUPTED: Final = 130  # 128 + SIGINT, the convention of shells


class CommandRow(NamedTuple):
    """A command in the table."""

    module: str
    help: str
    """One line for `edgepose --help`, which thus imports no command."""


COMMANDS: Final = {
    "run": CommandRow(
        "edgepose.commands.run", "run the daemon: process cameras, publish over MQTT"
    ),
    "detect": CommandRow("edgepose.commands.detect", "find people in pictures and videos"),
    "watch": CommandRow("edgepose.commands.watch", "show live messages in the terminal"),
    "record": CommandRow("edgepose.commands.record", "record what running devices publish"),
    "replay": CommandRow("edgepose.commands.replay", "publish a recording again"),
    "score": CommandRow("edgepose.commands.score", "measure events against labels of a recording"),
    "config": CommandRow("edgepose.commands.config", "check, show or create a configuration file"),
    "web": CommandRow("edgepose.commands.web", "create the token for access to the page"),
    "doctor": CommandRow("edgepose.commands.doctor", "check camera, model, broker and machine"),
    "models": CommandRow("edgepose.commands.models", "list models, or describe a .tflite file"),
    "eval": CommandRow("edgepose.commands.eval", "measure accuracy on pictures in COCO's format"),
    "bench": CommandRow("edgepose.commands.bench", "compare the daemon with bare inference"),
    "demo": CommandRow(
        "edgepose.commands.demo", "run the daemon on the bundled clip, with a broker"
    ),
    "completion": CommandRow("edgepose.commands.completion", "print tab completion for a shell"),
}

SYNONYMS: Final = {
    **dict.fromkeys(("image", "images", "picture", "video", "film", "photo"), "detect"),
    **dict.fromkeys(("start", "daemon", "serve", "service"), "run"),
    **dict.fromkeys(("check", "status", "test"), "doctor"),
}
"""Words that are not commands, with the command that is probably meant."""


class Command(Protocol):
    """Interface of a command's module; its docstring is the description in the help."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Run the command and return the exit code."""


class Parser(argparse.ArgumentParser):
    """Argument parser that reports errors in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` instead of printing the usage."""
        choice = re.search(r"invalid choice: '?(.+?)'? \(choose from (.*)\)", message)
        if choice:
            known = re.findall(r"[^\s',]+", choice[2])
            raise UsageError(
                _unknown_word_message("argument", choice[1], known, self.prog, listed=True)
            )
        msg = f'{self.prog}: {message}; see "{self.prog} --help"'
        raise UsageError(msg)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code of the process."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    elif words == ["version"]:
        words = ["--version"]
    debug = "--debug" in words
    _escape_unencodable()
    try:
        code = _run_command(words)
        sys.stdout.flush()  # detects a closed pipe here, not at interpreter shutdown
    except EdgeposeError as error:
        return _print_error(str(error), error.exit_code, debug=debug)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError as error:
        if not _reader_gone():
            return _print_unexpected(error, debug=debug)
        _silence_output()
        return 1
    except Exception as error:
        return _print_unexpected(error, debug=debug)
    return code


def _escape_unencodable() -> None:
    """Print characters that standard output cannot encode as JSON escapes.

    File names may contain characters of any script and undecodable bytes.
    """
    codecs.register_error("edgepose", _explain_escaped)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="edgepose")


def _explain_escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs), error.end


def _run_command(words: list[str]) -> int:
    try:
        args, command = parse(words)
    except SystemExit as done:  # argparse exits after --help and --version
        return int(done.code or 0)
    if command is None:
        parser().print_help(sys.stderr)
        return UsageError.exit_code
    logs.configure("debug" if args.debug else "info")
    return command.run(args)


def parse(words: list[str]) -> tuple[argparse.Namespace, Command | None]:
    """Parse the command line; the command is None if none is given.

    Raises
    ------
    UsageError
        When a command or argument is unknown.
    """
    chosen = next((word for word in words if not word.startswith("-")), None)
    if chosen is not None and chosen not in COMMANDS:
        raise UsageError(
            _unknown_word_message("command", chosen, COMMANDS, "edgepose", listed=True)
        )
    command = cast(Command, import_module(COMMANDS[chosen].module)) if chosen else None
    args, strange = parser(chosen, command).parse_known_args(words)
    if strange:
        where = f"edgepose {chosen}" if chosen else "edgepose"
        raise UsageError(_unknown_word_message("argument", strange[0], args.known, where))
    return args, command


def parser(chosen: str | None = None, command: Command | None = None) -> Parser:
    """Build the parser with all commands; only the chosen one has its arguments."""
    top = Parser(
        prog="edgepose",
        description="Detects the poses of people in camera frames and publishes them over MQTT.",
        epilog='"edgepose COMMAND --help" describes a command.',
        allow_abbrev=False,
    )
    top.add_argument("-V", "--version", action="version", version=f"edgepose {__version__}")
    top.add_argument("--debug", action="store_true", help="log debug messages; print tracebacks")
    top.set_defaults(known=["-V", "--version", "--debug", "--help"])
    top.set_defaults(
        table=COMMANDS, build=parser
    )  # for `completion`, which describes the command line
    rows = top.add_subparsers(metavar="COMMAND", parser_class=Parser)
    for name, row in COMMANDS.items():
        one = rows.add_parser(name, help=row.help, allow_abbrev=False)
        if name == chosen and command is not None:
            _fill_parser(one, command)
    return top


def _fill_parser(one: argparse.ArgumentParser, command: Command) -> None:
    """Add the chosen command's description and arguments to its parser."""
    one.description = command.__doc__
    one.formatter_class = argparse.RawDescriptionHelpFormatter
    one.add_argument(
        "--debug",
        action="store_true",
        default=argparse.SUPPRESS,
        help="log debug messages; print tracebacks",
    )
    command.add_arguments(one)
    one.set_defaults(known=_all_options(one))


def _all_options(parser: argparse.ArgumentParser) -> list[str]:
    """Return all options of a command and of its subcommands."""
    found = list(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [option for below in action.choices.values() for option in _all_options(below)]
    return found


def _unknown_word_message(
    what: str, word: str, known: Iterable[str], where: str, *, listed: bool = False
) -> str:
    """Return the message for an unknown word, with a suggestion and the known words."""
    meant = SYNONYMS.get(word, word) if known is COMMANDS else word
    hint = did_you_mean(meant.partition("=")[0], known)
    more = f"known: {', '.join(known)}" if listed else f'see "{where} --help"'
    return f'{where}: unknown {what} "{word}";{hint} {more}'


def _print_error(message: str, code: int, *, debug: bool) -> int:
    """Print an error, with its traceback for --debug, or for a fault logged to the journal."""
    to_journal = logs.is_journal(sys.stderr)
    sentence = (
        message if message.startswith(("edgepose ", "edgepose: ")) else f"edgepose: {message}"
    )
    said = [(sentence, logging.ERROR)]
    if debug or (to_journal and code == EdgeposeError.exit_code):
        said.insert(0, (traceback.format_exc().rstrip(), logging.DEBUG))
    for text, level in said:
        print(redact(logs.marked(text, level) if to_journal else text), file=sys.stderr)
    return code


def _print_unexpected(error: Exception, *, debug: bool) -> int:
    """Print an unexpected error: a file that the system refuses, or a bug."""
    if isinstance(error, OSError) and error.filename is not None:
        return _print_error(f"{error.filename}: {error.strerror}", 1, debug=debug)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _print_error(
            "cannot write: the disk is full; free space and try again", 1, debug=debug
        )
    name = type(error).__name__
    more = "" if debug else "; --debug shows where; please report it"
    return _print_error(f"unexpected {name}: {error}{more}", 1, debug=debug)


def _reader_gone() -> bool:
    """Return whether the reader of standard output has closed the pipe.

    A `BrokenPipeError` may also come from a network connection.
    """
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):
        return False
    return any(state & select.POLLERR for _, state in poll.poll(0))


def _silence_output() -> None:
    """Redirect standard output to the null device, so that the final flush does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
