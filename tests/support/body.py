"""A stick figure with joint angles, and a camera that sees it as pose models do.

An `Actor` performs acts (walking, sitting down, falling, waving), a `Camera`
looks at it from anywhere, a `Scene` puts both together with furniture:
`Scene.truth` gives the exact poses, `Scene.observe` the poses of a model
with noise, drop-outs, scores and swaps of left and right; `Scene.labels` lists
the acts, postures and falls with their times. All randomness comes from the seed.

World: metres, x and y on the floor, z up. Body: x forward, y to its left, z up.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from edgepose.geometry import box_around
from edgepose.people.zones import mark_cut
from edgepose.skeleton import JOINTS, MIRRORED, OKS_SIGMAS
from edgepose.timing import NS_PER_S
from edgepose.types import Pose, Posture, Size, Track

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# --------------------------------------------------------------------------- the body


@dataclass(frozen=True, slots=True)
class Stance:
    """Joint angles in degrees; all zero is a person standing at attention."""

    tip: float = 0.0
    """The whole body forwards: 90 is face down, -90 on the back."""

    roll: float = 0.0
    """The whole body sideways: 90 is on the left side."""

    twist: float = 0.0
    """The whole body about its own long axis, leftwards."""

    lean: float = 0.0
    """Trunk forwards from the root."""

    side: float = 0.0
    """Trunk leftwards from the root."""

    nod: float = 0.0
    """Head forwards from the trunk."""

    look: float = 0.0
    """Head leftwards."""

    left_hip: float = 0.0
    right_hip: float = 0.0
    """Thigh forwards from the root."""

    left_knee: float = 0.0
    right_knee: float = 0.0
    """Shank backwards from the thigh."""

    spread: float = 4.0
    """Thighs outwards."""

    left_arm: float = 4.0
    right_arm: float = 4.0
    """Upper arm forwards from the trunk."""

    left_out: float = 8.0
    right_out: float = 8.0
    """Upper arm outwards; 90 is a T, 180 straight up."""

    left_fore: float = 12.0
    right_fore: float = 12.0
    """Forearm forwards from the trunk."""

    left_fore_out: float = 4.0
    right_fore_out: float = 4.0
    """Forearm outwards."""

    lift: float = 0.0
    """Height of the surface below the body, in metres: a sofa, a bed."""


ANGLES: Final = tuple(item.name for item in fields(Stance))


@dataclass(frozen=True, slots=True)
class Build:
    """Lengths as parts of the stature (after Drillis and Contini; joints as COCO marks them)."""

    stature: float = 1.75
    thigh: float = 0.245
    shank: float = 0.246
    ankle: float = 0.039
    trunk: float = 0.288
    shoulders: float = 0.22
    hips: float = 0.13
    upper_arm: float = 0.172
    forearm: float = 0.157
    head: float = 0.11
    """From the shoulders' middle to the middle of the head."""

    face: float = 0.055
    """Radius of the head."""


def adult(stature: float = 1.75) -> Build:
    """Return an adult's body measures."""
    return Build(stature)


def child(stature: float = 1.05) -> Build:
    """Return a child's body measures: shorter legs, larger head."""
    return Build(stature, 0.215, 0.215, 0.04, 0.30, 0.215, 0.13, 0.16, 0.145, 0.15, 0.08)


def _turn(axis: int, degrees: Array) -> Array:
    """Return (T, 3, 3) rotations about one axis."""
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.zeros((len(angle), 3, 3))
    a, b = (axis + 1) % 3, (axis + 2) % 3
    turn[:, axis, axis] = 1.0
    turn[:, a, a], turn[:, b, b] = cos, cos
    turn[:, a, b], turn[:, b, a] = -sin, sin
    return turn


def _limb(forwards: Array, outwards: Array, side: int) -> Array:
    """Return (T, 3) directions of a limb; it points down when both angles are 0."""
    f, o = np.radians(forwards), np.radians(outwards)
    return np.stack([np.sin(f) * np.cos(o), side * np.sin(o), -np.cos(f) * np.cos(o)], axis=1)


def _apply(turn: Array, vectors: Array) -> Array:
    """Rotate (T, 3) vectors, or one vector at all times."""
    vectors = np.broadcast_to(vectors, (len(turn), 3))
    return np.asarray(np.einsum("tij,tj->ti", turn, vectors))


