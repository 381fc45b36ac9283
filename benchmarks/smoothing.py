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
LEAST_SCORE = 0.3


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
    """Print the same of pedestrians as a model sees them."""
    tracker, smoother = Tracker(), Smoother()
    seen: dict[int, list[Track]] = {}
    smooth: dict[int, list[Track]] = {}
    for at_ns, poses in pedestrians():
        tracks = tracker.update(poses, at_ns)
        for before, after in zip(tracks, smoother.smooth(tracks, at_ns), strict=True):
            seen.setdefault(before.id, []).append(before)
            smooth.setdefault(after.id, []).append(after)
    shakes = [(jolts(seen[person]), jolts(smooth[person])) for person in seen]
    before, after = (np.sqrt(np.mean(np.concatenate(part))) for part in zip(*shakes, strict=True))
    lag = np.median(np.concatenate([lags(seen[person], smooth[person]) for person in seen]))
    print(f"pedestrians: {len(seen)} people, jolt {100 * before:.2f} -> {100 * after:.2f} % of")
    print(f"their height, trunk behind by {1000 * lag:.0f} ms (median)")


def places(tracks: list[Track]) -> Floats:
    """Return joints in heights of the box: (frames, 17, 2)."""
    tall = max(float(np.median([track.pose.box.height for track in tracks])), 1.0)
    return np.stack([track.pose.keypoints[:, :2] for track in tracks]) / np.float32(tall)


def jolts(tracks: list[Track]) -> Floats:
    """Return the squared second differences of every joint: 0 for even motion."""
    if len(tracks) < 3:
        return np.empty(0, np.float32)
    return np.asarray(np.diff(places(tracks), n=2, axis=0).ravel() ** 2, np.float32)


def lags(seen: list[Track], smooth: list[Track], frame_s: float = 0.1) -> Floats:
    """Return by how many seconds each walking trunk is behind where it was seen."""
    if len(seen) < 11:
        return np.empty(0, np.float32)
    raw = places(seen)[:, 5:13:1].mean(axis=1)
    late = raw - places(smooth)[:, 5:13:1].mean(axis=1)
    speed = (raw[10:] - raw[:-10]) / (10 * frame_s)
    pace = (speed**2).sum(axis=1)
    walking = pace > 0.3**2
    return np.asarray((late[5:-5] * speed).sum(axis=1)[walking] / pace[walking], np.float32)


if __name__ == "__main__":
    made_up()
    clip()
