"""Fall events: a fast descent to the floor, after which the person stays down.

Three events: *suspected* soon after the descent, *confirmed* when the same person is still
down some seconds later, *recovered* when the person is up again or gone. Two small networks
supply the evidence. One rates whether the last three seconds of a person (`fall_window`) show
a fall, also when the pose model lost the body during the descent. The other classifies the
posture of single poses (`edgepose.people.posture`). Their outputs are averaged over time and
added, so no single measurement decides. docs/events.md has the results.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from statistics import median
from typing import Any, Final, NamedTuple, Self

import numpy as np

from edgepose.config.schema import Config
from edgepose.people.body_measures import (
    ANKLES,
    HIPS,
    POINTS,
    SHOULDERS,
    TRUNK,
    Array,
    Looks,
    measure,
)
from edgepose.people.events.fall_speed import FallSpeeds
from edgepose.people.events.fall_window import GAP_S, STEPS, UNSEEN, WINDOW_S, speeds, windows
from edgepose.people.perceptron import Perceptron
from edgepose.people.posture import VISIBLE, UprightMemory, probabilities, upright_looks
from edgepose.people.zones import Zone
from edgepose.timing import NS_PER_S
from edgepose.types import Event, Floats, Track

WEIGHTS: Final = "falls.npz"


FEWEST: Final = 3  # minimum observations before a window is rated, and of a body found again
LOST_S: Final = 2.0  # a lost person is still rated for this long
MEAN_S: Final = 0.6  # window of the mean rating
DOWN_S: Final = 0.8  # window of the mean posture logit
DOWN_WEIGHT: Final = 1.0  # weight of the posture logit relative to the rating
SPEED: Final = UNSEEN  # neutral value of `speeds`: getting down on mats and chairs is slower
SPEED_WEIGHT: Final = 12.0  # logit per unit of `speeds`
SPEED_RANGE: Final = (-4.0, 3.0)  # limits of the speed's logit
CLEARLY_UP: Final = -3.0  # mean posture logit: below, no fall is suspected, and none is rated
DOUBT: Final = 0.02  # added to probabilities: bounds the posture logit
DOWN_MOST: Final = 1.0  # upper limit of the posture logit: lying, without a descent, is no fall
LEAST_EVIDENCE: Final = 0.3  # minimum evidence (logit) to suspect a fall
LOST_EVIDENCE: Final = 0.5  # the same for a body that is not seen
SUSTAINED_S: Final = 0.15  # minimum duration of sufficient evidence for a confirmation
SLOW_S: Final = (2.0, 2.5)  # time since the person stood: from no to all evidence against a fall
SLOW_WEIGHT: Final = 4.0  # this evidence, a logit
LONG_S: Final = 5.0  # no such evidence from this time on: the person may have sat meanwhile
STOOD: Final = 0.5  # minimum probability of standing of a person who stood
UP: Final = -1.0  # maximum posture logit of a person who sits on a seat
RATED_S: Final = 3.0  # seconds after the beginning of a fall in which the evidence may grow
APART_S: Final = 64.0  # time between the windows of two people; far more than `WINDOW_S`
BEGIN: Final = -1.8  # a fall begins when the rating rises above this
DISARM_S: Final = 4.0  # minimum time from the end of a fall to the next suspicion

REST_S: Final = 5.0  # window of observations that decides on the confirmation
FEW: Final = 8  # with fewer observations the body counts as lost
STILL_DOWN: Final = -2.0  # minimum mean `_Look.down` at the evidence `LEAST_EVIDENCE`
CLEAR_WEIGHT: Final = 0.5  # by which further evidence lowers `STILL_DOWN`
RESTING: Final = 0.075  # statures: maximum spread of resting shoulders; push-ups exceed it
RESTING_VERTICAL: Final = 0.05  # statures: the same for the vertical part

UPRIGHT_DEG: Final = 40.0  # maximum lean of an upright trunk
WHOLE: Final = 0.75  # minimum visible part of the trunk's length; less is foreshortened
SEAT: Final = 0.4  # statures: minimum shoulders above ankles; 0.5 on a chair, 0.29 on the floor
STANDS: Final = 0.85  # minimum probability of standing that counts as up by itself

NEAR: Final = 0.9  # statures: a new track this near to a lost one continues it
SMALLEST: Final = 0.6  # minimum ratio of the statures; 0.62 is the tenth percentile on films
ADOPT_S: Final = 3.0  # maximum time since the loss; after a fall it is `gone_s`


@dataclass(frozen=True, slots=True)
class FallOptions:
    """Times of the fall events."""

    confirm_s: float = 10.0
    """A suspected fall is confirmed when the person is still down after this time."""

    recover_s: float = 1.0
    """A fall ends when the person has been up for this long."""

    gone_s: float = 60.0
    """A fallen person who is not seen for this long counts as gone."""

    min_keypoint_score: float = 0.3
    """The configured minimum of `[pose]`; falls also use joints down to two thirds of it."""


class Evidence(NamedTuple):
    """The evidence for a fall of one person at one moment, as logits; 0 is undecided."""

    person: int
    descent: float
    """Logit from the last seconds; minus infinity if not rated, or just found again."""

    down: float
    """Logit from the posture; 0 if the body is not seen."""

    slowness: float
    """Logit from the time since the person stood; 0 or less."""

    visible: bool
    covered: bool
    """Whether the body was lost where another person was seen: no fall is suspected."""

    fallen: bool
    """Whether a fall is suspected or confirmed."""

    @property
    def total(self) -> float:
        """The sum, a logit."""
        return self.descent + self.down + self.slowness

    @property
    def is_sufficient(self) -> bool:
        """Whether a fall may be suspected."""
        return self.total >= (LEAST_EVIDENCE if self.visible else LOST_EVIDENCE)


class _Look(NamedTuple):
    """One observation: a row of `Looks`, its time, and the posture."""

    at_ns: int
    points: Array
    width: float
    stature: float
    down: float
    """Logit of the body being down rather than up."""

    lying: float
    """Probability within [0, 1]."""

    standing: float
    """Probability within [0, 1]."""

    cut: bool
    """Whether the frame's edge cuts the body."""

    def is_partial(self) -> bool:
        """Whether the hips are hidden, or the feet are probably outside of the frame."""
        return _is_hidden(self.points, HIPS) or (self.cut and _is_hidden(self.points, ANKLES))

    def is_up(self, stature: float) -> bool:
        """Whether a body stands or sits on something, with the feet visible."""
        across, up = self.points[SHOULDERS] - self.points[HIPS]
        lean_deg = np.degrees(np.arctan2(abs(across), -up))
        whole = lean_deg < UPRIGHT_DEG and np.hypot(across, up) >= WHOLE * TRUNK * stature
        high = self.points[ANKLES, 1] - self.points[SHOULDERS, 1] >= SEAT * stature
        return bool(self.down < UP and whole and high)


