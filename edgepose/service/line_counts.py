"""Counts of people who crossed each line, persisted across restarts."""

import threading
from collections.abc import Mapping, Sequence
from typing import Final

from edgepose.config.schema import Camera
from edgepose.system.storage import StateFile
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Event

PERIOD_S: Final = 60.0  # minimum between two writes, to limit the wear of SD cards

Sides = dict[str, int]
"""Number of crossings by destination side."""

NotedCounts = dict[str, dict[str, Sides]]
"""Counts by camera id and line id."""


class LineCounts:
    """Counts the `line_crossed` events of all cameras. Thread-safe.

    Parameters
    ----------
    note : StateFile
        Stores the counts, of type `NotedCounts`. A crash loses those of the last `PERIOD_S`.
    """

    def __init__(self, note: StateFile, clock: Clock) -> None:
        self._note = note
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: NotedCounts = note.read() or {}
        self._written_ns = clock.now_ns()

    def count(self, camera: Camera, events: Sequence[Event]) -> Mapping[str, Sides]:
        """Add the events of one camera and return its counts by line."""
        crossed = [event.data for event in events if event.type == "line_crossed"]
        with self._lock:
            for data in crossed:
                lines = self._counts.setdefault(camera.id, {})
                sides = lines.setdefault(data["line"], {})
                sides[data["to"]] = sides.get(data["to"], 0) + 1
            counts = self._counts_of(camera)
        if crossed and self._clock.now_ns() - self._written_ns >= PERIOD_S * NS_PER_S:
            self.store()
        return counts

    def reset(self, camera: Camera, line: str | None = None) -> Mapping[str, Sides]:
        """Reset the counts of one line, or of all lines, of a camera; return its counts by line."""
        with self._lock:
            lines = self._counts.get(camera.id, {})
            kept = {id_: sides for id_, sides in lines.items() if line not in {None, id_}}
            self._counts[camera.id] = kept
            counts = self._counts_of(camera)
        self.store()
        return counts

    def store(self) -> None:
        """Write the counts to disk if they have changed."""
        with self._lock:
            self._written_ns = self._clock.now_ns()
            self._note.write(self._counts)

    def _counts_of(self, camera: Camera) -> dict[str, Sides]:
        known = self._counts.get(camera.id, {})
        return {
            line.id: {side: known.get(line.id, {}).get(side, 0) for side in line.sides}
            for line in camera.lines
        }
