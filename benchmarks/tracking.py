# ruff: noqa: T201  a command: it prints
"""Measure the tracker: ids against known truth, and time.

    python -m benchmarks.tracking

prints the tables of `docs/tracking.md`.
"""

import statistics
import time

from edgepose.tracking import Tracker
from tests.marks import Marks, mark
from tests.walks import WALKS, crowd

RATES_HZ = (30, 10, 5)
SEEDS = range(10)
FRAMES = 300


def walks() -> None:
    """Print how well ids are kept on every walk."""
    print("| walk | people | Hz | IDF1 | MOTA | switches | ids |")
    print("|---|---|---|---|---|---|---|")
    for name, walk in WALKS.items():
        for rate_hz in RATES_HZ:
            row = mark(walk, rate_hz, SEEDS)
            print(f"| {name} | {len(walk.walkers)} | {rate_hz} | {_show(row)} |", flush=True)


def _show(row: Marks) -> str:
    return f"{row.idf1:.3f} | {row.mota:.3f} | {row.switches / len(SEEDS):.1f} | {row.ids:.1f}"


def times() -> None:
    """Print the median and the 99th percentile of one update."""
    print("| people | update, ms, p50 | p99 |")
    print("|---|---|---|")
    for people in (1, 2, 5, 10, 20):
        taken = _time(people)
        p99 = statistics.quantiles(taken, n=100)[-1]
        print(f"| {people} | {statistics.median(taken):.2f} | {p99:.2f} |")


def _time(people: int) -> list[float]:
    """Return the processor milliseconds of each update of people who wander among each other."""
    films = list(crowd(people, FRAMES / 10).film(10))
    tracker, taken = Tracker(), []
    for moment in films:
        begin = time.thread_time()
        tracker.update(moment.poses, moment.at_ns)
        taken.append(1000 * (time.thread_time() - begin))
    return taken[20:]


if __name__ == "__main__":
    times()
    print()
    walks()
