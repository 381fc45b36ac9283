"""Posture classification: standing, sitting, lying, or unknown.

A small network classifies single poses. It was trained on generated bodies seen from cameras
at any height, with the errors of pose models (`tools/train_people_networks.py`). Its inputs
are joints relative to the trunk in parts of the stature, so the result does not depend on
distance or resolution. Bending, kneeling, crouching and crawling are classified as unknown.

If a person was seen standing before, size and place at that time are further inputs: the
shoulders of a person who sits or lies are lower than they were (`UprightMemory`).
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgepose.people.body_measures import (
    ANKLES,
    HIPS,
    KNEES,
    SHOULDERS,
    Array,
    Looks,
    measure,
)
from edgepose.people.perceptron import Perceptron, softmax
from edgepose.skeleton import JOINTS, MIRRORED
from edgepose.timing import NS_PER_S
from edgepose.types import Floats, Pose, Posture, Track

POSTURES: Final[tuple[Posture, ...]] = ("standing", "sitting", "lying", "unknown")
"""Classes in the order of the network's outputs."""

STANDING, SITTING, LYING, OTHER = range(len(POSTURES))
WEIGHTS: Final = "postures.npz"
INPUTS: Final = 3 * JOINTS + 4
SURE: Final = (5, 6, 11, 12)  # joints; the other joints' scores are relative to theirs
SCORE_MOST: Final = 1.5  # limit of the relative scores
BEFORE_MOST: Final = 2.0  # limit of the inputs from `upright_looks`
FARTHEST: Final = 2.0  # statures: limit of the inputs; a joint farther away is stray
VISIBLE: Final = 2 / 3  # factor of the minimum keypoint score: joints of lying people score lower

MIRROR_COLUMNS: Final = np.concatenate(
    [
        np.arange(2 * JOINTS).reshape(JOINTS, 2)[list(MIRRORED)].ravel(),
        2 * JOINTS + np.array(MIRRORED),
        3 * JOINTS + np.arange(4),
    ]
)
"""Columns of the network's inputs in the order of the mirrored body."""

MIRROR_SIGNS: Final = np.array([-1, 1] * JOINTS + [1] * JOINTS + [-1, 1, 1, 1], np.float32)
"""Factors of these columns: x changes its sign."""

LIKELY: Final = 0.6  # minimum probability of the posture of a single pose
LEAD: Final = 0.2  # minimum lead of a mean probability over that of the settled posture
HELD_BACK_S: Final = 1.0  # minimum age of a remembered look; most people sit down in less
REMEMBERED_S: Final = 10.0  # state is kept this long: models lose lying people for seconds


def probabilities(keypoints: Floats, min_score: float = 0.3, before: Array | None = None) -> Floats:
    """Return the probabilities (n, 4) of `POSTURES` for keypoints (n, 17, 3); read-only.

    Averages the logits of the body and its mirror image, so left and right count the same. If
    shoulders, hips or legs are hidden, the shares of standing and sitting go to unknown.

    Parameters
    ----------
    before : (n, 3), optional
        Each person's `UprightMemory.look`.
    """
    points = np.ascontiguousarray(keypoints, np.float32)
    known = np.full((len(points), 3), np.nan) if before is None else before
    return _probabilities(points.tobytes(), known.tobytes(), min_score)


@lru_cache(maxsize=16)  # several readers ask for the same people of a frame
def _probabilities(content: bytes, known: bytes, min_score: float) -> Floats:
    keypoints = np.frombuffer(content, np.float32).reshape(-1, JOINTS, 3)
    before = np.frombuffer(known, np.float64).reshape(-1, 3)
    least = VISIBLE * min_score
    looks = measure(keypoints, least)
    inputs = _all_inputs(keypoints, looks, least, before)
    mirrored = inputs.take(MIRROR_COLUMNS, axis=1) * MIRROR_SIGNS
    logits = _posture_network().mean_logits(inputs, mirrored)
    shares = softmax(logits)
    half = ~_is_whole(looks)
    shares[half, OTHER] += shares[half, STANDING] + shares[half, SITTING]
    shares[half, STANDING] = shares[half, SITTING] = 0
    shares.flags.writeable = False
    return shares


def upright_looks(keypoints: Floats, least: float) -> Array:
    """Return x and y of the shoulders and the stature (n, 3), all in pixels; NaN if hidden."""
    looks = measure(keypoints, least)
    return np.concatenate([looks.points[:, SHOULDERS], looks.stature[:, None]], axis=1)


def posture_inputs(keypoints: Floats, least: float, before: Array) -> Floats:
    """Return the inputs (n, INPUTS) of the posture network; `before` as in `probabilities`."""
    return _all_inputs(keypoints, measure(keypoints, least), least, before)


def _all_inputs(keypoints: Floats, looks: Looks, least: float, before: Array) -> Floats:
    inputs = _network_inputs(keypoints, looks, least)
    scores = keypoints[..., 2]
    relative = scores / np.maximum(scores[:, SURE].max(axis=1, keepdims=True), least)
    sure = np.where(inputs[:, 2 * JOINTS :] > 0, np.minimum(relative, SCORE_MOST), 0.0)
    with np.errstate(invalid="ignore"):
        moved = (looks.points[:, SHOULDERS] - before[:, :2]) / before[:, 2:]
        grown = np.log2(looks.stature[:, None] / before[:, 2:])
    change = np.concatenate([moved, grown], axis=1)
    known = ~np.isnan(change).any(axis=1, keepdims=True)
    change = np.clip(np.where(known, change, 0.0), -BEFORE_MOST, BEFORE_MOST)
    parts = [inputs[:, : 2 * JOINTS], sure, change, known]
    return np.concatenate(parts, axis=1).astype(np.float32)


