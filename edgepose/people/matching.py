"""Similarity of tracks and poses, motion prediction and the Kalman update of tracks."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgepose.geometry import extent
from edgepose.skeleton import JOINTS, OKS_SIGMAS
from edgepose.types import Floats, Pose, Size

Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]

STEADY: Final[Floats] = np.array(
    [0.7, 0.5, 0.5, 0.5, 0.5, 1, 1, 0.4, 0.4, 0.1, 0.1, 1, 1, 0.4, 0.4, 0.1, 0.1],
    dtype=np.float32,
)
"""(17,): weight of each joint in the body's shift; wrists and ankles weigh least."""

OKS_FALL: Final[Floats] = np.asarray(-1 / (2 * (2 * OKS_SIGMAS) ** 2), np.float32)
"""(17,): factor of the squared distance (in sizes) in the exponent of OKS."""

SHARED_JOINTS: Final = 4  # minimum joints to compare: three points of a face fit any other face
ROBUST_SCALE: Final = (
    0.15  # sizes: scale of the Cauchy weight; a joint with this residual weighs half
)
SPEED: Final = 0.7  # sizes per second and axis: standard deviation of the velocity; walking is 1.5
SPEED_KEPT_S: Final = 2.0  # time constant with which an unobserved velocity decays
UNSURE: Final = 0.1  # sizes: standard deviation of a measured position
FIRST_DOUBT: Final = np.array(
    [[[UNSURE**2, 0], [0, SPEED**2]]], np.float32
)  # see `TrackBatch.doubt`
GATE_SIGMA: Final = 3.0  # gate in standard deviations from the predicted position
UNCERTAINTY_POWER: Final = 0.25  # exponent of the penalty for an uncertain position
BODY_FADES_S: Final = 1.0  # time constant with which trust in hidden joints decays
GROWS: Final = 0.5  # part of a size increase taken per frame: limits the effect of a stray joint
SAME_PERSON: Final = 0.7  # OKS above which two poses in one frame are duplicates
SAME_MIDDLE: Final = 0.6  # sizes: duplicates have box centres closer than this on both axes
OVERSHADOWED: Final = 0.4  # OKS above which a new pose is a duplicate of a matched one
SAME_BOX: Final = 0.5  # the same for the IoU: networks disagree about joints of lying bodies
EDGE: Final = 0.02  # part of the frame: a box this near to its edge may be cut by it
SAME_SHAPE: Final = 0.2  # minimum OKS after alignment: below, size or shape differs
SAME_PLACE: Final = 0.3  # minimum IoU of a match by boxes alone
BOX_TRUST: Final = 0.3  # weight of the IoU: an exact box match counts as a mediocre pose match


class PoseBatch(NamedTuple):
    """The poses of one frame as arrays, for vectorised steps."""

    keypoints: Floats
    """(n, 3, 17): x and y in frame pixels, and scores. Joints are the last axis for speed."""

    corners: Floats
    """(n, 4): left, top, right, bottom of the boxes in pixels."""

    sizes: Floats
    """(n,): body sizes in pixels; see `geometry.extent`."""


class TrackBatch(NamedTuple):
    """The tracked bodies as arrays: last observation and predicted motion."""

    keypoints: Floats
    """(n, 3, 17): as in `PoseBatch`, when last seen. Hidden joints were moved with the body."""

    corners: Floats
    """(n, 4): as in `PoseBatch`."""

    sizes: Floats
    """(n,): pixels. They shrink slowly, so that a half-hidden body keeps its size."""

    way: Floats
    """(n, 2): predicted offset in pixels from the last seen position."""

    velocity: Floats
    """(n, 2): pixels per second."""

    doubt: Floats
    """(n, 2, 2): covariance of position and velocity, the same for x and y; sizes, seconds."""

    fade: Floats
    """(n,): trust in hidden joints, within [0, 1]; decays while the body is not seen."""


