"""Policies: which network gets which crop of a frame, and how their results are merged.

A policy has no state between frames: it gets the tracks from the tracker, and takes turns
by the frame number. `docs/accuracy.md` gives the reasons and the measurements.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal, NamedTuple, Protocol, get_args

import numpy as np

from edgepose.errors import UsageError
from edgepose.geometry import box_around, extent, rotation
from edgepose.models.catalog import REFINED_SCORE
from edgepose.skeleton import (
    JOINTS,
    LEFT_HIP,
    LEFT_SHOULDER,
    OKS_SIGMAS,
    RIGHT_HIP,
    RIGHT_SHOULDER,
)
from edgepose.types import Box, CandidatePose, FallenPose, Floats, Pose, Size

Name = Literal["whole", "follow", "refine"]
PolicyName = Literal["auto", "whole", "follow", "refine"]
Region = tuple[int, int, int, int]

LONG_MARGIN: Final = 0.25  # margin at both ends of the longer side, in longer sides
SHORT_MARGIN: Final = 0.2  # margin at both ends of the shorter side, in longer sides
CROP_JOINTS: Final = 0.1  # minimum score of the joints that a crop must contain
LEAST_CROP_PX: Final = 32  # minimum side of a crop
UPRIGHT_DEG: Final = 45.0  # minimum lean of a torso from which its crop is rotated
SQUARE: Final = (Size(1, 1),)  # input shape of refiners without other shapes

AGREEMENT: Final = 1 / 4  # maximum median distance of two poses of one person, in crop sides
SURE_JOINT: Final = 0.1  # minimum score of the joints by which two poses are compared
ALIKE: Final = 1.001  # maximum ratio of two scales that are treated as equal
DISAGREED: Final = 0.3  # score factor of a detection whose refinement was rejected
UNCONFIRMED: Final = 0.7  # score factor of a track that no detector found in this frame

SAME_PERSON: Final = 0.7  # maximum OKS of two different people
SAME_BOX: Final = 0.5  # minimum IoU of a detection and a search result of the same person
SAME_SPOT: Final = 0.3  # minimum OKS of a detection and a refinement of the same person
JOINT_SCORE: Final = 0.2  # minimum score of the joints that distinguish people (tfjs)

TURNED_SCORE: Final = 0.25
"""Minimum mean joint score of a person found by a repeated refinement, if the detector alone
would not report the person."""

TURNED_DEG: Final = (90.0, -90.0, 0.0)  # rotations of the crops of repeated refinements

CANDIDATE_LOOKS: Final = 2  # maximum refinements of candidates per frame of a video
SEARCH_SCORE: Final = 0.3  # minimum mean joint score of a person found by a search
SEARCH_SIDE: Final = 1.5  # side of the searched square, in body lengths
SEARCH_EVERY: Final = 2  # frames from one search to the next if the frame rate is unknown
SEARCH_HZ: Final = 4.0  # searches per second
SEARCH_ANGLES_DEG: Final = (90.0, -90.0, 0.0, 180.0)

FRAME_USE: Final = 0.8  # usable share of the time between frames; the rest is a reserve

TORSO: Final = (LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP)
TORSO_REACH: Final = 1.9  # factor of the farthest torso joint's distance (tfjs `crop_utils.ts`)
BODY_REACH: Final = 1.2  # factor of the farthest joint's distance (tfjs)


class Crop(NamedTuple):
    """Part of a frame for one network."""

    network: int
    """Index of the estimator's network."""

    region: Region
    """x, y, width, height in frame pixels; may exceed the frame."""

    person: Pose | None = None
    """The person to refine; None for detection."""

    found: bool = False
    """Whether the person was detected in this frame, not only predicted for it."""

    size: Size | None = None
    """Input size, for networks with several; None for the network's own."""

    angle_deg: float = 0.0
    """Clockwise rotation of the region about its centre."""

    least: float = 0.0
    """Minimum mean joint score of a refinement."""


class CropResult(NamedTuple):
    """Poses of one crop."""

    crop: Crop
    poses: Sequence[Pose]
    """In frame pixels, best first, of any score."""


