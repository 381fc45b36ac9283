"""Print tab completion for a shell.

  bash   edgepose completion bash > ~/.local/share/bash-completion/completions/edgepose
  zsh    edgepose completion zsh > a folder of $fpath, as _edgepose
  fish   edgepose completion fish > ~/.config/fish/completions/edgepose.fish

The installer and the Debian package install all three.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from edgepose.commands.syntax import Argument, Syntax


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("shell", choices=SHELLS, help="the shell")


def run(args: argparse.Namespace) -> int:
    """Print the completion script for a shell."""
    from edgepose.commands.syntax import program
    from edgepose.models import catalog

    print(SHELLS[args.shell](program(args.table, args.build), sorted(catalog.entries())), end="")
    return 0


def bash(program: Syntax, models: Sequence[str]) -> str:
    """Return the script for bash."""
    commands = list(program.all())
    lines = [
        "# Tab completion of edgepose for bash.",
        "_edgepose() {",
        "    local cur=${COMP_WORDS[COMP_CWORD]} path=edgepose words='' files='' i",
        "    for ((i = 1; i < COMP_CWORD; i++)); do",
        '        case "$path ${COMP_WORDS[i]}" in',
        f'            {_join_alternatives(commands[1:])}) path+=" ${{COMP_WORDS[i]}}" ;;',
        "        esac",
        "    done",
        '    case "$path ${COMP_WORDS[COMP_CWORD-1]}" in',
        *_bash_values(commands, models),
        "        *)",
        '            case "$path" in',
        *(
            f'                "{_subcommand_path(it)}") {_bash_words(it, models)} ;;'
            for it in commands
        ),
        "            esac",
        "            ;;",
        "    esac",
        '    COMPREPLY=($(compgen -W "$words" -- "$cur"))',
        "    if [[ $files && $cur != -* ]]; then",
        "        compopt -o filenames 2>/dev/null",
        '        COMPREPLY+=($(compgen -f -- "$cur"))',
        "    fi",
        "}",
        "complete -F _edgepose edgepose",
    ]
    return "\n".join(lines) + "\n"


def zsh(program: Syntax, models: Sequence[str]) -> str:
    """Return the script for zsh."""
    commands = list(program.all())
    lines = [
        "#compdef edgepose",
        "# Tab completion of edgepose for zsh.",
        "_edgepose() {",
        "    local at=edgepose word files=''",
        "    local -a found",
        '    for word in "${(@)words[2,CURRENT-1]}"; do',
        '        case "$at $word" in',
        f'            {_join_alternatives(commands[1:])}) at+=" $word" ;;',
        "        esac",
        "    done",
        '    case "$at ${words[CURRENT-1]}" in',
        *_zsh_values(commands, models),
        "        *)",
        '            case "$at" in',
        *(line for it in commands for line in _zsh_words(it, models)),
        "            esac",
        "            ;;",
        "    esac",
        "    (( ${#found} )) && _describe -o edgepose found",
        "    [[ -n $files ]] && _files",
        "}",
        '_edgepose "$@"',
    ]
    return "\n".join(lines) + "\n"


def fish(program: Syntax, models: Sequence[str]) -> str:
    """Return the script for fish."""
    lines = ["# Tab completion of edgepose for fish.", "complete -c edgepose -f"]
    for command in program.all():
        condition = _fish_condition(command)
        for below in command.commands:
            lines.append(f"{condition} -a {below.path[-1]} -d {_quoted(below.summary)}")
        for option in command.options:
            lines.append(f"{condition} {_fish_option(option, models)}")
        for positional in command.positionals:
            offers = _values_of(positional, models)
            if offers:
                lines.append(f"{condition} -a {_quoted(' '.join(offers))}")
            if positional.takes_file:
                lines.append(f"{condition} -F")
    return "\n".join(lines) + "\n"


def _subcommand_path(command: Syntax) -> str:
    return " ".join(command.path)


def _join_alternatives(commands: Sequence[Syntax]) -> str:
    return "|".join(f'"{_subcommand_path(command)}"' for command in commands)


def _values_of(argument: Argument, models: Sequence[str]) -> Sequence[str]:
    """Return the known values of an argument; empty if any value is allowed."""
    if argument.choices:
        return argument.choices
    named = {*argument.flags, argument.metavar.lower()}
    return models if named & {"-m", "--model", "model"} else ()


def _with_values(commands: Sequence[Syntax]) -> Iterator[tuple[str, Argument]]:
    """Yield each option that takes a value, with a shell pattern of the words before it."""
    for command in commands:
        for option in command.options:
            if option.metavar:
                yield (
                    "|".join(f'"{_subcommand_path(command)} {flag}"' for flag in option.flags),
                    option,
                )


def _bash_values(commands: Sequence[Syntax], models: Sequence[str]) -> Iterator[str]:
    for words, option in _with_values(commands):
        files = "files=1" if option.takes_file else ":"
        yield f"        {words}) words={_quoted(' '.join(_values_of(option, models)))}; {files} ;;"


def _bash_words(command: Syntax, models: Sequence[str]) -> str:
    words = [below.path[-1] for below in command.commands]
    words += [flag for option in command.options for flag in option.flags]
    words += [word for one in command.positionals for word in _values_of(one, models)]
    files = any(one.takes_file for one in command.positionals)
    return f"words={_quoted(' '.join(words))}" + ("; files=1" if files else "")


def _zsh_values(commands: Sequence[Syntax], models: Sequence[str]) -> Iterator[str]:
    for words, option in _with_values(commands):
        offers = " ".join(_quoted(_escape_word(word)) for word in _values_of(option, models))
        yield f"        {words}) found=({offers}){'; files=1' if option.takes_file else ''} ;;"


def _zsh_words(command: Syntax, models: Sequence[str]) -> Iterator[str]:
    yield f'                "{_subcommand_path(command)}")'
    offers = [f"{_escape_word(below.path[-1])}:{below.summary}" for below in command.commands]
    offers += [
        f"{_escape_word(flag)}:{option.help}" for option in command.options for flag in option.flags
    ]
    offers += [
        _escape_word(word) for one in command.positionals for word in _values_of(one, models)
    ]
    yield f"                    found=({' '.join(map(_quoted, offers))})"
    if any(one.takes_file for one in command.positionals):
        yield "                    files=1"
    yield "                    ;;"


def _escape_word(word: str) -> str:
    return word.replace(":", "\\:")


def _fish_condition(command: Syntax) -> str:
    """Return the start of a `complete` line that applies directly after a command."""
    if len(command.path) == 1:
        return "complete -c edgepose -n __fish_use_subcommand"
    seen = [f"__fish_seen_subcommand_from {word}" for word in command.path[1:]]
    if command.commands:
        below = " ".join(it.path[-1] for it in command.commands)
        seen.append(f"not __fish_seen_subcommand_from {below}")
    return f"complete -c edgepose -n {_quoted('; and '.join(seen))}"


def _fish_option(option: Argument, models: Sequence[str]) -> str:
    words = [
        f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags
    ]
    offers = _values_of(option, models)
    if option.metavar:
        words.append("-r -F" if option.takes_file else "-x")
    if offers:
        words.append(f"-a {_quoted(' '.join(offers))}")
    return " ".join([*words, f"-d {_quoted(option.help)}"])


def _quoted(text: str) -> str:
    """Return a text quoted for all three shells."""
    return "'" + text.replace("'", "'\\''") + "'"


SHELLS: Final[dict[str, Callable[[Syntax, Sequence[str]], str]]] = {
    "bash": bash,
    "zsh": zsh,
    "fish": fish,
}