@dataclass(slots=True)
class _Fall:
    """A suspected or confirmed fall."""

    began_ns: int
    rating: float
    """Peak evidence within `RATED_S`, a logit."""

    where: Array
    """(2,): position of the hips in pixels."""

    stature: float
    sufficient_s: float
    """Seconds with sufficient evidence within `RATED_S`."""

    looks: deque[_Look] = field(default_factory=deque)
    """Observations of the last `REST_S`."""

    confirmed: bool = False
    up_since_ns: int | None = None

    def rate(self, evidence: float, sufficient_s: float) -> None:
        """Add the evidence of one frame, a logit, and the seconds with enough of it before."""
        self.rating = max(self.rating, evidence)
        self.sufficient_s += sufficient_s

    def add(self, look: _Look) -> None:
        """Add an observation of the body."""
        self.looks.append(look)
        _drop_old(self.looks, look.at_ns, REST_S)

    def is_fresh(self, at_ns: int) -> bool:
        """Whether `RATED_S` is not over, so that the evidence may still grow."""
        return at_ns - self.began_ns <= RATED_S * NS_PER_S

    @property
    def seen(self) -> bool:
        """Whether there are enough observations to judge the body's posture."""
        return len(self.looks) >= FEW

    @property
    def lying(self) -> float:
        """Mean probability of lying; NaN for a lost body."""
        return float(np.mean([look.lying for look in self.looks])) if self.seen else float("nan")

    def is_down(self) -> bool:
        """Whether the body is down and at rest, or was lost where it fell."""
        if self.up_since_ns is not None:
            return False
        least = STILL_DOWN - CLEAR_WEIGHT * (self.rating - LEAST_EVIDENCE)
        return not self.seen or (self._mean_down() >= least and self._is_at_rest())

    def _mean_down(self) -> float:
        return sum(look.down for look in self.looks) / len(self.looks)

    def _is_at_rest(self) -> bool:
        """Whether the shoulders stay in place: push-ups and sit-ups move them."""
        places = np.array([look.points[SHOULDERS] for look in self.looks])
        places = places[~np.isnan(places[:, 0])] / self.stature
        if len(places) < FEW:
            return True
        across, vertical = _robust_spread(places)
        return vertical <= RESTING_VERTICAL and float(np.hypot(across, vertical)) <= RESTING


