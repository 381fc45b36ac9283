"""Where to look: at the whole picture, where somebody was, or twice.

A policy says which network looks at which part of a picture, and makes one list of
people of what they saw. It keeps nothing between pictures: who is known comes from
the tracker, whose turn it is from the number of the frame. `docs/accuracy.md` tells
why things are as they are and shows what was measured.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal, NamedTuple, Protocol, get_args

import numpy as np

from edgepose.errors import UsageError
from edgepose.geometry import box_around, extent, rotation
from edgepose.skeleton import (
    LEFT_HIP,
    LEFT_SHOULDER,
    RIGHT_HIP,
    RIGHT_SHOULDER,
    oks,
)
from edgepose.types import Box, CandidatePose, FallenPose, Floats, Pose, Size

Name = Literal["whole", "follow", "refine"]
PolicyName = Literal["auto", "whole", "follow", "refine"]
Region = tuple[int, int, int, int]

LONG_MARGIN: Final = 0.25  # of the joints' longer side, beyond both of its ends
SHORT_MARGIN: Final = 0.2  # of the joints' longer side, beyond both ends of the shorter one
CROP_JOINTS: Final = 0.1  # a crop had better hold a doubtful foot than cut a real one
LEAST_CROP_PX: Final = 32  # fewer pixels tell a network nothing
UPRIGHT_DEG: Final = 45.0  # a torso that leans further is turned upright in its crop
SQUARE: Final = (Size(1, 1),)  # input shape of refiners that have no other

AGREEMENT: Final = 1 / 4  # of the crop: farther off, the second look saw someone else
SURE_JOINT: Final = 0.1  # joints to compare two looks by
ALIKE: Final = 1.001  # scales that differ by less show the same detail
DISAGREED: Final = 0.3  # what a find is still worth when the second look saw someone else
UNCONFIRMED: Final = 0.7  # what a followed person is worth whom the finder overlooked

SAME_PERSON: Final = 0.7  # OKS of two poses that are one person
SAME_BOX: Final = 0.5  # IoU of a detection with the search that found the same person
SAME_SPOT: Final = 0.3  # OKS of a coarse find with the second look at the same person
JOINT_SCORE: Final = 0.2  # joints to tell people apart by; as tfjs

CANDIDATE_LOOKS: Final = 2  # looks at candidates in one frame of a film, where looks are left
SEARCH_SCORE: Final = 0.3  # least mean score of the joints of a person found by a search
SEARCH_SIDE: Final = 1.5  # side of the searched square, in lengths of the body
SEARCH_EVERY: Final = 2  # frames, until `pace` knows how many a search may take
SEARCH_HZ: Final = 4.0
SEARCH_ANGLES_DEG: Final = (90.0, -90.0, 0.0, 180.0)

FRAME_USE: Final = 0.8  # of the time between frames: the rest is for what varies

TORSO: Final = (LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP)
TORSO_REACH: Final = 1.9  # times the torso, to each side of the hips (tfjs `crop_utils.ts`)
BODY_REACH: Final = 1.2  # times the farthest joint (tfjs)


class Aim(NamedTuple):
    """A network and what it is to look at."""

    network: int
    """Which of the estimator's networks."""

    region: Region
    """x, y, width, height in frame pixels; may reach beyond the frame."""

    person: Pose | None = None
    """Whom to look at again; None for "who is there?"."""

    found: bool = False
    """Whether the person was found in this very picture, not only expected in it."""

    size: Size | None = None
    """Input size to use, of a network that has several; None for its own."""

    angle_deg: float = 0.0
    """Clockwise rotation of the region about its centre."""


class Seen(NamedTuple):
    """What came of an aim."""

    aim: Aim
    poses: Sequence[Pose]
    """In frame pixels, best first, nobody left out for a low score."""


class Policy(Protocol):
    """What a way of looking must provide."""

    @property
    def name(self) -> Name:
        """What the configuration calls it."""

    def aims(self, size: Size, people: Sequence[Pose], turn: int) -> list[Aim]:
        """Say where to look in a picture of this size, with these people known to be about."""

    def again(self, size: Size, found: Sequence[Pose]) -> list[Aim]:
        """Say where to look a second time in a still picture; nowhere when once will do."""

    def merge(self, seen: Sequence[Seen]) -> list[Pose]:
        """Make one list of what was seen, best first."""