def joints(build: Build, angles: Array) -> Array:
    """Compute the 17 joints of one body over time, with the origin between the feet.

    Parameters
    ----------
    build : Build
        Lengths.
    angles : (T, len(ANGLES))
        Columns in the order of `ANGLES`.

    Returns
    -------
    (T, 17, 3)
        Metres, x forward, y left, z up; the lowest point touches the floor or
        the surface that the body lies on.
    """
    a = dict(zip(ANGLES, angles.T, strict=True))
    root = _turn(1, a["tip"]) @ _turn(0, -a["roll"]) @ _turn(2, a["twist"])
    trunk = root @ _turn(1, a["lean"]) @ _turn(0, -a["side"])
    head = trunk @ _turn(2, a["look"]) @ _turn(1, a["nod"])
    body = np.zeros((len(angles), JOINTS, 3))
    chest = _apply(trunk, np.array([0.0, 0.0, build.trunk]))

    middle = chest + _apply(head, np.array([0.0, 0.0, build.head]))
    r = build.face
    face = [(1.1, 0.0, -0.1), (0.95, 0.4, 0.2), (0.95, -0.4, 0.2), (0.05, 1, 0), (0.05, -1, 0)]
    for joint, place in enumerate(face):
        body[:, joint] = middle + _apply(head, r * np.array(place))

    for k, (name, sign) in enumerate((("left", 1), ("right", -1))):
        shoulder = chest + _apply(trunk, np.array([0.0, sign * build.shoulders / 2, 0.0]))
        upper = _limb(a[f"{name}_arm"], a[f"{name}_out"], sign)
        fore = _limb(a[f"{name}_fore"], a[f"{name}_fore_out"], sign)
        elbow = shoulder + build.upper_arm * _apply(trunk, upper)
        body[:, 5 + k], body[:, 7 + k] = shoulder, elbow
        body[:, 9 + k] = elbow + build.forearm * _apply(trunk, fore)

        hip = _apply(root, np.array([0.0, sign * build.hips / 2, 0.0]))
        thigh = _limb(a[f"{name}_hip"], a["spread"], sign)
        shank = _limb(a[f"{name}_hip"] - a[f"{name}_knee"], 0.5 * a["spread"], sign)
        knee = hip + build.thigh * _apply(root, thigh)
        body[:, 11 + k], body[:, 13 + k] = hip, knee
        body[:, 15 + k] = knee + build.shank * _apply(root, shank)

    lowest = (body[:, :, 2] - _thickness(build)).min(axis=1)
    feet = body[:, 15:17].mean(axis=1)
    body[:, :, :2] -= feet[:, None, :2]
    body[:, :, 2] -= lowest[:, None]
    body *= build.stature
    body[:, :, 2] += a["lift"][:, None]
    return body


def _thickness(build: Build) -> Array:
    """Return (17,) distances between joints and the body's surface, relative to the stature."""
    face, arms, legs = [build.face] * 5, [0.05, 0.03, 0.02], [0.06, 0.035, build.ankle]
    return np.array(face + [r for r in arms + legs for _ in range(2)])


# ------------------------------------------------------------------------------- acts

Ease = Literal["smooth", "gravity", "linear"]
EASES: Final[dict[str, Callable[[float], float]]] = {
    "smooth": lambda u: u * u * (3 - 2 * u),
    "gravity": lambda u: u**2.2,
    "linear": lambda u: u,
}


@dataclass(frozen=True, slots=True)
class Act:
    """A movement or stance of a body for some seconds."""

    name: str
    seconds: float
    shape: Callable[[float], Stance]
    """Maps seconds since the act began to the target stance."""

    blend_s: float = 0.4
    """Duration of the transition from the previous stance."""

    ease: Ease = "smooth"
    speed: float = 0.0
    """Metres per second forwards."""

    turn_deg: float = 0.0
    """Leftwards, over the whole act."""

    posture: Posture | None = None
    """Posture during the act; None if it changes or is none of the three."""

    fall: bool = False
    """Part of a fall: on the way down or on the floor."""


def hold(name: str, stance: Stance, seconds: float, **more: object) -> Act:
    """Change into a stance and keep it."""
    return Act(name, seconds, lambda _: stance, **more)  # type: ignore[arg-type]


def move(name: str, stance: Stance, seconds: float, **more: object) -> Act:
    """Change into a stance during the whole act."""
    return Act(name, seconds, lambda _: stance, blend_s=seconds, **more)  # type: ignore[arg-type]


STANDING: Final = Stance()
SITTING: Final = Stance(
    left_hip=88, right_hip=86, left_knee=86, right_knee=84, lean=-4, spread=8,
    left_arm=18, right_arm=18, left_fore=70, right_fore=70,
)  # fmt: skip
SITTING_ON_FLOOR: Final = Stance(
    left_hip=92, right_hip=88, left_knee=20, right_knee=15, lean=-8, spread=12,
    left_arm=-25, right_arm=-25, left_fore=-15, right_fore=-15,
)  # fmt: skip
BENT: Final = Stance(
    lean=95, left_hip=2, right_hip=-6, left_knee=12, right_knee=14, nod=-10,
    left_arm=85, right_arm=85, left_fore=90, right_fore=90,
)  # fmt: skip
KNEELING: Final = Stance(
    lean=48, left_hip=95, left_knee=100, right_hip=15, right_knee=110, nod=15,
    left_arm=60, right_arm=60, left_fore=75, right_fore=75,
)  # fmt: skip
CROUCHING: Final = Stance(
    lean=45, left_hip=118, left_knee=140, right_hip=116, right_knee=138, spread=12,
    left_arm=55, right_arm=55, left_fore=70, right_fore=70,
)  # fmt: skip
SQUAT: Final = Stance(
    lean=35, left_hip=85, left_knee=105, right_hip=85, right_knee=105, spread=14,
    left_arm=90, right_arm=90, left_fore=95, right_fore=95,
)  # fmt: skip
ON_BACK: Final = Stance(tip=-90, left_hip=6, right_hip=3, left_knee=8, right_knee=4, left_out=15)
ON_FACE: Final = Stance(
    tip=90, left_knee=4, right_knee=10, nod=-15, look=35,
    left_out=120, right_out=60, left_fore_out=150, right_fore_out=110,
)  # fmt: skip
ON_LEFT: Final = Stance(
    roll=88, left_hip=30, left_knee=40, right_hip=45, right_knee=60,
    left_arm=80, right_arm=40, left_fore=120, right_fore=80,
)  # fmt: skip
ON_RIGHT: Final = Stance(
    roll=-88, left_hip=45, left_knee=60, right_hip=30, right_knee=40,
    left_arm=40, right_arm=80, left_fore=80, right_fore=120,
)  # fmt: skip
ALL_FOURS: Final = Stance(
    lean=84, left_hip=2, right_hip=2, left_knee=88, right_knee=88, nod=-40,
    left_arm=84, right_arm=84, left_fore=84, right_fore=84,
)  # fmt: skip
PLANK: Final = Stance(
    tip=74, nod=-15, left_arm=78, right_arm=78, left_fore=78, right_fore=78, spread=3
)
LOW_PLANK: Final = replace(
    PLANK, tip=86, left_out=60, right_out=60, left_arm=20, right_arm=20,
    left_fore=86, right_fore=86,
)  # fmt: skip
ON_ELBOWS: Final = replace(
    ALL_FOURS, lean=102, left_hip=14, right_hip=14, left_knee=102, right_knee=102, nod=-10,
    left_arm=85, right_arm=85, left_fore=160, right_fore=160,
)  # fmt: skip
T_POSE: Final = Stance(left_out=90, right_out=90, left_fore_out=90, right_fore_out=90)
BOTH_UP: Final = Stance(left_out=165, right_out=165, left_fore_out=172, right_fore_out=172)
LEFT_UP: Final = Stance(left_out=160, left_fore_out=172)
RIGHT_UP: Final = Stance(right_out=160, right_fore_out=172)
POINTING_LEFT: Final = Stance(left_out=90, left_fore_out=90)
POINTING_RIGHT: Final = Stance(right_out=90, right_fore_out=90)
DOWN: Final = {"forwards": ON_FACE, "backwards": ON_BACK, "left": ON_LEFT, "right": ON_RIGHT}


