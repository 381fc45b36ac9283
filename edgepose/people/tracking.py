"""The same person through time: who in this frame is who of the frames before.

Each person is remembered as a body of joints that moves as a whole. A frame's
poses are compared with the bodies moved to the frame's time, the best one-to-one
assignment is taken, and what is left over becomes a candidate that earns its id
by being seen again. Time comes with the frame only. `docs/tracking.md` tells why
and shows what was measured.
"""

import itertools
from collections.abc import Container, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

import numpy as np

from edgepose.people.assignment import Pair, assign
from edgepose.people.matching import (
    Bodies,
    Crowd,
    begin,
    compare,
    gather,
    later,
    learn,
    overshadowed,
    pick,
    single_out,
)
from edgepose.timing import NS_PER_S
from edgepose.types import LOST_S, Box, Floats, Pose, Track

CANDIDATE_S: Final = 0.2  # a candidate out of sight for longer was nobody


@dataclass(frozen=True, slots=True)
class TrackerOptions:
    """When a pose becomes a person, and when a person is gone."""

    birth_score: float = 0.25
    """Poses below it continue a person but never start one, within [0, 1]."""

    joint_score: float = 0.2
    """Keypoints below it are not looked at, within [0, 1]."""

    confirm_s: float = 0.15
    """How long someone new is watched before there is an id; at least two frames."""

    lost_s: float = LOST_S
    """How long someone out of sight keeps the id."""


@dataclass(slots=True, eq=False)
class Person:
    """Who somebody is; where stands in the same row of `Bodies`."""

    score: float
    since_ns: int
    seen_ns: int

    id: int | None = None
    """None while it is a candidate."""

    seen: int = 1
    """Frames with it."""

    missed: int = 0
    """Frames without it."""

    def see(self, pose: Pose, at_ns: int) -> None:
        """Take a sighting."""
        self.score, self.seen_ns = pose.score, at_ns
        self.seen += 1

    def age_s(self, at_ns: int) -> float:
        """Return the seconds since the person was seen."""
        return (at_ns - self.seen_ns) / NS_PER_S


