"""Tab completion, in the shells themselves."""

import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from edgepose import cli
from edgepose.commands.completion import SHELLS
from edgepose.commands.syntax import Syntax, program

MODELS = ("posenet", "movenet-lightning")


@cache
def syntax() -> Syntax:
    return program(cli.COMMANDS, cli.parser)


def script(shell: str) -> str:
    return SHELLS[shell](syntax(), MODELS)


def shell(name: str, text: str) -> str:
    """Run a script in a shell; return its output."""
    if shutil.which(name) is None:
        pytest.skip(f"no {name} here")
    words = [name, "-f"] if name == "zsh" else [name, "--no-config"] if name == "fish" else [name]
    done = subprocess.run(
        [*words, "-c", text], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    return done.stdout


def bash(*words: str) -> set[str]:
    """Complete the last word in bash."""
    typed = " ".join(f"'{word}'" for word in words)
    lines = [script("bash"), f"COMP_WORDS=({typed})", f"COMP_CWORD={len(words) - 1}"]
    lines += ["_edgepose edgepose", 'printf "%s\\n" "${COMPREPLY[@]}"']
    return set(shell("bash", "\n".join(lines)).split())


def zsh(*words: str) -> set[str]:
    """Complete the last word in zsh, with its own functions replaced by printing ones."""
    typed = " ".join(f"'{word}'" for word in words)
    parts = [
        "_describe() { print -l -- ${found%%:*} }",
        "_files() { print -l -- *(N) }",
        f"words=({typed}); CURRENT={len(words)}",
    ]
    found = shell("zsh", "\n".join([*parts, script("zsh")])).split()
    return {word for word in found if word.startswith(words[-1])}


def fish(*words: str) -> set[str]:
    """Complete the last word in fish."""
    typed = " ".join(words)
    out = shell("fish", f"{script('fish')}\ncomplete -C '{typed}'")
    return {line.partition("\t")[0] for line in out.splitlines()}


COMPLETE = [bash, zsh, fish]


@pytest.fixture(params=COMPLETE, ids=["bash", "zsh", "fish"])
def complete(request: pytest.FixtureRequest) -> Callable[..., set[str]]:
    found: Callable[..., set[str]] = request.param
    return found


def test_every_command_and_option_is_offered(complete: Callable[..., set[str]]) -> None:
    """All commands and options are offered, except hidden ones."""
    for command in syntax().all():
        long = {flag for option in command.options for flag in option.flags if flag[:2] == "--"}
        below = {it.path[-1] for it in command.commands}

        assert long <= complete(*command.path, "--"), command.path
        assert below <= complete(*command.path, ""), command.path


def test_options_of_other_commands_are_not_offered(complete: Callable[..., set[str]]) -> None:
    """Options of other commands are not offered."""
    assert "--max-people" not in complete("edgepose", "config", "check", "--")
    assert "check" not in complete("edgepose", "run", "")


def test_values_are_offered(complete: Callable[..., set[str]]) -> None:
    """Choices and models are offered for their options only."""
    assert complete("edgepose", "detect", "--model", "") >= set(MODELS)
    assert complete("edgepose", "detect", "--policy", "") >= {"auto", "whole", "follow", "refine"}
    assert complete("edgepose", "completion", "") >= {"bash", "zsh", "fish"}
    assert "posenet" not in complete("edgepose", "detect", "--policy", "")


def test_files_are_offered(
    complete: Callable[..., set[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are offered as first arguments and for options that take files."""
    (tmp_path / "walk.mp4").touch()
    monkeypatch.chdir(tmp_path)

    assert "walk.mp4" in complete("edgepose", "detect", "wa")
    assert "walk.mp4" in complete("edgepose", "run", "-c", "wa")
    assert "walk.mp4" not in complete("edgepose", "run", "--mqtt", "wa")


@pytest.mark.parametrize("name", SHELLS)
def test_it_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The printed script contains the catalogue's models."""
    from edgepose.cli import main

    assert main(["completion", name]) == 0
    assert "movenet-multipose" in capsys.readouterr().out
