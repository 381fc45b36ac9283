"""Multi-person tracking: stable ids for the poses of successive frames.

A track is a set of joints that moves as a whole. The poses of a frame are matched
with the tracks predicted to the frame's time by an optimal one-to-one assignment.
An unmatched pose starts a candidate, which gets an id once it has been seen again.
Time comes only from the frames. `docs/tracking.md` has the reasons and the
measurements.
"""

import itertools
import math
from collections.abc import Container, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

import numpy as np

from edgepose.people.assignment import Pair, assign
from edgepose.people.matching import (
    PoseBatch,
    TrackBatch,
    batch_poses,
    compare,
    drop_duplicates,
    duplicates_of_tracks,
    edges_touched,
    init_tracks,
    pick,
    predict_tracks,
    update_tracks,
)
from edgepose.timing import NS_PER_S
from edgepose.types import LOST_S, Box, Floats, Pose, Size, Track

OUTWARDS: Final = np.array([[-1, 0, 1, 0], [0, -1, 0, 1]], np.float32)
"""(2, 4): directions out of the frame across its left, upper, right and lower edge."""

CANDIDATE_S: Final = 0.2  # an unconfirmed candidate is dropped when unseen for longer
NEAR: Final = 0.75  # maximum distance from a lost track's place to continue it, in longer sides
LEAVES: Final = 0.1  # minimum speed across the edge of a person who leaves, in sizes per second
RESIZED: Final = 2.5  # maximum ratio of sizes to continue a track: standing to lying, seen end-on


@dataclass(frozen=True, slots=True)
class TrackerOptions:
    """When a track starts, and when it ends."""

    birth_score: float = 0.25
    """Minimum score to start a track, within [0, 1]. Lower poses only continue one."""

    sure_score: float = 0.0
    """Minimum score, reached once, before a new track gets its id, within [0, 1]."""

    joint_score: float = 0.2
    """Keypoints below it are ignored, within [0, 1]."""

    confirm_s: float = 0.15
    """Minimum seconds before a new track gets its id; at least two frames."""

    lost_s: float = LOST_S
    """Seconds that an unseen track keeps its id."""


@dataclass(slots=True, eq=False)
class Person:
    """Identity and age of a track; its position is in the same row of `TrackBatch`."""

    score: float
    since_ns: int
    seen_ns: int

    best: float
    """Highest score so far."""

    id: int | None = None
    """None for a candidate."""

    seen: int = 1
    """Frames with a matched pose."""

    missed: int = 0
    """Frames without one."""

    def see(self, pose: Pose, at_ns: int) -> None:
        """Record a matched pose."""
        self.score, self.seen_ns = pose.score, at_ns
        self.best = max(self.best, pose.score)
        self.seen += 1

    def age_s(self, at_ns: int) -> float:
        """Return the seconds since the last matched pose."""
        return (at_ns - self.seen_ns) / NS_PER_S


