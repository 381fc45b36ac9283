"""Measures the accuracy of an estimator: OKS average precision as defined by COCO.

The scores are computed by the library faster-coco-eval. This module reads and validates
its input, and converts its output.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgepose import extras
from edgepose.errors import EdgeposeError, SourceError, UsageError
from edgepose.skeleton import JOINT_NAMES, JOINTS, OKS_SIGMAS
from edgepose.types import Pose

FIGURES: Final = (
    "AP",
    "AP50",
    "AP75",
    "AP_medium",
    "AP_large",
    "AR",
    "AR50",
    "AR75",
    "AR_medium",
    "AR_large",
)
"""Names of the figures in the library's order.

AP and AR are means over OKS 0.50 to 0.95. Medium people have 32² to 96² pixels, large ones
more."""

PERSON: Final = 1
"""Internal id of the category person."""

PERSON_PART: Final = 0.53  # share of a box covered by the person, if no area is given (as mmpose)
MATCHES: Final = 0.5  # minimum OKS of a detection with a person, for precision and recall
INTERVAL: Final = (5, 95)  # percentiles of the confidence interval
SEED: Final = 20260101

Scores = dict[str, float | None]
"""Figures by name, in percent; None if the set has no such people."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a set."""

    id: int
    """Image id in `Truth.data`."""

    path: Path


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """A set of annotated images."""

    pictures: tuple[Picture, ...]
    """Images whose file exists."""

    missing: tuple[str, ...]
    """Names of missing files; they are skipped."""

    category: int
    data: dict[str, Any]
    """Annotations in COCO's format, with defaults for optional fields."""

    @property
    def people(self) -> int:
        """Number of people with labelled joints, without crowds."""
        return sum(self.count_labelled().values())

    def count_labelled(self) -> Counter[int]:
        """Return the number of people with labelled joints, by image id."""
        return Counter(
            entry["image_id"] for entry in self.data["annotations"] if _is_counted(entry)
        )

    def alone(self) -> list[int]:
        """Return the ids of images with exactly one annotated person, with labelled joints."""
        everybody = Counter(entry["image_id"] for entry in self.data["annotations"])
        return [id_ for id_, n in self.count_labelled().items() if n == everybody[id_] == 1]

    def empty(self) -> set[int]:
        """Return the ids of images without any annotated person."""
        filled = {entry["image_id"] for entry in self.data["annotations"]}
        return {picture.id for picture in self.pictures} - filled


@dataclass(frozen=True, slots=True)
class Detection:
    """Precision and recall of detection at one score threshold."""

    least: float
    """Minimum score of a person."""

    right: int
    wrong: int
    people: int
    """Number of annotated people."""

    empty: int
    """Number of images without people."""

    empty_found: int
    """Number of images without people in which a person is detected."""

    @property
    def precision(self) -> float | None:
        """Percentage of detections that are people; None without detections."""
        return _percent_of(self.right, self.right + self.wrong)

    @property
    def recall(self) -> float | None:
        """Percentage of people that are detected; None without people."""
        return _percent_of(self.right, self.people)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall, in percent."""
        return _percent_of(2 * self.right, self.right + self.wrong + self.people)

    @property
    def false_share(self) -> float | None:
        """Percentage of images without people in which a person is detected."""
        return _percent_of(self.empty_found, self.empty)


def _percent_of(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def read(annotations: Path, images: Path) -> Truth:
    """Read a set of images in COCO's keypoint format.

    Raises
    ------
    UsageError
        If the file is not of that format.
    SourceError
        If none of its images exists.
    """
    data = _parse_file(annotations)
    person = _person_category(data, annotations)
    numbers = _number_images(data["images"], annotations)
    data["images"] = [entry | {"id": numbers[str(entry["id"])]} for entry in data["images"]]
    data["categories"] = [person | {"id": PERSON}]
    people = [entry for entry in data["annotations"] if entry.get("category_id") == person["id"]]
    filled = [_fill_defaults(entry, annotations) for entry in people]
    of_set = [entry for entry in filled if str(entry.get("image_id")) in numbers]
    # Renumbered from 1, since the library treats a match with id 0 as missed.
    data["annotations"] = [
        entry | {"id": number, "category_id": PERSON, "image_id": numbers[str(entry["image_id"])]}
        for number, entry in enumerate(of_set, start=1)
    ]
    places = [(entry["id"], entry["file_name"]) for entry in data["images"]]
    found = [Picture(id_, images / name) for id_, name in places if (images / name).is_file()]
    if not found:
        example = f", such as {places[0][1]}" if places else ""
        msg = f"{images}: none of the {len(places)} pictures of {annotations} is there{example}"
        raise SourceError(msg)
    there = {picture.id for picture in found}
    missing = tuple(name for id_, name in places if id_ not in there)
    return Truth(tuple(found), missing, PERSON, data)


def detections(picture: Picture, poses: Sequence[Pose], category: int) -> list[dict[str, Any]]:
    """Return the poses of an image in COCO's result format."""
    return [
        {
            "image_id": picture.id,
            "category_id": category,
            "keypoints": pose.keypoints.astype(float).ravel().tolist(),
            "score": float(pose.score),
        }
        for pose in poses
    ]


