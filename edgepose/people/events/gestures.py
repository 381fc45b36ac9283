"""Gestures: rules over joints that raise one event each time they hold for long enough."""

from collections import deque
from collections.abc import Mapping, Sequence
from math import acos, degrees, hypot
from typing import Any, Final, Self

from edgepose.config.gesture_rules import Condition, Gesture, Measure, Side
from edgepose.config.schema import Config
from edgepose.people.events.debounce import Debounce
from edgepose.people.events.oscillation import count_swings
from edgepose.people.zones import Zone
from edgepose.skeleton import JOINT_NAMES
from edgepose.timing import NS_PER_S
from edgepose.types import Event, Track

RELEASE_S: Final = 0.3  # debounce of the release: a hand that trembles at the limit counts once
GAP_S: Final = 0.25  # tolerated interruption: models lose a wrist in single frames
WINDOW_S: Final = 2.0  # window for counting turns; a wave has four or more: 1 to 2 Hz
TORSO_S: Final = 1.0  # time constant of the torso length: faster changes are model errors
LOST_S: Final = 0.4  # a longer gap starts a new path of a joint
TURNED: Final = 0.25  # torso lengths: a person with narrower shoulders is seen from the side

# Shoulders are 0.259 and the torso is 0.288 of the stature (see `zones`).
TORSO_PER_SHOULDERS: Final = 0.288 / 0.259

JOINT: Final = {name: index for index, name in enumerate(JOINT_NAMES)}
NEIGHBOURS: Final = {
    "shoulder": ("elbow", "hip"),
    "elbow": ("shoulder", "wrist"),
    "hip": ("shoulder", "knee"),
    "knee": ("hip", "ankle"),
}
CARRIERS: Final = {"wrist": "elbow", "elbow": "shoulder", "knee": "hip", "ankle": "knee"}


class GestureDetector:
    """Emits `gesture` for each person and gesture.

    A gesture fires once when it has been held for its time, and again only after a release
    and its cool-down. A condition on joints below `min_score` does not hold.
    """

    def __init__(self, gestures: Sequence[Gesture], *, min_score: float = 0.3) -> None:
        self._rules = [rule for gesture in gestures for rule in _rules(gesture)]
        self._swinging = sorted(
            {
                joint
                for rule in self._rules
                for condition in (*rule.when, *rule.unless)
                if condition.measure == "swings"
                for joint in condition.joints
            }
        )
        self._min_score = min_score
        self._people: dict[int, _Gesturer] = {}

    @classmethod
    def from_config(cls, config: Config, zones: Sequence[Zone]) -> Self | None:
        """Create the detector from the configuration; None without gestures."""
        rules = config.rules()
        return cls(rules, min_score=config.pose.min_keypoint_score) if rules else None

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Event]:
        """Return the `gesture` events of one frame."""
        seen = {track.id: track for track in tracks}
        for id_ in seen:
            if id_ not in self._people:
                self._people[id_] = _Gesturer(self._rules, self._swinging)
        events = [
            event
            for id_, person in self._people.items()
            for event in self._watch_person(id_, person, seen.get(id_), at_ns)
        ]
        for id_ in [id_ for id_, person in self._people.items() if id_ not in seen]:
            if self._people[id_].at_rest(at_ns):
                del self._people[id_]
        return events

    @property
    def state(self) -> Mapping[str, Any]:
        """Empty: gestures are events only."""
        return {}

    def _watch_person(
        self, id_: int, person: "_Gesturer", track: Track | None, at_ns: int
    ) -> list[Event]:
        body = None if track is None else _Limbs(track, self._min_score)
        if body is not None:
            person.remember(body, at_ns)
        return [
            Event("gesture", at_ns, id_, body.score(rule), dict(rule.data))
            for rule in person.held(body, at_ns)
            if body is not None
        ]


