"""The accuracy measure, on poses with values computed by hand."""

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.camera import sources
from edgepose.camera.sources.files import read_picture
from edgepose.cli import main
from edgepose.errors import SourceError, UsageError
from edgepose.geometry import box_around
from edgepose.measure import accuracy
from edgepose.measure.accuracy import Truth
from edgepose.pose.decoders import Limits
from edgepose.pose.estimator import PoseEstimator
from edgepose.skeleton import JOINT_NAMES, OKS_SIGMAS
from edgepose.types import Floats, Pose
from tests.support.moving import picture

AREA = 200.0 * 100.0
PERSON = {"id": 1, "name": "person", "keypoints": list(JOINT_NAMES)}
SHARED = Path(__file__).parents[3] / "shared" / "testdata" / "eval"


def body(x: float, y: float) -> Floats:
    """Return the joints of a person 100 wide and 200 high."""
    keypoints = np.ones((17, 3), dtype=np.float32)
    keypoints[:, 0] = x + np.linspace(0, 100, 17)
    keypoints[:, 1] = y + np.linspace(0, 200, 17)
    return keypoints


def off(keypoints: Floats, oks: float) -> Floats:
    """Move each joint so that this OKS results."""
    moved = keypoints.copy()
    moved[:, 0] += np.sqrt(-2 * np.log(oks) * AREA) * 2 * OKS_SIGMAS
    return moved


def found(keypoints: Floats, score: float = 0.9) -> Pose:
    return Pose(keypoints, score, box_around(keypoints))


def annotation(number: int, image: Any, joints: Floats, **more: Any) -> dict[str, Any]:
    flagged = joints.copy()
    flagged[:, 2] = 2
    x, y = joints[:, :2].min(axis=0).tolist()
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "bbox": [x, y, 100, 200],
        "area": AREA,
        "keypoints": flagged.ravel().tolist(),
        "num_keypoints": 17,
        "iscrowd": 0,
    } | more


def made(folder: Path, people: dict[int, list[dict[str, Any]]], **more: Any) -> Truth:
    """Write a data set with a picture for each entry and read it back."""
    images = [{"id": number, "file_name": f"{number}.png"} for number in people]
    for entry in images:
        picture(folder / str(entry["file_name"]), np.zeros((480, 640, 3), np.uint8))
    data = {
        "images": images,
        "annotations": [entry for entries in people.values() for entry in entries],
        "categories": [PERSON],
    }
    file = folder / "truth.json"
    file.write_text(json.dumps(data | more))
    return accuracy.read(file, folder)


def scores(truth: Truth, poses: dict[int, Sequence[Pose]]) -> accuracy.Scores:
    results = [
        entry
        for shown in truth.pictures
        for entry in accuracy.detections(shown, poses.get(shown.id, ()), truth.category)
    ]
    return accuracy.score(truth, results)


def test_the_truth_itself_scores_full_marks(tmp_path: Path) -> None:
    """Perfect poses score 100."""
    truth = made(tmp_path, {7: [annotation(1, 7, body(50, 60))], 9: [annotation(2, 9, body(0, 0))]})

    full = scores(truth, {7: [found(body(50, 60))], 9: [found(body(0, 0))]})

    assert full["AP"] == full["AR"] == full["AP_large"] == pytest.approx(100)
    assert full["AP_medium"] is None


