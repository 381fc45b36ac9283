"""The same person through time: who in this frame is who of the frames before.

Each person is remembered as a body of joints that moves as a whole. A frame's
poses are compared with the bodies moved to the frame's time, the best one-to-one
assignment is taken, and what is left over becomes a candidate that earns its id
by being seen again. Time comes with the frame only. `docs/tracking.md` tells why
and shows what was measured.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepose.geometry import extent
from edgepose.skeleton import JOINTS, OKS_SIGMAS
from edgepose.structures import Box, Floats, Pose, Track
from edgepose.timing import NS_PER_S

STEADY: Final[Floats] = np.array(
    [0.7, 0.5, 0.5, 0.5, 0.5, 1, 1, 0.4, 0.4, 0.1, 0.1, 1, 1, 0.4, 0.4, 0.1, 0.1],
    dtype=np.float32,
)
"""(17,): how much each joint tells about where the whole body goes: hands least."""

OKS_FALL: Final[Floats] = np.asarray(-1 / (2 * (2 * OKS_SIGMAS) ** 2), np.float32)
"""(17,): what the square of a distance in sizes is multiplied by."""

SHARED_JOINTS: Final = 4  # three points of a face fit any other face nearby
STRAY: Final = 0.15  # in sizes: a joint this far from where the body moved counts half
SPEED: Final = 0.7  # in sizes a second, along an axis: people mostly stand; walking is 1.5
SPEED_KEPT_S: Final = 2.0  # out of sight, people neither stop at once nor go on for ever
UNSURE: Final = 0.1  # in sizes: how far a pose may be off its person
REACH: Final = 3.0  # in standard deviations: farther from the expected place is someone else
VAGUE: Final = 0.25  # power by which an unsure place counts against a person
BODY_FADES_S: Final = 1.0  # a hidden joint is carried along for about so long
GROWS: Final = 0.5  # of the way to a larger size in one frame: a single stray joint is no growth
SAME_PERSON: Final = 0.7  # OKS of two poses in one frame that are one person found twice
SAME_MIDDLE: Final = 0.6  # in sizes: middles of boxes so far apart are two people's
OVERSHADOWED: Final = 0.4  # OKS with a known person: too like them to be somebody new
SAME_SHAPE: Final = 0.2  # OKS once laid over each other: less is another size or a jumble
SAME_PLACE: Final = 0.3  # IoU from which boxes alone say "the same"
BOX_TRUST: Final = 0.3  # a perfect box weighs as much as a mediocre pose
CANDIDATE_S: Final = 0.2  # a candidate out of sight for longer was nobody


@dataclass(frozen=True, slots=True)
class Options:
    """When a pose becomes a person, and when a person is gone."""

    birth_score: float = 0.25
    """Poses below it continue a person but never start one, within [0, 1]."""

    joint_score: float = 0.2
    """Keypoints below it are not looked at, within [0, 1]."""

    confirm_s: float = 0.15
    """How long someone new is watched before there is an id; at least two frames."""

    lost_s: float = 2.0
    """How long someone out of sight keeps the id."""


class Doubt(NamedTuple):
    """Variances of a body's place and velocity along an axis, in sizes and seconds."""

    place: float = UNSURE**2
    both: float = 0.0
    velocity: float = SPEED**2

    def after(self, seconds: float) -> "Doubt":
        """Return the doubt after a time without a look.

        Notes
        -----
        The velocity is an Ornstein-Uhlenbeck process [1]_: it is forgotten with the
        time constant `SPEED_KEPT_S` and spreads to `SPEED`. So any gap between
        frames is one exact step, and the doubt about the velocity stays bounded.

        References
        ----------
        .. [1] Uhlenbeck and Ornstein, "On the theory of the Brownian motion",
           Physical Review 36, 1930: the variances of place and velocity
        """
        kept = math.exp(-seconds / SPEED_KEPT_S)
        reach = SPEED_KEPT_S * (1 - kept)
        spread = 2 * seconds / SPEED_KEPT_S - 3 + 4 * kept - kept**2
        return Doubt(
            self.place
            + 2 * reach * self.both
            + reach**2 * self.velocity
            + (SPEED * SPEED_KEPT_S) ** 2 * spread,
            kept * (self.both + reach * self.velocity) + (SPEED * reach) ** 2 / SPEED_KEPT_S,
            kept**2 * self.velocity + SPEED**2 * (1 - kept**2),
        )


