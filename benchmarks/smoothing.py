# ruff: noqa: T201  a command: it prints
"""Measure the smoother: how still, and how late.

    python -m benchmarks.smoothing

prints the tables of `docs/tracking.md`.
"""

import numpy as np

from edgepose.smoothing import Smoother
from edgepose.structures import Floats, Track
from edgepose.tracking import Tracker
from tests.clips import pedestrians
from tests.test_smoothing import film, late_s, shake, wrist_reach

RATES_HZ = (5, 10, 15, 30)
SPAN = 5  # frames to either side that a pace is taken over
FRAME_S = 0.1


def made_up() -> None:
    """Print what becomes of a person who stands, and of one who waves."""
    print("| Hz | standing: shake before | after | waving: late, ms | reach |")
    print("|---|---|---|---|---|")
    for rate_hz in RATES_HZ:
        _, seen, smooth = film(rate_hz, wave=False)
        truth, _, waving = film(rate_hz, wave=True)
        still = f"{shake(seen):.2f} px | {shake(smooth):.2f} px"
        late_ms = 1000 * late_s(truth, waving, rate_hz)
        print(f"| {rate_hz} | {still} | {late_ms:.0f} | {wrist_reach(truth, waving):.2f} |")


def clip() -> None:
    """Print the same of pedestrians as a model sees them: how uneven their trunks move."""
    tracker, smoother = Tracker(), Smoother()
    seen: dict[int, list[Track]] = {}
    smooth: dict[int, list[Track]] = {}
    for at_ns, poses in pedestrians():
        tracks = tracker.update(poses, at_ns)
        for before, after in zip(tracks, smoother.smooth(tracks, at_ns), strict=True):
            seen.setdefault(before.id, []).append(before)
            smooth.setdefault(after.id, []).append(after)
    long = [person for person, tracks in seen.items() if len(tracks) > 2 * SPAN]
    parts = [_compare(_trunk(seen[person]), _trunk(smooth[person])) for person in long]
    pace, before, after, late_s = (np.concatenate(part) for part in zip(*parts, strict=True))
    print("| pedestrians | jolt before | after | late, ms |")
    print("|---|---|---|---|")
    for name, which in (("standing", pace < 0.15), ("walking", pace > 0.3)):
        jolts = " | ".join(f"{100 * np.median(part[which]):.2f} %" for part in (before, after))
        late = f"{1000 * np.median(late_s[which]):.0f}" if name == "walking" else "-"
        print(f"| {name} | {jolts} | {late} |")


def _trunk(tracks: list[Track]) -> Floats:
    """Return shoulders and hips in heights of the box: (frames, 4, 2)."""
    tall = np.float32(max(np.median([track.pose.box.height for track in tracks]), 1))
    return np.stack([track.pose.keypoints[[5, 6, 11, 12], :2] for track in tracks]) / tall


def _compare(seen: Floats, smooth: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return, frame by frame, pace (heights/s), both jolts (heights) and lateness (s)."""
    middle = seen.mean(axis=1)
    speed = (middle[2 * SPAN :] - middle[: -2 * SPAN]) / (2 * SPAN * FRAME_S)
    pace = np.hypot(speed[:, 0], speed[:, 1])
    late = ((middle - smooth.mean(axis=1))[SPAN:-SPAN] * speed).sum(axis=1)
    return pace, _jolt(seen), _jolt(smooth), late / np.maximum(pace**2, 1e-6)


def _jolt(trunk: Floats) -> Floats:
    """Return how far joints are off even motion: the second difference, in heights."""
    second = np.diff(trunk, n=2, axis=0)[SPAN - 1 : 1 - SPAN]
    return np.asarray(np.hypot(second[:, :, 0], second[:, :, 1]).mean(axis=1), np.float32)


if __name__ == "__main__":
    made_up()
    clip()
