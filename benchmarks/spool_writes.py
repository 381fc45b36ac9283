# ruff: noqa: T201  a command: it prints
"""Measure what an event writes to an SD card: the spool's segments against sqlite3.

    truncate -s 256M /tmp/card && mkfs.ext4 -q /tmp/card && mount -o loop /tmp/card /mnt
    python -m benchmarks.spool_writes /mnt --device loop0 -o benchmarks/results/spool-writes.json

`--device` is the block device of the folder, with no other writer: its sectors are counted.
Two situations: the broker answers within 5 ms, an event each two seconds, the kernel writes back
by itself; or the broker is away, two events a second, forced onto the disk after each.
"""

import argparse
import json
import os
import platform
import sqlite3
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Protocol

from edgepose.mqtt.spool import Spool
from edgepose.types import Message

SECTOR_BYTES: Final = 512
EVENTS: Final = 60


class Store(Protocol):
    """A place where events wait."""

    def put(self, message: Message) -> int:
        """Store an event; return its number."""

    def done(self, number: int) -> None:
        """Note that the broker has acknowledged it."""

    def sync(self) -> None:
        """Force what waits onto the disk."""


class Segments:
    """The spool of the product."""

    def __init__(self, folder: Path) -> None:
        self._spool = Spool(folder)
        self._number = 0

    def put(self, message: Message) -> int:
        """Store an event; return its number."""
        self._spool.put(message)
        self._number += 1
        return self._number

    def done(self, number: int) -> None:
        """Note that the broker has acknowledged it."""
        self._spool.acknowledge(number, accepted=True)

    def sync(self) -> None:
        """Force what waits onto the disk."""
        force = self._spool._disk.sync()
        if force is not None:
            force()


class Sqlite:
    """The same with sqlite3: a write-ahead log, emptied whenever no event waits."""

    def __init__(self, folder: Path, page_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path, self._number, self._waiting = folder / "events.db", 0, 0
        self._base = sqlite3.connect(self._path, isolation_level=None)
        for setting in (
            f"page_size={page_bytes}",
            "locking_mode=EXCLUSIVE",
            "journal_mode=WAL",
            "synchronous=OFF",
        ):
            self._base.execute(f"PRAGMA {setting}")
        columns = "number INTEGER PRIMARY KEY, at REAL, topic TEXT, payload BLOB"
        self._base.execute(f"CREATE TABLE events ({columns})")

    def put(self, message: Message) -> int:
        """Store an event; return its number."""
        self._number += 1
        self._waiting += 1
        row = (self._number, time.time(), message.topic, message.payload)
        self._base.execute("INSERT INTO events VALUES (?, ?, ?, ?)", row)
        return self._number

    def done(self, number: int) -> None:
        """Note that the broker has acknowledged it."""
        self._base.execute("DELETE FROM events WHERE number = ?", (number,))
        self._waiting -= 1
        if not self._waiting:
            self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def sync(self) -> None:
        """Force what waits onto the disk."""
        handle = os.open(f"{self._path}-wal", os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


STORES: Final[dict[str, Callable[[Path], Store]]] = {
    "segments": Segments,
    "sqlite3, pages of 4096": lambda folder: Sqlite(folder, 4096),
    "sqlite3, pages of 512": lambda folder: Sqlite(folder, 512),
}


@dataclass(frozen=True, slots=True)
class Row:
    """What one event costs."""

    store: str
    broker: str
    written_bytes: float
    """To the device, the file system's own included."""

    cpu_us: float


def message(number: int) -> Message:
    """Return an event as the daemon sends it."""
    content = {
        "v": 1,
        "id": f"{number:020x}",
        "type": "zone_entered",
        "device": "hall-pi",
        "camera": "hall",
        "person": 7,
        "at": "2026-11-22T20:05:01.123Z",
        "score": 0.81,
        "data": {"zone": "sofa"},
    }
    return Message("edgepose/hall-pi/hall/event", json.dumps(content).encode(), "event", qos=1)


def sectors(device: str) -> int:
    """Return how many sectors were written to a block device since the start."""
    rows = (line.split() for line in Path("/proc/diskstats").read_text().splitlines())
    return next(int(row[9]) for row in rows if row[2] == device)


def with_broker(store: Store) -> None:
    """Each event is acknowledged at once."""
    for number in range(EVENTS):
        stored = store.put(message(number))
        time.sleep(0.005)
        store.done(stored)
        time.sleep(2)


def without_broker(store: Store) -> None:
    """All events wait, each forced onto the disk; the broker comes in the end."""
    stored = []
    for number in range(EVENTS):
        stored.append(store.put(message(number)))
        time.sleep(0.5)
        store.sync()
    for number in stored:
        store.done(number)


def measure(name: str, broker: str, store: Store, device: str) -> Row:
    """Let the events of one situation pass and count what was written."""
    store.done(store.put(message(0)))
    os.sync()
    time.sleep(1)
    before, cpu_s = sectors(device), time.process_time()
    (with_broker if broker == "answers" else without_broker)(store)
    cpu_s = time.process_time() - cpu_s
    os.sync()
    time.sleep(1)
    written = (sectors(device) - before) * SECTOR_BYTES
    return Row(name, broker, round(written / EVENTS), round(cpu_s / EVENTS * 1e6))


def main() -> None:
    """Measure every store in both situations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", required=True)
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    rows = []
    for broker in ("answers", "is away"):
        for number, (name, make) in enumerate(STORES.items()):
            folder = args.folder / f"{broker.replace(' ', '-')}-{number}-{time.time_ns()}"
            row = measure(name, broker, make(folder), args.device)
            print(row, flush=True)
            rows.append(asdict(row))
    if args.output:
        about = {"python": platform.python_version(), "sqlite3": sqlite3.sqlite_version}
        text = json.dumps({**about, "events": EVENTS, "rows": rows}, indent=1)
        args.output.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