def score(
    truth: Truth, found: Sequence[dict[str, Any]], pictures: Sequence[int] | None = None
) -> Scores:
    """Return the scores of detections, in all existing images or in the given ones.

    Raises
    ------
    EdgeposeError
        If the library is not installed.
    """
    ids = [picture.id for picture in truth.pictures] if pictures is None else list(pictures)
    return _score_images(truth.data, found, ids)


def interval(
    truth: Truth, found: Sequence[dict[str, Any]], resamples: int
) -> tuple[float, float] | None:
    """Return the 90 % confidence interval of AP.

    Notes
    -----
    Bootstrap: sets of the same number of images are drawn with replacement.
    """
    draw = np.random.default_rng(SEED)
    ids = [picture.id for picture in truth.pictures]
    values = []
    for _ in range(resamples):
        data, results = _select_images(truth.data, found, draw.choice(ids, len(ids)).tolist())
        ap = _score_images(data, results, [entry["id"] for entry in data["images"]])["AP"]
        values += [] if ap is None else [ap]
    if not values:
        return None
    low, high = np.percentile(values, INTERVAL).tolist()
    return low, high


def at_threshold(truth: Truth, found: Sequence[dict[str, Any]], least: float) -> "Detection":
    """Return precision and recall of detections with a score of at least `least`.

    Notes
    -----
    As in COCO's evaluation: in the order of their scores, each detection is matched to the
    most similar unmatched person with an OKS of at least 0.5. Detections of crowds and of
    people without labelled joints count neither as right nor as wrong.
    """
    sure = sorted((e for e in found if e["score"] >= least), key=lambda entry: -entry["score"])
    right = wrong = 0
    for picture in truth.pictures:
        people = [e for e in truth.data["annotations"] if e["image_id"] == picture.id]
        finds = [entry for entry in sure if entry["image_id"] == picture.id]
        verdicts = _match_people(people, finds)
        right += verdicts.count(True)
        wrong += verdicts.count(False)
    empty = truth.empty()
    filled = empty & {entry["image_id"] for entry in sure}
    return Detection(least, right, wrong, truth.people, len(empty), len(filled))


def _match_people(
    people: Sequence[dict[str, Any]], finds: Sequence[dict[str, Any]]
) -> list[bool | None]:
    """Return for each detection whether it is a person; None if it is ignored."""
    left = [entry for entry in people if _is_counted(entry)]
    others = [entry for entry in people if not _is_counted(entry)]
    verdicts: list[bool | None] = []
    for find in finds:
        alike = [_keypoint_similarity(entry, find) for entry in left]
        if alike and max(alike) >= MATCHES:
            del left[int(np.argmax(alike))]
            verdicts.append(True)
        else:
            ignored = any(_keypoint_similarity(entry, find) >= MATCHES for entry in others)
            verdicts.append(None if ignored else False)
    return verdicts


def _keypoint_similarity(person: dict[str, Any], find: dict[str, Any]) -> float:
    """Return COCO's OKS; for a person without labelled joints, by the distance from the box.

    As in COCO, the box is extended by its own width and height on each side.
    """
    x, y, flag = np.array(person["keypoints"], dtype=float).reshape(JOINTS, 3).T
    found_x, found_y, _ = np.array(find["keypoints"], dtype=float).reshape(JOINTS, 3).T
    labelled = flag > 0
    if labelled.any():
        square = (found_x - x) ** 2 + (found_y - y) ** 2
    else:
        labelled = ~labelled
        left, top, width, height = person["bbox"]
        beside = np.maximum(0, np.abs(found_x - left - width / 2) - 1.5 * width)
        above = np.maximum(0, np.abs(found_y - top - height / 2) - 1.5 * height)
        square = beside**2 + above**2
    spread = (2 * OKS_SIGMAS) ** 2 * 2 * (person["area"] + np.spacing(1))
    return float(np.exp(-(square / spread)[labelled]).mean())