class MatchScores(NamedTuple):
    """Match scores of k pairs of a person and a pose within the gate."""

    row: Indices
    """(k,): rows of the persons."""

    column: Indices
    """(k,): rows of the poses."""

    value: Floats
    """(k,): match score; 0 rules the pair out, larger is more similar."""

    shift: Floats
    """(k, 2): pixels from the person's last seen position to the pose."""


Table = TypeVar("Table", PoseBatch, TrackBatch, MatchScores)


def pick(table: Table, which: Sequence[int]) -> Table:
    """Return the given rows of a table."""
    rows = np.array(which, np.intp)
    return type(table)._make(part.take(rows, 0) for part in table)


def batch_poses(poses: Sequence[Pose]) -> PoseBatch:
    """Return poses as arrays. Sizes come from the boxes."""
    # Takes a third of the time of numpy.stack.
    rows = np.concatenate([*(pose.keypoints for pose in poses), np.empty((0, 3), np.float32)])
    keypoints = np.ascontiguousarray(rows.reshape(-1, JOINTS, 3).transpose(0, 2, 1))
    boxes = np.array([pose.box for pose in poses], np.float32).reshape(-1, 4)
    sizes = extent(boxes[:, 2:])
    boxes[:, 2:] += boxes[:, :2]
    return PoseBatch(keypoints, boxes, sizes)


def init_tracks(crowd: PoseBatch) -> TrackBatch:
    """Return the initial track state of poses: no motion, initial covariance."""
    number = len(crowd.sizes)
    way, velocity = np.zeros((2, number, 2), np.float32)
    doubt = FIRST_DOUBT.repeat(number, axis=0)
    return TrackBatch(*crowd, way, velocity, doubt, np.ones(number, np.float32))