class Policy(Protocol):
    """Interface of a policy."""

    @property
    def name(self) -> Name:
        """Name in the configuration."""

    def crops(self, size: Size, people: Sequence[Pose], turn: int) -> list[Crop]:
        """Return the crops of a frame of this size; `people` are predicted for the frame."""

    def refine_crops(self, size: Size, found: Sequence[Pose]) -> list[Crop]:
        """Return the crops for refinement of a still image; empty if there is nothing to refine."""

    def turned_crops(self, refined: Sequence[CropResult]) -> list[Crop]:
        """Return the crops of a still image to refine again, rotated differently."""

    def merge(self, seen: Sequence[CropResult]) -> list[Pose]:
        """Return the people of all crops, best first."""


@dataclass(frozen=True, slots=True)
class Whole:
    """Detects people in the whole frame, and searches the places of falls."""

    search_every: int = SEARCH_EVERY
    """Frames of a video from one search to the next."""

    name: Name = "whole"

    def crops(self, size: Size, people: Sequence[Pose], turn: int) -> list[Crop]:
        """Return the whole frame, and a search at the place of a fall if one is due."""
        return [Crop(0, everything(size)), *searches(1, people, turn, self.search_every)]

    def refine_crops(self, size: Size, found: Sequence[Pose]) -> list[Crop]:
        """Return no crop."""
        return []

    def turned_crops(self, refined: Sequence[CropResult]) -> list[Crop]:
        """Return no crop."""
        return []

    def merge(self, seen: Sequence[CropResult]) -> list[Pose]:
        """Return the people of the whole frame and of searches."""
        whole, *searched = seen
        return with_searched(list(whole.poses), searched)


@dataclass(frozen=True, slots=True)
class Follow:
    """Crops the predicted place of one person, or the whole frame if there is no track.

    After the loss of a fallen person, searches and the whole frame alternate.
    """

    name: Name = "follow"

    def crops(self, size: Size, people: Sequence[Pose], turn: int) -> list[Crop]:
        """Return a crop around the person with the best score, a search, or the whole frame."""
        known = tracked(people)
        if known:
            person = max(known, key=lambda pose: pose.score)
            return [Crop(0, body_crop(person, size), person)]
        return searches(0, people, turn, 2) or [Crop(0, everything(size))]

    def refine_crops(self, size: Size, found: Sequence[Pose]) -> list[Crop]:
        """Return a crop around the first detection."""
        crops = self.crops(size, found, 0)
        return crops if found and crops[0].region != everything(size) else []

    def turned_crops(self, refined: Sequence[CropResult]) -> list[Crop]:
        """Return no crop."""
        return []

    def merge(self, seen: Sequence[CropResult]) -> list[Pose]:
        """Return the person of the one crop.

        Results are not validated, except those of a search: a person at the crop's edge is
        the tracked person, who has moved.
        """
        (look,) = seen
        if isinstance(look.crop.person, FallenPose):
            return [pose for pose in look.poses if mean_score(pose) >= SEARCH_SCORE]
        return list(look.poses)


