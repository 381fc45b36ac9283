"""What a body does: standing, sitting, lying, or unknown where that cannot be seen.

All lengths are measured in torsos (shoulders to hips) of the same body in the same
picture, so neither distance nor resolution matters. A camera that looks down
shortens torso and standing legs alike, so their ratio survives where angles do
not. Half a body, a body foreshortened beyond reading, and what is none of the
three (bending, crouching, crawling) are answered by "unknown".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from edgepose.people.body_measures import HIPS, SHOULDERS, measure
from edgepose.people.perceptron import Perceptron
from edgepose.people.zones import Point
from edgepose.skeleton import JOINTS, LEFT_SHOULDER, MIRRORED, RIGHT_SHOULDER, figure
from edgepose.timing import NS_PER_S
from edgepose.types import Floats, Pose, Posture, Track

POSTURES: Final[tuple[Posture, ...]] = ("standing", "sitting", "lying", "unknown")

# The limits below were chosen on generated bodies, seen from 5 to 50 degrees above with
# the noise of a small model (tests/body.py); docs/events.md has the resulting table.
UPRIGHT_DEG: Final = 45.0  # torsos of people who stand or sit stay below, seen from anywhere
STANDING_DEG: Final = 18.0  # the whole body of one who stands, from head to feet
STANDING_HEIGHT: Final = 2.0  # 2.7 by anatomy; kneeling 1.9
STANDING_THIGH: Final = 0.5  # 0.85 by anatomy; of one who sits facing the camera 0.4
THIGHS_DEG: Final = 40.0  # one leg may be bent
SITTING_THIGH: Final = 0.35
SITTING_DEG: Final = 36.0  # squatting and tying shoes lean farther,
BOWED_DEG: Final = 60.0  # and hold the head lower
LEVEL_DEG: Final = 60.0  # bodies and legs that lie across the picture are more level than this
REACHING_DOWN: Final = 0.45  # arms of one who crawls, bends or ties shoes hang down farther
STEEP: Final = 1.15  # shoulders in torsos: 0.8 by anatomy; wider, the torso points at the camera
SHORT: Final = 1.4  # so wide they are where all else,
SHORT_BODY: Final = 1.4  # shoulders to ankles in shoulders too, is foreshortened; standing 3.5
SHORT_ARMS: Final = 0.3  # and wrists; crouching they are farther below
REMEMBERED_S: Final = 10.0  # models lose people who lie for seconds

HIDDEN: Final[Point] = (math.nan, math.nan)


class Shape(NamedTuple):
    """What the limits above are compared with; NaN where joints are hidden.

    Angles are to the picture's vertical: 0 upright, 90 level, 180 head down.
    """

    body_deg: float
    """Of the line from the head (the shoulders where it is hidden) to the ankles (the knees)."""

    head_deg: float
    """Of the line from the head to the shoulders."""

    torso_deg: float
    """Of the line from the shoulders to the hips."""

    thigh_deg: float
    """Of the line from the hips to the knees."""

    leg_deg: float
    """Of the line from the hips to the ankles (the knees where they are hidden)."""

    shoulders: float
    """Width of the shoulders, in torsos."""

    knee_drop: float
    """How far the knees are below the hips, in torsos; negative above."""

    height: float
    """Shoulders above ankles, in torsos or widths of the shoulders, whichever is longer."""

    arm_drop: float
    """How far the wrists are below the shoulders, in the same unit."""


def shape(keypoints: Floats, min_score: float = 0.3) -> Shape:
    """Measure a body.

    Parameters
    ----------
    keypoints : (17, 3)
        x rightward, y down, score.
    min_score : float
        Joints below are hidden.
    """
    head, shoulders, wrists, hips, knees, ankles = (
        HIDDEN if middle is None else (float(middle[0]), float(middle[1]))
        for middle in figure(keypoints, min_score)
    )
    end = knees if ankles is HIDDEN else ankles
    torso = math.dist(shoulders, hips) or math.nan
    width = _shoulder_width(keypoints, min_score)
    unit = width if math.isnan(torso) or width > torso else torso
    return Shape(
        body_deg=_lean_deg(shoulders if head is HIDDEN else head, end),
        head_deg=_lean_deg(head, shoulders),
        torso_deg=_lean_deg(shoulders, hips),
        thigh_deg=_lean_deg(hips, knees),
        leg_deg=_lean_deg(hips, end),
        shoulders=width / torso,
        knee_drop=(knees[1] - hips[1]) / torso,
        height=(ankles[1] - shoulders[1]) / unit,
        arm_drop=(wrists[1] - shoulders[1]) / unit,
    )


def _lean_deg(top: Point, bottom: Point) -> float:
    """Return how far the line from bottom to top leans from straight up the picture."""
    return math.degrees(math.atan2(abs(top[0] - bottom[0]), bottom[1] - top[1]))


def _shoulder_width(keypoints: Floats, min_score: float) -> float:
    left, right = keypoints[LEFT_SHOULDER], keypoints[RIGHT_SHOULDER]
    if min(left[2], right[2]) < min_score:
        return math.nan
    return math.dist(left[:2].tolist(), right[:2].tolist()) or math.nan


def read(pose: Pose, min_score: float = 0.3) -> Posture:
    """Say what the body of one picture does; nothing of before or after is needed."""
    body = shape(pose.keypoints, min_score)
    if _lies_across(body) or _lies_along(body):
        return "lying"
    if body.torso_deg <= UPRIGHT_DEG and not math.isnan(body.knee_drop):
        return _read_upright(body)
    return "unknown"


def _lies_across(body: Shape) -> bool:
    """Tell lying from bending, crouching and crawling: all is level, and no arm reaches down.

    Hips or wrists may be hidden.
    """
    if body.torso_deg < UPRIGHT_DEG or body.leg_deg < LEVEL_DEG or body.arm_drop > REACHING_DOWN:
        return False
    return body.body_deg >= LEVEL_DEG


def _lies_along(body: Shape) -> bool:
    """Tell lying along the line of sight: only the shoulders' width is not foreshortened."""
    short = body.shoulders >= SHORT and body.height <= SHORT_BODY
    return short and not body.arm_drop > SHORT_ARMS


