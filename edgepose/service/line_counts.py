"""How many people have crossed each line; outlives a restart."""

import threading
from collections.abc import Mapping, Sequence
from typing import Final

from edgepose.config.schema import Camera
from edgepose.system.storage import StateFile
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Event

PERIOD_S: Final = 60.0  # between two writes: counts of a busy door must not wear an SD card out

Sides = dict[str, int]
"""By the side that people crossed to."""

NotedCounts = dict[str, dict[str, Sides]]
"""By camera and line."""


class LineCounts:
    """Counts the events `line_crossed` of all cameras; thread-safe.

    Parameters
    ----------
    note : StateFile
        Stores them; of type `NotedCounts`. A crash loses what was counted in the last `PERIOD_S`.
    """

    def __init__(self, note: StateFile, clock: Clock) -> None:
        self._note = note
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: NotedCounts = note.read() or {}
        self._written_ns = clock.now_ns()

    def count(self, camera: Camera, events: Sequence[Event]) -> Mapping[str, Sides]:
        """Count the events of one camera and return its counts, by line."""
        crossed = [event.data for event in events if event.type == "line_crossed"]
        with self._lock:
            for data in crossed:
                lines = self._counts.setdefault(camera.id, {})
                sides = lines.setdefault(data["line"], {})
                sides[data["to"]] = sides.get(data["to"], 0) + 1
            counts = self._of(camera)
        if crossed and self._clock.now_ns() - self._written_ns >= PERIOD_S * NS_PER_S:
            self.store()
        return counts

    def reset(self, camera: Camera, line: str | None = None) -> Mapping[str, Sides]:
        """Set the counts of one line, or of all lines of a camera, to 0; return the counts."""
        with self._lock:
            lines = self._counts.get(camera.id, {})
            kept = {id_: sides for id_, sides in lines.items() if line not in {None, id_}}
            self._counts[camera.id] = kept
            counts = self._of(camera)
        self.store()
        return counts

    def store(self) -> None:
        """Write the counts to disk, if they have changed."""
        with self._lock:
            self._written_ns = self._clock.now_ns()
            self._note.write(self._counts)

    def _of(self, camera: Camera) -> dict[str, Sides]:
        known = self._counts.get(camera.id, {})
        return {
            line.id: {side: known.get(line.id, {}).get(side, 0) for side in line.sides}
            for line in camera.lines
        }
