"""Random scenes for training: falls and daily life of many kinds, under any camera.

The scenes of `tests.scenes` measure; these train, so they vary more: stances, speeds,
cameras from knee height to the ceiling, and the model's errors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgepose.skeleton import JOINTS
from edgepose.types import Pose
from tests.support.body import (
    ALL_FOURS,
    BENT,
    BOTH_UP,
    CROUCHING,
    FILMED,
    KNEELING,
    LOW_PLANK,
    ON_BACK,
    ON_ELBOWS,
    ON_FACE,
    ON_LEFT,
    ON_RIGHT,
    PLANK,
    SITTING,
    SITTING_ON_FLOOR,
    SQUAT,
    STANDING,
    Act,
    Actor,
    Build,
    Camera,
    Furniture,
    Noise,
    Scene,
    Stance,
    adult,
    bend_down,
    between,
    burpees,
    child,
    crawl,
    hold,
    move,
    plank,
    plunge,
    push_ups,
    sit_ups,
    squats,
    stand,
    tie_shoes,
    turn,
    walk,
    wave,
)

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Drill:
    """A random scene with one actor, and the noise of its observation."""

    seed: int
    scene: Scene
    noise: Noise
    fps: float
    impact_s: float | None
    """Time at which the body reaches the floor; None without a fall."""

    start_s: float | None
    up_s: float | None
    """Time at which it starts to get up, or None."""


def _u(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _pick(rng: Rng, items: Sequence[object]) -> object:
    return items[int(rng.integers(len(items)))]


ARMS: Final = tuple(
    f"{side}_{part}" for side in ("left", "right") for part in ("arm", "out", "fore")
)


def _shaken(rng: Rng, stance: Stance, degrees: float = 10.0) -> Stance:
    """Vary the angles of limbs, trunk and head."""
    trunk, legs = ("lean", "side", "nod", "look"), ("hip", "knee")
    names = [*ARMS, *trunk, *(f"{side}_{part}" for side in ("left", "right") for part in legs)]
    moved = {name: getattr(stance, name) + float(rng.normal(0, degrees)) for name in names}
    if rng.random() < 0.15:
        moved |= {name: _u(rng, -40, 180) for name in ARMS}
    return replace(stance, **moved)


PRONE_ON_KNEES: Final = Stance(
    lean=112, left_hip=25, right_hip=20, left_knee=120, right_knee=115, nod=-10,
    left_arm=120, right_arm=130, left_fore=150, right_fore=160,
)  # fmt: skip
CURLED: Final = Stance(
    left_hip=125, right_hip=120, left_knee=130, right_knee=125, lean=35, nod=20,
    left_arm=50, right_arm=50, left_fore=80, right_fore=80, spread=10,
)  # fmt: skip


def down(rng: Rng) -> Stance:
    """Return a stance after a fall: mostly flat, sometimes on the knees or propped up."""
    choice = rng.random()
    if choice < 0.58:
        return flat(rng)
    if choice < 0.74:
        hips = _u(rng, 0, 90)
        knees = _u(rng, 90, 150)
        low = replace(
            PRONE_ON_KNEES,
            left_hip=hips,
            right_hip=hips + float(rng.normal(0, 15)),
            left_knee=knees,
            right_knee=knees,
            lean=_u(rng, 95, 125),
        )
    elif choice < 0.86:  # propped up on the hands or against something
        low = replace(
            SITTING_ON_FLOOR,
            tip=_u(rng, -60, -15),
            roll=float(rng.normal(0, 15)),
            left_knee=_u(rng, 0, 80),
            right_knee=_u(rng, 0, 80),
            left_hip=_u(rng, 50, 95),
            right_hip=_u(rng, 50, 95),
            lean=_u(rng, -10, 25),
        )
    elif choice < 0.94:  # on one elbow
        side = 1 if rng.random() < 0.5 else -1
        base = ON_LEFT if side > 0 else ON_RIGHT
        low = replace(base, roll=side * _u(rng, 55, 80), side=-side * _u(rng, 0, 35))
    else:
        low = replace(
            CURLED, tip=_u(rng, -20, 10), roll=float(rng.normal(0, 25)), lean=_u(rng, 10, 60)
        )
    return _shaken(rng, low, 10.0)


def flat(rng: Rng) -> Stance:
    """Return a stance lying on the back, the face or a side."""
    base = _pick(rng, (ON_BACK, ON_FACE, ON_LEFT, ON_RIGHT, ON_LEFT, ON_RIGHT))
    assert isinstance(base, Stance)
    curl = _u(rng, 0, 1) ** 1.5
    legs = {
        "left_hip": base.left_hip + curl * _u(rng, 0, 80),
        "right_hip": base.right_hip + curl * _u(rng, 0, 80),
    }
    legs |= {
        "left_knee": base.left_knee + curl * _u(rng, 0, 100),
        "right_knee": base.right_knee + curl * _u(rng, 0, 100),
    }
    if base is ON_FACE:
        legs = {
            "left_hip": _u(rng, -5, 30) * curl,
            "right_hip": _u(rng, -5, 40) * curl,
            "left_knee": _u(rng, 0, 40),
            "right_knee": _u(rng, 0, 60),
        }
    low = replace(base, **legs, twist=float(rng.normal(0, 12)))
    if base is ON_BACK and rng.random() < 0.25:  # propped up against something
        low = replace(low, lean=_u(rng, 10, 50))
    return _shaken(rng, low, 12.0)


def _fallen_way(rng: Rng, start: Stance, end: Stance) -> list[tuple[Stance, float]]:
    """Return intermediate stances of a fall, each with its share of the time."""
    kind = rng.random()
    if kind < 0.35:
        middle = between(
            start,
            replace(end, left_knee=_u(rng, 10, 70), right_knee=_u(rng, 10, 70)),
            _u(rng, 0.25, 0.5),
        )
    elif kind < 0.5:
        middle = _shaken(rng, replace(KNEELING, lean=_u(rng, 0, 60)))
    elif kind < 0.65:
        middle = _shaken(rng, replace(SITTING_ON_FLOOR, tip=_u(rng, -35, 10)))
    elif kind < 0.8:
        middle = _shaken(
            rng, replace(between(CROUCHING, end, _u(rng, 0.1, 0.5)), lean=_u(rng, 0, 60))
        )
    elif kind < 0.9:
        middle = _shaken(rng, ALL_FOURS)
    else:
        return [(end, 1.0)]
    part = _u(rng, 0.35, 0.65)
    return [(middle, part), (end, 1 - part)]


def _fall(rng: Rng, start: Stance, seconds: float) -> list[Act]:
    end = down(rng)
    speed = _u(rng, -0.7, 1.0) if rng.random() < 0.6 else 0.0
    ease = ("gravity", "linear", "smooth")
    acts = []
    for number, (stance, part) in enumerate(_fallen_way(rng, start, end)):
        pace = speed if number == 0 else speed * 0.5
        acts.append(
            move(
                "fall",
                stance,
                seconds * part,
                ease=_pick(rng, ease[: 2 + number]),
                fall=True,
                speed=pace,
            )
        )
    stay = _u(rng, 3, 8)
    if rng.random() < 0.3:
        acts += [
            hold("down", end, 1.0, fall=True),
            move("down", _shaken(rng, end, 15), 1.0, fall=True),
        ]
    elif rng.random() < 0.15:
        acts += [
            hold("down", end, 0.8, fall=True),
            move("down", down(rng), _u(rng, 1, 2.5), fall=True),
        ]
    last = acts[-1].shape(0.0)
    return [*acts, hold("down", last, stay, posture="lying", fall=True)]


def _seat(rng: Rng) -> Stance:
    lean = _u(rng, -25, 30)
    hips, knees = _u(rng, 70, 105), _u(rng, 55, 105)
    return _shaken(
        rng,
        replace(
            SITTING, lean=lean, left_hip=hips, right_hip=hips, left_knee=knees, right_knee=knees
        ),
        6,
    )


def _busy(rng: Rng, stance: Stance, seconds: float, degrees: float) -> list[Act]:
    """Keep about one stance, with moving limbs."""
    acts, left = [], seconds
    while left > 0:
        step = min(left, _u(rng, 0.4, 2.0))
        acts.append(move("busy", _shaken(rng, stance, degrees), step))
        left -= step
    return acts


def _come(rng: Rng) -> list[Act]:
    choice = rng.random()
    if choice < 0.35:
        return [stand(_u(rng, 1, 4))]
    if choice < 0.8:
        steps = walk(_u(rng, 1.5, 3.5), _u(rng, 0.4, 1.4), _u(rng, -60, 60))
        return [steps, stand(_u(rng, 0.0, 1.5))] if rng.random() < 0.6 else [steps]
    return _busy(rng, STANDING, _u(rng, 1.5, 4), 18)


def fallen(rng: Rng) -> list[Act]:
    """Fall from standing, walking, a seat, a crouch or a bed."""
    choice = rng.random()
    quick = _u(rng, 0.4, 1.15) if rng.random() < 0.8 else _u(rng, 1.15, 2.0)
    if choice < 0.52:
        acts = _come(rng)
        return [*acts, *_fall(rng, acts[-1].shape(acts[-1].seconds), quick)]
    if choice < 0.8:
        seat = _seat(rng)
        pre = [*_come(rng), move("sit_down", seat, _u(rng, 0.7, 1.5))] if rng.random() < 0.4 else []
        if rng.random() < 0.25:  # trying to get up
            rise = between(seat, STANDING, _u(rng, 0.3, 0.9))
            return [
                *pre,
                *_busy(rng, seat, _u(rng, 2, 5), 8),
                move("rise", rise, 0.8),
                *_fall(rng, rise, quick),
            ]
        return [*pre, *_busy(rng, seat, _u(rng, 2, 6), 8), *_fall(rng, seat, quick)]
    if choice < 0.9:
        low = _pick(rng, (BENT, CROUCHING, SQUAT, KNEELING))
        assert isinstance(low, Stance)
        return [
            *_come(rng),
            move("down", low, _u(rng, 0.7, 1.5)),
            hold("low", low, _u(rng, 0.2, 2)),
            *_fall(rng, low, quick),
        ]
    bed = replace(_pick(rng, (ON_BACK, ON_LEFT, ON_RIGHT)), lift=_u(rng, 0.4, 0.65))
    edge = replace(SITTING, lean=_u(rng, 0, 30))
    return [
        *_busy(rng, bed, 3, 5),
        *([move("edge", edge, 1.5)] if rng.random() < 0.5 else []),
        *_fall(rng, edge, quick),
    ]


CONTROLLED: Final = (0.2, 0.4)
"""Statures: range of the largest movement of the shoulders within `HALF_S` while lying down.