@dataclass(slots=True, eq=False)
class Person:
    """What the tracker remembers of one person."""

    body: Floats
    """(17, 3): each joint where it was last seen, moved along with the others since."""

    size: float
    """Pixels; see `geometry.extent`. Shrinks slowly, so that half a body stays as large."""

    box: Box
    score: float
    since_ns: int
    seen_ns: int

    id: int | None = None
    """None while it is a candidate."""

    seen: int = 1
    """Frames with it."""

    missed: int = 0
    """Frames without it."""

    lead: tuple[float, float] = (0.0, 0.0)
    """Pixels from the body to the place the motion's filter believes in."""

    velocity: tuple[float, float] = (0.0, 0.0)
    """Pixels a second."""

    doubt: Doubt = field(default_factory=Doubt)

    def way(self, at_ns: int) -> tuple[float, float]:
        """Return how far, in pixels, the body should have moved since it was seen."""
        reach = SPEED_KEPT_S * (1 - math.exp(-self.age_s(at_ns) / SPEED_KEPT_S))
        return self.lead[0] + reach * self.velocity[0], self.lead[1] + reach * self.velocity[1]

    def fade(self, at_ns: int) -> float:
        """Return what is left by then of the trust in joints that are hidden."""
        return math.exp(-self.age_s(at_ns) / BODY_FADES_S)

    def age_s(self, at_ns: int) -> float:
        """Return the seconds since the person was seen."""
        return (at_ns - self.seen_ns) / NS_PER_S

    def learn(
        self, pose: Pose, body: Floats, size: float, shift: Floats, *, doubt: Doubt, at_ns: int
    ) -> None:
        """Take a sighting that is `shift` pixels from the expected, doubtful place."""
        off_x, off_y = shift.tolist()
        self._correct(off_x, off_y, doubt, self.age_s(at_ns))
        self.size += (size - self.size) * (GROWS if size > self.size else 1 - self.fade(at_ns))
        self.body, self.box, self.score, self.seen_ns = body, pose.box, pose.score, at_ns
        self.seen += 1

    def _correct(self, off_x: float, off_y: float, doubt: Doubt, age_s: float) -> None:
        """Correct place and velocity by what was seen: a Kalman filter, both axes alike."""
        total = doubt.place + UNSURE**2
        trust, pull = doubt.place / total, doubt.both / total
        kept = math.exp(-age_s / SPEED_KEPT_S)
        self.lead = (trust - 1) * off_x, (trust - 1) * off_y
        x, y = self.velocity
        self.velocity = kept * x + pull * off_x, kept * y + pull * off_y
        self.doubt = Doubt(
            (1 - trust) * doubt.place, (1 - trust) * doubt.both, doubt.velocity - pull * doubt.both
        )


class Crowd(NamedTuple):
    """Several people at once, as arrays."""

    keypoints: Floats
    """(n, 17, 3): frame pixels and scores."""

    boxes: Floats
    """(n, 4): x, y, width, height in pixels."""

    sizes: Floats
    """(n,): how large they are, in pixels; see `geometry.extent`."""


class Likeness(NamedTuple):
    """Persons (n) against poses (m)."""

    value: Floats
    """(n, m): 0 for "cannot be"; the larger, the more alike."""

    shift: Floats
    """(n, m, 2): pixels from where the person was expected to the pose."""


