"""The command line as data."""

import argparse

import pytest

from edgepose import cli
from edgepose.commands.syntax import Syntax, program


@pytest.fixture(scope="module")
def syntax() -> Syntax:
    return program(cli.COMMANDS, cli.parser)


def test_it_has_every_command_with_its_line(syntax: Syntax) -> None:
    """Commands and summaries are in the order of the table."""
    assert [one.path[1] for one in syntax.commands] == list(cli.COMMANDS)
    assert [one.summary for one in syntax.commands] == [row.help for row in cli.COMMANDS.values()]


def test_every_option_that_help_shows_is_there(syntax: Syntax) -> None:
    """Each flag of `--help` exists with an explanation."""
    for command in syntax.commands:
        words = [*command.path[1:], "--help"]
        flags = {flag for one in command.all() for option in one.options for flag in option.flags}

        with pytest.raises(SystemExit):
            cli.parse(words)

        assert flags >= {"--help", "--debug"}
        assert all(option.help or len(command.path) > 2 for option in command.options)


def test_commands_below_commands_are_there(syntax: Syntax) -> None:
    """Subcommands exist with their own arguments."""
    paths = {" ".join(one.path): one for one in syntax.all()}

    assert paths["edgepose config check"].positionals[0].metavar == "FILE"
    assert paths["edgepose web token"].options


def test_a_value_of_a_file_is_known_by_its_name() -> None:
    """An option with the metavar FILE takes a file; choices do not."""
    parser = argparse.ArgumentParser("edgepose")
    parser.add_argument("--config", metavar="FILE")
    parser.add_argument("--mode", choices=["a", "b"])

    options = program({}, lambda: parser).options

    assert [it.takes_file for it in options if it.metavar] == [True, False]
    assert options[-1].choices == ("a", "b")
