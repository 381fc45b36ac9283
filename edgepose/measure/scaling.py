"""Measures the daemon's frame rate as a share of the networks' own rate, by cameras."""

import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from edgepose.config.schema import Config
from edgepose.measure import benchmark, cpu
from edgepose.pose.arrangement import Arrangement, arrangements
from edgepose.pose.estimator import PoseEstimator

CAMERAS: Final = (1, 2, 4)


class Sample(NamedTuple):
    """One measurement."""

    hz: float
    """Frames per second of all cameras together."""

    cpu_ms: float
    """CPU time of one frame, of all threads; hardly affected by other programs."""


@dataclass(frozen=True, slots=True)
class MeasuredRate:
    """Samples of the bare loop or the daemon in one arrangement."""

    cameras: int
    """0 for the bare loop."""

    arrangement: Arrangement
    samples: tuple[Sample, ...]
    """One per round."""

    @property
    def best_hz(self) -> float:
        """The highest rate of all rounds, since disturbances only lower it."""
        return max(sample.hz for sample in self.samples)

    @property
    def cpu_ms(self) -> float:
        """The lowest CPU time of a frame."""
        return min(sample.cpu_ms for sample in self.samples)


@dataclass(frozen=True, slots=True)
class Scaling:
    """Rates of the bare loop in each arrangement, and of the daemon by number of cameras."""

    bare: tuple[MeasuredRate, ...]
    daemon: tuple[MeasuredRate, ...]

    @property
    def best(self) -> MeasuredRate:
        """The measurement with the highest bare rate."""
        return max(self.bare, key=lambda entry: entry.best_hz)

    def share(self, entry: MeasuredRate) -> float:
        """Return the daemon's rate as a share of the best bare rate."""
        return entry.best_hz / self.best.best_hz

    def cpu_share(self, entry: MeasuredRate) -> float:
        """Return the ratio of the bare loop's CPU time per frame to the daemon's.

        Both in the same arrangement. It equals the daemon's share of the bare rate on a
        fully loaded machine, and stays valid when other programs disturb the rates.
        """
        bare = next(one for one in self.bare if one.arrangement == entry.arrangement)
        return bare.cpu_ms / entry.cpu_ms


def measure(config: Config, *, frames: int, rounds: int) -> Iterator[MeasuredRate | Scaling]:
    """Measure the bare loop in every arrangement, then the daemon in the best one, in rounds.

    Yields each measurement, then the combined result. The one camera of the configuration
    is duplicated for several cameras.
    """
    bare: dict[Arrangement, list[Sample]] = {
        entry: [] for entry in arrangements(os.cpu_count() or 1)
    }
    daemon: dict[int, list[Sample]] = {count: [] for count in CAMERAS}
    for _ in range(rounds):
        for entry, samples in bare.items():
            samples.append(_measure_bare(config, entry, frames))
            yield MeasuredRate(0, entry, (samples[-1],))
    best = max(bare, key=lambda entry: max(bare[entry]))
    for _ in range(rounds):
        for count, samples in daemon.items():
            samples.append(_measure_daemon(_with_arrangement(config, best, count), frames))
            yield MeasuredRate(count, best, (samples[-1],))
        bare[best].append(_measure_bare(config, best, frames))
    yield Scaling(
        tuple(MeasuredRate(0, entry, tuple(samples)) for entry, samples in bare.items()),
        tuple(MeasuredRate(count, best, tuple(samples)) for count, samples in daemon.items()),
    )


def summary(scaling: Scaling) -> dict[str, Any]:
    """Return the measurements as plain data for JSON."""
    return {
        "machine": benchmark.machine(),
        "bare": {str(entry.arrangement): _round_values(entry) for entry in scaling.bare},
        "best": str(scaling.best.arrangement),
        "daemon": [
            {
                "cameras": entry.cameras,
                "arrangement": str(entry.arrangement),
                "share_of_best": round(scaling.share(entry), 3),
                "share_by_cpu": round(scaling.cpu_share(entry), 3),
            }
            | _round_values(entry)
            for entry in scaling.daemon
        ],
    }


def _round_values(entry: MeasuredRate) -> dict[str, float]:
    middle = statistics.median(sample.hz for sample in entry.samples)
    return {
        "best_hz": round(entry.best_hz, 1),
        "median_hz": round(middle, 1),
        "cpu_ms": round(entry.cpu_ms, 2),
    }


def _measure_bare(config: Config, entry: Arrangement, frames: int) -> Sample:
    """Measure the bare loop in an arrangement."""
    model = config.model
    engine = PoseEstimator(
        model.name, policy=model.policy, threads=entry.threads, interpreters=entry.interpreters
    ).engine
    engine.warm_up()
    return Sample(*benchmark.spin(engine, frames))


def _with_arrangement(config: Config, entry: Arrangement, cameras: int) -> Config:
    """Return the configuration with `cameras` copies of its camera, in an arrangement."""
    camera = config.cameras[0]
    model = replace(config.model, threads=entry.threads, interpreters=entry.interpreters)
    copies = tuple(replace(camera, id=f"{camera.id}{number}") for number in range(cameras))
    return replace(config, model=model, cameras=copies)


def _measure_daemon(config: Config, frames: int) -> Sample:
    """Measure the daemon over `frames` published frames of all cameras together."""
    run = benchmark.run_daemon(config, frames)
    return Sample(run.hz, run.cpu_ms[cpu.TOTAL])
