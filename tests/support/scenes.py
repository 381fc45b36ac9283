"""Hundreds of generated scenes with truth: daily life and falls, from any camera position."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from edgepose.people.zones import Zone
from tests.support.body import (
    ALL_FOURS,
    ON_BACK,
    ON_ELBOWS,
    SITTING_ON_FLOOR,
    Act,
    Actor,
    Camera,
    Furniture,
    Scene,
    adult,
    bend_down,
    burpees,
    child,
    collapse,
    crawl,
    fall,
    get_down,
    get_up,
    get_up_from_lying,
    hold,
    lie_down,
    move,
    plank,
    plunge,
    push_ups,
    sit,
    sit_down,
    sit_ups,
    slide_off_chair,
    squats,
    stand,
    tie_shoes,
    turn,
    walk,
    wave,
)

Rng = np.random.Generator
REST: Final = Zone("bed", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)), "rest")
"""Covers the whole picture."""

STAYS_DOWN_S: Final = 25.0
"""Time on the floor after a fall without getting up."""

AWAY: Final = "walking away, then a fall"


@dataclass(frozen=True, slots=True)
class Case:
    """A scene and its kind."""

    kind: str
    scene: Scene
    fps: float
    seed: int
    rest: bool = False
    """Whether a zone of kind `rest` covers everything."""


def _around(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _direction(rng: Rng) -> str:
    return str(rng.choice(["forwards", "backwards", "left", "right"]))


def _come(rng: Rng) -> list[Act]:
    """Walk in, or stand from the start."""
    if rng.random() < 0.5:
        return [stand(_around(rng, 2, 4))]
    return [walk(_around(rng, 1.5, 2.5), _around(rng, 0.6, 1.3)), stand(_around(rng, 0.2, 2))]


def _sit(rng: Rng) -> list[Act]:
    down = sit_down(_around(rng, 0.7, 2.0))
    return [*_come(rng), down, sit(_around(rng, 8, 20)), get_up(), stand(2)]


def _bend(rng: Rng) -> list[Act]:
    times = [bend_down(_around(rng, 0.6, 1.4), _around(rng, 0.5, 12)) for _ in range(2)]
    return [*_come(rng), *times[0], stand(1), *times[1], stand(2)]


def _shoes(rng: Rng) -> list[Act]:
    down = _around(rng, 0.9, 1.8)
    stay, kneel, bow = _around(rng, 8, 25), bool(rng.random() < 0.5), _around(rng, 0, 25)
    return [*_come(rng), *tie_shoes(stay, kneel=kneel, seconds=down, bow=bow), stand(2)]


def _exercise(rng: Rng) -> list[Act]:
    down = get_down(_around(rng, 2.5, 5))
    choice = rng.integers(3)
    if choice == 0:
        work = [push_ups(8, _around(rng, 1.2, 2.2))]
    elif choice == 1:
        work = [plank(15)]
    else:
        work = [move("sit", SITTING_ON_FLOOR, 2), sit_ups(8, _around(rng, 2.0, 3.2))]
    return [*_come(rng), *down, *work, *get_up_from_lying(), stand(2)]


def _burpees(rng: Rng) -> list[Act]:
    return [*_come(rng), *burpees(5, _around(rng, 2.2, 4.0)), stand(3)]


def _lie(rng: Rng) -> list[Act]:
    lift = float(rng.choice([0.4, 0.55]))
    rest = lie_down(_around(rng, 2.5, 6), lift=lift, stay=_around(rng, 15, 30))
    return [*_come(rng), *rest, *get_up_from_lying(), stand(2)]


def _lie_on_floor(rng: Rng) -> list[Act]:
    down = _around(rng, 3.5, 6)
    return [
        *_come(rng),
        move("sit_on_floor", SITTING_ON_FLOOR, down * 0.6),
        hold("sit_on_floor", SITTING_ON_FLOOR, 1.0),
        move("lie_back", ON_BACK, down * 0.4),
        hold("lie", ON_BACK, _around(rng, 15, 30), posture="lying"),
        *get_up_from_lying(),
        stand(2),
    ]


def _crawl(rng: Rng) -> list[Act]:
    down = _around(rng, 1.2, 2.5)
    return [
        *_come(rng),
        *get_down(down),
        crawl(_around(rng, 6, 15), _around(rng, 0.2, 0.4), _around(rng, -60, 60)),
        move("sit_on_floor", SITTING_ON_FLOOR, 1.2),
        hold("sit_on_floor", SITTING_ON_FLOOR, 8.0),
    ]


def _play(rng: Rng) -> list[Act]:
    """Drop to the floor, crawl as fast as children do, stay there with a toy; twice."""
    acts: list[Act] = []
    for _ in range(2):
        acts += [
            stand(_around(rng, 1, 3)),
            plunge(_around(rng, 0.4, 0.9)),
            crawl(_around(rng, 2, 6), _around(rng, 0.4, 0.9), _around(rng, -180, 180)),
            hold("play", ALL_FOURS, _around(rng, 4, 14)),
            get_up(1.0),
        ]
    return [*_come(rng), *acts, stand(2)]


def _search(rng: Rng) -> list[Act]:
    """Look for something below the furniture."""
    down = plunge(_around(rng, 0.8, 1.6)), move("look", ON_ELBOWS, _around(rng, 0.3, 1))
    return [*_come(rng), *down, hold("look", ON_ELBOWS, _around(rng, 6, 20)), get_up(2), stand(2)]


def _about(rng: Rng) -> list[Act]:
    return [
        *_come(rng),
        turn(_around(rng, 90, 180)),
        walk(_around(rng, 2, 4), 0.8, _around(rng, -90, 90)),
        wave(3),
        turn(_around(rng, -180, -90)),
        walk(_around(rng, 2, 4), 1.0),
        stand(3),
    ]


def _squats(rng: Rng) -> list[Act]:
    return [*_come(rng), squats(8, _around(rng, 1.5, 3.0)), stand(2)]


def _flop(rng: Rng) -> list[Act]:
    low = replace(ON_BACK, lift=0.5)
    return [*_come(rng), move("flop", low, 0.9), hold("lie", low, 25, posture="lying")]


def _fall(rng: Rng) -> list[Act]:
    return [*_come(rng), *fall(_direction(rng), _around(rng, 0.6, 1.3), STAYS_DOWN_S)]


def _slow_fall(rng: Rng) -> list[Act]:
    return [*_come(rng), *fall(_direction(rng), _around(rng, 1.4, 2.0), STAYS_DOWN_S)]


def _collapse(rng: Rng) -> list[Act]:
    return [*_come(rng), *collapse(_around(rng, 1.0, 1.8), STAYS_DOWN_S, _direction(rng))]


def _chair(rng: Rng) -> list[Act]:
    down = slide_off_chair(_around(rng, 0.8, 1.4), STAYS_DOWN_S, _direction(rng))
    return [*_come(rng), sit_down(), sit(5), *down]


def _walk_away(rng: Rng) -> list[Act]:
    steps = walk(_around(rng, 2.0, 3.5), _around(rng, 0.9, 1.3))
    down = fall(_direction(rng), _around(rng, 0.6, 1.3), STAYS_DOWN_S)
    return [steps, stand(_around(rng, 0.2, 1.5)), *down]


def _fall_and_up(rng: Rng) -> list[Act]:
    down = fall(_direction(rng), _around(rng, 0.6, 1.3), _around(rng, 2, 4))
    return [*_come(rng), *down, *get_up_from_lying(3.5), stand(4)]


def _rescued(rng: Rng) -> list[Act]:
    return [*_fall(rng), *get_up_from_lying(5), stand(5)]


QUIET: Final[dict[str, Callable[[Rng], list[Act]]]] = {
    "walking about": _about,
    "sitting down": _sit,
    "bending": _bend,
    "tying shoes": _shoes,
    "squats": _squats,
    "floor exercise": _exercise,
    "burpees": _burpees,
    "lying down on a sofa": _lie,
    "lying down on the floor": _lie_on_floor,
    "a child crawling": _crawl,
    "a child at play": _play,
    "looking under furniture": _search,
    "flopping into bed": _flop,
}
"""None of these may raise an alarm."""

FALLS: Final[dict[str, Callable[[Rng], list[Act]]]] = {
    "fall": _fall,
    "slow fall": _slow_fall,
    "collapse": _collapse,
    "fall from a chair": _chair,
    "fall, helped up later": _rescued,
    "fall behind furniture": _fall,
    "fall, others about": _fall,
    AWAY: _walk_away,
}
"""Each of these must raise one alarm."""

SHORT: Final = {"fall, up at once": _fall_and_up}
"""These may be suspected, but must not raise an alarm."""

KINDS: Final = {**QUIET, **FALLS, **SHORT}


def view(rng: Rng) -> tuple[Camera, float]:
    """Return a camera on a shelf, a wall or below a ceiling, and the distance in metres."""
    height, distance = _around(rng, 0.7, 2.8), _around(rng, 3.0, 6.5)
    camera = Camera(height, roll_deg=_around(rng, -3, 3), fov_deg=_around(rng, 60, 100))
    return camera.aimed_at(distance, _around(rng, 0.6, 1.0)), distance


def case(kind: str, seed: int) -> Case:
    """Generate one case; the same for the same seed."""
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    camera, distance = view(rng)
    small = kind.startswith("a child")
    build = child(_around(rng, 0.8, 1.3)) if small else adult(_around(rng, 1.5, 1.9))
    acts = KINDS[kind](rng)
    place = (distance, _around(rng, -0.6, 0.6))
    heading = _around(rng, -40, 40) if kind == AWAY else _around(rng, 0, 360)
    actors = [_arriving(acts, place, heading, build)]
    furniture: tuple[Furniture, ...] = ()
    if kind == "fall behind furniture":
        near = distance - 0.9
        furniture = (Furniture((near, -3, 0), (near + 0.3, 3, _around(rng, 0.2, 0.35))),)
    if kind == "fall, others about":
        other = [stand(1), walk(3, 0.8), turn(160), walk(3, 0.8), sit_down(1), sit(30)]
        actors.append(_arriving(other, (distance + 1.0, 1.5), _around(rng, 0, 360), adult(1.7)))
    fps = float(rng.choice([5, 8, 10, 15, 30]))
    scene = Scene(tuple(actors), camera, furniture, kind)
    return Case(kind, scene, fps, seed, rest=kind == "flopping into bed")


def cases(per_kind: int, kinds: Sequence[str] = tuple(KINDS), first: int = 0) -> list[Case]:
    """Generate a number of cases of each kind."""
    return [case(kind, seed) for kind in kinds for seed in range(first, first + per_kind)]


def _arriving(
    acts: Sequence[Act], place: tuple[float, float], heading: float, build: object
) -> Actor:
    """Choose the start so that the first walk ends at the place."""
    walked = acts[0].speed * acts[0].seconds
    towards = np.radians(heading)
    x, y = place[0] - walked * np.cos(towards), place[1] - walked * np.sin(towards)
    return Actor.doing(acts, at=(float(x), float(y)), heading_deg=heading, build=build)  # type: ignore[arg-type]
