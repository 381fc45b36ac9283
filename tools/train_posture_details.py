#!/usr/bin/env python3
"""Train the networks that recognise crouching, kneeling, bending, all fours and walking.

    python -m tools.train_posture_details --scenes 6400

Writes posture_details.npz and walking.npz into edgepose/data. Needs numpy only; 6400 scenes
take about 4 minutes of one core. All bodies are generated (`tests.support.posture_details`);
recordings of real people only measure the result (docs/events.md).

The weights in edgepose/data were trained on 6400 scenes. The script does not reproduce the
files bit for bit: measure new weights before they replace the old ones.
"""

import argparse
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepose.people.body_measures import measure
from edgepose.people.gait import WINDOW_S, gait_inputs
from edgepose.people.posture import network_inputs
from edgepose.people.posture_detail import DETAILS, STEP_S
from edgepose.skeleton import MIRRORED
from tests.support.posture_details import UNCLEAR, Detailed, detailed, drilled
from tools.train_people_networks import MIN_SCORE, save, train

Floats = NDArray[np.float32]
Ints = NDArray[np.intp]

FIRST_SEED: Final = 2_000_000
POSES_PER_S: Final = 2.0
HIDDEN_UNITS: Final = {"posture_details": (96, 48), "walking": (24, 12)}
MOSTLY: Final = 0.7  # part of a window in which a person walks who is called walking
HARDLY: Final = 0.2
SPREAD: Final = 0.08  # statures: further errors of single joints
HIDDEN: Final = 0.1  # part of the joints that are hidden besides
NOW_S: Final = 0.3  # and in all of the last part


class Samples(NamedTuple):
    """Inputs of both networks and what is true."""

    bodies: list[Floats]
    """Keypoints (17, 3)."""

    details: list[int]
    gaits: list[Floats]
    walks: list[float]


def scenes(count: int) -> Iterator[Detailed]:
    """Generate low stances, walks, and drills of the other networks, in turns."""
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        if seed % 4 == 3:
            yield drilled(seed)
        else:
            yield detailed(seed, walks=seed % 4 == 2)
        if seed % 500 == 0:
            sys.stderr.write(f"{seed - FIRST_SEED} scenes\n")


def sample(scene: Detailed, rng: np.random.Generator, samples: Samples) -> None:
    """Take single poses and windows of one scene."""
    statures = measure(scene.keypoints, MIN_SCORE).stature
    for frame in np.flatnonzero(scene.found).tolist():
        if rng.random() > POSES_PER_S / scene.fps:
            continue
        if scene.details[frame] != UNCLEAR:
            samples.bodies.append(scene.keypoints[frame])
            samples.details.append(int(scene.details[frame]))
        since = scene.seconds[frame] - WINDOW_S
        window = np.flatnonzero((scene.seconds >= since) & (scene.seconds <= scene.seconds[frame]))
        part = float(scene.walks[window].mean())
        now = bool(scene.walks[window[-max(1, round(NOW_S * scene.fps)) :]].all())
        taken = thinned(window[scene.found[window]], scene.seconds)
        inputs = gait_inputs(
            scene.seconds[taken], scene.keypoints[taken], statures[taken], MIN_SCORE
        )
        if inputs is not None and (part < HARDLY or (now and part >= MOSTLY)):
            samples.gaits.append(inputs)
            samples.walks.append(float(now and part >= MOSTLY))


def thinned(frames: Ints, seconds: NDArray[np.float64]) -> list[int]:
    """Return the frames that the daemon observes: one in `STEP_S`, the last included."""
    taken: list[int] = []
    for frame in reversed(frames.tolist()):
        if not taken or seconds[taken[-1]] - seconds[frame] >= STEP_S:
            taken.append(frame)
    return taken[::-1]


def disturbed(bodies: Floats, rng: np.random.Generator) -> Floats:
    """Return keypoints (n, 17, 3) with further errors, of joints each on its own.

    Models err on folded bodies in more ways than the generated errors do.
    """
    stature = measure(bodies, MIN_SCORE).stature[:, None, None]
    spread = rng.uniform(0, SPREAD, (len(bodies), 1, 1))
    places = bodies[..., :2] + rng.normal(0, 1, bodies[..., :2].shape) * spread * stature
    scores = np.where(rng.random(bodies.shape[:2]) < HIDDEN, 0, bodies[..., 2])
    return np.concatenate([places, scores[..., None]], axis=2).astype(np.float32)


def main() -> None:
    """Generate, train, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=6_400)
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    samples, rng = Samples([], [], [], []), np.random.default_rng(3)
    for scene in scenes(args.scenes):
        sample(scene, rng, samples)

    gaits, walks = np.array(samples.gaits), np.array(samples.walks, np.float32)[:, None]
    sys.stderr.write(f"{len(walks)} windows, {walks.mean():.2f} of them walk\n")
    save("walking", train((gaits, gaits), walks, HIDDEN_UNITS["walking"], args.epochs))

    plain = np.array(samples.bodies)
    bodies = np.concatenate([plain, disturbed(plain, rng), disturbed(plain, rng)])
    flipped = bodies[:, list(MIRRORED)] * np.array([-1, 1, 1], np.float32)
    usable = (bodies[:, 5:13, 2] >= MIN_SCORE).any(axis=1)
    both = [network_inputs(body[usable], MIN_SCORE) for body in (bodies, flipped)]
    details = np.tile(samples.details, 3)[usable]
    sys.stderr.write(f"{np.bincount(details).tolist()} poses\n")
    truth = np.eye(1 + len(DETAILS), dtype=np.float32)[details]
    units = HIDDEN_UNITS["posture_details"]
    save("posture_details", train((both[0], both[1]), truth, units, args.epochs))


if __name__ == "__main__":
    main()