class _Rule:
    """A gesture for one side, with the side filled into its conditions."""

    def __init__(self, gesture: Gesture, side: Side | None) -> None:
        self.gesture = gesture
        self.when = tuple(c.on(side) if side else c for c in gesture.when)
        self.unless = tuple(c.on(side) if side else c for c in gesture.unless)
        self.data = {"gesture": gesture.id} | ({"side": side} if side else {})
        self.joints = sorted({joint for c in self.when for joint in c.joints})
        self.upright = gesture.upright


def _rules(gesture: Gesture) -> list[_Rule]:
    if gesture.sided:
        return [_Rule(gesture, None)]
    return [_Rule(gesture, "left"), _Rule(gesture, "right")]


class _Limbs:
    """Measures of one person in one frame, in torso lengths."""

    def __init__(self, track: Track, min_score: float) -> None:
        self._points = track.pose.keypoints.tolist()
        self._min_score = min_score
        self._lies = track.posture == "lying"
        self.torso = self._torso()
        self.swings: dict[str, int] = {}

    def at(self, joint: str) -> tuple[float, float] | None:
        """Return a joint's position in pixels; None below the minimum score."""
        x, y, score = self._points[JOINT[joint]]
        return (x, y) if score >= self._min_score else None

    def score(self, rule: _Rule) -> float:
        """Return the lowest score of the rule's joints."""
        return float(min(self._points[JOINT[joint]][2] for joint in rule.joints))

    def holds(self, rule: _Rule) -> bool:
        """Whether the body meets all conditions of the rule."""
        if self._lies and rule.upright:
            return False
        return all(self._is_true(c) is True for c in rule.when) and not any(
            self._is_true(c) is True for c in rule.unless
        )

    def _is_true(self, condition: Condition) -> bool | None:
        value = self.measure(condition)
        if value is None:
            return None
        return value > condition.limit if condition.more else value < condition.limit

    def measure(self, condition: Condition) -> float | None:
        """Return the value that a condition compares; None if joints are hidden."""
        first = condition.joints[0]
        if condition.measure == "swings":
            return self.swings.get(first)
        if condition.measure == "angle":
            return self._joint_angle(first)
        return self._offset_of(condition.measure, first, condition.joints[1])

    def _offset_of(self, measure: Measure, first: str, second: str) -> float | None:
        """Return a measure of the offset from the second joint to the first."""
        a, b = self.at(first), self.at(second)
        if a is None or b is None or self.torso is None:
            return None
        x, y = (a[0] - b[0]) / self.torso, (a[1] - b[1]) / self.torso
        if measure == "rise":
            return -y
        if measure == "unevenness":
            return abs(y)
        if measure == "distance":
            return hypot(x, y)
        leftward = self._leftward_part(x, y)
        outward = measure == "outward" and first.startswith("right")
        return -leftward if outward and leftward is not None else leftward

    def _torso(self) -> float | None:
        """Return the torso length in pixels, estimated from the shoulders if hips are hidden."""
        left, right = self.at("left_shoulder"), self.at("right_shoulder")
        if left is None or right is None:
            return None
        lengths = [TORSO_PER_SHOULDERS * hypot(left[0] - right[0], left[1] - right[1])]
        hips = [hip for hip in (self.at("left_hip"), self.at("right_hip")) if hip]
        if hips:
            x = sum(x for x, _ in hips) / len(hips) - (left[0] + right[0]) / 2
            y = sum(y for _, y in hips) / len(hips) - (left[1] + right[1]) / 2
            lengths.append(hypot(x, y))
        return max(lengths) or None

    def _leftward_part(self, x: float, y: float) -> float | None:
        """Return the component of ``(x, y)`` torso lengths towards the person's own left."""
        left, right = self.at("left_shoulder"), self.at("right_shoulder")
        if left is None or right is None or self.torso is None:
            return None
        across = (left[0] - right[0], left[1] - right[1])
        width = hypot(*across)
        if width < TURNED * self.torso:
            return None
        return (x * across[0] + y * across[1]) / width

    def _joint_angle(self, joint: str) -> float | None:
        """Return the angle at a joint between its limbs in degrees: 180 is straight."""
        side, _, part = joint.partition("_")
        first, second = (f"{side}_{name}" for name in NEIGHBOURS[part])
        here, a, b = self.at(joint), self.at(first), self.at(second)
        if here is None or a is None or b is None:
            return None
        ax, ay, bx, by = a[0] - here[0], a[1] - here[1], b[0] - here[0], b[1] - here[1]
        lengths = hypot(ax, ay) * hypot(bx, by)
        if lengths == 0:
            return None
        return degrees(acos(max(-1.0, min(1.0, (ax * bx + ay * by) / lengths))))

    def sideways(self, joint: str) -> float | None:
        """Return a joint's horizontal offset from its parent, in torso lengths rightward."""
        here, torso = self.at(joint), self.torso
        if here is None or torso is None:
            return None
        if joint == "nose":
            left, right = self.at("left_shoulder"), self.at("right_shoulder")
            carrier = None if left is None or right is None else (left[0] + right[0]) / 2
        else:
            side, _, part = joint.partition("_")
            point = self.at(f"{side}_{CARRIERS[part]}")
            # A hanging arm swings while walking and moves sideways while rising: no wave.
            hangs = part == "wrist" and point is not None and here[1] > point[1]
            carrier = None if point is None or hangs else point[0]
        return None if carrier is None else (here[0] - carrier) / torso