@dataclass(frozen=True, slots=True)
class Refine:
    """Detects people and refines each with a single-person network.

    The cost of a frame is bounded: in video at most `looks` people are refined per frame,
    in turns; the others keep the joints of the detectors.
    """

    detectors: int = 1
    """Networks 0 to ``detectors - 1`` detect people; the next one is the refiner."""

    looks: int = 6
    """Maximum refinements per frame of a video; still images have no limit."""

    every: int = 1
    """In video, run the detectors on every n-th frame only, unless a track is not refined."""

    shapes: tuple[Size, ...] = SQUARE
    """Available input sizes of the refiner."""

    upright: bool = True
    """Rotate the crops of lying people, so that the refiner gets them upright."""

    search_every: int = SEARCH_EVERY
    """Frames of a video from one search for a fallen person to the next."""

    name: Name = "refine"

    @property
    def description(self) -> str:
        """Work per frame of a video, for the log."""
        often = "every frame" if self.every == 1 else f"one of {self.every} frames"
        return f"detects people in {often}, looks again at up to {self.looks} in each"

    def crops(self, size: Size, people: Sequence[Pose], turn: int) -> list[Crop]:
        """Return crops for detectors, tracked people, candidates and searches."""
        known = tracked(people)
        lost = [p for p in people if not isinstance(p, FallenPose) or not p.visible]
        found = searches(self.detectors, lost, turn, self.search_every)
        chosen = in_turn(known, max(1, self.looks - len(found)), turn)
        doubtful = [pose for pose in people if isinstance(pose, CandidatePose)]
        spare = max(0, min(CANDIDATE_LOOKS, self.looks - len(chosen) - len(found)))
        looks = [self._crop_of(person) for person in [*chosen, *in_turn(doubtful, spare, turn)]]
        looks += found
        if chosen and len(chosen) == len(known) and turn % self.every:
            return looks
        return [Crop(detector, everything(size)) for detector in range(self.detectors)] + looks

    def refine_crops(self, size: Size, found: Sequence[Pose]) -> list[Crop]:
        """Return a crop of each detection."""
        return [self._crop_of(person)._replace(found=True) for person in found]

    def turned_crops(self, refined: Sequence[CropResult]) -> list[Crop]:
        """Return rotated crops of the detections that their refinement did not confirm.

        If a lying person is badly detected, the joints do not show the direction of the body.
        """
        if not self.upright:
            return []
        weak = [entry.crop for entry in refined if not is_confirmed(entry)]
        return [
            self._crop_of(crop.person, angle_deg)._replace(
                least=REFINED_SCORE if crop.person.score >= REFINED_SCORE else TURNED_SCORE
            )
            for crop in weak
            for angle_deg in TURNED_DEG
            if crop.person is not None and angle_deg != crop.angle_deg
        ]

    def merge(self, seen: Sequence[CropResult]) -> list[Pose]:
        """Merge detections and refinements.

        Notes
        -----
        The score of a person is the mean score of all refined joints: it ranks people
        better than the detectors' scores, and is comparable between detectors.
        """
        detections = [list(entry.poses) for entry in seen if entry.crop.person is None]
        looks = [entry for entry in seen if entry.crop.person is not None]
        if not looks:
            return oks_nms(pose for poses in detections for pose in poses)
        searched = [entry for entry in looks if isinstance(entry.crop.person, FallenPose)]
        judged = [
            validate_refinement(e) for e in looks if not isinstance(e.crop.person, FallenPose)
        ]
        again = [pose for pose in judged if pose is not None]
        if detections:
            again = [
                pose
                if drop_matched(pose, detections)
                else replace(pose, score=pose.score * UNCONFIRMED)
                for pose in again
            ]
        return with_searched([*again, *(pose for poses in detections for pose in poses)], searched)

    def _crop_of(self, person: Pose, angle_deg: float | None = None) -> Crop:
        if angle_deg is None:
            angle_deg = lean(person) if self.upright else 0.0
        region, size = person_crop(person, self.shapes, angle_deg)
        return Crop(self.detectors, region, person, size=size, angle_deg=angle_deg)


def choose(
    asked: PolicyName,
    model: str,
    one: Sequence[bool],
    *,
    refines: bool,
    shapes: tuple[Size, ...] = SQUARE,
    upright: bool = True,
) -> Policy:
    """Return the requested policy; for ``auto``, the one that suits the networks.

    Parameters
    ----------
    asked : str
        Name in the configuration.
    model : str
        Name of the networks in messages.
    one : sequence of bool
        For each network, whether it finds one person only.
    refines : bool
        Whether the last network refines the detections of the others.
    shapes : tuple of Size
        Available input sizes of the last network.
    upright : bool
        Whether to rotate the crops of lying people.

    Raises
    ------
    UsageError
        If the policy does not suit the networks.
    """
    if asked not in get_args(PolicyName):
        msg = f'policy is "{asked}"; expected one of: {", ".join(get_args(PolicyName))}'
        raise UsageError(msg)
    if refines:
        return replace(_make_refine(asked, model, one), shapes=shapes, upright=upright)
    if asked == "follow" and not one[0]:
        msg = f'policy "follow" follows one person; model {model} finds several: use "whole"'
        raise UsageError(msg)
    return Follow() if one[0] and asked != "whole" else Whole()