@dataclass(frozen=True, slots=True)
class Whole:
    """Looks at the whole picture once, and at places where a person fell."""

    search_every: int = SEARCH_EVERY
    """Frames of a film from one search to the next."""

    name: Name = "whole"

    def aims(self, size: Size, people: Sequence[Pose], turn: int) -> list[Aim]:
        """Look at everything."""
        return [Aim(0, everything(size)), *searches(1, people, turn, self.search_every)]

    def again(self, size: Size, found: Sequence[Pose]) -> list[Aim]:
        """Once will do."""
        return []

    def merge(self, seen: Sequence[Seen]) -> list[Pose]:
        """Return the people of the whole picture, and those whom a search found."""
        whole, *searched = seen
        return with_searched(list(whole.poses), searched)


@dataclass(frozen=True, slots=True)
class Follow:
    """Looks where the one person was; at the whole picture when there is none.

    Where a person fell and is lost, it looks at that place and at the whole picture in turn.
    """

    name: Name = "follow"

    def aims(self, size: Size, people: Sequence[Pose], turn: int) -> list[Aim]:
        """Look at the surest person, or at everything."""
        known = tracked(people)
        if known:
            person = max(known, key=lambda pose: pose.score)
            return [Aim(0, body_crop(person, size), person)]
        return searches(0, people, turn, 2) or [Aim(0, everything(size))]

    def again(self, size: Size, found: Sequence[Pose]) -> list[Aim]:
        """Look again at whom the first look saw."""
        aims = self.aims(size, found, 0)
        return aims if found and aims[0].region != everything(size) else []

    def merge(self, seen: Sequence[Seen]) -> list[Pose]:
        """Return what the one look saw.

        A person who moved on is at the crop's edge, not another person: the single-person
        network is trusted with whom it sees, except where it searches.
        """
        (look,) = seen
        if isinstance(look.aim.person, FallenPose):
            return [pose for pose in look.poses if mean_score(pose) >= SEARCH_SCORE]
        return list(look.poses)


@dataclass(frozen=True, slots=True)
class Refine:
    """Finds people with some networks, looks at each again with a single-person one.

    Costs stay bounded as the room fills: in one frame of a film no more than `looks`
    people are looked at again, in turns, and the others stay as they were found.
    """

    finders: int = 1
    """Networks 0 to ``finders - 1`` find people; the next one looks again."""

    looks: int = 6
    """Second looks in one frame of a film; a still picture gets all it needs."""

    every: int = 1
    """In a film, the finders look at every so manieth frame, and when they are needed."""

    shapes: tuple[Size, ...] = SQUARE
    """Input sizes that the refiner takes."""

    upright: bool = True
    """Turn the crops of people who lie, so that the refiner sees them upright."""

    search_every: int = SEARCH_EVERY
    """Frames of a film from one search for a fallen person to the next."""

    name: Name = "refine"

    @property
    def told(self) -> str:
        """What it does in a film, in words."""
        often = "every frame" if self.every == 1 else f"one of {self.every} frames"
        return f"looks for people in {often}, again at up to {self.looks} of them in each"

    def aims(self, size: Size, people: Sequence[Pose], turn: int) -> list[Aim]:
        """Find who is there; look again at the known, at candidates, and where one fell."""
        known = tracked(people)
        lost = [p for p in people if not isinstance(p, FallenPose) or not p.visible]
        found = searches(self.finders, lost, turn, self.search_every)
        chosen = in_turn(known, max(1, self.looks - len(found)), turn)
        doubtful = [pose for pose in people if isinstance(pose, CandidatePose)]
        spare = max(0, min(CANDIDATE_LOOKS, self.looks - len(chosen) - len(found)))
        looks = [self._aim(person) for person in [*chosen, *in_turn(doubtful, spare, turn)]]
        looks += found
        if chosen and len(chosen) == len(known) and turn % self.every:
            return looks
        return [Aim(finder, everything(size)) for finder in range(self.finders)] + looks

    def again(self, size: Size, found: Sequence[Pose]) -> list[Aim]:
        """Look again at everybody found."""
        return [self._aim(person)._replace(found=True) for person in found]

    def merge(self, seen: Sequence[Seen]) -> list[Pose]:
        """Make one list of finds and second looks.

        Notes
        -----
        A person's score is the mean score of the joints the second look saw: it ranks
        people better than the finders' scores, and is comparable between finders.
        """
        finds = [list(entry.poses) for entry in seen if entry.aim.person is None]
        looks = [entry for entry in seen if entry.aim.person is not None]
        if not looks:
            return single_out(pose for poses in finds for pose in poses)
        searched = [entry for entry in looks if isinstance(entry.aim.person, FallenPose)]
        judged = [judge(e) for e in looks if not isinstance(e.aim.person, FallenPose)]
        again = [pose for pose in judged if pose is not None]
        if finds:
            again = [
                pose if claim(pose, finds) else replace(pose, score=pose.score * UNCONFIRMED)
                for pose in again
            ]
        return with_searched([*again, *(pose for poses in finds for pose in poses)], searched)

    def _aim(self, person: Pose) -> Aim:
        angle_deg = lean(person) if self.upright else 0.0
        region, size = crop(person, self.shapes, angle_deg)
        return Aim(self.finders, region, person, size=size, angle_deg=angle_deg)


