"""How much of the machine's best bare rate the daemon reaches, for any number of cameras."""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from edgepose.config.schema import Config
from edgepose.measure import benchmark
from edgepose.pose.estimator import PoseEstimator

CAMERAS: Final = (1, 2, 4)


class Arrangement(NamedTuple):
    """How inferences are spread over the cores."""

    interpreters: int
    threads: int
    """Of each inference."""

    def __str__(self) -> str:
        return f"{self.interpreters} x {self.threads}"


@dataclass(frozen=True, slots=True)
class Measured:
    """A rate, or several of the same thing."""

    cameras: int
    """0 for the bare loop."""

    arrangement: Arrangement
    rates_hz: tuple[float, ...]
    """Frames a second of all cameras together, one entry per round."""

    @property
    def best_hz(self) -> float:
        """The best round: what disturbs a measurement only makes it slower."""
        return max(self.rates_hz)


@dataclass(frozen=True, slots=True)
class Scaling:
    """What the bare loop reaches in each arrangement, and the daemon with cameras."""

    bare: tuple[Measured, ...]
    daemon: tuple[Measured, ...]

    @property
    def best(self) -> Measured:
        """The arrangement with the machine's best bare rate."""
        return max(self.bare, key=lambda entry: entry.best_hz)

    def share(self, entry: Measured) -> float:
        """Return the part of the best bare rate that the daemon reaches."""
        return entry.best_hz / self.best.best_hz


def arrangements(cores: int | None = None) -> list[Arrangement]:
    """Return ways to spread inferences over the cores: one alone, and those that use all.

    Examples
    --------
    >>> [str(entry) for entry in arrangements(4)]
    ['1 x 1', '1 x 4', '2 x 2', '4 x 1']
    """
    cores = cores or os.cpu_count() or 1
    whole = [Arrangement(n, cores // n) for n in range(1, cores + 1) if cores % n == 0]
    return sorted({Arrangement(1, 1), *whole})


def measure(config: Config, *, frames: int, rounds: int) -> Iterator[Measured | Scaling]:
    """Measure the bare loop in every arrangement, then the daemon in the best one, in turns.

    Yields each measurement, then all of them together. The configuration has one camera,
    which is taken several times.
    """
    bare: dict[Arrangement, list[float]] = {entry: [] for entry in arrangements()}
    daemon: dict[int, list[float]] = {count: [] for count in CAMERAS}
    best = next(iter(bare))
    for _ in range(rounds):
        for entry, rates in bare.items():
            rates.append(_bare_hz(config, entry, frames))
            yield Measured(0, entry, (rates[-1],))
        best = max(bare, key=lambda entry: max(bare[entry]))
        for count, rates in daemon.items():
            rates.append(_daemon_hz(_arranged(config, best, count), frames))
            yield Measured(count, best, (rates[-1],))
    yield Scaling(
        tuple(Measured(0, entry, tuple(rates)) for entry, rates in bare.items()),
        tuple(Measured(count, best, tuple(rates)) for count, rates in daemon.items()),
    )


def summary(scaling: Scaling) -> dict[str, Any]:
    """Return what was measured as plain data."""
    return {
        "machine": benchmark.machine(),
        "bare_hz": {str(entry.arrangement): _rounded(entry.rates_hz) for entry in scaling.bare},
        "best": str(scaling.best.arrangement),
        "daemon": [
            {
                "cameras": entry.cameras,
                "arrangement": str(entry.arrangement),
                "hz": _rounded(entry.rates_hz),
                "share_of_best": round(scaling.share(entry), 3),
            }
            for entry in scaling.daemon
        ],
    }


def _rounded(rates: Sequence[float]) -> dict[str, float]:
    return {"best": round(max(rates), 1), "median": round(statistics.median(rates), 1)}


def _bare_hz(config: Config, entry: Arrangement, frames: int) -> float:
    """Return how many inferences a second an arrangement does with nothing else to do."""
    model = config.model
    engine = PoseEstimator(
        model.name, policy=model.policy, threads=entry.threads, interpreters=entry.interpreters
    ).engine
    engine.warm_up()
    started = time.perf_counter()
    engine.spin(frames)
    return frames / (time.perf_counter() - started)


def _arranged(config: Config, entry: Arrangement, cameras: int) -> Config:
    """Return the configuration with its camera so many times, in an arrangement."""
    camera = config.cameras[0]
    model = replace(config.model, threads=entry.threads, interpreters=entry.interpreters)
    copies = tuple(replace(camera, id=f"{camera.id}{number}") for number in range(cameras))
    return replace(config, model=model, cameras=copies)


def _daemon_hz(config: Config, frames: int) -> float:
    """Return how many frames a second reach the broker's socket, of all cameras together."""
    return benchmark.run_daemon(config, frames).hz