def _make_refine(asked: PolicyName, model: str, one: Sequence[bool]) -> Refine:
    if asked not in {"auto", "refine"}:
        msg = f'policy "{asked}" takes one model; "{model}" are several: use "refine"'
        raise UsageError(msg)
    if not one[-1]:
        msg = f"model {model}: the last finds several people; expected one that finds one"
        raise UsageError(msg)
    if one[0]:
        detector = model.partition("+")[0]
        msg = (
            "refine needs a model that finds several people, such as movenet-multipose;"
            f" {detector} finds one"
        )
        raise UsageError(msg)
    return Refine(detectors=len(one) - 1)


def tracked(people: Sequence[Pose]) -> list[Pose]:
    """Return the tracked people, without candidates and places to search."""
    return [pose for pose in people if not isinstance(pose, CandidatePose | FallenPose)]


def searches(network: int, people: Sequence[Pose], turn: int, every: int) -> list[Crop]:
    """Return the crop of one place of a fall if a search is due; the places take turns.

    Parameters
    ----------
    every : int
        Frames from one search to the next, half as many while the person is visible; 0 for
        no search.

    Notes
    -----
    A lost person may lie in any direction, so the rotation of the crop changes with each
    search. The crop of a well detected person is rotated upright.
    """
    fallen = [pose for pose in people if isinstance(pose, FallenPose)]
    plain = [pose for pose in map(partial(seen_at, people=people), fallen) if pose is not None]
    if plain:
        every = -(-every // 2)
    if not fallen or not every or turn % every:
        return []
    count = turn // every
    if plain:
        person = plain[count % len(plain)]
        angle_deg = lean(person)
        region, _ = person_crop(person, SQUARE, angle_deg)
    else:
        count, which = divmod(count, len(fallen))
        person = fallen[which]
        angle_deg = SEARCH_ANGLES_DEG[count % len(SEARCH_ANGLES_DEG)]
        region = square(*person.box.centre, max(person.box[2:]) * SEARCH_SIDE / 2)
    return [Crop(network, region, person, angle_deg=angle_deg)]


def seen_at(place: FallenPose, people: Sequence[Pose]) -> FallenPose | None:
    """Return the person at the place of a fall, if detected well enough for `lean`.

    Either the tracked person, or the result of the last search.
    """
    if place.visible and mean_score(place) >= SEARCH_SCORE:
        return place
    side = max(place.box[2:])
    for pose in people:
        near = math.dist(place.box.centre, body_box(pose).centre) < side
        if isinstance(pose, CandidatePose) and near and mean_score(pose) >= SEARCH_SCORE:
            return replace(place, keypoints=pose.keypoints)
    return None


def with_searched(people: Sequence[Pose], searched: Sequence[CropResult]) -> list[Pose]:
    """Merge the people found by searches with the others, best first.

    Notes
    -----
    A search replaces uncertain detections of the person. A sure one is kept: on films, the
    joints of a search made people who lie down on a mat resemble people who fell.
    """
    others = list(people)
    found = []
    for entry in searched:
        for pose in entry.poses[:1]:
            score = mean_score(pose)
            same = [other for other in others if is_same(pose, other)]
            if score < SEARCH_SCORE or any(mean_score(one) >= SEARCH_SCORE for one in same):
                continue
            others = [other for other in others if not is_same(pose, other)]
            found.append(replace(pose, score=score))
    return oks_nms([*found, *others])


def is_same(pose: Pose, other: Pose) -> bool:
    """Return whether a search result and a coarse detection are the same person."""
    overlaps = body_box(pose).iou(body_box(other)) > SAME_BOX
    return overlaps or likeness(pose, other) > SAME_SPOT


def mean_score(pose: Pose) -> float:
    """Return the mean score of all joints."""
    return float(pose.keypoints[:, 2].mean())


def everything(size: Size) -> Region:
    """Return the region of the whole image."""
    return 0, 0, size.width, size.height


def in_turn(people: Sequence[Pose], count: int, turn: int) -> list[Pose]:
    """Return `count` of the people, each equally often over successive turns."""
    if len(people) <= count or not count:
        return list(people[:count])
    first = turn * count % len(people)
    return [people[(first + step) % len(people)] for step in range(count)]


def person_crop(
    person: Pose, shapes: Sequence[Size] = SQUARE, angle_deg: float = 0.0
) -> tuple[Region, Size]:
    """Return a region with a margin around a person, and the best input size for it.

    Parameters
    ----------
    person : Pose
        Joints below `CROP_JOINTS` are ignored.
    shapes : sequence of Size
        Available input sizes. The smallest one that gives the largest scale is selected.
    angle_deg : float
        Clockwise rotation of the region about its centre.

    Returns
    -------
    region : tuple of int
        In the aspect ratio of the input, before the rotation.
    size : Size
        One of `shapes`.
    """
    upright = person.keypoints.copy()
    upright[:, :2] = upright[:, :2] @ rotation(angle_deg)
    box = box_around(upright, CROP_JOINTS)
    longer = max(box.width, box.height, LEAST_CROP_PX / (1 + 2 * LONG_MARGIN))
    width, height = (
        side + 2 * longer * (LONG_MARGIN if side >= longer else SHORT_MARGIN)
        for side in (box.width, box.height)
    )
    scales = [max(width / shape.width, height / shape.height) for shape in shapes]
    detailed = [
        (shape.width * shape.height, scale, shape)
        for shape, scale in zip(shapes, scales, strict=True)
        if scale <= min(scales) * ALIKE
    ]
    _, scale, size = min(detailed)
    x, y = (rotation(angle_deg) @ np.array(box.centre)).tolist()
    return around(x, y, scale * size.width, scale * size.height), size


def lean(person: Pose) -> float:
    """Return the rotation in degrees that makes the torso upright in a crop.

    The clockwise angle from vertical to the line from hips to shoulders; 0 below
    `UPRIGHT_DEG`, and if no hip or no shoulder is visible.
    """
    middles = []
    for pair in ([LEFT_HIP, RIGHT_HIP], [LEFT_SHOULDER, RIGHT_SHOULDER]):
        joints = person.keypoints[pair]
        sure = joints[joints[:, 2] > SURE_JOINT, :2]
        if not len(sure):
            return 0.0
        middles.append(sure.mean(axis=0))
    x, y = (middles[1] - middles[0]).tolist()
    angle_deg = math.degrees(math.atan2(x, -y))
    return angle_deg if abs(angle_deg) >= UPRIGHT_DEG else 0.0


def body_crop(person: Pose, size: Size) -> Region:
    """Return the crop for the next frame: a square around the hips.

    Notes
    -----
    As in tfjs [1]_: half the side is the larger of 1.9 times the distance of the farthest
    torso joint and 1.2 times that of the farthest visible joint, along an axis. If no hip
    or no shoulder is visible, tfjs uses the whole frame; edgepose uses a square around the
    visible joints, for people at a desk.

    References
    ----------
    .. [1] tfjs-models, `pose-detection/src/movenet/`, `crop_utils.ts`
    """
    points = person.keypoints
    sure = points[:, 2] > JOINT_SCORE
    if not sure[[LEFT_HIP, RIGHT_HIP]].any() or not sure[[LEFT_SHOULDER, RIGHT_SHOULDER]].any():
        region, _ = person_crop(person)
    else:
        x, y = points[[LEFT_HIP, RIGHT_HIP], :2][sure[[LEFT_HIP, RIGHT_HIP]]].mean(axis=0).tolist()
        away = np.abs(points[:, :2] - (x, y)).max(axis=1)
        torso = away[list(TORSO)][sure[list(TORSO)]].max()
        region = square(x, y, max(TORSO_REACH * torso, BODY_REACH * away[sure].max()))
    return region if region[2] <= max(size) else everything(size)


def square(x: float, y: float, half: float) -> Region:
    """Return a square around a point, in whole pixels."""
    side = max(LEAST_CROP_PX, 2 * half)
    return around(x, y, side, side)


def around(x: float, y: float, width: float, height: float) -> Region:
    """Return a region around a point, in whole pixels."""
    sides = max(1, round(width)), max(1, round(height))
    return round(x - sides[0] / 2), round(y - sides[1] / 2), *sides


def validate_refinement(entry: CropResult) -> Pose | None:
    """Return the refined pose if it is the same person.

    If not, return a person detected in this frame with a lower score, and None for a person
    that was only predicted.
    """
    person = entry.crop.person
    assert person is not None
    if entry.poses and agree(person.keypoints, entry.poses[0].keypoints, entry.crop.region):
        look = entry.poses[0]
        score = mean_score(look)
        return replace(look, score=score) if score >= entry.crop.least else None
    return replace(person, score=person.score * DISAGREED) if entry.crop.found else None


def is_confirmed(entry: CropResult) -> bool:
    """Return whether the refinement is the same person, with a sufficient score."""
    found = validate_refinement(entry)
    return found is not None and found.score >= REFINED_SCORE


def agree(first: Floats, second: Floats, region: Region) -> bool:
    """Return whether two poses (17, 3) in one crop are the same person."""
    shared = (first[:, 2] > SURE_JOINT) & (second[:, 2] > SURE_JOINT)
    if not shared.any():
        return False
    apart = np.linalg.norm(first[shared, :2] - second[shared, :2], axis=1)
    return bool(np.median(apart) < AGREEMENT * max(region[2:]))


def drop_matched(look: Pose, detections: list[list[Pose]]) -> bool:
    """Remove the detections of this person from the lists; return whether there were any."""
    claimed = False
    for poses in detections:
        if not poses:
            continue
        alike = [likeness(look, pose) for pose in poses]
        best = int(np.argmax(alike))
        if alike[best] > SAME_SPOT:
            del poses[best]
            claimed = True
    return claimed


def oks_nms(poses: Iterable[Pose]) -> list[Pose]:
    """Suppress duplicates by OKS; best first."""
    ranked = sorted(poses, key=lambda pose: -pose.score)
    if len(ranked) < 2:
        return ranked
    same = likenesses(ranked) > SAME_PERSON
    kept: list[int] = []
    for row in range(len(ranked)):
        if not same[row, kept].any():
            kept.append(row)
    return [ranked[row] for row in kept]


def likeness(a: Pose, b: Pose) -> float:
    """Return the OKS of two poses in one frame, relative to the size of the second."""
    return float(likenesses([a, b])[0, 1])


def likenesses(poses: Sequence[Pose]) -> Floats:
    """Return the OKS (n, n) of each pose with each other one, relative to the other's size.

    Uses the joints with at least `JOINT_SCORE`; for weak detections, the better-scored half.
    """
    keypoints = np.array([pose.keypoints for pose in poses])
    places, scores = keypoints[..., :2], keypoints[..., 2]
    sides = np.array([body_box(pose)[2:] for pose in poses], dtype=np.float32)
    middle = np.minimum(JOINT_SCORE, np.sort(scores, axis=1)[:, JOINTS // 2])
    least = np.minimum(middle[:, None], middle)
    shared = np.minimum(scores[:, None], scores) >= least[..., None]
    squared = ((places[:, None] - places) ** 2).sum(axis=-1)
    spread = 2 * extent(sides)[:, None] ** 2 * (2 * OKS_SIGMAS) ** 2
    alike = (np.exp(-squared / spread) * shared).sum(axis=-1)
    return np.asarray(alike / np.maximum(shared.sum(axis=-1), 1), np.float32)


def body_box(pose: Pose) -> Box:
    """Return the box around joints of at least `JOINT_SCORE`; ignores a network's own box."""
    return box_around(pose.keypoints, JOINT_SCORE)


def with_frame_budget(
    policy: Refine, period_s: float, *, detect_s: float, refine_s: float
) -> Refine:
    """Return the policy with refinements and detections limited to the time per frame.

    Parameters
    ----------
    period_s : float
        Time between frames, of all cameras together.
    detect_s, refine_s : float
        Duration of all detectors, and of one refinement.

    Notes
    -----
    At least one person is refined per frame. If that leaves no time for the detectors in
    every frame, they run on every n-th frame, at least once a second.
    """
    left_s = FRAME_USE * period_s - refine_s
    seldom = max(1, round(1 / period_s))
    every = 1 if detect_s <= left_s else seldom
    if 0 < left_s < detect_s:
        every = min(seldom, math.ceil(detect_s / left_s))
    looks = 1 + max(0, int((left_s - detect_s / every) / refine_s))
    return replace(policy, looks=looks, every=every, search_every=search_interval(period_s))


def search_interval(period_s: float) -> int:
    """Return the frames from one search for a fallen person to the next."""
    return max(1, round(1 / (SEARCH_HZ * period_s)))
