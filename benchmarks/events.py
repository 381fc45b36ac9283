"""Prints the tables of docs/events.md: postures and falls over generated scenes.

python -m benchmarks.events --scenes 40
"""

import argparse
import statistics
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgepose.people.posture import LYING, POSTURES, PostureReader, read
from edgepose.timing import NS_PER_S
from edgepose.types import Event, Posture
from tests.support.random_scenes import Drill, drill, place_of, true_postures
from tests.support.scenes import FALLS, KINDS, QUIET, Case, cases
from tests.support.scoring import Tally, replayed, replayed_and_held, tally

FIRST: Final = 44_000  # seeds not looked at before the rules were finished
SETTLED_S: Final = 1.5  # a change of posture may take so long to show
TRUE: Final = ("standing", "sitting", "lying")
LATE_S: Final = 6.0  # a suspicion later after the impact is of something else
CONFIRM_S: Final = 10.0
HIGH_HIPS: Final = 0.45  # statures above the floor; 0.53 when standing, 0.3 on a chair
LONGEST_S: Final = 1.4  # of the films' falls, from upright to the floor
SHORTEST: Final = 1.4  # metres: minimum stature of an adult; the films show no children
TRUNK_JOINTS: Final = [5, 6, 11, 12]
UNCLEAR: Final = -1  # of `true_postures`: here bodies that nearly lie, as curled up on a side
Array = NDArray[np.float64]
Seen = Counter[tuple[str, Posture]]


def main() -> None:
    """Run the scenes, each kind by itself, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=40, help="of each kind")
    count = parser.parse_args().scenes
    out("With true ids and nothing smoothed:\n")
    print_falls(count, followed=False)
    out("With the daemon's own tracking and smoothing:\n")
    print_falls(count, followed=True)
    print_postures(count)
    print_cameras(10 * count)


def print_cameras(count: int) -> None:
    """Print the recall of random falls by camera, with errors as measured on films.

    The last picture is held for 12 s, as in the films.
    """
    found: dict[tuple[str, str], Counter[str]] = {}
    for seed in range(FIRST, FIRST + count):
        one = drill(seed)
        if one.start_s is None or one.impact_s is None or one.up_s is not None:
            continue
        kinds = {event.type for event in replayed_and_held(one) if _is_timely(event, one)}
        kind = _kind_of(one)
        for key in ((place_of(one.scene.camera), kind), ("all", kind)):
            found.setdefault(key, Counter()).update({"falls", *kinds})
    row("camera", "falls", "n", "suspected", "confirmed")
    row(*["---"] * 5)
    for (place, kind), said in sorted(found.items()):
        falls = said["falls"]
        parts = (said[kind] / falls for kind in ("fall_suspected", "fall_confirmed"))
        row(place, kind, falls, *[f"{100 * part:.0f} %" for part in parts])


def _kind_of(one: Drill) -> str:
    """Return whether a fall is quick, from upright and in view, and whether the body lies after it.

    Falls of children are a kind of their own. Nearly all falls of the films begin so, and most
    end so: docs/events.md has the shares.
    """
    assert one.start_s is not None
    assert one.impact_s is not None
    actor, moments = one.scene.actors[0], np.array([one.start_s - 0.1, one.impact_s + 0.3])
    if actor.build.stature < SHORTEST:
        return "children"
    world = actor.joints(moments)
    pixels, depth = one.scene.camera.project(world)
    in_view = one.scene.visible(world, pixels, depth)[1, TRUNK_JOINTS].sum() >= 2
    quick = one.impact_s - one.start_s <= LONGEST_S
    if not in_view or not quick or not _is_upright(world[0], actor.build.stature):
        return "from a seat or a bed, slow, or hidden"
    lies = true_postures(world[1:], actor.build.stature)[0] in {LYING, UNCLEAR}
    return "from upright, lies after it" if lies else "from upright, on the knees or propped up"


def _is_upright(joints: Array, stature: float) -> bool:
    """Whether the hips (of (17, 3) joints in metres) are about as high as in standing."""
    return float(joints[11:13, 2].mean()) > HIGH_HIPS * stature


def _is_timely(event: Event, one: Drill) -> bool:
    """Whether an event comes within the time that the films' labels allow."""
    assert one.start_s is not None
    assert one.impact_s is not None
    after_s = event.at_ns / NS_PER_S - one.impact_s
    late_s = LATE_S + (CONFIRM_S if event.type == "fall_confirmed" else 0)
    return event.at_ns / NS_PER_S >= one.start_s - 0.5 and after_s <= late_s


