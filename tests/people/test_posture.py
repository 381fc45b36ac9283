"""Postures: from single poses, debounced over time, measured on generated bodies."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgepose
from edgepose.cli import main
from edgepose.geometry import box_around
from edgepose.people.events.falls import FallDetector
from edgepose.people.events.postures import PostureDetector
from edgepose.people.posture import (
    LIKELY,
    POSTURES,
    PostureReader,
    UprightMemory,
    _posture_network,
    probabilities,
    read,
    upright_looks,
)
from edgepose.skeleton import MIRRORED
from edgepose.timing import NS_PER_MS, NS_PER_S
from edgepose.types import Floats, Pose, Posture, Track
from tests.support.body import (
    ALL_FOURS,
    BENT,
    CROUCHING,
    ON_BACK,
    ON_FACE,
    ON_LEFT,
    SITTING,
    STANDING,
    Actor,
    Camera,
    Scene,
    Stance,
    hold,
)
from tests.support.contracts.event import DetectorContract
from tests.support.scenes import cases

TRUTH: dict[str, tuple[Stance, Posture]] = {
    "standing": (STANDING, "standing"),
    "sitting": (SITTING, "sitting"),
    "on the back": (ON_BACK, "lying"),
    "on the face": (ON_FACE, "lying"),
    "on the side": (ON_LEFT, "lying"),
}
ARMS = ("left_arm", "right_arm", "left_fore", "right_fore")


def seen(stance: Stance, heading_deg: float, camera: Camera | None = None) -> Pose:
    """Return the exact pose of a body four metres away."""
    actor = Actor.doing(hold("still", stance, 1.0), heading_deg=heading_deg)
    scene = Scene((actor,), camera or Camera(1.6).aimed_at(4.0))
    return next(iter(scene.truth())).people[0]


def torso(pose: Pose) -> float:
    """Return the distance between shoulders and hips, in pixels."""
    middle = pose.keypoints[[5, 6], :2].mean(axis=0) - pose.keypoints[[11, 12], :2].mean(axis=0)
    return float(np.hypot(*middle))


def changed(pose: Pose, keypoints: Floats) -> Pose:
    return replace(pose, keypoints=keypoints, box=box_around(keypoints))


@pytest.mark.parametrize(("stance", "truth"), TRUTH.values(), ids=TRUTH.keys())
def test_a_clear_view_is_read_rightly(stance: Stance, truth: Posture) -> None:
    """From the side the answer is right; from all around it is never wrong.

    From above, a body on the back with its feet towards the camera looks like one on a seat: there
    the person was seen standing before.
    """
    around = {
        read(seen(stance, heading, Camera(height).aimed_at(4.0)))
        for heading in range(0, 360, 15)
        for height in (0.8, 1.6)
    }
    above = {read_after_standing(stance, heading) for heading in range(0, 360, 15)}

    assert read(seen(stance, 90.0 if stance is not ON_LEFT else 0.0)) == truth
    assert around | above <= {truth, "unknown"}


def read_after_standing(stance: Stance, heading_deg: float) -> str:
    """Return the posture from a camera at 2.4 m if the person stood at that place before."""
    camera = Camera(2.4).aimed_at(4.0)
    before = upright_looks(seen(STANDING, heading_deg, camera).keypoints[np.newaxis], 0.2)
    keypoints = seen(stance, heading_deg, camera).keypoints[np.newaxis]
    (shares,) = probabilities(keypoints, before=before)
    return POSTURES[int(shares.argmax())] if shares.max() > LIKELY else "unknown"


@pytest.mark.parametrize(
    "stance", [BENT, CROUCHING, ALL_FOURS], ids=["bent", "crouched", "crawling"]
)
def test_what_is_none_of_the_three_is_never_lying(stance: Stance) -> None:
    """Crouching, bending or crawling is never lying."""
    for heading in range(0, 360, 15):
        assert read(seen(stance, heading)) != "lying"


def reaching(stance: Stance, degrees: float) -> Stance:
    """Return the stance with both straight arms at this angle from the trunk."""
    return replace(stance, **dict.fromkeys(ARMS, degrees))


@pytest.mark.parametrize("arm_deg", [-20, 45, 90, 170])
def test_what_the_arms_do_makes_nobody_lie(arm_deg: float) -> None:
    """The position of the arms never makes a person lying, from any direction."""
    for stance in (STANDING, SITTING, BENT, CROUCHING):
        for heading in range(0, 360, 15):
            assert read(seen(reaching(stance, arm_deg), heading)) != "lying"


def test_hidden_hips_do_not_hide_who_lies() -> None:
    """A body with hidden hips or feet is still recognised as lying."""
    pose = seen(ON_BACK, 90.0)
    for hidden in ([11, 12], [15, 16]):
        keypoints = pose.keypoints.copy()
        keypoints[hidden, 2] = 0.1

        assert read(changed(pose, keypoints)) == "lying"


@pytest.mark.parametrize("hidden", [range(5, 7), range(11, 13), range(13, 17)])
def test_half_a_body_is_unknown(hidden: range) -> None:
    """Without shoulders, hips or legs the posture is unknown."""
    pose = seen(STANDING, 180.0)
    keypoints = pose.keypoints.copy()
    keypoints[list(hidden), 2] = 0.1

    assert read(pose) == "standing"
    assert read(changed(pose, keypoints)) == "unknown"


@pytest.mark.parametrize(("stance", "_"), TRUTH.values(), ids=TRUTH.keys())
def test_mirror_scale_and_place_change_nothing(stance: Stance, _: Posture) -> None:
    """Mirroring, scaling or moving the pose does not change the posture."""
    for heading in range(0, 360, 30):
        pose = seen(stance, heading)
        mirrored = pose.keypoints[list(MIRRORED)].copy()
        mirrored[:, 0] = 1280 - mirrored[:, 0]
        larger = pose.keypoints * np.array([3, 3, 1], dtype=np.float32)
        moved = pose.keypoints + np.array([50, -80, 0], dtype=np.float32)

        answers = {read(changed(pose, points)) for points in (mirrored, larger, moved)}

        assert answers == {read(pose)}


def test_a_flicker_does_not_show_and_a_change_does() -> None:
    """A posture of two frames is ignored; one of 1.5 s is reported."""
    reader = PostureReader()
    standing, sitting = seen(STANDING, 90.0), seen(SITTING, 90.0)
    poses = [standing] * 20 + [sitting] * 2 + [standing] * 10 + [sitting] * 20

    shown = [
        reader.update([Track(1, pose, 0)], frame * 100 * NS_PER_MS)[0].posture
        for frame, pose in enumerate(poses)
    ]

    assert shown[15:32] == ["standing"] * 17
    assert shown[-5:] == ["sitting"] * 5


def test_a_second_of_absence_keeps_the_posture() -> None:
    """The posture is still known after an absence of a second."""
    reader = PostureReader()
    for frame in range(30):
        reader.update([Track(1, seen(ON_LEFT, 0.0), 0)], frame * 100 * NS_PER_MS)
    reader.update([], 4 * NS_PER_S)

    (track,) = reader.update([Track(1, seen(ON_LEFT, 0.0), 0)], 5 * NS_PER_S)

    assert track.posture == "lying"


@pytest.mark.slow
def test_settled_postures_of_noisy_people_are_seldom_wrong() -> None:
    """In all kinds of scenes fewer than 2 % of the postures are wrong, and most are known."""
    counts: Counter[tuple[str, Posture]] = Counter()
    for case in cases(3):
        reader = PostureReader()
        for moment in case.scene.observe(5, case.seed):
            for track in reader.update(moment.tracks(), moment.at_ns):
                for label in case.scene.labels:
                    known = label.name in ("standing", "sitting", "lying")
                    inside = label.start_s + 1.5 <= moment.seconds < label.end_s
                    if known and inside and label.actor == track.id - 1:
                        counts[label.name, track.posture] += 1
    total = counts.total()
    unknown = sum(n for (_, said), n in counts.items() if said == "unknown")
    wrong = sum(n for (true, said), n in counts.items() if said not in (true, "unknown"))

    assert wrong < 0.02 * total
    assert unknown < 0.2 * total


def test_changes_are_told_and_the_largest_person_is_the_state() -> None:
    """Unknown gives no event; without people the state is unknown after a second."""
    near, far = seen(STANDING, 90.0), seen(SITTING, 90.0, Camera(1.6, fov_deg=100).aimed_at(4.0))
    detector = PostureDetector()
    said: list[tuple[int | None, str]] = []
    for second, posture in enumerate(("standing", "unknown", "standing", "sitting")):
        tracks = [Track(1, near, 0, posture), Track(2, far, 0, "lying")]  # type: ignore[arg-type]
        said += [(e.person, e.data["posture"]) for e in detector.update(tracks, second * NS_PER_S)]

    assert said == [(1, "standing"), (2, "lying"), (1, "sitting")]
    assert detector.state == {"posture": "sitting", "posture_detail": None}
    detector.update([], 10 * NS_PER_S)
    assert detector.state == {"posture": "unknown", "posture_detail": None}


def test_details_are_told_once_they_last_a_second() -> None:
    """Shorter ones and walking are no event; the state has all of them at once."""
    detector, pose = PostureDetector(), seen(BENT, 90.0)
    details = ["bending", None, "kneeling", "kneeling", "kneeling", "walking", "walking", None]
    told, states = [], []
    for step, detail in enumerate(details):
        track = Track(1, pose, 0, posture_detail=detail)  # type: ignore[arg-type]
        events = detector.update([track], step * NS_PER_S // 2)
        told += [e.data for e in events if e.type == "posture_detail_changed"]
        states.append(detector.state["posture_detail"])

    assert told == [
        {"posture_detail": "kneeling", "before": None},
        {"posture_detail": None, "before": "kneeling"},
    ]
    assert states == details
    detector.update([], 10 * NS_PER_S)
    assert detector.state["posture_detail"] is None


def test_people_side_by_side_do_not_take_turns_in_the_state() -> None:
    """The state changes to another person only if that one is clearly larger."""
    detector, pose, said = PostureDetector(), seen(STANDING, 90.0), []
    for frame, growth in enumerate((1.0, 1.1, 0.95, 1.1, 1.5)):
        larger = pose.box._replace(height=growth * pose.box.height)
        other = replace(pose, box=larger)
        detector.update([Track(1, pose, 0, "sitting"), Track(2, other, 0, "standing")], frame)
        said.append(detector.state["posture"])

    assert said == ["sitting"] * 4 + ["standing"]


class TestPostureDetector(DetectorContract):
    def detector(self) -> PostureDetector:
        return PostureDetector()


PICTURE = Path(__file__).parents[2] / "docs" / "images" / "person.jpg"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("turn", "posture"),
    [
        (None, "standing"),
        (cv2.ROTATE_90_CLOCKWISE, "lying"),
        (cv2.ROTATE_90_COUNTERCLOCKWISE, "lying"),
    ],
    ids=["upright", "on the left", "on the right"],
)
def test_a_single_picture_tells_its_posture(
    turn: int | None, posture: Posture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`detect --json` contains the posture for a still picture."""
    path = tmp_path / "still.png"
    image = cv2.imread(str(PICTURE))
    cv2.imwrite(str(path), image if turn is None else cv2.rotate(image, turn))

    code = main(["detect", str(path), "--json"])

    assert code == 0
    (person,) = json.loads(capsys.readouterr().out)["poses"]
    assert person["posture"] == posture