@dataclass(slots=True)
class _Person:
    """Recent observations and the fall of one track."""

    id: int
    last_ns: int
    looks: deque[_Look] = field(default_factory=deque)
    ratings: deque[tuple[int, float]] = field(default_factory=deque)
    """Times and logits of the last `MEAN_S`."""

    unrated: deque[int] = field(default_factory=deque)
    """Times within the last `MEAN_S` to rate once the person is no longer clearly up."""

    speed: float = 0.0
    """Logit of a fast rather than a controlled descent of the trunk."""

    began_ns: int | None = None
    """Time at which the rating rose above `BEGIN`; None below it."""

    total: tuple[int, float] = (0, -math.inf)
    """Time and sum of the latest evidence."""

    armed_ns: int = 0
    """No fall is suspected before this time."""

    resting: bool = False
    """Whether the person is in a zone of kind `rest`."""

    found_again: int = FEWEST
    """Observations since the latest loss for more than `GAP_S`; at least `FEWEST` without one."""

    covered: bool = False
    """Whether the person is lost, and another one has been seen in front of that place since."""

    upright: UprightMemory = field(default_factory=UprightMemory)

    stood_ns: int | None = None
    """When the person was last seen standing, or sitting on a seat."""

    fall: _Fall | None = None

    def add(self, look: _Look, frame_before_ns: int) -> None:
        """Add an observation; `frame_before_ns` is the time of the previous frame."""
        last_ns = self.looks[-1].at_ns if self.looks else look.at_ns
        lost = last_ns < frame_before_ns and look.at_ns - last_ns > GAP_S * NS_PER_S
        self.found_again = 1 if lost else self.found_again + 1
        self.looks.append(look)
        _drop_old(self.looks, look.at_ns, WINDOW_S + GAP_S + MEAN_S)

    def mean_down(self, at_ns: int) -> float:
        """Return the mean `_Look.down` of the last `DOWN_S`; 0 with too few observations."""
        first_ns = at_ns - DOWN_S * NS_PER_S
        recent = [
            min(look.down, 0.0 if look.is_partial() else DOWN_MOST)
            for look in self.looks
            if look.at_ns > first_ns
        ]
        return sum(recent) / len(recent) if len(recent) >= FEWEST else 0.0

    def evidence(self, at_ns: int) -> Evidence:
        """Return the evidence for a fall."""
        return Evidence(
            self.id,
            self.descent(at_ns) if self.looks else -math.inf,
            DOWN_WEIGHT * self.mean_down(at_ns),
            self.slowness() if self.looks else 0.0,
            self.last_ns == at_ns,
            self.covered,
            self.fall is not None,
        )

    def store_total(self, total: float, at_ns: int) -> float:
        """Store the sum of the evidence; return the seconds since the last sum with enough of it.

        Interpolates linearly, so the result does not depend on the frame rate.
        """
        (before_ns, before), self.total = self.total, (at_ns, total)
        low, high = sorted((before, total))
        if high < LEAST_EVIDENCE:
            return 0.0
        part = 1.0 if low >= LEAST_EVIDENCE else (high - LEAST_EVIDENCE) / (high - low)
        return part * (at_ns - before_ns) / NS_PER_S

    def slowness(self) -> float:
        """Return the evidence against a fall from the time since the person stood, 0 or less.

        People lie down in stages: they crouch or sit on the floor for a moment.
        """
        if self.stood_ns is None:
            return 0.0
        since_s = (self.looks[-1].at_ns - self.stood_ns) / NS_PER_S
        if since_s > LONG_S:
            return 0.0
        first, last = SLOW_S
        return -SLOW_WEIGHT * min(1.0, max(0.0, (since_s - first) / (last - first)))

    def descent(self, at_ns: int) -> float:
        """Return the evidence of the last seconds, a logit.

        Minus infinity without ratings, and for a body that has just been found again: its posture
        and place tell more than the loss. The speed of a body that is lost or partly visible can
        only lower the evidence: a person may have walked on behind something.
        """
        low, high = SPEED_RANGE
        visible = at_ns - self.looks[-1].at_ns < MEAN_S / 2 * NS_PER_S
        if visible and self.found_again < FEWEST:
            return -math.inf
        most = high if visible and not self.looks[-1].is_partial() else 0.0
        return self.mean_rating() + min(most, max(low, self.speed))

    def may_be_outside(self, at_ns: int) -> bool:
        """Whether the body, or its lower half, was last seen at the edge of the frame."""
        last = self.looks[-1]
        return last.cut and (last.at_ns < at_ns or _is_hidden(last.points, HIPS))

    @property
    def stature(self) -> float:
        """Median stature in pixels; NaN if unknown."""
        known = [look.stature for look in self.looks if not math.isnan(look.stature)]
        return median(known) if known else math.nan

    def is_clearly_up(self, at_ns: int) -> bool:
        """Whether the person is visible and was up for the last `DOWN_S`, without a fall."""
        if self.fall is not None or self.looks[-1].at_ns < at_ns:
            return False
        return self.mean_down(at_ns) < CLEARLY_UP

    def drop_old_times(self, at_ns: int) -> None:
        """Drop the times that are too old to be rated."""
        while at_ns - self.unrated[0] >= MEAN_S * NS_PER_S:
            self.unrated.popleft()

    def add_rating(self, at_ns: int, rating: float) -> None:
        """Add the network's rating of the last seconds, a logit."""
        self.ratings.append((at_ns, rating))
        while at_ns - self.ratings[0][0] >= MEAN_S * NS_PER_S:
            self.ratings.popleft()
        if rating < BEGIN:
            self.began_ns = None
        elif self.began_ns is None:
            self.began_ns = at_ns

    def mean_rating(self) -> float:
        """Return the mean rating; minus infinity with too few ratings, or some not computed yet."""
        if (
            self.unrated
            or len(self.ratings) < 2
            or self.ratings[-1][0] - self.ratings[0][0] < MEAN_S / 2 * NS_PER_S
        ):
            return float("-inf")
        return sum(rating for _, rating in self.ratings) / len(self.ratings)


