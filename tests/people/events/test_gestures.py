"""Gestures: rules over joints, from any direction, reported once."""

import re
from collections.abc import Sequence
from dataclasses import replace
from math import sin, tau
from pathlib import Path

import numpy as np
import pytest

from edgepose.config.gesture_rules import BUILT_IN, Gesture, parse_condition
from edgepose.config.loading import loads
from edgepose.errors import ConfigError
from edgepose.people.events.gestures import GestureDetector
from edgepose.people.smoothing import Smoother
from edgepose.people.tracking import Tracker
from edgepose.skeleton import JOINT_NAMES
from edgepose.timing import NS_PER_S
from edgepose.types import Event, Pose, Track
from tests.support import body
from tests.support.contracts.event import DetectorContract

FRONT, BACK = 180.0, 0.0
SHOWN = {
    "hand_raised": body.gesture("act", body.LEFT_UP, 3),
    "both_hands_up": body.gesture("act", body.BOTH_UP, 3),
    "t_pose": body.gesture("act", body.T_POSE, 3),
    "wave": body.wave(4),
    "pointing_left": body.gesture("act", body.POINTING_LEFT, 3),
    "pointing_right": body.gesture("act", body.POINTING_RIGHT, 3),
}
ACROSS = replace(body.STANDING, left_arm=90, left_out=0, left_fore=90, left_fore_out=0)
PHONE = replace(body.STANDING, right_arm=30, right_out=25, right_fore=165, right_fore_out=-10)


def scene(*acts: body.Act, heading: float = FRONT, **camera: float) -> body.Scene:
    """Return a person four metres from a camera who stands, acts and stands."""
    actor = body.Actor.doing(body.stand(2), *acts, body.stand(2), heading_deg=heading)
    return body.Scene((actor,), body.Camera(**camera).aimed_at(4))  # type: ignore[arg-type]


def watch(
    moments: Sequence[tuple[int, list[Track]]],
    gestures: Sequence[Gesture] = tuple(BUILT_IN.values()),
) -> list[Event]:
    detector = GestureDetector(gestures)
    return [event for at_ns, tracks in moments for event in detector.update(tracks, at_ns)]


def truth(scene: body.Scene, fps: float = 10) -> list[tuple[int, list[Track]]]:
    return [(moment.at_ns, moment.tracks()) for moment in scene.truth(fps)]


def names(events: list[Event]) -> list[str]:
    return [event.data["gesture"] for event in events]


def hide(moments: list[tuple[int, list[Track]]], joint: str) -> list[tuple[int, list[Track]]]:
    """Lower a joint's score below the minimum."""

    def without(track: Track) -> Track:
        keypoints = track.pose.keypoints.copy()
        keypoints[JOINT_NAMES.index(joint), 2] = 0.29
        return replace(track, pose=Pose(keypoints, track.pose.score, track.pose.box))

    return [(at_ns, [without(track) for track in tracks]) for at_ns, tracks in moments]


@pytest.mark.parametrize("heading", [FRONT, BACK, FRONT + 30, BACK - 30])
@pytest.mark.parametrize("name", SHOWN)
def test_each_gesture_is_seen_once_and_as_itself(name: str, heading: float) -> None:
    """Gestures are recognised from the front, behind and at an angle."""
    events = watch(truth(scene(SHOWN[name], heading=heading)))

    assert names(events) == [name]
    assert [event.type for event in events] == ["gesture"]


@pytest.mark.parametrize("fps", [5, 10, 30])
@pytest.mark.parametrize("name", SHOWN)
def test_the_rate_of_the_camera_does_not_matter(name: str, fps: float) -> None:
    """Durations are in seconds, independent of the frame rate."""
    events = watch(truth(scene(SHOWN[name]), fps))

    assert names(events) == [name]


@pytest.mark.parametrize("height", [0.8, 2.4])
@pytest.mark.parametrize("name", SHOWN)
def test_a_low_or_high_camera_sees_the_same(name: str, height: float) -> None:
    """The camera may be on a table or below the ceiling."""
    events = watch(truth(scene(SHOWN[name], height=height)))

    assert names(events) == [name]


