"""An SD card is spared: while nothing happens, nothing is written."""

import json
from pathlib import Path

import pytest

from edgepose.camera.sources.files import read_picture
from tests.service.test_daemon import DEVICE, PERSON, Running
from tests.support.brokers import Mosquitto, Witness, needs_mosquitto, witness
from tests.support.streams import Camera

pytestmark = [needs_mosquitto, pytest.mark.slow]

FRAMES = 110
"""At ten a second: statistics are said at least once meanwhile."""


def written(pid: int) -> dict[str, int]:
    """Return how many bytes a process has given to disks, and taken back."""
    rows = Path(f"/proc/{pid}/io").read_text().splitlines()
    return {name: int(value) for name, value in (row.split(": ") for row in rows[-2:])}


def files(*folders: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of everything in folders."""
    found = (path for folder in folders for path in folder.rglob("*"))
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def frames(watcher: Witness, count: int) -> int:
    """Wait for so many pose messages; return how many people the last one has."""
    people = 0
    for _ in range(count):
        people = len(json.loads(watcher.on(f"{DEVICE}/hall/poses").payload)["poses"])
    return people


def test_nothing_is_written_while_somebody_only_stands_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven seconds of poses and statistics: not a byte for a disk, no file touched."""
    house, state = tmp_path / "house", tmp_path / "state"
    house.mkdir()
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    with Mosquitto(tmp_path) as broker, Camera() as camera, witness(broker.port) as watcher:
        camera.picture = read_picture(PERSON)
        table = f'[[camera]]\nid = "hall"\nsource = "{camera.url("live")}"\n'
        running = Running(house, broker.url, table + '[metrics]\nlisten = ""\n')
        try:
            watcher.on(f"{DEVICE}/hall/event")
            assert frames(watcher, 30) == 1
            before = written(running.process.pid), files(house, state)
            assert before[0]["write_bytes"] > 0, "the event at the start was written"

            frames(watcher, FRAMES)

            after = written(running.process.pid), files(house, state)
            assert any(m.topic == f"{DEVICE}/stats" for m in watcher.seen)
        finally:
            running.process.kill()
            running.process.wait()

    assert after == before