class FallDetector:
    """Emits `fall_suspected`, `fall_confirmed` and `fall_recovered` for one camera."""

    def __init__(self, zones: Sequence[Zone] = (), options: FallOptions | None = None) -> None:
        self.options = options or FallOptions()
        self._rest = {zone.id for zone in zones if zone.kind == "rest"}
        self._people: dict[int, _Person] = {}
        self._last_frame_ns = 0
        self._speeds = FallSpeeds(VISIBLE * self.options.min_keypoint_score)

    @classmethod
    def from_config(cls, config: Config, zones: Sequence[Zone]) -> Self | None:
        """Create the detector from the configuration; None if it is disabled."""
        options = FallOptions(
            confirm_s=config.events.fall_confirm_s,
            recover_s=config.events.fall_recover_s,
            gone_s=config.events.fall_gone_s,
            min_keypoint_score=config.pose.min_keypoint_score,
        )
        return cls(zones, options) if config.events.fall else None

    @property
    def state(self) -> Mapping[str, Any]:
        """`fall`: whether any confirmed fall has not ended."""
        falls = (person.fall for person in self._people.values())
        return {"fall": any(fall is not None and fall.confirmed for fall in falls)}

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Event]:
        """Process the tracks of one frame and return new fall events."""
        self._observe_tracks(tracks, at_ns)
        self._rate_people(at_ns)
        events = [
            event for person in self._people.values() for event in self._step_person(person, at_ns)
        ]
        self._people = {
            id_: person for id_, person in self._people.items() if self._is_kept(person, at_ns)
        }
        self._last_frame_ns = at_ns
        return self._speeds.add(events, tracks, at_ns)

    def evidence(self, at_ns: int) -> list[Evidence]:
        """Return the evidence for each known person, for reports on missed falls."""
        return [person.evidence(at_ns) for person in self._people.values()]

    # ---------------------------------------------------------- observations

    def _observe_tracks(self, tracks: Sequence[Track], at_ns: int) -> None:
        """Add one observation for each track."""
        if not tracks:
            return
        keypoints = np.stack([track.pose.keypoints for track in tracks])
        min_score = VISIBLE * self.options.min_keypoint_score
        looks = measure(keypoints, min_score)
        present = {track.id for track in tracks}
        people = [
            self._person_of(track.id, points, float(stature), present, at_ns)
            for track, points, stature in zip(tracks, looks.points, looks.stature, strict=True)
        ]
        before = np.stack([person.upright.look for person in people])
        postures = probabilities(keypoints, self.options.min_keypoint_score, before)
        upright = upright_looks(keypoints, min_score)
        rows = zip(tracks, people, postures, upright, *looks, strict=True)
        for track, person, posture, stood, points, width, stature in rows:
            person.last_ns, person.covered = at_ns, False
            person.resting = bool(self._rest.intersection(track.zones))
            if _is_hidden(points, SHOULDERS) and _is_hidden(points, HIPS):
                continue
            standing, sitting, lying, other = posture.tolist()
            person.upright.add(stood, standing, at_ns)
            down = math.log((lying + other / 2 + DOUBT) / (standing + sitting + other / 2 + DOUBT))
            look = _Look(
                at_ns, points, float(width), float(stature), down, lying, standing, track.cut
            )
            person.add(look, self._last_frame_ns)
            if standing >= STOOD or look.is_up(person.stature):
                person.stood_ns = at_ns
            if person.fall is not None:
                _watch_fall(person.fall, look)
        self._note_covered(tracks)

    def _note_covered(self, tracks: Sequence[Track]) -> None:
        """Note which lost people may be behind another one: nearer, so not much smaller."""
        present = {track.id for track in tracks}
        boxes = [track.pose.box for track in tracks]
        for person in self._people.values():
            if person.id not in present and person.looks:
                x, y = _middle_of(person.looks[-1].points)
                least = SMALLEST * person.stature
                person.covered |= any(
                    box.contains(x, y) and max(box.width, box.height) >= least for box in boxes
                )

    def _person_of(
        self, id_: int, points: Array, stature: float, present: set[int], at_ns: int
    ) -> _Person:
        """Return the state of a track; a new track near a lost one takes over its state."""
        if id_ in self._people:
            return self._people[id_]
        person = self._lost_near(points, stature, present, at_ns) or _Person(id_, at_ns)
        self._people.pop(person.id, None)
        person.id = id_
        self._people[id_] = person
        return person

    def _lost_near(
        self, points: Array, stature: float, present: set[int], at_ns: int
    ) -> _Person | None:
        """Return the nearest lost person within `NEAR`: pose models lose people who fall.

        A much smaller body is something else, such as a chair that the model takes for a person.
        """
        best, nearest = None, NEAR
        for person in self._people.values():
            if person.id in present or not person.looks:
                continue
            patience_s = self.options.gone_s if person.fall else ADOPT_S
            apart = np.hypot(*(_middle_of(points) - _middle_of(person.looks[-1].points)))
            known = person.fall.stature if person.fall else person.stature
            if stature < SMALLEST * known:
                continue
            if at_ns - person.last_ns <= patience_s * NS_PER_S and apart / known < nearest:
                best, nearest = person, float(apart / known)
        return best

    # -------------------------------------------------------------- evidence

    def _rate_people(self, at_ns: int) -> None:
        """Rate the last seconds of each person without a fall, or with a fresh one.

        A person who is clearly up cannot be suspected, whatever the rating: it is computed
        later, if at all.
        """
        rated = []
        for person in self._people.values():
            if _is_ratable(person, at_ns):
                person.unrated.append(at_ns)
            if person.unrated and person.is_clearly_up(at_ns):
                person.drop_old_times(at_ns)
            elif person.unrated:
                rated.append(person)
        if not rated:
            return
        inputs, known = windows(*_on_one_time_line(rated, at_ns))
        times = [(person, rated_ns) for person in rated for rated_ns in person.unrated]
        evidence = zip(times, known.tolist(), rate(inputs), speeds(inputs).tolist(), strict=True)
        for (person, rated_ns), is_known, rating, speed in evidence:
            if is_known:
                person.add_rating(rated_ns, float(rating))
                person.speed = 0.0 if math.isnan(speed) else SPEED_WEIGHT * (speed - SPEED)
        for person in rated:
            person.unrated.clear()

    # ---------------------------------------------------------------- events

    def _step_person(self, person: _Person, at_ns: int) -> list[Event]:
        """Return the due event of one person, if any."""
        fall = person.fall
        if fall is None:
            return self._suspect_fall(person, at_ns)
        if fall.is_fresh(at_ns) and person.looks:
            total = person.evidence(at_ns).total
            fall.rate(total, person.store_total(total, at_ns))
        if self._is_over(person, fall, at_ns):
            return [self._end_fall(person, fall, at_ns)]
        waited_s = (at_ns - fall.began_ns) / NS_PER_S
        if fall.confirmed or waited_s < self.options.confirm_s:
            return []
        if fall.sufficient_s < SUSTAINED_S or not fall.is_down():
            return []
        fall.confirmed = True
        return [_make_event("fall_confirmed", person, fall, at_ns)]

    def _suspect_fall(self, person: _Person, at_ns: int) -> list[Event]:
        """Start a suspected fall when there is enough evidence."""
        if person.resting or person.covered or not person.looks or at_ns < person.armed_ns:
            person.store_total(-math.inf, at_ns)
            return []
        evidence = person.evidence(at_ns)
        sufficient_s = person.store_total(evidence.total, at_ns)
        if not evidence.is_sufficient:
            return []
        began_ns = at_ns if person.began_ns is None else person.began_ns
        where = _middle_of(person.looks[-1].points)
        person.fall = _Fall(began_ns, evidence.total, where, person.stature, sufficient_s)
        return [_make_event("fall_suspected", person, person.fall, at_ns)]

    def _is_over(self, person: _Person, fall: _Fall, at_ns: int) -> bool:
        if at_ns - person.last_ns > self.options.gone_s * NS_PER_S:
            return True
        up_ns = fall.up_since_ns
        return up_ns is not None and person.last_ns - up_ns >= self.options.recover_s * NS_PER_S

    def _end_fall(self, person: _Person, fall: _Fall, at_ns: int) -> Event:
        gone = at_ns - person.last_ns > self.options.gone_s * NS_PER_S
        event = _make_event("fall_recovered", person, fall, at_ns)
        person.fall, person.began_ns = None, None
        person.ratings.clear()
        person.armed_ns = at_ns + round(DISARM_S * NS_PER_S)
        confirmed = {"confirmed": fall.confirmed, "gone": gone}
        return Event(event.type, at_ns, event.person, event.score, {**event.data, **confirmed})

    def _is_kept(self, person: _Person, at_ns: int) -> bool:
        absent_s = (at_ns - person.last_ns) / NS_PER_S
        return person.fall is not None or absent_s <= max(ADOPT_S, LOST_S)