@pytest.mark.parametrize(
    "act",
    [
        body.stand(5),
        body.walk(5),
        body.walk(5, turn_deg=90),
        body.sit(5),
        body.squats(4),
        body.crawl(6),
        body.hold("bent", body.BENT, 3),
        body.hold("to the front", ACROSS, 3),
        body.hold("on the phone", PHONE, 5),
        body.hold("lying", body.ON_BACK, 5),
        body.hold("fallen", body.ON_FACE, 5),
    ],
    ids=lambda act: act.name,
)
@pytest.mark.parametrize("heading", [FRONT, BACK, 90.0, 225.0])
def test_everyday_movements_are_no_gesture(act: body.Act, heading: float) -> None:
    """Walking, sitting, crawling and telephoning are no gestures."""
    assert watch(truth(scene(act, heading=heading))) == []


@pytest.mark.parametrize("name", SHOWN)
def test_a_person_who_lies_can_only_wave(name: str) -> None:
    """From a high camera an arm beside the head of a lying body points up; a wave is a call."""
    lying = [
        (at_ns, [replace(track, posture="lying") for track in tracks])
        for at_ns, tracks in truth(scene(SHOWN[name]))
    ]

    assert names(watch(lying)) == (["wave"] if name == "wave" else [])


def test_a_gesture_says_whose_hand_it_was() -> None:
    """The side in the data is the person's own, from the front and from behind."""
    sides = [
        [event.data["side"] for event in watch(truth(scene(act, heading=heading)))]
        for heading in (FRONT, BACK)
        for act in (
            body.gesture("act", body.LEFT_UP, 3),
            body.gesture("act", body.RIGHT_UP, 3),
            body.wave(4, arm="left"),
        )
    ]

    assert sides == [["left"], ["right"], ["left"]] * 2


def test_a_gesture_must_be_held() -> None:
    """A gesture is reported after it was held for its duration."""
    short = watch(truth(scene(body.gesture("act", body.T_POSE, 0.8))))
    long = watch(truth(scene(body.gesture("act", body.T_POSE, 3))))

    assert "t_pose" not in names(short)
    assert names(long) == ["t_pose"]
    assert 3.0 <= long[0].at_ns / NS_PER_S <= 3.5


def test_holding_on_says_nothing_more() -> None:
    """A hand raised for a minute is one event."""
    events = watch(truth(scene(body.gesture("act", body.LEFT_UP, 60)), 5))

    assert names(events) == ["hand_raised"]


def test_the_second_time_counts_after_the_cool_down() -> None:
    """A repetition within the cool-down is ignored; a later one is a new event."""
    up, rest = body.gesture("up", body.BOTH_UP, 2), body.stand(0.8)
    soon = truth(scene(up, rest, up))
    later = truth(scene(up, body.stand(4), up))
    slow = replace(BUILT_IN["both_hands_up"], cooldown_s=5.0)

    assert names(watch(soon, [slow])) == ["both_hands_up"]
    assert names(watch(later, [slow])) == ["both_hands_up"] * 2


@pytest.mark.parametrize("name", ["hand_raised", "wave", "pointing_left", "t_pose"])
def test_an_unsure_wrist_makes_no_gesture(name: str) -> None:
    """A joint below the minimum score makes no gesture."""
    act = body.wave(4, arm="left") if name == "wave" else SHOWN[name]

    events = watch(hide(truth(scene(act)), "left_wrist"))

    assert events == []


def test_a_wrist_lost_in_single_frames_does_not_start_the_time_anew() -> None:
    """A joint missing in one of four frames does not reset the duration."""
    whole = truth(scene(SHOWN["both_hands_up"]))
    holes = [hide([m], "right_wrist")[0] if n % 4 == 0 else m for n, m in enumerate(whole)]

    assert names(watch(holes)) == ["both_hands_up"]


def test_the_other_hand_hidden_does_not_stop_a_raised_one() -> None:
    """A hidden joint does not violate an `unless` condition."""
    events = watch(hide(truth(scene(SHOWN["hand_raised"])), "right_wrist"))

    assert names(events) == ["hand_raised"]


