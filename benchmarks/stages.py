"""CPU time of a frame's stages, against another version of edgepose, in one run.

Run from the repository: ``python -m benchmarks.stages TREE FILM``. TREE is a checkout of the
other version, such as one of ``git worktree add --detach TREE v0.2.0``. Two processes for each
model, one of either version, process the same frames in turns, each in one thread, so both
have the same disturbances. Without threads, messages and their hand-over, the times are below
those of ``edgepose bench``. Results go to `benchmarks/results`.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import cv2

from edgepose.camera import sources
from edgepose.camera.build import limits, view
from edgepose.camera.health import CameraHealth
from edgepose.camera.pipeline import Pipeline
from edgepose.config.schema import Camera, Config
from edgepose.mqtt.composer import Composer
from edgepose.mqtt.topics import Topics
from edgepose.people.build import follower, with_min_pose_score
from edgepose.pose.estimator import PoseEstimator
from edgepose.timing import NS_PER_MS, Clock

MODELS: Final = ("movenet-lightning", "movenet-multipose", "posenet")
STAGES: Final = ("read", "prepare", "infer", "finish")
SETTLE: Final = 20  # frames until the caches are warm and people are tracked
RESULTS: Final = Path(__file__).parent / "results" / "stages.json"


def main() -> None:
    """Time both versions in turns and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", metavar="MODEL", help=argparse.SUPPRESS)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("tree", type=Path, help="a checkout of the other version")
    parser.add_argument("film", help="a video")
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args.film)
        return
    commit = ["git", "-C", str(args.tree), "rev-parse", "--short", "HEAD"]
    trees = {"before": args.tree, "after": Path(__file__).parents[1]}
    report = {
        "about": "CPU milliseconds of each stage of a frame, medians; both versions in turns",
        "at": datetime.now(UTC).date().isoformat(),
        "before": subprocess.check_output(commit, text=True).strip(),
        "film": Path(args.film).name,
        "frames": args.frames,
        "models": {model: timed(model, trees, args.film, args.frames) for model in MODELS},
    }
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


def timed(
    model: str, trees: dict[str, Path], film: str, frames: int
) -> dict[str, dict[str, float]]:
    """Return the milliseconds of each stage, by version."""
    servers = {version: server(tree, model, film) for version, tree in trees.items()}
    times: dict[str, list[list[float]]] = {version: [] for version in trees}
    try:
        for number in range(SETTLE + frames):
            for version in sorted(servers, reverse=number % 2 == 0):
                times[version].append(ask(servers[version]))
    finally:
        for process in servers.values():
            process.kill()
    return {
        version: {
            stage: round(statistics.median(column), 3)
            for stage, column in zip(STAGES, zip(*rows[SETTLE:], strict=True), strict=True)
        }
        for version, rows in times.items()
    }


def server(tree: Path, model: str, film: str) -> "subprocess.Popen[str]":
    """Start a process of a version, which loads a model."""
    command = [sys.executable, str(Path(__file__).resolve()), "--serve", model, str(tree), film]
    environment = {**os.environ, "PYTHONPATH": str(tree.resolve()), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=tree,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ask(process: "subprocess.Popen[str]") -> list[float]:
    """Return the milliseconds of each stage of the next frame."""
    assert process.stdin
    assert process.stdout
    process.stdin.write("next\n")
    process.stdin.flush()
    return [float(ms) for ms in process.stdout.readline().split()]


def serve(model: str, film: str) -> None:
    """Process a frame for each line of the input; answer with the milliseconds of each stage."""
    cv2.setNumThreads(1)
    pipeline = pipeline_of(model, film)
    frames = sources.open_source(film, realtime=False).frames()
    for _ in sys.stdin:
        moments = [time.thread_time_ns()]
        frame = pipeline.transform(next(frames))
        moments.append(time.thread_time_ns())
        inputs = pipeline.prepare(frame)
        frame = pipeline.drop_image(frame)
        moments.append(time.thread_time_ns())
        outputs = pipeline.infer(inputs)
        moments.append(time.thread_time_ns())
        pipeline.finish(frame, inputs, outputs)
        moments.append(time.thread_time_ns())
        spent = (str((b - a) / NS_PER_MS) for a, b in itertools.pairwise(moments))
        sys.stdout.write(" ".join(spent) + "\n")
        sys.stdout.flush()


def pipeline_of(model: str, film: str) -> Pipeline:
    """Return the pipeline of a camera with default settings."""
    camera = Camera(id="film", source=film, realtime=False)
    config, clock = Config(cameras=(camera,)), Clock()
    estimator = PoseEstimator(model, threads=1, limits=limits(config.pose))
    config = with_min_pose_score(config, estimator.min_pose_score)
    people = follower(config, camera, itertools.count(1))
    topics = Topics("edgepose", "bench").camera(camera.id)
    composer = Composer(topics, model=lambda: model, follower=people, clock=clock)
    health = CameraHealth(since_ns=clock.now_ns())
    return Pipeline(estimator, people, composer.compose, health, clock, view=view(camera))


if __name__ == "__main__":
    main()
