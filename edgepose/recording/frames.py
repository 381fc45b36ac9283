"""Frames of a recording, with poses in pixels and monotonic times."""

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
from edgepose.types import Box, Frame, Pose, Size, black_image

log = logging.getLogger(__name__)

JUMP_S: Final = 5.0  # a larger difference means that the clock was set, as after the boot of a Pi


@dataclass(frozen=True, slots=True, eq=False)
class RecordedPose(Pose):
    """A pose with its recorded track id; None if the recording has no tracks."""

    person: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RecordedFrame:
    """Poses and metadata of one recorded frame."""

    device: str
    camera: str
    seq: int
    model: str
    size: Size
    at_ns: int
    """Capture time on a monotonic clock."""

    unix_ns: int
    """Capture time as recorded wall time, in nanoseconds with millisecond resolution."""

    poses: tuple[RecordedPose, ...]

    @property
    def frame(self) -> Frame:
        """The frame with a black picture that takes no memory."""
        image = black_image((self.size.height, self.size.width, 3))
        return Frame(image, self.at_ns, self.unix_ns, self.at_ns)


def frames(recording: Recording, camera: str | None = None) -> Iterator[RecordedFrame]:
    """Yield the frames of a recording in order, of one camera or of all.

    Time steps are those of the capture times. Where the wall clock was set in between, the
    step is that of the arrival times.

    Skips invalid messages with a warning, since any client may publish on these topics.
    """
    clocks: dict[tuple[str, str], _Steps] = {}
    for entry in recording.entries():
        try:
            frame = _frame_of(recording, entry, clocks, camera)
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


def _frame_of(
    recording: Recording,
    entry: RecordedEntry,
    clocks: dict[tuple[str, str], "_Steps"],
    camera: str | None,
) -> RecordedFrame | None:
    """Return the frame of a poses message; None for other messages and cameras."""
    if not entry.topic.endswith(("/poses", "/poses/msgpack")):
        return None
    message = messages.read(recording.base_topic, entry.topic, entry.payload)
    if not isinstance(message, PosesMessage) or camera not in {None, message.camera}:
        return None
    if min(message.width, message.height) < 1:
        msg = f"a picture of {message.width} x {message.height} pixels"
        raise RecordingError(msg)
    captured_ns = unix_ns(message.captured_at)
    poses = tuple(_pose_of(person) for person in message.poses)
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
    """Monotonic frame times of one camera."""

    def __init__(self) -> None:
        self._before: tuple[int, int] | None = None
        self._at_ns = 0

    def to(self, captured_ns: int, came_ns: int) -> int:
        """Return the time of a frame, always later than that of the previous frame."""
        if self._before is None:
            self._at_ns = captured_ns
        else:
            step, came = captured_ns - self._before[0], came_ns - self._before[1]
            if step <= 0 or abs(step - came) > JUMP_S * NS_PER_S:
                step = max(came, NS_PER_MS)
            self._at_ns += step
        self._before = captured_ns, came_ns
        return self._at_ns


def _pose_of(person: PersonMessage) -> RecordedPose:
    keypoints = np.array(person.keypoints, dtype=np.float32).reshape(-1, 3)
    if len(keypoints) != len(JOINT_NAMES):
        msg = f"a pose has {len(keypoints)} keypoints; expected {len(JOINT_NAMES)}"
        raise RecordingError(msg)
    return RecordedPose(keypoints, person.score, Box(*person.bbox), person.id)