def test_people_make_gestures_independently() -> None:
    """Each person has separate events and cool-downs."""
    waving = body.Actor.doing(body.stand(2), body.wave(4), body.stand(2), at=(4, 1))
    raising = body.Actor.doing(body.stand(2), SHOWN["both_hands_up"], body.stand(3), at=(4, -1))
    both = body.Scene((waving, raising), body.Camera().aimed_at(4))

    events = watch(truth(both))

    assert {(event.person, event.data["gesture"]) for event in events} == {
        (1, "wave"),
        (2, "both_hands_up"),
    }
    assert len(events) == 2


def test_a_small_person_far_away_waves_like_a_large_one() -> None:
    """Lengths are relative to the torso: scale and position do not matter."""
    moments = truth(scene(SHOWN["wave"]))

    def smaller(track: Track) -> Track:
        keypoints = track.pose.keypoints * np.array([0.2, 0.2, 1]) + np.array([900, 40, 0])
        return replace(
            track, pose=Pose(keypoints.astype(np.float32), track.pose.score, track.pose.box)
        )

    events = watch([(at_ns, [smaller(t) for t in tracks]) for at_ns, tracks in moments])

    assert names(events) == ["wave"]


def test_a_hand_that_is_only_held_up_is_no_wave() -> None:
    """Keypoint jitter is not a wave."""
    rng = np.random.default_rng(1)
    moments = truth(scene(SHOWN["hand_raised"]))
    for _, tracks in moments:
        for track in tracks:
            track.pose.keypoints[:, :2] += rng.normal(0, 2, (17, 2))

    assert names(watch(moments)) == ["hand_raised"]


def daemon(scene: body.Scene, seed: int) -> list[str]:
    """Return the gestures found in noisy poses after tracking and smoothing."""
    tracker, smoother = Tracker(), Smoother()
    moments = [
        (m.at_ns, smoother.smooth(tracker.update(list(m.people.values()), m.at_ns), m.at_ns))
        for m in scene.observe(10, seed)
    ]
    return names(watch(moments))


@pytest.mark.slow
def test_with_the_noise_of_real_models_most_gestures_are_seen() -> None:
    """With noise at least 85 % of the gestures are found, and few others."""
    found = [
        (name, daemon(scene(act, heading=heading), seed))
        for name, act in SHOWN.items()
        for heading in (FRONT, FRONT + 25, BACK)
        for seed in range(6)
    ]

    seen = sum(name in events for name, events in found)
    others = sum(name != other for name, events in found for other in events)
    assert seen >= 0.85 * len(found), f"{seen} of {len(found)}"
    assert others <= 0.1 * len(found), f"{others} of {len(found)}"


@pytest.mark.slow
def test_with_the_noise_of_real_models_daily_life_is_no_gesture() -> None:
    """15 minutes of noisy daily activities give at most one gesture."""
    acts = [body.stand(50), body.walk(4), body.sit(50), body.squats(15), body.plank(20)]
    acts.append(body.hold("on the phone", PHONE, 50))

    found = [
        (act.name, name)
        for act in acts
        for heading in (FRONT, BACK, 90.0, 225.0)
        for name in daemon(scene(act, heading=heading), seed=9)
    ]

    assert len(found) <= 1, found


def test_a_gesture_of_ones_own_needs_only_sentences() -> None:
    """A rule from the configuration is recognised like a built-in one."""
    crossed = Gesture.parse(
        "stop",
        ["wrist right_of other_shoulder by -2", "wrist level_with shoulder", "angle elbow > 150"],
        unless=["other_wrist above other_shoulder"],
        hold_s=0.5,
    )

    events = watch(truth(scene(SHOWN["pointing_left"])), [crossed])

    assert names(events) == ["stop"]
    assert events[0].data["side"] == "left"


