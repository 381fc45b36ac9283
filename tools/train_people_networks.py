#!/usr/bin/env python3
"""Train the networks that read postures and rate falls, on random generated scenes.

    python -m tools.train_people_networks

Writes postures.npz and falls.npz into edgepose/data and prints the losses. Needs numpy only;
8000 scenes take about ten minutes of one core. No recording of real people is used: those only
measure the result (docs/events.md). The errors of the generated poses follow statistics of a
pose model on films (`tests.support.body.FILMED`).

The shipped postures.npz was written by the functions of this script with its default seeds and
numbers, in several processes; one run of the whole script was not compared bit by bit. At that
time generated bodies at rest were lost for shorter times, and there were no scenes of sitting on
a mat before lying down and of dropping onto hands and knees. The shipped falls.npz is of 60,000
scenes and 10 epochs, with other random numbers for the choice of the windows. The joints of
generated bodies at rest trembled more then, and people who lay down moved faster. Later networks
were not better on films: falls.npz of 120,000 scenes, also of people who pass behind others,
confirmed 132 instead of 133 of the falls, with 4 instead of 1 false confirmations, and without
such people as many falls as the shipped one, with 2 instead of no false confirmations;
postures.npz of 40,000 scenes classified people who crouch as lying.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

import edgepose
from edgepose.people import smoothing
from edgepose.people.body_measures import POINTS, measure
from edgepose.people.events.fall_window import STEPS, windows
from edgepose.people.perceptron import softmax
from edgepose.people.posture import STANDING, posture_inputs, upright_looks
from edgepose.skeleton import MIRRORED
from edgepose.timing import NS_PER_S
from tests.support.random_scenes import Recorded, record

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

DATA: Final = Path(edgepose.__file__).parent / "data"
MIN_SCORE: Final = 0.2
BATCH: Final = 250  # scenes smoothed together
FIRST_SEED: Final = 1_000_000

FALLEN_S: Final = (0.3, 2.0)  # after the impact: windows that end here show a fall
UNCLEAR_S: Final = 3.2  # and until here neither
LOST_S: Final = 2.0
QUIET_PER_S: Final = 1.8  # windows taken from each second without a fall
FALLS_PER_S: Final = 6.0
POSES_PER_S: Final = 2.5
EQUAL_SCORES: Final = 0.25  # share of poses without information in the scores
REMEMBERED: Final = 0.6  # share of poses with an earlier look at the person standing
STALE: Final = 0.3  # share of these looks that are a second old at least

HIDDEN_UNITS: Final = {"falls": (192, 96), "postures": (160, 80)}


class Samples(NamedTuple):
    """Inputs of both networks and what is true."""

    windows: list[Floats]
    fell: list[float]
    bodies: list[Floats]
    """Keypoints (17, 3)."""

    postures: list[int]
    before: list[Array]
    """Rows (3,) of `upright_looks` of an earlier moment; NaN where not known."""


def smooth_together(keypoints: Floats, found: NDArray[np.bool_], fps: float) -> Floats:
    """Smooth the bodies (n, T, 17, 3) of n scenes as the daemon does, frame by frame."""
    options = smoothing.SmootherOptions()
    count, frames = found.shape
    one = smoothing.unknown(np.zeros((19, 3), np.float32))
    state = smoothing.Points(*(np.stack([part] * count) for part in one))
    smooth = keypoints.copy()
    for frame in range(frames):
        at_ns = round(frame / fps * NS_PER_S)
        places = keypoints[:, frame]
        seen = np.zeros((count, 19, 3), np.float32)
        seen[:, :17] = places
        seen[:, 17, :2], seen[:, 18, :2] = places[..., :2].min(axis=1), places[..., :2].max(axis=1)
        seen[:, 17:, 2] = 1
        seen[~found[:, frame], :, 2] = 0
        gone = at_ns - state.seen_ns[:, -1] > options.gap_s * NS_PER_S
        state.seen_ns[gone] = smoothing.NEVER_NS
        state = smoothing.step(state, seen, at_ns, options)
        sure = seen[:, :17, 2] >= options.joint_score
        smooth[:, frame, :, :2] = np.where(sure[..., None], state.smooth[:, :17], places[..., :2])
    return smooth


def collect(count: int) -> Samples:
    """Generate scenes and take samples of them."""
    samples = Samples([], [], [], [], [])
    for first in range(FIRST_SEED, FIRST_SEED + count, BATCH):
        last = min(first + BATCH, FIRST_SEED + count)
        scenes = [record(seed) for seed in range(first, last)]
        for fps in sorted({scene.fps for scene in scenes}):
            sample([scene for scene in scenes if scene.fps == fps], fps, samples)
        sys.stderr.write(f"{last - FIRST_SEED} scenes, {len(samples.fell)} windows\n")
    return samples


def sample(scenes: Sequence[Recorded], fps: float, samples: Samples) -> None:
    """Take samples of scenes with one frame rate."""
    frames = max(len(scene.seconds) for scene in scenes)
    keypoints = np.zeros((len(scenes), frames, 17, 3), np.float32)
    found = np.zeros((len(scenes), frames), bool)
    for row, scene in enumerate(scenes):
        keypoints[row, : len(scene.seconds)] = scene.keypoints
        found[row, : len(scene.seconds)] = scene.found
    smooth = smooth_together(keypoints, found, fps)
    for scene, bodies in zip(scenes, smooth, strict=True):
        rng = np.random.default_rng([scene.seed, 1])
        seen = np.flatnonzero(scene.found)
        if len(seen) < 4:
            continue
        sample_postures(scene, bodies, seen, rng, samples)
        sample_windows(scene, bodies, seen, rng, samples)


def sample_postures(
    scene: Recorded,
    bodies: Floats,
    seen: NDArray[np.intp],
    rng: np.random.Generator,
    samples: Samples,
) -> None:
    """Take single poses whose posture is clear."""
    upright = upright_looks(bodies, MIN_SCORE)
    stood = seen[scene.postures[seen] == STANDING]
    for frame in seen.tolist():
        if scene.postures[frame] >= 0 and rng.random() < POSES_PER_S / scene.fps:
            samples.bodies.append(_scored(bodies[frame], rng))
            samples.postures.append(int(scene.postures[frame]))
            earlier = stood[stood < frame - (scene.fps if rng.random() < STALE else 0)]
            known = len(earlier) and rng.random() < REMEMBERED
            samples.before.append(upright[earlier[-1]] if known else np.full(3, np.nan))


def _scored(body: Floats, rng: np.random.Generator) -> Floats:
    """Return the body, at times with equal scores: those of other models differ."""
    if rng.random() > EQUAL_SCORES:
        return body
    equal = body.copy()
    equal[:, 2] = np.where(body[:, 2] >= MIN_SCORE, 1.0, 0.0)
    return equal


def sample_windows(
    scene: Recorded,
    bodies: Floats,
    seen: NDArray[np.intp],
    rng: np.random.Generator,
    samples: Samples,
) -> None:
    """Take windows, more of falls than of anything else."""
    seconds, times = scene.seconds, scene.seconds[seen]
    last = np.searchsorted(times, seconds + 1e-6)
    usable = (last >= 3) & (seconds - times[np.maximum(last - 1, 0)] <= LOST_S)
    fell = np.zeros(len(seconds), bool)
    if scene.impact_s is not None and scene.start_s is not None:
        after_s = seconds - scene.impact_s
        fell = (after_s >= FALLEN_S[0]) & (after_s <= FALLEN_S[1])
        usable &= fell | (seconds < scene.start_s) | (after_s > UNCLEAR_S)
        if scene.up_s is not None:
            usable &= ~(fell & (seconds > scene.up_s))
    chance = np.where(fell, FALLS_PER_S, QUIET_PER_S) / scene.fps
    taken = np.flatnonzero(usable & (rng.random(len(seconds)) < chance))
    if not len(taken):
        return
    inputs, known = windows(measure(bodies[seen], MIN_SCORE), times, seconds[taken])
    samples.windows.extend(inputs[known])
    samples.fell.extend(fell[taken][known].astype(float).tolist())


# ------------------------------------------------------------------------- training


@dataclass(slots=True)
class Adam:
    """Adam with decoupled weight decay and a cosine schedule (Loshchilov and Hutter 2019)."""

    values: list[Floats]
    steps: int
    rate: float = 2e-3
    decay: float = 1e-4

    def run(self, gradients: Iterator[list[Floats]]) -> None:
        """Apply each list of gradients, one for each value."""
        mean = [np.zeros_like(value) for value in self.values]
        square = [np.zeros_like(value) for value in self.values]
        for step, parts in enumerate(gradients, 1):
            rate = self.rate * 0.5 * (1 + np.cos(np.pi * step / self.steps))
            for k, (value, part) in enumerate(zip(self.values, parts, strict=True)):
                mean[k] = 0.9 * mean[k] + 0.1 * part
                square[k] = 0.999 * square[k] + 0.001 * part**2
                move = mean[k] / (1 - 0.9**step)
                move /= np.sqrt(square[k] / (1 - 0.999**step)) + 1e-8
                value[...] -= np.float32(rate) * (move + np.float32(self.decay) * value)


def train(
    pair: tuple[Floats, Floats], targets: Floats, hidden: tuple[int, ...], epochs: int
) -> list[Floats]:
    """Fit a perceptron to targets (n, classes), or (n, 1) for yes and no.

    `pair` are the inputs and their mirror images. Returns the weights, then the biases.
    """
    rng = np.random.default_rng(0)
    sizes = [pair[0].shape[1], *hidden, targets.shape[1]]
    layers = list(itertools.pairwise(sizes))
    values = [rng.normal(0, np.sqrt(2 / a), (a, b)).astype(np.float32) for a, b in layers]
    values += [np.zeros(b, np.float32) for _, b in layers]
    steps = epochs * (len(targets) // 256)
    Adam(values, steps).run(_gradients(values, pair, targets, epochs, rng))
    return values


def _gradients(
    values: list[Floats],
    pair: tuple[Floats, Floats],
    targets: Floats,
    epochs: int,
    rng: np.random.Generator,
) -> Iterator[list[Floats]]:
    for epoch in range(epochs):
        order = rng.permutation(len(targets))
        losses = []
        for first in range(0, len(order) - 255, 256):
            rows = order[first : first + 256]
            inputs = pair[int(rng.integers(2))][rows]
            loss, parts = _backward(values, inputs, targets[rows], rng)
            losses.append(loss)
            yield parts
        sys.stderr.write(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}\n")


def _backward(
    values: list[Floats], inputs: Floats, targets: Floats, rng: np.random.Generator
) -> tuple[float, list[Floats]]:
    """Return the cross-entropy and its gradients, with a tenth of the units dropped."""
    half = len(values) // 2
    weights, biases = values[:half], values[half:]
    outputs = [inputs]
    for layer in range(half):
        value = outputs[-1] @ weights[layer] + biases[layer]
        if layer < half - 1:
            kept = (rng.random(value.shape) > 0.1).astype(np.float32) / np.float32(0.9)
            value = np.maximum(value, 0) * kept
        outputs.append(value)
    shares = _shares(outputs.pop())
    error = (shares - targets) / np.float32(len(targets))
    slopes: list[Floats] = [np.empty(0, np.float32)] * len(values)
    for layer in range(half - 1, -1, -1):
        slopes[layer], slopes[half + layer] = outputs[layer].T @ error, error.sum(axis=0)
        error = error @ weights[layer].T * (outputs[layer] > 0) / np.float32(0.9)
    likely = np.clip(np.where(targets > 0, shares, 1 - shares), 1e-7, 1)
    return float(-np.log(likely).sum(axis=1).mean()), slopes


def _shares(logits: Floats) -> Floats:
    """Return probabilities: sigmoid of one output, softmax of several."""
    if logits.shape[1] == 1:
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
    return softmax(logits)


def save(name: str, values: list[Floats]) -> None:
    """Write weights in half precision."""
    half = len(values) // 2
    arrays = {f"weights{k}": value for k, value in enumerate(values[:half])}
    arrays |= {f"biases{k}": value for k, value in enumerate(values[half:])}
    halved = {key: value.astype(np.float16) for key, value in arrays.items()}
    np.savez_compressed(DATA / f"{name}.npz", **halved)


def main() -> None:
    """Generate, train, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=8_000)
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    fit(collect(args.scenes), args.epochs)


def fit(samples: Samples, epochs: int) -> None:
    """Train both networks and write them."""
    inputs = np.array(samples.windows, np.float32)
    mirrored = inputs.copy()
    mirrored[:, 0 : 2 * POINTS * STEPS : 2] *= -1
    fell = np.array(samples.fell, np.float32)[:, None]
    save("falls", train((inputs, mirrored), fell, HIDDEN_UNITS["falls"], epochs))

    bodies, before = np.array(samples.bodies), np.array(samples.before)
    flipped = bodies[:, list(MIRRORED)] * np.array([-1, 1, 1], np.float32)
    usable = (bodies[:, 5:13, 2] >= MIN_SCORE).any(axis=1)
    both = (
        posture_inputs(bodies[usable], MIN_SCORE, before[usable]),
        posture_inputs(flipped[usable], MIN_SCORE, before[usable] * [-1, 1, 1]),
    )
    truth = np.eye(4, dtype=np.float32)[np.array(samples.postures)[usable]]
    save("postures", train(both, truth, HIDDEN_UNITS["postures"], epochs))


if __name__ == "__main__":
    main()