class Tracker:
    """Assigns stable ids to the people of one camera.

    Parameters
    ----------
    options : TrackerOptions, optional
        May be replaced between frames.
    ids : iterator of int, optional
        Source of new ids. Pass the same one to the next tracker of the camera, so that
        no id is used twice.
    """

    def __init__(
        self, options: TrackerOptions | None = None, ids: Iterator[int] | None = None
    ) -> None:
        self.options = options or TrackerOptions()
        self._ids = ids or itertools.count(1)
        self.forget()

    def update(
        self,
        poses: Sequence[Pose],
        at_ns: int,
        *,
        at_once: bool = False,
        frame: Size | None = None,
    ) -> list[Track]:
        """Match the poses of one frame; return the tracks seen in it, sorted by id.

        Poses from `TrackerOptions.birth_score` on are assigned first; lower ones only
        continue tracks that are still unmatched. An unseen track is not returned, but keeps
        its id for `TrackerOptions.lost_s`. A time not after the last frame's counts as the
        same time; a jump back by more than `TrackerOptions.lost_s` clears all tracks. With
        `at_once` a new track has its id in the first frame, as single pictures need. With the
        size of the `frame`, a body inside it does not continue a person who walked out of it.
        """
        now_ns = self._advance_tracks(at_ns)
        ranked, crowd = drop_duplicates(poses, self.options.joint_score)
        sure = sum(pose.score >= self.options.birth_score for pose in ranked)
        pairs = self._match_poses(crowd, sure)
        found = {self._people[row]: ranked[column] for row, column in pairs}
        for person, pose in found.items():
            person.see(pose, now_ns)
        self._drop_nobodies(found, now_ns, self._doubles(pairs, crowd))
        found = {person: pose for person, pose in found.items() if person in self._people}
        new = self._start_candidates(ranked[:sure], crowd, {column for _, column in pairs}, now_ns)
        if at_once:
            return self._name_candidates(found | new, now_ns, frame, watched_s=0.0, least=0.0)
        options = self.options
        return self._name_candidates(
            found, now_ns, frame, watched_s=options.confirm_s, least=options.sure_score
        )

    def predict(self, at_ns: int) -> list[Track]:
        """Predict all tracks that have an id at `at_ns`, including unseen ones, sorted by id.

        Scores fall linearly to 0 over `TrackerOptions.lost_s` while a track is not seen. Does
        not change the tracker.
        """
        if self._now_ns is None:
            return []
        now_ns = max(at_ns, self._now_ns)
        bodies = predict_tracks(self._bodies, (now_ns - self._now_ns) / NS_PER_S)
        tracks = [
            Track(person.id, self._predict_pose(person, now_ns, *place), person.since_ns)
            for person, *place in zip(
                self._people, bodies.keypoints, bodies.corners, bodies.way, strict=True
            )
            if person.id is not None
        ]
        return sorted(tracks, key=lambda track: track.id)

    def forget(self) -> None:
        """Clear all tracks and candidates."""
        self._people: list[Person] = []
        self._bodies = init_tracks(batch_poses([]))
        self._now_ns: int | None = None

    def _advance_tracks(self, at_ns: int) -> int:
        """Predict all bodies to this frame and drop lost tracks.

        Returns the frame's time, never before that of the last frame.
        """
        lost_ns = int(self.options.lost_s * NS_PER_S)
        if self._now_ns is None or at_ns < self._now_ns - lost_ns:
            self.forget()
            self._now_ns = at_ns
        before_ns, self._now_ns = self._now_ns, max(at_ns, self._now_ns)
        now_ns = self._now_ns
        self._keep_rows([now_ns - person.seen_ns <= lost_ns for person in self._people])
        self._bodies = predict_tracks(self._bodies, (now_ns - before_ns) / NS_PER_S)
        return now_ns

    def _keep_rows(self, wanted: Sequence[bool]) -> None:
        """Drop the rows that are not wanted."""
        if not all(wanted):
            self._people = list(itertools.compress(self._people, wanted))
            self._bodies = pick(self._bodies, np.flatnonzero(wanted).tolist())

    def _match_poses(self, crowd: PoseBatch, sure: int) -> list[Pair]:
        """Match poses with people and update the bodies.

        The first `sure` poses reach the birth score.
        """
        if not self._people or not len(crowd.sizes):
            return []
        likeness = compare(self._bodies, crowd, self.options.joint_score)
        near_by = zip(likeness.row.tolist(), likeness.column.tolist(), strict=True)
        index = {pair: index for index, pair in enumerate(near_by)}
        worth = dict(zip(index, likeness.value.tolist(), strict=True))
        pairs = self._assign_poses(
            {pair: value for pair, value in worth.items() if value > 0}, sure
        )
        seen = pick(likeness, [index[pair] for pair in pairs])
        update_tracks(self._bodies, crowd, seen, self.options.joint_score)
        return pairs

    def _assign_poses(self, worth: Mapping[Pair, float], sure: int) -> list[Pair]:
        """Assign the first `sure` poses, then the others to unmatched tracks with an id."""
        pairs = assign({pair: value for pair, value in worth.items() if pair[1] < sure})
        taken = {row for row, _ in pairs}
        rest = {
            (row, column): value
            for (row, column), value in worth.items()
            if column >= sure and row not in taken and self._people[row].id is not None
        }
        return pairs + assign(rest)

    def _doubles(self, pairs: Sequence[Pair], crowd: PoseBatch) -> set[Person]:
        """Return the matched candidates that duplicate a matched track with an id."""
        known = [column for row, column in pairs if self._people[row].id is not None]
        new = {column: self._people[row] for row, column in pairs if self._people[row].id is None}
        if not known or not new:
            return set()
        double = duplicates_of_tracks(crowd, list(new), known, self.options.joint_score)
        return {new[column] for column in double}

    def _drop_nobodies(
        self, found: Container[Person], now_ns: int, doubles: Container[Person]
    ) -> None:
        """Drop duplicates, and candidates seen in too few frames or unseen for `CANDIDATE_S`."""
        for person in self._people:
            person.missed += person not in found
        self._keep_rows(
            [
                person.id is not None
                or (person in found and person not in doubles)
                or (person.seen > person.missed and person.age_s(now_ns) <= CANDIDATE_S)
                for person in self._people
            ]
        )

    def _start_candidates(
        self, sure: Sequence[Pose], crowd: PoseBatch, known: Set[int], now_ns: int
    ) -> dict[Person, Pose]:
        """Start candidates from unmatched poses that do not duplicate a matched one."""
        new = [column for column in range(len(sure)) if column not in known]
        if new and known:
            double = duplicates_of_tracks(crowd, new, sorted(known), self.options.joint_score)
            new = [column for column in new if column not in double]
        if not new:
            return {}
        begun = {
            Person(pose.score, now_ns, now_ns, pose.score): pose
            for pose in (sure[column] for column in new)
        }
        bodies = init_tracks(pick(crowd, new))
        self._people += begun
        self._bodies = TrackBatch(*map(np.concatenate, zip(self._bodies, bodies, strict=True)))
        return begun

    def _name_candidates(
        self,
        found: dict[Person, Pose],
        now_ns: int,
        frame: Size | None,
        *,
        watched_s: float,
        least: float,
    ) -> list[Track]:
        """Give ids to candidates of age `watched_s` whose best score is at least `least`.

        A candidate that began near the place of a lost track continues it: the shape of a body that
        falls or gets up may differ too much for a match. Returns the tracks that have an id.
        """
        tracks = []
        for person, pose in found.items():
            old = now_ns - person.since_ns >= watched_s * NS_PER_S
            if person.id is None and old and person.best >= least:
                lost = self._lost_near(person, frame)
                person.id = next(self._ids) if lost is None else lost.id
                person.since_ns = person.since_ns if lost is None else lost.since_ns
                self._keep_rows([other is not lost for other in self._people])
            if person.id is not None:
                tracks.append(Track(person.id, pose, person.since_ns))
        return sorted(tracks, key=lambda track: track.id)

    def _lost_near(self, person: Person, frame: Size | None) -> Person | None:
        """Return the nearest track that was lost before this candidate began, near its place.

        Excludes people who left the frame across an edge that the candidate does not touch.
        """
        corners = self._bodies.corners + np.tile(self._bodies.way, 2)
        middles = (corners[:, :2] + corners[:, 2:]) / 2
        row = self._people.index(person)
        apart = np.linalg.norm(middles - middles[row], axis=1)
        reach = NEAR * np.maximum((corners[:, 2:] - corners[:, :2]).max(axis=1), 1)
        resized = np.abs(np.log(self._bodies.sizes / self._bodies.sizes[row]))
        near = (apart <= reach) & (resized < math.log(RESIZED))
        if frame is not None:
            at_edge = edges_touched(self._bodies.corners, frame)
            outwards = self._bodies.velocity / self._bodies.sizes[:, None] @ OUTWARDS > LEAVES
            near &= ~(at_edge & outwards & ~at_edge[row]).any(axis=1)
        lost = [
            index
            for index in np.flatnonzero(near).tolist()
            if self._people[index].id is not None and self._people[index].seen_ns < person.since_ns
        ]
        return self._people[min(lost, key=lambda index: apart[index])] if lost else None

    def _predict_pose(
        self, person: Person, at_ns: int, keypoints: Floats, corners: Floats, way: Floats
    ) -> Pose:
        fade = max(0.0, 1 - person.age_s(at_ns) / self.options.lost_s)
        expected = keypoints.T * np.array([1, 1, fade], np.float32)
        expected[:, :2] += way
        left, top, right, bottom = (corners + np.tile(way, 2)).tolist()
        return Pose(expected, person.score * fade, Box(left, top, right - left, bottom - top))
