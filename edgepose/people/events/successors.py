"""Re-identification of new tracks with people lost nearby."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import dist
from typing import Final

from edgepose.timing import NS_PER_S
from edgepose.types import Box, Track

REACH: Final = 0.75  # maximum distance of box centres, in longer sides of the lost person's box


@dataclass(slots=True)
class _Known:
    """The last observation of a person."""

    track: int
    box: Box
    seen_ns: int


class Successors:
    """Assigns each person a key that stays when the track is lost and starts again.

    Models can lose people who lie or sit still for longer than a track is kept. A track
    that begins near a lost person within `patience_s` counts as the same person.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_ns = int(patience_s * NS_PER_S)
        self._known: dict[int, _Known] = {}
        self._keys: dict[int, int] = {}

    @property
    def keys(self) -> frozenset[int]:
        """Keys of people in view and of those lost for at most `patience_s`."""
        return frozenset(self._known)

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[int]:
        """Return each track's key: the id of the person's first track."""
        self._forget_old(at_ns)
        present = {track.id for track in tracks}
        for track in tracks:
            key = self._keys.get(track.id)
            if key is None:
                key = self._lost_near(track, present)
                key = track.id if key is None else key
                self._keys[track.id] = key
            self._known[key] = _Known(track.id, track.pose.box, at_ns)
        return [self._keys[track.id] for track in tracks]

    def key_of(self, track: int | None) -> int | None:
        """Return the key of a track id; None for a person who is forgotten."""
        return None if track is None else self._keys.get(track)

    def _forget_old(self, at_ns: int) -> None:
        self._known = {
            key: known
            for key, known in self._known.items()
            if at_ns - known.seen_ns <= self._patience_ns
        }
        self._keys = {track: key for track, key in self._keys.items() if key in self._known}

    def _lost_near(self, track: Track, present: set[int]) -> int | None:
        """Return the key of the nearest person out of view, if within `REACH`."""
        near = {
            key: dist(track.pose.box.centre, known.box.centre)
            / max(known.box.width, known.box.height, 1.0)
            for key, known in self._known.items()
            if known.track not in present
        }
        best = min(near, key=lambda key: near[key], default=None)
        return best if best is not None and near[best] <= REACH else None