def predict_tracks(bodies: TrackBatch, seconds: float) -> TrackBatch:
    """Predict bodies `seconds` ahead without an observation.

    Notes
    -----
    The velocity is an Ornstein-Uhlenbeck process [1]_: it decays with the time
    constant `SPEED_KEPT_S`, and its standard deviation tends to `SPEED`. So a gap
    of any length is one exact step, and the variance of the velocity stays bounded.

    References
    ----------
    .. [1] Uhlenbeck and Ornstein, "On the theory of the Brownian motion",
       Physical Review 36, 1930: the variances of position and velocity
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


def compare(people: TrackBatch, poses: PoseBatch, joint_score: float) -> MatchScores:
    """Score all pairs of a predicted person and a pose within the gate.

    Parameters
    ----------
    people : TrackBatch
        n bodies, predicted to the time of the poses.
    poses : PoseBatch
        m poses.
    joint_score : float
        Keypoints below it are ignored, within [0, 1].

    Notes
    -----
    The shift of the whole body and the residual at each joint are scored separately:
    after a gap the position is uncertain, size and posture much less so.
    ``value = OKS(rest) * place(shift) * sharpness``: `place` is heavy-tailed and 0
    beyond `GATE_SIGMA`; `sharpness` favours a recently seen person over one with an
    uncertain position. If neither the person nor the pose has any other match (too few
    shared joints, or a sudden movement), the IoU of the boxes gives the score.

    Only pairs within the gate are compared, so the work grows about linearly with the
    number of people.
    """
    deviation = np.sqrt(people.doubt[:, 0, 0] + UNSURE**2)
    spread = deviation * people.sizes
    expected = people.corners + np.concatenate([people.way, people.way], axis=1)
    row, column = gate_pairs(expected, poses.corners, GATE_SIGMA * spread)
    size = people.sizes.take(row)
    way = people.way.take(row, 0)

    moved, shared = joint_offsets(
        people.keypoints.take(row, 0), poses.keypoints.take(column, 0), size, joint_score
    )
    shift, rest = robust_shift(moved, shared)
    shift = shift[:, :, 0] * size[:, None]
    number = shared.sum(axis=1, dtype=np.float32)
    shape = oks_of(rest, shared, number)
    squared = squares(shift - way) / spread.take(row) ** 2
    value = shape / (1 + squared / 2) * (UNSURE / deviation.take(row)) ** UNCERTAINTY_POWER
    value *= (squared <= GATE_SIGMA**2) & (shape >= SAME_SHAPE) & (number >= SHARED_JOINTS)

    silent = np.bincount(row, value).take(row) + np.bincount(column, value).take(column) == 0
    if silent.any():
        iou, middle = overlap(expected[row[silent]], poses.corners[column[silent]])
        value[silent] = BOX_TRUST * iou * (iou >= SAME_PLACE)
        shift[silent] = way[silent] + middle
    return MatchScores(row, column, value, shift)


def gate_pairs(a: Floats, b: Floats, slack: Floats) -> tuple[Indices, Indices]:
    """Return the index pairs of boxes (n, 4), grown by `slack` (n,), and (m, 4) that touch."""
    grown = slack[:, None]
    low, high = a[:, :2] - grown, a[:, 2:] + grown
    touch = (low[:, None] <= b[:, 2:]) & (high[:, None] >= b[:, :2])
    row, column = (touch[:, :, 0] & touch[:, :, 1]).nonzero()
    return row, column


def joint_offsets(
    bodies: Floats, keypoints: Floats, sizes: Floats, joint_score: float
) -> tuple[Floats, Flags]:
    """Return the offsets between the joints of paired people.

    Parameters
    ----------
    bodies, keypoints : (k, 3, 17)
        Pairs: x and y in pixels, and scores.
    sizes : (k,)
        Body sizes in pixels.
    joint_score : float
        Minimum score of a joint that is compared.

    Returns
    -------
    moved : (k, 3, 17)
        Offsets along x and y from body to pose, in sizes. The third row is 1, so that
        one product with weights also gives the sum of the weights.
    shared : (k, 17)
        Whether the joint reaches `joint_score` in both.
    """
    shared = np.minimum(bodies[:, 2], keypoints[:, 2]) >= joint_score
    moved = (keypoints - bodies) / sizes[:, None, None]
    moved[:, 2] = 1
    return moved, shared


def robust_shift(moved: Floats, shared: Flags) -> tuple[Floats, Floats]:
    """Estimate the shift from each body to its pose, robust against stray joints.

    Parameters
    ----------
    moved, shared
        As `joint_offsets` returns them.

    Returns
    -------
    shift : (k, 2, 1)
        In sizes; 0 where no joint is shared.
    rest : (k, 2, 17)
        Residual of each joint after the shift, in sizes from body to pose.

    Notes
    -----
    A weighted mean over joints, then one reweighted step with the Cauchy weight of each
    residual: a joint that jumped to another person hardly changes the shift.
    """
    weight = shared * STEADY
    rest = moved[:, :2] - mean(weight, moved)
    weight /= 1 + squares(rest) / ROBUST_SCALE**2
    shift = mean(weight, moved)
    return shift, moved[:, :2] - shift


def mean(weight: Floats, points: Floats) -> Floats:
    """Return the weighted mean (k, 2, 1) of points ``x, y, 1`` (k, 3, 17); weights (k, 17).

    0 where all weights are 0.
    """
    total = points @ weight[:, :, None]
    return np.asarray(total[:, :2] / np.maximum(total[:, 2:], 1e-6), np.float32)


def squares(points: Floats) -> Floats:
    """Return the squared lengths (k, ...) of vectors (k, 2, ...)."""
    x, y = points[:, 0], points[:, 1]
    return x * x + y * y


def oks_of(rest: Floats, shared: Flags, number: Floats) -> Floats:
    """Return the OKS (k,) of pairs from their joint offsets, as `skeleton.oks` defines it.

    Parameters
    ----------
    rest : (k, 2, 17)
        Offsets between the joints of two people, in sizes (roots of the areas).
    shared : (k, 17)
        Joints to compare.
    number : (k,)
        Number of shared joints.
    """
    each = np.exp(squares(rest) * OKS_FALL) * shared
    return np.asarray(each.sum(axis=1) / np.maximum(number, 1), np.float32)


def overlap(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return the IoU (k,) of paired boxes (k, 4) and the offset of their centres (k, 2)."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    union = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1) - shared
    middle = (b[:, :2] + b[:, 2:] - a[:, :2] - a[:, 2:]) / 2
    return np.asarray(shared / np.maximum(union, 1e-6), np.float32), np.asarray(middle, np.float32)


def update_tracks(
    bodies: TrackBatch, poses: PoseBatch, seen: MatchScores, joint_score: float
) -> None:
    """Update the matched bodies in place.

    Each body is moved by its shift and takes over the visible joints of the pose. Hidden
    joints move with the body and lose trust. Position and velocity get a Kalman update
    with the observed shift, the same gain for both axes.
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