def _is_ratable(person: _Person, at_ns: int) -> bool:
    """Whether the last seconds of a person are rated: without a fall, or with a fresh one."""
    if person.fall is not None and not person.fall.is_fresh(at_ns):
        return False
    if len(person.looks) < FEWEST or at_ns - person.looks[-1].at_ns > LOST_S * NS_PER_S:
        return False
    return not person.may_be_outside(at_ns)


def _on_one_time_line(people: Sequence[_Person], at_ns: int) -> tuple[Looks, Array, Array]:
    """Return the observations of several people, their times, and the ends of their windows.

    The times of each person are `APART_S` after those of the one before, so that one call
    of `windows` handles all: its cost is that of the numpy calls.
    """
    looks = [look for person in people for look in person.looks]
    shifts: Array = np.arange(len(people), dtype=np.float64) * APART_S
    seconds = np.array([look.at_ns - at_ns for look in looks]) / NS_PER_S
    seconds += shifts.repeat([len(person.looks) for person in people])
    ends = np.array([end_ns - at_ns for person in people for end_ns in person.unrated]) / NS_PER_S
    ends += shifts.repeat([len(person.unrated) for person in people])
    points = np.concatenate([look.points for look in looks]).reshape(-1, POINTS, 2)
    # Two arrays of numbers take a fifth of the time of one of pairs.
    widths = np.array([look.width for look in looks])
    statures = np.array([look.stature for look in looks])
    return Looks(points, widths, statures), seconds, ends


