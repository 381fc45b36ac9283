"""Downloading models from a local server: complete, resumed, wrong, and failing."""

import hashlib
import http.server
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepose.errors import ModelError, UsageError
from edgepose.models import catalog
from edgepose.models.catalog import Entry
from edgepose.models.download import PART, FetchError, fetch

CONTENT = bytes(range(256)) * 2000
NAME = "some-model"


class Server(http.server.ThreadingHTTPServer):
    """Serves one file, with configurable failures."""

    daemon_threads = True
    knows_ranges = True
    lies_about_start = False
    content = CONTENT
    cut_after = len(CONTENT)
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        """The Range of each request."""

    @property
    def url(self) -> str:
        """Return the file's URL."""
        return f"http://127.0.0.1:{self.server_port}/model.tflite"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server

    def do_GET(self) -> None:
        told, range_ = self.server, self.headers.get("Range", "")
        told.asked.append(range_)
        start = int(range_.removeprefix("bytes=").rstrip("-")) if range_ else 0
        start = start if told.knows_ranges else 0
        if told.status != 200:
            self.send_error(told.status)
            return
        if start and start >= len(told.content):
            self.send_error(416)
            return
        body = told.content[start:]
        self.send_response(206 if start else 200)
        if start:
            first = start - 1 if told.lies_about_start else start
            total = len(told.content)
            self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: max(0, told.cut_after - start)])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's word
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def entry(url: str, *, content: bytes = CONTENT) -> Entry:
    return Entry(
        file="model.tflite",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        family="posenet",
        people="many",
        licence="Apache-2.0",
        origin="here",
        description="",
        url=url,
    )


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_model_is_brought_here_whole(server: Server, tmp_path: Path) -> None:
    """The folder is created, the file is complete, and progress is reported."""
    told: list[int] = []

    path = fetch(NAME, entry(server.url), tmp_path / "deep" / "models", told.append)

    assert path.read_bytes() == CONTENT
    assert files(tmp_path) == ["model.tflite"]
    assert told == sorted(told)
    assert told[-1] == len(CONTENT)


def test_what_is_here_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    """A correct file is not downloaded again, a damaged one is."""
    path = fetch(NAME, entry(server.url), tmp_path)
    fetch(NAME, entry(server.url), tmp_path)
    asked_for_a_whole_one = len(server.asked)

    path.write_bytes(b"damaged")
    fetch(NAME, entry(server.url), tmp_path)

    assert asked_for_a_whole_one == 1
    assert path.read_bytes() == CONTENT


def test_a_broken_connection_is_gone_on_from(server: Server, tmp_path: Path) -> None:
    """The partial file is kept, and only the rest is requested."""
    server.cut_after = 300_000
    with pytest.raises(FetchError, match=r"ended after [\d,]+ of 512,000 bytes; try again"):
        fetch(NAME, entry(server.url), tmp_path)
    kept = (tmp_path / f"model.tflite{PART}").stat().st_size
    between = files(tmp_path)
    server.cut_after = len(CONTENT)

    path = fetch(NAME, entry(server.url), tmp_path)

    assert between == [f"model.tflite{PART}"]
    assert 0 < kept <= 300_000
    assert server.asked == ["", f"bytes={kept}-"]
    assert path.read_bytes() == CONTENT


def test_a_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    """Without range support the partial file is discarded."""
    (tmp_path / f"model.tflite{PART}").write_bytes(CONTENT[:1000])
    server.knows_ranges = False

    path = fetch(NAME, entry(server.url), tmp_path)

    assert path.read_bytes() == CONTENT


def test_a_server_that_begins_elsewhere_is_not_believed(server: Server, tmp_path: Path) -> None:
    """A wrong range in the answer raises FetchError."""
    (tmp_path / f"model.tflite{PART}").write_bytes(CONTENT[:1000])
    server.lies_about_start = True

    with pytest.raises(FetchError, match="began at byte 999 and not at 1000"):
        fetch(NAME, entry(server.url), tmp_path)


@pytest.mark.parametrize(
    "wrong", [CONTENT[:-1] + b"!", CONTENT + b"more", b"<html>Sign in to this network</html>"]
)
def test_a_wrong_file_never_gets_the_name(server: Server, tmp_path: Path, wrong: bytes) -> None:
    """A file that differs, is longer or is an HTML page does not get the final name."""
    server.content = wrong
    server.cut_after = len(wrong)

    with pytest.raises(FetchError, match=NAME):
        fetch(NAME, entry(server.url), tmp_path)

    assert "model.tflite" not in files(tmp_path)


def test_a_wrong_checksum_is_told_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    """The error has both checksums, and no file is left."""
    server.content = CONTENT[:-1] + b"!"

    with pytest.raises(FetchError, match=r"SHA-256 [0-9a-f]{64}, not [0-9a-f]{64}"):
        fetch(NAME, entry(server.url), tmp_path)

    assert files(tmp_path) == []


