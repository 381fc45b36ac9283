"""Measure accuracy: OKS AP and AR as defined by COCO, on any data set in COCO's format.

AP and AR count up to 20 people a picture, including those with low scores, as COCO's own
evaluation does: they depend on the order of the scores, not on a threshold. Precision,
recall, F1 and the share of empty pictures with a false detection are measured at the
threshold in force. Pictures missing from the folder are skipped and listed. For small data
sets use --bootstrap, which prints an interval for AP.
"""

import argparse
import json
import logging
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from edgepose.camera.sources.files import read_picture
from edgepose.commands import add_model, add_threads, count, ranged
from edgepose.measure import accuracy
from edgepose.measure.accuracy import Detection, Scores, Truth
from edgepose.pose.decoders import Limits
from edgepose.pose.estimator import PoseEstimator
from edgepose.pose.interpreter import runtime
from edgepose.pose.preprocess import use_one_thread

log: Final = logging.getLogger(__name__)

NAMED: Final = 3  # number of missing pictures that the log lists by name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="the pictures")
    parser.add_argument(
        "--annotations", type=Path, required=True, metavar="COCO.json", help="the people in them"
    )
    add_model(parser)
    add_threads(parser)
    parser.add_argument(
        "--max-people",
        type=ranged(int, 1),
        default=20,
        metavar="N",
        help="at most, in a picture; default 20, as COCO",
    )
    parser.add_argument(
        "--min-score",
        type=ranged(float, 0, 1),
        metavar="S",
        help="omit people below this score, 0 to 1; default: omit none, and measure precision and"
        " recall at the model's own minimum score",
    )
    parser.add_argument(
        "--bootstrap",
        type=ranged(int, 0),
        default=0,
        metavar="N",
        help="resamples for an interval of AP; default none",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run the model on every picture and print the accuracy."""
    truth = accuracy.read(args.annotations, args.images)
    if truth.missing:
        names = ", ".join(truth.missing[:NAMED]) + (", …" if truth.missing[NAMED:] else "")
        log.warning(
            "%d of %d pictures are not in %s and are skipped: %s",
            len(truth.missing),
            len(truth.missing) + len(truth.pictures),
            args.images,
            names,
        )
    estimator = PoseEstimator(
        args.model,
        policy=args.policy,
        threads=args.threads,
        limits=Limits(args.max_people, args.min_score or 0.0),
    )
    found, times_ms = look(estimator, truth)
    least = estimator.min_pose_score if args.min_score is None else args.min_score
    detection = accuracy.at_threshold(truth, found, least)
    report = summary(estimator, truth, found, times_ms, args.bootstrap) | threshold(detection)
    print(json.dumps(report) if args.json else table(report))
    return 0


def look(estimator: PoseEstimator, truth: Truth) -> tuple[list[dict[str, Any]], list[float]]:
    """Return the people in all pictures, in COCO's format, and the milliseconds per picture."""
    use_one_thread()
    estimator.warm_up()
    found, times_ms = [], []
    shown = sys.stderr.isatty()
    for picture in tqdm(truth.pictures, desc=estimator.name, unit=" pictures", disable=not shown):
        image = read_picture(picture.path)
        started = time.perf_counter()
        poses = estimator.estimate(image)
        times_ms.append(1000 * (time.perf_counter() - started))
        found += accuracy.detections(picture, poses, truth.category)
    return found, times_ms


def summary(
    estimator: PoseEstimator,
    truth: Truth,
    found: list[dict[str, Any]],
    times_ms: list[float],
    resamples: int,
) -> dict[str, Any]:
    """Return all results as JSON-serialisable data."""
    alone = truth.alone()
    interval = accuracy.interval(truth, found, resamples) if resamples else None
    return {
        "model": estimator.name,
        "policy": estimator.policy.name,
        "runtime": runtime(),
        "threads": estimator.engine.threads,
        "pictures": len(truth.pictures),
        "missing": list(truth.missing),
        "people": truth.people,
        "found": len(found),
        "ms_per_picture": round(statistics.median(times_ms), 1),
        "scores": rounded(accuracy.score(truth, found)),
        "AP_interval": None if interval is None else [round(value, 1) for value in interval],
        "one_person": {
            "pictures": len(alone),
            "scores": rounded(accuracy.score(truth, found, alone)),
        },
    }


def threshold(detection: Detection) -> dict[str, Any]:
    """Return the results at the current threshold as JSON-serialisable data."""
    figures = {
        "precision": detection.precision,
        "recall": detection.recall,
        "F1": detection.f1,
        "false_share": detection.false_share,
    }
    counts = {"min_score": detection.least, "empty_pictures": detection.empty}
    return {"at_threshold": counts | rounded(figures)}


def rounded(scores: Scores) -> dict[str, float | None]:
    """Return scores rounded to one decimal: the data sets are too small for more."""
    return {name: None if value is None else round(value, 1) for name, value in scores.items()}


def table(report: dict[str, Any]) -> str:
    """Return the results as a readable table."""
    lines = [
        f"{report['model']}, policy {report['policy']}, {count(report['threads'], 'thread')}: "
        f"{count(report['pictures'], 'picture')}, "
        f"{count(report['people'], 'person', 'people')} with labelled joints",
        "",
        line("", accuracy.FIGURES),
        line("all", report["scores"].values()),
    ]
    one = report["one_person"]
    if one["pictures"]:
        lines.append(line(f"one person ({one['pictures']})", one["scores"].values()))
    if report["AP_interval"]:
        low, high = report["AP_interval"]
        lines += ["", f"nine of ten sets like this one: AP {low} to {high}"]
    lines += ["", detected(report["at_threshold"])]
    return "\n".join([*lines, "", f"{report['ms_per_picture']} ms a picture (median)"])


def detected(figures: dict[str, Any]) -> str:
    """Return one sentence with the results at the current threshold."""
    named = ("precision", "recall", "F1")
    text = ", ".join(f"{name} {_format_figure(figures[name])}" for name in named)
    text = f"from a score of {figures['min_score']:g}: {text}"
    if figures["empty_pictures"]:
        empty = count(figures["empty_pictures"], "picture")
        text += f"; a person in {figures['false_share']} % of {empty} without people"
    return text


def _format_figure(figure: float | None) -> str:
    return "-" if figure is None else f"{figure} %"


def line(title: str, cells: Any) -> str:
    """Return one row of the table; a dash for sizes of people that the data set lacks."""
    return f"{title:16}" + "".join(f"{'-' if cell is None else cell:>10}" for cell in cells)
