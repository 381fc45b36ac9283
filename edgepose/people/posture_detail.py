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
from typing import Final

import numpy as np

from edgepose.people.body_measures import Looks, measure
from edgepose.people.gait import WINDOW_S, gait_inputs, walking_logit
from edgepose.people.perceptron import Perceptron, softmax
from edgepose.people.posture import VISIBLE, network_inputs
from edgepose.timing import NS_PER_S
from edgepose.types import Floats, PostureDetail, Track

DETAILS: Final[tuple[PostureDetail, ...]] = ("crouching", "kneeling", "bending", "on_all_fours")
"""Classes in the order of the network's outputs; before them, output 0 is none of them."""

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


@dataclass(slots=True)
class _DetailMemory:
    """The recent past of one track."""

    looks: deque[tuple[int, Floats]] = field(default_factory=deque)
    """Times and keypoints (17, 3) of the last `WINDOW_S`, `STEP_S` apart or more."""

    shares: Floats = field(default_factory=lambda: np.zeros(len(DETAILS) + 2, np.float32))
    """Mean probabilities of none, of `DETAILS`, and of walking."""

    detail: PostureDetail | None = None
    read_ns: int | None = None
    seen_ns: int = 0

    def look(self, keypoints: Floats, at_ns: int) -> None:
        """Add an observation."""
        self.seen_ns = at_ns
        if self.looks and at_ns - self.looks[-1][0] < STEP_S * NS_PER_S:
            return
        self.looks.append((at_ns, keypoints))
        while at_ns - self.looks[0][0] > WINDOW_S * NS_PER_S:
            self.looks.popleft()

    def settle(self, keypoints: Floats, at_ns: int, least: float) -> None:
        """Average the probabilities of a single pose and of the last steps; set `detail`."""
        now = self._rated(keypoints, at_ns, least)
        keep = 0.0
        if self.read_ns is not None:
            keep = math.exp((self.read_ns - at_ns) / (SETTLE_S * NS_PER_S))
        kept = np.full(len(now), keep)
        kept[-1] = keep**2  # less smoothing: the steps are averaged already
        self.shares = np.asarray(kept * self.shares + (1 - kept) * now, np.float32)
        self.read_ns = at_ns
        self.detail = self._likeliest()

    def _rated(self, keypoints: Floats, at_ns: int, least: float) -> Floats:
        """Return the probabilities of none, of `DETAILS`, and of walking, now."""
        ats, poses = zip(*self.looks, (at_ns, keypoints), strict=True)
        bodies = np.stack(poses)
        measures = measure(bodies, least)
        latest = Looks(*(part[-1:] for part in measures))
        shares = detail_shares(network_inputs(bodies[-1:], least, latest))[0]
        seconds = (np.array(ats) - at_ns) / NS_PER_S
        steps = gait_inputs(seconds[:-1], bodies[:-1], measures.stature[:-1], least)
        walks = 0.0 if steps is None else 1 / (1 + math.exp(-walking_logit(steps)))
        return np.append(shares, np.float32(walks))

    def _likeliest(self) -> PostureDetail | None:
        names: tuple[PostureDetail, ...] = (*DETAILS, "walking")
        shares = self.shares[1:]
        best = int(shares.argmax())
        least = KEPT if names[best] == self.detail else LIKELY
        return names[best] if shares[best] > least else None


class PostureDetailReader:
    """Sets `posture_detail` of the tracks of one camera."""

    def __init__(self, min_score: float = 0.3) -> None:
        self.min_score = min_score
        self._people: dict[int, _DetailMemory] = {}

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Track]:
        """Return the tracks with `posture_detail` set; `at_ns` is the frame's time."""
        for track in tracks:
            self._read(track, at_ns)
        self._people = {
            id_: person
            for id_, person in self._people.items()
            if at_ns - person.seen_ns <= FORGET_S * NS_PER_S
        }
        return [replace(track, posture_detail=self._people[track.id].detail) for track in tracks]

    def _read(self, track: Track, at_ns: int) -> None:
        person = self._people.setdefault(track.id, _DetailMemory())
        person.look(track.pose.keypoints, at_ns)
        if person.read_ns is None or at_ns - person.read_ns >= PERIOD_S * NS_PER_S:
            person.settle(track.pose.keypoints, at_ns, VISIBLE * self.min_score)