def choose(
    asked: PolicyName,
    model: str,
    one: Sequence[bool],
    *,
    refines: bool,
    shapes: tuple[Size, ...] = SQUARE,
    upright: bool = True,
) -> Policy:
    """Return the policy asked for, or what suits the networks.

    Parameters
    ----------
    asked : str
        As the configuration has it.
    model : str
        What to call the networks in messages.
    one : sequence of bool
        Of each network: whether it finds one person only.
    refines : bool
        Whether the last network looks again at whom the others found.
    shapes : tuple of Size
        Input sizes that the last network takes.
    upright : bool
        Whether to turn the crops of people who lie.

    Raises
    ------
    UsageError
        When the two do not go together.
    """
    if asked not in get_args(PolicyName):
        msg = f'policy is "{asked}"; expected one of: {", ".join(get_args(PolicyName))}'
        raise UsageError(msg)
    if refines:
        return replace(_refine(asked, model, one), shapes=shapes, upright=upright)
    if asked == "follow" and not one[0]:
        msg = f'policy "follow" follows one person; model {model} finds several: use "whole"'
        raise UsageError(msg)
    return Follow() if one[0] and asked != "whole" else Whole()


def _refine(asked: PolicyName, model: str, one: Sequence[bool]) -> Refine:
    if asked not in {"auto", "refine"}:
        msg = f'policy "{asked}" takes one model; "{model}" are several: use "refine"'
        raise UsageError(msg)
    if not one[-1]:
        msg = f"model {model}: the last finds several people; expected one that finds one"
        raise UsageError(msg)
    if one[0]:
        finder = model.partition("+")[0]
        msg = (
            "refine needs a model that finds several people, such as movenet-multipose;"
            f" {finder} finds one"
        )
        raise UsageError(msg)
    return Refine(finders=len(one) - 1)


def tracked(people: Sequence[Pose]) -> list[Pose]:
    """Return the people who are known to be there: neither candidates nor places."""
    return [pose for pose in people if not isinstance(pose, CandidatePose | FallenPose)]


