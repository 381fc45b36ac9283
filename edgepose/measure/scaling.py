"""How much of the machine's best bare rate the daemon reaches, for any number of cameras."""

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
    """Frames a second of all cameras together."""

    cpu_ms: float
    """CPU time of one frame, of all threads: other programs change it little."""


@dataclass(frozen=True, slots=True)
class MeasuredRate:
    """The bare loop or the daemon in one arrangement."""

    cameras: int
    """0 for the bare loop."""

    arrangement: Arrangement
    samples: tuple[Sample, ...]
    """One per round."""

    @property
    def best_hz(self) -> float:
        """The best round: what disturbs a measurement only makes it slower."""
        return max(sample.hz for sample in self.samples)

    @property
    def cpu_ms(self) -> float:
        """The least CPU time of a frame."""
        return min(sample.cpu_ms for sample in self.samples)


@dataclass(frozen=True, slots=True)
class Scaling:
    """What the bare loop reaches in each arrangement, and the daemon with cameras."""

    bare: tuple[MeasuredRate, ...]
    daemon: tuple[MeasuredRate, ...]

    @property
    def best(self) -> MeasuredRate:
        """The arrangement with the machine's best bare rate."""
        return max(self.bare, key=lambda entry: entry.best_hz)

    def share(self, entry: MeasuredRate) -> float:
        """Return the part of the best bare rate that the daemon reaches."""
        return entry.best_hz / self.best.best_hz

    def cpu_share(self, entry: MeasuredRate) -> float:
        """Return the bare loop's CPU time of a frame as a part of the daemon's.

        In the same arrangement. It is the share that the daemon reaches on a machine that
        is full, also where other programs make the rates useless.
        """
        bare = next(one for one in self.bare if one.arrangement == entry.arrangement)
        return bare.cpu_ms / entry.cpu_ms


def measure(config: Config, *, frames: int, rounds: int) -> Iterator[MeasuredRate | Scaling]:
    """Measure the bare loop in every arrangement, then the daemon in the best one, in turns.

    Yields each measurement, then all of them together. The configuration has one camera,
    which is taken several times.
    """
    bare: dict[Arrangement, list[Sample]] = {
        entry: [] for entry in arrangements(os.cpu_count() or 1)
    }
    daemon: dict[int, list[Sample]] = {count: [] for count in CAMERAS}
    for _ in range(rounds):
        for entry, samples in bare.items():
            samples.append(_bare(config, entry, frames))
            yield MeasuredRate(0, entry, (samples[-1],))
    best = max(bare, key=lambda entry: max(bare[entry]))
    for _ in range(rounds):
        for count, samples in daemon.items():
            samples.append(_daemon(_arranged(config, best, count), frames))
            yield MeasuredRate(count, best, (samples[-1],))
        bare[best].append(_bare(config, best, frames))
    yield Scaling(
        tuple(MeasuredRate(0, entry, tuple(samples)) for entry, samples in bare.items()),
        tuple(MeasuredRate(count, best, tuple(samples)) for count, samples in daemon.items()),
    )


def summary(scaling: Scaling) -> dict[str, Any]:
    """Return what was measured as plain data."""
    return {
        "machine": benchmark.machine(),
        "bare": {str(entry.arrangement): _rounded(entry) for entry in scaling.bare},
        "best": str(scaling.best.arrangement),
        "daemon": [
            {
                "cameras": entry.cameras,
                "arrangement": str(entry.arrangement),
                "share_of_best": round(scaling.share(entry), 3),
                "share_by_cpu": round(scaling.cpu_share(entry), 3),
            }
            | _rounded(entry)
            for entry in scaling.daemon
        ],
    }


def _rounded(entry: MeasuredRate) -> dict[str, float]:
    middle = statistics.median(sample.hz for sample in entry.samples)
    return {
        "best_hz": round(entry.best_hz, 1),
        "median_hz": round(middle, 1),
        "cpu_ms": round(entry.cpu_ms, 2),
    }


def _bare(config: Config, entry: Arrangement, frames: int) -> Sample:
    """Run an arrangement with nothing else to do."""
    model = config.model
    engine = PoseEstimator(
        model.name, policy=model.policy, threads=entry.threads, interpreters=entry.interpreters
    ).engine
    engine.warm_up()
    return Sample(*benchmark.spin(engine, frames))


def _arranged(config: Config, entry: Arrangement, cameras: int) -> Config:
    """Return the configuration with its camera so many times, in an arrangement."""
    camera = config.cameras[0]
    model = replace(config.model, threads=entry.threads, interpreters=entry.interpreters)
    copies = tuple(replace(camera, id=f"{camera.id}{number}") for number in range(cameras))
    return replace(config, model=model, cameras=copies)


def _daemon(config: Config, frames: int) -> Sample:
    """Run the daemon until so many frames, of all cameras together, have reached the broker."""
    run = benchmark.run_daemon(config, frames)
    return Sample(run.hz, run.cpu_ms[cpu.TOTAL])