For an adult 0.7 to 1.4 m/s. Shoulders and hips together then move as far as those of the people
who lie down on mats in the films (docs/events.md).
"""
HALF_S: Final = 0.5


def _controlled(rng: Rng, start: Stance, acts: Sequence[Act]) -> list[Act]:
    """Return the acts, with movements that are prolonged until they are slow enough."""
    limit = _u(rng, *CONTROLLED)
    slowed = []
    for act in acts:
        slowed.append(_slowed(start, act, limit))
        start = act.shape(act.seconds)
    return slowed


def _slowed(start: Stance, act: Act, limit: float) -> Act:
    """Return the act, prolonged until `_fastest` is at most the limit; a hold as it is."""
    while act.blend_s == act.seconds and _fastest(start, act) > limit:
        seconds = 1.15 * act.seconds
        act = replace(act, seconds=seconds, blend_s=seconds)
    return act


def _fastest(start: Stance, act: Act) -> float:
    """Return the largest movement of the shoulders within `HALF_S`, in statures."""
    before = hold("start", start, HALF_S)
    body = Actor.doing(before, act, build=Build(1.0))
    world = body.joints(np.linspace(HALF_S, HALF_S + act.seconds, 21))
    shoulders = world[:, 5:7].mean(axis=1)
    count = min(20, round(20 * HALF_S / act.seconds))
    return float(np.linalg.norm(shoulders[count:] - shoulders[:-count], axis=1).max())


def _lie_down(rng: Rng) -> list[Act]:
    """Lie down on a mat, a bed or a sofa, in stages and slowly."""
    lift = float(rng.choice([0.0, 0.0, 0.05, 0.35, 0.45, 0.55]))
    end = replace(flat(rng), lift=lift)
    if rng.random() < 0.4:
        end = replace(_shaken(rng, ON_BACK, 8), lift=lift)
    total = _u(rng, 2.0, 7) if lift > 0.2 else _u(rng, 2.7, 7)
    ways: list[Stance] = []
    if lift > 0.2:
        ways = [_seat(rng), replace(between(_seat(rng), end, 0.5), lift=lift * 0.8)]
    else:
        for stance in (
            _pick(rng, (SQUAT, CROUCHING, KNEELING, BENT)),
            _pick(rng, (SITTING_ON_FLOOR, ALL_FOURS, KNEELING, SITTING_ON_FLOOR)),
        ):
            if rng.random() < 0.8:
                ways.append(_shaken(rng, stance, 8))
        if not ways:
            ways.append(_shaken(rng, SITTING_ON_FLOOR, 8))
        if rng.random() < 0.3:
            ways.append(_shaken(rng, between(ways[-1], end, 0.5), 8))
    parts = rng.dirichlet([3.0] * (len(ways) + 1))
    acts: list[Act] = []
    for stance, part in zip([*ways, end], parts.tolist(), strict=True):
        acts.append(move("lie_down", stance, max(0.5, total * part)))
        if rng.random() < 0.4:
            acts.append(hold("pause", stance, _u(rng, 0.1, 1.5)))
    return [
        *_controlled(rng, STANDING, acts),
        hold("lie", end, 1.0, posture="lying"),
        *_busy(rng, end, _u(rng, 2, 8), _u(rng, 0, 12)),
    ]


def _sits_then_lies(rng: Rng) -> list[Act]:
    """Sit down on a mat, stay for a moment or not, and lie down."""
    seat = _shaken(rng, SITTING_ON_FLOOR, 8)
    end = replace(flat(rng) if rng.random() < 0.5 else _shaken(rng, ON_BACK, 8), lift=0.0)
    acts: list[Act] = []
    if rng.random() < 0.5:
        low = _pick(rng, (CROUCHING, KNEELING, SQUAT, ALL_FOURS))
        assert isinstance(low, Stance)
        acts += [move("low", _shaken(rng, low, 8), _u(rng, 0.6, 1.5))]
        acts += _busy(rng, low, _u(rng, 0.1, 2.0), 8)
    acts += [move("sit_on_floor", seat, _u(rng, 0.6, 1.5))]
    acts += _busy(rng, seat, _u(rng, 0.1, 4.0), _u(rng, 2, 10))
    acts += [move("lie_down", end, _u(rng, 0.6, 2.0))]
    return [
        *_come(rng),
        *_controlled(rng, STANDING, acts),
        hold("lie", end, 1.0, posture="lying"),
        *_busy(rng, end, _u(rng, 2, 6), _u(rng, 0, 12)),
    ]


def _plunges(rng: Rng) -> list[Act]:
    """Drop onto hands and knees, or elbows, as playing children do, and stay there."""
    low = _pick(rng, (ALL_FOURS, ALL_FOURS, ON_ELBOWS, KNEELING))
    assert isinstance(low, Stance)
    acts = [*_come(rng), plunge(_u(rng, 0.4, 1.6)), move("low", _shaken(rng, low, 6), 0.4)]
    if rng.random() < 0.4:
        acts += [crawl(_u(rng, 1, 4), _u(rng, 0.3, 0.9), _u(rng, -120, 120))]
    acts += _busy(rng, low, _u(rng, 2, 8), _u(rng, 0, 10))
    return [*acts, move("up", STANDING, _u(rng, 0.6, 2)), *_come(rng)]


def _rise(rng: Rng) -> list[Act]:
    via = _pick(rng, (SITTING_ON_FLOOR, KNEELING, ALL_FOURS, CROUCHING))
    return [
        move("sit_up", via, _u(rng, 0.8, 2.5)),
        move("up", STANDING, _u(rng, 0.8, 2.5)),
        stand(_u(rng, 1, 3)),
    ]


def _sits(rng: Rng) -> list[Act]:
    seat = _seat(rng)
    if rng.random() < 0.4:  # a low sofa
        seat = replace(
            seat, left_hip=_u(rng, 95, 115), right_hip=_u(rng, 95, 115), tip=_u(rng, -15, 0)
        )
    acts = [
        *_come(rng),
        move("sit_down", seat, _u(rng, 0.4, 1.8), ease=_pick(rng, ("smooth", "gravity"))),
    ]
    acts += _busy(rng, seat, _u(rng, 3, 8), _u(rng, 2, 15))
    if rng.random() < 0.5:
        acts += [move("up", STANDING, _u(rng, 0.7, 2)), *_come(rng)]
    return acts


def _low_work(rng: Rng) -> list[Act]:
    """Go low for a while, also quickly: kneel, crouch, look below furniture, sit on the floor."""
    low = _pick(
        rng, (KNEELING, CROUCHING, SQUAT, ALL_FOURS, ON_ELBOWS, SITTING_ON_FLOOR, BENT, PLANK)
    )
    assert isinstance(low, Stance)
    low = _shaken(rng, low, 8)
    acts = [*_come(rng), move("low", low, _u(rng, 1.0, 2.2))]
    acts += _busy(rng, low, _u(rng, 1, 8), _u(rng, 2, 15))
    if rng.random() < 0.4:
        other = _pick(rng, (KNEELING, CROUCHING, ALL_FOURS, ON_ELBOWS, SITTING_ON_FLOOR))
        acts += [move("low", other, _u(rng, 0.4, 1.5)), *_busy(rng, other, _u(rng, 1, 5), 8)]
    return [*acts, move("up", STANDING, _u(rng, 0.6, 2)), *_come(rng)]


def _exercises(rng: Rng) -> list[Act]:
    work: list[Act] = []
    for _ in range(2):
        choice = rng.integers(7)
        if choice == 0:
            work += [move("down", PLANK, _u(rng, 1.0, 3)), push_ups(5, _u(rng, 1.0, 2.5))]
        elif choice == 1:
            work += [
                move("down", SITTING_ON_FLOOR, _u(rng, 1.0, 2.5)),
                sit_ups(5, _u(rng, 1.4, 3.2)),
            ]
        elif choice == 2:
            work += burpees(4, _u(rng, 2.0, 4.0))
        elif choice == 3:
            work += [squats(6, _u(rng, 1.2, 3))]
        elif choice == 4:
            work += [
                move("down", PLANK, _u(rng, 1, 3)),
                plank(6),
                move("low", LOW_PLANK, 1.0),
                hold("low", LOW_PLANK, 1),
            ]
        elif choice == 5:
            lunge = Stance(left_hip=80, left_knee=85, right_hip=-10, right_knee=80, lean=5)
            for _ in range(4):
                work += [
                    move("lunge", lunge, _u(rng, 0.5, 1.2)),
                    move("up", STANDING, _u(rng, 0.5, 1.2)),
                ]
        else:
            arms = _shaken(rng, BOTH_UP, 20)
            for _ in range(5):
                work += [move("jump", arms, 0.4), move("jump", STANDING, 0.4)]
    return [*_come(rng), *work, *_come(rng)]


def _about(rng: Rng) -> list[Act]:
    acts = _come(rng)
    for _ in range(3):
        choice = rng.integers(6)
        if choice == 0:
            acts += [turn(_u(rng, -180, 180), _u(rng, 0.7, 2))]
        elif choice == 1:
            acts += [walk(_u(rng, 1.5, 5), _u(rng, 0.4, 1.8), _u(rng, -120, 120))]
        elif choice == 2:
            acts += bend_down(_u(rng, 0.4, 1.4), _u(rng, 0.2, 4))
        elif choice == 3:
            acts += [wave(2)]
        elif choice == 4:
            acts += _busy(rng, replace(STANDING, lean=_u(rng, 0, 60)), _u(rng, 2, 6), 20)
        else:
            acts += tie_shoes(
                _u(rng, 2, 6),
                kneel=bool(rng.random() < 0.5),
                seconds=_u(rng, 0.6, 1.5),
                bow=_u(rng, 0, 25),
            )
    return acts


def _crawls(rng: Rng) -> list[Act]:
    pose = _pick(rng, (ALL_FOURS, ON_ELBOWS))
    return [
        *_come(rng),
        move("down", pose, _u(rng, 0.4, 2)),
        crawl(_u(rng, 2, 6), _u(rng, 0.2, 0.9), _u(rng, -120, 120)),
        move("sit", SITTING_ON_FLOOR, _u(rng, 0.6, 1.5)),
        *_busy(rng, SITTING_ON_FLOOR, _u(rng, 2, 5), 10),
        *_rise(rng),
    ]


def _lies(rng: Rng) -> list[Act]:
    """Lie from the start, turn over, sit up."""
    low = replace(flat(rng), lift=_u(rng, 0, 0.6))
    return [
        *_busy(rng, low, _u(rng, 3, 6), _u(rng, 0, 12)),
        move("over", replace(flat(rng), lift=low.lift), _u(rng, 0.7, 2)),
        *_busy(rng, low, 3, 5),
        *_rise(rng),
    ]


def _drops_back(rng: Rng) -> list[Act]:
    """Sit, then drop the trunk back or sideways onto a bed or a sofa; the hips stay."""
    seat = _seat(rng)
    aside = rng.random() < 0.3
    legs = {"left_hip": _u(rng, 70, 95), "right_hip": _u(rng, 70, 95)}
    low = replace(seat, lean=_u(rng, -95, -60), **legs)
    if aside:
        low = replace(seat, side=_u(rng, 55, 85) * (1 if rng.random() < 0.5 else -1))
    acts = [
        *_come(rng),
        move("sit_down", seat, _u(rng, 0.6, 1.6)),
        *_busy(rng, seat, _u(rng, 1, 4), 8),
    ]
    acts += [move("drop", low, _u(rng, 0.5, 2.0)), *_busy(rng, low, _u(rng, 2, 6), 6)]
    return [*acts, move("up", seat, _u(rng, 0.8, 2)), move("up", STANDING, _u(rng, 0.8, 2))]


def _rocks(rng: Rng) -> list[Act]:
    """Exercise on the floor from the start: rock, lift legs and trunk, plank, push-ups."""
    base = _pick(rng, (ON_BACK, ON_FACE, ON_BACK, LOW_PLANK, PLANK, ON_LEFT))
    other = _shaken(rng, base, 30)
    acts = [hold("exercise", base, _u(rng, 0.5, 2))]
    for _ in range(int(rng.integers(3, 8))):
        step = _u(rng, 0.4, 1.5)
        acts += [move("exercise", other, step), move("exercise", base, step)]
    return acts


def _leaves(rng: Rng) -> list[Act]:
    """Walk out of the picture, mostly towards the camera."""
    return [*_come(rng), walk(_u(rng, 4, 8), _u(rng, 0.7, 1.6), _u(rng, -30, 30))]


QUIET: Final[tuple[tuple[float, Callable[[Rng], list[Act]]], ...]] = (
    (0.26, _lie_down),
    (0.12, _sits_then_lies),
    (0.08, _plunges),
    (0.3, _sits),
    (0.2, _low_work),
    (0.12, _exercises),
    (0.15, _about),
    (0.06, _crawls),
    (0.07, _lies),
    (0.18, _leaves),
    (0.06, _drops_back),
    (0.08, _rocks),
)


def camera(rng: Rng) -> tuple[Camera, float]:
    """Return a camera and the actor's distance, in metres."""
    choice = rng.random()
    roll_deg = float(rng.normal(0, 4))
    if choice < 0.3:  # low: on a shelf or a table
        height, distance = _u(rng, 0.3, 1.1), _u(rng, 2.0, 6.5)
    elif choice < 0.55:  # chest or head height
        height, distance = _u(rng, 1.1, 2.0), _u(rng, 2.2, 7)
    elif choice < 0.88:  # a corner below the ceiling
        height, distance = _u(rng, 1.9, 3.2), _u(rng, 2.2, 8)
    else:  # the ceiling
        height, distance = _u(rng, 2.3, 3.5), _u(rng, 0.3, 2.2)
        roll_deg = float(rng.normal(0, 12))
    seen = Camera(height, roll_deg=roll_deg, fov_deg=_u(rng, 50, 110))
    seen = seen.aimed_at(distance * _u(rng, 0.85, 1.3), _u(rng, 0.4, 1.1))
    return seen, distance