class Tracker:
    """Gives people ids that stay; one tracker for each camera.

    Parameters
    ----------
    options : Options, optional
        May be replaced between frames.
    ids : iterator of int, optional
        Where new ids come from. Hand the same one to the next tracker of the same
        camera, and no id is used twice.
    """

    def __init__(self, options: Options | None = None, ids: Iterator[int] | None = None) -> None:
        self.options = options or Options()
        self._ids = ids or itertools.count(1)
        self._people: list[Person] = []
        self._now_ns: int | None = None

    def update(self, poses: Sequence[Pose], at_ns: int, *, at_once: bool = False) -> list[Track]:
        """Take the poses of one frame and return the people seen in it, by id.

        Sure poses are assigned first, doubtful ones continue whoever is left. Someone
        out of sight is not returned, but keeps the id for `Options.lost_s`. When the
        time does not increase, none has passed; a jump back by more than
        `Options.lost_s` forgets everybody. With `at_once` somebody new has an id in the
        first frame: of pictures there may be no second.
        """
        now_ns = self._advance(at_ns)
        ranked, crowd = single_out(poses, self.options.joint_score)
        sure = sum(pose.score >= self.options.birth_score for pose in ranked)
        found = self._recognise(ranked, crowd, sure, now_ns)
        self._drop_nobodies(found, now_ns)
        new = self._begin(ranked[:sure], list(found.values()), now_ns)
        if at_once:
            return self._name(found | new, now_ns, watched_s=0.0)
        return self._name(found, now_ns, watched_s=self.options.confirm_s)

    def predict(self, at_ns: int) -> list[Track]:
        """Return everybody who has an id, also out of sight, where they should be by then.

        Scores fall to 0 over `Options.lost_s` without a sighting. Changes nothing.
        """
        now_ns = at_ns if self._now_ns is None else max(at_ns, self._now_ns)
        tracks = [
            Track(person.id, self._expect(person, now_ns), person.since_ns)
            for person in self._people
            if person.id is not None
        ]
        return sorted(tracks, key=lambda track: track.id)

    def forget(self) -> None:
        """Let go of everybody: the next frame has nothing to do with the last one."""
        self._people = []
        self._now_ns = None

    def _advance(self, at_ns: int) -> int:
        """Return this frame's time, not before the last one's, and let go of the lost."""
        lost_ns = int(self.options.lost_s * NS_PER_S)
        if self._now_ns is None or at_ns < self._now_ns - lost_ns:
            self.forget()
            self._now_ns = at_ns
        self._now_ns = now_ns = max(at_ns, self._now_ns)
        self._people = [person for person in self._people if now_ns - person.seen_ns <= lost_ns]
        return now_ns

    def _recognise(
        self, poses: Sequence[Pose], crowd: Crowd, sure: int, now_ns: int
    ) -> dict[Person, Pose]:
        """Say which pose is whose, and let the people learn; the first `sure` poses are."""
        people = self._people
        if not people or not poses:
            return {}
        doubts = [person.doubt.after(person.age_s(now_ns)) for person in people]
        expected = foresee(people, now_ns)
        likeness = compare(expected, crowd, doubts, self.options.joint_score)
        pairs = self._pair(likeness.value, sure)

        fades = np.array([person.fade(now_ns) for person in people], np.float32)
        bodies = carry(
            expected,
            crowd,
            pairs,
            likeness.shift,
            fades=fades,
            joint_score=self.options.joint_score,
        )
        for (row, column), body in zip(pairs, bodies, strict=True):
            size, shift = float(crowd.sizes[column]), likeness.shift[row, column]
            people[row].learn(poses[column], body, size, shift, doubt=doubts[row], at_ns=now_ns)
        return {people[row]: poses[column] for row, column in pairs}

    def _pair(self, value: Floats, sure: int) -> list[tuple[int, int]]:
        """Assign the sure poses, then the doubtful ones to people with an id who are left."""
        pairs = assign(value[:, :sure])
        if sure == value.shape[1]:
            return pairs
        taken = {row for row, _ in pairs}
        rest = [
            row
            for row, person in enumerate(self._people)
            if person.id is not None and row not in taken
        ]
        return pairs + [(rest[row], sure + column) for row, column in assign(value[rest, sure:])]

    def _drop_nobodies(self, found: dict[Person, Pose], now_ns: int) -> None:
        """Let go of candidates that were a flicker."""
        for person in self._people:
            person.missed += person not in found
        self._people = [
            person
            for person in self._people
            if person.id is not None
            or person in found
            or (person.seen > person.missed and person.age_s(now_ns) <= CANDIDATE_S)
        ]

    def _begin(
        self, sure: Sequence[Pose], known: Sequence[Pose], now_ns: int
    ) -> dict[Person, Pose]:
        """Make candidates of new poses that are not somebody's second skeleton."""
        new = {}
        for pose in sure:
            if pose not in known and not overshadowed(pose, known, self.options.joint_score):
                size = float(gather([pose]).sizes[0])
                person = Person(pose.keypoints, size, pose.box, pose.score, now_ns, now_ns)
                self._people.append(person)
                new[person] = pose
        return new

    def _name(self, found: dict[Person, Pose], now_ns: int, *, watched_s: float) -> list[Track]:
        """Give ids to those watched for long enough; return everybody with one."""
        tracks = []
        for person, pose in found.items():
            if person.id is None and now_ns - person.since_ns >= watched_s * NS_PER_S:
                person.id = next(self._ids)
            if person.id is not None:
                tracks.append(Track(person.id, pose, person.since_ns))
        return sorted(tracks, key=lambda track: track.id)

    def _expect(self, person: Person, at_ns: int) -> Pose:
        x, y = person.way(at_ns)
        fade = max(0.0, 1 - person.age_s(at_ns) / self.options.lost_s)
        keypoints = person.body * np.array([1, 1, fade], np.float32)
        keypoints[:, :2] += np.array([x, y], np.float32)
        box = person.box._replace(x=person.box.x + x, y=person.box.y + y)
        return Pose(keypoints, person.score * fade, box)


