"""The command line's main function and `edgepose config`."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from edgepose import cli, errors
from edgepose._version import __version__
from edgepose.cli import main
from edgepose.models import catalog
from edgepose.system import logs
from tests.support.moving import numbered, picture

MODEL = 'source = "demo://"\n[model]\n'
HEAVY = ("cv2", "numpy", "paho", "ai_edge_litert", "tflite_runtime", "amqtt", "prometheus_client")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], int]], None]:
    """Return a function that registers a command `probe` with a given action."""

    def put(action: Callable[[], int]) -> None:
        module = ModuleType("probe")
        module.__doc__ = "Probe."
        module.add_arguments = lambda parser: parser.add_argument("--depth")  # type: ignore[attr-defined]
        module.run = lambda args: action()  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "probe", module)
        monkeypatch.setitem(cli.COMMANDS, "probe", cli.CommandRow("probe", "probes"))

    return put


def fail(error: BaseException) -> Callable[[], int]:
    """Return an action that raises."""

    def action() -> int:
        raise error

    return action


def edgepose(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the program in a child process."""
    return subprocess.run(
        [sys.executable, "-m", "edgepose", *words],
        capture_output=True,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def test_help_lists_every_command_without_loading_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Each command is listed, without importing any."""
    assert main(["--help"]) == 0

    said = capsys.readouterr().out
    for name, row in cli.COMMANDS.items():
        assert name in said
        assert " ".join(row.help.split()[:2]) in said


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command's module has a docstring, arguments and `run`."""
    if find_spec(cli.COMMANDS[name].module) is None:
        pytest.skip(f"{cli.COMMANDS[name].module} is still to come")

    assert main([name, "--help"]) == 0

    said = capsys.readouterr().out
    assert f"usage: edgepose {name}" in said
    assert "--debug" in said


@pytest.mark.parametrize("words", [["-V"], ["--version"], ["version"]])
def test_the_version_is_the_packages(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """All three ways print one line."""
    assert main(words) == 0

    assert capsys.readouterr().out == f"edgepose {__version__}\n"


def test_words_that_are_no_commands_lead_to_commands() -> None:
    """A synonym is not a command, and the command it leads to exists."""
    assert not cli.SYNONYMS.keys() & cli.COMMANDS
    assert set(cli.SYNONYMS.values()) <= cli.COMMANDS.keys()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["cofnig"], ['unknown command "cofnig"', 'did you mean "config"?', "known: "]),
        (["video"], ['unknown command "video"', 'did you mean "detect"?']),
        (["--verzion"], ['unknown argument "--verzion"', '"--version"', '"edgepose --help"']),
        (["config", "chek"], ['edgepose config: unknown argument "chek"', '"check"', "init"]),
        (["config", "init", "--forze"], ['"--forze"', 'did you mean "--force"?']),
        (["config"], ["edgepose config: ", "required", '"edgepose config --help"']),
        (["config", "check", "a", "b"], ['unknown argument "b"']),
        (["config", "init", "--source"], ["--source", "expected one argument"]),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(
    words: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the unknown word, a suggestion and where to find help."""
    assert main(words) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("edgepose")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["detect", "x.png", "--threads", "65"],
            "--threads: 65: expected a whole number from 0 to",
        ),
        (["detect", "x.png", "--max-people", "0"], "0: expected a whole number from 1 up"),
        (["detect", "x.png", "--min-score", "nan"], "nan: expected a number from 0 to 1"),
        (["detect", "x.png", "--min-keypoint-score", "7"], "7: expected a number from 0 to 1"),
        (["eval", "--images", ".", "--annotations", "x", "--bootstrap", "-1"], "-1: expected"),
        (["bench", "--rounds", "0"], "0: expected a whole number from 1 up"),
        (["bench", "--frames", "many"], "many: expected a whole number from 1 up"),
        (["bench", "--mqtt", "there"], "mqtt.url = 'there': expected mqtt://HOST:PORT"),
        (["record", "--for", "-1"], "-1: expected a number from 0 up"),
        (["record", "--base-topic", "#", "-o", "x.jsonl"], "expected a topic without wildcards"),
        (["record", "-o", "nowhere/x.jsonl"], "nowhere/x.jsonl: cannot be written: no such file"),
        (["record", "--mqtt", "there", "-o", "x.jsonl"], "mqtt.url = 'there': expected"),
        (["replay", "x.jsonl", "--speed", "inf"], "inf: expected a number from 0 up"),
        (["replay", "x.jsonl", "--device", "a/b"], "'a/b' is no name of a device"),
        (
            ["replay", "x.jsonl"],
            "x.jsonl: cannot be read: no such file or directory; expected a rec",
        ),
        (["replay", "."], ".: cannot be read: is a directory; expected a recording"),
        (["score", "x.jsonl", "y.toml"], "x.jsonl: cannot be read: no such file or directory"),
        (["config", "init", "-", "--broker", "there"], 'config init: mqtt.url = "there": expected'),
        (["config", "init", "."], ".: cannot be written: file exists; name a file"),
        (["run"], "none.toml: there is no such file; "),
    ],
)
def test_a_mistake_is_refused_before_any_work(
    words: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error names the found and the expected value; no file is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("edgepose.config.loading.DEFAULT_FILE", Path("none.toml"))

    assert main(words) == 2

    heard = capsys.readouterr()
    assert said in heard.err
    assert heard.err.count("\n") == 1
    assert heard.out == ""
    assert not list(tmp_path.iterdir())


def test_no_command_shows_the_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command the help is printed, with exit code 2."""
    assert main([]) == 2

    assert "usage: edgepose" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.EdgeposeError("x"), 1),
        (errors.ConfigError("x"), 2),
        (errors.SourceError("x"), 3),
        (errors.ModelError("x"), 4),
        (errors.BrokerError("x"), 5),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("x"), 1),
        (BrokenPipeError("x"), 1),
    ],
)
def test_an_error_ends_with_its_exit_code(
    command: Callable[..., None],
    error: BaseException,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The error is one line on stderr, without a traceback."""
    command(fail(error))

    assert main(["probe"]) == code

    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert err.count("\n") == (0 if code == 130 else 1)


@pytest.mark.parametrize("words", [["--debug", "probe"], ["probe", "--debug"]])
def test_debug_shows_the_traceback_but_no_password(
    command: Callable[..., None], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """`--debug` prints the traceback with secrets hidden."""
    command(fail(ValueError("rtsp://ann:swordfish@camera")))

    assert main(words) == 1

    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "swordfish" not in err
    assert "ann:***@camera" in err


@pytest.mark.parametrize(
    ("error", "with_traceback"),
    [(ValueError("rtsp://ann:swordfish@camera"), True), (errors.ModelError("x"), False)],
)
def test_the_journal_keeps_where_a_fault_was(
    command: Callable[..., None],
    error: Exception,
    with_traceback: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In the journal the traceback has debug priority, and the sentence error priority."""
    monkeypatch.setattr(logs, "is_journal", lambda stream: True)
    command(fail(error))

    main(["probe"])

    *where, sentence = capsys.readouterr().err.splitlines()
    assert sentence.startswith("<3>edgepose: ")
    assert all(line.startswith("<7>") for line in where)
    assert ("<7>Traceback (most recent call last):" in where) == with_traceback
    assert "swordfish" not in "".join(where) + sentence


def test_a_file_that_the_system_refuses_is_no_bug(
    command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The error has the file's name and the reason."""
    command(fail(PermissionError(13, "Permission denied", "/root/x")))

    assert main(["probe"]) == 1

    assert capsys.readouterr().err == "edgepose: /root/x: Permission denied\n"


def test_the_exit_code_is_the_commands(command: Callable[..., None]) -> None:
    """The exit code is the return value of `run`."""
    command(lambda: 7)

    assert main(["probe", "--depth", "3"]) == 7


def test_a_command_module_has_the_two_functions() -> None:
    """A command module has `add_arguments` and `run`."""
    from edgepose.commands import config as module

    parser = argparse.ArgumentParser()
    module.add_arguments(parser)

    assert parser.parse_args(["schema"]).verb is not None
    assert callable(module.run)


def test_config_init_check_and_show_fit_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The files of `config init` and `config show` are valid for `config check`."""
    file, again = tmp_path / "new" / "edgepose.toml", tmp_path / "again.toml"

    assert main(["config", "init", str(file), "--source", "/dev/video0"]) == 0
    capsys.readouterr()
    assert main(["config", "check", str(file)]) == 0
    assert f"{file}: good" in capsys.readouterr().out
    assert main(["config", "show", str(file)]) == 0

    shown = capsys.readouterr().out
    assert tomllib.loads(shown)["camera"][0]["source"] == "/dev/video0"
    again.write_text(shown)
    assert main(["config", "check", str(again)]) == 0


def test_config_init_finds_the_camera(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A USB camera is found by its persistent name; without a camera the clip is used."""
    monkeypatch.setattr("edgepose.camera.sources.v4l2.NODES", tmp_path)
    monkeypatch.setitem(sys.modules, "picamera2", None)

    def source() -> str:
        assert main(["config", "init", "-", "--source", "auto"]) == 0
        return str(tomllib.loads(capsys.readouterr().out)["camera"][0]["source"])

    assert source() == "demo://"
    for index in (1, 0):
        (tmp_path / f"usb-Maker_Webcam_1234-video-index{index}").touch()
    assert source() == f"{tmp_path}/usb-Maker_Webcam_1234-video-index0"


def test_config_init_does_not_overwrite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An existing file is kept without --force; `-` prints the text."""
    file = tmp_path / "edgepose.toml"
    file.write_text("mine")

    assert main(["config", "init", str(file)]) == 2
    assert file.read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    assert main(["config", "init", str(file), "--force"]) == 0
    assert "[[camera]]" in file.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["edgepose.toml"]
    assert main(["config", "init", str(tmp_path / "a" / "b" / "c.toml")]) == 2


def test_config_check_refuses_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An invalid file, and one without cameras, ends with code 2 and its line."""
    file = tmp_path / "edgepose.toml"
    file.write_text("[log]\nlevel = 3\n")

    assert main(["config", "check", str(file)]) == 2
    assert f"edgepose: {file}:2: log.level = 3: expected" in capsys.readouterr().err
    file.write_text("")
    assert main(["config", "check", str(file)]) == 2
    assert "no camera; add a [[camera]]" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["nope.mp4", "rtsp//192.0.2.7/x", "shots/*.png"])
def test_config_check_refuses_a_path_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    """With its line; so is what is no picture."""
    file = tmp_path / "edgepose.toml"
    file.write_text(f'[[camera]]\nid = "a"\nsource = "{source}"\n')

    assert main(["config", "check", str(file)]) == 3
    assert f"{file}:3: camera[0].source: " in capsys.readouterr().err
    path = tmp_path / source.replace("*", "1").replace("//", "/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert main(["config", "check", str(file)]) == (0 if "*" in source else 3)
    picture(path.with_suffix(".png"), numbered(0)).rename(path)
    assert main(["config", "check", str(file)]) == 0


@pytest.mark.parametrize(
    "table",
    [
        '[mqtt]\npassword_file = "GONE"',
        '[mqtt]\nurl = "mqtts://h"\nca_file = "GONE"',
        '[mqtt]\nurl = "mqtts://h"\ncert_file = "GONE"',
        '[mqtt]\nurl = "mqtts://h"\ncert_file = "BAD"\nkey_file = "GONE"',
        '[web]\ncert_file = "GONE"',
        '[web]\ncert_file = "BAD"\nkey_file = "GONE"',
        '[model]\nname = "refined"\ntwin = "GONE.tflite"',
        '[model]\ndelegate = "./GONE"',
    ],
)
def test_config_check_finds_files_that_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str
) -> None:
    """Missing files are reported with the line that names them."""
    (tmp_path / "BAD").write_text("no certificate")
    file = tmp_path / "edgepose.toml"
    file.write_text(f'{table}\n[[camera]]\nid = "a"\nsource = "demo://"\n')
    line = 1 + next(n for n, text in enumerate(file.read_text().splitlines()) if "GONE" in text)

    assert main(["config", "check", str(file)]) == 2

    said = capsys.readouterr().err
    assert said.startswith(f"edgepose: {file}:{line}: ")
    assert "no such file" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("password_file", "the file is empty"),
        ("password_file", "not UTF-8"),
        ("ca_file", "no certificate"),
        ("cert_file", "no certificate"),
    ],
)
def test_config_check_looks_into_the_files_of_the_broker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, words: str
) -> None:
    """Invalid certificates, keys and passwords are reported."""
    (tmp_path / "bad").write_bytes(b"\xff" if "UTF" in words else b"" if "empty" in words else b"x")
    file = tmp_path / "edgepose.toml"
    file.write_text(
        f'[mqtt]\nurl = "mqtts://h"\n{key} = "bad"\n[[camera]]\nid = "a"\nsource = "demo://"\n'
    )

    assert main(["config", "check", str(file)]) == 2

    said = capsys.readouterr().err
    assert said.startswith(f"edgepose: {file}:3: mqtt.{key} = ")
    assert words in said