@pytest.mark.parametrize("ids", [["hall/a", "hall/b"], ["7", "9"], ["007", 7], [1.5, None]])
@pytest.mark.parametrize("category", ["person", 17, "1"])
def test_ids_may_be_texts(tmp_path: Path, ids: list[Any], category: Any) -> None:
    """Ids may be strings; an annotation without a picture is skipped."""
    for index in range(2):
        picture(tmp_path / f"{index}.png", np.zeros((480, 640, 3), np.uint8))
    places = [body(50, 60), body(0, 0)]
    people = [
        annotation(index, id_, places[index % 2]) | {"category_id": category}
        for index, id_ in enumerate([*ids, "of no picture"])
    ]
    data = {
        "images": [{"id": id_, "file_name": f"{index}.png"} for index, id_ in enumerate(ids)],
        "annotations": people,
        "categories": [PERSON | {"id": category}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(data))

    truth = accuracy.read(tmp_path / "truth.json", tmp_path)

    results = {shown.id: [found(places[i])] for i, shown in enumerate(truth.pictures)}
    assert scores(truth, results)["AP"] == pytest.approx(100)
    assert len(truth.alone()) == 2


def test_two_pictures_of_one_id_are_refused(tmp_path: Path) -> None:
    """Duplicate picture ids are refused."""
    images = [{"id": "a", "file_name": "1.png"}, {"id": "a", "file_name": "2.png"}]

    with pytest.raises(UsageError, match=r"images\[1\] has the id a"):
        made(tmp_path, {1: [annotation(1, 1, body(0, 0))]}, images=images)


@pytest.mark.parametrize(("oks", "expected"), [(0.97, 100), (0.72, 50), (0.52, 10), (0.48, 0)])
def test_the_score_is_the_part_of_the_ten_thresholds_passed(
    tmp_path: Path, oks: float, expected: float
) -> None:
    """AP is the mean over OKS 0.50 to 0.95 in steps of 0.05."""
    truth = made(tmp_path, {1: [annotation(1, 1, body(50, 60))]})

    reached = scores(truth, {1: [found(off(body(50, 60), oks))]})

    assert reached["AP"] == pytest.approx(expected)
    assert reached["AP50"] == (100 if oks > 0.5 else 0)


def test_half_of_the_people_is_half_of_the_score(tmp_path: Path) -> None:
    """Of 101 recall levels 51 are reached with precision 1."""
    truth = made(tmp_path, {1: [annotation(1, 1, body(0, 0)), annotation(2, 1, body(300, 100))]})

    reached = scores(truth, {1: [found(body(0, 0))]})

    assert reached["AP"] == pytest.approx(100 * 51 / 101)
    assert reached["AR"] == pytest.approx(50)


def test_order_counts(tmp_path: Path) -> None:
    """A false pose lowers the score only if its score is above that of a true one."""
    truth = made(tmp_path, {1: [annotation(1, 1, body(0, 0))]})
    nobody = body(400, 200)

    worse = scores(truth, {1: [found(nobody, 0.95), found(body(0, 0))]})
    better = scores(truth, {1: [found(nobody, 0.5), found(body(0, 0))]})

    assert worse["AP"] == pytest.approx(50)
    assert better["AP"] == pytest.approx(100)


def test_people_without_labels_do_not_count(tmp_path: Path) -> None:
    """Unlabelled people and crowds change nothing, found or missed."""
    blank = {"keypoints": [0] * 51, "num_keypoints": 0}
    people = [annotation(1, 1, body(0, 0)), annotation(2, 1, body(300, 100), **blank)]
    truth = made(tmp_path, {1: people, 2: [annotation(3, 2, body(0, 0), iscrowd=1)]})

    missed = scores(truth, {1: [found(body(0, 0))]})
    also = scores(truth, {1: [found(body(0, 0), 0.5), found(body(300, 100), 0.9)]})

    assert missed["AP"] == also["AP"] == pytest.approx(100)
    assert truth.people == 1
    assert truth.alone() == []


def test_what_many_sets_leave_out_is_filled_in(tmp_path: Path) -> None:
    """Area, crowd flag and number of keypoints are derived if missing."""
    entry = annotation(1, 1, body(0, 0))
    for key in ("area", "iscrowd", "num_keypoints"):
        del entry[key]
    truth = made(tmp_path, {1: [entry]})

    assert truth.people == 1
    assert truth.alone() == [1]
    assert 0 < truth.data["annotations"][0]["area"] < AREA
    assert scores(truth, {1: [found(body(0, 0))]})["AP"] == pytest.approx(100)


@pytest.mark.parametrize("least", [0.1, 0.35, 0.55, 0.75, 0.95])
def test_precision_and_recall_are_those_at_the_threshold(tmp_path: Path, least: float) -> None:
    """Four people, two false poses, a duplicate and a false pose in an empty picture."""
    people = [body(20 + 150 * n, 20) for n in range(4)]
    entries = [annotation(n + 1, 1, joints) for n, joints in enumerate(people)]
    truth = made(tmp_path, {1: entries, 2: [], 3: []})
    poses = {
        1: [
            found(people[0], 0.9),
            found(off(people[1], 0.6), 0.7),
            found(off(people[2], 0.4), 0.6),
            found(people[0], 0.4),
            found(people[3], 0.2),
        ],
        2: [found(body(100, 100), 0.3)],
        3: [],
    }
    rows = [
        entry
        for picture in truth.pictures
        for entry in accuracy.detections(picture, poses[picture.id], truth.category)
    ]

    result = accuracy.at_threshold(truth, rows, least)

    right = sum(score >= least for score in (0.9, 0.7, 0.2))
    wrong = sum(score >= least for score in (0.6, 0.4, 0.3))
    assert (result.right, result.wrong, result.people) == (right, wrong, 4)
    assert result.recall == pytest.approx(25 * right)
    assert result.precision == (pytest.approx(100 * right / (right + wrong)) if right else None)
    assert result.f1 == pytest.approx(200 * right / (right + wrong + 4))
    assert result.false_share == (50 if least <= 0.3 else 0)


def test_who_is_not_labelled_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    """A pose inside of an unlabelled person's box does not lower the precision."""
    blank = annotation(2, 1, body(300, 20)) | {"keypoints": [0] * 51, "num_keypoints": 0}
    truth = made(tmp_path, {1: [annotation(1, 1, body(20, 20)), blank]})
    poses = [found(body(20, 20)), found(body(310, 30)), found(body(20, 260), 0.8)]
    rows = accuracy.detections(truth.pictures[0], poses, truth.category)

    result = accuracy.at_threshold(truth, rows, 0.5)

    assert (result.right, result.wrong, result.people) == (1, 1, 1)
    assert result.false_share is None


def test_nobody_found_is_zero_and_nobody_to_find_is_nothing(tmp_path: Path) -> None:
    """A set without people has no score, which differs from a score of 0."""
    truth = made(tmp_path, {1: [annotation(1, 1, body(0, 0))], 2: []})

    assert scores(truth, {})["AP"] == 0
    assert scores(truth, {2: [found(body(0, 0))]})["AP"] == 0
    assert accuracy.score(truth, [], [2])["AP"] is None


def test_pictures_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    """Missing pictures are listed, and their people do not count as missed."""
    made(tmp_path, {1: [annotation(1, 1, body(0, 0))], 2: [annotation(2, 2, body(0, 0))]})
    (tmp_path / "2.png").unlink()
    truth = accuracy.read(tmp_path / "truth.json", tmp_path)

    assert truth.missing == ("2.png",)
    assert scores(truth, {1: [found(body(0, 0))]})["AP"] == pytest.approx(100)


def test_the_interval_holds_the_score_and_narrows_to_it(tmp_path: Path) -> None:
    """The interval has no width for equal pictures, and contains the score otherwise."""
    people = {n: [annotation(n, n, body(0, 0))] for n in range(1, 9)}
    truth = made(tmp_path, people)
    sure = [e for p in truth.pictures for e in accuracy.detections(p, [found(body(0, 0))], 1)]

    alike = accuracy.interval(truth, sure, 20)
    unlike = accuracy.interval(truth, sure[:4], 20)

    assert alike == pytest.approx((100, 100))
    assert unlike is not None
    assert unlike[0] < accuracy.score(truth, sure[:4])["AP"] < unlike[1]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"categories": []}, "expected person with the 17 keypoints"),
        ({"categories": [{"id": 1, "name": "dog", "keypoints": []}]}, "found|dog with 0"),
        ({"images": "none"}, "expected lists images, annotations, categories"),
        ({"images": [{"id": 1}]}, r"images\[0\]"),
        ({"annotations": [{"id": 4, "category_id": 1, "keypoints": [1]}]}, "annotation 4 has 1"),
        ({"annotations": [{"id": 4, "category_id": 1}]}, "annotation 4: bbox is None"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    """The error names what was found and what was expected."""
    with pytest.raises(UsageError, match=words):
        made(tmp_path, {1: [annotation(1, 1, body(0, 0))]}, **change)


@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff{"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A missing, empty or invalid file gives one sentence."""
    file = tmp_path / "truth.json"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(UsageError, match="annotations"):
        accuracy.read(file, tmp_path)


def test_a_folder_without_the_pictures_is_refused(tmp_path: Path) -> None:
    """The error has the number of pictures and the name of one."""
    made(tmp_path, {1: [annotation(1, 1, body(0, 0))]})
    elsewhere = tmp_path / "empty"
    elsewhere.mkdir()

    with pytest.raises(SourceError, match=r"none of the 1 pictures .* such as 1.png"):
        accuracy.read(tmp_path / "truth.json", elsewhere)


def test_the_command_gives_full_marks_to_what_the_model_itself_finds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a model's own poses as truth `eval` gives 100."""
    with closing(sources.open_source("demo://", realtime=False, once=True)) as source:
        street = next(iter(source.frames())).image
    estimator = PoseEstimator("movenet-multipose", limits=Limits(20, 0.3))
    people = [
        annotation(n, 1, pose.keypoints, area=pose.box.area)
        for n, pose in enumerate(estimator.estimate(street))
    ]
    made(tmp_path, {1: people})
    picture(tmp_path / "1.png", street)

    where = ["--images", str(tmp_path), "--annotations", str(tmp_path / "truth.json")]
    code = main(["eval", *where, "-m", "movenet-multipose", "--json", "--bootstrap", "2"])

    report = json.loads(capsys.readouterr().out)
    assert code == 0
    assert report["scores"]["AP"] == pytest.approx(100)
    assert report["people"] == len(people) >= 2
    assert report["policy"] == "whole"
    assert report["AP_interval"] == [100, 100]


def test_the_table_names_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has all figures of the JSON output, and the missing pictures."""
    made(tmp_path, {1: [annotation(1, 1, body(0, 0))], 2: []})
    (tmp_path / "2.png").unlink()

    where = ["--images", str(tmp_path), "--annotations", str(tmp_path / "truth.json")]
    code = main(["eval", *where, "-m", "movenet-lightning-int8"])

    printed = capsys.readouterr()
    assert code == 0
    assert all(name in printed.out for name in accuracy.FIGURES)
    assert "policy follow" in printed.out
    assert "1 of 2 pictures" in printed.err


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="no shared test data")
@pytest.mark.parametrize(
    ("model", "policy", "least"),
    [("movenet-multipose", "whole", 55), ("movenet-multipose+movenet-thunder", "refine", 64)],
)
def test_accuracy_on_ten_pictures_stays(model: str, policy: str, least: float) -> None:
    """The accuracy on ten pictures, too few to rank models, does not fall."""
    truth = accuracy.read(SHARED / "person_keypoints.json", SHARED / "images")
    estimator = PoseEstimator(model, policy=policy, limits=Limits(20, 0))  # type: ignore[arg-type]

    results = [
        entry
        for shown in truth.pictures
        for entry in accuracy.detections(
            shown, estimator.estimate(read_picture(shown.path)), truth.category
        )
    ]

    ap = accuracy.score(truth, results)["AP"]
    assert ap is not None
    assert ap > least
