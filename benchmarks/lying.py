"""Measure how often people who lie are found in single pictures, and nobody in empty ones.

Run from the repository: ``python -m benchmarks.lying FILMS [--empty PICTURE...]``. FILMS is a
folder with `films.json` (a list `clips` with `file`, `fps`, `split`, `people` and labelled
falls) and the films in `clips`. Of each fall of a single person one picture is taken, at 0.6 of
the time from the impact to the end. The place of the person is the largest region that differs
from the median of the pictures before the fall. A detection at the model's own minimum score
whose joints have their centre there is right. Results go to `benchmarks/results`.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from benchmarks import tradeoff
from edgepose.camera.sources.files import read_picture
from edgepose.measure.benchmark import machine
from edgepose.models import catalog
from edgepose.pose import interpreter
from edgepose.pose.estimator import PoseEstimator
from edgepose.pose.preprocess import use_one_thread
from edgepose.types import Box, Image, Pose

MODELS: Final = (
    "movenet-lightning",
    "movenet-lightning-int8",
    "movenet-thunder",
    "movenet-thunder-int8",
    "coral-movenet-lightning",
    "posenet",
    *tradeoff.MODELS,
)
RESULTS: Final = Path(__file__).parent / "results" / "lying.json"
AFTER: Final = 0.6  # of the time from the impact to the end
BEFORE: Final = 25  # pictures at most, of which the background is the median
DIFFERS: Final = 28  # levels of a pixel
AROUND: Final = 0.15  # of the longer side of the place, that a centre may be outside of it
SURE_JOINT: Final = 0.1


class Lying(NamedTuple):
    """A picture of one person who lies."""

    split: str
    image: Image
    place: Box
    """Region of the person, in pixels."""


def main() -> None:
    """Measure every model and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("films", type=Path)
    parser.add_argument("--empty", type=Path, nargs="*", default=[], metavar="PICTURE")
    parser.add_argument("--models", nargs="*", default=MODELS, metavar="MODEL")
    args = parser.parse_args()
    use_one_thread()
    lying = list(falls(args.films))
    empty = [read_picture(path) for path in args.empty]
    rows = [measured(model, lying, empty) for model in tqdm(args.models) if is_here(model)]
    report = {
        "about": "lying: pictures of one person after a fall, one of each film, and how many are"
        " found in their place; empty: pictures without people, and those with a detection",
        "at": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "runtime": interpreter.runtime(),
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    sys.stdout.write(json.dumps(rows, indent=1) + "\n")


def is_here(model: str) -> bool:
    """Return whether a model is on this machine."""
    entry = catalog.entries().get(model)
    return entry is None or entry.path is not None


def falls(films: Path) -> Iterator[Lying]:
    """Yield a picture of each film of one person who falls and stays down."""
    for clip in json.loads((films / "films.json").read_text("utf-8"))["clips"]:
        labels = [label for label in clip["labels"] if label["type"] == "fall"]
        path = films / "clips" / clip["file"]
        stays = clip["kind"].startswith("fall") and len(labels) == clip["people"] == 1
        if not stays or not path.exists():
            continue
        label = labels[0]
        at_s = label["impact"] + AFTER * (label["end"] - label["impact"])
        pictures = read_film(path, at_s * clip["fps"])
        before = pictures[: max(1, int(label["start"] * clip["fps"]))]
        place = changed(pictures[-1], before[:: max(1, len(before) // BEFORE)])
        yield Lying(clip["split"], pictures[-1], place)


def read_film(path: Path, frames: float) -> list[Image]:
    """Return the pictures of a film up to a frame, or to the last one."""
    film, pictures = cv2.VideoCapture(str(path)), []
    while len(pictures) <= frames:
        came, picture = film.read()
        if not came:
            break
        pictures.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    return pictures


def changed(image: Image, before: Sequence[Image]) -> Box:
    """Return the box of the largest region that was not there before; else the whole picture."""
    background = np.median(np.stack(before), axis=0).astype(np.uint8)
    other = cv2.GaussianBlur(cv2.absdiff(image, background).max(axis=2), (5, 5), 0) > DIFFERS
    near = max(3, image.shape[1] // 60)
    mask = cv2.morphologyEx(other.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((near, near), np.uint8))
    count, _, regions, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return Box(0, 0, image.shape[1], image.shape[0])
    x, y, width, height, _ = regions[1 + int(np.argmax(regions[1:, 4]))].tolist()
    return Box(x, y, width, height)


def measured(model: str, lying: Sequence[Lying], empty: Sequence[Image]) -> dict[str, Any]:
    """Return a model's row."""
    estimator = PoseEstimator(model, threads=1)
    row: dict[str, Any] = {"model": model, "min_pose_score": estimator.min_pose_score}
    for split in sorted({entry.split for entry in lying}):
        of = [entry for entry in lying if entry.split == split]
        right = sum(any(is_there(p, e.place) for p in estimator.estimate(e.image)) for e in of)
        row[split] = {"pictures": len(of), "found": right}
    seen = sum(bool(estimator.estimate(image)) for image in empty)
    return row | {"empty": {"pictures": len(empty), "found": seen}}


def is_there(pose: Pose, place: Box) -> bool:
    """Return whether the centre of the joints is in the place."""
    sure = pose.keypoints[pose.keypoints[:, 2] > SURE_JOINT]
    x, y = (sure if len(sure) else pose.keypoints)[:, :2].mean(axis=0).tolist()
    room = AROUND * max(place.width, place.height)
    across = place.x - room <= x <= place.x + place.width + room
    return across and place.y - room <= y <= place.y + place.height + room


if __name__ == "__main__":
    main()