def test_the_score_is_that_of_the_least_sure_joint() -> None:
    """The score is the lowest score of the joints involved."""
    moments = truth(scene(SHOWN["both_hands_up"]))
    for _, tracks in moments:
        for track in tracks:
            track.pose.keypoints[JOINT_NAMES.index("right_elbow"), 2] = 0.4

    (event,) = watch(moments)

    assert event.score == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("sentence", "found", "expected"),
    [
        ("left_wrst above nose", "left_wrst", "left_wrist"),
        ("left_wrist over nose", "over", "above"),
        ("left_wrist abov nose", "abov", "above"),
        ("angle left_wrist > 20", "left_wrist", "elbow"),
        ("angle left_elbow = 20", "=", "<"),
        ("angle left_elbow > wide", "wide", "number"),
        ("angle left_elbow > nan", "nan", "number"),
        ("left_wrist above nose within 2", "within", "by"),
        ("left_wrist level_with nose by 2", "by", "within"),
        ("swings left_hip > 2", "left_hip", "wrist"),
        ("nose outside left_wrist", "nose", "pair"),
        ("left_wrist", "1 word", "above"),
        ("", "0 words", "above"),
    ],
)
def test_a_wrong_sentence_is_refused_with_what_was_expected(
    sentence: str, found: str, expected: str
) -> None:
    """The error quotes the condition, the wrong word and the alternatives."""
    with pytest.raises(ConfigError) as error:
        parse_condition(sentence)

    assert repr(sentence) in str(error.value)
    assert found in str(error.value)
    assert expected in str(error.value)


@pytest.mark.parametrize(
    "wrong", [{"when": []}, {"hold_s": -1}, {"cooldown_s": float("nan")}, {"unless": ["x"]}]
)
def test_a_wrong_rule_is_refused(wrong: dict[str, object]) -> None:
    """An invalid rule raises ConfigError."""
    right = {"id": "mine", "when": ["left_wrist above nose"]}

    with pytest.raises(ConfigError):
        Gesture.parse(**(right | wrong))  # type: ignore[arg-type]


def test_the_example_of_the_documentation_is_a_gesture() -> None:
    """The example in docs/events.md is a valid configuration."""
    text = (Path(__file__).parents[3] / "docs" / "events.md").read_text()
    (example,) = re.findall(r"```toml\n(\[\[gesture\]\].*?)```", text, re.DOTALL)

    own = loads(example, "docs/events.md").rules()[-1]

    assert names(watch(truth(scene(SHOWN["pointing_right"])), [own])) == [own.id]


def test_the_documentation_names_every_gesture() -> None:
    """docs/events.md lists every gesture with its duration."""
    text = (Path(__file__).parents[3] / "docs" / "events.md").read_text()
    rows = {
        name: row
        for row in re.findall(r"^\| `.*` \|.* s \|.*\|$", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }

    assert set(BUILT_IN) <= set(rows)
    assert all(f"| {gesture.hold_s:g} s |" in rows[id_] for id_, gesture in BUILT_IN.items())


def shifted(track: Track, joint: str, pixels: float) -> Track:
    keypoints = track.pose.keypoints.copy()
    keypoints[JOINT_NAMES.index(joint), 0] += pixels
    return replace(track, pose=Pose(keypoints, track.pose.score, track.pose.box))


@pytest.mark.parametrize("joint", ["nose", "left_elbow", "right_knee", "left_ankle"])
@pytest.mark.parametrize(("rate_hz", "expected"), [(1.5, ["mine"]), (0.2, [])])
def test_swings_of_other_joints_count_too(joint: str, rate_hz: float, expected: list[str]) -> None:
    """`swings` works for other joints; slow drift is no swing."""
    rule = Gesture.parse("mine", [f"swings {joint} > 3"])
    moments = [
        (at_ns, [shifted(track, joint, 20 * sin(tau * rate_hz * at_ns / NS_PER_S))])
        for at_ns, (track,) in truth(scene(body.stand(2)))
    ]

    assert names(watch(moments, [rule])) == expected


class TestGestureDetector(DetectorContract):
    def detector(self) -> GestureDetector:
        return GestureDetector(tuple(BUILT_IN.values()))