def stand(seconds: float = 3.0) -> Act:
    """Stand, breathing and swaying a little."""

    def shape(t: float) -> Stance:
        sway = float(np.sin(2.1 * t))
        return replace(STANDING, tip=0.6 * sway, look=8 * float(np.sin(0.7 * t)))

    return Act("stand", seconds, shape, posture="standing")


def walk(seconds: float = 3.0, speed: float = 1.1, turn_deg: float = 0.0) -> Act:
    """Walk forwards, also along a curve."""
    pace = 2 * np.pi * (0.45 + 0.4 * speed)

    def shape(t: float) -> Stance:
        s, c = float(np.sin(pace * t)), float(np.cos(pace * t))
        return Stance(
            lean=4, left_hip=24 * s + 4, right_hip=-24 * s + 4,
            left_knee=8 + 26 * max(0.0, c), right_knee=8 + 26 * max(0.0, -c),
            left_arm=-20 * s, right_arm=20 * s, left_fore=-20 * s + 18, right_fore=20 * s + 18,
        )  # fmt: skip

    return Act("walk", seconds, shape, speed=speed, turn_deg=turn_deg, posture="standing")


def turn(degrees: float = 180.0, seconds: float = 2.0) -> Act:
    """Turn on the spot."""
    return Act("turn", seconds, lambda _: STANDING, turn_deg=degrees, posture="standing")


def sit(seconds: float = 5.0) -> Act:
    """Sit on a chair, moving a little."""

    def shape(t: float) -> Stance:
        s = float(np.sin(0.9 * t))
        return replace(SITTING, lean=-4 + 5 * s, left_fore=70 + 15 * s, look=15 * s)

    return Act("sit", seconds, shape, posture="sitting")


def sit_down(seconds: float = 1.5) -> Act:
    """Sit down on a chair behind."""
    return move("sit_down", SITTING, seconds)


def get_up(seconds: float = 1.8, posture: Posture | None = None) -> Act:
    """Stand up from any stance."""
    return move("get_up", STANDING, seconds, posture=posture)


def bend_down(seconds: float = 1.2, stay: float = 1.5) -> list[Act]:
    """Bend, pick something up, stand again."""
    return [
        move("bend", BENT, seconds),
        hold("pick_up", BENT, stay),
        move("straighten", STANDING, seconds),
    ]


def tie_shoes(
    stay: float = 12.0, *, kneel: bool = True, seconds: float = 1.4, bow: float = 0.0
) -> list[Act]:
    """Kneel or crouch, move the hands at the shoes, stand up again.

    `bow`: additional degrees of lean, which bring the chest nearer to the thighs.
    """
    low = KNEELING if kneel else CROUCHING
    low = replace(low, lean=low.lean + bow)

    def shape(t: float) -> Stance:
        s = float(np.sin(4 * t))
        return replace(low, left_fore=70 + 14 * s, right_fore=74 - 14 * s, lean=low.lean + 3 * s)

    return [move("kneel", low, seconds), Act("tie", stay, shape), get_up(seconds)]


def squats(times: int = 5, period_s: float = 2.4) -> Act:
    """Do squats."""

    def shape(t: float) -> Stance:
        return between(STANDING, SQUAT, 0.5 - 0.5 * float(np.cos(2 * np.pi * t / period_s)))

    return Act("squats", times * period_s, shape)


def lie_down(seconds: float = 4.0, lift: float = 0.45, stay: float = 15.0) -> list[Act]:
    """Sit down first, then lie back slowly."""
    low = replace(ON_BACK, lift=lift)
    half = Stance(tip=-35, left_hip=85, right_hip=85, left_knee=60, right_knee=60, lift=lift * 0.7)
    return [
        sit_down(1.6),
        sit(1.5),
        move("swing_legs", half, seconds * 0.45),
        move("lie_back", low, seconds * 0.55),
        hold("lie", low, stay, posture="lying"),
    ]


