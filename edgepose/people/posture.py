"""Posture classification: standing, sitting, lying, or unknown.

A small network classifies single poses. It was trained on generated bodies seen from cameras
at any height, with the errors of pose models (`tools/train_people_networks.py`). Its inputs
are joints relative to the trunk in parts of the stature, so the result does not depend on
distance or resolution. Bending, kneeling, crouching and crawling are classified as unknown.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgepose.people.body_measures import ANKLES, HIPS, KNEES, SHOULDERS, Looks, measure
from edgepose.people.perceptron import Perceptron
from edgepose.skeleton import JOINTS, MIRRORED
from edgepose.timing import NS_PER_S
from edgepose.types import Floats, Pose, Posture, Track

POSTURES: Final[tuple[Posture, ...]] = ("standing", "sitting", "lying", "unknown")
"""Classes in the order of the network's outputs."""

STANDING, SITTING, LYING, OTHER = range(len(POSTURES))
WEIGHTS: Final = "postures.npz"
INPUTS: Final = 3 * JOINTS
FARTHEST: Final = 2.0  # statures: limit of the inputs; a joint farther away is stray
VISIBLE: Final = 2 / 3  # factor of the minimum keypoint score: joints of lying people score lower

MIRROR_COLUMNS: Final = np.concatenate(
    [
        np.arange(2 * JOINTS).reshape(JOINTS, 2)[list(MIRRORED)].ravel(),
        2 * JOINTS + np.array(MIRRORED),
    ]
)
"""Columns of the network's inputs in the order of the mirrored body."""

MIRROR_SIGNS: Final = np.array([-1, 1] * JOINTS + [1] * JOINTS, np.float32)
"""Factors of these columns: x changes its sign."""

LIKELY: Final = 0.6  # minimum probability of a posture in a single picture
SETTLED: Final = 0.5  # minimum probability of a posture in the mean over time
REMEMBERED_S: Final = 10.0  # state is kept this long: models lose lying people for seconds


def probabilities(keypoints: Floats, min_score: float = 0.3) -> Floats:
    """Return the probabilities (n, 4) of `POSTURES` for keypoints (n, 17, 3); read-only.

    Averages the logits of the body and its mirror image, so left and right count the same. If
    shoulders, hips or legs are hidden, the shares of standing and sitting go to unknown.
    """
    points = np.ascontiguousarray(keypoints, np.float32)
    return _probabilities(points.tobytes(), len(points), min_score)


@lru_cache(maxsize=16)  # of each frame, several readers ask for the same people
def _probabilities(content: bytes, count: int, min_score: float) -> Floats:
    keypoints = np.frombuffer(content, np.float32).reshape(count, JOINTS, 3)
    least = VISIBLE * min_score
    looks = measure(keypoints, least)
    inputs = _inputs(keypoints, looks, least)
    logits = _network().mean_logits(inputs, inputs[:, MIRROR_COLUMNS] * MIRROR_SIGNS)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    half = ~_is_whole(looks)
    shares[half, OTHER] += shares[half, STANDING] + shares[half, SITTING]
    shares[half, STANDING] = shares[half, SITTING] = 0
    shares.flags.writeable = False
    return shares


def network_inputs(keypoints: Floats, least: float, looks: Looks | None = None) -> Floats:
    """Return the network's inputs (n, INPUTS); joints with a score below `least` are hidden.

    `looks` are the measures of the same keypoints, if they are known already.
    """
    return _inputs(keypoints, looks or measure(keypoints, least), least)


def _inputs(keypoints: Floats, looks: Looks, least: float) -> Floats:
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
def _network() -> Perceptron:
    return Perceptron.load(WEIGHTS)


def read(pose: Pose, min_score: float = 0.3) -> Posture:
    """Classify the posture of a pose from a single picture."""
    return _likeliest(probabilities(pose.keypoints[np.newaxis], min_score)[0], LIKELY) or "unknown"


def _likeliest(shares: Floats, least: float) -> Posture | None:
    best = int(shares.argmax())
    return POSTURES[best] if shares[best] > least else None


@dataclass(slots=True)
class _Memory:
    """Averaged class probabilities and posture of one person."""

    settled: Posture = "unknown"
    shares: Floats = field(default_factory=lambda: np.zeros(len(POSTURES), np.float32))
    at_ns: int = 0


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
        keypoints = np.stack([track.pose.keypoints for track in tracks])
        read_now = probabilities(keypoints, self.min_score)
        settled = [
            replace(track, posture=self._settle(track.id, shares, at_ns))
            for track, shares in zip(tracks, read_now, strict=True)
        ]
        self._people = {
            id_: memory
            for id_, memory in self._people.items()
            if at_ns - memory.at_ns <= REMEMBERED_S * NS_PER_S
        }
        return settled

    def _settle(self, id_: int, shares: Floats, at_ns: int) -> Posture:
        """Average the probabilities with the time constant `settle_s`; return the likeliest.

        Keeps the previous posture while no mean exceeds `SETTLED`.
        """
        memory = self._people.setdefault(id_, _Memory(at_ns=at_ns))
        keep = math.exp((memory.at_ns - at_ns) / (self.settle_s * NS_PER_S))
        memory.shares = np.asarray(keep * memory.shares + (1 - keep) * shares, np.float32)
        memory.at_ns = at_ns
        memory.settled = _likeliest(memory.shares, SETTLED) or memory.settled
        return memory.settled