def searches(network: int, people: Sequence[Pose], turn: int, every: int) -> list[Aim]:
    """Return a look at one of the places where a person fell, in turn; none in most frames.

    Parameters
    ----------
    every : int
        Frames from one search to the next, half as many while the person is visible; 0 for
        no search.

    Notes
    -----
    A person who is lost may lie in any direction, so the rotations take turns. One who is
    plainly visible is looked at upright.
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
        region, _ = crop(person, SQUARE, angle_deg)
    else:
        count, which = divmod(count, len(fallen))
        person = fallen[which]
        angle_deg = SEARCH_ANGLES_DEG[count % len(SEARCH_ANGLES_DEG)]
        region = square(*person.box.centre, max(person.box[2:]) * SEARCH_SIDE / 2)
    return [Aim(network, region, person, angle_deg=angle_deg)]


def seen_at(place: FallenPose, people: Sequence[Pose]) -> FallenPose | None:
    """Return the person at a place, if seen well enough to know how the body lies.

    Either the tracked person, or what the last search found there.
    """
    if place.visible and mean_score(place) >= SEARCH_SCORE:
        return place
    side = max(place.box[2:])
    for pose in people:
        near = math.dist(place.box.centre, body_box(pose).centre) < side
        if isinstance(pose, CandidatePose) and near and mean_score(pose) >= SEARCH_SCORE:
            return replace(place, keypoints=pose.keypoints)
    return None


def with_searched(people: Sequence[Pose], searched: Sequence[Seen]) -> list[Pose]:
    """Add the people whom searches found to the others, best first, each once."""
    others = list(people)
    found = []
    for entry in searched:
        for pose in entry.poses[:1]:
            score = mean_score(pose)
            if score >= SEARCH_SCORE:
                others = [other for other in others if not is_same(pose, other)]
                found.append(replace(pose, score=score))
    return single_out([*found, *others])


def is_same(pose: Pose, other: Pose) -> bool:
    """Say whether a look and a coarse detection are of one person."""
    overlaps = body_box(pose).iou(body_box(other)) > SAME_BOX
    return overlaps or likeness(pose, other) > SAME_SPOT


def mean_score(pose: Pose) -> float:
    """Return the mean score of all joints."""
    return float(pose.keypoints[:, 2].mean())


def everything(size: Size) -> Region:
    """Return the whole picture."""
    return 0, 0, size.width, size.height


def in_turn(people: Sequence[Pose], count: int, turn: int) -> list[Pose]:
    """Return some of the people, others in the next turn, so that each has theirs."""
    if len(people) <= count or not count:
        return list(people[:count])
    first = turn * count % len(people)
    return [people[(first + step) % len(people)] for step in range(count)]


def crop(
    person: Pose, shapes: Sequence[Size] = SQUARE, angle_deg: float = 0.0
) -> tuple[Region, Size]:
    """Return a region with room around a person, and the input shape that suits it.

    Parameters
    ----------
    person : Pose
        Joints below `CROP_JOINTS` are ignored.
    shapes : sequence of Size
        Input sizes to choose from: the one with the fewest pixels that shows the person
        as large as any other.
    angle_deg : float
        Clockwise rotation of the region about its centre.

    Returns
    -------
    region : tuple of int
        Of the aspect ratio of the input, before its rotation.
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
    """Return the rotation in degrees that a crop needs to show the torso upright.

    The clockwise angle from straight up to the line from hips to shoulders; 0 below
    `UPRIGHT_DEG`, and where no hip or no shoulder is seen.
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
    """Return where to expect the person in the next picture: a square around the hips.

    Notes
    -----
    As tfjs [1]_: half the side is 1.9 times the farthest torso joint or 1.2 times the
    farthest sure joint, whichever is more, along an axis. Where no hip or no shoulder is
    seen, tfjs looks at everything; we take a square around what is seen of the person,
    since half a body at a desk is no reason to lose the detail.

    References
    ----------
    .. [1] tfjs-models, `pose-detection/src/movenet/`, `crop_utils.ts`
    """
    points = person.keypoints
    sure = points[:, 2] > JOINT_SCORE
    if not sure[[LEFT_HIP, RIGHT_HIP]].any() or not sure[[LEFT_SHOULDER, RIGHT_SHOULDER]].any():
        region, _ = crop(person)
    else:
        x, y = points[[LEFT_HIP, RIGHT_HIP], :2][sure[[LEFT_HIP, RIGHT_HIP]]].mean(axis=0).tolist()
        away = np.abs(points[:, :2] - (x, y)).max(axis=1)
        torso = away[list(TORSO)][sure[list(TORSO)]].max()
        region = square(x, y, max(TORSO_REACH * torso, BODY_REACH * away[sure].max()))
    # What is larger than the picture shows no more than the picture.
    return region if region[2] <= max(size) else everything(size)


def square(x: float, y: float, half: float) -> Region:
    """Return a square around a point, in whole pixels."""
    side = max(LEAST_CROP_PX, 2 * half)
    return around(x, y, side, side)


def around(x: float, y: float, width: float, height: float) -> Region:
    """Return a region around a point, in whole pixels."""
    sides = max(1, round(width)), max(1, round(height))
    return round(x - sides[0] / 2), round(y - sides[1] / 2), *sides


def judge(entry: Seen) -> Pose | None:
    """Return the person as the second look saw them.

    When it saw someone else, a person found in this very picture stays with a lower score;
    one who was only expected from earlier pictures is not there.
    """
    person = entry.aim.person
    assert person is not None
    if entry.poses and agree(person.keypoints, entry.poses[0].keypoints, entry.aim.region):
        look = entry.poses[0]
        return replace(look, score=mean_score(look))
    return replace(person, score=person.score * DISAGREED) if entry.aim.found else None


def agree(first: Floats, second: Floats, region: Region) -> bool:
    """Say whether two looks (17, 3) at one crop saw the same person."""
    shared = (first[:, 2] > SURE_JOINT) & (second[:, 2] > SURE_JOINT)
    if not shared.any():
        return False
    apart = np.linalg.norm(first[shared, :2] - second[shared, :2], axis=1)
    return bool(np.median(apart) < AGREEMENT * max(region[2:]))


def claim(look: Pose, finds: list[list[Pose]]) -> bool:
    """Take out of each finder's finds the one that is this person; say whether there was one."""
    claimed = False
    for poses in finds:
        if not poses:
            continue
        alike = [likeness(look, pose) for pose in poses]
        best = int(np.argmax(alike))
        if alike[best] > SAME_SPOT:
            del poses[best]
            claimed = True
    return claimed