def get_up_from_lying(seconds: float = 4.0) -> list[Act]:
    """Sit up, then stand."""
    return [
        move("sit_up", SITTING_ON_FLOOR, seconds * 0.4),
        move("crouch_up", CROUCHING, seconds * 0.3),
        get_up(seconds * 0.3),
    ]


def get_down(seconds: float = 3.5) -> list[Act]:
    """Lower oneself to the floor on purpose: knees first, then hands."""
    return [
        move("kneel", KNEELING, seconds * 0.5),
        move("hands_down", ALL_FOURS, seconds * 0.5),
    ]


def push_ups(times: int = 8, period_s: float = 1.8) -> Act:
    """Do push-ups from a plank."""

    def shape(t: float) -> Stance:
        return between(PLANK, LOW_PLANK, 0.5 - 0.5 * float(np.cos(2 * np.pi * t / period_s)))

    return Act("push_ups", times * period_s, shape, blend_s=1.0)


def burpees(times: int = 5, period_s: float = 3.0) -> list[Act]:
    """Drop into a crouch, throw the legs back, down to the floor, and jump up again."""
    once = [
        move("crouch", CROUCHING, 0.25 * period_s),
        move("kick_back", PLANK, 0.2 * period_s),
        move("dip", LOW_PLANK, 0.15 * period_s),
        move("jump_in", CROUCHING, 0.2 * period_s),
        move("jump_up", BOTH_UP, 0.2 * period_s),
    ]
    return times * once


def sit_ups(times: int = 6, period_s: float = 2.6) -> Act:
    """On the back with bent knees, trunk up and down."""
    low = Stance(
        tip=-90, left_hip=50, right_hip=50, left_knee=95, right_knee=95,
        left_arm=120, right_arm=120, left_fore=170, right_fore=170,
    )  # fmt: skip

    def shape(t: float) -> Stance:
        return between(
            low, replace(low, lean=75), 0.5 - 0.5 * float(np.cos(2 * np.pi * t / period_s))
        )

    return Act("sit_ups", times * period_s, shape, blend_s=1.5)


def plank(seconds: float = 15.0) -> Act:
    """Hold a plank."""
    return Act("plank", seconds, lambda t: replace(PLANK, tip=74 + float(np.sin(3 * t))), 1.0)


def crawl(seconds: float = 8.0, speed: float = 0.35, turn_deg: float = 0.0) -> Act:
    """Crawl on hands and knees."""

    def shape(t: float) -> Stance:
        s = 18 * float(np.sin(5 * t))
        return replace(
            ALL_FOURS, left_hip=2 + s, right_hip=2 - s, left_arm=84 - s, right_arm=84 + s,
            left_fore=84 - s, right_fore=84 + s,
        )  # fmt: skip

    return Act("crawl", seconds, shape, speed=speed, turn_deg=turn_deg)


def plunge(seconds: float = 0.7, stance: Stance = ALL_FOURS) -> Act:
    """Drop onto hands and knees under gravity, as children do."""
    return move("plunge", stance, seconds, ease="gravity")


def fall(direction: str = "forwards", seconds: float = 0.9, stay: float = 20.0) -> list[Act]:
    """Fall over with knees that bend on the way, and stay down."""
    down = DOWN[direction]
    buckle = 0.45
    middle = between(STANDING, replace(down, left_knee=45, right_knee=50), 0.35)
    return [
        move("topple", middle, seconds * buckle, ease="gravity", fall=True),
        move("crash", down, seconds * (1 - buckle), ease="linear", fall=True),
        hold("down", down, stay, posture="lying", fall=True),
    ]


def collapse(seconds: float = 1.3, stay: float = 20.0, direction: str = "left") -> list[Act]:
    """Fall by fainting: the knees bend first, then the trunk tips over."""
    down = DOWN[direction]
    low = replace(between(CROUCHING, down, 0.25), lean=25)
    return [
        move("sink", low, seconds * 0.55, ease="gravity", fall=True),
        move("crash", down, seconds * 0.45, ease="gravity", fall=True),
        hold("down", down, stay, posture="lying", fall=True),
    ]


def slide_off_chair(seconds: float = 1.2, stay: float = 20.0, direction: str = "left") -> list[Act]:
    """Fall sideways from a chair."""
    down = DOWN[direction]
    return [
        move("slump", between(SITTING, down, 0.3), seconds * 0.5, ease="gravity", fall=True),
        move("crash", down, seconds * 0.5, ease="linear", fall=True),
        hold("down", down, stay, posture="lying", fall=True),
    ]


def wave(seconds: float = 3.0, period_s: float = 0.7, arm: str = "right") -> Act:
    """Wave with one raised forearm."""

    def shape(t: float) -> Stance:
        s = float(np.sin(2 * np.pi * t / period_s))
        raised = {f"{arm}_out": 95.0, f"{arm}_fore_out": 170.0 - 32 * s, f"{arm}_fore": 0.0}
        return replace(STANDING, **raised)

    return Act("wave", seconds, shape, posture="standing")


def gesture(name: str, stance: Stance, seconds: float = 2.0) -> Act:
    """Hold the arms somewhere: `T_POSE`, `BOTH_UP`, `LEFT_UP`, `POINTING_RIGHT` and so on."""
    return hold(name, stance, seconds, posture="standing")


def between(a: Stance, b: Stance, part: float) -> Stance:
    """Interpolate between two stances."""
    values = {n: (1 - part) * getattr(a, n) + part * getattr(b, n) for n in ANGLES}
    return Stance(**values)


