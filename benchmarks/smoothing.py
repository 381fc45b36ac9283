# ruff: noqa: T201  a command: it prints
"""Measure the smoother: how still, and how late.

    python -m benchmarks.smoothing [RECORDING]

prints the tables of `docs/tracking.md`: of made-up people, and of those in a recording
that was not smoothed yet, as `edgepose detect VIDEO --json` writes it. Without one it
looks at the pedestrians of Debian's package opencv-doc.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgepose.people.smoothing import Smoother
from edgepose.people.tracking import Tracker
from edgepose.recording.frames import frames
from edgepose.recording.reader import open_recording
from edgepose.timing import NS_PER_S
from edgepose.types import Floats, Pose, Track
from tests.people.test_smoothing import film, late_s, shake, wrist_reach
from tests.support.clips import pedestrians

RATES_HZ = (5, 10, 15, 30)
SPAN_S = 0.5  # to either side, that a pace is taken over


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


def seen_by_a_camera(moments: Sequence[tuple[int, Sequence[Pose]]]) -> None:
    """Print the same of people as a model sees them: how uneven their trunks move."""
    tracker, smoother = Tracker(), Smoother()
    seen: dict[int, list[Track]] = {}
    smooth: dict[int, list[Track]] = {}
    for at_ns, poses in moments:
        tracks = tracker.update(poses, at_ns)
        for before, after in zip(tracks, smoother.smooth(tracks, at_ns), strict=True):
            seen.setdefault(before.id, []).append(before)
            smooth.setdefault(after.id, []).append(after)
    frame_s = float(np.median(np.diff([at_ns for at_ns, _ in moments]))) / NS_PER_S
    span = max(1, round(SPAN_S / frame_s))
    long = [person for person, tracks in seen.items() if len(tracks) > 2 * span]
    parts = [_compare(_trunk(seen[i]), _trunk(smooth[i]), span, frame_s) for i in long]
    pace, before, after, late_s = (np.concatenate(part) for part in zip(*parts, strict=True))
    print("| people | sightings | jolt before | after | late, ms |")
    print("|---|---|---|---|---|")
    for name, which in (("standing", pace < 0.15), ("walking", pace > 0.3)):
        jolts = " | ".join(f"{100 * np.median(part[which]):.2f} %" for part in (before, after))
        late = f"{1000 * np.median(late_s[which]):.0f}" if name == "walking" else "-"
        print(f"| {name} | {which.sum()} | {jolts} | {late} |")


def recorded(path: Path) -> list[tuple[int, Sequence[Pose]]]:
    """Return the poses of each frame of a recording, with its time."""
    return [(frame.at_ns, frame.poses) for frame in frames(open_recording(path))]


def _trunk(tracks: list[Track]) -> Floats:
    """Return shoulders and hips in heights of the box: (frames, 4, 2)."""
    tall = np.float32(max(np.median([track.pose.box.height for track in tracks]), 1))
    return np.stack([track.pose.keypoints[[5, 6, 11, 12], :2] for track in tracks]) / tall


def _compare(
    seen: Floats, smooth: Floats, span: int, frame_s: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return, frame by frame, pace (heights/s), both jolts (heights) and lateness (s)."""
    middle = seen.mean(axis=1)
    speed = (middle[2 * span :] - middle[: -2 * span]) / (2 * span * frame_s)
    pace = np.hypot(speed[:, 0], speed[:, 1])
    late = ((middle - smooth.mean(axis=1))[span:-span] * speed).sum(axis=1)
    return pace, _jolt(seen, span), _jolt(smooth, span), late / np.maximum(pace**2, 1e-6)


def _jolt(trunk: Floats, span: int) -> Floats:
    """Return how far joints are off even motion: the second difference, in heights."""
    second = np.diff(trunk, n=2, axis=0)[span - 1 : len(trunk) - span - 1]
    return np.asarray(np.hypot(second[:, :, 0], second[:, :, 1]).mean(axis=1), np.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recording", type=Path, nargs="?", help="default: OpenCV's pedestrians")
    recording = parser.parse_args().recording
    made_up()
    print()
    seen_by_a_camera(recorded(recording) if recording else pedestrians())
