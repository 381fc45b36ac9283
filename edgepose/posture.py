"""What a body does: standing, sitting, lying, or unknown where that cannot be seen.

All lengths are measured in torsos (shoulders to hips) of the same body in the same
picture, so neither distance nor resolution matters. A camera that looks down
shortens torso and standing legs alike, so their ratio survives where angles do
not. Half a body, a body foreshortened beyond reading, and what is none of the
three (bending, crouching, crawling) are answered by "unknown".
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np

from edgepose.skeleton import LEFT_SHOULDER, RIGHT_SHOULDER, figure
from edgepose.structures import Floats, Pose, Posture, Track
from edgepose.timing import NS_PER_S

POSTURES: Final[tuple[Posture, ...]] = ("standing", "sitting", "lying", "unknown")

# The limits below were chosen on generated bodies, seen from 5 to 50 degrees above with
# the noise of a small model (tests/body.py); docs/events.md has the resulting table.
UPRIGHT_DEG: Final = 45.0  # torsos of people who stand or sit stay below, seen from anywhere
LEVEL_DEG: Final = 55.0  # torsos of people who lie across the picture stay above
STANDING_THIGH: Final = 0.6  # 0.85 by anatomy, 0.3 to 1.1 seen; sitting goes up to 0.5
STANDING_LEG: Final = 1.0  # 1.7 by anatomy
SITTING_THIGH: Final = 0.35
SITTING_DEG: Final = 36.0  # squatting and tying shoes lean farther
LYING_THIGH: Final = 0.5  # on all fours thighs hang down by 0.5 or more
LYING_LEG: Final = 0.85  # bending leaves ankles 1.1 or more below the hips
LYING_LEG_OVER: Final = 0.3  # with the head down the legs go up the picture
LYING_REACH: Final = 0.9  # crouching keeps the ankles nearer to the hips
LYING_REACH_FLAT: Final = 0.55  # but hardly ever with the torso as level as this:
FLAT_DEG: Final = 70.0
STRAIGHT_DEG: Final = 35.0  # legs that go on where the torso ends: nobody bends like that
STEEP: Final = 1.05  # shoulders wider than this: the torso points at the camera
SHORT: Final = 1.5  # shoulders in torsos: 0.8 by anatomy; so wide they are where all else,
SHORT_LEG: Final = 1.35  # the legs in shoulders too, is foreshortened; standing 2.2
BETWEEN: Final = (0.15, 0.68)  # where on the way to the ankles the knees of one who lies are;
# crouching has them above the hips, on all fours they are nearly as low as the ankles
REMEMBERED_S: Final = 10.0  # models lose people who lie for seconds


class Shape(NamedTuple):
    """A body in torsos: what the limits above are compared with."""

    torso_deg: float
    """Between the torso and the picture's vertical: 0 upright, 90 level, 180 head down."""

    shoulders: float
    """Width of the shoulders; NaN when only one is seen."""

    knee_drop: float
    """How far the knees are below the hips; negative above."""

    ankle_drop: float
    """How far the ankles are below the hips; NaN when hidden."""

    reach: float
    """From the hips to the ankles, in a straight line; NaN when hidden."""

    bend_deg: float
    """Between the torso's line and the thighs' or the legs', whichever is more: 0 is straight."""


def shape(keypoints: Floats, min_score: float = 0.3) -> Shape | None:
    """Measure a body; None when shoulders, hips or knees are hidden.

    Parameters
    ----------
    keypoints : (17, 3)
        x rightward, y down, score.
    min_score : float
        Joints below are hidden.
    """
    body = figure(keypoints, min_score)
    if body.shoulders is None or body.hips is None or body.knees is None:
        return None
    across, up = (body.shoulders - body.hips).tolist()
    torso = float(np.hypot(across, up))
    if torso == 0:
        return None
    thigh = body.knees - body.hips
    leg = np.full(2, np.nan) if body.ankles is None else (body.ankles - body.hips) / torso
    line = body.hips - body.shoulders
    return Shape(
        torso_deg=float(np.degrees(np.arctan2(abs(across), -up))),
        shoulders=_shoulder_width(keypoints, min_score) / torso,
        knee_drop=float(thigh[1]) / torso,
        ankle_drop=float(leg[1]),
        reach=float(np.hypot(*leg)),
        bend_deg=max(_between_deg(line, thigh), _between_deg(line, leg)),
    )


def _between_deg(a: Floats, b: Floats) -> float:
    """Return the angle between two vectors; NaN when one of them is."""
    crossed, along = a[0] * b[1] - a[1] * b[0], a[0] * b[0] + a[1] * b[1]
    return float(np.degrees(np.abs(np.arctan2(crossed, along))))


def _shoulder_width(keypoints: Floats, min_score: float) -> float:
    left, right = keypoints[LEFT_SHOULDER], keypoints[RIGHT_SHOULDER]
    if min(left[2], right[2]) < min_score:
        return float("nan")
    return float(np.hypot(*(left[:2] - right[:2])))


def read(pose: Pose, min_score: float = 0.3) -> Posture:
    """Say what the body of one picture does; nothing of before or after is needed."""
    body = shape(pose.keypoints, min_score)
    if body is None:
        return "unknown"
    if _lies_along(body):
        return "lying"
    if body.torso_deg >= LEVEL_DEG:
        return "lying" if _lies(body) else "unknown"
    if body.torso_deg > UPRIGHT_DEG:
        return "unknown"
    return _read_upright(body)


def _lies(body: Shape) -> bool:
    """Tell lying from bending, crouching and crawling: legs go on straight, or away, not down."""
    if np.isnan(body.reach):
        return body.knee_drop <= LYING_THIGH / 2
    if body.bend_deg <= STRAIGHT_DEG:
        return True
    reach = LYING_REACH if body.torso_deg < FLAT_DEG else LYING_REACH_FLAT
    leg = LYING_LEG if body.torso_deg <= 180 - LEVEL_DEG else LYING_LEG_OVER
    return body.knee_drop <= LYING_THIGH and body.ankle_drop <= leg and body.reach >= reach


def _lies_along(body: Shape) -> bool:
    """Tell lying along the line of sight: only the shoulders' width is not foreshortened."""
    above, below = BETWEEN
    short = body.shoulders >= SHORT and body.reach <= SHORT_LEG * body.shoulders
    return short and above * body.ankle_drop <= body.knee_drop <= below * body.ankle_drop


def _read_upright(body: Shape) -> Posture:
    """Tell standing from sitting by how far the thighs hang down."""
    # Seen from steeply above, thighs towards the camera look like thighs of one who stands,
    # and one who lies with the head away from the camera looks upright.
    if body.shoulders > STEEP:
        return "unknown"
    if body.knee_drop <= SITTING_THIGH:
        return "sitting" if body.torso_deg <= SITTING_DEG else "unknown"
    if body.knee_drop < STANDING_THIGH or body.ankle_drop < STANDING_LEG:
        return "unknown"
    return "standing"


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
        keep = float(np.exp(-elapsed_s / self.settle_s))
        for posture in POSTURES:
            memory.votes[posture] *= keep
        memory.votes[read(track.pose, self.min_score)] += 1 - keep
        memory.at_ns = at_ns
        best = max(POSTURES, key=lambda posture: memory.votes[posture])
        if memory.votes[best] > 0.5:
            memory.settled = best
        return memory.settled
