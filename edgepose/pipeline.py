"""The order of the stages; one frame's walk."""

import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal

from edgepose import messages, tracking
from edgepose.decoders import Limits
from edgepose.estimator import Estimator
from edgepose.events import Detector
from edgepose.health import CameraHealth
from edgepose.posture import PostureReader
from edgepose.smoothing import Smoother
from edgepose.structures import Event, Frame, Message, Pose, Size, Track
from edgepose.timing import NS_PER_MS, Clock
from edgepose.tracking import Tracker
from edgepose.view import View
from edgepose.zones import Zone, locate

Presence = Literal["nobody", "maybe", "somebody"]
"""`maybe`: a pose that nobody has become yet. `somebody`: also who left and has not settled."""

STAGES: Final = ("show", "prepare", "infer", "decode", "follow", "compose", "publish")
"""What is timed, in the order of a frame's walk."""

Compose = Callable[[Frame, Sequence[Track], Sequence[Event]], list[Message]]


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
    ) -> None:
        self.tracker = tracker
        self.smoother = smoother
        self.zones = tuple(zones)
        self.posture = posture
        self.detectors = tuple(detectors)
        """Replaced as a whole, by any thread."""

        self._lock = threading.Lock()
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
            tracks = self.tracker.update(poses, at_ns, at_once=still)
            self._seen = frozenset(track.id for track in tracks)
        least = self.tracker.options.birth_score
        self._hoped = any(pose.score >= least for pose in poses)
        if self.smoother is not None and not still:
            tracks = self.smoother.smooth(tracks, at_ns)
        tracks = locate(tracks, self.zones, size)
        tracks = self.posture.update(tracks, at_ns)
        events = [event for detector in self.detectors for event in detector.update(tracks, at_ns)]
        return tracks, events

    def admit(self, options: tracking.Options) -> None:
        """Follow by other options from now on; whom they might not have let in is forgotten."""
        with self._lock:
            if options != self.tracker.options:
                self.tracker.options = options
                self.tracker.forget()

    def forget(self, detectors: Sequence[Detector]) -> None:
        """Know nobody any more, and go on with new detectors; any thread."""
        with self._lock:
            self.tracker.forget()
        self.detectors = tuple(detectors)

    def expect(self, at_ns: int) -> list[Pose]:
        """Return the people of the newest frame where they should be by then; any thread.

        It never waits for a frame, only while the people of one are being sorted.
        """
        with self._lock:
            return [track.pose for track in self.tracker.predict(at_ns) if track.id in self._seen]

    @property
    def presence(self) -> Presence:
        """Whether anybody is before the camera, as far as the newest frame and events know."""
        state = self.state
        if self._seen or state.get("occupied") or state.get("fall"):
            return "somebody"
        return "maybe" if self._hoped else "nobody"

    @property
    def state(self) -> dict[str, Any]:
        """The camera's state as the detectors see it: keys of the topic `C/state`."""
        return {key: value for detector in self.detectors for key, value in detector.state.items()}