def gather(poses: Sequence[Pose]) -> Crowd:
    """Put poses side by side; how large they are is said by their boxes."""
    keypoints = stack([pose.keypoints for pose in poses])
    boxes = np.array([pose.box for pose in poses], np.float32).reshape(-1, 4)
    return Crowd(keypoints, boxes, extent(boxes[:, 2:]))


def stack(bodies: Sequence[Floats]) -> Floats:
    """Return bodies (17, 3) as one array (n, 17, 3); none are an empty one."""
    # A third of the time that numpy.stack takes.
    return np.concatenate([*bodies, np.empty((0, 3), np.float32)]).reshape(-1, JOINTS, 3)


def foresee(people: Sequence[Person], at_ns: int) -> Crowd:
    """Put people side by side where they should be by then."""
    ways = np.array([person.way(at_ns) for person in people], np.float32)
    bodies = stack([person.body for person in people])
    bodies[:, :, :2] += ways[:, None]
    boxes = np.array([person.box for person in people], np.float32)
    boxes[:, :2] += ways
    return Crowd(bodies, boxes, np.array([person.size for person in people], np.float32))


def compare(people: Crowd, poses: Crowd, doubts: Sequence[Doubt], joint_score: float) -> Likeness:
    """Compare every person, where expected, with every pose.

    Parameters
    ----------
    people, poses : Crowd
        Of n and m.
    doubts : (n,)
        About where each person is.

    Notes
    -----
    For a pair, the body's shift and what is left at each joint are told apart: where
    the whole person is may be quite unsure after a gap, how large it is and how it
    holds itself is not. ``value = OKS(rest) * place(shift) * sharpness``: `place` is
    heavy-tailed and 0 beyond `REACH`; `sharpness` favours a person just seen over
    one whose whereabouts are vague. For a person and a pose that nothing else is like,
    because too few joints are sure in both or somebody darted away, overlapping boxes
    say it.

    Only pairs that are near each other are looked at, so the work grows with the
    number of people, not with its square.
    """
    value = np.zeros((len(people.sizes), len(poses.sizes)), np.float32)
    shifts = np.zeros((*value.shape, 2), np.float32)
    deviation = np.sqrt(np.array([doubt.place for doubt in doubts], np.float32) + UNSURE**2)
    spread = deviation * people.sizes
    row, column = near(people.boxes, poses.boxes, REACH * spread)
    if not len(row):
        return Likeness(value, shifts)

    size = people.sizes[row]
    shift, rest, shared = align(people.keypoints[row], poses.keypoints[column], size, joint_score)
    squared = (shift**2).sum(axis=1) / spread[row] ** 2
    shape = oks_of(rest, shared, size)
    by_pose = shape / (1 + squared / 2) * (UNSURE / deviation[row]) ** VAGUE
    too_few = shared.sum(axis=1) < SHARED_JOINTS
    by_pose[(squared > REACH**2) | (shape < SAME_SHAPE) | too_few] = 0

    value[row, column], shifts[row, column] = by_pose, shift
    silent = (value.max(axis=1) == 0)[row] & (value.max(axis=0) == 0)[column]
    if silent.any():
        row, column = row[silent], column[silent]
        iou, middle = overlap(people.boxes[row], poses.boxes[column])
        value[row, column] = BOX_TRUST * iou * (iou >= SAME_PLACE)
        shifts[row, column] = middle
    return Likeness(value, shifts)


