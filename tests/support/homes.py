"""Generated scenes of minutes at home with truth: long lies, and harmless acts like them."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from tests.support.body import (
    ALL_FOURS,
    BENT,
    CROUCHING,
    KNEELING,
    LEFT_UP,
    ON_BACK,
    ON_FACE,
    ON_LEFT,
    ON_RIGHT,
    SITTING_ON_FLOOR,
    Act,
    Actor,
    Furniture,
    Scene,
    Stance,
    adult,
    collapse,
    crawl,
    fall,
    get_down,
    get_up,
    get_up_from_lying,
    hold,
    lie_down,
    move,
    push_ups,
    sit,
    sit_down,
    sit_ups,
    slide_off_chair,
    stand,
    tie_shoes,
    walk,
)
from tests.support.scenes import view

Rng = np.random.Generator

FLOOR: Final = (ON_BACK, ON_FACE, ON_LEFT, ON_RIGHT)


@dataclass(frozen=True, slots=True)
class Minutes:
    """A scene of some minutes."""

    kind: str
    scene: Scene
    fps: float
    seed: int
    resting: bool = False
    """Whether a zone of kind `rest` covers everything."""


def _around(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _come(rng: Rng) -> list[Act]:
    return [walk(_around(rng, 1.5, 2.5), _around(rng, 0.6, 1.3)), stand(_around(rng, 0.5, 3))]


def _lie(rng: Rng, seconds: float, stance: Stance | None = None) -> Act:
    """Lie, with small movements."""
    low = stance or FLOOR[rng.integers(len(FLOOR))]

    def shape(t: float) -> Stance:
        slow = float(np.sin(0.2 * t))
        return replace(low, left_hip=low.left_hip + 6 * slow, look=low.look + 10 * slow)

    return Act("lie", seconds, shape, 2.0, posture="lying", fall=True)


def _down(rng: Rng) -> float:
    return _around(rng, 80, 110)


def _slides_down(rng: Rng) -> list[Act]:
    """Slide down a wall too slowly for a fall, then tip over."""
    slide = move("slide", SITTING_ON_FLOOR, _around(rng, 3, 6))
    side = ON_LEFT if rng.random() < 0.5 else ON_RIGHT
    return [*_come(rng), slide, move("tip", side, _around(rng, 2, 4)), _lie(rng, _down(rng), side)]


def _sinks(rng: Rng) -> list[Act]:
    down = get_down(_around(rng, 3, 6))
    return [*_come(rng), *down, move("sink", ON_FACE, 3), _lie(rng, _down(rng), ON_FACE)]


def _lies_there(rng: Rng) -> list[Act]:
    return [_lie(rng, _down(rng))]


def _falls(rng: Rng) -> list[Act]:
    direction = str(rng.choice(["forwards", "backwards", "left", "right"]))
    return [*_come(rng), *fall(direction, _around(rng, 0.6, 1.6), _down(rng))]


def _collapses(rng: Rng) -> list[Act]:
    return [*_come(rng), *collapse(_around(rng, 1.0, 3.0), _down(rng))]


def _off_chair(rng: Rng) -> list[Act]:
    return [*_come(rng), sit_down(), sit(20), *slide_off_chair(_around(rng, 0.8, 4), _down(rng))]


def _helped_up(rng: Rng) -> list[Act]:
    return [*_slides_down(rng), *get_up_from_lying(6), stand(10)]


LONG: Final[dict[str, Callable[[Rng], list[Act]]]] = {
    "slides down a wall": _slides_down,
    "sinks to the floor": _sinks,
    "lies there from the start": _lies_there,
    "falls": _falls,
    "collapses": _collapses,
    "slips off a chair": _off_chair,
    "behind furniture": _slides_down,
    "helped up after a long lie": _helped_up,
}
"""Each has one long lie of at least 80 s."""


def _sofa(rng: Rng) -> list[Act]:
    leaning = Stance(lean=-30, left_hip=60, right_hip=64, left_knee=70, right_knee=60, spread=10)
    half = _around(rng, 60, 100)
    return [
        *_come(rng),
        sit_down(),
        sit(half),
        hold("lean back", leaning, half),
        get_up(),
        stand(3),
    ]


def _on_floor(rng: Rng) -> list[Act]:
    """Sit on the floor with a game."""

    def shape(t: float) -> Stance:
        return replace(SITTING_ON_FLOOR, lean=-8 + 15 * float(np.sin(0.5 * t)), right_arm=20)

    play = Act("play", _around(rng, 120, 180), shape, 1.0)
    return [*_come(rng), move("down", SITTING_ON_FLOOR, 3), play, get_up(3), stand(3)]


def _kneels(rng: Rng) -> list[Act]:
    return [*_come(rng), *tie_shoes(_around(rng, 100, 150), kneel=True, bow=_around(rng, 0, 25))]


def _crouches(rng: Rng) -> list[Act]:
    low = replace(CROUCHING, lean=CROUCHING.lean + _around(rng, 0, 20))
    return [*_come(rng), hold("crouch", low, _around(rng, 80, 120)), get_up(), stand(3)]


def _bends(rng: Rng) -> list[Act]:
    def shape(t: float) -> Stance:
        return replace(BENT, lean=95 + 12 * float(np.sin(0.8 * t)))

    return [*_come(rng), Act("weed", _around(rng, 80, 120), shape, 1.5), get_up(), stand(3)]


def _exercises(rng: Rng) -> list[Act]:
    """Floor exercises of less than a minute, with a walk in between."""
    acts = [*_come(rng)]
    for _ in range(3):
        work = [push_ups(10, _around(rng, 1.5, 2.2))]
        work += [move("sit", SITTING_ON_FLOOR, 2), sit_ups(6, _around(rng, 2.2, 3.0))]
        acts += [*get_down(3), *work, *get_up_from_lying(3), stand(_around(rng, 6, 12))]
    return acts


def _plays(rng: Rng) -> list[Act]:
    """Crawl and stay on all fours with a toy."""
    acts = [*_come(rng), *get_down(2)]
    for _ in range(4):
        acts += [crawl(_around(rng, 4, 8), 0.4, _around(rng, -180, 180))]
        acts += [hold("toy", ALL_FOURS, _around(rng, 15, 30))]
    return [*acts, get_up(2), stand(2)]


def _searches(rng: Rng) -> list[Act]:
    low = replace(KNEELING, lean=85, right_hip=95, right_knee=110)
    return [
        *_come(rng),
        *get_down(2),
        hold("search", low, _around(rng, 80, 110)),
        get_up(3),
        stand(3),
    ]


def _rests_shortly(rng: Rng) -> list[Act]:
    """Lie on the floor for less than a minute."""
    down = [move("sit", SITTING_ON_FLOOR, 3), move("back", ON_BACK, 2)]
    rest = hold("rest", ON_BACK, _around(rng, 25, 45), posture="lying")
    return [*_come(rng), *down, rest, *get_up_from_lying(5), stand(30)]


def _sleeps(rng: Rng) -> list[Act]:
    """Lie in bed; the scene's zone of kind `rest` covers all."""
    return [*_come(rng), *lie_down(4, lift=0.5, stay=_around(rng, 120, 180)), *get_up_from_lying(5)]