SHARED = Path(__file__).parents[3] / "shared" / "testdata"
PICTURES = {
    "image1.png": {"standing"},
    "image3.jpeg": {"standing", "sitting", "unknown"},  # with one knee raised
    "test_image.png": {"standing", "unknown"},
    "test_couple.jpg": {"standing", "unknown"},
    "squat.png": {"unknown", "sitting"},
}


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="the shared pictures are not here")
@pytest.mark.parametrize("name", PICTURES)
def test_real_pictures_are_read_by_a_real_model(name: str) -> None:
    """Standing people are not lying, and squatting people are not standing."""
    image = cv2.cvtColor(cv2.imread(str(SHARED / name)), cv2.COLOR_BGR2RGB)
    estimator = edgepose.PoseEstimator(str(SHARED / "movenet_single_pose_lightning_ptq.tflite"))

    people = estimator.estimate(image)

    assert {read(pose) for pose in people} <= PICTURES[name]
    assert people


STANDING_PEOPLE = ("image1.png", "image3.jpeg", "test_image.png", "test_couple.jpg")


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="the shared pictures are not here")
def test_real_people_turned_on_their_side_lie() -> None:
    """Real people rotated by 90 degrees are mostly lying, and never standing or sitting."""
    estimator = edgepose.PoseEstimator("movenet-multipose")
    images = [cv2.cvtColor(cv2.imread(str(SHARED / n)), cv2.COLOR_BGR2RGB) for n in STANDING_PEOPLE]
    turns = (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE)

    said = Counter(
        read(pose)
        for image in images
        for turn in turns
        for pose in estimator.estimate(cv2.rotate(image, turn))
    )

    assert set(said) <= {"lying", "unknown"}
    assert said["lying"] >= 0.6 * said.total() >= 0.6 * len(images) * len(turns)