class Tracker:
    """Gives people ids that stay; one tracker for each camera.

    Parameters
    ----------
    options : TrackerOptions, optional
        May be replaced between frames.
    ids : iterator of int, optional
        Where new ids come from. Hand the same one to the next tracker of the same
        camera, and no id is used twice.
    """

    def __init__(
        self, options: TrackerOptions | None = None, ids: Iterator[int] | None = None
    ) -> None:
        self.options = options or TrackerOptions()
        self._ids = ids or itertools.count(1)
        self.forget()

    def update(self, poses: Sequence[Pose], at_ns: int, *, at_once: bool = False) -> list[Track]:
        """Take the poses of one frame and return the people seen in it, by id.

        Sure poses are assigned first, doubtful ones continue whoever is left. Someone
        out of sight is not returned, but keeps the id for `TrackerOptions.lost_s`. When the
        time does not increase, none has passed; a jump back by more than
        `TrackerOptions.lost_s` forgets everybody. With `at_once` somebody new has an id in the
        first frame: of pictures there may be no second.
        """
        now_ns = self._advance(at_ns)
        ranked, crowd = single_out(poses, self.options.joint_score)
        sure = sum(pose.score >= self.options.birth_score for pose in ranked)
        pairs = self._recognise(crowd, sure)
        found = {self._people[row]: ranked[column] for row, column in pairs}
        for person, pose in found.items():
            person.see(pose, now_ns)
        self._drop_nobodies(found, now_ns)
        new = self._begin(ranked[:sure], crowd, {column for _, column in pairs}, now_ns)
        if at_once:
            return self._name(found | new, now_ns, watched_s=0.0)
        return self._name(found, now_ns, watched_s=self.options.confirm_s)

    def predict(self, at_ns: int) -> list[Track]:
        """Return everybody who has an id, also out of sight, where they should be by then.

        Scores fall to 0 over `TrackerOptions.lost_s` without a sighting. Changes nothing.
        """
        if self._now_ns is None:
            return []
        now_ns = max(at_ns, self._now_ns)
        bodies = later(self._bodies, (now_ns - self._now_ns) / NS_PER_S)
        tracks = [
            Track(person.id, self._expect(person, now_ns, *place), person.since_ns)
            for person, *place in zip(
                self._people, bodies.keypoints, bodies.corners, bodies.way, strict=True
            )
            if person.id is not None
        ]
        return sorted(tracks, key=lambda track: track.id)

    def forget(self) -> None:
        """Let go of everybody: the next frame has nothing to do with the last one."""
        self._people: list[Person] = []
        self._bodies = begin(gather([]))
        self._now_ns: int | None = None

    def _advance(self, at_ns: int) -> int:
        """Return this frame's time, not before the last one's; people move on, the lost go."""
        lost_ns = int(self.options.lost_s * NS_PER_S)
        if self._now_ns is None or at_ns < self._now_ns - lost_ns:
            self.forget()
            self._now_ns = at_ns
        before_ns, self._now_ns = self._now_ns, max(at_ns, self._now_ns)
        now_ns = self._now_ns
        self._keep([now_ns - person.seen_ns <= lost_ns for person in self._people])
        self._bodies = later(self._bodies, (now_ns - before_ns) / NS_PER_S)
        return now_ns

    def _keep(self, wanted: Sequence[bool]) -> None:
        """Let go of everybody who is not wanted."""
        if not all(wanted):
            self._people = list(itertools.compress(self._people, wanted))
            self._bodies = pick(self._bodies, np.flatnonzero(wanted).tolist())

    def _recognise(self, crowd: Crowd, sure: int) -> list[Pair]:
        """Say whose each pose is, and let the bodies learn; the first `sure` poses are."""
        if not self._people or not len(crowd.sizes):
            return []
        likeness = compare(self._bodies, crowd, self.options.joint_score)
        near_by = zip(likeness.row.tolist(), likeness.column.tolist(), strict=True)
        index = {pair: index for index, pair in enumerate(near_by)}
        worth = dict(zip(index, likeness.value.tolist(), strict=True))
        pairs = self._pair({pair: value for pair, value in worth.items() if value > 0}, sure)
        seen = pick(likeness, [index[pair] for pair in pairs])
        learn(self._bodies, crowd, seen, self.options.joint_score)
        return pairs

    def _pair(self, worth: Mapping[Pair, float], sure: int) -> list[Pair]:
        """Assign the sure poses, then the doubtful ones to people with an id who are left."""
        pairs = assign({pair: value for pair, value in worth.items() if pair[1] < sure})
        taken = {row for row, _ in pairs}
        rest = {
            (row, column): value
            for (row, column), value in worth.items()
            if column >= sure and row not in taken and self._people[row].id is not None
        }
        return pairs + assign(rest)

    def _drop_nobodies(self, found: Container[Person], now_ns: int) -> None:
        """Let go of candidates that were a flicker."""
        for person in self._people:
            person.missed += person not in found
        self._keep(
            [
                person.id is not None
                or person in found
                or (person.seen > person.missed and person.age_s(now_ns) <= CANDIDATE_S)
                for person in self._people
            ]
        )

    def _begin(
        self, sure: Sequence[Pose], crowd: Crowd, known: Set[int], now_ns: int
    ) -> dict[Person, Pose]:
        """Make candidates of new poses that are not a known one's second skeleton."""
        new = [column for column in range(len(sure)) if column not in known]
        if new and known:
            double = overshadowed(crowd, new, sorted(known), self.options.joint_score)
            new = [column for column in new if column not in double]
        if not new:
            return {}
        begun = {Person(sure[column].score, now_ns, now_ns): sure[column] for column in new}
        bodies = begin(pick(crowd, new))
        self._people += begun
        self._bodies = Bodies(*map(np.concatenate, zip(self._bodies, bodies, strict=True)))
        return begun

    def _name(self, found: dict[Person, Pose], now_ns: int, *, watched_s: float) -> list[Track]:
        """Give ids to those watched for long enough; return everybody with one."""
        tracks = []
        for person, pose in found.items():
            if person.id is None and now_ns - person.since_ns >= watched_s * NS_PER_S:
                person.id = next(self._ids)
            if person.id is not None:
                tracks.append(Track(person.id, pose, person.since_ns))
        return sorted(tracks, key=lambda track: track.id)

    def _expect(
        self, person: Person, at_ns: int, keypoints: Floats, corners: Floats, way: Floats
    ) -> Pose:
        fade = max(0.0, 1 - person.age_s(at_ns) / self.options.lost_s)
        expected = keypoints.T * np.array([1, 1, fade], np.float32)
        expected[:, :2] += way
        left, top, right, bottom = (corners + np.tile(way, 2)).tolist()
        return Pose(expected, person.score * fade, Box(left, top, right - left, bottom - top))