def _stretches(rng: Rng) -> list[Act]:
    return [*_come(rng), *(a for _ in range(6) for a in (hold("up", LEFT_UP, 8), stand(8)))]


CALM: Final[dict[str, Callable[[Rng], list[Act]]]] = {
    "on the sofa": _sofa,
    "sitting on the floor": _on_floor,
    "kneeling": _kneels,
    "crouching": _crouches,
    "bending": _bends,
    "floor exercise": _exercises,
    "on all fours": _plays,
    "searching below furniture": _searches,
    "a short rest on the floor": _rests_shortly,
    "asleep in bed": _sleeps,
    "stretching": _stretches,
}
"""None has a long lie."""

KINDS: Final = {**LONG, **CALM}


def minutes(kind: str, seed: int) -> Minutes:
    """Generate one scene; the same for the same seed."""
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    camera, distance = view(rng)
    acts = KINDS[kind](rng)
    actor = Actor.doing(
        acts,
        at=(distance, _around(rng, -0.6, 0.6)),
        heading_deg=_around(rng, 0, 360),
        build=adult(_around(rng, 1.5, 1.9)),
    )
    walked = acts[0].speed * acts[0].seconds
    towards = np.radians(actor.heading_deg)
    x, y = actor.at[0] - walked * np.cos(towards), actor.at[1] - walked * np.sin(towards)
    actor = replace(actor, at=(float(x), float(y)))
    near = distance - 0.9
    low = Furniture((near, -3, 0), (near + 0.3, 3, _around(rng, 0.2, 0.35)))
    furniture = (low,) if kind == "behind furniture" else ()
    scene = Scene((actor,), camera, furniture, kind)
    return Minutes(kind, scene, float(rng.choice([3, 5, 10])), seed, kind == "asleep in bed")


def many(per_kind: int, kinds: Sequence[str], first: int = 0) -> list[Minutes]:
    """Generate a number of scenes of each kind."""
    return [minutes(kind, seed) for kind in kinds for seed in range(first, first + per_kind)]
