"""Frames of a recording, with poses in pixels and times in order."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from edgepose.errors import in_words
from edgepose.mqtt import messages
from edgepose.mqtt.messages import PersonMessage, PosesMessage
from edgepose.recording.reader import UNREADABLE, RecordedEntry, Recording, RecordingError
from edgepose.skeleton import JOINT_NAMES
from edgepose.timing import NS_PER_MS, NS_PER_S, unix_ns
from edgepose.types import Box, Frame, Pose, Size

log = logging.getLogger(__name__)

JUMP_S: Final = 5.0  # a clock that was set: a Pi starts without knowing the time


@dataclass(frozen=True, slots=True, eq=False)
class RecordedPose(Pose):
    """A pose with the id it had; None where nobody was followed."""

    person: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RecordedFrame:
    """What was seen in one frame."""

    device: str
    camera: str
    seq: int
    model: str
    size: Size
    at_ns: int
    """On a clock that never goes back, in steps as the camera's."""

    unix_ns: int
    """The same moment in wall time, as recorded: to the millisecond."""

    poses: tuple[RecordedPose, ...]

    @property
    def frame(self) -> Frame:
        """The frame without its picture: black, and of no size in memory."""
        shape = (self.size.height, self.size.width, 3)
        image = np.broadcast_to(np.zeros((), dtype=np.uint8), shape)
        return Frame(image, self.at_ns, self.unix_ns, self.at_ns)


def frames(recording: Recording, camera: str | None = None) -> Iterator[RecordedFrame]:
    """Yield the frames of a recording in order, of one camera or of all.

    Their times step as the pictures did. Where the wall clock was set meanwhile, the
    time at which the message came says how long the step was.

    A message that is none of ours is left out with a warning: anything may have been published.
    """
    clocks: dict[tuple[str, str], _Steps] = {}
    for entry in recording.entries():
        try:
            frame = _frame(recording, entry, clocks, camera)
        except UNREADABLE as error:
            log.warning(
                "%s: the message at %.3f s on %s is left out: %s",
                recording.path,
                entry.t_s,
                entry.topic,
                in_words(error),
            )
            continue
        if frame is not None:
            yield frame


def _frame(
    recording: Recording,
    entry: RecordedEntry,
    clocks: dict[tuple[str, str], "_Steps"],
    camera: str | None,
) -> RecordedFrame | None:
    """Return the frame that a message describes; None for another kind of message."""
    if not entry.topic.endswith(("/poses", "/poses/msgpack")):
        return None
    message = messages.read(recording.base_topic, entry.topic, entry.payload)
    if not isinstance(message, PosesMessage) or camera not in {None, message.camera}:
        return None
    if min(message.width, message.height) < 1:
        msg = f"a picture of {message.width} x {message.height} pixels"
        raise RecordingError(msg)
    captured_ns = unix_ns(message.captured_at)
    poses = tuple(_pose(person) for person in message.poses)
    steps = clocks.setdefault((message.device, message.camera), _Steps())
    return RecordedFrame(
        message.device,
        message.camera,
        message.seq,
        message.model,
        Size(message.width, message.height),
        steps.to(captured_ns, round(entry.t_s * NS_PER_S)),
        captured_ns,
        poses,
    )


class _Steps:
    """Time from frame to frame."""

    def __init__(self) -> None:
        self._before: tuple[int, int] | None = None
        self._at_ns = 0

    def to(self, captured_ns: int, came_ns: int) -> int:
        """Return the time of a frame, later than that of the one before."""
        if self._before is None:
            self._at_ns = captured_ns
        else:
            step, came = captured_ns - self._before[0], came_ns - self._before[1]
            if step <= 0 or abs(step - came) > JUMP_S * NS_PER_S:
                step = max(came, NS_PER_MS)
            self._at_ns += step
        self._before = captured_ns, came_ns
        return self._at_ns


def _pose(person: PersonMessage) -> RecordedPose:
    keypoints = np.array(person.keypoints, dtype=np.float32).reshape(-1, 3)
    if len(keypoints) != len(JOINT_NAMES):
        msg = f"a pose has {len(keypoints)} keypoints; expected {len(JOINT_NAMES)}"
        raise RecordingError(msg)
    return RecordedPose(keypoints, person.score, Box(*person.bbox), person.id)
