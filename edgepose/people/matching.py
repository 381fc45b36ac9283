"""How alike tracks and poses are."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgepose.geometry import extent
from edgepose.skeleton import JOINTS, OKS_SIGMAS
from edgepose.types import Floats, Pose

Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]

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
FIRST_DOUBT: Final = np.array([[[UNSURE**2, 0], [0, SPEED**2]]], np.float32)  # see `Bodies.doubt`
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


class Crowd(NamedTuple):
    """The poses of one frame as arrays: however many there are, each step is one."""

    keypoints: Floats
    """(n, 3, 17): x and y in frame pixels, and scores; in this order for speed."""

    corners: Floats
    """(n, 4): left, top, right, bottom of their boxes in pixels."""

    sizes: Floats
    """(n,): how large they are, in pixels; see `geometry.extent`."""


class Bodies(NamedTuple):
    """Where everybody who is known was last seen and should be by now, as arrays."""

    keypoints: Floats
    """(n, 3, 17): as in `Crowd`; a joint that was hidden then was carried along."""

    corners: Floats
    """(n, 4): as in `Crowd`."""

    sizes: Floats
    """(n,): pixels. They shrink slowly, so that half a body stays as large."""

    way: Floats
    """(n, 2): pixels from where the body was last seen to where it should be by now."""

    velocity: Floats
    """(n, 2): pixels a second."""

    doubt: Floats
    """(n, 2, 2): covariance of place and velocity along either axis, in sizes and seconds."""

    fade: Floats
    """(n,): what is left by now of the trust in joints that are hidden."""


class Likeness(NamedTuple):
    """Of k pairs of a person and a pose that are near each other."""

    row: Indices
    """(k,): the person."""

    column: Indices
    """(k,): the pose."""

    value: Floats
    """(k,): 0 for "cannot be"; the larger, the more alike."""

    shift: Floats
    """(k, 2): pixels from where the person was last seen to the pose."""


Table = TypeVar("Table", Crowd, Bodies, Likeness)


def pick(table: Table, which: Sequence[int]) -> Table:
    """Return some rows."""
    rows = np.array(which, np.intp)
    return type(table)._make(part.take(rows, 0) for part in table)


def gather(poses: Sequence[Pose]) -> Crowd:
    """Put poses side by side; how large they are is said by their boxes."""
    # A third of the time that numpy.stack takes.
    rows = np.concatenate([*(pose.keypoints for pose in poses), np.empty((0, 3), np.float32)])
    keypoints = np.ascontiguousarray(rows.reshape(-1, JOINTS, 3).transpose(0, 2, 1))
    boxes = np.array([pose.box for pose in poses], np.float32).reshape(-1, 4)
    sizes = extent(boxes[:, 2:])
    boxes[:, 2:] += boxes[:, :2]
    return Crowd(keypoints, boxes, sizes)


def begin(crowd: Crowd) -> Bodies:
    """Return what is known of people at first sight."""
    number = len(crowd.sizes)
    way, velocity = np.zeros((2, number, 2), np.float32)
    doubt = FIRST_DOUBT.repeat(number, axis=0)
    return Bodies(*crowd, way, velocity, doubt, np.ones(number, np.float32))


def later(bodies: Bodies, seconds: float) -> Bodies:
    """Return bodies after a time without a look.

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
    place, both, velocity = SPEED_KEPT_S**2 * spread, reach**2 / SPEED_KEPT_S, 1 - kept**2
    step = np.array([[1, reach], [0, kept]], np.float32)
    noise = np.array([[place, both], [both, velocity]], np.float32) * SPEED**2
    return bodies._replace(
        way=bodies.way + reach * bodies.velocity,
        velocity=kept * bodies.velocity,
        doubt=step @ bodies.doubt @ step.T + noise,
        fade=math.exp(-seconds / BODY_FADES_S) * bodies.fade,
    )


