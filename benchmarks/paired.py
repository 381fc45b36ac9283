"""CPU time of a frame with 1, 3 and 6 people, against another version of edgepose, in one run.

Run from the repository: ``python -m benchmarks.paired TREE``. TREE is a checkout of the other
version, such as one of ``git worktree add --detach TREE 734a5d1``. One process for each model
and version computes one frame after the other, in turns, on one thread; the ratios are
medians over the turns. Results go to `benchmarks/results`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import cv2

from benchmarks import policies

ROUNDS: Final = 15
OLD: Final = "refined"
"""Model of the other version that all are compared with."""

MODELS: Final = ("refined-light", "posenet-481x641+movenet-thunder-int8", "refined", "best")
RESULTS: Final = Path(__file__).parent / "results" / "paired.json"


def main() -> None:
    """Time all models in turns and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", metavar="MODEL", help=argparse.SUPPRESS)
    parser.add_argument("tree", nargs="?", type=Path, help="a checkout of the other version")
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    if args.tree is None:
        parser.error("expected a checkout of the other version")
    asked = {f"{OLD}, before": (args.tree, OLD)}
    asked |= {model: (Path(__file__).parents[1], model) for model in MODELS}
    times = timed(asked)
    commit = ["git", "-C", str(args.tree), "rev-parse", "--short", "HEAD"]
    report = {
        "about": "CPU milliseconds of a frame with 1, 3 and 6 people, one thread, medians;"
        " ratio: median of those of the turns to the other version's",
        "at": datetime.now(UTC).date().isoformat(),
        "before": subprocess.check_output(commit, text=True).strip(),
        "rows": [row(name, times) for name in asked],
    }
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


def timed(asked: dict[str, tuple[Path, str]]) -> dict[tuple[str, int], list[float]]:
    """Return the milliseconds of each turn, by name and number of people."""
    times: dict[tuple[str, int], list[float]] = {}
    servers = {name: server(*place) for name, place in asked.items()}
    try:
        for _ in range(ROUNDS):
            for people in policies.CROWDS:
                for name, process in servers.items():
                    times.setdefault((name, people), []).append(ask(process, people))
    finally:
        for process in servers.values():
            process.kill()
    return times


def server(tree: Path, model: str) -> "subprocess.Popen[str]":
    """Start a process of a version, which loads a model."""
    command = [sys.executable, str(Path(__file__).resolve()), "--serve", model]
    environment = {**os.environ, "PYTHONPATH": str(tree.resolve()), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=tree,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ask(process: "subprocess.Popen[str]", people: int) -> float:
    """Return the milliseconds of one frame."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{people}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def serve(model: str) -> None:
    """Answer each number of people with the milliseconds of a frame."""
    cv2.setNumThreads(1)
    estimator = policies.load(model, "refine")
    crowds = {people: policies.crowd(people) for people in policies.CROWDS}
    for image, people in crowds.values():
        policies.frame_ms(estimator, image, people, 0)  # the first one loads shapes
    for turn, line in enumerate(sys.stdin):
        image, people = crowds[int(line)]
        sys.stdout.write(f"{policies.frame_ms(estimator, image, people, turn)}\n")
        sys.stdout.flush()


def row(name: str, times: dict[tuple[str, int], list[float]]) -> dict[str, object]:
    """Return a model's row."""
    before = f"{OLD}, before"
    ratios = {
        people: statistics.median(
            ms / old for ms, old in zip(times[name, people], times[before, people], strict=True)
        )
        for people in policies.CROWDS
    }
    return {
        "model": name,
        "ms": {
            str(people): round(statistics.median(times[name, people]), 1)
            for people in policies.CROWDS
        },
        "ratio": {str(people): round(ratio, 2) for people, ratio in ratios.items()},
    }


if __name__ == "__main__":
    main()
