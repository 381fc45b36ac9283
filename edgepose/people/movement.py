"""Detection of movement beyond the pose model's jitter, however slow.

Pose models misplace joints by a few hundredths of the body size, for people who lie by more and
for half a second at a time. So the median joint positions of the last seconds are compared with
those at the last movement: jitter averages out, and a slow movement adds up until it counts.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from edgepose.skeleton import JOINTS, LEFT_SHOULDER, MIRRORED
from edgepose.timing import NS_PER_S
from edgepose.types import Floats, Track

# Chosen on the films of people who sit and lie; docs/events.md has the figures.
WINDOW_S: Final = 2.0  # length of the window for the median positions
FEW: Final = 3  # minimum observations of a joint for a median position
RARE: Final = 0.3  # minimum part of the observations in which that joint is visible
PERIOD_S: Final = 0.2  # time between two comparisons
MOVED: Final = 0.08  # of the box's longer side: displacement of the second farthest joint
SWING: Final = 0.05  # of the box's longer side: standard deviation of a to-and-fro movement
LASTS_S: Final = 1.0  # a person counts as moving for this long after a movement
RAYLEIGH: Final = 1.7456  # ratio of the median normal error in two dimensions to that in one
FORGET_S: Final = 10.0  # a track unseen for longer is dropped

BODY: Final = slice(LEFT_SHOULDER, JOINTS)
PAIRED: Final = np.array(MIRRORED[BODY]) - LEFT_SHOULDER


@dataclass(slots=True)
class _Looks:
    """The recent observations of one person."""

    places: deque[tuple[int, Floats]] = field(default_factory=deque)
    """Times and (12, 2) joints from the shoulders down in pixels, NaN where hidden."""

    anchor: Floats | None = None
    """(12, 2): median positions at the last movement, in pixels."""

    moved_ns: int | None = None
    """Time of the last movement; None before the first."""

    seen_ns: int = 0
    compared_ns: int | None = None

    def look(self, track: Track, at_ns: int, min_score: float) -> None:
        """Add an observation and compare, at most every `PERIOD_S`."""
        points = track.pose.keypoints[BODY]
        sure = points[:, 2:] >= min_score
        self.places.append((at_ns, np.where(sure, points[:, :2], np.nan)))
        while at_ns - self.places[0][0] > WINDOW_S * NS_PER_S:
            self.places.popleft()
        self.seen_ns = at_ns
        if self.compared_ns is None or at_ns - self.compared_ns >= PERIOD_S * NS_PER_S:
            self.compared_ns = at_ns
            self._compare_looks(track, at_ns)

    def _compare_looks(self, track: Track, at_ns: int) -> None:
        places = np.stack([place for _, place in self.places])
        now, size = middles(places), max(1.0, *track.pose.box[2:])
        if self.anchor is None:
            self.anchor = now if len(places) >= FEW else None
        elif farthest(now, self.anchor) > MOVED * size or swing(places, now) > SWING * size:
            self.anchor, self.moved_ns = now, at_ns
        else:
            self.anchor = np.where(np.isnan(self.anchor), now, self.anchor)

    def moving(self, at_ns: int) -> bool:
        """Whether the last movement was within `LASTS_S`."""
        return self.moved_ns is not None and at_ns - self.moved_ns <= LASTS_S * NS_PER_S


def middles(places: Floats) -> Floats:
    """Return the median (n, 2) over (looks, n, 2), NaN for joints seen too rarely."""
    least = max(min(FEW, len(places)), RARE * len(places))
    rare = (~np.isnan(places[:, :, 0])).sum(axis=0) < least
    places = np.where(rare[:, None], 0, places)
    found = nan_median(places)
    return np.where(rare[:, None], np.nan, found).astype(np.float32)


def nan_median(values: Floats) -> Floats:
    """Return the median along the first axis, ignoring NaN; NaN where all values are NaN.

    `numpy.nanmedian` takes 20 times as long for arrays this small.
    """
    ordered = np.sort(values.reshape(len(values), -1), axis=0)  # sorts NaN last
    count = (~np.isnan(ordered)).sum(axis=0)
    column = np.arange(ordered.shape[1])
    middle = ordered[np.maximum(count - 1, 0) // 2, column] + ordered[count // 2, column]
    return np.asarray(middle / 2, values.dtype).reshape(values.shape[1:])


def swing(places: Floats, middle: Floats) -> float:
    """Return the second largest spread of (looks, n, 2) joints in pixels.

    A standard deviation estimated from the median deviation, robust against outliers.
    """
    shown = ~np.isnan(middle[:, 0])
    if len(places) < FEW or shown.sum() < 2:
        return 0.0
    away = np.hypot(*np.moveaxis(places[:, shown] - middle[shown], 2, 0))
    return float(np.sort(1.4826 * nan_median(away) / RAYLEIGH)[-2])


def farthest(now: Floats, before: Floats) -> float:
    """Return the second largest displacement of (n, 2) joints in pixels.

    Models swap left and right: the displacement is also measured to the mirrored joint, and the
    smaller one counts. Joints hidden now or before are ignored.
    """
    same = np.hypot(*(now - before).T)
    swapped = np.hypot(*(now - before[PAIRED]).T)
    either = np.where(np.isnan(same), np.nan, np.fmin(same, swapped))
    shown = np.sort(either[~np.isnan(either)])
    return float(shown[-2]) if len(shown) > 1 else 0.0


class MovementReader:
    """Sets `moving` of the tracks of one camera."""

    def __init__(self, min_score: float = 0.3) -> None:
        self.min_score = min_score
        self._people: dict[int, _Looks] = {}

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Track]:
        """Return the tracks with `moving` set; `at_ns` is the frame's time."""
        for track in tracks:
            self._people.setdefault(track.id, _Looks()).look(track, at_ns, self.min_score)
        self._people = {
            id_: looks
            for id_, looks in self._people.items()
            if at_ns - looks.seen_ns <= FORGET_S * NS_PER_S
        }
        return [replace(track, moving=self._people[track.id].moving(at_ns)) for track in tracks]
