"""Falls: from standing or sitting to the floor too fast to be on purpose, and staying there.

Three steps, each an event: *suspected* when somebody came down fast and lies,
*confirmed* when that person is still down some seconds later, *recovered* when
they are up again. Bending keeps the hips up, sitting down keeps the torso up,
kneeling keeps the legs under the body, lying down on purpose takes its time;
each of these is one condition below.

All lengths are in torsos of the same person, measured while upright, so that
the size of the person and the distance to the camera do not matter.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

import numpy as np

from edgepose.config import Config
from edgepose.skeleton import Figure, figure
from edgepose.structures import Event, Floats, Track
from edgepose.timing import NS_PER_S
from edgepose.zones import Zone

# Chosen on generated scenes (tests/scenes.py); docs/events.md has the table.
UPRIGHT_DEG: Final = 40.0  # a torso within counts for the person's own size
HIGH: Final = 1.4  # shoulders above ankles: 1.75 on a chair, 1.0 sitting on the floor
ACROSS_DEG: Final = 50.0  # a torso that lies across the picture
LOW: Final = 1.15  # shoulders above ankles of one who lies across the picture
REACHING: Final = 1.15  # and no more than this part of hips to ankles; crouching 1.2 to 1.8
HANGING: Final = 0.45  # knees below hips: on all fours 0.85
FLAT: Final = 0.6  # shoulders above ankles so low that knees below hips by
HANGING_FLAT: Final = 0.75  # more than that are only badly seen
SHRUNK: Final = 0.75  # a torso that lies along the line of sight, of its own length
SHRUNK_LOW: Final = 1.3  # shoulders above ankles of one who lies so; squatting 1.5
LEG_TO_TORSO: Final = (1.2, 2.7)  # 1.7 lying straight; kneeling 1.0 to 1.2, or towards us 5
HIPS_DOWN: Final = 0.5  # how far hips come down at least; bending and sit-ups leave them

TRUNK: Final = 0.288 / (0.288 + 0.491)  # of shoulders to ankles; lengths as in `zones`

DROP: Final = 0.45  # shoulders of one who falls come down so far at least,
DROP_PER_S: Final = 0.65  # and farther by this for each second it takes
HISTORY_S: Final = 2.6
SIZE_S: Final = 6.0  # how long the person's own size is remembered
SMOOTH_S: Final = 0.12  # time constant; shorter than any fall
WAY_S: Final = 1.6  # from last being high to being down; on purpose it takes 2 s and more
CARRY_S: Final = 0.8  # a way down is remembered until the body is seen to lie
DECIDE_S: Final = 0.8  # the way down may end so long after "down" is first seen
ARRIVED: Final = 0.6  # hips of one who has come to rest move less in half a second
CLEAR: Final = 1.4  # times the drop that is asked for: beyond doubt
SEEN_DOWN_S: Final = 0.35  # a single odd frame is no fall
DOUBT_S: Final = 1.0  # the same where the way down alone leaves doubt
LIES: Final = 0.5  # part of the looks in which one who is confirmed is down
REST_S: Final = 5.0  # and how long that body must have been at rest:
RESTING: Final = 0.24  # spread of the shoulders; 0.14 lying still, sit-ups 0.4
RESTING_HIGH: Final = 0.17  # the same up and down alone; 0.1 lying still, push-ups 0.2
SETTLING: Final = 0.75  # one who lies back after sitting down on the floor sinks on by 1.4
NEAR: Final = 3.0  # torsos; a body that falls over moves its shoulders by 2.7
ADOPT_S: Final = 3.0  # a new track near one lost so lately is the same person


@dataclass(frozen=True, slots=True)
class FallOptions:
    """How falls are told."""

    confirm_s: float = 10.0
    """A suspected fall is confirmed when the person is still down after this time."""

    recover_s: float = 1.0
    """Being up for so long ends a fall."""

    gone_s: float = 60.0
    """A fallen person who is not seen any more is taken as gone after this time."""

    min_keypoint_score: float = 0.3
    """Joints below are taken as hidden."""


class _Sight(NamedTuple):
    """One person in one frame; y down, in pixels."""

    at_ns: int
    shoulders: Floats
    hips: Floats
    knees: Floats | None
    ankles: Floats | None

    @property
    def torso(self) -> float:
        return float(np.hypot(*(self.shoulders - self.hips)))

    @property
    def torso_deg(self) -> float:
        across, up = (self.shoulders - self.hips).tolist()
        return float(np.degrees(np.arctan2(abs(across), -up)))

    @property
    def height(self) -> float | None:
        """Shoulders above ankles; None where the feet are hidden."""
        return None if self.ankles is None else float(self.ankles[1] - self.shoulders[1])

    @property
    def leg(self) -> float:
        """From the hips to the ankles in a straight line; NaN where the feet are hidden."""
        return float("nan") if self.ankles is None else float(np.hypot(*(self.ankles - self.hips)))


@dataclass(slots=True)
class _Fall:
    """One fall from the moment it was suspected."""

    person: int
    began_ns: int
    suspected_ns: int
    score: float
    where: Floats
    low: float
    """Height of the shoulders in the picture when suspected."""
    size: float
    seen: int = 0
    down: int = 0
    confirmed_ns: int | None = None
    up_since_ns: int | None = None
    lately: deque[tuple[int, Floats]] = field(default_factory=deque)
    """Where the shoulders were within `REST_S`."""

    def look(self, sight: _Sight, *, down: bool) -> None:
        """Take one more look at the body."""
        self.seen += 1
        self.down += down
        self.lately.append((sight.at_ns, sight.shoulders))
        while sight.at_ns - self.lately[0][0] > REST_S * NS_PER_S:
            self.lately.popleft()

    @property
    def lies(self) -> bool:
        """Mostly down, at rest, and no lower than at the end of the way down.

        Who moves to and fro is exercising, and who goes on sinking lies down on purpose.
        """
        if self.up_since_ns is not None or self.down < LIES * self.seen:
            return False
        if len(self.lately) < 3:
            return True
        places = np.array([place for _, place in self.lately]) / self.size
        sunk = float(np.median(places[:, 1])) - self.low / self.size
        across, high = places.std(axis=0).tolist()
        at_rest = high <= RESTING_HIGH and np.hypot(across, high) <= RESTING
        return bool(at_rest) and sunk <= SETTLING


@dataclass(slots=True)
class _Person:
    """What is remembered of one track."""

    id: int
    last_ns: int
    sights: deque[_Sight] = field(default_factory=deque)
    sizes: deque[tuple[int, float]] = field(default_factory=deque)
    down_since_ns: int | None = None
    ways: deque[tuple[int, float]] = field(default_factory=deque)
    """How fast the body came down lately: times and `_drop`."""
    dropped: float = 0.0
    """How far the body came down fast, over what is asked for; 0 when it did not."""
    hips_dropped: float = 0.0
    downs: int = 0
    sights_since: int = 0
    resting: bool = False
    fall: _Fall | None = None

    def size(self) -> float | None:
        """Return the length of the torso when upright, in pixels."""
        if len(self.sizes) < 3:
            return None
        return float(np.median([size for _, size in self.sizes]))


class FallDetector:
    """Suspects, confirms and ends falls of all people before one camera."""

    def __init__(self, zones: Sequence[Zone] = (), options: FallOptions | None = None) -> None:
        self.options = options or FallOptions()
        self._rest = {zone.id for zone in zones if zone.kind == "rest"}
        self._people: dict[int, _Person] = {}

    @classmethod
    def configured(cls, config: Config, zones: Sequence[Zone]) -> Self | None:
        """Make what the configuration asks for; None for nothing."""
        options = FallOptions(
            confirm_s=config.events.fall_confirm_s,
            min_keypoint_score=config.pose.min_keypoint_score,
        )
        return cls(zones, options) if config.events.fall else None

    @property
    def state(self) -> Mapping[str, Any]:
        """`fall`: somebody has fallen and is neither up again nor gone."""
        falls = (person.fall for person in self._people.values())
        return {"fall": any(fall is not None and fall.confirmed_ns is not None for fall in falls)}

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Event]:
        """Take the people of one frame and say who has fallen, stays down, or is up again."""
        events: list[Event] = []
        present = {track.id for track in tracks}
        for track in tracks:
            person = self._person(track, present, at_ns)
            person.last_ns = at_ns
            person.resting = bool(self._rest.intersection(track.zones))
            sight = self._sight(person, track, at_ns)
            if sight is not None:
                events += self._look(person, sight)
        for person in list(self._people.values()):
            events += self._wait(person, at_ns)
        return events

    # ------------------------------------------------------------- who is who

    def _person(self, track: Track, present: set[int], at_ns: int) -> _Person:
        """Return what is known of a track; a new one near a lost one goes on with its past."""
        if track.id in self._people:
            return self._people[track.id]
        person = self._lost_near(track, present, at_ns) or _Person(track.id, at_ns)
        self._people.pop(person.id, None)
        person.id = track.id
        self._people[track.id] = person
        return person

    def _lost_near(self, track: Track, present: set[int], at_ns: int) -> _Person | None:
        """Find the person whose track was lost near by: models lose those who fall."""
        body = figure(track.pose.keypoints, self.options.min_keypoint_score)
        here = body.hips if body.hips is not None else body.shoulders
        if here is None:
            return None
        best, nearest = None, NEAR
        for person in self._people.values():
            size = person.size()
            if person.id in present or not person.sights or size is None:
                continue
            patience_s = self.options.gone_s if person.fall else ADOPT_S
            distance = float(np.hypot(*(here - person.sights[-1].hips))) / size
            if at_ns - person.last_ns <= patience_s * NS_PER_S and distance < nearest:
                best, nearest = person, distance
        return best

    # ----------------------------------------------------------- what is seen

    def _sight(self, person: _Person, track: Track, at_ns: int) -> _Sight | None:
        """Take one look, smoothed a little; None when shoulders or hips are hidden."""
        body = figure(track.pose.keypoints, self.options.min_keypoint_score)
        hips = _hips(body, person.size())
        if body.shoulders is None or hips is None:
            return None
        sight = _Sight(at_ns, body.shoulders, hips, body.knees, body.ankles)
        if person.sights:
            sight = _smoothed(person.sights[-1], sight)
        person.sights.append(sight)
        while at_ns - person.sights[0].at_ns > HISTORY_S * NS_PER_S and len(person.sights) > 2:
            person.sights.popleft()
        return sight

    def _look(self, person: _Person, sight: _Sight) -> list[Event]:
        """Learn from one look at a person."""
        size = person.size()
        if person.fall is None and sight.torso_deg < UPRIGHT_DEG:
            self._measure(person, sight, size)
        if size is None:
            return []
        down = _is_down(sight, size, person)
        if person.fall is not None:
            return self._watch(person, person.fall, sight, down=down, size=size)
        return self._suspect(person, sight, down=down, size=size)

    @staticmethod
    def _measure(person: _Person, sight: _Sight, size: float | None) -> None:
        """Remember the torso's length while upright; a shrinking one may be a fall."""
        if size is not None and sight.torso < SHRUNK * size and _recent(person, sight.at_ns):
            return
        person.sizes.append((sight.at_ns, sight.torso))
        while sight.at_ns - person.sizes[0][0] > SIZE_S * NS_PER_S:
            person.sizes.popleft()

    # ---------------------------------------------------------------- falling

    def _suspect(self, person: _Person, sight: _Sight, *, down: bool, size: float) -> list[Event]:
        """Suspect a fall once somebody who came down fast has been down for a moment."""
        drop = 0.0 if _is_high(sight, size) else _drop(person, sight, size)
        person.ways.append((sight.at_ns, drop))
        while sight.at_ns - person.ways[0][0] > CARRY_S * NS_PER_S:
            person.ways.popleft()
        if person.down_since_ns is None:
            if not down or _since_high_s(person, sight, size) > WAY_S:
                return []
            person.down_since_ns = sight.at_ns
            person.dropped = max(way for _, way in person.ways)
            person.hips_dropped = 0.0
            person.downs = person.sights_since = 0
        since_s = (sight.at_ns - person.down_since_ns) / NS_PER_S
        person.sights_since += 1
        person.downs += down
        if since_s <= DECIDE_S:
            person.dropped = max(person.dropped, drop)
            person.hips_dropped = max(person.hips_dropped, _hips_dropped(person, sight, size))
        share = person.downs / person.sights_since
        if share < 0.5:
            person.down_since_ns = None
            return []
        wait_s = SEEN_DOWN_S if person.dropped >= CLEAR else DOUBT_S
        enough = since_s >= wait_s and person.downs >= 2 and share >= 0.6 and down
        fast = person.dropped >= 1.0 and person.hips_dropped >= HIPS_DOWN
        if not enough or not fast or person.resting:
            return []
        if _travelled(person, sight) > ARRIVED * size:
            return []
        score = round(share * min(1.0, 0.5 + 0.5 * (person.dropped - 1)), 3)
        began_ns = person.down_since_ns
        person.fall = _Fall(
            person.id, began_ns, sight.at_ns, score, sight.hips, float(sight.shoulders[1]), size
        )
        return [self._event("fall_suspected", person, person.fall, sight.at_ns)]

    def _watch(
        self, person: _Person, fall: _Fall, sight: _Sight, *, down: bool, size: float
    ) -> list[Event]:
        """Look whether somebody who fell is up again."""
        fall.look(sight, down=down)
        if down or not _is_up(sight, size):
            if down:
                fall.where = sight.hips
            fall.up_since_ns = None
            return []
        if fall.up_since_ns is None:
            fall.up_since_ns = sight.at_ns
        if sight.at_ns - fall.up_since_ns < self.options.recover_s * NS_PER_S:
            return []
        return [self._end(person, fall, sight.at_ns)]

    def _wait(self, person: _Person, at_ns: int) -> list[Event]:
        """Let time pass: confirm who is still down, forget who is gone."""
        absent_s = (at_ns - person.last_ns) / NS_PER_S
        fall = person.fall
        if fall is None:
            if absent_s > max(ADOPT_S, HISTORY_S):
                del self._people[person.id]
            return []
        if absent_s > self.options.gone_s:
            event = self._event("fall_recovered", person, fall, at_ns, gone=True)
            del self._people[person.id]
            return [event]
        waited_s = (at_ns - fall.began_ns) / NS_PER_S
        if fall.confirmed_ns is None and waited_s >= self.options.confirm_s and fall.lies:
            fall.confirmed_ns = at_ns
            return [self._event("fall_confirmed", person, fall, at_ns)]
        return []

    def _end(self, person: _Person, fall: _Fall, at_ns: int) -> Event:
        event = self._event("fall_recovered", person, fall, at_ns)
        person.fall = person.down_since_ns = None
        person.sizes.clear()
        return event

    @staticmethod
    def _event(kind: str, person: _Person, fall: _Fall, at_ns: int, *, gone: bool = False) -> Event:
        data: dict[str, Any] = {
            "duration_s": round((at_ns - fall.began_ns) / NS_PER_S, 1),
            "where": [round(float(value), 1) for value in fall.where],
        }
        if kind == "fall_recovered":
            data |= {"confirmed": fall.confirmed_ns is not None, "gone": gone}
        return Event(kind, at_ns, person.id, fall.score, data)