def compare(people: Bodies, poses: Crowd, joint_score: float) -> Likeness:
    """Compare every person, where expected, with every pose near by.

    Parameters
    ----------
    people : Bodies
        Of n, at the time of the poses.
    poses : Crowd
        Of m.

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
    deviation = np.sqrt(people.doubt[:, 0, 0] + UNSURE**2)
    spread = deviation * people.sizes
    expected = people.corners + np.concatenate([people.way, people.way], axis=1)
    row, column = near(expected, poses.corners, REACH * spread)
    size = people.sizes.take(row)
    way = people.way.take(row, 0)

    moved, shared = between(
        people.keypoints.take(row, 0), poses.keypoints.take(column, 0), size, joint_score
    )
    shift, rest = align(moved, shared)
    shift = shift[:, :, 0] * size[:, None]
    number = shared.sum(axis=1, dtype=np.float32)
    shape = oks_of(rest, shared, number)
    squared = squares(shift - way) / spread.take(row) ** 2
    value = shape / (1 + squared / 2) * (UNSURE / deviation.take(row)) ** VAGUE
    value *= (squared <= REACH**2) & (shape >= SAME_SHAPE) & (number >= SHARED_JOINTS)

    silent = np.bincount(row, value).take(row) + np.bincount(column, value).take(column) == 0
    if silent.any():
        iou, middle = overlap(expected[row[silent]], poses.corners[column[silent]])
        value[silent] = BOX_TRUST * iou * (iou >= SAME_PLACE)
        shift[silent] = way[silent] + middle
    return Likeness(row, column, value, shift)


def near(a: Floats, b: Floats, slack: Floats) -> tuple[Indices, Indices]:
    """Return the pairs of corners (n, 4) and (m, 4) that touch once `a` grew by `slack` (n,)."""
    grown = slack[:, None]
    low, high = a[:, :2] - grown, a[:, 2:] + grown
    touch = (low[:, None] <= b[:, 2:]) & (high[:, None] >= b[:, :2])
    row, column = (touch[:, :, 0] & touch[:, :, 1]).nonzero()
    return row, column


def between(
    bodies: Floats, keypoints: Floats, sizes: Floats, joint_score: float
) -> tuple[Floats, Flags]:
    """Return how pairs of people differ.

    Parameters
    ----------
    bodies, keypoints : (k, 3, 17)
        Pairs: x and y in pixels, and scores.
    sizes : (k,)
        How large the bodies are, in pixels.

    Returns
    -------
    moved : (k, 3, 17)
        Sizes along x and y from joint to joint; and 1, so that one product of it with
        weights sums the weights too.
    shared : (k, 17)
        Which joints are sure in both.
    """
    shared = np.minimum(bodies[:, 2], keypoints[:, 2]) >= joint_score
    moved = (keypoints - bodies) / sizes[:, None, None]
    moved[:, 2] = 1
    return moved, shared


def align(moved: Floats, shared: Flags) -> tuple[Floats, Floats]:
    """Find the shift that lays each body on its pose.

    Parameters
    ----------
    moved, shared
        As `between` returns them.

    Returns
    -------
    shift : (k, 2, 1)
        Sizes; 0 where no joint is sure in both.
    rest : (k, 2, 17)
        Sizes from body to pose that are left at each joint after the shift.

    Notes
    -----
    A weighted mean over joints, taken a second time with each joint weighed by the
    Cauchy function of what was left: one joint that jumped to somebody else does not
    move the body.
    """
    weight = shared * STEADY
    rest = moved[:, :2] - mean(weight, moved)
    weight /= 1 + squares(rest) / STRAY**2
    shift = mean(weight, moved)
    return shift, moved[:, :2] - shift


def mean(weight: Floats, points: Floats) -> Floats:
    """Return the mean (k, 2, 1) of points ``x, y, 1`` (k, 3, 17) by weights (k, 17), or 0."""
    total = points @ weight[:, :, None]
    return np.asarray(total[:, :2] / np.maximum(total[:, 2:], 1e-6), np.float32)


def squares(points: Floats) -> Floats:
    """Return the squared lengths (k, ...) of vectors (k, 2, ...)."""
    x, y = points[:, 0], points[:, 1]
    return x * x + y * y


def oks_of(rest: Floats, shared: Flags, number: Floats) -> Floats:
    """Return the OKS (k,) of pairs from their differences, as `skeleton.oks` defines it.

    Parameters
    ----------
    rest : (k, 2, 17)
        Sizes, roots of the people's areas, between the joints of two people.
    shared : (k, 17)
        Joints to look at.
    number : (k,)
        How many these are.
    """
    each = np.exp(squares(rest) * OKS_FALL) * shared
    return np.asarray(each.sum(axis=1) / np.maximum(number, 1), np.float32)


def overlap(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return the IoU (k,) of pairs of corners (k, 4) and the pixels between middles (k, 2)."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    union = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1) - shared
    middle = (b[:, :2] + b[:, 2:] - a[:, :2] - a[:, 2:]) / 2
    return np.asarray(shared / np.maximum(union, 1e-6), np.float32), np.asarray(middle, np.float32)


def learn(bodies: Bodies, poses: Crowd, seen: Likeness, joint_score: float) -> None:
    """Correct the bodies that were seen, in place.

    Each is moved by its shift and takes over every joint that the pose shows; the
    others stay where they are on the body and fade. Place and velocity are corrected
    by what was seen: a Kalman filter, both axes alike.
    """
    row, column, _, shift = seen
    body, pose = bodies.keypoints.take(row, 0), poses.keypoints.take(column, 0)
    fade, doubt = bodies.fade.take(row), bodies.doubt.take(row, 0)
    body[:, :2] += shift[:, :, None]
    body[:, 2] *= fade[:, None]
    shown = pose[:, 2] >= np.minimum(body[:, 2], joint_score)
    growth = poses.sizes.take(column) - bodies.sizes.take(row)
    off = shift - bodies.way.take(row, 0)
    gain = doubt[:, 0] / (doubt[:, :1, 0] + UNSURE**2)

    bodies.keypoints[row] = np.where(shown[:, None], pose, body)
    bodies.corners[row] = poses.corners.take(column, 0)
    bodies.sizes[row] += growth * np.where(growth > 0, GROWS, 1 - fade)
    bodies.way[row] = (gain[:, :1] - 1) * off
    bodies.velocity[row] += gain[:, 1:] * off
    bodies.doubt[row] = doubt - gain[:, :, None] * doubt[:, :1]
    bodies.fade[row] = 1


def alike(crowd: Crowd, row: Indices, column: Indices, joint_score: float) -> Floats:
    """Return the OKS (k,) of pairs in one frame, given by their indices (k,)."""
    first, second = crowd.keypoints.take(row, 0), crowd.keypoints.take(column, 0)
    moved, shared = between(first, second, crowd.sizes.take(row), joint_score)
    return oks_of(moved, shared, shared.sum(axis=1, dtype=np.float32))


def overshadowed(
    crowd: Crowd, new: Sequence[int], known: Sequence[int], joint_score: float
) -> set[int]:
    """Say which new poses are too like a known person's to be of somebody else."""
    corners = crowd.corners
    first, second = near(corners[new], corners[known], np.zeros(len(new), np.float32))
    row, column = np.array(new)[first], np.array(known)[second]
    return set(row[alike(crowd, row, column, joint_score) > OVERSHADOWED].tolist())


def single_out(poses: Sequence[Pose], joint_score: float) -> tuple[list[Pose], Crowd]:
    """Return the poses, best first in an order of their own, each person once."""
    ranked = sorted(poses, key=lambda pose: (-pose.score, pose.box))
    crowd = gather(ranked)
    row, column = twins(crowd)
    same = alike(crowd, row, column, joint_score) > SAME_PERSON if len(row) else row > 0
    if not same.any():
        return ranked, crowd
    again: set[int] = set()
    for worse, better in sorted(zip(row[same].tolist(), column[same].tolist(), strict=True)):
        if better not in again:
            again.add(worse)
    kept = [index for index in range(len(ranked)) if index not in again]
    return [ranked[index] for index in kept], pick(crowd, kept)


def twins(crowd: Crowd) -> tuple[Indices, Indices]:
    """Return the pairs ``row > column`` whose boxes' middles are where one person's would be."""
    middle = (crowd.corners[:, :2] + crowd.corners[:, 2:]) / 2
    apart = np.abs(middle[:, None] - middle)
    close = np.maximum(apart[:, :, 0], apart[:, :, 1]) < SAME_MIDDLE * crowd.sizes
    row, column = close.nonzero()
    below = row > column
    return row[below], column[below]