class Composer:
    """Puts what a frame brought into messages for one camera's topics.

    Parameters
    ----------
    extra : mapping, optional
        Keys of `C/state` that no detector knows.
    picture : callable, optional
        Takes what `compose` takes and returns pictures to send with it.
    packed : bool
        Whether poses are said in MessagePack too.
    """

    def __init__(
        self,
        topics: messages.CameraTopics,
        *,
        model: Callable[[], str],
        follower: Follower,
        clock: Clock,
        extra: Mapping[str, Any] = MappingProxyType({}),
        picture: Compose | None = None,
        packed: bool = False,
    ) -> None:
        self.extra = extra
        self._picture = picture
        self._packed = packed
        self._topics = topics
        self._model = model
        self._follower = follower
        self._clock = clock
        self._seq = 0
        self._seen: dict[str, Any] = {}
        self._state: dict[str, Any] | None = None

    def compose(
        self, frame: Frame, tracks: Sequence[Track], events: Sequence[Event]
    ) -> list[Message]:
        """Return the frame's poses, what has happened, and the state if it is another now."""
        self._seq += 1
        latency_ms = (self._clock.now_ns() - frame.read_ns) / NS_PER_MS
        composed = [
            messages.poses(
                self._topics,
                frame,
                tracks,
                seq=self._seq,
                latency_ms=latency_ms,
                model=self._model(),
            )
        ]
        if self._packed:
            composed.append(messages.packed(self._topics, composed[0]))
        composed += [messages.event(self._topics, event, frame) for event in events]
        if self._picture is not None:
            composed += self._picture(frame, tracks, events)
        self._seen = self._follower.state
        if self._state != self._now():
            composed.append(self.tell())
        return composed

    def forget(self) -> None:
        """Know nothing of the camera until its next frame; any thread."""
        self._seen = {}

    def tell(self) -> Message:
        """Return the camera's state; any thread."""
        self._state = self._now()
        return messages.state(self._topics, [self._state])

    def _now(self) -> dict[str, Any]:
        """While it is paused nobody is there, as far as anybody knows."""
        nobody: dict[str, Any] = {"zones": {zone.id: {} for zone in self._follower.zones}}
        seen = {} if self.extra.get("paused") else self._seen
        return {**nobody, **seen, **self.extra}


class Pipeline:
    """One camera's walk from pixels to messages; the nouns of `structures` pass between the lines.

    `process` is the whole of it. The daemon runs its three parts on three
    threads, in this order, so that preparing the next frame and finishing the
    last one overlap the network.

    Parameters
    ----------
    keeps_picture : bool
        Whether composing shows the camera's picture; else it goes as soon as it is
        prepared, because several frames are under way and each is a megabyte.
    """

    def __init__(
        self,
        estimator: Estimator,
        follower: Follower,
        compose: Compose,
        health: CameraHealth,
        clock: Clock,
        *,
        view: View | None = None,
        keeps_picture: bool = False,
    ) -> None:
        self.limits: Limits | None = None
        """How sure and how many, where this camera differs from the others."""

        self._estimator = estimator
        self._follower = follower
        self._view = view or View()
        self._keeps_picture = keeps_picture
        self._turn = 0
        # Timed here, once, so that the walk below stays clean.
        plain, show = self._view.plain, self._view.show
        self.show = show if plain else health.timed("show", show, clock)
        self.prepare = health.timed("prepare", self._prepare, clock)
        self.infer = estimator.infer
        self.decode = health.timed("decode", self._decode, clock)
        self.follow = health.timed("follow", follower.follow, clock)
        self.compose = health.timed("compose", compose, clock)

    @property
    def presence(self) -> Presence:
        """Whether anybody is before the camera."""
        return self._follower.presence

    def process(self, frame: Frame) -> list[Message]:
        """Walk one frame from pixels to messages."""
        frame = self.show(frame)
        glance = self.prepare(frame)
        outputs = self.infer(glance)
        return self.finish(self.lighten(frame), glance, outputs)

    def lighten(self, frame: Frame) -> Frame:
        """Let a frame's picture go once it has been prepared, unless it is to be shown."""
        return frame if self._keeps_picture else frame.without_picture()

    def finish(self, frame: Frame, glance: Any, outputs: Any) -> list[Message]:
        """Walk the part behind the network."""
        poses = self.decode(frame, glance, outputs)
        still = bool(frame.name)
        tracks, events = self.follow(poses, frame.captured_ns, frame.size, still=still)
        return self.compose(frame, tracks, events)

    def _prepare(self, frame: Frame) -> Any:
        """Look where the people of the newest frame should be by now."""
        self._turn += 1
        people = self._follower.expect(frame.captured_ns) if self._estimator.looks_back else ()
        inward = self._view.inward(people, frame.size)
        return self._estimator.prepare(self._view.part(frame.image), inward, self._turn)

    def _decode(self, frame: Frame, glance: Any, outputs: Any) -> Sequence[Pose]:
        poses = self._estimator.decode(glance, outputs, limits=self.limits)
        return self._view.outward(poses, frame.size)
