"""Recomputes tracks and events of a recording."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from edgepose.config.schema import Camera, Config
from edgepose.models import catalog
from edgepose.mqtt import encoding
from edgepose.mqtt import topics as mqtt_topics
from edgepose.people import build, tracking
from edgepose.people.follower import Follower
from edgepose.people.tracking import Tracker
from edgepose.recording.frames import RecordedFrame, RecordedPose, frames
from edgepose.recording.reader import BASE_TOPIC, Recording
from edgepose.types import Event, Message, Pose, Size, Track

# Events


class KnownPeople(Tracker):
    """A tracker that keeps the recorded ids."""

    def __init__(self) -> None:
        super().__init__(tracking.TrackerOptions(birth_score=0.0))
        self._since_ns: dict[int, int] = {}

    def update(
        self,
        poses: Sequence[Pose],
        at_ns: int,
        *,
        at_once: bool = False,
        frame: Size | None = None,
    ) -> list[Track]:
        """Return tracks of the recorded poses; skips poses without an id."""
        return [
            Track(pose.person, pose, self._since_ns.setdefault(pose.person, at_ns))
            for pose in poses
            if isinstance(pose, RecordedPose) and pose.person is not None
        ]


class Step(NamedTuple):
    """Tracks, events and state from one frame of a recording."""

    frame: RecordedFrame
    tracks: list[Track]
    events: list[Event]
    frame_id: str | None
    """Coordinate frame of positions in metres; None without a floor."""

    state: Mapping[str, Any] | None
    """The camera's state if it has changed, else None."""

    def messages(self, base_topic: str = BASE_TOPIC) -> Iterator[Message]:
        """Yield the messages that a running device would publish for the frame."""
        frame = self.frame
        topics = mqtt_topics.Topics(base_topic, frame.device).camera(frame.camera)
        shown = frame.frame
        yield encoding.poses(
            topics,
            shown,
            self.tracks,
            seq=frame.seq,
            latency_ms=0.0,
            model=frame.model,
            frame_id=self.frame_id,
        )
        yield from (encoding.event(topics, event, shown) for event in self.events)
        if self.state is not None:
            yield encoding.state(topics, [self.state], shown)


def rederive(recording: Recording, config: Config) -> Iterator[Step]:
    """Yield tracks, events and state of each frame, computed as in a live pipeline.

    The result is deterministic.

    Parameters
    ----------
    recording
        Tracked recordings keep ids and keypoints; others are tracked and smoothed here.
    config
        Zones and events. A camera missing in it has no zones.
    """
    followers: dict[tuple[str, str], Follower] = {}
    states: dict[tuple[str, str], Mapping[str, Any]] = {}
    for frame in frames(recording):
        key = frame.device, frame.camera
        if key not in followers:
            followers[key] = _make_follower(config, frame, followed=recording.followed)
        follower = followers[key]
        tracks, events = follower.follow(frame.poses, frame.at_ns, frame.size)
        news = None if states.get(key) == follower.state else follower.state
        states[key] = follower.state
        yield Step(frame, tracks, events, follower.frame_id, news)


def _make_follower(config: Config, first: RecordedFrame, *, followed: bool) -> Follower:
    """Return a follower for the camera of a frame, with the minimum score of its model."""
    own = catalog.min_pose_score(first.model)
    config = config if own is None else build.with_min_pose_score(config, own)
    known = (entry for entry in config.cameras if entry.id == first.camera)
    follower = build.follower(config, next(known, Camera(id=first.camera, source="-")))
    if followed:
        follower.tracker, follower.smoother = KnownPeople(), None
    return follower