def near(a: Floats, b: Floats, slack: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs of boxes (n, 4) and (m, 4) that touch once `a` grew by `slack` (n,)."""
    grown = slack[:, None]
    low = np.maximum((a[:, :2] - grown)[:, None], b[None, :, :2])
    high = np.minimum((a[:, :2] + a[:, 2:] + grown)[:, None], (b[:, :2] + b[:, 2:])[None])
    row, column = (low <= high).all(axis=2).nonzero()
    return row, column


def align(
    bodies: Floats, keypoints: Floats, sizes: Floats, joint_score: float
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Find the shift that lays each body on its pose.

    Parameters
    ----------
    bodies, keypoints : (k, 17, 3)
        Pairs, in frame pixels.
    sizes : (k,)
        How large the bodies are, in pixels.

    Returns
    -------
    shift : (k, 2)
        Pixels; 0 where no joint is sure in both.
    rest : (k, 17, 2)
        Pixels from body to pose that are left at each joint after the shift.
    shared : (k, 17)
        Which joints are sure in both.

    Notes
    -----
    A weighted mean over joints, taken a second time with each joint weighed by the
    Cauchy function of what was left: one joint that jumped to somebody else does not
    move the body.
    """
    shared = (bodies[:, :, 2] >= joint_score) & (keypoints[:, :, 2] >= joint_score)
    moved = keypoints - bodies
    moved[:, :, 2] = 1  # so that one product sums the weights too
    weight = shared * STEADY
    rest = moved[:, :, :2] - mean(weight, moved)[:, None]
    weight /= 1 + squares(rest) / ((STRAY * sizes) ** 2)[:, None]
    shift = mean(weight, moved)
    return shift, moved[:, :, :2] - shift[:, None], shared


def mean(weight: Floats, points: Floats) -> Floats:
    """Return the mean (k, 2) of points ``x, y, 1`` (k, 17, 3) by weights (k, 17), or 0."""
    total = np.matmul(weight[:, None], points)[:, 0]
    return np.asarray(total[:, :2] / np.maximum(total[:, 2:], 1e-6), np.float32)


def squares(points: Floats) -> Floats:
    """Return the squared lengths (k, 17) of vectors (k, 17, 2)."""
    return np.asarray(np.einsum("kjc,kjc->kj", points, points), np.float32)


def oks_of(rest: Floats, shared: NDArray[np.bool_], sizes: Floats) -> Floats:
    """Return the OKS (k,) of pairs from their differences, as `skeleton.oks` defines it.

    Parameters
    ----------
    rest : (k, 17, 2)
        Pixels between the joints of two people.
    shared : (k, 17)
        Joints to look at.
    sizes : (k,)
        Roots of the people's areas, in pixels.
    """
    each = np.exp(squares(rest) * OKS_FALL / (sizes * sizes)[:, None]) * shared
    return np.asarray(each.sum(axis=1) / np.maximum(shared.sum(axis=1), 1), np.float32)


def overlap(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return the IoU (k,) of pairs of boxes (k, 4) and the pixels between their middles (k, 2)."""
    low = np.maximum(a[:, :2], b[:, :2])
    high = np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    union = a[:, 2:].prod(axis=1) + b[:, 2:].prod(axis=1) - shared
    middle = (b[:, :2] + b[:, 2:] / 2) - (a[:, :2] + a[:, 2:] / 2)
    return np.asarray(shared / np.maximum(union, 1e-6), np.float32), np.asarray(middle, np.float32)


def carry(
    people: Crowd,
    poses: Crowd,
    pairs: Sequence[tuple[int, int]],
    shift: Floats,
    *,
    fades: Floats,
    joint_score: float,
) -> Floats:
    """Return the bodies (k, 17, 3) of the pairs after their sighting.

    They are moved by their shift and take over every joint that the pose shows; the
    others stay where they are on the body and fade by a factor (n,).
    """
    row, column = np.array(pairs, np.intp).reshape(-1, 2).T
    bodies = people.keypoints[row]
    bodies[:, :, :2] += shift[row, column][:, None]
    bodies[:, :, 2] *= fades[row, None]
    seen = poses.keypoints[column]
    shown = seen[:, :, 2] >= np.minimum(bodies[:, :, 2], joint_score)
    return np.where(shown[:, :, None], seen, bodies)


def alike(
    a: Crowd, b: Crowd, row: NDArray[np.intp], column: NDArray[np.intp], joint_score: float
) -> Floats:
    """Return the OKS (k,) of pairs of two crowds in one frame, given by their indices (k,)."""
    first, second = a.keypoints[row], b.keypoints[column]
    shared = (first[:, :, 2] >= joint_score) & (second[:, :, 2] >= joint_score)
    return oks_of(second[:, :, :2] - first[:, :, :2], shared, a.sizes[row])


def overshadowed(pose: Pose, known: Sequence[Pose], joint_score: float) -> bool:
    """Say whether a pose is too like a known person's to be of somebody new."""
    if not known:
        return False
    new, others = gather([pose]), gather(known)
    row, column = near(new.boxes, others.boxes, np.zeros_like(new.sizes))
    return bool((alike(new, others, row, column, joint_score) > OVERSHADOWED).any())


def single_out(poses: Sequence[Pose], joint_score: float) -> tuple[list[Pose], Crowd]:
    """Return the poses, best first in an order of their own, each person once."""
    ranked = sorted(poses, key=lambda pose: (-pose.score, pose.box))
    crowd = gather(ranked)
    row, column = twins(crowd)
    same = alike(crowd, crowd, row, column, joint_score) > SAME_PERSON if len(row) else row > 0
    if not same.any():
        return ranked, crowd
    again: set[int] = set()
    for worse, better in sorted(zip(row[same].tolist(), column[same].tolist(), strict=True)):
        if better not in again:
            again.add(worse)
    kept = [index for index in range(len(ranked)) if index not in again]
    return [ranked[index] for index in kept], Crowd(*(part[kept] for part in crowd))


def twins(crowd: Crowd) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs ``row > column`` whose boxes' middles are where one person's would be."""
    middle = crowd.boxes[:, :2] + crowd.boxes[:, 2:] / 2
    apart = np.abs(middle[:, None] - middle).max(axis=2)
    row, column = (apart < SAME_MIDDLE * crowd.sizes).nonzero()
    below = row > column
    return row[below], column[below]


def assign(value: Floats) -> list[tuple[int, int]]:
    """Pair rows with columns so that the values add up to the most.

    Parameters
    ----------
    value : (n, m)
        Worth of each pair; pairs that are not above 0 are never made.

    Returns
    -------
    list of (row, column)
        Rising by row.

    Notes
    -----
    Exact. Pairs whose row and column nobody else asks for are taken at once: nearly
    all, since `compare` leaves 0 wherever a person cannot have gone. The rest is
    solved by shortest augmenting paths [1]_.

    References
    ----------
    .. [1] Jonker and Volgenant, "A shortest augmenting path algorithm for dense and
       sparse linear assignment problems", Computing 38, 1987
    """
    rows, columns = (part.tolist() for part in (value > 0).nonzero())
    by_row, by_column = Counter(rows), Counter(columns)
    pairs: list[tuple[int, int]] = []
    crowded: list[tuple[int, int]] = []
    for row, column in zip(rows, columns, strict=True):
        only = by_row[row] == by_column[column] == 1
        (pairs if only else crowded).append((row, column))
    if not crowded:
        return pairs
    rows, columns = (sorted(set(part)) for part in zip(*crowded, strict=True))
    return sorted(pairs + _assign_crowded(value, rows, columns))


def _assign_crowded(
    value: Floats, rows: Sequence[int], columns: Sequence[int]
) -> list[tuple[int, int]]:
    if len(rows) > len(columns):
        return [(row, column) for column, row in _assign_crowded(value.T, columns, rows)]
    rest = np.maximum(value[np.ix_(rows, columns)], 0)
    pairs = augment((-rest).tolist())
    return [(rows[a], columns[b]) for a, b in pairs if rest[a, b] > 0]


def augment(cost: list[list[float]]) -> list[tuple[int, int]]:
    """Give each row a column of its own at the least total cost; no fewer columns than rows."""
    every = range(len(cost[0]))
    row_price, column_price = [0.0] * len(cost), [0.0] * len(every)
    owner: list[int | None] = [None] * len(every)
    for start in range(len(cost)):
        path = _Path([math.inf] * len(every), [None] * len(every))
        row: int | None = start
        column: int | None = None
        length = 0.0
        open_columns = set(every)
        while row is not None:
            for other in open_columns:
                reach = length + cost[row][other] - row_price[row] - column_price[other]
                if reach < path.length[other]:
                    path.length[other], path.before[other] = reach, column
            column = min(open_columns, key=path.length.__getitem__)
            open_columns.remove(column)
            length, row = path.length[column], owner[column]
        row_price[start] += length
        for other in every:
            if (holder := owner[other]) is not None and other not in open_columns:
                row_price[holder] += length - path.length[other]
                column_price[other] -= length - path.length[other]
        while column is not None:
            before = path.before[column]
            owner[column] = start if before is None else owner[before]
            column = before
    return [(row, column) for column, row in enumerate(owner) if row is not None]


class _Path(NamedTuple):
    """The shortest ways from one row to every column."""

    length: list[float]
    before: list[int | None]
    """The column passed last; None where the way is direct."""