def _hips(body: Figure, size: float | None) -> Floats | None:
    """Return the hips, or where they are in a straight body whose trunk hides them.

    A body that is high and hides its hips bends towards the camera: it is not straight.
    """
    if body.hips is not None or body.shoulders is None or body.ankles is None:
        return body.hips
    if size is None or body.ankles[1] - body.shoulders[1] > size:
        return None
    return np.asarray(body.shoulders + TRUNK * (body.ankles - body.shoulders))


def _smoothed(before: _Sight, now: _Sight) -> _Sight:
    """Follow the joints with a small lag, the same at any frame rate."""
    keep = float(np.exp(-(now.at_ns - before.at_ns) / (SMOOTH_S * NS_PER_S)))

    def mix(a: Floats | None, b: Floats | None) -> Floats | None:
        return b if a is None or b is None else np.asarray(keep * a + (1 - keep) * b)

    shoulders, hips = (
        np.asarray(keep * a + (1 - keep) * b)
        for a, b in ((before.shoulders, now.shoulders), (before.hips, now.hips))
    )
    knees, ankles = mix(before.knees, now.knees), mix(before.ankles, now.ankles)
    return _Sight(now.at_ns, shoulders, hips, knees, ankles)


def _recent(person: _Person, at_ns: int) -> bool:
    """Say whether the person's size was measured lately."""
    return bool(person.sizes) and at_ns - person.sizes[-1][0] < SIZE_S * NS_PER_S


