"""Tracks, zones, postures and events from the poses of one camera, without its pictures."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from edgepose.people import tracking
from edgepose.people.events import Detector
from edgepose.people.fallen import FallenWatch
from edgepose.people.kinematics import KinematicsReader
from edgepose.people.movement import MovementReader
from edgepose.people.posture import PostureReader
from edgepose.people.posture_detail import PostureDetailReader
from edgepose.people.smoothing import Smoother
from edgepose.people.tracking import Tracker
from edgepose.people.zones import Zone, locate, mark_cut
from edgepose.types import CandidatePose, Event, Pose, Size, Track

WEAK: Final = 0.6
"""Minimum score to continue a track, as a fraction of the score needed to start one."""

Presence = Literal["nobody", "maybe", "somebody"]
"""`maybe`: a pose above the birth score, not yet a confirmed track. `somebody`: a track is
visible, or the state still reports presence, a fall or a long lie."""


class Follower:
    """Turns the poses of successive frames into tracks and events.

    Used by the live pipeline and by the replay of recordings alike. Reads no clock and no
    picture; time comes from the frames.
    """

    def __init__(
        self,
        *,
        tracker: Tracker,
        smoother: Smoother | None,
        zones: Sequence[Zone],
        posture: PostureReader,
        detectors: Sequence[Detector],
        movement: MovementReader | None = None,
        searches: bool = False,
        kinematics: KinematicsReader | None = None,
    ) -> None:
        self.tracker = tracker
        self.smoother = smoother
        self.zones = tuple(zones)
        self.posture = posture
        self.posture_detail = PostureDetailReader(posture.min_score)
        self.movement = movement or MovementReader()
        self.kinematics = kinematics or KinematicsReader()
        self.detectors = tuple(detectors)
        """Replaced as a whole, from any thread."""

        self._lock = threading.Lock()
        self._fallen = FallenWatch() if searches else None
        self._candidates: list[CandidatePose] = []
        self._seen: frozenset[int] = frozenset()
        self._has_candidates = False

    def follow(
        self, poses: Sequence[Pose], at_ns: int, size: Size, *, still: bool = False
    ) -> tuple[list[Track], list[Event]]:
        """Process the poses of one frame; return its visible tracks and new events.

        Pass `still` for a single picture that is no frame of a video: its people get ids at
        once, and keypoints are not smoothed.
        """
        with self._lock:
            weakest = WEAK * self.tracker.options.birth_score
            sure = [pose for pose in poses if pose.score >= weakest]
            tracks = self.tracker.update(sure, at_ns, at_once=still, frame=size)
            self._seen = frozenset(track.id for track in tracks)
            used = {id(track.pose) for track in tracks}
            self._candidates = [
                CandidatePose(pose.keypoints, pose.score, pose.box)
                for pose in poses
                if id(pose) not in used and not still
            ]
            if self._fallen is not None:
                self._fallen.update(tracks, at_ns, size)
        least = self.tracker.options.birth_score
        self._has_candidates = any(pose.score >= least for pose in poses)
        if self.smoother is not None and not still:
            tracks = self.smoother.smooth(tracks, at_ns)
        tracks = locate(mark_cut(tracks, size), self.zones, size)
        tracks = self.posture.update(tracks, at_ns)
        if not still:
            tracks = self.posture_detail.update(tracks, at_ns)
            tracks = self.movement.update(tracks, at_ns)
            tracks = self.kinematics.update(tracks, at_ns, size)
        events = [event for detector in self.detectors for event in detector.update(tracks, at_ns)]
        return tracks, events

    def set_tracker_options(self, options: tracking.TrackerOptions) -> None:
        """Replace the tracker's options. Clears all tracks if they changed. Thread-safe."""
        with self._lock:
            if options != self.tracker.options:
                self.tracker.options = options
                self._forget_lost()

    def forget(self, detectors: Sequence[Detector]) -> None:
        """Clear all tracks and replace the event detectors. Thread-safe."""
        with self._lock:
            self._forget_lost()
        self.detectors = tuple(detectors)

    def _forget_lost(self) -> None:
        self.tracker.forget()
        self._candidates = []
        if self._fallen is not None:
            self._fallen.clear()

    def predict_people(self, at_ns: int, *, tracks: bool = True) -> list[Pose]:
        """Predict the poses of the latest frame's people at `at_ns`. Thread-safe.

        Includes poses not yet in a track and, with fall detection, places of fallen people;
        without `tracks` only these. Blocks only while a frame's poses are being matched, never
        for a new frame.
        """
        with self._lock:
            known = self.tracker.predict(at_ns) if tracks else []
            fallen = self._fallen.poses() if self._fallen is not None else []
            poses = [track.pose for track in known if track.id in self._seen]
            return [*poses, *self._candidates, *fallen]

    @property
    def frame_id(self) -> str | None:
        """Coordinate frame of the positions in metres; None without a floor."""
        return self.kinematics.floor.frame if self.kinematics.floor else None

    @property
    def presence(self) -> Presence:
        """Whether a person is in view, by the latest frame and the detectors' state."""
        state = self.state
        if self._seen or any(state.get(key) for key in ("occupied", "fall", "long_lie")):
            return "somebody"
        return "maybe" if self._has_candidates else "nobody"

    @property
    def state(self) -> dict[str, Any]:
        """The merged state of all detectors: keys of the topic `C/state`."""
        merged: dict[str, Any] = {}
        for detector in self.detectors:
            _merge_into(merged, detector.state)
        return merged


def _merge_into(merged: dict[str, Any], state: Mapping[str, Any]) -> None:
    """Add a state recursively: several detectors set keys of the same zone."""
    for key, value in state.items():
        if isinstance(value, dict):
            _merge_into(merged.setdefault(key, {}), value)
        else:
            merged[key] = value