def print_falls(count: int, *, followed: bool) -> None:
    """Print what was found in each kind of scene, and the sums."""
    row(
        "scenes",
        "n",
        "falls",
        "suspected",
        "confirmed",
        "s to both",
        "false: suspected",
        "confirmed",
    )
    row(*["---"] * 8)
    tallies: dict[str, Tally] = {}
    for kind in KINDS:
        tallies[kind] = found = tally(
            (replayed(case, followed=followed) for case in cases(count, [kind], FIRST)),
            anybody=followed,
        )
        row(
            kind,
            found.scenes,
            found.falls,
            found.suspected,
            found.confirmed,
            f"{median(found.suspect_delays_s)}, {median(found.confirm_delays_s)}",
            found.false_suspected,
            found.false_confirmed,
        )
    sums(tallies)


def sums(tallies: dict[str, Tally]) -> None:
    """Print precision, recall, and false alarms a day."""
    staying = [tallies[kind] for kind in FALLS]
    hours = sum(tallies[kind].hours for kind in QUIET)
    falls, right = sum(t.falls for t in staying), sum(t.confirmed for t in staying)
    wrong = sum(t.false_confirmed for t in tallies.values())
    quiet = sum(tallies[kind].false_confirmed for kind in QUIET)
    out()
    out(f"Recall of confirmed falls: {right / falls:.3f} ({right} of {falls}).")
    out(f"Precision of confirmed falls: {right / max(1, right + wrong):.3f} ({wrong} false).")
    out(
        f"False alarms: {quiet} in {hours:.2f} h of dense activity, {24 * quiet / hours:.1f} a day."
    )
    out()


def print_postures(count: int) -> None:
    """Print what was said while a posture was true, per picture and settled."""
    still, settled = Counter[tuple[str, Posture]](), Counter[tuple[str, Posture]]()
    for case in cases(count, first=FIRST):
        look(case, still, settled)
    for name, seen in (("single pictures", still), ("settled", settled)):
        row(f"{name}: truth", "samples", *POSTURES)
        row(*["---"] * (2 + len(POSTURES)))
        for true in TRUE:
            total = sum(seen[true, said] for said in POSTURES)
            row(true, total, *[f"{100 * seen[true, said] / total:.1f} %" for said in POSTURES])
        out()


def look(case: Case, still: Seen, settled: Seen) -> None:
    """Compare one scene's postures with the truth, at most 5 times a second."""
    reader = PostureReader()
    labels = [label for label in case.scene.labels if label.name in TRUE]
    step = max(1, round(case.fps / 5))
    for frame, moment in enumerate(case.scene.observe(case.fps, case.seed)):
        for track in reader.update(moment.tracks(), moment.at_ns):
            if frame % step:
                continue
            for label in labels:
                if label.actor != track.id - 1 or not moment.seconds < label.end_s:
                    continue
                if moment.seconds >= label.start_s:
                    still[label.name, read(track.pose)] += 1
                if moment.seconds >= label.start_s + SETTLED_S:
                    settled[label.name, track.posture] += 1


def median(values: Iterable[float]) -> str:
    """Return the middle value with one decimal, or a dash."""
    known = list(values)
    return f"{statistics.median(known):.1f}" if known else "-"


def row(*cells: object) -> None:
    """Print one row of a Markdown table."""
    out("| " + " | ".join(str(cell) for cell in cells) + " |")


def out(line: str = "") -> None:
    """Print a line at once, for a long run to be watched."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