def _is_down(sight: _Sight, size: float, person: _Person) -> bool:
    """Say whether a body lies, across the picture or along the line of sight."""
    sure = person.fall is not None and sight.height is not None and sight.height <= FLAT * size
    hanging = (HANGING_FLAT if sure else HANGING) * size
    if sight.knees is not None and sight.knees[1] - sight.hips[1] > hanging:
        return False
    if sight.torso_deg >= ACROSS_DEG:
        return _lies_across(sight, size, person)
    return _lies_along(sight, size)


def _lies_across(sight: _Sight, size: float, person: _Person) -> bool:
    """Tell lying from crouching: the shoulders are low, and the legs reach away."""
    if sight.ankles is None or sight.height is None:
        return _hips_dropped(person, sight, size) >= HIPS_DOWN
    return sight.height <= min(LOW * size, REACHING * sight.leg)


def _lies_along(sight: _Sight, size: float) -> bool:
    """Tell lying from squatting: torso and legs are shortened alike."""
    if sight.ankles is None or sight.height is None or sight.torso > SHRUNK * size:
        return False
    low, high = LEG_TO_TORSO
    in_proportion = low * sight.torso <= sight.leg <= high * sight.torso
    return in_proportion and sight.height <= SHRUNK_LOW * size


def _is_up(sight: _Sight, size: float) -> bool:
    """Say whether a body stands or sits on something."""
    height = sight.height
    return (
        sight.torso_deg < UPRIGHT_DEG
        and sight.torso >= SHRUNK * size
        and height is not None
        and height / size >= HIGH
    )


