"""Synthetic walks with known truth: true paths, and a model's noisy output for them.

A figure of 17 joints swings its legs and arms while it follows a path; nearer
figures occlude those behind. `Noise` then adds the errors of pose models
to the true bodies: joints that jitter, occasional outliers, missed people, double
or partial detections, false people. Everything follows from the seed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edgepose.geometry import box_around
from edgepose.timing import NS_PER_S
from edgepose.types import Floats, Pose

FRONT = np.array(
    [
        (0.00, 0.93), (0.02, 0.95), (-0.02, 0.95), (0.04, 0.94), (-0.04, 0.94),
        (0.12, 0.81), (-0.12, 0.81), (0.15, 0.63), (-0.15, 0.63), (0.15, 0.47), (-0.15, 0.47),
        (0.07, 0.52), (-0.07, 0.52), (0.07, 0.28), (-0.07, 0.28), (0.07, 0.04), (-0.07, 0.04),
    ]
)  # fmt: skip
"""(17, 2): a person facing us, rightward and upward from between the feet, in heights."""

SWING = np.array([0, 0, 0, 0, 0, 0, 0, -0.05, 0.05, -0.12, 0.12, 0, 0, 0.07, -0.07, 0.15, -0.15])
"""(17,): each joint's amplitude while walking, in heights."""

LOOSE = np.array([0.85] * 5 + [1, 1, 1.4, 1.4, 1.7, 1.7, 1, 1, 1.25, 1.25, 1.6, 1.6])
"""(17,): each joint's jitter relative to a shoulder's."""

STRIDE = 0.8  # body heights in one full cycle of both legs
SIDEWAYS = 0.35  # share of the body's width that remains in a side view
WALKS_FROM = 0.1  # heights a second


@dataclass(frozen=True)
class Walker:
    """A person who follows a path."""

    path: tuple[tuple[float, float, float], ...]
    """Corners ``(second, x, y)`` of the way of the feet, in pixels; standing still is
    the same place twice. Absent before the first and after the last."""

    height: float = 200.0
    """Pixels."""

    def body(self, at_s: float) -> Floats | None:
        """Return the true joints (17, 3), or None while the walker is absent."""
        times, xs, ys = np.array(self.path).T
        if not times[0] <= at_s <= times[-1]:
            return None
        x, y = np.interp(at_s, times, xs), np.interp(at_s, times, ys)
        pace = (np.interp(at_s + 0.05, times, xs) - x) / 0.05 / self.height
        gone = np.concatenate([[0], np.hypot(np.diff(xs), np.diff(ys)).cumsum()])
        phase = 2 * np.pi * np.interp(at_s, times, gone) / self.height / STRIDE
        right = FRONT[:, 0].copy()
        if abs(pace) > WALKS_FROM:
            right = right * SIDEWAYS + SWING * np.sin(phase)
            right[:5] += 0.03 * np.sign(pace)
        points = np.stack([x + right * self.height, y - FRONT[:, 1] * self.height], axis=1)
        return np.hstack([points, np.ones((17, 1))]).astype(np.float32)


@dataclass(frozen=True)
class Noise:
    """Error model of a pose network.

    Measured from MoveNet multi-pose on a clip of pedestrians, 40 to 100 pixels tall in
    its input; see `docs/tracking.md`. Weak joints and doubles are typical of PoseNet
    and assumed.
    """

    jitter: float = 0.012
    """Standard deviation of a shoulder, in heights; `LOOSE` has the other joints."""

    outlier: float = 0.013
    """Probability of a joint at the position of another one."""

    weak_joint: float = 0.08
    """Probability of a joint score below the threshold."""

    miss: float = 0.05
    """Probability per frame that a visible person is missed."""

    miss_again: float = 0.63
    """The same after a frame in which the person was missed."""

    weak: float = 0.15
    """Probability of a pose score below the birth score."""

    double: float = 0.02
    """Probability of a second pose on the same person."""

    ghost: float = 0.024
    """Probability per frame of a false person, for that frame only."""