def _read_upright(body: Shape) -> Posture:
    """Tell standing from sitting by where the thighs point."""
    # Seen from steeply above, thighs towards the camera look like thighs of one who stands,
    # and one who lies with the head away from the camera looks upright.
    if body.shoulders > STEEP:
        return "unknown"
    if _stands(body):
        return "standing"
    return "sitting" if _sits(body) else "unknown"


def _stands(body: Shape) -> bool:
    """Say whether the thighs hang down; the height tells where the feet are to be seen."""
    if body.body_deg > STANDING_DEG or body.height < STANDING_HEIGHT:
        return False
    return body.thigh_deg <= THIGHS_DEG and body.knee_drop >= STANDING_THIGH


def _sits(body: Shape) -> bool:
    if body.torso_deg > SITTING_DEG or body.head_deg > BOWED_DEG:
        return False
    return body.knee_drop <= SITTING_THIGH


@dataclass(slots=True)
class _Memory:
    """What one person's posture was lately."""

    settled: Posture = "unknown"
    votes: dict[Posture, float] = field(default_factory=lambda: dict.fromkeys(POSTURES, 0.0))
    at_ns: int = 0


class PostureReader:
    """Reads the posture of each track and lets it settle, so that a flicker does not show."""

    def __init__(self, min_score: float = 0.3, settle_s: float = 0.7) -> None:
        self.min_score = min_score
        self.settle_s = settle_s
        self._people: dict[int, _Memory] = {}

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Track]:
        """Return the tracks with their posture; `at_ns` is the frame's time."""
        settled = [replace(track, posture=self._settle(track, at_ns)) for track in tracks]
        self._people = {
            id_: memory
            for id_, memory in self._people.items()
            if at_ns - memory.at_ns <= REMEMBERED_S * NS_PER_S
        }
        return settled

    def _settle(self, track: Track, at_ns: int) -> Posture:
        """Let readings vote; older votes fade within `settle_s`, and most votes win."""
        memory = self._people.setdefault(track.id, _Memory(at_ns=at_ns))
        elapsed_s = (at_ns - memory.at_ns) / NS_PER_S
        keep = math.exp(-elapsed_s / self.settle_s)
        for posture in POSTURES:
            memory.votes[posture] *= keep
        memory.votes[read(track.pose, self.min_score)] += 1 - keep
        memory.at_ns = at_ns
        best = max(POSTURES, key=lambda posture: memory.votes[posture])
        if memory.votes[best] > 0.5:
            memory.settled = best
        return memory.settled


WEIGHTS: Final = "postures.npz"
CLASSES: Final = ("standing", "sitting", "lying", "other")
"""Outputs of the network; the last is bending, kneeling, crouching and crawling."""

INPUTS: Final = 3 * JOINTS
FARTHEST: Final = 2.0  # statures


def network_inputs(keypoints: Floats, min_score: float) -> Floats:
    """Return the inputs (n, INPUTS) of the posture network for keypoints (n, 17, 3).

    Joints relative to the trunk in parts of the stature, and which are visible.
    """
    looks = measure(keypoints, min_score)
    trunk = looks.points[:, (SHOULDERS, HIPS)]
    seen = ~np.isnan(trunk[..., :1])
    with np.errstate(invalid="ignore"):
        centre = np.where(seen, trunk, 0.0).sum(axis=1) / seen.sum(axis=1)
        places = (keypoints[..., :2] - centre[:, None]) / looks.stature[:, None, None]
    shown = (keypoints[..., 2] >= min_score) & ~np.isnan(places[..., 0])
    places = np.clip(np.where(shown[..., None], places, 0.0), -FARTHEST, FARTHEST)
    return np.concatenate([places.reshape(len(places), -1), shown], axis=1).astype(np.float32)


def probabilities(keypoints: Floats, min_score: float) -> Floats:
    """Return the probabilities (n, 4) of `CLASSES` for keypoints (n, 17, 3).

    The mean over the body and its mirror image, so that left and right are alike.
    """
    mirrored = keypoints[:, list(MIRRORED)] * np.array([-1, 1, 1], np.float32)
    network = _network()
    logits = [network.logits(network_inputs(body, min_score)) for body in (keypoints, mirrored)]
    mean = np.mean(logits, axis=0)
    powers = np.exp(mean - mean.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


@cache
def _network() -> Perceptron:
    return Perceptron.load(WEIGHTS)