# ----------------------------------------------------------------------------- actors


@dataclass(frozen=True, slots=True)
class Label:
    """An act, posture or fall of one actor, with start and end."""

    actor: int
    name: str
    """The act's name; ``fall`` for a whole fall; ``standing``, ``sitting``, ``lying``."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Actor:
    """A body and its acts from second 0 on; it keeps its last stance afterwards."""

    build: Build
    at: tuple[float, float]
    """Initial position of the feet."""

    heading_deg: float
    """Initial heading; 180 is towards a camera that looks along x."""

    acts: tuple[Act, ...]

    @classmethod
    def doing(
        cls,
        *acts: Act | Sequence[Act],
        at: tuple[float, float] = (4.0, 0.0),
        heading_deg: float = 180.0,
        build: Build | None = None,
    ) -> Self:
        """Concatenate acts and groups of acts."""
        flat = [act for some in acts for act in ([some] if isinstance(some, Act) else some)]
        return cls(build or adult(), at, heading_deg, tuple(flat))

    @property
    def seconds(self) -> float:
        """Return the total duration of the acts."""
        return sum(act.seconds for act in self.acts)

    def joints(self, times: Array) -> Array:
        """Return (T, 17, 3) joints in world coordinates."""
        angles, places, headings = self._perform(times)
        body = joints(self.build, angles)
        world: Array = np.einsum("tij,tkj->tki", _turn(2, headings), body)
        world[:, :, :2] += places[:, None]
        return world

    def labels(self, actor: int = 0) -> list[Label]:
        """Return the acts, the postures (adjacent ones joined) and the falls."""
        found: list[Label] = []
        start = 0.0
        for act in self.acts:
            end = start + act.seconds
            found.append(Label(actor, act.name, start, end))
            if act.posture:
                settled = start + min(act.blend_s, act.seconds)
                found.append(Label(actor, act.posture, settled, end))
            if act.fall:
                found.append(Label(actor, "fall", start, end))
            start = end
        return _join(found)

    def _perform(self, times: Array) -> tuple[Array, Array, Array]:
        """Return angles (T, A), places (T, 2) and headings (T,) in degrees."""
        angles = np.zeros((len(times), len(ANGLES)))
        places, headings = np.zeros((len(times), 2)), np.zeros(len(times))
        start, before = 0.0, self.acts[0].shape(0.0)
        place, heading = np.array(self.at), self.heading_deg
        for number, act in enumerate(self.acts):
            last = number == len(self.acts) - 1
            inside = (times >= start) & ((times < start + act.seconds) | last)
            since = np.minimum(times[inside] - start, act.seconds)
            stances = [_angles(_performed(act, before, t)) for t in since.tolist()]
            angles[inside] = np.array(stances).reshape(-1, len(ANGLES))
            places[inside], headings[inside] = _path(act, place, heading, since)
            end = np.array([act.seconds])
            before = _performed(act, before, act.seconds)
            (place,), (heading,) = _path(act, place, heading, end)
            start += act.seconds
        return angles, places, headings


def _angles(stance: Stance) -> list[float]:
    return [getattr(stance, name) for name in ANGLES]


def _performed(act: Act, before: Stance, seconds: float) -> Stance:
    """Return the stance during the transition from the previous stance into the act's shape."""
    part = min(1.0, seconds / act.blend_s) if act.blend_s > 0 else 1.0
    return between(before, act.shape(seconds), EASES[act.ease](part))


def _path(act: Act, place: Array, heading: float, since: Array) -> tuple[Array, Array]:
    """Walk along a circular arc (a straight line without a turn)."""
    rate = np.radians(act.turn_deg) / act.seconds
    begin = np.radians(heading)
    turned = rate * since
    # The chord of the arc: length and direction, also in the limit of no turn.
    chord = act.speed * since * np.sinc(turned / (2 * np.pi))
    direction = begin + turned / 2
    steps = np.stack([chord * np.cos(direction), chord * np.sin(direction)], axis=1)
    return place + steps, heading + np.degrees(turned)


def _join(labels: list[Label]) -> list[Label]:
    """Join adjacent labels of the same name."""
    joined: list[Label] = []
    for label in labels:
        same = [k for k in joined if k.name == label.name and label.start_s - k.end_s < 0.5]
        if same:
            joined[joined.index(same[-1])] = replace(same[-1], end_s=label.end_s)
        else:
            joined.append(label)
    return joined


# ------------------------------------------------------------------------ the camera


WIDE: Final = Size(1280, 720)


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole camera above the origin, looking along x."""

    height: float = 1.6
    pitch_deg: float = 10.0
    """Downwards."""

    roll_deg: float = 0.0
    fov_deg: float = 70.0
    """Across the picture's width."""

    size: Size = WIDE

    @property
    def focal(self) -> float:
        """Return the focal length in pixels."""
        return self.size.width / 2 / float(np.tan(np.radians(self.fov_deg) / 2))

    def project(self, world: Array) -> tuple[Array, Array]:
        """Map (..., 3) metres to (..., 2) pixels and (...,) metres in front of the camera."""
        pitch, roll = np.radians([self.pitch_deg, self.roll_deg])
        ahead = np.array([np.cos(pitch), 0.0, -np.sin(pitch)])
        right = np.array([0.0, -1.0, 0.0])
        below = np.array([-np.sin(pitch), 0.0, -np.cos(pitch)])
        right, below = (
            np.cos(roll) * right + np.sin(roll) * below,
            np.cos(roll) * below - np.sin(roll) * right,
        )
        offset = world - np.array([0.0, 0.0, self.height])
        depth = np.maximum(offset @ ahead, 0.05)
        centre = np.array([self.size.width - 1, self.size.height - 1]) / 2
        slope = np.stack([offset @ right, offset @ below], axis=-1) / depth[..., None]
        return centre + self.focal * slope, offset @ ahead

    def aimed_at(self, distance: float, height: float = 0.9) -> Self:
        """Return the same camera, tilted so that a point ahead is in the centre of the picture."""
        pitch = float(np.degrees(np.arctan2(self.height - height, distance)))
        return replace(self, pitch_deg=pitch)