def test_the_network_runs_once_for_all_readers_of_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """The posture and the fall detector ask for the same people."""
    keypoints = np.arange(51, dtype=np.float32).reshape(17, 3)
    tracks = [Track(1, Pose(keypoints, 0.9, box_around(keypoints)), 0)]
    rows = []
    real = _posture_network()

    class Counting:
        def mean_logits(self, inputs: Floats, mirrored: Floats) -> Floats:
            rows.append(len(inputs))
            return real.mean_logits(inputs, mirrored)

    monkeypatch.setattr("edgepose.people.posture._posture_network", Counting)

    PostureReader().update(tracks, 0)
    FallDetector().update(tracks, 0)

    assert rows == [1]


def with_invented_legs() -> tuple[Pose, Pose]:
    """Return a standing pose, and the person seated: the legs are hidden and placed as before."""
    upright = seen(STANDING, 180.0)
    points = upright.keypoints.copy()
    stature = float(np.ptp(points[:, 1]))
    points[:, 1] += 0.3 * stature
    points[13:, 1] -= 0.1 * stature
    points[:, 2] = np.where(np.arange(17) < 13, 0.65, 0.4)
    return upright, changed(upright, points)


def last_posture(poses: list[Pose]) -> str:
    reader = PostureReader()
    for frame, pose in enumerate(poses):
        (track,) = reader.update([Track(1, pose, 0)], frame * 100 * NS_PER_MS)
    return track.posture


