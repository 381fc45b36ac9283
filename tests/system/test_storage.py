"""The state directory: from systemd or XDG, or none with a warning."""

from pathlib import Path

import pytest

from edgepose.system import storage
from edgepose.system.storage import StateFile, state_directory


def test_systemd_has_the_first_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STATE_DIRECTORY is used; of several entries the first."""
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path / 'unit'}:{tmp_path / 'other'}")

    assert state_directory("pi") == tmp_path / "unit"
    assert (tmp_path / "unit").is_dir()


@pytest.mark.parametrize("set_", [True, False])
def test_elsewhere_each_device_has_its_own(
    set_: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is below XDG_STATE_HOME, unless that is relative."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg") if set_ else "relative")
    root = tmp_path / "xdg" if set_ else tmp_path / ".local" / "state"

    assert state_directory("pi") == root / "edgepose" / "pi"
    assert state_directory("attic") == root / "edgepose" / "attic"


def test_without_a_folder_it_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a usable folder the result is None, with one warning."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "file" / "below"))

    assert [state_directory("pi") for _ in range(3)] == [None] * 3
    assert caplog.text.count("memory only") == 1


def test_a_note_comes_back_and_is_written_only_when_it_changes(tmp_path: Path) -> None:
    """An unchanged value is not written again."""
    path = tmp_path / "note.json"
    StateFile(path, dict[str, int]).write({"a": 1})
    before = path.stat().st_ino
    note = StateFile(path, dict[str, int])

    read = note.read()
    note.write({"a": 1})
    same = path.stat().st_ino
    note.write({"a": 2})

    assert read == {"a": 1}
    assert same == before
    assert path.stat().st_ino != before
    assert StateFile(path, dict[str, int]).read() == {"a": 2}


def test_a_note_in_no_folder_is_forgotten() -> None:
    """Without a path nothing is stored, and nothing is raised."""
    note = StateFile(None, dict[str, int])
    note.write({"a": 1})

    assert note.read() is None


def test_a_note_that_cannot_be_written_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A failed write logs a warning."""
    StateFile(tmp_path / "absent" / "note.json", dict[str, int]).write({"a": 1})

    assert "cannot be written" in caplog.text


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The file is replaced atomically, and no temporary file is left."""
    path = tmp_path / "file"
    storage.write(path, b"old")
    storage.write(path, b"new")

    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"new"
