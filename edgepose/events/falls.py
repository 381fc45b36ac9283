"""Falls: from standing or sitting to the floor too fast to be on purpose, and staying there.

Three steps, each an event: *suspected* when somebody came down fast and lies,
*confirmed* when that person still lies some seconds later, *recovered* when they are
up again. How fast is seen from frame to frame, how the body lies from many looks
(`edgepose.events.lying`). All lengths are in torsos of the same person, measured while
upright, so that the size of the person and the distance to the camera do not matter.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final, NamedTuple, Self

import numpy as np

from edgepose.config import Config
from edgepose.events.lying import HIPS, SHOULDERS, Sight, joints_of, lie, lies, smoothed, spread
from edgepose.skeleton import figure
from edgepose.structures import Event, Floats, Track
from edgepose.timing import NS_PER_S
from edgepose.zones import Zone

# Chosen on generated scenes (tests/scenes.py); docs/events.md has the table.
UPRIGHT_DEG: Final = 40.0  # a torso within counts for the person's own size
HIGH: Final = 1.4  # shoulders above ankles: 1.75 on a chair, 1.0 sitting on the floor
WHOLE: Final = 0.75  # of its own length: less is foreshortened

STANDING: Final = 2.0  # shoulders above ankles of one who stands, in torsos of the same look
SLOWLY_S: Final = 1.0  # who walks away at 1.1 m/s, two metres from the camera, shrinks by a third

DROP: Final = 0.5  # shoulders of one who falls come down so far at least,
DROP_PER_S: Final = 0.7  # and farther by this for each second it takes
CLEAR: Final = 1.4  # times the drop that is asked for: beyond doubt
HISTORY_S: Final = 2.6
SIZE_S: Final = 3.0  # how long the person's own size is remembered
WAY_S: Final = 1.6  # from last being high to being low; on purpose it takes 2 s and more

GIVE_UP_S: Final = 5.0  # one of whom it is not sure by then has not fallen
LANDING_S: Final = 0.5  # so long the way down goes on
LOOK_S: Final = 3.0  # how long the looks are that say whether a body lies
ARRIVED: Final = 0.7  # hips of one who has come to rest move less within these looks
UNSEEN_S: Final = 1.5  # models lose people who lie: one not seen for so long is still down
UP_S: Final = 0.5  # one who is up for so long did not come down

REST_S: Final = 5.0  # a body at rest for so long is confirmed:
FEW: Final = 8  # fewer looks than these tell nothing of rest
RESTING: Final = 0.3  # spread of the shoulders; 0.14 lying still, sit-ups 0.6
RESTING_HIGH: Final = 0.22  # the same up and down alone; 0.1 lying still, push-ups 0.3
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


class _Need(NamedTuple):
    """What must be seen of somebody who came down, to suspect a fall."""

    hips_down: float
    """How far the hips come down at least, in torsos; bending and sit-ups leave them."""

    seen_s: float
    """How long the body must seem to lie: an odd moment is no fall."""

    decide_s: float
    """When it must begin to seem so: later it lay down for another reason."""


CERTAIN: Final = _Need(hips_down=0.35, seen_s=0.8, decide_s=2.0)
DOUBTFUL: Final = _Need(hips_down=0.5, seen_s=1.0, decide_s=1.5)  # one who lies back: 0.4, 2.0 s


@dataclass(slots=True)
class _Way:
    """Somebody on the way down, and just arrived."""

    began_ns: int
    dropped: float
    """How far the shoulders came down, over what is asked for."""

    hips_before: float
    """Height of the hips in the picture before."""

    looks: deque[Sight] = field(default_factory=deque)
    """The last `LOOK_S`."""

    lies_since_ns: int | None = None
    up_since_ns: int | None = None

    def look(self, sight: Sight, dropped: float) -> None:
        """Take one more look."""
        self.dropped = max(self.dropped, dropped)
        self.looks.append(sight)
        _forget(self.looks, sight.at_ns, LOOK_S)

    def hips_dropped(self, size: float) -> float:
        """Return how far the hips came down, in torsos."""
        return (
            median(float(look.joints[HIPS, 1]) for look in self.looks) - self.hips_before
        ) / size

    def arrived(self, size: float) -> bool:
        """Say whether the hips are where they were: one who crawls has not come to rest."""
        landed_ns = self.began_ns + LANDING_S * NS_PER_S
        places = np.array([look.joints[HIPS] for look in self.looks if look.at_ns >= landed_ns])
        if len(places) < 2:
            return True
        half = len(places) // 2
        moved = np.median(places[half:], axis=0) - np.median(places[:half], axis=0)
        return float(np.hypot(*moved)) <= ARRIVED * size


@dataclass(slots=True)
class _Fall:
    """One fall from the moment it was suspected."""

    began_ns: int
    score: float
    where: Floats
    size: float
    looks: deque[Sight]
    """The last `REST_S`, and at least `FEW` if there are."""

    confirmed: bool = False
    up_since_ns: int | None = None

    def look(self, sight: Sight) -> None:
        """Take one more look at the body."""
        self.looks.append(sight)
        _forget(self.looks, sight.at_ns, REST_S, FEW)

    @property
    def lies(self) -> bool:
        """Down and at rest: who moves to and fro is exercising."""
        if self.up_since_ns is not None or not lies(lie(self.looks, self.size)):
            return False
        if len(self.looks) < FEW:
            return True
        shoulders = np.array([look.joints[SHOULDERS] for look in self.looks], np.float32)
        across, high = (part / self.size for part in spread(shoulders))
        at_rest = high <= RESTING_HIGH and np.hypot(across, high) <= RESTING
        return bool(at_rest)


@dataclass(slots=True)
class _Person:
    """What is remembered of one track."""

    id: int
    last_ns: int
    sights: deque[Sight] = field(default_factory=deque)
    sizes: deque[tuple[int, float]] = field(default_factory=deque)
    resting: bool = False
    way: _Way | None = None
    may_fall: bool = True
    """False after a way down that was no fall, until the person is high again."""

    fall: _Fall | None = None

    def size(self) -> float | None:
        """Return the length of the torso when upright, in pixels."""
        if len(self.sizes) < 3:
            return None
        return median(size for _, size in self.sizes)


def _forget(looks: deque[Sight], at_ns: int, seconds: float, least: int = 2) -> None:
    """Leave out what is longer ago, but keep some."""
    while len(looks) > least and at_ns - looks[0].at_ns > seconds * NS_PER_S:
        looks.popleft()


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
            recover_s=config.events.fall_recover_s,
            gone_s=config.events.fall_gone_s,
            min_keypoint_score=config.pose.min_keypoint_score,
        )
        return cls(zones, options) if config.events.fall else None

    @property
    def state(self) -> Mapping[str, Any]:
        """`fall`: somebody has fallen and is neither up again nor gone."""
        falls = (person.fall for person in self._people.values())
        return {"fall": any(fall is not None and fall.confirmed for fall in falls)}

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
            distance = float(np.hypot(*(here - person.sights[-1].joints[HIPS]))) / size
            if at_ns - person.last_ns <= patience_s * NS_PER_S and distance < nearest:
                best, nearest = person, distance
        return best

    # ----------------------------------------------------------- what is seen

    def _sight(self, person: _Person, track: Track, at_ns: int) -> Sight | None:
        """Take one look, smoothed a little; None when shoulders or hips are hidden."""
        body = figure(track.pose.keypoints, self.options.min_keypoint_score)
        joints = joints_of(body, person.size())
        if joints is None:
            return None
        if person.sights:
            joints = smoothed(person.sights[-1], at_ns, joints)
        sight = Sight.at(at_ns, joints)
        person.sights.append(sight)
        _forget(person.sights, at_ns, HISTORY_S)
        return sight

    def _look(self, person: _Person, sight: Sight) -> list[Event]:
        """Learn from one look at a person."""
        size = person.size()
        if person.fall is None and sight.torso_deg < UPRIGHT_DEG:
            self._measure(person, sight, size)
        if size is None:
            return []
        if person.fall is not None:
            return self._watch(person, person.fall, sight, size)
        self._descend(person, sight, size)
        return self._suspect(person, sight.at_ns, size)

    @staticmethod
    def _measure(person: _Person, sight: Sight, size: float | None) -> None:
        """Remember the torso's length while upright; a shrinking one may be a fall."""
        shrunk = size is not None and sight.torso < WHOLE * size and _recent(person, sight.at_ns)
        if shrunk and not _walks_away(person, sight):
            return
        person.sizes.append((sight.at_ns, sight.torso))
        while sight.at_ns - person.sizes[0][0] > SIZE_S * NS_PER_S and len(person.sizes) > 3:
            person.sizes.popleft()

    # ---------------------------------------------------------------- falling

    @staticmethod
    def _descend(person: _Person, sight: Sight, size: float) -> None:
        """Notice the way down, and forget it when it leads nowhere."""
        high = _is_high(sight, size)
        dropped = 0.0 if high else _drop(person, sight, size)
        person.may_fall |= high
        way = person.way
        began = person.may_fall and dropped >= 1 and _since_high_s(person, sight, size) <= WAY_S
        if way is None and began:
            hips = min(float(before.joints[HIPS, 1]) for before in person.sights)
            way = person.way = _Way(sight.at_ns, dropped, hips)
            person.may_fall = False
        if way is None:
            return
        way.look(sight, dropped)
        if not _is_up(sight, size):
            way.up_since_ns = None
        elif way.up_since_ns is None:
            way.up_since_ns = sight.at_ns
        elif sight.at_ns - way.up_since_ns >= UP_S * NS_PER_S:
            person.way = None

    def _suspect(self, person: _Person, at_ns: int, size: float) -> list[Event]:
        """Suspect a fall once somebody who came down fast has been lying for a moment."""
        way = person.way
        if way is None:
            return []
        waited_s = (at_ns - way.began_ns) / NS_PER_S
        if not lies(lie(way.looks, size)):
            way.lies_since_ns = None
        elif way.lies_since_ns is None:
            way.lies_since_ns = at_ns
        need = CERTAIN if way.dropped >= CLEAR else DOUBTFUL
        if waited_s > (need.decide_s if way.lies_since_ns is None else GIVE_UP_S):
            person.way = None
        if way.lies_since_ns is None:
            return []
        if at_ns - way.lies_since_ns < need.seen_s * NS_PER_S or person.resting:
            return []
        if len(way.looks) < 2 or way.hips_dropped(size) < need.hips_down or not way.arrived(size):
            return []
        return [self._begin(person, way, at_ns, size)]

    def _begin(self, person: _Person, way: _Way, at_ns: int, size: float) -> Event:
        score = round(min(1.0, 0.5 + 0.5 * (way.dropped - 1)), 3)
        where = np.median([look.joints[HIPS] for look in way.looks], axis=0)
        person.fall = _Fall(way.began_ns, score, where, size, deque(way.looks))
        person.way = None
        return self._event("fall_suspected", person, person.fall, at_ns)

    def _watch(self, person: _Person, fall: _Fall, sight: Sight, size: float) -> list[Event]:
        """Look whether somebody who fell is up again."""
        fall.look(sight)
        if not _is_up(sight, size):
            fall.where = sight.joints[HIPS]
            fall.up_since_ns = None
            return []
        if fall.up_since_ns is None:
            fall.up_since_ns = sight.at_ns
        if sight.at_ns - fall.up_since_ns < self.options.recover_s * NS_PER_S:
            return []
        return [self._end(person, fall, sight.at_ns)]

    def _wait(self, person: _Person, at_ns: int) -> list[Event]:
        """Let time pass: suspect who vanished, confirm who is still down, forget who is gone."""
        absent_s = (at_ns - person.last_ns) / NS_PER_S
        fall, size = person.fall, person.size()
        if fall is None:
            unseen = person.way and at_ns - person.sights[-1].at_ns >= UNSEEN_S * NS_PER_S
            if unseen and size is not None:
                return self._suspect(person, at_ns, size)
            if absent_s > max(ADOPT_S, HISTORY_S):
                del self._people[person.id]
            return []
        if absent_s > self.options.gone_s:
            event = self._event("fall_recovered", person, fall, at_ns, gone=True)
            del self._people[person.id]
            return [event]
        waited_s = (at_ns - fall.began_ns) / NS_PER_S
        if not fall.confirmed and waited_s >= self.options.confirm_s and fall.lies:
            fall.confirmed = True
            return [self._event("fall_confirmed", person, fall, at_ns)]
        return []

    def _end(self, person: _Person, fall: _Fall, at_ns: int) -> Event:
        event = self._event("fall_recovered", person, fall, at_ns)
        person.fall = None
        person.sizes.clear()
        return event

    @staticmethod
    def _event(kind: str, person: _Person, fall: _Fall, at_ns: int, *, gone: bool = False) -> Event:
        data: dict[str, Any] = {
            "duration_s": round((at_ns - fall.began_ns) / NS_PER_S, 1),
            "where": [round(float(value), 1) for value in fall.where],
        }
        if kind == "fall_recovered":
            data |= {"confirmed": fall.confirmed, "gone": gone}
        return Event(kind, at_ns, person.id, fall.score, data)