def test_a_seated_body_whose_legs_are_invented_is_known_by_its_earlier_height() -> None:
    """Legs hidden by a table and placed as if standing: the shoulders are lower than before."""
    upright, invented = with_invented_legs()

    assert last_posture([upright] * 30) == "standing"
    assert last_posture([upright] * 20 + [invented] * 30) == "sitting"


def test_a_person_who_sits_down_slowly_is_known_by_the_earlier_height(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the way down the person resembles one who stands; that does not replace the memory."""
    upright, invented = with_invented_legs()
    down = [
        changed(upright, (1 - part) * upright.keypoints + part * invented.keypoints)
        for part in np.linspace(0, 1, 9, dtype=np.float32)
    ]
    sits_down = [upright] * 20 + down + [invented] * 30

    assert last_posture(sits_down) == "sitting"
    monkeypatch.setattr("edgepose.people.posture.HELD_BACK_S", 0.05)
    assert last_posture(sits_down) == "standing"


def test_looks_at_a_standing_person_are_remembered_a_second_later() -> None:
    """The first counts at once; those of the last second are dropped when the person sits."""
    memory, looks = UprightMemory(), np.arange(30.0).reshape(10, 3)

    def remembered(number: int, standing: float, at_s: float) -> float:
        memory.add(looks[number], standing, round(at_s * NS_PER_S))
        return float(memory.look[0])

    assert np.isnan(remembered(0, 0.1, 0.0))
    assert [remembered(n, 0.9, n / 2) for n in range(1, 5)] == [3, 3, 3, 6]
    assert remembered(5, 0.2, 2.5) == 6
    assert [remembered(n, 0.9, n / 2) for n in range(6, 9)] == [6, 6, 18]
