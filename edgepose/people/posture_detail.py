"""More of a posture: crouching, kneeling, bending, on all fours, and walking.

A small network classifies single poses, with the inputs of the posture network. It was trained
on generated bodies (`tools/train_posture_details.py`). Walking takes the recent past of a track
(`gait`). Both are computed a few times a second and averaged.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from edgepose.people.body_measures import Looks, measure
from edgepose.people.gait import WINDOW_S, gait_inputs, walking_logit
from edgepose.people.perceptron import Perceptron, softmax
from edgepose.people.posture import VISIBLE, network_inputs
from edgepose.timing import NS_PER_S
from edgepose.types import Floats, PostureDetail, Track

DETAILS: Final[tuple[PostureDetail, ...]] = ("crouching", "kneeling", "bending", "on_all_fours")
"""Classes in the order of the network's outputs; before them, output 0 is none of them."""

NAMES: Final[tuple[PostureDetail, ...]] = (*DETAILS, "walking")
WEIGHTS: Final = "posture_details.npz"
PERIOD_S: Final = 0.39  # time between two evaluations of a person
STEP_S: Final = 0.15  # time between two observations of the feet
SETTLE_S: Final = 0.7  # time constant of the means, as for postures
LIKELY: Final = 0.45  # minimum mean probability of a detail
KEPT: Final = 0.35  # a detail is kept down to this: hysteresis against flicker
FORGET_S: Final = 2.0  # a track unseen for longer is dropped


def detail_shares(inputs: Floats) -> Floats:
    """Return the probabilities (n, 5) of none and of `DETAILS` for `network_inputs`."""
    return softmax(_network().logits(inputs))


@cache
def _network() -> Perceptron:
    return Perceptron.load(WEIGHTS)


class _DetailLook(NamedTuple):
    """One observation of a person."""

    at_ns: int
    keypoints: Floats
    """(17, 3)."""

    stature: float
    """Pixels; NaN if unknown."""


@dataclass(slots=True)
class _DetailMemory:
    """The recent past of one track."""

    looks: deque[_DetailLook] = field(default_factory=deque)
    """Observations of the last `WINDOW_S`, `STEP_S` apart or more."""

    shares: list[float] = field(default_factory=lambda: [0.0] * (len(DETAILS) + 2))
    """Mean probabilities of none, of `DETAILS`, and of walking."""

    detail: PostureDetail | None = None
    read_ns: int | None = None
    seen_ns: int = 0

    def add(self, look: _DetailLook) -> None:
        """Add an observation."""
        at_ns = self.seen_ns = look.at_ns
        if self.looks and at_ns - self.looks[-1].at_ns < STEP_S * NS_PER_S:
            return
        self.looks.append(look)
        while at_ns - self.looks[0].at_ns > WINDOW_S * NS_PER_S:
            self.looks.popleft()

    def is_due(self, at_ns: int) -> bool:
        """Whether the detail is to be evaluated again."""
        return self.read_ns is None or at_ns - self.read_ns >= PERIOD_S * NS_PER_S

    def settle(self, shares: Sequence[float], at_ns: int, least: float) -> None:
        """Average the probabilities of a single pose and of the last steps; set `detail`."""
        keep = 0.0
        if self.read_ns is not None:
            keep = math.exp((self.read_ns - at_ns) / (SETTLE_S * NS_PER_S))
        walks = self._walking_share(at_ns, least)
        *means, walked = self.shares
        self.shares = [
            keep * mean + (1 - keep) * share for mean, share in zip(means, shares, strict=True)
        ]
        kept = keep**2  # less smoothing: the steps are averaged already
        self.shares.append(kept * walked + (1 - kept) * walks)
        self.read_ns = at_ns
        self.detail = self._likeliest()

    def _walking_share(self, at_ns: int, least: float) -> float:
        """Return the probability of walking; 0 where the feet are hidden."""
        ats, bodies, statures = zip(*self.looks, strict=True)
        seconds = (np.array(ats) - at_ns) / NS_PER_S
        steps = gait_inputs(seconds, np.array(bodies), np.array(statures), least)
        return 0.0 if steps is None else 1 / (1 + math.exp(-walking_logit(steps)))

    def _likeliest(self) -> PostureDetail | None:
        shares = self.shares[1:]
        most = max(shares)
        best = NAMES[shares.index(most)]
        return best if most > (KEPT if best == self.detail else LIKELY) else None


class PostureDetailReader:
    """Sets `posture_detail` of the tracks of one camera."""

    def __init__(self, min_score: float = 0.3) -> None:
        self.min_score = min_score
        self._people: dict[int, _DetailMemory] = {}

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Track]:
        """Return the tracks with `posture_detail` set; `at_ns` is the frame's time."""
        if tracks:
            self._observe_tracks(tracks, at_ns)
        self._people = {
            id_: person
            for id_, person in self._people.items()
            if at_ns - person.seen_ns <= FORGET_S * NS_PER_S
        }
        return [replace(track, posture_detail=self._people[track.id].detail) for track in tracks]

    def _observe_tracks(self, tracks: Sequence[Track], at_ns: int) -> None:
        least = VISIBLE * self.min_score
        keypoints = np.array([track.pose.keypoints for track in tracks])
        looks = measure(keypoints, least)
        people = [self._people.setdefault(track.id, _DetailMemory()) for track in tracks]
        for person, body, stature in zip(people, keypoints, looks.stature.tolist(), strict=True):
            person.add(_DetailLook(at_ns, body, stature))
        due = [row for row, person in enumerate(people) if person.is_due(at_ns)]
        if not due:
            return
        inputs = network_inputs(keypoints[due], least, Looks(*(part[due] for part in looks)))
        for row, shares in zip(due, detail_shares(inputs).tolist(), strict=True):
            people[row].settle(shares, at_ns, least)
