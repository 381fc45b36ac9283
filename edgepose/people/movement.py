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
from numpy.typing import NDArray

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

    size: float = 1.0
    """Longer side of the box in the last frame, in pixels."""

    def look(self, track: Track, places: Floats, at_ns: int) -> bool:
        """Add an observation; return whether to compare, at most every `PERIOD_S`."""
        self.places.append((at_ns, places))
        while at_ns - self.places[0][0] > WINDOW_S * NS_PER_S:
            self.places.popleft()
        self.seen_ns, self.size = at_ns, max(1.0, *track.pose.box[2:])
        if self.compared_ns is not None and at_ns - self.compared_ns < PERIOD_S * NS_PER_S:
            return False
        self.compared_ns = at_ns
        return True

    def moving(self, at_ns: int) -> bool:
        """Whether the last movement was within `LASTS_S`."""
        return self.moved_ns is not None and at_ns - self.moved_ns <= LASTS_S * NS_PER_S


def compare(people: Sequence[_Looks], at_ns: int) -> None:
    """Compare the median positions of people with those at their last movement.

    All people at once: for one person, the time is that of the array operations.
    """
    counts = np.array([len(person.places) for person in people])
    places = np.full((counts.max(), len(people), *people[0].places[0][1].shape), np.nan, np.float32)
    for column, person in enumerate(people):
        places[-counts[column] :, column] = [place for _, place in person.places]
    now = middles(places, counts)
    swings = np.where(counts >= FEW, swing(places, now), 0.0).tolist()
    before = np.array([now[row] if p.anchor is None else p.anchor for row, p in enumerate(people)])
    ways = farthest(now, before).tolist()
    for person, count, middle, way, width in zip(people, counts, now, ways, swings, strict=True):
        if person.anchor is None:
            person.anchor = middle if count >= FEW else None
        elif way > MOVED * person.size or width > SWING * person.size:
            person.anchor, person.moved_ns = middle, at_ns
        else:
            person.anchor = np.where(np.isnan(person.anchor), middle, person.anchor)


def middles(places: Floats, counts: NDArray[np.int_]) -> Floats:
    """Return the medians (people, n, 2) over (looks, people, n, 2); NaN for joints seen too rarely.

    `counts` (people,) is the number of each person's looks; the others are NaN.
    """
    least = np.maximum(np.minimum(FEW, counts), RARE * counts)
    rare = (~np.isnan(places[..., 0])).sum(axis=0) < least[:, None]
    return np.where(rare[..., None], np.float32(np.nan), nan_median(places))


def nan_median(values: Floats) -> Floats:
    """Return the median along the first axis, ignoring NaN; NaN where all values are NaN.

    `numpy.nanmedian` takes 20 times as long for arrays this small.
    """
    ordered = np.sort(values.reshape(len(values), -1), axis=0)  # sorts NaN last
    count = (~np.isnan(ordered)).sum(axis=0)
    column = np.arange(ordered.shape[1])
    middle = ordered[np.maximum(count - 1, 0) // 2, column] + ordered[count // 2, column]
    return np.asarray(middle / 2, values.dtype).reshape(values.shape[1:])


def swing(places: Floats, middle: Floats) -> Floats:
    """Return the second largest spread (people,) of (looks, people, n, 2) joints in pixels.

    A standard deviation estimated from the median deviation, robust against outliers.
    """
    apart = places - middle
    return _second_largest(1.4826 / RAYLEIGH * nan_median(np.hypot(apart[..., 0], apart[..., 1])))


def farthest(now: Floats, before: Floats) -> Floats:
    """Return the second largest displacement (people,) of (people, n, 2) joints in pixels.

    Models swap left and right: the displacement is also measured to the mirrored joint, and the
    smaller one counts. Joints hidden now or before are ignored.
    """
    apart = now - np.stack([before, before[:, PAIRED]])
    same, swapped = np.hypot(apart[..., 0], apart[..., 1])
    return _second_largest(np.where(np.isnan(same), same, np.fmin(same, swapped)))


def _second_largest(values: Floats) -> Floats:
    """Return the second largest of each row (people, n), ignoring NaN; 0 with fewer than two."""
    return np.asarray(np.sort(np.where(np.isnan(values), 0.0, values))[:, -2])


class MovementReader:
    """Sets `moving` of the tracks of one camera."""

    def __init__(self, min_score: float = 0.3) -> None:
        self.min_score = min_score
        self._people: dict[int, _Looks] = {}

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Track]:
        """Return the tracks with `moving` set; `at_ns` is the frame's time."""
        if tracks:
            self._observe_tracks(tracks, at_ns)
        self._people = {
            id_: looks
            for id_, looks in self._people.items()
            if at_ns - looks.seen_ns <= FORGET_S * NS_PER_S
        }
        return [replace(track, moving=self._people[track.id].moving(at_ns)) for track in tracks]

    def _observe_tracks(self, tracks: Sequence[Track], at_ns: int) -> None:
        points = np.array([track.pose.keypoints[BODY] for track in tracks])
        places = np.where(points[..., 2:] >= self.min_score, points[..., :2], np.float32(np.nan))
        people = [self._people.setdefault(track.id, _Looks()) for track in tracks]
        due = [
            person
            for person, track, place in zip(people, tracks, places, strict=True)
            if person.look(track, place, at_ns)
        ]
        if due:
            compare(due, at_ns)