class _Gesturer:
    """Gesture state of one person."""

    def __init__(self, rules: Sequence[_Rule], swinging: Sequence[str]) -> None:
        self._holding = [(rule, Debounce(rule.gesture.hold_s, RELEASE_S, GAP_S)) for rule in rules]
        self._paths: dict[str, deque[tuple[int, float]]] = {j: deque() for j in swinging}
        self._ready_ns: dict[str, int] = {}
        self._torso: float | None = None
        self._torso_ns = 0

    def remember(self, body: _Limbs, at_ns: int) -> None:
        """Smooth the torso length and count the swings of oscillating joints."""
        self._smooth_torso(body, at_ns)
        for joint, path in self._paths.items():
            sideways = body.sideways(joint)
            if sideways is None:
                continue
            if path and at_ns - path[-1][0] > LOST_S * NS_PER_S:
                path.clear()
            path.append((at_ns, sideways))
            while at_ns - path[0][0] > WINDOW_S * NS_PER_S:
                path.popleft()
            body.swings[joint] = count_swings(path)

    def _smooth_torso(self, body: _Limbs, at_ns: int) -> None:
        """Replace the body's torso length with the smoothed one."""
        if body.torso is None:
            return
        if self._torso is not None:
            since_s = (at_ns - self._torso_ns) / NS_PER_S
            body.torso = self._torso + (body.torso - self._torso) * min(1.0, since_s / TORSO_S)
        self._torso, self._torso_ns = body.torso, at_ns

    def held(self, body: _Limbs | None, at_ns: int) -> list[_Rule]:
        """Return the gestures whose hold time is complete with this frame."""
        done = [
            rule
            for rule, settling in self._holding
            if settling.update(body is not None and body.holds(rule), at_ns) and settling.value
        ]
        return [rule for rule in done if self._pass_cooldown(rule.gesture, at_ns)]

    def at_rest(self, at_ns: int) -> bool:
        """Whether no gesture or cool-down is pending, so that the state can be dropped."""
        ready_ns = max(self._ready_ns.values(), default=at_ns)
        return at_ns >= ready_ns and all(settling.quiet for _, settling in self._holding)

    def _pass_cooldown(self, gesture: Gesture, at_ns: int) -> bool:
        if at_ns < self._ready_ns.get(gesture.id, at_ns):
            return False
        self._ready_ns[gesture.id] = at_ns + int(gesture.cooldown_s * NS_PER_S)
        return True
