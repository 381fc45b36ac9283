"""Find people in pictures, folders, globs and videos, without a broker.

By default prints one readable line for each picture. --json prints the messages that the
daemon would publish, with the name of the file. -o writes annotated pictures or a video;
after Ctrl-C the written files are complete.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Final

from tqdm import tqdm

from edgepose.camera import sources
from edgepose.camera.sources import Source
from edgepose.commands import add_min_score, add_model, add_threads, count, ranged
from edgepose.commands.output import OutputWriter
from edgepose.drawing import draw
from edgepose.errors import SourceError
from edgepose.mqtt import encoding, topics
from edgepose.people import posture
from edgepose.people.tracking import Tracker
from edgepose.pose.decoders import Limits
from edgepose.pose.estimator import PoseEstimator
from edgepose.timing import NS_PER_MS, Clock
from edgepose.types import NOT_FOLLOWED, Frame, Track
from edgepose.urls import redact

log: Final = logging.getLogger(__name__)

TOPICS: Final = topics.Topics("edgepose", "detect").camera("detect")
MODEL: Final = "refined"  # slower, but also finds small people
FPS: Final = 25.0  # for an annotated video if the source has no frame rate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("source", nargs="+", metavar="SOURCE", help="picture, folder, glob, video")
    add_model(parser, MODEL)
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="picture, folder or video")
    parser.add_argument("--json", action="store_true", help="one JSON message a line")
    parser.add_argument(
        "--single", action="store_true", help="one person, decoded as in the article"
    )
    add_threads(parser)
    parser.add_argument(
        "--max-people",
        type=ranged(int, 1),
        default=6,
        metavar="N",
        help="at most, in a picture; default 6",
    )
    add_min_score(parser)
    parser.add_argument(
        "--min-keypoint-score",
        type=ranged(float, 0, 1),
        default=0.3,
        metavar="S",
        help="omit joints below this score, 0 to 1; default 0.3",
    )


def run(args: argparse.Namespace) -> int:
    """Process each source in turn; continue after one that cannot be read."""
    limits = Limits(args.max_people, args.min_score, single=args.single)
    estimator = PoseEstimator(args.model, policy=args.policy, threads=args.threads, limits=limits)
    output = OutputWriter(args.output) if args.output else None
    if output is not None and len(args.source) > 1:
        output.require_capacity(len(args.source))
    failed = False
    with closing(output) if output else nullcontext():
        for uri in args.source:
            try:
                with closing(sources.open_source(uri, realtime=False, once=True)) as source:
                    DetectedFrame(estimator, output, args).run(source, uri)
            except SourceError as error:
                if len(args.source) == 1:
                    raise
                failed = True
                log.error("%s", error)
    return SourceError.exit_code if failed else 0


class DetectedFrame:
    """Turns the frames of sources into lines, messages and annotated pictures."""

    def __init__(
        self, estimator: PoseEstimator, output: OutputWriter | None, args: argparse.Namespace
    ) -> None:
        self._estimator = estimator
        self._output = output
        self._args = args
        self._clock = Clock()
        self._tracker = Tracker()
        self._seq = 0

    def run(self, source: Source, uri: str) -> None:
        """Process all frames of a source."""
        fps = source.fps or FPS
        if self._output is not None and self._args.source == [uri]:
            self._output.require_capacity(source.length)
        for frame in _with_progress(source, uri, json_follows=self._args.json):
            people = self._find_people(frame)
            self._seq += 1
            print(self._describe_frame(frame, people, uri), flush=self._args.json)
            if self._output is not None:
                score = self._args.min_keypoint_score
                annotated = draw(frame.image, people, min_score=score)
                self._output.put(frame, annotated, source=frame.name or uri, fps=fps)
        if self._output is not None:
            self._output.end_of_source()

    def _find_people(self, frame: Frame) -> list[Track]:
        """Return the people of a frame: tracked in a video, without ids in a picture."""
        poses = self._estimator.estimate(frame.image)
        if frame.name:
            tracks = [Track(NOT_FOLLOWED, pose, frame.captured_ns) for pose in poses]
        else:
            tracks = self._tracker.update(poses, frame.captured_ns, at_once=True)
        return [replace(track, posture=posture.read(track.pose)) for track in tracks]

    def _describe_frame(self, frame: Frame, people: list[Track], uri: str) -> str:
        if not self._args.json:
            where = frame.name or f"{uri} frame {self._seq}"
            return f"{where}: {_describe_people(people)}"
        message = encoding.poses(
            TOPICS,
            frame,
            people,
            seq=self._seq,
            latency_ms=(self._clock.now_ns() - frame.read_ns) / NS_PER_MS,
            model=self._estimator.name,
        )
        return _with_file(message.payload, frame.name or redact(uri))


def _with_file(payload: bytes, name: str) -> str:
    """Return a message as JSON, with the name of its picture or video added."""
    file = os.fsencode(name).decode("utf-8", "replace")  # names may contain undecodable bytes
    return payload.decode().removesuffix("}") + ',"file":' + json.dumps(file) + "}"


def _describe_people(people: list[Track]) -> str:
    if not people:
        return "nobody"
    found = count(len(people), "person", "people")
    return f"{found}: " + "; ".join(_describe_person(track) for track in people)


def _describe_person(track: Track) -> str:
    x, y, width, height = track.pose.box
    name = f"#{track.id} " if track.id else ""
    body = "" if track.posture == "unknown" else f" {track.posture}"
    return f"{name}{track.pose.score:.2f}{body} at {x:.0f},{y:.0f} {width:.0f}x{height:.0f}"


def _with_progress(source: Source, uri: str, *, json_follows: bool) -> Iterator[Frame]:
    """Show a progress bar on a terminal, except for a source of one frame."""
    shown = sys.stderr.isatty() and (json_follows or not sys.stdout.isatty())
    yield from tqdm(
        source.frames(),
        desc=Path(uri).name or uri,
        total=source.length,
        unit=" frames",
        disable=not shown or source.length == 1,
    )