@pytest.mark.parametrize(
    ("text", "line", "code"),
    [
        ('[model]\ndelegate = "./text"', 2, 2),
        ('[web]\ncert_file = "text"', 2, 2),
        ('[web]\nlisten = "127.0.0.1:9464"', 2, 2),
        ('[[camera]]\nid = "b"\nsource = "text"', 3, 3),
        ('[[camera]]\nid = "b"\nsource = "empty"', 3, 3),
        ('[[camera]]\nid = "b"\nsource = "folder"', 3, 3),
        ('[[camera]]\nid = "b"\nsource = "pipe"', 3, 3),
    ],
)
def test_config_check_looks_into_every_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, line: int, code: int
) -> None:
    """Of what is there but cannot be used."""
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    file = tmp_path / "edgepose.toml"
    file.write_text(f'{text}\n[[camera]]\nid = "a"\nsource = "demo://"\n')

    assert main(["config", "check", str(file)]) == code

    said = capsys.readouterr().err
    assert said.startswith(f"edgepose: {file}:{line}: ")
    assert len(said.splitlines()) == 1


def test_config_shows_no_password(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither output contains a password."""
    file = tmp_path / "edgepose.toml"
    file.write_text(
        '[mqtt]\nurl = "mqtt://ann:swordfish@h"\n'
        '[[camera]]\nid = "a"\nsource = "rtsp://ann:swordfish@c/"\n'
    )

    assert main(["config", "check", str(file)]) == 0
    assert main(["config", "show", str(file)]) == 0

    assert "swordfish" not in capsys.readouterr().out


def test_config_prints_schema_and_reference(capsys: pytest.CaptureFixture[str]) -> None:
    """Both documents are printed on stdout."""
    assert main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"].startswith("https://json-schema.org")

    assert main(["config", "docs"]) == 0
    assert capsys.readouterr().out.startswith("# Configuration")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["config", "check", "FILE"], ["config", "show", "FILE"]]
)
def test_start_up_loads_nothing_heavy(tmp_path: Path, words: list[str]) -> None:
    """Showing a file needs neither the runtime nor camera libraries.

    Only `config check` imports numpy, to read model files.
    """
    file = tmp_path / "edgepose.toml"
    file.write_text(
        '[[camera]]\nid = "a"\nsource = "demo://"\n'
        '[[camera.zone]]\nid = "z"\npolygon = [[0, 0], [1, 0], [1, 1]]\n'
    )
    heavy = [name for name in HEAVY if (name, words[:2]) != ("numpy", ["config", "check"])]
    program = (
        "import sys; from edgepose.cli import main; code = main(sys.argv[1:]);"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr);"
        "raise SystemExit(code)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, *(str(file) if w == "FILE" else w for w in words)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr.strip()) == (0, "[]")


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error() -> None:
    """`edgepose … | head` prints no error."""
    reader, writer = os.pipe()
    os.close(reader)

    try:
        done = subprocess.run(
            [sys.executable, "-m", "edgepose", "config", "schema"],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)

    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.slow
def test_the_module_runs_as_a_program(tmp_path: Path) -> None:
    """`python -m edgepose` works, with its exit code."""
    done = edgepose("config", "check", str(tmp_path / "none.toml"))

    assert done.returncode == 2
    assert "there is no such file" in done.stderr


@pytest.mark.parametrize(
    ("tables", "code", "said"),
    [
        ('source = "gopher://hole"', 3, "FILE:3: camera[0].source: source gopher://hole: unknown"),
        (MODEL + 'name = "posnet"', 4, 'FILE:5: model.name: unknown model "posnet"; did you mean'),
        (MODEL + 'name = "coral-posenet"', 4, "models fetch coral-posenet"),
        (MODEL + 'name = "FOLDER/foreign.tflite"', 4, "foreign.tflite: "),
        (MODEL + 'name = "refined"\npolicy = "whole"', 2, 'policy "whole" takes one model'),
    ],
)
def test_config_check_says_what_run_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tables: str, code: int, said: str
) -> None:
    """Unknown sources, missing models and conflicting values are reported with their place."""
    (tmp_path / "foreign.tflite").write_bytes(b"no model")
    file = tmp_path / "edgepose.toml"
    file.write_text(f'[[camera]]\nid = "a"\n{tables}\n'.replace("FOLDER", str(tmp_path)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "folders", lambda: [tmp_path])
        assert main(["config", "check", str(file)]) == code

    heard = capsys.readouterr()
    assert said.replace("FILE", str(file)) in heard.err
    assert heard.err.startswith(f"edgepose: {file}:")
    assert heard.out == ""


def test_an_interrupt_before_anything_else_ends_without_a_word() -> None:
    """Ctrl-C while modules are imported prints nothing."""
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a parent may ignore it
        "class Early:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'edgepose.cli':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Early())\n"
        "from edgepose.__main__ import main\n"
        "main()\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.returncode == -signal.SIGINT
    assert done.stderr == ""


def test_an_interrupt_that_was_to_be_ignored_is_ignored() -> None:
    """If SIGINT is ignored, as for background jobs of a shell, it stays ignored."""
    program = (
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from edgepose.__main__ import main\n"
        "import sys; sys.argv[1:] = ['--version']\n"
        "main(); os.kill(os.getpid(), signal.SIGINT); print('alive')\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.stdout.splitlines()[-1] == "alive"


def test_numpy_computes_in_one_thread() -> None:
    """A product large enough for several threads of the BLAS library starts none."""
    program = (
        "import sys, time\n"
        "from edgepose import __main__, cli\n"
        "def product():\n"
        "    import numpy as np\n"
        "    a = np.ones((1500, 1500), np.float32)\n"
        "    a @ a\n"
        "    threads = next(l for l in open('/proc/self/status') if l.startswith('Threads'))\n"
        "    print(threads.split()[1])\n"
        "    return 0\n"
        "cli.main = product\n"
        "__main__.main()\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )

    assert done.stdout.split() == ["1"]
