"""The stages of one camera's frames, in order."""

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
"""Names of the timed stages, in the order in which a frame passes them."""


class Pipeline:
    """Turns one camera's frames into messages.

    `process` runs all stages. The daemon runs the parts before, in and after the network on
    three threads, so that preparing the next frame and finishing the last one overlap the
    inference. The values between the stages are defined in `edgepose.types`.

    Parameters
    ----------
    keeps_picture : bool
        Whether `compose` needs the image. If not, the image is released after `prepare`:
        several frames are in progress, and each takes about a megabyte.
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
        """Decoder limits of this camera; None for those of the estimator."""

        self._estimator = estimator
        self._follower = follower
        self._view = view or ImageTransform()
        self._keeps_picture = keeps_picture
        self._turn = 0
        # Timing is added here once, so that `process` shows only the order of the stages.
        plain, show = self._view.is_identity, self._view.apply
        self.transform = show if plain else health.timed("show", show, clock)
        self.prepare = health.timed("prepare", self._prepare_inputs, clock)
        self.infer = estimator.infer
        self.decode = health.timed("decode", self._decode_poses, clock)
        self.follow = health.timed("follow", follower.follow, clock)
        self.compose = health.timed("compose", compose, clock)

    @property
    def presence(self) -> Presence:
        """Whether people are in view of the camera: `nobody`, `maybe` or `somebody`."""
        return self._follower.presence

    def process(self, frame: Frame) -> list[Message]:
        """Run all stages on one frame and return its messages."""
        frame = self.transform(frame)
        inputs = self.prepare(frame)
        outputs = self.infer(inputs)
        return self.finish(self.drop_image(frame), inputs, outputs)

    def drop_image(self, frame: Frame) -> Frame:
        """Return the frame without its image, unless `compose` needs the image."""
        return frame if self._keeps_picture else frame.without_picture()

    def finish(self, frame: Frame, inputs: Any, outputs: Any) -> list[Message]:
        """Run the stages after the network and return the frame's messages."""
        poses = self.decode(frame, inputs, outputs)
        still = bool(frame.name)
        tracks, events = self.follow(poses, frame.captured_ns, frame.size, still=still)
        return self.compose(frame, tracks, events)

    def _prepare_inputs(self, frame: Frame) -> Any:
        """Prepare the model inputs, from the predicted poses where the estimator uses tracks."""
        self._turn += 1
        people = self._follower.predict_people(
            frame.captured_ns, tracks=self._estimator.uses_tracks
        )
        in_roi = self._view.to_roi(people, frame.size)
        return self._estimator.prepare(self._view.crop_frame(frame), in_roi, self._turn)

    def _decode_poses(self, frame: Frame, inputs: Any, outputs: Any) -> Sequence[Pose]:
        poses = self._estimator.decode(inputs, outputs, limits=self.limits)
        return self._view.to_frame(poses, frame.size)