def _recent(person: _Person, at_ns: int) -> bool:
    """Say whether the person's size was measured lately."""
    return bool(person.sizes) and at_ns - person.sizes[-1][0] < SIZE_S * NS_PER_S


def _walks_away(person: _Person, sight: Sight) -> bool:
    """Say whether somebody who stands shrinks as a whole, and slowly: a fall takes less time."""
    lately = [size for at_ns, size in person.sizes if sight.at_ns - at_ns <= SLOWLY_S * NS_PER_S]
    slowly = bool(lately) and sight.torso >= WHOLE * median(lately)
    return slowly and sight.height >= STANDING * sight.torso


def _is_up(sight: Sight, size: float) -> bool:
    """Say whether a body stands or sits on something, with the feet in sight."""
    whole = sight.torso_deg < UPRIGHT_DEG and sight.torso >= WHOLE * size
    return whole and sight.height >= HIGH * size


def _is_high(sight: Sight, size: float) -> bool:
    """Say whether a body may fall: upright, and not on the floor already."""
    return sight.torso_deg < UPRIGHT_DEG and not sight.height < HIGH * max(size, sight.torso)


def _drop(person: _Person, sight: Sight, size: float) -> float:
    """Return how far the shoulders came down fast, over what a fall needs; 1 is just enough."""
    best = 0.0
    for before in person.sights:
        elapsed_s = (sight.at_ns - before.at_ns) / NS_PER_S
        if not _is_high(before, size) or elapsed_s <= 0:
            continue
        dropped = float(sight.joints[SHOULDERS, 1] - before.joints[SHOULDERS, 1]) / size
        best = max(best, dropped / (DROP + DROP_PER_S * elapsed_s))
    return best


def _since_high_s(person: _Person, sight: Sight, size: float) -> float:
    """Return how long the person has been seen not high any more; infinite if always.

    The time in which nobody saw the person, as models lose those who fall, is left out.
    """
    since_ns: int | None = None
    for before in reversed(person.sights):
        if _is_high(before, size):
            return (sight.at_ns - (since_ns or sight.at_ns)) / NS_PER_S
        since_ns = before.at_ns
    return float("inf")