def place_of(camera: Camera) -> str:
    """Return where a camera hangs, in the words of the films' labels."""
    if camera.pitch_deg > 45:
        return "ceiling"
    if camera.height < 1.1:
        return "low"
    return "mid" if camera.height < 1.9 else "high corner"


def noise(rng: Rng) -> Noise:
    """Return how badly a model sees today: mostly as measured on films."""
    lost_lying = _u(rng, 0, 0.15) if rng.random() < 0.75 else _u(rng, 0.15, 0.85)
    common = {
        "lost_s": float(np.exp(_u(rng, np.log(0.15), np.log(2.5)))),
        "lost": _u(rng, 0, 0.06),
        "lost_lying": lost_lying,
    }
    if rng.random() < 0.65:
        return replace(
            FILMED,
            **common,
            spread=_u(rng, 0.4, 1.2),
            memory_s=_u(rng, 0.15, 0.6),
            hidden=_u(rng, 1.2, 3),
            lying=_u(rng, 1, 2.5),
            sure=_u(rng, -0.5, 0.4),
            folded=_u(rng, 0, 0.12),
            paired=_u(rng, 0, 0.9),
            merged=_u(rng, 0, 0.8),
            invented=_u(rng, 0, 1) ** 0.5 if rng.random() < 0.6 else 0.0,
        )
    return replace(
        Noise(),
        **common,
        spread=_u(rng, 0.4, 1.3),
        memory_s=_u(rng, 0.1, 0.6),
        hidden=_u(rng, 1.5, 4),
        lying=_u(rng, 1, 2.5),
        sure=_u(rng, -1.0, 0.3),
        sure_lying=_u(rng, -1.2, 0.0),
        folded=_u(rng, 0, 0.25),
    )


