"""The order of the stages; one frame's walk."""

from collections.abc import Sequence
from typing import Any, Final

from edgepose.camera.health import CameraHealth
from edgepose.camera.view import ImageTransform
from edgepose.people.follower import Follower, Presence
from edgepose.pose.decoders import Limits
from edgepose.pose.estimator import Estimator
from edgepose.timing import Clock
from edgepose.types import Compose, Frame, Message, Pose

STAGES: Final = ("show", "prepare", "infer", "decode", "follow", "compose", "publish")
"""What is timed, in the order of a frame's walk."""


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
        view: ImageTransform | None = None,
        keeps_picture: bool = False,
    ) -> None:
        self.limits: Limits | None = None
        """Limits of this camera where they differ from the configured ones."""

        self._estimator = estimator
        self._follower = follower
        self._view = view or ImageTransform()
        self._keeps_picture = keeps_picture
        self._turn = 0
        # Timed here, once, so that the walk below stays clean.
        plain, show = self._view.is_identity, self._view.apply
        self.transform = show if plain else health.timed("show", show, clock)
        self.prepare = health.timed("prepare", self._prepare, clock)
        self.infer = estimator.infer
        self.decode = health.timed("decode", self._decode, clock)
        self.follow = health.timed("follow", follower.follow, clock)
        self.compose = health.timed("compose", compose, clock)

    @property
    def presence(self) -> Presence:
        """Whether people are in view of the camera."""
        return self._follower.presence

    def process(self, frame: Frame) -> list[Message]:
        """Walk one frame from pixels to messages."""
        frame = self.transform(frame)
        inputs = self.prepare(frame)
        outputs = self.infer(inputs)
        return self.finish(self.drop_image(frame), inputs, outputs)

    def drop_image(self, frame: Frame) -> Frame:
        """Return the frame without its picture, unless that is needed after the inference."""
        return frame if self._keeps_picture else frame.without_picture()

    def finish(self, frame: Frame, inputs: Any, outputs: Any) -> list[Message]:
        """Walk the part behind the network."""
        poses = self.decode(frame, inputs, outputs)
        still = bool(frame.name)
        tracks, events = self.follow(poses, frame.captured_ns, frame.size, still=still)
        return self.compose(frame, tracks, events)

    def _prepare(self, frame: Frame) -> Any:
        """Look where the people of the newest frame should be by now."""
        self._turn += 1
        people = self._follower.expect(frame.captured_ns) if self._estimator.uses_tracks else ()
        in_roi = self._view.to_roi(people, frame.size)
        return self._estimator.prepare(self._view.crop_to_roi(frame.image), in_roi, self._turn)

    def _decode(self, frame: Frame, inputs: Any, outputs: Any) -> Sequence[Pose]:
        poses = self._estimator.decode(inputs, outputs, limits=self.limits)
        return self._view.to_frame(poses, frame.size)