def test_the_rest_of_another_file_is_found_out(server: Server, tmp_path: Path) -> None:
    """A partial file of other content fails the checksum once and is then discarded."""
    (tmp_path / f"model.tflite{PART}").write_bytes(b"x" * 1000)
    with pytest.raises(FetchError, match="SHA-256"):
        fetch(NAME, entry(server.url), tmp_path)

    assert fetch(NAME, entry(server.url), tmp_path).read_bytes() == CONTENT


def test_a_part_the_server_has_no_rest_of_is_dropped(server: Server, tmp_path: Path) -> None:
    """After an answer 416 the partial file is deleted, so that the next try works."""
    (tmp_path / f"model.tflite{PART}").write_bytes(CONTENT[:1000])
    server.content = CONTENT[:500]

    with pytest.raises(FetchError, match="answers 416"):
        fetch(NAME, entry(server.url), tmp_path)

    assert files(tmp_path) == []


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_an_answer_of_the_server_is_told(server: Server, tmp_path: Path, status: int) -> None:
    """The error has the HTTP status, and no file is left."""
    server.status = status

    with pytest.raises(FetchError, match=f"answers {status}"):
        fetch(NAME, entry(server.url), tmp_path)

    assert files(tmp_path) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/model", "http://no-such-host.invalid/model"])
def test_no_way_to_the_server_is_told(tmp_path: Path, url: str) -> None:
    """A closed port or an unknown host raises FetchError, which mentions the network."""
    with pytest.raises(FetchError, match="check the network"):
        fetch(NAME, entry(url), tmp_path)

    assert files(tmp_path) == []


def test_a_full_disk_is_told_and_nothing_stays(server: Server, tmp_path: Path) -> None:
    """The partial file is deleted. A file size limit of the process simulates the full disk."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            fetch(NAME, entry(server.url), tmp_path)
        except FetchError as error:
            os._exit(0 if "make room" in str(error) else 2)
        os._exit(1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_written_to_is_told(server: Server, tmp_path: Path) -> None:
    """A file in place of the folder raises FetchError."""
    (tmp_path / "models").write_text("")

    with pytest.raises(FetchError, match="cannot be written to"):
        fetch(NAME, entry(server.url), tmp_path / "models")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a separate state directory."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    return tmp_path


def test_a_fetched_model_goes_by_its_name(
    state: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the download the error names the fetch command; then the name selects the model."""
    rows = catalog.entries() | {NAME: entry(server.url)}
    monkeypatch.setattr(catalog, "entries", lambda: rows)
    with pytest.raises(ModelError, match=f"edgepose models fetch {NAME}"):
        catalog.choose(NAME)

    fetch(NAME, rows[NAME], catalog.folders()[0])

    assert catalog.choose(NAME).path == state / "models" / "model.tflite"


def run(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "edgepose", "models", *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


@pytest.mark.slow
def test_the_command_says_what_cannot_be_fetched(tmp_path: Path) -> None:
    """An unknown name is an error; a bundled model needs no download."""
    unknown = run("fetch", "movenet-lightening", STATE_DIRECTORY=str(tmp_path))
    bundled = run("fetch", "posenet", STATE_DIRECTORY=str(tmp_path))

    assert unknown.returncode != 0
    assert "did you mean" in unknown.stderr
    assert (bundled.returncode, "is included in edgepose" in bundled.stdout) == (0, True)


def test_a_file_is_no_name_to_fetch(tmp_path: Path) -> None:
    """A local file raises UsageError."""
    from edgepose.commands import models

    (tmp_path / "mine.tflite").touch()

    with pytest.raises(UsageError, match="is a file"):
        models.fetch([str(tmp_path / "mine.tflite")], tmp_path)


def fetchable() -> list[str]:
    return [name for name, row in catalog.entries().items() if row.url]


@pytest.mark.parametrize("name", fetchable())
def test_every_row_pins_what_it_fetches(name: str) -> None:
    """Each entry has a commit in its URL, a checksum, and a CPU model that is listed."""
    row = catalog.entries()[name]

    assert len(row.sha256) == 64
    assert any(len(part) == 40 and int(part, 16) for part in row.url.split("/") if len(part) == 40)
    assert row.url.endswith("/" + row.file)
    assert row.cpu == "" or row.cpu in catalog.entries()


def test_the_command_fetches_a_model_with_its_twin(
    state: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fetching an Edge TPU model also fetches its CPU model, for the fallback."""
    from edgepose.commands import models

    both: dict[str, Entry] = {
        "twin": entry(server.url),
        "made-for-tpu": _replace(entry(server.url), file="tpu.tflite", cpu="twin"),
    }
    monkeypatch.setattr(catalog, "entries", lambda: both)

    models.fetch(["made-for-tpu"], state / "models")

    assert files(state) == ["model.tflite", "tpu.tflite"]
    assert capsys.readouterr().out.count("\n") == 2
    assert catalog.cpu_model("made-for-tpu") == "twin"
    assert catalog.for_edgetpu("twin") == "made-for-tpu"


def _replace(row: Entry, **changes: str) -> Entry:
    import msgspec

    return msgspec.structs.replace(row, **changes)
