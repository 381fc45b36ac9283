# ruff: noqa: T201  a command: it prints
"""Measure the tracker: ids against known truth, and time.

    python -m benchmarks.tracking

prints the tables of `docs/tracking.md`.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Sequence

from edgepose.people.tracking import Tracker
from edgepose.timing import NS_PER_S
from tests.support.clips import pedestrians
from tests.support.marks import Marks, mark
from tests.support.walks import WALKS, Moment, Walk, Walker, crowd

RATES_HZ = (30, 10, 5)
SEEDS = range(10)
SECONDS = 30.0
ROUNDS = 7


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
    print("| people | apart, ms: p50 | p99 | among each other, ms: p50 | p99 |")
    print("|---|---|---|---|---|")
    for people in (1, 2, 5, 10, 20):
        cells = [*_time(apart(people)), *_time(crowd(people, SECONDS))]
        print(f"| {people} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")


def apart(people: int) -> Walk:
    """Let people stroll beside each other, a body's height between them."""
    lanes = [200.0 * lane for lane in range(people)]
    walkers = (Walker(((0, 100 + x, 600), (SECONDS, 500 + x, 600))) for x in lanes)
    return Walk(tuple(walkers), SECONDS, width=5000)


def _time(walk: Walk) -> tuple[float, float]:
    """Return percentiles 50 and 99 of the processor's milliseconds in one update.

    Of each frame the shortest of several rounds: what other programs do to the caches and
    to the processor's pace is not the tracker's.
    """
    moments = list(walk.film(10))
    taken = [min(times) for times in zip(*(_round(moments) for _ in range(ROUNDS)), strict=True)]
    return statistics.median(taken[20:]), statistics.quantiles(taken[20:], n=100)[-1]


def _round(moments: Sequence[Moment]) -> list[float]:
    tracker, taken = Tracker(), []
    for moment in moments:
        begin = time.thread_time()
        tracker.update(moment.poses, moment.at_ns)
        taken.append(1000 * (time.thread_time() - begin))
    return taken


def clip() -> None:
    """Print how many ids real pedestrians get: at two rates, with doubtful poses and without."""
    print("| Hz | poses from | ids | shortest, s | median, s |")
    print("|---|---|---|---|---|")
    for every, least in itertools.product((1, 2), (0.15, 0.25)):
        tracker, seen = Tracker(), dict[int, list[int]]()
        for at_ns, poses in pedestrians()[::every]:
            for track in tracker.update([p for p in poses if p.score >= least], at_ns):
                seen.setdefault(track.id, []).append(at_ns)
        lives = [(times_ns[-1] - times_ns[0]) / NS_PER_S for times_ns in seen.values()]
        lasts = f"{min(lives):.1f} | {statistics.median(lives):.1f}"
        print(f"| {10 // every} | {least} | {len(lives)} | {lasts} |")


if __name__ == "__main__":
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    times()
    print()
    walks()
    print()
    clip()