CLEAN = Noise(0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Moment:
    """One frame: the truth and the model's output."""

    at_ns: int

    truth: dict[int, Floats]
    """Joints (17, 3) by walker, of those that are mostly visible."""

    poses: list[Pose]


@dataclass(frozen=True)
class Walk:
    """A scene of several walkers."""

    walkers: tuple[Walker, ...]
    seconds: float
    width: int = 1280
    height: int = 720
    noise: Noise = field(default_factory=Noise)

    def film(self, fps: float = 10.0, seed: int = 0) -> Iterator[Moment]:
        """Yield the frames, evenly spaced."""
        return self.film_at(np.arange(0, self.seconds, 1 / fps).tolist(), seed)

    def film_at(self, times: Sequence[float], seed: int = 0) -> Iterator[Moment]:
        """Yield a frame at each of these times in seconds."""
        rng = np.random.default_rng(seed)
        missed: set[int] = set()
        for at_s in times:
            bodies = {i: b for i, w in enumerate(self.walkers) if (b := w.body(at_s)) is not None}
            seen = {i: visible(i, bodies, (self.width, self.height)) for i in bodies}
            truth = {i: bodies[i] for i in bodies if seen[i].sum() >= 9}
            missed = {i for i in truth if rng.random() < self._miss(again=i in missed)}
            poses = [
                pose
                for i in truth
                if i not in missed
                for pose in observe(bodies[i], seen[i], self.walkers[i].height, self.noise, rng)
            ]
            yield Moment(round(at_s * NS_PER_S), truth, poses + imagine(self, rng))

    def _miss(self, *, again: bool) -> float:
        return self.noise.miss_again if again else self.noise.miss

    def moved(
        self, place: Callable[[float, float], tuple[float, float]], scale: float = 1.0
    ) -> "Walk":
        """Return the same walk with every place moved and every height scaled."""
        walkers = tuple(
            Walker(tuple((t, *place(x, y)) for t, x, y in w.path), w.height * scale)
            for w in self.walkers
        )
        return replace(self, walkers=walkers)


def visible(index: int, bodies: dict[int, Floats], frame: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which joints (17,) are visible: inside the frame and not occluded."""
    body = bodies[index]
    x, y = body[:, 0], body[:, 1]
    seen = (x >= 0) & (x < frame[0]) & (y >= 0) & (y < frame[1])
    for other, nearer in bodies.items():
        if other == index or nearer[:, 1].max() <= y.max():
            continue
        trunk = box_around(nearer[[0, 5, 6, 11, 12, 15, 16]])
        wider = 0.04 * trunk.height
        beside = (x < trunk.x - wider) | (x > trunk.x + trunk.width + wider)
        seen &= beside | (y < trunk.y) | (y > trunk.y + trunk.height)
    return seen


def observe(
    body: Floats, seen: NDArray[np.bool_], height: float, noise: Noise, rng: np.random.Generator
) -> list[Pose]:
    """Return the model's output for one person: a pose, or two."""
    keypoints = body.copy()
    keypoints[:, :2] += rng.normal(0, 1, (17, 2)) * (noise.jitter * height * LOOSE)[:, None]
    lost = (rng.random(17) < noise.outlier) | ~seen
    keypoints[lost, :2] = body[rng.permutation(17), :2][lost]
    keypoints[:, 2] = rng.uniform(0.4, 0.95, 17)
    hazy = ~seen | (rng.random(17) < noise.weak_joint)
    keypoints[hazy, 2] = rng.uniform(0.02, 0.19, int(hazy.sum()))
    weak = rng.random() < noise.weak
    score = float(rng.uniform(0.16, 0.24)) if weak else float(keypoints[:, 2].mean())
    poses = [Pose(keypoints, score, box_around(keypoints))]
    if rng.random() < noise.double:
        again = keypoints.copy()
        again[:, :2] += rng.normal(0, 0.01 * height, (17, 2))
        again[rng.random(17) < 0.3, 2] = 0.1
        poses.append(Pose(again, 0.8 * score, box_around(again)))
    return poses


def imagine(walk: Walk, rng: np.random.Generator) -> list[Pose]:
    """Return the model's false detections."""
    if rng.random() >= walk.noise.ghost:
        return []
    x, y = rng.uniform(0, walk.width), rng.uniform(walk.height / 3, walk.height)
    size = rng.uniform(0.1, 0.4) * walk.height
    points = np.array([x, y]) + FRONT * [1, -1] * size + rng.normal(0, 0.1 * size, (17, 2))
    keypoints = np.hstack([points, rng.uniform(0.1, 0.6, (17, 1))]).astype(np.float32)
    return [Pose(keypoints, float(rng.uniform(0.25, 0.5)), box_around(keypoints))]


def _line(*corners: tuple[float, float, float], height: float = 200.0) -> Walker:
    return Walker(tuple(corners), height)


def crowd(people: int, seconds: float, seed: int = 5) -> Walk:
    """Return people who each wander between random places, at 0.7 heights a second."""
    rng = np.random.default_rng(seed)
    return Walk(tuple(_wanderer(seconds, rng) for _ in range(people)), seconds)


def _wanderer(seconds: float, rng: np.random.Generator) -> Walker:
    height = float(rng.uniform(150, 230))
    x, y, at_s = float(rng.uniform(150, 1130)), float(rng.uniform(350, 690)), 0.0
    path = [(at_s, x, y)]
    while at_s < seconds:
        to_x, to_y = float(rng.uniform(100, 1180)), float(rng.uniform(350, 690))
        at_s += max(0.5, float(np.hypot(to_x - x, to_y - y)) / (0.7 * height))
        path.append((at_s, to_x, to_y))
        at_s += float(rng.uniform(0.5, 2))
        path.append((at_s, to_x, to_y))
        x, y = to_x, to_y
    return Walker(tuple(path), height)


WALKS = {
    "crossing": Walk(
        (_line((0, 100, 600), (7, 1180, 600)), _line((0, 1180, 620), (7, 100, 620))), 7
    ),
    "crossing in depth": Walk(
        (
            _line((0, 300, 500), (6, 900, 690)),
            _line((0, 900, 520), (6, 320, 680)),
            _line((0, 600, 480), (6, 620, 700)),
        ),
        6,
    ),
    "stopping": Walk(
        (
            _line((0, 150, 600), (3, 600, 600), (8, 600, 600), (11, 1150, 600)),
            _line((0, 1150, 640), (5, 660, 640), (7, 660, 640), (11, 150, 640)),
        ),
        11,
    ),
    "passing behind": Walk(
        (
            _line((0, 640, 660), (10, 640, 660), height=240),
            _line((0, 200, 600), (10, 1100, 600), height=190),
        ),
        10,
    ),
    "waiting behind": Walk(
        (
            _line((0, 640, 660), (9, 640, 660), height=240),
            _line((0, 300, 600), (3, 640, 600), (4, 640, 600), (8, 1100, 600), height=190),
        ),
        9,
    ),
    "out and back": Walk(
        (
            _line((0, 300, 600), (3, -60, 600), (3.8, -60, 600), (7, 400, 600)),
            _line((0, 900, 600), (9, 800, 600)),
        ),
        9,
    ),
    "side by side": Walk(
        (
            _line((0, 500, 600), (5, 500, 600), (12, 1100, 600)),
            _line((0, 590, 605), (5, 590, 605), (12, 1190, 605)),
            _line((0, 410, 610), (12, 410, 610)),
        ),
        12,
    ),
    "turning round": Walk(
        (
            _line((0, 300, 600), (3, 620, 600), (6, 300, 600)),
            _line((0, 980, 600), (3, 680, 600), (6, 980, 600)),
        ),
        6,
    ),
    "crowd": crowd(6, 30),
}
"""Name to scene."""
