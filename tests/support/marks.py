"""Tracking quality against the truth, by the common metrics (IDF1, MOTA, switches)."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edgepose.geometry import box_around
from edgepose.people.tracking import Tracker
from tests.support.walks import Moment, Walk

FARTHEST = 0.7  # 1 - IoU: a track farther from a person's true box does not belong to that person


@dataclass(frozen=True)
class Marks:
    """Metrics over all films of a walk."""

    idf1: float
    """Share of detections with the right id, from 0 to 1."""

    mota: float
    """1 minus misses, false people and id switches per true detection."""

    switches: int
    """Number of id changes."""

    ids: float
    """Number of ids per film."""


def mark(walk: Walk, fps: float, seeds: Iterable[int]) -> Marks:
    """Generate a film of a walk for each seed, track it, and compare it with the truth."""
    return compare([list(walk.film(fps, seed)) for seed in seeds])


def compare(films: list[list[Moment]]) -> Marks:
    """Track each film with its own tracker."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas' warnings about motmetrics
        import motmetrics

        books = [_follow(film, motmetrics.MOTAccumulator(auto_id=True)) for film in films]
        table = motmetrics.metrics.create().compute_many(
            books, metrics=["idf1", "mota", "num_switches"], generate_overall=True
        )
    ids = np.mean([book.mot_events.HId.dropna().nunique() for book in books])
    row = table.loc["OVERALL"]
    return Marks(float(row.idf1), float(row.mota), int(row.num_switches), float(ids))


def _follow(film: list[Moment], book):  # noqa: ANN001, ANN202  motmetrics has no types
    tracker = Tracker()
    for moment in film:
        tracks = tracker.update(moment.poses, moment.at_ns)
        truth = [box_around(body) for body in moment.truth.values()]
        apart = [[1 - box.iou(track.pose.box) for track in tracks] for box in truth]
        distance = np.array(apart, float).reshape(len(truth), len(tracks))
        distance[distance > FARTHEST] = np.nan
        book.update(list(moment.truth), [track.id for track in tracks], distance)
    return book
