"""Measures how the CPU time of a frame grows with people, frame rate and picture size.

Run from the repository: ``python -m benchmarks.costs``. It writes
`results/costs.json`. Between two frames a network runs, as in the daemon: it evicts
everything else from the processor's caches, which doubles the times.
"""

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any, Final

import av
import cv2
import numpy as np

from edgepose.camera import sources
from edgepose.config.schema import Camera, Config
from edgepose.geometry import box_around
from edgepose.measure.benchmark import machine
from edgepose.mqtt.composer import Composer
from edgepose.mqtt.topics import Topics
from edgepose.people import build
from edgepose.pose import preprocess
from edgepose.pose.estimator import PoseEstimator
from edgepose.timing import NS_PER_MS, NS_PER_S, Clock
from edgepose.types import Floats, Frame, Pose, Size
from tests.support.walks import Walker

RESULTS: Final = Path(__file__).parent / "results" / "costs.json"
PEOPLE: Final = (0, 1, 2, 4, 6)
RATES_HZ: Final = (5, 10, 15, 30)
SIZES: Final = (Size(320, 240), Size(640, 480), Size(1280, 720), Size(1920, 1080))
FRAMES: Final = 60
WARM: Final = 40  # frames before the measurement: the windows of seconds are full then
JITTER_PX: Final = 1.5

Timed = Callable[[Callable[[], Any]], Any]


def main() -> None:
    """Measure and write the results."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    preprocess.use_one_thread()
    estimator = PoseEstimator("movenet-multipose", threads=1)
    estimator.warm_up()
    report = {
        "machine": machine(),
        "people": {str(count): finish_ms(estimator, count, 10) for count in PEOPLE},
        "rate_hz": {str(hz): finish_ms(estimator, 2, hz) for hz in RATES_HZ},
        "size": {f"{size.width}x{size.height}": picture_ms(estimator, size) for size in SIZES},
    }
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def finish_ms(estimator: PoseEstimator, people: int, hz: int) -> float:
    """Return the CPU time of tracking, events and messages for walking people."""
    config = Config()
    follower = build.follower(config, Camera(id="costs", source="-"), itertools.count(1))
    composer = Composer(
        Topics("edgepose", "costs").camera("costs"),
        model=lambda: "costs",
        follower=follower,
        clock=Clock(),
    )
    walkers = [
        Walker(((0.0, 80.0 + 190 * n, 500.0), (60.0, 140.0 + 190 * n, 500.0)))
        for n in range(people)
    ]
    rng = np.random.default_rng(people)
    frame = Frame(np.broadcast_to(np.uint8(0), (720, 1280, 3)), 0, 0, 0)

    def finish(number: int) -> float:
        at_ns = number * NS_PER_S // hz
        bodies = [walker.body(at_ns / NS_PER_S) for walker in walkers]
        poses = [_seen(body, rng) for body in bodies if body is not None]
        estimator.engine.spin(1)
        started_ns = time.thread_time_ns()
        tracks, events = follower.follow(poses, at_ns, frame.size)
        composer.compose(frame, tracks, events)
        return (time.thread_time_ns() - started_ns) / NS_PER_MS

    warm = max(WARM, 4 * hz)  # longer than the window of falls
    return round(median([finish(number) for number in range(warm + FRAMES)][warm:]), 2)


def _seen(body: Floats, rng: np.random.Generator) -> Pose:
    keypoints = body.astype(np.float32)
    keypoints[:, :2] += rng.normal(0, JITTER_PX, (len(body), 2)).astype(np.float32)
    keypoints[:, 2] = 0.8
    return Pose(keypoints, 0.8, box_around(keypoints))


def picture_ms(estimator: PoseEstimator, size: Size) -> dict[str, float]:
    """Return the CPU time of decoding an H.264 picture, and of shrinking it for the network."""
    read, prepare = [], []
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        _write_film(film, size)
        with closing(sources.open_source(str(film), realtime=False, once=True)) as source:
            frames = source.frames()
            while True:
                estimator.engine.spin(1)
                started_ns = time.thread_time_ns()
                frame = next(frames, None)
                if frame is None:
                    break
                read_ns = time.thread_time_ns()
                estimator.prepare(frame.picture)
                read.append((read_ns - started_ns) / NS_PER_MS)
                prepare.append((time.thread_time_ns() - read_ns) / NS_PER_MS)
    return {"read": round(median(read), 2), "prepare": round(median(prepare), 2)}


def _write_film(file: Path, size: Size) -> None:
    """Write the demo clip at another size as H.264."""
    with (
        av.open(str(file), "w") as film,
        closing(sources.open_source("demo://", realtime=False, once=True)) as demo,
    ):
        stream = film.add_stream("libx264", rate=Fraction(10))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for frame in itertools.islice(demo.frames(), FRAMES):
            scaled = cv2.resize(frame.image, size, interpolation=cv2.INTER_LINEAR)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(scaled), "rgb24")))
        film.mux(stream.encode())


if __name__ == "__main__":
    main()
