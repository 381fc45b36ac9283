"""Downloads models; a file gets its final name only if it has the pinned checksum."""

import errno
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from edgepose._version import __version__
from edgepose.errors import EdgeposeError
from edgepose.models.catalog import Entry

TIMEOUT_S: Final = 30.0  # maximum time without received data
CHUNK: Final = 1 << 16
PART: Final = ".part"
"""Suffix of incomplete files; the next download resumes from there."""

FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
PARTIAL: Final = 206
NOT_SATISFIABLE: Final = 416
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

Progress = Callable[[int], None]


class FetchError(EdgeposeError, OSError):
    """A model could not be fetched."""


def fetch(name: str, entry: Entry, folder: Path, progress: Progress = lambda done: None) -> Path:
    """Download a model and check it; resumes an incomplete download.

    Parameters
    ----------
    name : str
        Name of the model in messages.
    entry : Entry
        URL, size and checksum.
    folder : Path
        Target folder; created if missing.
    progress : callable
        Called with the number of bytes present, first with those of an earlier download.

    Returns
    -------
    Path
        The complete and checked file.

    Raises
    ------
    FetchError
        If the download fails. The message has the reason and a remedy. An incomplete file
        is kept if it can be resumed.
    """
    path = folder / entry.file
    part = path.with_name(path.name + PART)
    with _as_fetch_error(name, part):
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_file() and checksum(path) == entry.sha256:
            progress(entry.bytes)
            return path
        _download_rest(name, entry, part, progress)
        _check_file(name, entry, part)
        part.replace(path)
    return path


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download_rest(name: str, entry: Entry, part: Path, progress: Progress) -> None:
    """Append the missing bytes to the incomplete file."""
    here = part.stat().st_size if part.exists() else 0
    if here >= entry.bytes:
        progress(here)
        return
    with _open_url(entry.url, here) as answer, part.open("ab") as file:
        if (start := _begins_at(answer)) not in {0, here}:
            raise http.client.HTTPException(f"it began at byte {start} and not at {here}")
        if start == 0:  # servers without Range support send the whole file
            file.truncate(0)
            here = 0
        progress(here)
        for chunk in _read_chunks(answer):
            here += len(chunk)
            if here > entry.bytes:
                break
            file.write(chunk)
            progress(here)
        file.flush()
        os.fsync(file.fileno())
    if here < entry.bytes:
        msg = f"model {name}: the connection ended after {here:,} of {entry.bytes:,} bytes"
        raise FetchError(f"{msg}; try again to resume")
    if here > entry.bytes:
        part.unlink()
        raise FetchError(_alternative_way(name, entry, f"is longer than {entry.bytes:,} bytes"))


def _open_url(url: str, start: int) -> Any:
    headers = {"User-Agent": f"edgepose/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)


def _begins_at(answer: Any) -> int:
    if answer.status != PARTIAL:
        return 0
    found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _read_chunks(answer: Any) -> Iterator[bytes]:
    """Yield the received data; ends without an error if the connection breaks, for resuming."""
    while True:
        try:
            chunk = answer.read(CHUNK)
        except http.client.IncompleteRead as cut:
            chunk = cut.partial
            if chunk:
                yield chunk
            return
        except (ConnectionError, TimeoutError):
            return
        if not chunk:
            return
        yield chunk


def _check_file(name: str, entry: Entry, part: Path) -> None:
    found = checksum(part)
    if found == entry.sha256:
        return
    part.unlink()
    raise FetchError(_alternative_way(name, entry, f"has the SHA-256 {found}, not {entry.sha256}"))


def _alternative_way(name: str, entry: Entry, how: str) -> str:
    return (
        f"model {name}: what {entry.url} delivers {how}; it was deleted: another file, or one"
        " that was changed on its way; try again from another network"
    )


@contextmanager
def _as_fetch_error(name: str, part: Path) -> Iterator[None]:
    """Convert errors of network and disk to `FetchError`; delete a file of no further use."""
    try:
        yield
    except FetchError:
        raise
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        msg = f"model {name}: the server answers {error.code} {error.reason} for {error.url}"
        raise FetchError(f"{msg}; try again later") from error
    except urllib.error.URLError as error:
        msg = (
            f"model {name}: the server cannot be reached: {_reason_of(error.reason)}; check"
            " the network"
        )
        raise FetchError(msg) from error
    except (http.client.HTTPException, TimeoutError) as error:
        msg = f"model {name}: unexpected response of the server: {_reason_of(error)}"
        raise FetchError(f"{msg}; try again later") from error
    except OSError as error:
        if error.errno in FULL:
            part.unlink(missing_ok=True)
        msg = f"model {name}: cannot be written to {part.parent}: {_reason_of(error)}"
        raise FetchError(f"{msg}; make room or set STATE_DIRECTORY to another folder") from error


def _reason_of(error: Any) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