def drill(seed: int) -> Drill:
    """Generate one random scene; the same for the same seed."""
    rng = np.random.default_rng([seed, 77])
    view, distance = camera(rng)
    falls = rng.random() < 0.45
    if falls:
        acts = fallen(rng)
    else:
        chances = np.array([chance for chance, _ in QUIET])
        acts = QUIET[int(rng.choice(len(QUIET), p=chances / chances.sum()))][1](rng)
    up_s = None
    if falls and rng.random() < 0.25:
        up_s = sum(act.seconds for act in acts)
        acts = [*acts, *_rise(rng)]
    build: Build = child(_u(rng, 0.85, 1.3)) if rng.random() < 0.12 else adult(_u(rng, 1.45, 1.95))
    build = replace(
        build,
        thigh=build.thigh * _u(rng, 0.93, 1.07),
        shank=build.shank * _u(rng, 0.93, 1.07),
        trunk=build.trunk * _u(rng, 0.95, 1.08),
    )
    walked = acts[0].speed * acts[0].seconds
    seated = any(act.name == "sit_down" for act in acts)
    heading = _u(rng, 0, 360)
    if seated and rng.random() < 0.35:
        heading = _u(rng, 150, 210)
    elif any(act.posture == "lying" for act in acts) and rng.random() < 0.3:  # along the sight
        heading = _u(rng, -25, 25) + float(rng.choice([0, 180]))
    leaves = not falls and any(act.seconds > 3.9 and act.speed for act in acts[-1:])
    if leaves and rng.random() < 0.75:
        heading = _u(rng, 140, 220)
    towards = np.radians(heading)
    place = (
        distance - walked * np.cos(towards),
        _u(rng, -0.3, 0.3) * distance - walked * np.sin(towards),
    )
    actor = Actor.doing(
        acts, at=(float(place[0]), float(place[1])), heading_deg=heading, build=build
    )
    furniture: tuple[Furniture, ...] = ()
    if seated and rng.random() < 0.45:  # a table
        near, side = distance - _u(rng, 0.3, 0.7), _u(rng, -2, 0)
        high = _u(rng, 0.55, 0.85) + max(0.0, 0.25 * (view.height - 1.0))
        furniture = (Furniture((near, side, 0), (near + 0.3, side + _u(rng, 1.5, 3), high)),)
    elif rng.random() < 0.2:
        near, side = distance - _u(rng, 0.4, 1.0), _u(rng, -2, 1)
        high = _u(rng, 0.2, 0.8)
        furniture = (Furniture((near, side, 0), (near + 0.3, side + _u(rng, 0.8, 3), high)),)
    if not falls and rng.random() < 0.15:  # a wall, a door, a cupboard
        near, side = distance - _u(rng, 0.3, 1.0), _u(rng, -2, 2)
        furniture = (Furniture((near, side, 0), (near + 0.1, side + _u(rng, 0.5, 2), 2.4)),)
    start_s = impact_s = None
    if falls:
        start_s = next(label.start_s for label in actor.labels() if label.name == "fall")
        impact_s = start_s + sum(act.seconds for act in acts if act.name == "fall")
    fps = float(rng.choice([5, 8, 10, 10, 10, 15]))
    return Drill(seed, Scene((actor,), view, furniture), noise(rng), fps, impact_s, start_s, up_s)