def _score_images(data: dict[str, Any], found: Sequence[dict[str, Any]], ids: list[int]) -> Scores:
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        msg = f"faster-coco-eval is not installed: {extras.install('eval')}"
        raise EdgeposeError(msg) from error
    wanted = set(ids)
    if not any(_is_counted(entry) and entry["image_id"] in wanted for entry in data["annotations"]):
        return dict.fromkeys(FIGURES)
    found = [entry for entry in found if entry["image_id"] in wanted]
    if not found:
        return dict.fromkeys(FIGURES, 0.0)
    truth = COCO(data)
    judge = COCOeval_faster(truth, truth.loadRes(list(found)), "keypoints")
    judge.params.imgIds = ids
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    return {
        name: None if value < 0 else 100 * float(value)
        for name, value in zip(FIGURES, judge.stats[: len(FIGURES)], strict=True)
    }


def _is_counted(entry: dict[str, Any]) -> bool:
    return bool(entry["num_keypoints"]) and not entry["iscrowd"]


def _select_images(
    data: dict[str, Any], found: Sequence[dict[str, Any]], ids: list[int]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return annotations and results of these images; repeated ids become separate images."""
    images, annotations, results = [], [], []
    for new, old in enumerate(ids, start=1):
        images.append({"id": new})
        annotations += [e | {"image_id": new} for e in data["annotations"] if e["image_id"] == old]
        results += [entry | {"image_id": new} for entry in found if entry["image_id"] == old]
    numbered = [entry | {"id": number} for number, entry in enumerate(annotations, start=1)]
    return data | {"images": images, "annotations": numbered}, results


def _parse_file(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        msg = f"annotations {path}: cannot be read: {error.strerror}"
        raise UsageError(msg) from error
    except ValueError as error:
        msg = f"annotations {path}: no JSON: {error}"
        raise UsageError(msg) from error
    keys = ("images", "annotations", "categories")
    if not isinstance(data, dict) or not all(isinstance(data.get(key), list) for key in keys):
        found = ", ".join(data) if isinstance(data, dict) else type(data).__name__
        msg = f"annotations {path}: found {found or 'nothing'}; expected lists {', '.join(keys)}"
        raise UsageError(msg)
    for number, entry in enumerate(data["images"]):
        if not isinstance(entry, dict) or not {"id", "file_name"} <= entry.keys():
            msg = f"annotations {path}: images[{number}] is {entry!r:.60}; expected id, file_name"
            raise UsageError(msg)
    return data


def _number_images(images: Sequence[dict[str, Any]], path: Path) -> dict[str, int]:
    """Return an integer id for each image, by its id as a string.

    Integer ids are kept. If any id is not an integer, all images are numbered, since the
    library accepts integers only.
    """
    are_numbers = all(type(entry["id"]) is int for entry in images)
    numbers: dict[str, int] = {}
    for index, entry in enumerate(images):
        name = str(entry["id"])
        if name in numbers:
            msg = f"annotations {path}: images[{index}] has the id {name:.60}, as another one has"
            raise UsageError(msg)
        numbers[name] = entry["id"] if are_numbers else index + 1
    return numbers


def _person_category(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the category person with COCO's keypoints."""
    for entry in data["categories"]:
        names = [str(name).replace(" ", "_") for name in entry.get("keypoints", ())]
        if entry.get("name") == "person" and names in ([], list(JOINT_NAMES)):
            return dict(entry)
    found = ", ".join(
        f"{entry.get('name')} with {len(entry.get('keypoints', ()))} keypoints"
        for entry in data["categories"]
    )
    msg = (
        f"annotations {path}: categories are {found or 'none'}; expected person with the "
        f"{JOINTS} keypoints of COCO, {JOINT_NAMES[0]} to {JOINT_NAMES[-1]}"
    )
    raise UsageError(msg)


def _fill_defaults(entry: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return an annotation with defaults for optional fields."""
    where = f"annotations {path}: annotation {entry.get('id', '?')}"
    keypoints = entry.get("keypoints") or [0] * 3 * JOINTS
    box = entry.get("bbox")
    if len(keypoints) != 3 * JOINTS:
        msg = f"{where} has {len(keypoints)} numbers in keypoints; expected {3 * JOINTS}"
        raise UsageError(msg)
    if not isinstance(box, list) or len(box) != 4:
        msg = f"{where}: bbox is {box!r:.40}; expected x, y, width, height"
        raise UsageError(msg)
    labelled = sum(flag > 0 for flag in keypoints[2::3])
    filled = {"area": PERSON_PART * box[2] * box[3], "iscrowd": 0, "num_keypoints": labelled}
    return filled | entry | {"keypoints": keypoints}
