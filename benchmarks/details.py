"""Print how often crouching, kneeling, bending, all fours and walking are right: docs/events.md.

python -m benchmarks.details --scenes 200

Generated bodies with the errors of pose models, tracked and smoothed as in the daemon. Moments
count in which the truth has been the same for a second (walking: for two).
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np

from edgepose.people.posture_detail import DETAILS
from tests.support.posture_details import LOST, NO_DETAIL, Detailed, detailed, drilled, told

FIRST: Final = 3_100_000  # seeds on which nothing was trained or chosen
WORDS: Final = (*DETAILS, "walking", NO_DETAIL)


def judged(scene: Detailed, steady_s: float = 1.0) -> Counter[tuple[str, str]]:
    """Count the frames by truth and by what was told, where the truth is clear and steady."""
    truth = np.where(scene.walks, len(DETAILS) + 1, scene.details)
    names = (NO_DETAIL, *DETAILS, "walking")
    counts: Counter[tuple[str, str]] = Counter()
    for frame, word in enumerate(told(scene)):
        needed_s = 2 * steady_s if scene.walks[frame] or word == "walking" else steady_s
        first = max(0, frame - round(needed_s * scene.fps))
        recent = set(truth[first : frame + 1].tolist())
        if word != LOST and len(recent) == 1 and truth[frame] >= 0:
            counts[names[truth[frame]], word] += 1
    return counts


def scenes(count: int, first: int) -> Iterator[Detailed]:
    """Generate scenes of low stances, of walks, and of falls and daily life."""
    for seed in range(first, first + count):
        yield detailed(seed, walks=False)
        yield detailed(seed, walks=True)
        yield drilled(seed)


def main() -> None:
    """Print the table as Markdown: percent of the moments of each truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=200, help="of each of three kinds")
    parser.add_argument("--first", type=int, default=FIRST, help="seed of the first scene")
    args = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    for scene in scenes(args.scenes, args.first):
        counts += judged(scene)
    out("truth", "moments", *WORDS)
    out(*["---"] * (2 + len(WORDS)))
    for truth in WORDS:
        row = [counts[truth, word] for word in WORDS]
        out(truth, sum(row), *(f"{value / max(1, sum(row)):.1%}" for value in row))


def out(*cells: object) -> None:
    """Print one row of a Markdown table."""
    sys.stdout.write("| " + " | ".join(str(cell) for cell in cells) + " |\n")


if __name__ == "__main__":
    main()
