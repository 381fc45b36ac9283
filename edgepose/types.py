"""The nouns: what one stage hands to the next.

A frame becomes a tensor, the network's outputs become poses, poses become
tracks, tracks become events, all become messages. Everything here is frozen.
Coordinates are said by the type: `Pose` is in frame pixels, `ModelPose` in
model pixels. Positions stay floats until they are printed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgepose.suggestions import unknown

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

KEYPOINTS: Final = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""Names of a pose's keypoints, in COCO's order; left and right are the person's own."""

Posture = Literal["standing", "sitting", "lying", "unknown"]
NOT_FOLLOWED: Final = 0
"""Stands for the id of a person that nobody follows."""

LOST_S: Final = 2.0
"""How long somebody out of sight keeps the id: who comes back sooner has left nothing."""

Kind = Literal["poses", "stats", "snapshot", "answer", "state", "event"]

PAYLOAD_VERSION: Final = 1
"""Of what is published, as `v` in each payload; a change that breaks readers raises it."""


class Size(NamedTuple):
    """Width and height, in that order everywhere."""

    width: int
    height: int

    def within(self, longest: int) -> "Size":
        """Return it in the same shape with no side longer than this; itself if none is."""
        part = min(1.0, longest / max(self))
        return Size(max(1, round(self.width * part)), max(1, round(self.height * part)))


class Box(NamedTuple):
    """An upright rectangle: its top left corner and its size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def centre(self) -> tuple[float, float]:
        """The middle point ``(x, y)``."""
        return self.x + self.width / 2, self.y + self.height / 2

    @property
    def area(self) -> float:
        """Width times height."""
        return self.width * self.height

    def iou(self, other: "Box") -> float:
        """Return the shared part of two boxes, from 0 (apart) to 1 (the same)."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        if width <= 0 or height <= 0:
            return 0.0
        shared = width * height
        return shared / (self.area + other.area - shared)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture from a source and the moment it shows.

    Attributes
    ----------
    image : (height, width, 3)
        RGB, uint8; never written to.
    captured_ns : int
        When the picture was taken, in nanoseconds on the monotonic clock: all stages take
        "now" from here. Pictures of a file are placed after each other at the file's rate.
    unix_ns : int
        The same moment in wall time; for payloads only.
    read_ns : int
        What latency counts from, on the monotonic clock: for a camera `captured_ns`, for a
        file the moment the picture was read.
    name : str
        Path of the picture where it has one of its own; empty for cameras and videos.
    """

    image: Image
    captured_ns: int
    unix_ns: int
    read_ns: int
    name: str = ""

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return Size(self.image.shape[1], self.image.shape[0])

    def without_picture(self) -> "Frame":
        """Return it all black: it then takes no memory, however large it is."""
        return replace(self, image=np.broadcast_to(np.uint8(0), self.image.shape))


@dataclass(frozen=True, slots=True, eq=False)
class ModelPose:
    """A person as the decoder found it, in model pixels."""

    keypoints: Floats
    """(17, 3): x rightward and y down in pixels of the model's input, score in [0, 1]."""

    score: float
    """How sure the model is that this is a person, within [0, 1]."""

    box: Box | None = None
    """Where the model itself says the person is; None when it does not say."""


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """A person in frame pixels: what everything after the decoder reads.

    ``pose["left_elbow"]`` is one keypoint by its name, ``dict(pose)`` all of them.

    Attributes
    ----------
    keypoints : (17, 3)
        In the order of `KEYPOINTS`: x to the right and y down in pixels, score within
        [0, 1]; float32. A keypoint outside the frame keeps its place there.
    score : float
        How sure the model is that this is a person, within [0, 1].
    box : Box
        Around the person: x, y, width and height in pixels.

    Examples
    --------
    >>> pose = Pose(np.arange(51, dtype=np.float32).reshape(17, 3), 0.9, Box(0, 1, 48, 48))
    >>> x, y, score = pose["left_elbow"]
    >>> float(x), float(y)
    (21.0, 22.0)
    """

    keypoints: Floats
    score: float
    box: Box

    def __getitem__(self, name: str) -> Floats:
        """Return the keypoint of this name: x, y, score."""
        if name not in KEYPOINTS:
            raise KeyError(unknown("keypoint", str(name), KEYPOINTS))
        keypoint: Floats = self.keypoints[KEYPOINTS.index(name)]
        return keypoint

    def keys(self) -> tuple[str, ...]:
        """Return the names of all keypoints, in order."""
        return KEYPOINTS