# ------------------------------------------------------------------- what was recorded


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """A drill as a pose model would output it, and the truth."""

    seed: int
    fps: float
    seconds: NDArray[np.float64]
    """(T,)."""

    keypoints: NDArray[np.float32]
    """(T, 17, 3): 0 where nothing was found."""

    found: NDArray[np.bool_]
    """(T,)."""

    postures: NDArray[np.intp]
    """(T,): index in `edgepose.people.posture.CLASSES`; -1 where unclear."""

    start_s: float | None
    impact_s: float | None
    up_s: float | None


def record(seed: int) -> Recorded:
    """Generate a noisy random scene, with some gaps in detection and false people."""
    one = drill(seed)
    rng = np.random.default_rng([seed, 5])
    actor = one.scene.actors[0]
    seconds = one.scene.times(one.fps)
    world = actor.joints(seconds)
    poses = [moment.people.get(0) for moment in one.scene.observe(one.fps, seed, one.noise)]
    found = np.array([pose is not None and pose.score >= FAINT for pose in poses])
    found &= ~_lost(rng, one, seconds)
    keypoints = stacked(poses, found)
    postures = true_postures(world, actor.build.stature)
    for label in actor.labels():
        if label.name == "drop":  # on a bed, with the legs over its edge: no clear posture
            postures[seconds >= label.start_s] = -1
    made = Recorded(
        seed, one.fps, seconds, keypoints, found, postures, one.start_s, one.impact_s, one.up_s
    )
    if one.impact_s is None and rng.random() < 0.25:
        return _haunted(rng, made)
    return made


