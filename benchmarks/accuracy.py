"""Accuracy of each model and policy on ten pictures, for models/README.md.

Run from the repository: ``python -m benchmarks.accuracy IMAGES ANNOTATIONS``. All rows see
the same three sets: the pictures as they are, collages of them with smaller people
(`benchmarks.collages`), and each clearly visible person alone. Models that have to be
fetched take part if they are here. Writes `benchmarks/results/accuracy.json`.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple

from tqdm import tqdm

from benchmarks import collages
from edgepose._version import __version__
from edgepose.camera.sources.files import read_picture
from edgepose.measure import accuracy
from edgepose.measure.accuracy import Scores, Truth
from edgepose.models import catalog
from edgepose.pose import interpreter
from edgepose.pose.decoders import Limits
from edgepose.pose.estimator import PoseEstimator
from edgepose.pose.policies import Name
from edgepose.pose.preprocess import use_one_thread


class Row(NamedTuple):
    """A model and where it looks."""

    model: str
    policy: Name


ROWS: Final = (
    Row("movenet-lightning-int8", "whole"),
    Row("movenet-lightning", "whole"),
    Row("movenet-thunder-int8", "whole"),
    Row("movenet-thunder", "whole"),
    Row("movenet-lightning-int8", "follow"),
    Row("movenet-lightning", "follow"),
    Row("movenet-thunder-int8", "follow"),
    Row("movenet-thunder", "follow"),
    Row("posenet-257", "whole"),
    Row("posenet", "whole"),
    Row("posenet-uint8", "whole"),
    Row("posenet-481x641", "whole"),
    Row("movenet-multipose", "whole"),
    Row("coral-movenet-lightning", "whole"),
    Row("coral-movenet-lightning", "follow"),
    Row("coral-posenet", "whole"),
    Row("coral-posenet-16", "whole"),
    Row("posenet-uint8+movenet-thunder-int8", "refine"),
    Row("posenet-481x641+movenet-thunder-int8", "refine"),
    Row("refined-light", "refine"),
    Row("refined", "refine"),
    Row("best", "refine"),
)
ALONE: Final = "alone"
COCO_LIMITS: Final = Limits(20, 0.0)  # up to 20 people a picture, doubtful ones too
RESAMPLES: Final = 200
RESAMPLED: Final = 20  # pictures at most
RESULTS: Final = Path(__file__).parent / "results" / "accuracy.json"


def main() -> None:
    """Measure the rows and write them beside those that were measured before."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="only these; default: all")
    args = parser.parse_args()
    use_one_thread()
    with tempfile.TemporaryDirectory() as folder:
        sets = {"pictures": accuracy.read(args.annotations, args.images)}
        for name, make in (("collages", collages.crowds), (ALONE, collages.alone)):
            sets[name] = collages.write(sets["pictures"], make, Path(folder) / name)
        chosen = [row for row in ROWS if is_here(row) and row.model in (args.models or [row.model])]
        fresh = {(row.model, row.policy): measured(row, sets) for row in tqdm(chosen)}
    rows = fresh | {key: row for key, row in known().items() if key not in fresh}
    report = {
        "edgepose": __version__,
        "runtime": interpreter.runtime(),
        "sets": {
            name: {"pictures": len(truth.pictures), "people": truth.people}
            for name, truth in sets.items()
        },
        "rows": [rows[row] for row in ROWS if row in rows],
    }
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def known() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows that were measured before."""
    if not RESULTS.exists():
        return {}
    rows = json.loads(RESULTS.read_text("utf-8"))["rows"]
    return {(row["model"], row["policy"]): row for row in rows}


def is_here(row: Row) -> bool:
    """Say whether all of a row's models are on this machine."""
    entry = catalog.entries().get(row.model)
    return entry is None or entry.path is not None


def measured(row: Row, sets: dict[str, Truth]) -> dict[str, Any]:
    """Return a row's figures on each set."""
    estimator = PoseEstimator(row.model, policy=row.policy, threads=1)
    figures = {}
    for name, truth in sets.items():
        limits = Limits(1, 0.0) if name == ALONE else COCO_LIMITS
        figures[name] = rounded(look(estimator, truth, limits))
    return {"model": row.model, "policy": row.policy} | figures


def look(estimator: PoseEstimator, truth: Truth, limits: Limits) -> Scores:
    """Return the figures of one set, of the pictures themselves with AP's interval."""
    found = [
        entry
        for picture in truth.pictures
        for entry in accuracy.detections(
            picture,
            estimator.estimate(read_picture(picture.path), limits=limits),
            truth.category,
        )
    ]
    figures = accuracy.score(truth, found)
    if len(truth.pictures) > RESAMPLED:  # made of the same pictures: it would promise too much
        return figures
    low, high = accuracy.interval(truth, found, RESAMPLES) or (None, None)
    return figures | {"AP_low": low, "AP_high": high}


def rounded(scores: Scores) -> Scores:
    """Return figures with one decimal: the sets are too small for more."""
    return {name: None if value is None else round(value, 1) for name, value in scores.items()}


if __name__ == "__main__":
    main()