@dataclass(frozen=True, slots=True)
class Furniture:
    """An upright block that occludes what is behind it."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def hides(self, eye: Array, points: Array) -> Flags:
        """Return which (..., 3) points the block occludes from the eye (slab method)."""
        ray = points - eye
        ray = np.where(np.abs(ray) < 1e-9, 1e-9, ray)
        a, b = (np.array(self.low) - eye) / ray, (np.array(self.high) - eye) / ray
        near, far = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
        return np.asarray((near < far) & (far > 0) & (near < 0.97))


def _self_hidden(world: Array, eye: Array) -> Flags:
    """Return which (T, 17) joints the person's own trunk or head occludes, approximately."""
    hips, chest = world[:, 11:13].mean(axis=1), world[:, 5:7].mean(axis=1)
    head = world[:, 3:5].mean(axis=1)
    radius = 0.42 * np.linalg.norm(world[:, 5] - world[:, 6], axis=1)
    hidden = np.zeros(world.shape[:2], dtype=bool)
    limbs = slice(7, JOINTS)
    hidden[:, limbs] = _behind(world[:, limbs], eye, hips, chest, radius)
    # Shoulders, hips: a side seen from the other side.
    across = world[:, 5] - world[:, 6]
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    view = eye - chest
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    sideways = (across * view).sum(axis=1)
    hidden[:, [5, 11]] |= (sideways < -0.85)[:, None]
    hidden[:, [6, 12]] |= (sideways > 0.85)[:, None]
    facing = world[:, :5] - head[:, None]
    facing /= np.linalg.norm(facing, axis=2, keepdims=True)
    look = eye - head
    look /= np.linalg.norm(look, axis=1, keepdims=True)
    hidden[:, :5] = np.einsum("tkj,tj->tk", facing, look) < -0.25
    return hidden


def _behind(points: Array, eye: Array, a: Array, b: Array, radius: Array) -> Flags:
    """Return which (T, K, 3) points lie behind the capsule a-b, sampled along its axis."""
    hidden = np.zeros(points.shape[:2], dtype=bool)
    ray = points - eye
    length = np.linalg.norm(ray, axis=2)
    ray = ray / length[..., None]
    for part in np.linspace(0.1, 0.9, 5):
        centre = (a + part * (b - a) - eye)[:, None]
        along = (centre * ray).sum(axis=2)
        aside = np.linalg.norm(centre - along[..., None] * ray, axis=2)
        hidden |= (aside < radius[:, None]) & (length > along + radius[:, None])
    return hidden


# ------------------------------------------------------------------- what a model says


@dataclass(frozen=True, slots=True)
class Noise:
    """Error model of a pose network. The defaults are a small model at moderate size."""

    spread: float = 0.8
    """Standard deviation of a seen joint, in COCO's sigmas times the person's size."""

    memory_s: float = 0.25
    """Correlation time of the errors."""

    hidden: float = 3.0
    """Factor of the error of a hidden joint."""

    lying: float = 1.6
    """Factor of the errors of a lying body, which is rare in training data."""

    lost_s: float = 0.25
    """Mean length of a drop-out; longer while the body rests, if `measured`."""

    lost: float = 0.03
    """Share of time in which a fully visible person is not found."""

    lost_lying: float = 0.15
    """The same for a body that lies."""

    swap: float = 0.02
    """Share of time with left and right swapped; more in back and side views."""

    step: float = 1 / 244
    """Coordinates snap to this part of the person's box (8 bit outputs)."""

    sure: float = 0.0
    """Added to the logit of every score."""

    sure_lying: float = -0.35
    """The same for a body that lies, besides."""

    folded: float = 0.0
    """Share of time in which a lying body's legs are found on the trunk."""

    measured: bool = False
    """Whether scores and the pace of errors are those measured on films (`SCORE_LOGITS`)."""

    paired: float = 0.0
    """How far a hidden joint is drawn to the same joint of the other side: 1 is all the way."""

    merged: float = 0.0
    """The same for all joints of a body that lies."""

    invented: float = 0.0
    """How far hidden legs are drawn to legs straight down from the hips."""


EXACT: Final = Noise(0, 0, 0, 0, 0, 0, 0, 0, 0)

# Statistics of MoveNet MultiPose on 112 development clips with a fall (docs/events.md): joints
# in the order nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles.
PER_JOINT: Final = (1, 2, 2, 2, 2, 2, 2, 2, 2)
SCORE_LOGITS: Final = np.repeat([0.25, 0.2, 0.3, 0.8, 0.4, 0.1, 0.9, 0.45, 0.2], PER_JOINT)
"""Logits of the scores of visible joints of people who are up."""

FALLEN_LOGITS: Final = np.repeat(
    [-0.45, -0.3, -0.25, -0.6, -1.05, -0.9, -0.6, -0.6, -0.4], PER_JOINT
)
"""Added for a body that lies."""