def _is_hidden(points: Array, point: int) -> bool:
    return math.isnan(points[point, 0])


def _watch_fall(fall: _Fall, look: _Look) -> None:
    """Add an observation to a fall and update whether the body is up."""
    fall.add(look)
    if look.standing < STANDS and not look.is_up(fall.stature):
        fall.up_since_ns = None
        fall.where = _middle_of(look.points)
    elif fall.up_since_ns is None:
        fall.up_since_ns = look.at_ns


def rate(inputs: Floats) -> Floats:
    """Return the network's logits (n,) of a fall for windows (n, INPUTS).

    Averages each window and its mirror image, so that left and right count the same.
    """
    mirrored = inputs.copy()
    mirrored[:, 0 : 2 * POINTS * STEPS : 2] *= -1
    return _fall_network().mean_logits(inputs, mirrored)[:, 0]


@cache
def _fall_network() -> Perceptron:
    return Perceptron.load(WEIGHTS)


def _make_event(kind: str, person: _Person, fall: _Fall, at_ns: int) -> Event:
    """Create an event with its evidence."""
    lying = fall.lying
    data: dict[str, Any] = {
        "duration_s": round((at_ns - fall.began_ns) / NS_PER_S, 1),
        "where": [round(float(value), 1) for value in fall.where],
        "evidence": {
            "descent": round(_sigmoid(fall.rating), 3),
            "lying": None if np.isnan(lying) else round(lying, 3),
            "visible": at_ns == person.last_ns,
        },
    }
    return Event(kind, at_ns, person.id, round(_sigmoid(fall.rating), 3), data)


def _sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def _middle_of(points: Array) -> Array:
    """Return the hips, or the shoulders where the hips are hidden."""
    return np.asarray(points[SHOULDERS] if np.isnan(points[HIPS, 0]) else points[HIPS])


def _drop_old(looks: deque[_Look], at_ns: int, seconds: float) -> None:
    while at_ns - looks[0].at_ns > seconds * NS_PER_S:
        looks.popleft()


def _robust_spread(places: Array) -> tuple[float, float]:
    """Return robust standard deviations of places (n, 2) across and up.

    Median absolute deviations, scaled by 1.4826 for normal errors.
    """
    across, vertical = 1.4826 * np.median(np.abs(places - np.median(places, axis=0)), axis=0)
    return float(across), float(vertical)
