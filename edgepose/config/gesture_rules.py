"""Gestures as rules: conditions on joints, written as short sentences.

A condition compares two joints or measures one:

    left_wrist above left_shoulder by 0.4
    left_wrist level_with left_shoulder within 0.3
    angle left_elbow > 150
    distance left_wrist right_wrist < 0.3
    swings left_wrist > 2

Lengths are in torso lengths (shoulders to hips, half a metre in an adult), angles in degrees.
`above` and `below` refer to the picture; `left_of`, `right_of` and `outside` to the person's own
left and right, also when seen from behind. A joint without a side (`wrist`, and `other_wrist`
for the opposite one) is evaluated for the left and for the right.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from edgepose.errors import ConfigError
from edgepose.suggestions import did_you_mean

Measure = Literal["rise", "unevenness", "leftward", "outward", "angle", "distance", "swings"]
Side = Literal["left", "right"]

SIDES: Final[tuple[Side, Side]] = ("left", "right")
PAIRED: Final = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
JOINT_WORDS: Final = (
    "nose",
    *(f"{side}_{joint}" for joint in PAIRED for side in SIDES),
    *PAIRED,
    *(f"other_{joint}" for joint in PAIRED),
)
BENDING: Final = ("shoulder", "elbow", "hip", "knee")
"""Joints with an angle, measured between the two limbs that meet there."""

SWINGING: Final = ("nose", "elbow", "wrist", "knee", "ankle")
"""Joints whose sideways swings relative to their parent joint are counted."""

RELATIONS: Final = ("above", "below", "left_of", "right_of", "outside", "level_with")
MEASURES: Final = ("angle", "distance", "swings")
LEVEL: Final = 0.3  # torso lengths; a stretched arm 15 degrees off horizontal

FORMS: Final = (
    '"JOINT above|below|left_of|right_of|outside JOINT [by LENGTH]", '
    '"JOINT level_with JOINT [within LENGTH]", "angle JOINT <|> DEGREES", '
    '"distance JOINT JOINT <|> LENGTH" or "swings JOINT <|> TIMES"'
)


@dataclass(frozen=True, slots=True)
class Condition:
    """A body measure that must be above or below a limit."""

    text: str
    """The condition as written in the configuration."""

    measure: Measure
    joints: tuple[str, ...]
    """Names from `JOINT_WORDS`."""

    more: bool
    """True: holds above the limit; False: below it."""

    limit: float
    """Torso lengths, degrees for angles, a count for swings."""

    @property
    def sided(self) -> bool:
        """True when every joint names its side."""
        return all(joint == "nose" or joint.startswith(SIDES) for joint in self.joints)

    def on(self, side: Side) -> "Condition":
        """Return the condition with this side for the joints without one."""
        other = SIDES[1 - SIDES.index(side)]
        joints = tuple(_with_side(joint, side, other) for joint in self.joints)
        return Condition(self.text, self.measure, joints, self.more, self.limit)


def _with_side(joint: str, side: Side, other: Side) -> str:
    if joint in PAIRED:
        return f"{side}_{joint}"
    if joint.startswith("other_"):
        return joint.replace("other", other, 1)
    return joint


@dataclass(frozen=True, slots=True)
class Gesture:
    """A gesture rule: conditions, holding time and cooldown."""

    id: str
    when: tuple[Condition, ...]
    """Conditions that must all hold; one with an uncertain joint does not hold."""

    unless: tuple[Condition, ...] = ()
    """Conditions of which none may hold; one with an uncertain joint does not hold."""

    hold_s: float = 0.7
    """Seconds that the gesture must be held."""

    cooldown_s: float = 2.0
    """Seconds after a gesture in which the same gesture of the same person is ignored."""

    @property
    def upright(self) -> bool:
        """True when a lying person does not make the gesture."""
        return set(LYING) <= {condition.text for condition in self.unless}

    @property
    def sided(self) -> bool:
        """True when every joint names its side; otherwise the rule is evaluated for both sides."""
        return all(condition.sided for condition in (*self.when, *self.unless))

    @classmethod
    def parse(
        cls,
        id: str,  # noqa: A002 - the name users write
        when: Sequence[str],
        unless: Sequence[str] = (),
        hold_s: float = 0.7,
        cooldown_s: float = 2.0,
    ) -> "Gesture":
        """Parse a rule from the sentences of its conditions.

        Raises
        ------
        ConfigError
            Names the sentence, the unexpected word and the expected words.
        """
        if not when:
            msg = f"gesture {id!r}: when is empty; expected at least one condition like {FORMS}"
            raise ConfigError(msg)
        for name, seconds in (("hold_s", hold_s), ("cooldown_s", cooldown_s)):
            if not 0 <= seconds <= 3600:
                msg = f"gesture {id!r}: {name} = {seconds}; expected seconds from 0 to 3600"
                raise ConfigError(msg)
        return cls(
            id,
            tuple(parse_condition(text) for text in when),
            tuple(parse_condition(text) for text in unless),
            hold_s,
            cooldown_s,
        )


def parse_condition(text: str) -> Condition:
    """Parse one condition.

    Raises
    ------
    ConfigError
        Names the unexpected word and the expected words.

    Examples
    --------
    >>> parse_condition("angle left_elbow > 150").limit
    150.0
    """
    words = text.split()
    if words and words[0] in MEASURES:
        return _parse_measure(text, words)
    if len(words) in {3, 5} and words[1] in RELATIONS:
        return _parse_relation(text, words)
    if len(words) >= 2:
        first = words[0]
        if first not in JOINT_WORDS:
            raise _unknown_word_error(
                text, first, (*MEASURES, *JOINT_WORDS), "a joint or a measure"
            )
        if words[1] not in RELATIONS:
            raise _unknown_word_error(text, words[1], RELATIONS, "a relation")
    msg = f"condition {text!r}: found {len(words)} words; expected {FORMS}"
    raise ConfigError(msg)


def _parse_relation(text: str, words: list[str]) -> Condition:
    """Parse ``JOINT relation JOINT [by|within LENGTH]``."""
    first, relation, second = words[:3]
    level = relation == "level_with"
    for joint in (first, second):
        _check_joint(text, joint, JOINT_WORDS)
    preposition = "within" if level else "by"
    if len(words) == 5 and words[3] != preposition:
        raise _unknown_word_error(text, words[3], (preposition,), "a word")
    length = _parse_number(text, words[4]) if len(words) == 5 else LEVEL if level else 0.0
    there, back = (first, second), (second, first)
    match relation:
        case "above":
            return Condition(text, "rise", there, True, length)
        case "below":
            return Condition(text, "rise", back, True, length)
        case "left_of":
            return Condition(text, "leftward", there, True, length)
        case "right_of":
            return Condition(text, "leftward", back, True, length)
        case "outside":
            if first == "nose":
                msg = f"condition {text!r}: the nose has no side; expected one of a pair first"
                raise ConfigError(msg)
            return Condition(text, "outward", there, True, length)
    return Condition(text, "unevenness", there, False, length)


def _parse_measure(text: str, words: list[str]) -> Condition:
    """Parse ``angle JOINT > N``, ``distance JOINT JOINT > N`` or ``swings JOINT > N``."""
    measure = words[0]
    count = 2 if measure == "distance" else 1
    if len(words) != count + 3:
        msg = f"condition {text!r}: found {len(words)} words after {measure!r}; expected {FORMS}"
        raise ConfigError(msg)
    joints, (comparison, number) = tuple(words[1:-2]), words[-2:]
    if comparison not in {"<", ">"}:
        raise _unknown_word_error(text, comparison, ("<", ">"), "a comparison")
    for joint in joints:
        _check_joint(text, joint, JOINT_WORDS)
    more, limit = comparison == ">", _parse_number(text, number)
    if measure == "angle":
        _check_part(text, joints[0], BENDING, "has no angle")
        return Condition(text, "angle", joints, more, limit)
    if measure == "swings":
        _check_part(text, joints[0], SWINGING, "has no swings")
        return Condition(text, "swings", joints, more, limit)
    return Condition(text, "distance", joints, more, limit)


def _check_joint(text: str, joint: str, known: Sequence[str]) -> None:
    if joint not in known:
        raise _unknown_word_error(text, joint, known, "a joint")


def _check_part(text: str, joint: str, parts: Sequence[str], lack: str) -> None:
    if not joint.endswith(tuple(parts)):
        msg = f"condition {text!r}: {joint} {lack}; expected {', '.join(parts)}"
        raise ConfigError(msg)


def _parse_number(text: str, word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = float("nan")
    if not abs(number) < 1000:  # also refuses NaN
        msg = f"condition {text!r}: found {word!r}; expected a number between -1000 and 1000"
        raise ConfigError(msg)
    return number


def _unknown_word_error(text: str, word: str, known: Sequence[str], what: str) -> ConfigError:
    hint = did_you_mean(word, known) or f" expected {what}: {', '.join(known)}"
    return ConfigError(f"condition {text!r}: unknown word {word!r};{hint}")


LYING: Final = (
    "left_shoulder below left_hip by -0.4",
    "right_shoulder below right_hip by -0.4",
    "nose below left_shoulder by -0.15",
)
"""Conditions that exclude raised hands: at least one holds unless the body is upright, with the
shoulders clearly above the hips and below the face."""

BUILT_IN: Final = {
    gesture.id: gesture
    for gesture in (
        Gesture.parse(
            "hand_raised",
            # The elbow is bent more sharply when a hand is at the ear or in the hair.
            ["wrist above shoulder by 0.4", "wrist above elbow by 0.2", "angle elbow > 80"],
            unless=["other_wrist above other_shoulder by 0.2", "swings wrist > 1", *LYING],
            hold_s=1.2,
        ),
        Gesture.parse(
            "both_hands_up",
            [
                "left_wrist above left_shoulder by 0.4",
                "right_wrist above right_shoulder by 0.4",
                "angle left_elbow > 80",
                "angle right_elbow > 80",
            ],
            unless=LYING,
        ),
        Gesture.parse(
            "wave",
            ["wrist above elbow by 0.25", "swings wrist > 3"],
            hold_s=0.4,  # starts when the swings have been counted
            cooldown_s=3.0,
        ),
        Gesture.parse(
            "t_pose",
            [
                "left_wrist level_with left_shoulder within 0.45",
                "right_wrist level_with right_shoulder within 0.45",
                "left_wrist outside left_shoulder by 0.5",
                "right_wrist outside right_shoulder by 0.5",
                "angle left_elbow > 110",
                "angle right_elbow > 110",
            ],
            unless=LYING,
            hold_s=1.0,
        ),
        *(
            Gesture.parse(
                f"pointing_{side}",
                [
                    f"{side}_wrist level_with {side}_shoulder within 0.45",
                    f"{side}_wrist outside {side}_shoulder by 0.5",
                    f"angle {side}_elbow > 110",
                    f"{other}_wrist {side}_of {other}_shoulder by -0.5",  # otherwise a T pose
                    # A stretched arm that appears short may point at the camera.
                    "distance left_shoulder right_shoulder > 0.6",
                ],
                # A forearm that points up is a greeting.
                unless=[f"{side}_wrist above {side}_elbow by 0.35", *LYING],
            )
            for side, other in (("left", "right"), ("right", "left"))
        ),
    )
}
"""Built-in gestures by name."""
