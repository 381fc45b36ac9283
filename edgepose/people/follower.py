"""Poses of one camera to people over time and events; needs no picture."""

import threading
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, Final, Literal

from edgepose.people import tracking
from edgepose.people.events import Detector
from edgepose.people.fallen import FallenWatch
from edgepose.people.kinematics import KinematicsReader
from edgepose.people.movement import MovementReader
from edgepose.people.posture import PostureReader
from edgepose.people.smoothing import Smoother
from edgepose.people.tracking import Tracker
from edgepose.people.zones import Zone, locate, mark_cut
from edgepose.types import CandidatePose, Event, Pose, Size, Track

WEAK: Final = 0.6
"""Least score of a pose that continues a track, as a part of the least score of a new one."""

Presence = Literal["nobody", "maybe", "somebody"]
"""`maybe`: a pose that nobody has become yet. `somebody`: also who left and has not settled."""


class Follower:
    """From poses to people over time and what they do: all that needs no picture.

    A camera's pipeline and the replay of a recording walk through the same one,
    and it takes its time from the frames alone.
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
        self.movement = movement or MovementReader()
        self.kinematics = kinematics or KinematicsReader()
        self.detectors = tuple(detectors)
        """Replaced as a whole, by any thread."""

        self._lock = threading.Lock()
        self._fallen = FallenWatch() if searches else None
        self._candidates: list[CandidatePose] = []
        self._seen: frozenset[int] = frozenset()
        self._hoped = False

    def follow(
        self, poses: Sequence[Pose], at_ns: int, size: Size, *, still: bool = False
    ) -> tuple[list[Track], list[Event]]:
        """Take the poses of one frame; return its people and what has happened.

        A `still` is a picture of its own, not one moment of a movement: its people
        count at once, and their keypoints stay where they were found.
        """
        with self._lock:
            weakest = WEAK * self.tracker.options.birth_score
            sure = [pose for pose in poses if pose.score >= weakest]
            tracks = self.tracker.update(sure, at_ns, at_once=still)
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
        self._hoped = any(pose.score >= least for pose in poses)
        if self.smoother is not None and not still:
            tracks = self.smoother.smooth(tracks, at_ns)
        tracks = locate(mark_cut(tracks, size), self.zones, size)
        tracks = self.posture.update(tracks, at_ns)
        if not still:
            tracks = self.movement.update(tracks, at_ns)
            tracks = self.kinematics.update(tracks, at_ns, size)
        events = [event for detector in self.detectors for event in detector.update(tracks, at_ns)]
        return tracks, events

    def admit(self, options: tracking.TrackerOptions) -> None:
        """Follow by other options from now on; whom they might not have let in is forgotten."""
        with self._lock:
            if options != self.tracker.options:
                self.tracker.options = options
                self._forget()

    def forget(self, detectors: Sequence[Detector]) -> None:
        """Know nobody any more, and go on with new detectors; any thread."""
        with self._lock:
            self._forget()
        self.detectors = tuple(detectors)

    def _forget(self) -> None:
        self.tracker.forget()
        self._candidates = []
        if self._fallen is not None:
            self._fallen.clear()

    def expect(self, at_ns: int) -> list[Pose]:
        """Return the people of the newest frame where they should be by then; any thread.

        It never waits for a frame, only while the people of one are being sorted.
        """
        with self._lock:
            known = [track.pose for track in self.tracker.predict(at_ns) if track.id in self._seen]
            fallen = self._fallen.poses() if self._fallen is not None else []
            return [*known, *self._candidates, *fallen]

    @property
    def frame_id(self) -> str | None:
        """The coordinate frame of the people's places; None without a floor."""
        return self.kinematics.floor.frame if self.kinematics.floor else None

    @property
    def presence(self) -> Presence:
        """Whether anybody is before the camera, as far as the newest frame and events know."""
        state = self.state
        if self._seen or any(state.get(key) for key in ("occupied", "fall", "long_lie")):
            return "somebody"
        return "maybe" if self._hoped else "nobody"

    @property
    def state(self) -> dict[str, Any]:
        """The camera's state as the detectors see it: keys of the topic `C/state`."""
        return reduce(_merged, (detector.state for detector in self.detectors), {})


def _merged(some: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Put two parts of a state together: of one zone each detector knows other keys."""
    both = {
        key: _merged(some[key], value)
        for key, value in others.items()
        if isinstance(value, Mapping) and isinstance(some.get(key), Mapping)
    }
    return {**some, **others, **both}