class Place(NamedTuple):
    """Where a person is on the floor, in metres."""

    at: tuple[float, float]
    """x and y in the coordinate frame of the floor."""

    speed: float | None
    """Metres a second; None before enough has been seen."""

    heading_deg: float | None
    """Where the person goes: 0 along x, 90 along y; None for one who stands."""

    height: float | None
    """The middle of the head above the floor; None where the head or the camera's place is
    not known."""


@dataclass(frozen=True, slots=True, eq=False)
class CandidatePose(Pose):
    """A detection that is no track yet: a second look decides."""


@dataclass(frozen=True, slots=True, eq=False)
class FallenPose(Pose):
    """Where a person who dropped was seen last; a place to look at, not a detection.

    Its box is a square around that place, as large as the body was before.
    """

    visible: bool = False
    """Whether the person is seen in the newest frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A person followed through time, as seen in one frame."""

    id: int
    """Stable while the person is in view; never used again while the daemon runs.
    `NOT_FOLLOWED` for somebody in a single picture."""

    pose: Pose
    """Where the person is in this frame."""

    since_ns: int
    """When the person was first seen."""

    posture: Posture = "unknown"
    """What the body does."""

    zones: tuple[str, ...] = ()
    """Ids of the zones the person stands in."""

    ground: tuple[float, float] | None = None
    """Where the person stands, in frame pixels; may lie outside the frame. None where that
    was not looked for."""

    frame: Size | None = None
    """The size of the frame that `ground` is in."""

    moving: bool | None = None
    """Moved within the last second; None where that is not watched."""

    velocity: tuple[float, float] | None = None
    """Of `ground`, in pixels a second; None before enough has been seen."""

    facing_deg: float | None = None
    """Where the front points: 0 towards the camera, 180 away, 90 to the right of the picture;
    None from the side."""

    place: Place | None = None
    """None without a floor, and for feet above the horizon."""

    cut: bool = False
    """Whether the body reaches the edge of the frame, so that a part may be outside."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: past tense, with its moment and its person."""

    type: str
    """Such as ``zone_entered``; the contract lists them."""

    at_ns: int
    """When it happened, on the frames' monotonic clock."""

    person: int | None
    """Track id, where the event is one person's."""

    score: float
    """How sure we are, within [0, 1]."""

    data: Mapping[str, Any] = field(default_factory=dict)
    """What else there is to say; JSON-able."""


@dataclass(frozen=True, slots=True)
class Message:
    """Bytes for one topic."""

    topic: str
    payload: bytes
    kind: Kind
    """Says what happens to it while the broker is away: of `state` the latest a topic is
    kept, an `event` waits on disk, all others are dropped."""

    qos: Literal[0, 1] = 0
    retain: bool = False
    expiry_s: int | None = None
    """MQTT 5: the broker forgets it after so many seconds."""

    content_type: str = "application/json"

    read_ns: int = 0
    """`Frame.read_ns` of the frame it tells of, for measuring latency; 0 for none."""

    revision: int = 0
    """Of a state: one with a lower revision than the latest of its topic is out of date.
    0 for messages that no other can overtake."""

    correlation: bytes | None = None
    """MQTT 5: of an answer, what tells the asker which question it belongs to."""


Compose = Callable[[Frame, Sequence[Track], Sequence[Event]], list[Message]]
"""Turns a frame, its tracks and its events into messages."""


@dataclass(frozen=True, slots=True)
class Received:
    """What came in from a topic we listen to."""

    topic: str
    payload: bytes
    retained: bool
    """True for a message that was there before we came."""

    response_topic: str | None = None
    """MQTT 5: where the answer is wanted."""

    correlation: bytes | None = None
    """MQTT 5: what the answer has to carry, unchanged."""
