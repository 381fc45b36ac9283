"""Count gestures in generated scenes: the table of docs/events.md.

Run ``python -m benchmarks.gestures`` in the project's folder; some minutes.
"""

import argparse
import sys
from collections import Counter
from typing import Final

from edgepose.config.gesture_rules import BUILT_IN
from edgepose.people.events.gestures import GestureDetector
from edgepose.people.smoothing import Smoother
from edgepose.people.tracking import Tracker
from tests.people.events.test_gestures import BACK, FRONT, PHONE, SHOWN, scene
from tests.support import body

FPS: Final = 10.0
SEEDS: Final = range(600, 640)  # others than those of the tests, and than limits were chosen on
VIEWS: Final = {"front": FRONT, "25° aside": FRONT + 25, "behind": BACK}
DAILY: Final = (
    body.stand(30),
    body.walk(4),
    body.sit(30),
    body.squats(10),
    body.plank(15),
    body.crawl(6),
    body.hold("on the phone", PHONE, 30),
)


def made(seen: body.Scene, seed: int) -> list[str]:
    """Name the gestures of a scene, as the daemon finds them."""
    tracker, smoother = Tracker(), Smoother()
    detector = GestureDetector(tuple(BUILT_IN.values()))
    found: list[str] = []
    for moment in seen.observe(FPS, seed):
        tracks = tracker.update(list(moment.people.values()), moment.at_ns)
        tracks = smoother.smooth(tracks, moment.at_ns)
        found += [e.data["gesture"] for e in detector.update(tracks, moment.at_ns)]
    return found


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> None:
    """Print both tables as Markdown."""
    _say(f"| gesture | {' | '.join(VIEWS)} | false |\n|---|---|---|---|---|")
    for name, act in SHOWN.items():
        others: Counter[str] = Counter()
        cells = []
        for heading in VIEWS.values():
            runs = [made(scene(act, heading=heading), seed) for seed in SEEDS]
            others.update(other for run in runs for other in run if other != name)
            cells.append(f"{sum(name in run for run in runs)}/{len(SEEDS)}")
        told = ", ".join(f"`{other}` {n}" for other, n in others.most_common()) or "none"
        _say(f"| `{name}` | {' | '.join(cells)} | {told} |")
    hours, false = 0.0, Counter[str]()
    for act in DAILY:
        for heading in (FRONT, BACK, 90.0, 225.0):
            for seed in SEEDS[:10]:
                seen = scene(act, heading=heading)
                hours += seen.seconds / 3600
                false.update(made(seen, seed))
    _say(f"\n{hours:.1f} hours of daily life: {dict(false) or 'no gesture'}")


if __name__ == "__main__":
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    main()