def _hips_dropped(person: _Person, sight: _Sight, size: float) -> float:
    """Return how far the hips came down within the history."""
    highest = min(float(before.hips[1]) for before in person.sights)
    return (float(sight.hips[1]) - highest) / size


def _drop(person: _Person, sight: _Sight, size: float) -> float:
    """Return how far the shoulders came down fast, over what a fall needs; 1 is just enough."""
    best = 0.0
    for before in person.sights:
        elapsed_s = (sight.at_ns - before.at_ns) / NS_PER_S
        if not _is_high(before, size) or elapsed_s <= 0:
            continue
        dropped = float(sight.shoulders[1] - before.shoulders[1]) / size
        best = max(best, dropped / (DROP + DROP_PER_S * elapsed_s))
    return best


def _is_high(sight: _Sight, size: float) -> bool:
    """Say whether a body may fall: upright, and not on the floor already."""
    low = sight.height is not None and sight.height < HIGH * size
    return sight.torso_deg < UPRIGHT_DEG and not low


def _since_high_s(person: _Person, sight: _Sight, size: float) -> float:
    """Return how long the person has been seen not high any more; infinite if always.

    The time in which nobody saw the person, as models lose those who fall, is left out.
    """
    since_ns: int | None = None
    for before in reversed(person.sights):
        if _is_high(before, size):
            return (sight.at_ns - (since_ns or sight.at_ns)) / NS_PER_S
        since_ns = before.at_ns
    return float("inf")


def _travelled(person: _Person, sight: _Sight) -> float:
    """Return how far the hips have moved within the last half second, in pixels."""
    lately = [before for before in person.sights if sight.at_ns - before.at_ns <= NS_PER_S // 2]
    return float(np.hypot(*(sight.hips - lately[0].hips)))