HIDDEN_LOGIT: Final = -0.75
"""Added for hidden joints: models place them with scores of about 0.3."""

STRIDE: Final = 0.3
"""Movement in parts of the body's extent that renews the errors: a body at rest keeps them."""

AT_REST: Final = 0.005
"""Pace at which errors change while the body is at rest, as a part of the usual one."""

JITTER: Final = 0.0005
"""Standard deviation of a joint of a body at rest, in parts of its extent."""

FILMED: Final = Noise(
    spread=0.8,
    memory_s=0.3,
    hidden=2.0,
    lying=1.8,
    lost_lying=0.04,
    lost_s=0.6,
    measured=True,
    paired=0.5,
    merged=0.65,
    invented=0.3,
)
"""Errors as MoveNet MultiPose makes them on films."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame of a scene."""

    seconds: float
    at_ns: int
    people: dict[int, Pose]
    """Poses by actor number, without actors that are not found."""

    size: Size = WIDE
    """Of the frame."""

    def tracks(self) -> list[Track]:
        """Return the tracks of a perfect tracker: ids are actor numbers from 1."""
        return mark_cut([Track(n + 1, pose, 0) for n, pose in self.people.items()], self.size)


@dataclass(frozen=True, slots=True)
class Scene:
    """Actors, furniture and a camera."""

    actors: tuple[Actor, ...]
    camera: Camera = field(default_factory=Camera)
    furniture: tuple[Furniture, ...] = ()
    name: str = ""

    @property
    def seconds(self) -> float:
        """Return the time at which the last actor has finished."""
        return max(actor.seconds for actor in self.actors)

    @property
    def labels(self) -> list[Label]:
        """Return the true acts, postures and falls of all actors."""
        return [label for n, actor in enumerate(self.actors) for label in actor.labels(n)]

    def times(self, fps: float) -> Array:
        """Return the times of the frames, in seconds."""
        return np.arange(0, self.seconds, 1 / fps)

    def truth(self, fps: float = 10.0) -> Iterator[Moment]:
        """Yield exact poses; the score is 1 for visible joints, 0 for hidden ones."""
        return self._play(fps, EXACT, np.random.default_rng(0))

    def observe(
        self, fps: float = 10.0, seed: int = 0, noise: Noise | None = None
    ) -> Iterator[Moment]:
        """Yield the poses that a model would output."""
        return self._play(fps, noise or Noise(), np.random.default_rng(seed))

    def visible(self, world: Array, pixels: Array, depth: Array) -> Flags:
        """Return which (T, 17) joints the camera sees."""
        eye = np.array([0.0, 0.0, self.camera.height])
        hidden = _self_hidden(world, eye)
        for block in self.furniture:
            hidden |= block.hides(eye, world)
        size = np.array(self.camera.size)
        inside = (pixels >= 0).all(axis=-1) & (pixels <= size - 1).all(axis=-1) & (depth > 0.1)
        return np.asarray(inside & ~hidden)

    def _play(self, fps: float, noise: Noise, rng: np.random.Generator) -> Iterator[Moment]:
        times = self.times(fps)
        seen = [self._seen(actor, times, noise, rng) for actor in self.actors]
        for frame, seconds in enumerate(times.tolist()):
            people = {n: pose for n, poses in enumerate(seen) if (pose := poses[frame])}
            yield Moment(seconds, round(seconds * NS_PER_S), people, self.camera.size)

    def _seen(
        self, actor: Actor, times: Array, noise: Noise, rng: np.random.Generator
    ) -> list[Pose | None]:
        world = actor.joints(times)
        pixels, depth = self.camera.project(world)
        visible = self.visible(world, pixels, depth)
        if noise is EXACT:
            scores = visible.astype(float)
            found = visible.sum(axis=1) >= 1
        else:
            lying = (world[:, 5:7, 2].mean(axis=1) - world[:, 15:17, 2].mean(axis=1)) < (
                0.3 * actor.build.stature
            )
            pace = _paces(pixels, times, noise)
            found = _found(visible, lying, pace, noise, rng)
            scores = _scores(visible, lying, pace, noise, rng)
            pixels = _disturbed(pixels, visible, lying, pace, noise, rng)
            pixels, scores = _swapped(pixels, scores, pace, noise, rng)
            limit = np.array(self.camera.size) - 1
            pixels = np.clip(pixels, 0, limit)  # models output no joint outside the picture
        keypoints = np.concatenate([pixels, scores[..., None]], axis=2).astype(np.float32)
        return [
            Pose(k, float(k[:, 2].mean()), box_around(k)) if ok else None
            for k, ok in zip(keypoints, found.tolist(), strict=True)
        ]


def _drift(
    shape: tuple[int, ...], times: Array, memory_s: float, rng: np.random.Generator
) -> Array:
    """Return (T, ...) normal numbers, correlated over `memory_s` (first-order autoregressive)."""
    fresh = rng.standard_normal((len(times), *shape))
    keep = np.exp(-np.diff(times) / memory_s)
    for t in range(1, len(times)):
        fresh[t] = keep[t - 1] * fresh[t - 1] + np.sqrt(1 - keep[t - 1] ** 2) * fresh[t]
    return fresh


def _paces(pixels: Array, times: Array, noise: Noise) -> Array:
    """Return the times (T,) by which errors change: a network errs alike on like pictures."""
    if not noise.measured:
        return times
    extent = np.maximum(np.ptp(pixels, axis=1).max(axis=1), 1.0)
    moved = np.linalg.norm(np.diff(pixels, axis=0), axis=2).mean(axis=1) / extent[1:]
    steps = np.diff(times) * AT_REST + moved / STRIDE * noise.memory_s
    return np.asarray(np.concatenate([[0.0], np.cumsum(steps)]))