def pairwise_oks(crowd: PoseBatch, row: Indices, column: Indices, joint_score: float) -> Floats:
    """Return the OKS (k,) of pairs of poses in one frame, given by their indices (k,)."""
    first, second = crowd.keypoints.take(row, 0), crowd.keypoints.take(column, 0)
    moved, shared = joint_offsets(first, second, crowd.sizes.take(row), joint_score)
    return oks_of(moved, shared, shared.sum(axis=1, dtype=np.float32))


def edges_touched(corners: Floats, frame: Size) -> Flags:
    """Return which edges of the frame boxes (n, 4) touch: left, upper, right, lower; (n, 4)."""
    x, y = EDGE * frame.width, EDGE * frame.height
    low, high = corners[:, :2] <= (x, y), corners[:, 2:] >= (frame.width - x, frame.height - y)
    return np.concatenate([low, high], axis=1)


def duplicates_of_tracks(
    crowd: PoseBatch, new: Sequence[int], known: Sequence[int], joint_score: float
) -> set[int]:
    """Return the indices of new poses that duplicate a matched one.

    Either the OKS is above `OVERSHADOWED`, or the IoU of the boxes above `SAME_BOX`.
    """
    corners = crowd.corners
    first, second = gate_pairs(corners[new], corners[known], np.zeros(len(new), np.float32))
    row, column = np.array(new)[first], np.array(known)[second]
    iou, _ = overlap(corners[row], corners[column])
    same = (pairwise_oks(crowd, row, column, joint_score) > OVERSHADOWED) | (iou > SAME_BOX)
    return set(row[same].tolist())


def drop_duplicates(poses: Sequence[Pose], joint_score: float) -> tuple[list[Pose], PoseBatch]:
    """Suppress duplicate poses by OKS.

    Returns the poses kept, by falling score (ties by box, so that the input order does
    not matter), and the same poses as arrays.
    """
    ranked = sorted(poses, key=lambda pose: (-pose.score, pose.box))
    crowd = batch_poses(ranked)
    row, column = duplicate_pairs(crowd)
    same = pairwise_oks(crowd, row, column, joint_score) > SAME_PERSON if len(row) else row > 0
    if not same.any():
        return ranked, crowd
    again: set[int] = set()
    for worse, better in sorted(zip(row[same].tolist(), column[same].tolist(), strict=True)):
        if better not in again:
            again.add(worse)
    kept = [index for index in range(len(ranked)) if index not in again]
    return [ranked[index] for index in kept], pick(crowd, kept)


def duplicate_pairs(crowd: PoseBatch) -> tuple[Indices, Indices]:
    """Return the index pairs ``row > column`` of poses with box centres within `SAME_MIDDLE`."""
    middle = (crowd.corners[:, :2] + crowd.corners[:, 2:]) / 2
    apart = np.abs(middle[:, None] - middle)
    close = np.maximum(apart[:, :, 0], apart[:, :, 1]) < SAME_MIDDLE * crowd.sizes
    row, column = close.nonzero()
    below = row > column
    return row[below], column[below]
