"""Compares a detector's events in a scene with the truth."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from edgepose.people.events.falls import FallDetector
from edgepose.people.posture import PostureReader
from edgepose.people.smoothing import Smoother
from edgepose.people.tracking import Tracker
from edgepose.people.zones import mark_cut
from edgepose.timing import NS_PER_S
from edgepose.types import Event
from tests.support.body import FILMED, Label
from tests.support.random_scenes import Drill
from tests.support.scenes import REST, Case

HELD_S = 12.0
LATE_S = 1.0  # maximum delay of an event after the end of its label


@dataclass(slots=True)
class Tally:
    """Sums over scenes."""

    scenes: int = 0
    hours: float = 0.0
    falls: int = 0
    suspected: int = 0
    confirmed: int = 0
    recovered: int = 0
    false_suspected: int = 0
    false_confirmed: int = 0
    suspect_delays_s: list[float] = field(default_factory=list)
    confirm_delays_s: list[float] = field(default_factory=list)


def replayed(case: Case, *, followed: bool = False) -> tuple[Case, list[Event]]:
    """Run one case through posture and falls, in the daemon's order.

    With `followed` ids and smoothing are the daemon's own; else ids are true
    and nothing is smoothed.
    """
    tracker, smoother = Tracker(), Smoother()
    reader, detector = PostureReader(), FallDetector([REST])
    events: list[Event] = []
    for moment in case.scene.observe(case.fps, case.seed):
        tracks = moment.tracks()
        if followed:
            tracks = tracker.update(list(moment.people.values()), moment.at_ns)
            tracks = smoother.smooth(tracks, moment.at_ns)
        tracks = reader.update(tracks, moment.at_ns)
        if case.rest:
            tracks = [replace(track, zones=(REST.id,)) for track in tracks]
        events += detector.update(tracks, moment.at_ns)
    return case, events


def replayed_and_held(one: Drill) -> list[Event]:
    """Return the fall events of a random scene with the errors of films.

    Its last picture is repeated for `HELD_S`, since films end soon after a fall.
    """
    moments = list(one.scene.observe(one.fps, one.seed, FILMED))
    last, step_s = moments[-1], 1 / one.fps
    for number in range(1, round(HELD_S * one.fps) + 1):
        later_s = last.seconds + number * step_s
        moments.append(replace(last, seconds=later_s, at_ns=round(later_s * NS_PER_S)))
    tracker, smoother = Tracker(), Smoother()
    reader, detector = PostureReader(), FallDetector()
    events: list[Event] = []
    for moment in moments:
        tracks = tracker.update(list(moment.people.values()), moment.at_ns)
        tracks = mark_cut(smoother.smooth(tracks, moment.at_ns), moment.size)
        events += detector.update(reader.update(tracks, moment.at_ns), moment.at_ns)
    return events


def tally(runs: Iterable[tuple[Case, list[Event]]], *, anybody: bool = False) -> Tally:
    """Sum up runs: each true fall counts once, each event outside of one is false.

    With `anybody` only the time is compared: a tracker's ids do not name actors.
    """
    total = Tally()
    for case, events in runs:
        truth = [label for label in case.scene.labels if label.name == "fall"]
        total.scenes += 1
        total.hours += case.scene.seconds / 3600
        total.falls += len(truth)
        total.recovered += any(event.type == "fall_recovered" for event in events)
        for kind, delays in (
            ("fall_suspected", total.suspect_delays_s),
            ("fall_confirmed", total.confirm_delays_s),
        ):
            of_kind = [event for event in events if event.type == kind]
            for label in truth:
                hits = [event for event in of_kind if _tells(event, label, anybody=anybody)]
                delays.extend(hit.at_ns / NS_PER_S - label.start_s for hit in hits[:1])
            false = sum(
                not any(_tells(event, label, anybody=anybody) for label in truth)
                for event in of_kind
            )
            if kind == "fall_suspected":
                total.false_suspected += false
            else:
                total.false_confirmed += false
    total.suspected, total.confirmed = len(total.suspect_delays_s), len(total.confirm_delays_s)
    return total


def _tells(event: Event, label: Label, *, anybody: bool) -> bool:
    """Return whether an event matches a label in person and time."""
    seconds = event.at_ns / NS_PER_S
    same = anybody or event.person == label.actor + 1
    return same and label.start_s <= seconds <= label.end_s + LATE_S