def single_out(poses: Iterable[Pose]) -> list[Pose]:
    """Return the poses, best first, each person once."""
    kept: list[Pose] = []
    for pose in sorted(poses, key=lambda pose: -pose.score):
        if all(likeness(pose, better) <= SAME_PERSON for better in kept):
            kept.append(pose)
    return kept


def likeness(a: Pose, b: Pose) -> float:
    """Compare two people in one picture: their OKS, 0 when they are apart.

    By the joints from `JOINT_SCORE` on; of a weak detection by the surer half of its joints.
    """
    size = float(extent(np.array([body_box(b)[2:]], dtype=np.float32))[0])
    least = min(JOINT_SCORE, *(float(np.median(pose.keypoints[:, 2])) for pose in (a, b)))
    return oks(a.keypoints, b.keypoints, size**2, min_score=least)


def body_box(pose: Pose) -> Box:
    """Return the box around the sure joints, whatever box the network named."""
    return box_around(pose.keypoints, JOINT_SCORE)


def pace(policy: Refine, period_s: float, *, find_s: float, look_s: float) -> Refine:
    """Return the policy with as many looks, and finds as often, as a frame has time for.

    Parameters
    ----------
    period_s : float
        From one frame to the next, of all cameras together.
    find_s, look_s : float
        How long all finders take, and one second look.

    Notes
    -----
    One look fits always. Where it leaves no time for the finders in every frame, they
    look at every so manieth, but once a second: somebody who comes in is to be seen.
    """
    left_s = FRAME_USE * period_s - look_s
    seldom = max(1, round(1 / period_s))
    every = 1 if find_s <= left_s else seldom
    if 0 < left_s < find_s:
        every = min(seldom, math.ceil(find_s / left_s))
    looks = 1 + max(0, int((left_s - find_s / every) / look_s))
    return replace(policy, looks=looks, every=every, search_every=search_interval(period_s))


def search_interval(period_s: float) -> int:
    """Return the frames from one search for a fallen person to the next."""
    return max(1, round(1 / (SEARCH_HZ * period_s)))
