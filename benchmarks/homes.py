"""Counts long lies in generated minutes at home: the table of docs/events.md.

python -m benchmarks.homes --scenes 10
"""

import argparse
import statistics
import sys
from dataclasses import replace
from typing import Final

from edgepose.people.events.long_lies import LongLieDetector
from edgepose.people.posture import PostureReader
from edgepose.people.smoothing import Smoother
from edgepose.people.tracking import Tracker
from edgepose.timing import NS_PER_S
from tests.support.homes import CALM, LONG, Minutes, many
from tests.support.scenes import REST

FIRST: Final = 46_000  # seeds that the limits were not chosen on


def told_s(scene: Minutes) -> list[float]:
    """Return when long lies were told of, with the daemon's own tracking and smoothing."""
    tracker, smoother, reader = Tracker(), Smoother(), PostureReader()
    detector, found = LongLieDetector([REST]), []
    for moment in scene.scene.observe(scene.fps, scene.seed):
        tracks = tracker.update(list(moment.people.values()), moment.at_ns)
        tracks = reader.update(smoother.smooth(tracks, moment.at_ns), moment.at_ns)
        if scene.resting:
            tracks = [replace(track, zones=(REST.id,)) for track in tracks]
        found += [event.at_ns / NS_PER_S for event in detector.update(tracks, moment.at_ns)]
    return found


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=10, help="of each kind")
    parser.add_argument("--first", type=int, default=FIRST, help="seed of the first scene")
    args = parser.parse_args()
    _say(
        "| minutes | n | long lies | told | false | s after lying down |\n|---|---|---|---|---|---|"
    )
    false, hours, right = 0, 0.0, 0
    for kind in [*LONG, *CALM]:
        delays: list[float] = []
        wrong = 0
        for scene in many(args.scenes, [kind], args.first):
            hours += scene.scene.seconds / 3600 if kind in CALM else 0
            truth = [each for each in scene.scene.labels if each.name == "lying" and kind in LONG]
            for at_s in told_s(scene):
                hits = [lie for lie in truth if lie.start_s + 50 <= at_s <= lie.end_s]
                delays += [at_s - lie.start_s for lie in hits[:1]]
                wrong += not hits
        true = args.scenes if kind in LONG else 0
        middle = f"{statistics.median(delays):.1f}" if delays else "-"
        _say(f"| {kind} | {args.scenes} | {true} | {len(delays)} | {wrong} | {middle} |")
        false, right = false + wrong, right + len(delays)
    _say(f"\n{right} of {args.scenes * len(LONG)} long lies are told of.")
    _say(f"{false} false in {hours:.2f} h of calm minutes, {24 * false / hours:.1f} a day.")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