def network_inputs(keypoints: Floats, least: float, looks: Looks | None = None) -> Floats:
    """Return positions and visibility (n, 3 * 17); joints with a score below `least` are hidden.

    If `looks`, the measures of the same keypoints, are given, they are not computed again.
    """
    return _network_inputs(keypoints, looks or measure(keypoints, least), least)


def _network_inputs(keypoints: Floats, looks: Looks, least: float) -> Floats:
    trunk = looks.points[:, (SHOULDERS, HIPS)]
    seen = ~np.isnan(trunk[..., :1])
    with np.errstate(invalid="ignore"):
        centre = np.where(seen, trunk, 0.0).sum(axis=1) / seen.sum(axis=1)
        places = (keypoints[..., :2] - centre[:, None]) / looks.stature[:, None, None]
    shown = (keypoints[..., 2] >= least) & ~np.isnan(places[..., 0])
    places = np.clip(np.where(shown[..., None], places, 0.0), -FARTHEST, FARTHEST)
    return np.concatenate([places.reshape(len(places), -1), shown], axis=1).astype(np.float32)


def _is_whole(looks: Looks) -> NDArray[np.bool_]:
    """Whether each body (n,) shows shoulders, hips, and knees or ankles."""
    seen = ~np.isnan(looks.points[..., 0])
    return np.asarray(seen[:, SHOULDERS] & seen[:, HIPS] & (seen[:, KNEES] | seen[:, ANKLES]))


@cache
def _posture_network() -> Perceptron:
    return Perceptron.load(WEIGHTS)


def read(pose: Pose, min_score: float = 0.3) -> Posture:
    """Classify the posture of a pose from a single picture."""
    shares = probabilities(pose.keypoints[np.newaxis], min_score)[0].tolist()
    most = max(shares)
    return POSTURES[shares.index(most)] if most > LIKELY else "unknown"


@dataclass(slots=True)
class UprightMemory:
    """Remembers how a person looked while standing.

    A person who begins to sit down or to fall still resembles one who stands. So looks of the
    last `HELD_BACK_S` are held back, and dropped when the person no longer stands.
    """

    look: Array = field(default_factory=lambda: np.full(3, np.nan))
    """(3,): a row of `upright_looks`; NaN before the first."""

    _recent: deque[tuple[int, Array]] = field(default_factory=deque)

    def add(self, look: Array, standing: float, at_ns: int) -> None:
        """Add a row of `upright_looks` with the probability of standing at the time `at_ns`."""
        if standing <= LIKELY:
            self._recent.clear()
            return
        if math.isnan(self.look[1]):
            self.look = look
        self._recent.append((at_ns, look))
        while at_ns - self._recent[0][0] >= HELD_BACK_S * NS_PER_S:
            self.look = self._recent.popleft()[1]


@dataclass(slots=True)
class _Memory:
    """Averaged class probabilities and posture of one person."""

    settled: Posture = "unknown"
    shares: list[float] = field(default_factory=lambda: [0.0] * len(POSTURES))
    at_ns: int = 0
    upright: UprightMemory = field(default_factory=UprightMemory)

    def settle(self, shares: Sequence[float], at_ns: int, settle_s: float) -> Posture:
        """Average the probabilities with the time constant `settle_s`; return the settled posture.

        It changes when another one's mean leads by `LEAD`.
        """
        keep = math.exp((self.at_ns - at_ns) / (settle_s * NS_PER_S))
        self.shares = [
            keep * mean + (1 - keep) * share
            for mean, share in zip(self.shares, shares, strict=True)
        ]
        self.at_ns = at_ns
        most = max(self.shares)
        if most - self.shares[POSTURES.index(self.settled)] > LEAD:
            self.settled = POSTURES[self.shares.index(most)]
        return self.settled


class PostureReader:
    """Sets the posture of each track, averaged over time to suppress flicker."""

    def __init__(self, min_score: float = 0.3, settle_s: float = 0.7) -> None:
        self.min_score = min_score
        self.settle_s = settle_s
        self._people: dict[int, _Memory] = {}

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Track]:
        """Return the tracks with `posture` set; `at_ns` is the frame's time."""
        if not tracks:
            return []
        keypoints = np.array([track.pose.keypoints for track in tracks])
        known = [self._people.setdefault(track.id, _Memory(at_ns=at_ns)) for track in tracks]
        before = np.array([memory.upright.look for memory in known])
        read_now = probabilities(keypoints, self.min_score, before).tolist()
        upright = upright_looks(keypoints, VISIBLE * self.min_score)
        settled = []
        for track, memory, shares, look in zip(tracks, known, read_now, upright, strict=True):
            memory.upright.add(look, shares[STANDING], at_ns)
            posture = memory.settle(shares, at_ns, self.settle_s)
            settled.append(replace(track, posture=posture))
        self._people = {
            id_: memory
            for id_, memory in self._people.items()
            if at_ns - memory.at_ns <= REMEMBERED_S * NS_PER_S
        }
        return settled