def _bursts(part: Array, times: Array, length_s: float, rng: np.random.Generator) -> Flags:
    """Return (T,) flags that are set for `part` of the time, in bursts of a mean length."""
    steps = np.diff(times, prepend=times[:1])
    steps[:1] = steps[1:2] if len(times) > 1 else 1.0
    leave = np.minimum(1.0, steps / length_s)
    dice = rng.random(len(times))
    on = np.zeros(len(times), dtype=bool)
    for t in range(len(times)):
        enter = leave[t] * part[t] / max(1e-9, 1 - part[t])
        on[t] = dice[t] >= leave[t] if t and on[t - 1] else dice[t] < enter
    return on


def _found(
    visible: Flags, lying: Flags, times: Array, noise: Noise, rng: np.random.Generator
) -> Flags:
    """Return in which frames the model finds the person at all."""
    lost = _bursts(np.where(lying, noise.lost_lying, noise.lost), times, noise.lost_s, rng)
    return np.asarray((visible.sum(axis=1) >= 5) & ~lost)


def _scores(
    visible: Flags, lying: Flags, times: Array, noise: Noise, rng: np.random.Generator
) -> Array:
    """Return (T, 17) scores: mostly 0.5 to 0.9 for visible joints, below 0.4 for hidden ones."""
    wander = _drift((JOINTS,), times, 2 * noise.memory_s, rng)
    if noise.measured:
        logit = SCORE_LOGITS + FALLEN_LOGITS * lying[:, None] + HIDDEN_LOGIT * ~visible
        logit = logit + noise.sure + 0.6 * wander
        return np.asarray(1 / (1 + np.exp(-logit)))
    logit = np.where(visible, 1.1, -1.3) + noise.sure + noise.sure_lying * lying[:, None]
    logit = logit + 0.7 * wander
    return np.asarray(1 / (1 + np.exp(-logit)))


def _disturbed(  # noqa: PLR0917
    pixels: Array,
    visible: Flags,
    lying: Flags,
    times: Array,
    noise: Noise,
    rng: np.random.Generator,
) -> Array:
    """Displace joints as models do, and round them to the model's grid."""
    extent = np.ptp(pixels, axis=1)
    size = np.sqrt(np.maximum(extent.prod(axis=1), (0.35 * extent.max(axis=1)) ** 2))
    worse = np.where(visible, 1.0, noise.hidden) * np.where(lying, noise.lying, 1.0)[:, None]
    spread = noise.spread * OKS_SIGMAS * size[:, None] * worse
    slow = _drift((JOINTS, 2), times, noise.memory_s, rng)
    moved = _guessed(pixels, visible, lying, noise) + slow * spread[..., None]
    if noise.measured:
        moved += rng.normal(0, JITTER, moved.shape) * extent.max(axis=1)[:, None, None]
    if noise.folded:
        folded = _bursts(np.where(lying, noise.folded, 0.0), times, 0.5, rng)
        hips = moved[:, 11:13].mean(axis=1, keepdims=True)
        legs = hips + 0.35 * (moved[:, 13:] - hips)
        moved[:, 13:] = np.where(folded[:, None, None], legs, moved[:, 13:])
    step = np.maximum(noise.step * 1.3 * extent.max(axis=1), 1e-6)[:, None, None]
    return np.asarray(np.round(moved / step) * step)


def _guessed(pixels: Array, visible: Flags, lying: Flags, noise: Noise) -> Array:
    """Draw joints to where a model expects them: to their partner, legs below the hips."""
    partner = pixels[:, list(MIRRORED)]
    drawn = np.maximum(noise.paired * ~visible, noise.merged * lying[:, None]) / 2
    drawn = np.where(~visible & visible[:, list(MIRRORED)], 2 * drawn, drawn)
    guessed = pixels + drawn[..., None] * (partner - pixels)
    legs = ~visible[:, 15:].any(axis=1) & ~lying
    if not noise.invented or not legs.any():
        return np.asarray(guessed)
    hips, chest = (pixels[:, k : k + 2].mean(axis=1) for k in (11, 5))
    trunk = np.linalg.norm(hips - chest, axis=1)[:, None, None]
    below = np.repeat([0.85, 1.6], 2)[:, None] * np.array([0.0, 1.0])
    straight = pixels[:, [11, 12, 11, 12]] + trunk * below
    part = (noise.invented * (legs[:, None] & ~visible[:, 13:]))[..., None]
    guessed[:, 13:] += part * (straight - guessed[:, 13:])
    return np.asarray(guessed)


def _swapped(
    pixels: Array,
    scores: Array,
    times: Array,
    noise: Noise,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Swap left and right for a while, more often in back and side views."""
    width = np.abs(pixels[:, 5, 0] - pixels[:, 6, 0])
    height = np.maximum(np.ptp(pixels[:, :, 1], axis=1), 1.0)
    odd = (width < 0.08 * height) | (pixels[:, 5, 0] < pixels[:, 6, 0])
    swap = _bursts(np.where(odd, 3 * noise.swap, noise.swap), times, noise.lost_s, rng)
    order = np.where(swap[:, None], np.array(MIRRORED), np.arange(JOINTS))
    rows = np.arange(len(pixels))[:, None]
    return pixels[rows, order], scores[rows, order]