def stacked(poses: Sequence[Pose | None], found: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the keypoints (T, 17, 3) of the poses that were found; 0 for the others."""
    keypoints = np.zeros((len(poses), JOINTS, 3), np.float32)
    for row, pose in enumerate(poses):
        if pose is not None and found[row]:
            keypoints[row] = pose.keypoints
    return keypoints


FAINT: Final = 0.15  # poses below this score are ignored


def _lost(rng: Rng, one: Drill, seconds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return when the model loses the body for seconds: often just after the fall."""
    if rng.random() > 0.3:
        return np.zeros(len(seconds), bool)
    begin = _u(rng, 0, float(seconds[-1]))
    if one.start_s is not None and one.impact_s is not None and rng.random() < 0.6:
        begin = _u(rng, one.start_s, one.impact_s + 1.0)
    end = begin + float(rng.exponential(4)) + 0.3
    return np.asarray((seconds >= begin) & (seconds < end))


def _haunted(rng: Rng, made: Recorded) -> Recorded:
    """Let the person leave, and add a false detection near by."""
    seen = np.flatnonzero(made.found)
    if len(seen) < 6:
        return made
    gone = (
        int(rng.integers(len(made.seconds) // 3, len(made.seconds)))
        if rng.random() < 0.5
        else int(seen[-1]) + 1
    )
    before = seen[seen < gone]
    if not len(before):
        return made
    last = made.keypoints[before[-1]]
    gap, stays = int(_u(rng, 0.1, 2.0) * made.fps), int(4 * made.fps)
    count = max(len(made.seconds), gone + gap + stays)
    seconds = np.arange(count) / made.fps
    keypoints = np.zeros((count, JOINTS, 3), np.float32)
    keypoints[:gone] = made.keypoints[:gone]
    found = np.zeros(count, bool)
    found[:gone] = made.found[:gone]
    postures = np.full(count, -1)
    postures[:gone] = made.postures[:gone]
    keypoints[gone + gap :] = _ghost(rng, last, count - gone - gap)
    found[gone + gap :] = True
    return replace(made, seconds=seconds, keypoints=keypoints, found=found, postures=postures)


def _ghost(rng: Rng, last: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return a false detection: the pose that a model finds in a chair, a coat or a shadow."""
    low, high = last[:, :2].min(axis=0), last[:, :2].max(axis=0)
    size = float((high - low).max())
    stance = _pick(rng, (SITTING, CROUCHING, STANDING, SQUAT, SITTING_ON_FLOOR, BENT, ON_LEFT))
    actor = Actor.doing(hold("ghost", _shaken(rng, stance, 15), 1.0), heading_deg=_u(rng, 0, 360))
    points = next(iter(Scene((actor,)).truth())).people[0].keypoints.copy()
    points[:, :2] -= points[:, :2].mean(axis=0)
    points[:, :2] *= _u(rng, 0.35, 1.0) * size / np.ptp(points[:, 1])
    points[:, :2] += (low + high) / 2 + rng.uniform(-1.0, 1.0, 2) * size * [1, 0.6]
    points[:, 2] = rng.uniform(0.1, 0.5, len(points))
    poses = np.repeat(points[np.newaxis], count, axis=0)
    poses[..., :2] += rng.normal(0, 0.02 * size, (count, len(points), 2))
    return poses


def true_postures(world: NDArray[np.float64], stature: float) -> NDArray[np.intp]:
    """Return the posture (T,) of joints (T, 17, 3) in metres, -1 between two postures."""
    shoulders, hips, knees, ankles = (world[:, k : k + 2].mean(axis=1) for k in (5, 11, 13, 15))
    lowest = world[:, :, 2].min(axis=1)
    trunk = _from_up_deg(shoulders - hips)
    thighs = np.stack([_from_up_deg(world[:, 13 + k] - world[:, 11 + k]) for k in (0, 1)])
    shanks = np.stack([_from_up_deg(world[:, 15 + k] - world[:, 13 + k]) for k in (0, 1)])
    support = np.minimum(np.minimum(ankles[:, 2], knees[:, 2]), hips[:, 2])
    high = (hips[:, 2] - support) / stature
    chest = (shoulders[:, 2] - lowest) / stature

    stands = (trunk < 30) & (thighs.min(axis=0) > 135) & (high > 0.38)
    on_chair = (trunk < 42) & (thighs.max(axis=0) < 135) & (thighs.min(axis=0) > 60)
    on_chair &= (shanks.min(axis=0) > 125) & (high > 0.13) & (high < 0.36)
    on_floor = (trunk < 40) & (high < 0.12) & (knees[:, 2] - hips[:, 2] < 0.22 * stature)
    low = (hips[:, 2] - lowest < 0.19 * stature) & (high < 0.17)
    lies = (trunk > 46) & low & (chest < 0.3)
    lies &= knees[:, 2] - hips[:, 2] < 0.27 * stature
    lies &= ankles[:, 2] - hips[:, 2] < 0.27 * stature

    unclear = ~stands & (trunk < 38) & (thighs.min(axis=0) > 120) & (high > 0.34)
    unclear |= ~lies & (trunk > 40) & (high < 0.15) & (chest < 0.34)
    sits = on_chair | on_floor
    unclear |= (
        ~sits
        & (trunk < 50)
        & (high < 0.36)
        & (thighs.max(axis=0) < 142)
        & (shanks.min(axis=0) > 115)
    )
    posture = np.full(len(world), 3)
    posture[stands], posture[sits], posture[lies] = 0, 1, 2
    posture[unclear] = -1
    return posture


def _from_up_deg(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angles (T,) of vectors (T, 3) from vertical."""
    length = np.maximum(np.linalg.norm(vectors, axis=1), 1e-9)
    return np.asarray(np.degrees(np.arccos(np.clip(vectors[:, 2] / length, -1, 1))))
