"""Persistent files in the state directory."""

import itertools
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

log: Final = logging.getLogger(__name__)

VARIABLE: Final = "STATE_DIRECTORY"  # systemd's, from StateDirectory= in the unit
SET_ASIDE: Final = ".damaged"
KEPT: Final = 8  # limit of damaged files: a failing SD card may damage one at each start

_said: Final[set[Path]] = set()
"""Folders whose problems were logged; each is logged once."""


def state_directory(device: str) -> Path | None:
    """Return a device's folder, created if needed; None, with a warning, if it is unusable.

    Under systemd it is in the unit's state directory, else in the XDG state directory,
    `~/.local/state/edgepose`.
    """
    given = os.environ.get(VARIABLE, "").partition(":")[0]
    try:
        folder = Path(given) if given else _of_user() / device
    except RuntimeError:
        _say_without(Path("~"), "this user has no home folder")
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _say_without(folder, error.strerror)
        return None
    if os.access(folder, os.W_OK | os.X_OK):
        return folder
    _say_without(folder, "no permission to write")
    return None


def _of_user() -> Path:
    given = os.environ.get("XDG_STATE_HOME", "")
    # The XDG specification: a relative path must be ignored.
    root = Path(given) if given.startswith("/") else Path("~/.local/state").expanduser()
    return root / "edgepose"


def _say_without(folder: Path, reason: str | None) -> None:
    if folder in _said:
        return
    _said.add(folder)
    log.warning(
        "%s: %s; waiting events and settings are kept in memory only and lost at a restart;"
        " set %s to a folder this user may write to",
        folder,
        reason,
        VARIABLE,
    )


def write(
    path: Path,
    content: bytes,
    *,
    mode: int | None = None,
    owner: tuple[int, int] = (-1, -1),
) -> None:
    """Replace a file atomically: after a power cut it has the old or the new content.

    With a mode, the temporary file is never readable by other users either. User and group are
    set by number if that is permitted.
    """
    draft = path.with_name(f"{path.name}.new")
    if mode is not None:
        draft.unlink(missing_ok=True)
        draft.touch(0o600, exist_ok=False)
        _give_away(draft, owner)
        draft.chmod(mode)
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def _give_away(path: Path, owner: tuple[int, int]) -> None:
    with suppress(PermissionError):
        os.chown(path, -1, owner[1])
        os.chown(path, owner[0], -1)


def sync_folder(folder: Path) -> None:
    """Sync the directory entries of a folder to disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class StateFile:
    """A small JSON file, read once and written when its value changes.

    Parameters
    ----------
    path : Path or None
        None: values are not stored.
    type_ : type
        Type of the value; a file with other content is set aside.
    """

    def __init__(self, path: Path | None, type_: Any) -> None:
        self._path = path
        self._type = type_
        self._written: bytes | None = None

    def read(self) -> Any:
        """Return the stored value; None if there is none or it cannot be read."""
        if self._path is None:
            return None
        try:
            content = self._path.read_bytes()
            found = msgspec.json.decode(content, type=self._type)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s: cannot be read: %s", self._path, error.strerror)
            return None
        except msgspec.DecodeError as error:
            log.warning("%s: %s; set aside as *%s", self._path, error, SET_ASIDE)
            set_aside(self._path)
            return None
        self._written = content
        return found

    def write(self, value: Any) -> None:
        """Store a value; writes to disk only if it differs."""
        content = msgspec.json.encode(value)
        if self._path is None or content == self._written:
            return
        try:
            write(self._path, content)
        except OSError as error:
            log.warning("%s: cannot be written: %s", self._path, error.strerror)
            return
        self._written = content


def set_aside(path: Path) -> None:
    """Rename an unreadable file, so that it can be examined.

    Files set aside before are not replaced; the newest `KEPT` per folder are kept.
    """
    try:
        path.replace(_free_name(path))
        aside = path.parent.glob(f"*{SET_ASIDE}")
        for old in sorted(aside, key=lambda each: each.stat().st_mtime_ns)[:-KEPT]:
            old.unlink()
    except OSError as error:
        log.warning("%s: cannot be set aside: %s", path, error.strerror)


def _free_name(path: Path) -> Path:
    numbered = (f"{path.name}{f'-{n}' if n else ''}{SET_ASIDE}" for n in itertools.count())
    return next(free for name in numbered if not (free := path.with_name(name)).exists())
