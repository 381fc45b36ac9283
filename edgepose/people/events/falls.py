"""Falls: from standing or sitting to the floor too fast to be on purpose, and staying there.

Three steps, each an event: *suspected* when somebody came down fast and lies,
*confirmed* when that person still lies some seconds later, *recovered* when they are
up again. How fast is seen from frame to frame, how the body lies from many looks
(`edgepose.people.events.lying`). All lengths are in torsos of the same person, measured while
upright, so that the size of the person and the distance to the camera do not matter.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final, NamedTuple, Self

import numpy as np

from edgepose.config.schema import Config
from edgepose.people.events.lying import (
    ANKLES,
    HIPS,
    SHOULDERS,
    Sight,
    joints_of,
    lying,
    smoothed,
    spread,
)
from edgepose.people.zones import Zone
from edgepose.skeleton import figure
from edgepose.timing import NS_PER_S
from edgepose.types import Event, Floats, Track

# Chosen on generated scenes (tests/support/scenes.py); docs/events.md has the table.
UPRIGHT_DEG: Final = 40.0  # a torso within counts for the person's own size
HIGH: Final = 1.4  # shoulders above ankles: 1.75 on a chair, 1.0 sitting on the floor
STEADY_S: Final = 0.4  # one who is high for less may be a slip of the model
WHOLE: Final = 0.75  # of its own length: less is foreshortened
SIZE_S: Final = 2.0  # how long the person's own size is remembered

DROP: Final = 0.43  # shoulders of one who falls come down so far at least,
DROP_PER_S: Final = 0.85  # and farther by this for each second it takes
HIPS_DOWN: Final = 0.3  # hips, in torsos; bending and sit-ups leave them
HISTORY_S: Final = 2.6  # how long it is remembered where somebody was high
QUICK_S: Final = 1.8  # from last being high to being low; on purpose it takes 2 s and more
PATIENCE_S: Final = 2.3  # and to seeming to lie: later it lay down for another reason

LOOK_S: Final = 2.0  # how long the looks are that say whether a body lies
SEEMS: Final = -0.02  # `lying`; 0 is as near to a body that does not
SEEMS_S: Final = 0.8  # an odd moment is no fall
GIVE_UP_S: Final = 5.0  # one of whom it is not sure by then has not fallen
LANDING_S: Final = 0.5  # so long the way down goes on
ARRIVED: Final = 0.7  # hips of one who has come to rest move less within these looks
UNSEEN_S: Final = 1.5  # models lose people who lie: one not seen for so long is still down
UP_S: Final = 0.5  # one who is up for so long did not come down

SURE: Final = 0.035  # `lying` of one whose fall is confirmed: waiting is better than ringing
REST_S: Final = 5.0  # a body at rest for so long is confirmed:
FEW: Final = 8  # fewer looks than these tell nothing
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


@dataclass(slots=True)
class _Way:
    """Somebody on the way down, and just arrived."""

    left_ns: int
    """The first look at which the person was not high any more."""

    began_ns: int
    """The look that was low enough."""

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
        if self.up_since_ns is not None or len(self.looks) < FEW:
            return False
        if lying(self.looks, self.size) < SURE:
            return False
        shoulders = np.array([look.joints[SHOULDERS] for look in self.looks], np.float32)
        across, high = (part / self.size for part in spread(shoulders))
        at_rest = high <= RESTING_HIGH and np.hypot(across, high) <= RESTING
        return bool(at_rest)


class _Size(NamedTuple):
    """The torso of somebody upright, as one look shows it, in pixels."""

    at_ns: int
    torso: float
    feet: float
    """How far down the picture the ankles are; infinite where they are hidden."""


@dataclass(slots=True)
class _Person:
    """What is remembered of one track."""

    id: int
    last_ns: int
    sight: Sight | None = None
    """The last one."""

    sizes: deque[_Size] = field(default_factory=deque)
    highs: deque[Sight] = field(default_factory=deque)
    """Looks at the person being high, of the last `HISTORY_S`."""

    high_since_ns: int | None = None
    left_ns: int | None = None
    """The first look after them at which the person was not."""

    resting: bool = False
    way: _Way | None = None
    may_fall: bool = True
    """False after a way down that was no fall, until the person is high again."""

    fall: _Fall | None = None

    def stand(self, sight: Sight) -> None:
        """Remember one more look at the person being high."""
        if self.high_since_ns is None:
            self.high_since_ns = sight.at_ns
        if sight.at_ns - self.high_since_ns < STEADY_S * NS_PER_S:
            return
        self.highs.append(sight)
        _forget(self.highs, sight.at_ns, HISTORY_S)
        self.left_ns = None
        self.may_fall = True

    def leave(self, at_ns: int) -> None:
        """Remember that the person is not high any more."""
        self.high_since_ns = None
        if self.left_ns is None:
            self.left_ns = at_ns

    def size(self) -> float | None:
        """Return the length of the torso when upright, in pixels."""
        if len(self.sizes) < 3:
            return None
        return median(size.torso for size in self.sizes)


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
            if person.id in present or person.sight is None or size is None:
                continue
            patience_s = self.options.gone_s if person.fall else ADOPT_S
            distance = float(np.hypot(*(here - person.sight.joints[HIPS]))) / size
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
        if person.sight is not None:
            joints = smoothed(person.sight, at_ns, joints)
        person.sight = Sight.at(at_ns, joints)
        return person.sight

    def _look(self, person: _Person, sight: Sight) -> list[Event]:
        """Learn from one look at a person."""
        size = person.size()
        if person.fall is None and _is_high(sight, sight.torso):
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
        feet = float(np.nan_to_num(sight.joints[ANKLES, 1], nan=np.inf))
        if size is not None and sight.torso < WHOLE * size:
            # The feet of one who walks away rise in the picture, of one who falls they stay.
            stood = median(before.feet for before in person.sizes)
            if not feet < stood - (size - sight.torso):
                return
        person.sizes.append(_Size(sight.at_ns, sight.torso, feet))
        while sight.at_ns - person.sizes[0].at_ns > SIZE_S * NS_PER_S and len(person.sizes) > 3:
            person.sizes.popleft()

    # ---------------------------------------------------------------- falling

    @staticmethod
    def _set_off(person: _Person, sight: Sight, dropped: float) -> None:
        """Begin a way down, unless it took too long to be a fall."""
        left_ns = person.left_ns
        if left_ns is None or sight.at_ns - left_ns > QUICK_S * NS_PER_S or not person.may_fall:
            return
        hips = min(float(before.joints[HIPS, 1]) for before in person.highs)
        person.way = _Way(left_ns, sight.at_ns, dropped, hips)
        person.may_fall = False

    def _descend(self, person: _Person, sight: Sight, size: float) -> None:
        """Notice the way down, and forget it when it leads nowhere."""
        if _is_high(sight, size):
            person.stand(sight)
        else:
            person.leave(sight.at_ns)
        dropped = _drop(person.highs, sight, size)
        if person.way is None and dropped >= 1:
            self._set_off(person, sight, dropped)
        way = person.way
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
        if lying(way.looks, size) < SEEMS:
            way.lies_since_ns = None
        elif way.lies_since_ns is None:
            way.lies_since_ns = at_ns
        patience_s = PATIENCE_S if way.lies_since_ns is None else GIVE_UP_S
        if at_ns - way.left_ns > patience_s * NS_PER_S:
            person.way = None
        if way.lies_since_ns is None or at_ns - way.lies_since_ns < SEEMS_S * NS_PER_S:
            return []
        if len(way.looks) < 2 or way.hips_dropped(size) < HIPS_DOWN or not way.arrived(size):
            return []
        if person.resting:
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
            if person.way and size is not None and _unseen(person, at_ns):
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


def _unseen(person: _Person, at_ns: int) -> bool:
    """Say whether nobody saw the person for so long that waiting for more looks is in vain."""
    return person.sight is not None and at_ns - person.sight.at_ns >= UNSEEN_S * NS_PER_S


def _is_up(sight: Sight, size: float) -> bool:
    """Say whether a body stands or sits on something, with the feet in sight."""
    whole = sight.torso_deg < UPRIGHT_DEG and sight.torso >= WHOLE * size
    return whole and sight.height >= HIGH * size


def _is_high(sight: Sight, size: float) -> bool:
    """Say whether a body may fall: upright, and not on the floor already."""
    return sight.torso_deg < UPRIGHT_DEG and not sight.height < HIGH * max(size, sight.torso)


def _drop(highs: Iterable[Sight], sight: Sight, size: float) -> float:
    """Return how far the shoulders came down fast, over what a fall needs; 1 is just enough."""
    best = 0.0
    for before in highs:
        elapsed_s = (sight.at_ns - before.at_ns) / NS_PER_S
        dropped = float(sight.joints[SHOULDERS, 1] - before.joints[SHOULDERS, 1]) / size
        best = max(best, dropped / (DROP + DROP_PER_S * elapsed_s))
    return best
