"""Time and memory of each way of looking, beside its accuracy, as in models/README.md.

Run from the repository, after ``python -m benchmarks.accuracy``: ``python -m
benchmarks.policies``. All models are timed in one process, in turns, on one thread, in
time of the processor, so that what else the machine does matters little; memory is that
of a process that has done nothing else. Results go to `benchmarks/results`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from benchmarks import accuracy
from edgepose.camera import sources
from edgepose.measure.benchmark import machine
from edgepose.pose import interpreter
from edgepose.pose.decoders import Limits
from edgepose.pose.estimator import PoseEstimator
from edgepose.pose.preprocess import use_one_thread
from edgepose.system import process
from edgepose.types import Image, Pose

CROWDS: Final = (1, 3, 6)
ROUNDS: Final = 15
PERSON: Final = (slice(40, 350), slice(90, 260))  # of the demo's first picture
RESULTS: Final = Path(__file__).parent / "results" / "policies.json"


def main() -> None:
    """Measure every row and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", nargs=2, metavar=("MODEL", "POLICY"), help=argparse.SUPPRESS)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="only these; default: all")
    args = parser.parse_args()
    use_one_thread()
    if args.memory:
        sys.stdout.write(f"{memory_here(*args.memory)}\n")
        return
    known = json.loads(accuracy.RESULTS.read_text("utf-8"))["rows"]
    known = [row for row in known if accuracy.is_here(accuracy.Row(row["model"], row["policy"]))]
    chosen = [row for row in known if row["model"] in (args.models or [row["model"]])]
    estimators = [load(row["model"], row["policy"]) for row in chosen]
    times = timed(estimators)
    before = json.loads(RESULTS.read_text("utf-8"))["rows"] if RESULTS.exists() else []
    measured = {(row["model"], row["policy"]): row for row in before}
    for row, ms in zip(tqdm(chosen, desc="memory"), times, strict=True):
        key = row["model"], row["policy"]
        measured[key] = {"model": key[0], "policy": key[1], "ms": ms, "memory_mb": memory(*key)}
    known = [row for row in known if (row["model"], row["policy"]) in measured]
    rows = [measured[row["model"], row["policy"]] for row in known]
    report = {
        "machine": machine(),
        "runtime": interpreter.runtime(),
        "threads": estimators[0].engine.threads,
        "rounds": ROUNDS,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    sys.stdout.write(table(known, rows))


def load(model: str, policy: str) -> PoseEstimator:
    """Load a row's models, one thread each: the machines meant have other things to do."""
    limits = Limits(20, 0.0)
    estimator = PoseEstimator(model, policy=policy, threads=1, limits=limits)  # type: ignore[arg-type]
    estimator.warm_up()
    return estimator


def timed(estimators: list[PoseEstimator]) -> list[dict[str, float]]:
    """Return for each estimator the milliseconds of a frame with so many known people."""
    room = {count: crowd(count) for count in CROWDS}
    spent: list[dict[int, list[float]]] = [{count: [] for count in CROWDS} for _ in estimators]
    for turn in tqdm(range(ROUNDS), desc="time"):
        for estimator, times in zip(estimators, spent, strict=True):
            for count, (image, people) in room.items():
                times[count].append(frame_ms(estimator, image, people, turn))
    return [
        {str(count): round(statistics.median(values), 1) for count, values in times.items()}
        for times in spent
    ]


def frame_ms(estimator: PoseEstimator, image: Image, people: list[Pose], turn: int) -> float:
    """Return the processor's time for one frame of a film, from picture to poses."""
    limits = Limits(6, 0.25)
    started = time.process_time()
    inputs = estimator.prepare(image, people, turn)
    estimator.decode(inputs, estimator.infer(inputs), limits=limits)
    return 1000 * (time.process_time() - started)


def crowd(count: int) -> tuple[Image, list[Pose]]:
    """Return a picture with so many people side by side, and where they are."""
    with closing(sources.open_source("demo://", realtime=False, once=True)) as source:
        person = next(iter(source.frames())).image[PERSON]
    canvas = np.full((720, 1280, 3), 128, dtype=np.uint8)
    for index in range(count):
        left = 20 + 200 * index
        canvas[300 : 300 + person.shape[0], left : left + person.shape[1]] = person
    finder = PoseEstimator("movenet-multipose@384x384", limits=Limits(count, 0.1))
    people = finder.estimate(canvas)
    if len(people) != count:
        msg = f"the picture shows {count} people and {len(people)} are found"
        raise RuntimeError(msg)
    return canvas, people


def memory(model: str, policy: str) -> float:
    """Return the memory in MB of a process that looks with these models only."""
    command = [sys.executable, "-m", "benchmarks.policies", "--memory", model, policy]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def memory_here(model: str, policy: str) -> float:
    """Return the memory in MB of this process after one picture."""
    canvas = np.full((720, 1280, 3), 128, dtype=np.uint8)
    estimator = load(model, policy)
    estimator.estimate(canvas)
    return round(process.memory_mb() or 0.0, 1)


def table(known: list[dict[str, Any]], rows: list[dict[str, Any]]) -> str:
    """Return the table of models/README.md."""
    head = (
        "model",
        "policy",
        "AP",
        "AR",
        "AP, smaller",
        "AP, alone",
        "ms, 1 person",
        "3",
        "6",
        "MB",
    )
    lines = [f"| {' | '.join(head)} |\n", f"|{'---|' * len(head)}\n"]
    for figures, row in zip(known, rows, strict=True):
        pictures = figures["pictures"]
        model = row["model"].replace("|", "\\|")
        cells = [
            f"`{model}`",
            row["policy"],
            f"{pictures['AP']:.1f} ({pictures['AP_low']:.0f}–{pictures['AP_high']:.0f})",
            f"{pictures['AR']:.1f}",
            f"{figures['collages']['AP']:.1f}",
            f"{figures[accuracy.ALONE]['AP']:.1f}",
            *(f"{row['ms'][str(count)]:.0f}" for count in CROWDS),
            f"{row['memory_mb']:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines)


if __name__ == "__main__":
    main()
