"""While nothing happens nothing is written to disk, to spare SD cards."""

import json
from pathlib import Path

import pytest

from edgepose.camera.sources.files import read_picture
from tests.service.test_daemon import DEVICE, PERSON, Running
from tests.support.brokers import Mosquitto, Witness, needs_mosquitto, witness
from tests.support.streams import Camera

pytestmark = [needs_mosquitto, pytest.mark.slow]

FRAMES = 110
"""At 10 fps, long enough for statistics to be sent at least once."""


def written(pid: int) -> dict[str, int]:
    """Return the bytes that a process has written to disks, and cancelled."""
    rows = Path(f"/proc/{pid}/io").read_text().splitlines()
    return {name: int(value) for name, value in (row.split(": ") for row in rows[-2:])}


def files(*folders: Path) -> dict[str, tuple[int, int]]:
    """Return size and modification time of all files in the folders."""
    found = (path for folder in folders for path in folder.rglob("*"))
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def frames(watcher: Witness, count: int) -> int:
    """Wait for a number of pose messages; return the number of people in the last one."""
    people = 0
    for _ in range(count):
        people = len(json.loads(watcher.on(f"{DEVICE}/hall/poses").payload)["poses"])
    return people


def test_nothing_is_written_while_somebody_only_stands_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During 11 s with a standing person no byte is written and no file is changed."""
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
