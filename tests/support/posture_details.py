"""Random low bodies and walks with truth: crouching, kneeling, bending, on all fours, walking."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgepose.geometry import box_around
from edgepose.people.posture_detail import PostureDetailReader
from edgepose.people.smoothing import Smoother
from edgepose.people.tracking import Tracker
from edgepose.timing import NS_PER_S
from edgepose.types import Pose
from tests.support.body import (
    ALL_FOURS,
    BENT,
    CROUCHING,
    KNEELING,
    LOW_PLANK,
    ON_ELBOWS,
    PLANK,
    SITTING,
    SITTING_ON_FLOOR,
    SQUAT,
    STANDING,
    Act,
    Actor,
    Camera,
    Noise,
    Scene,
    Stance,
    adult,
    child,
    crawl,
    hold,
    move,
    squats,
    stand,
    turn,
    walk,
    wave,
)
from tests.support.random_scenes import drill, flat, stacked

Rng = np.random.Generator
Array = NDArray[np.float64]

NONE, CROUCHING_, KNEELING_, BENDING_, ON_ALL_FOURS_ = range(5)
UNCLEAR: Final = -1
LOST: Final = "lost"
NO_DETAIL: Final = "none"
SCORE: Final = 0.8
WALKS_FROM: Final = 0.3  # metres a second


def _u(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _arms(rng: Rng, stance: Stance) -> Stance:
    """Move the arms: near to where they are, or anywhere."""
    names = [f"{s}_{p}" for s in ("left", "right") for p in ("arm", "out", "fore", "fore_out")]
    if rng.random() < 0.4:
        return replace(stance, **{name: _u(rng, -20, 110) for name in names})
    return replace(stance, **{n: getattr(stance, n) + float(rng.normal(0, 12)) for n in names})


def _body(rng: Rng, stance: Stance) -> Stance:
    """Vary trunk, head and arms."""
    return _arms(
        rng,
        replace(
            stance,
            side=float(rng.normal(0, 7)),
            nod=stance.nod + float(rng.normal(0, 15)),
            look=float(rng.normal(0, 25)),
            twist=float(rng.normal(0, 4)),
        ),
    )


def _legs(rng: Rng, hip: float, knee: float, apart: float = 6.0) -> dict[str, float]:
    return {
        "left_hip": hip + float(rng.normal(0, apart)),
        "right_hip": hip + float(rng.normal(0, apart)),
        "left_knee": knee + float(rng.normal(0, apart)),
        "right_knee": knee + float(rng.normal(0, apart)),
    }


def _mirrored(stance: Stance) -> Stance:
    """Swap left and right."""
    swapped = {}
    for name in ("hip", "knee", "arm", "out", "fore", "fore_out"):
        swapped[f"left_{name}"] = getattr(stance, f"right_{name}")
        swapped[f"right_{name}"] = getattr(stance, f"left_{name}")
    return replace(stance, **swapped)


def crouched(rng: Rng) -> Stance:
    """Return a body that squats low on its feet."""
    base = CROUCHING if rng.random() < 0.6 else SQUAT
    hip, knee = _u(rng, 88, 130), _u(rng, 100, 148)
    low = replace(base, lean=_u(rng, 5, 70), spread=_u(rng, 4, 35), **_legs(rng, hip, knee))
    return _body(rng, low)


def kneeling(rng: Rng) -> Stance:
    """Return a body on one knee or both, upright, on the heels, or over something."""
    choice = rng.random()
    lean = _u(rng, -5, 50)
    if choice < 0.4:  # on one knee
        legs = {
            "left_hip": _u(rng, 75, 115),
            "left_knee": _u(rng, 75, 120),
            "right_hip": _u(rng, -15, 40),
            "right_knee": _u(rng, 85, 130),
        }
        low = replace(KNEELING, lean=lean, **legs)
        low = low if rng.random() < 0.5 else _mirrored(low)
    elif choice < 0.7:  # on both, upright
        hip = _u(rng, -10, 30)
        low = replace(KNEELING, lean=lean, **_legs(rng, hip, hip + _u(rng, 78, 100), 4))
    else:  # on the heels
        hip = _u(rng, 45, 85)
        low = replace(KNEELING, lean=lean, **_legs(rng, hip, min(152, hip + _u(rng, 75, 95)), 4))
    return _body(rng, replace(low, spread=_u(rng, 2, 22)))


def bent(rng: Rng) -> Stance:
    """Return a body that bends at the hips, on straight legs or nearly."""
    hip = _u(rng, -12, 28)
    low = replace(BENT, lean=_u(rng, 50, 130), spread=_u(rng, 2, 15))
    low = replace(low, **_legs(rng, hip, max(0.0, hip + _u(rng, -5, 25)), 8))
    return _body(rng, low)


def on_all_fours(rng: Rng) -> Stance:
    """Return a body on hands or elbows and knees."""
    base = ALL_FOURS if rng.random() < 0.7 else ON_ELBOWS
    shift = float(rng.normal(0, 12))
    legs = {
        "left_hip": base.left_hip + shift + float(rng.normal(0, 9)),
        "right_hip": base.right_hip + shift + float(rng.normal(0, 9)),
    }
    legs |= {
        "left_knee": 88 + legs["left_hip"] + float(rng.normal(0, 6)),
        "right_knee": 88 + legs["right_hip"] + float(rng.normal(0, 6)),
    }
    arm, lean = float(rng.normal(0, 10)), float(rng.normal(0, 7))
    arms = {
        name: getattr(base, name) + arm + float(rng.normal(0, 5))
        for name in ("left_arm", "right_arm", "left_fore", "right_fore")
    }
    low = replace(base, lean=base.lean + lean, spread=_u(rng, 2, 18), **legs, **arms)
    return replace(low, nod=_u(rng, -60, 20), look=float(rng.normal(0, 25)))


def seated(rng: Rng) -> Stance:
    """Return a body on a chair or on the floor, also bent forwards over its knees."""
    lean = _u(rng, -25, 30) if rng.random() < 0.6 else _u(rng, 30, 85)
    if rng.random() < 0.3:
        low = replace(SITTING_ON_FLOOR, lean=min(lean, 50), spread=_u(rng, 5, 40))
        low = replace(low, **_legs(rng, _u(rng, 80, 120), _u(rng, 5, 110)))
    else:
        low = replace(SITTING, lean=lean, **_legs(rng, _u(rng, 75, 105), _u(rng, 60, 110)))
    return _body(rng, low)


def upright(rng: Rng) -> Stance:
    """Return a body that stands, also with a slight bend."""
    low = replace(STANDING, lean=abs(float(rng.normal(0, 14))), **_legs(rng, 3, 6))
    return _body(rng, low)


def other(rng: Rng) -> Stance:
    """Return a plank, a lunge, or a body that lies."""
    choice = rng.random()
    if choice < 0.3:
        return _body(rng, PLANK if rng.random() < 0.5 else LOW_PLANK)
    if choice < 0.5:
        lunge = Stance(left_hip=80, left_knee=85, right_hip=-10, right_knee=_u(rng, 20, 60))
        return _body(rng, lunge if rng.random() < 0.5 else _mirrored(lunge))
    return _body(rng, flat(rng))


STANCES: Final = (crouched, kneeling, bent, on_all_fours, seated, upright, other)


def _low_acts(rng: Rng) -> list[Act]:
    """Go from one stance to another and stay a moment in each."""
    acts: list[Act] = []
    for _ in range(6):
        stance = STANCES[int(rng.choice(len(STANCES), p=CHANCES))](rng)
        acts += [
            move("go", stance, _u(rng, 0.4, 1.2)),
            hold("stay", stance, _u(rng, 0.8, 1.6)),
        ]
    return acts


CHANCES: Final = (0.17, 0.17, 0.14, 0.12, 0.17, 0.13, 0.1)


def _walk_acts(rng: Rng) -> list[Act]:
    """Walk, stand, turn, step about, sit, exercise."""
    acts: list[Act] = []
    for _ in range(5):
        choice = rng.random()
        if choice < 0.45:
            acts.append(walk(_u(rng, 2, 5), _u(rng, 0.45, 1.7), _u(rng, -120, 120)))
        elif choice < 0.55:
            acts.append(stand(_u(rng, 1.5, 4)))
        elif choice < 0.65:
            acts.append(turn(_u(rng, -180, 180), _u(rng, 1, 2.5)))
        elif choice < 0.72:
            acts.append(squats(3, _u(rng, 1.2, 3)))
        elif choice < 0.78:
            acts.append(wave(3))
        elif choice < 0.84:
            acts.append(crawl(_u(rng, 2, 4), _u(rng, 0.2, 0.7)))
        elif choice < 0.92:
            seat = seated(rng)
            acts += [move("sit", seat, 1.0), *_fidget(rng, seat, 4.0, 14)]
        else:
            acts += _fidget(rng, STANDING, 3.0, 15)
    return acts


def _fidget(rng: Rng, stance: Stance, seconds: float, degrees: float) -> list[Act]:
    """Stay in about one stance with all limbs in motion."""
    acts = []
    for _ in range(int(seconds)):
        moved = _body(rng, replace(stance, lean=stance.lean + float(rng.normal(0, degrees / 2))))
        hips = {
            name: getattr(stance, name) + float(rng.normal(0, degrees))
            for name in ("left_hip", "right_hip", "left_knee", "right_knee")
        }
        acts.append(move("fidget", replace(moved, **hips), 1.0))
    return acts


@dataclass(frozen=True, slots=True, eq=False)
class Detailed:
    """A random scene as a pose model would see it, and the truth."""

    fps: float
    seconds: Array
    """(T,)."""

    keypoints: NDArray[np.float32]
    """(T, 17, 3): 0 where nothing was found."""

    found: NDArray[np.bool_]
    """(T,)."""

    details: NDArray[np.intp]
    """(T,): index in `edgepose.people.posture_detail.DETAILS` plus 1; 0 for none, -1 unclear."""

    walks: NDArray[np.bool_]
    """(T,): whether the body walks."""


def usual_camera(rng: Rng) -> tuple[Camera, float]:
    """Return a camera and how far away the actor is, in metres."""
    choice = rng.random()
    if choice < 0.3:  # low: a shelf, a table
        height, distance = _u(rng, 0.35, 1.1), _u(rng, 2.2, 6)
    elif choice < 0.9:
        height, distance = _u(rng, 1.1, 3.0), _u(rng, 2.2, 7)
    else:  # below the ceiling
        height, distance = _u(rng, 2.3, 3.2), _u(rng, 0.3, 2.2)
    seen = Camera(height, roll_deg=float(rng.normal(0, 4)), fov_deg=_u(rng, 50, 110))
    seen = seen.aimed_at(distance * _u(rng, 0.85, 1.3), _u(rng, 0.5, 1.1))
    return seen, distance


def small_model_noise(rng: Rng) -> Noise:
    """Return how badly a small model sees: joints that tremble, and hidden ones left out."""
    lost_lying = _u(rng, 0, 0.2) if rng.random() < 0.7 else _u(rng, 0.2, 0.85)
    return Noise(
        spread=_u(rng, 0.4, 1.3),
        memory_s=_u(rng, 0.1, 0.6),
        hidden=_u(rng, 1.5, 4),
        lying=_u(rng, 1, 2.5),
        lost_s=float(np.exp(_u(rng, np.log(0.15), np.log(2.5)))),
        lost=_u(rng, 0, 0.06),
        lost_lying=lost_lying,
        sure=_u(rng, -1.0, 0.3),
        sure_lying=_u(rng, -1.2, 0.0),
        folded=_u(rng, 0, 0.25),
    )


def detailed(seed: int, *, walks: bool) -> Detailed:
    """Generate one scene of low stances, or of walks; the same for the same seed."""
    rng = np.random.default_rng([seed, 31])
    view, distance = usual_camera(rng)
    acts = _walk_acts(rng) if walks else _low_acts(rng)
    build = child(_u(rng, 0.9, 1.3)) if rng.random() < 0.12 else adult(_u(rng, 1.45, 1.95))
    place = (max(distance, 2.5 if walks else 0.5), _u(rng, -0.3, 0.3) * distance)
    heading = _u(rng, 0, 360)
    actor = Actor.doing(_towards_view(acts, rng), at=place, heading_deg=heading, build=build)
    fps = float(rng.choice([4, 5, 8, 10, 10, 15]))
    scene = Scene((actor,), view)
    details = true_details(actor.joints(scene.times(fps)), build.stature)
    # Models misplace the joints of folded bodies more than those of others.
    errors = replace(small_model_noise(rng), spread=_u(rng, 0.4, 2.0), hidden=_u(rng, 1.5, 4.5))
    return _observed(scene, seed, fps, errors, details)


def _observed(
    scene: Scene, seed: int, fps: float, errors: Noise, details: NDArray[np.intp]
) -> Detailed:
    seconds = scene.times(fps)
    poses = [moment.people.get(0) for moment in scene.observe(fps, seed, errors)]
    found = np.array([pose is not None for pose in poses])
    return Detailed(
        fps, seconds, stacked(poses, found), found, details, _walking(scene.actors[0], seconds)
    )


def _towards_view(acts: Sequence[Act], rng: Rng) -> list[Act]:
    """Turn about after each walk, so that the body stays in view."""
    ready: list[Act] = []
    for act in acts:
        ready.append(act)
        if act.speed:
            ready.append(turn(_u(rng, 140, 220), _u(rng, 0.8, 1.5)))
    return ready


def _walking(actor: Actor, seconds: Array) -> NDArray[np.bool_]:
    walks = np.zeros(len(seconds), bool)
    start = 0.0
    for act in actor.acts:
        inside = (seconds >= start) & (seconds < start + act.seconds)
        walks |= inside & (act.name == "walk" and act.speed >= WALKS_FROM)
        start += act.seconds
    return walks


def true_details(world: Array, stature: float) -> NDArray[np.intp]:
    """Return the detail (T,) of joints (T, 17, 3) in metres; `UNCLEAR` between two."""
    world = world / stature
    height = world[..., 2] - world[..., 2].min(axis=1, keepdims=True)
    shoulders, hips, ankles = (world[:, k : k + 2].mean(axis=1) for k in (5, 11, 15))
    trunk = _from_up_deg(shoulders - hips)
    shanks = _from_up_deg(world[:, 13:15] - world[:, 15:17])
    bend = _between_deg(world[:, 11:13] - world[:, 13:15], world[:, 15:17] - world[:, 13:15])
    hip, knees, feet = height[:, 11:13].mean(axis=1), height[:, 13:15], height[:, 15:17]
    hands = np.minimum(height[:, 7:9], height[:, 9:11])
    centre = 0.6 * (shoulders + hips) / 2 + 0.4 * hips
    ahead = np.linalg.norm((centre - ankles)[:, :2], axis=1)
    low, flat_shank = knees < 0.1, np.abs(shanks - 90) < 35
    feet_down = (feet < 0.1).all(axis=1)

    on_knees = (low & flat_shank).all(axis=1)
    fours = (trunk > 62) & (trunk < 128) & (hands < 0.09).all(axis=1) & on_knees & (hip > 0.14)
    kneels = (low & flat_shank).any(axis=1) & (trunk < 52) & (hip > 0.13)
    kneels &= (hands > 0.09).any(axis=1) | (trunk < 35)
    folded = (bend < 95).all(axis=1) & feet_down & (knees > 0.14).all(axis=1)
    crouches = folded & (hip < 0.33) & (trunk < 75) & (ahead < 0.13) & (hip > 0.105)
    straight = (bend > 125).all(axis=1) & feet_down & (hip > 0.36)
    bends = straight & (trunk > 52) & (trunk < 150)

    unclear = (straight & (trunk > 32)) | (
        (knees < 0.14).any(axis=1) & (hip > 0.105) & (trunk < 128)
    )
    unclear |= folded & (ahead < 0.19) & (hip < 0.4) & (hip > 0.105)
    unclear |= feet_down & (bend < 125).any(axis=1) & (hip > 0.26) & (hip < 0.47) & (trunk > 20)
    details = np.full(len(world), NONE)
    details[unclear] = UNCLEAR
    details[crouches], details[kneels] = CROUCHING_, KNEELING_
    details[bends], details[fours] = BENDING_, ON_ALL_FOURS_
    return details


def _from_up_deg(vectors: Array) -> Array:
    length = np.maximum(np.linalg.norm(vectors, axis=-1), 1e-9)
    return np.asarray(np.degrees(np.arccos(np.clip(vectors[..., 2] / length, -1, 1))))


def _between_deg(a: Array, b: Array) -> Array:
    size = np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-9)
    return np.asarray(np.degrees(np.arccos(np.clip((a * b).sum(axis=-1) / size, -1, 1))))


def drilled(seed: int) -> Detailed:
    """Generate one of the scenes of `random_scenes`: falls and daily life of many kinds."""
    one = drill(seed)
    actor = one.scene.actors[0]
    seconds = one.scene.times(one.fps)
    details = true_details(actor.joints(seconds), actor.build.stature)
    return _observed(one.scene, seed, one.fps, one.noise, details)


def told(scene: Detailed) -> Iterator[str]:
    """Yield the detail of each frame as the daemon reads it.

    `NO_DETAIL` where there is none, `LOST` without the person.
    """
    tracker, smoother, reader = Tracker(), Smoother(), PostureDetailReader()
    for keypoints, found, seconds in zip(scene.keypoints, scene.found, scene.seconds, strict=True):
        at_ns = round(float(seconds) * NS_PER_S)
        poses = [Pose(keypoints, SCORE, box_around(keypoints))] if found else []
        tracks = reader.update(smoother.smooth(tracker.update(poses, at_ns), at_ns), at_ns)
        yield (tracks[0].posture_detail or NO_DETAIL) if tracks else LOST
