"""Data types that the pipeline's stages exchange.

Frames become model inputs, the network's outputs become poses, poses become tracks, tracks become
events, all become messages. All types are immutable. The type defines the coordinates: `Pose` is
in frame pixels, `ModelPose` in model pixels. Positions are floats until they are printed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, Protocol

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
"""Names of a pose's keypoints in COCO's order; left and right are the person's own."""

Posture = Literal["standing", "sitting", "lying", "unknown"]
PostureDetail = Literal["crouching", "kneeling", "bending", "on_all_fours", "walking"]
NOT_FOLLOWED: Final = 0
"""Track id of a person in a single picture, where no tracker runs."""

LOST_S: Final = 2.0
"""Seconds for which a lost track keeps its id; a person seen again sooner has not left."""

Kind = Literal["poses", "stats", "snapshot", "answer", "state", "event"]

PAYLOAD_VERSION: Final = 1
"""Version of the payloads, published as `v`; incremented by incompatible changes."""


class Size(NamedTuple):
    """Width and height."""

    width: int
    height: int

    def within(self, longest: int) -> "Size":
        """Return the size scaled down, if needed, so that no side is longer than `longest`."""
        part = min(1.0, longest / max(self))
        return Size(max(1, round(self.width * part)), max(1, round(self.height * part)))


class Box(NamedTuple):
    """An axis-aligned rectangle: top left corner and size."""

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

    def contains(self, x: float, y: float) -> bool:
        """Whether a point is inside the box or on its border."""
        return self.x <= x <= self.x + self.width and self.y <= y <= self.y + self.height

    def iou(self, other: "Box") -> float:
        """Return the intersection over union of two boxes, from 0 (disjoint) to 1 (equal)."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        if width <= 0 or height <= 0:
            return 0.0
        shared = width * height
        return shared / (self.area + other.area - shared)


class DecodedPicture(Protocol):
    """A picture in its decoder's planes: luma, and two of colour at half the width and height."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and 3, as of an RGB image; width and height are even."""

    @property
    def planes(self) -> tuple[Image, Image, Image]:
        """Y, U and V, each (height, width)."""

    def colours(self, pixels: Image) -> Image:
        """Convert pixels ``Y, U, V`` (height, width, 3) of any size to RGB."""

    def cut(self, left: int, top: int, right: int, bottom: int) -> Image:
        """Return a part of the picture as RGB, within its bounds."""

    def to_rgb(self) -> Image:
        """Return the whole picture as RGB. Thread-safe."""


Picture = Image | DecodedPicture


@lru_cache(maxsize=16)
def black_image(shape: tuple[int, ...]) -> Image:
    """Return a black image that takes no memory."""
    return np.broadcast_to(np.uint8(0), shape)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """An image from a source with its capture time.

    Attributes
    ----------
    picture : (height, width, 3)
        RGB, uint8; never written to. Or a decoded picture that is not converted yet.
    captured_ns : int
        Capture time in nanoseconds on the monotonic clock. All stages use it as the current time.
        Frames of a file follow each other at the file's rate.
    unix_ns : int
        The same time as Unix time in nanoseconds; for payloads only.
    read_ns : int
        Start of the latency measurement, on the monotonic clock: `captured_ns` for a camera, the
        time of reading for a file.
    name : str
        Path of a picture file; empty for cameras and videos.
    """

    picture: Picture
    captured_ns: int
    unix_ns: int
    read_ns: int
    name: str = ""

    @property
    def image(self) -> Image:
        """The picture as RGB, (height, width, 3), uint8; never written to."""
        return self.picture if isinstance(self.picture, np.ndarray) else self.picture.to_rgb()

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return Size(self.picture.shape[1], self.picture.shape[0])

    def without_picture(self) -> "Frame":
        """Return the frame with a black image of the same size that takes no memory."""
        black = black_image(self.picture.shape)
        return self if self.picture is black else replace(self, picture=black)


@dataclass(frozen=True, slots=True, eq=False)
class ModelPose:
    """A decoded person in model pixels."""

    keypoints: Floats
    """(17, 3): x to the right and y down in pixels of the model's input, score within [0, 1]."""

    score: float
    """Confidence of the detection, within [0, 1]."""

    box: Box | None = None
    """Box predicted by the model; None if the model predicts no boxes."""


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """A person in frame pixels.

    ``pose["left_elbow"]`` is the keypoint of that name, ``dict(pose)`` has all of them.

    Attributes
    ----------
    keypoints : (17, 3)
        In the order of `KEYPOINTS`: x to the right and y down in pixels, score within
        [0, 1]; float32. Positions may lie outside the frame.
    score : float
        Confidence of the detection, within [0, 1].
    box : Box
        Bounding box: x, y, width and height in pixels.

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
        """Return the keypoint of this name, (3,): x, y, score."""
        if name not in KEYPOINTS:
            raise KeyError(unknown("keypoint", str(name), KEYPOINTS))
        keypoint: Floats = self.keypoints[KEYPOINTS.index(name)]
        return keypoint

    def keys(self) -> tuple[str, ...]:
        """Return the names of all keypoints in order."""
        return KEYPOINTS


class Place(NamedTuple):
    """Position and motion of a person on the floor, in metres."""

    at: tuple[float, float]
    """(x, y) in the coordinate frame of the floor."""

    speed: float | None
    """Metres a second; None until enough frames were seen."""

    heading_deg: float | None
    """Direction of motion in degrees: 0 along x, 90 along y; None for a person who stands."""

    height: float | None
    """Height of the head's centre above the floor; None if the head or the camera's position is
    unknown."""


@dataclass(frozen=True, slots=True, eq=False)
class CandidatePose(Pose):
    """A detection without a track, to be confirmed by refinement."""


@dataclass(frozen=True, slots=True, eq=False)
class FallenPose(Pose):
    """Last known position of a person who fell: a region to search, not a detection.

    The box is a square around that position, as large as the body was before the fall.
    """

    visible: bool = False
    """Whether the person was detected in the latest frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A tracked person, as seen in one frame."""

    id: int
    """Constant while the person is in view; not reused while the daemon runs. `NOT_FOLLOWED` in a
    single picture."""

    pose: Pose
    """The person's pose in this frame."""

    since_ns: int
    """Time of the first detection, on the frames' monotonic clock."""

    posture: Posture = "unknown"
    """Posture of the body."""

    zones: tuple[str, ...] = ()
    """Ids of the zones that contain the ground point."""

    ground: tuple[float, float] | None = None
    """Ground point (x, y) in frame pixels; may lie outside the frame. None if not computed."""

    frame: Size | None = None
    """Size of the frame that `ground` refers to."""

    moving: bool | None = None
    """Whether the person moved within the last second; None if not computed."""

    velocity: tuple[float, float] | None = None
    """Velocity of `ground` in pixels a second; None until enough frames were seen."""

    facing_deg: float | None = None
    """Direction that the body faces: 0 towards the camera, 180 away from it, 90 to the right of the
    image; None if seen from the side."""

    place: Place | None = None
    """Position on the floor; None without a floor calibration or for feet above the horizon."""

    cut: bool = False
    """Whether the body reaches the edge of the frame: parts of it may be outside."""

    posture_detail: PostureDetail | None = None
    """More of the posture; None where it is none of these or unknown."""


@dataclass(frozen=True, slots=True)
class Event:
    """An occurrence at one moment, such as a fall or a zone entered."""

    type: str
    """Event type, such as ``zone_entered``."""

    at_ns: int
    """Time of the event, on the frames' monotonic clock."""

    person: int | None
    """Track id; None if the event is not about one person."""

    score: float
    """Confidence, within [0, 1]."""

    data: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the event; JSON-serialisable."""


@dataclass(frozen=True, slots=True)
class Message:
    """An outgoing MQTT message."""

    topic: str
    payload: bytes
    kind: Kind
    """Delivery policy while the broker is unreachable: of `state` the latest message per topic is
    kept, `event` waits on disk, all others are dropped."""

    qos: Literal[0, 1] = 0
    retain: bool = False
    expiry_s: int | None = None
    """MQTT 5 message expiry interval in seconds."""

    content_type: str = "application/json"

    read_ns: int = 0
    """`Frame.read_ns` of the frame that the message is about, to measure latency; 0 for none."""

    revision: int = 0
    """Order of the states of a topic: one with a lower revision than the latest is outdated. 0 for
    messages that cannot arrive out of order."""

    correlation: bytes | None = None
    """MQTT 5 correlation data of a response, copied from the request."""

    is_requested: bool = False
    """Whether a clip was made on request and not for an event. Not sent."""


Compose = Callable[[Frame, Sequence[Track], Sequence[Event]], list[Message]]
"""Turns a frame, its tracks and its events into messages."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message received from a subscribed topic."""

    topic: str
    payload: bytes
    retained: bool
    """Whether the broker had stored the message before the subscription."""

    response_topic: str | None = None
    """MQTT 5 response topic of a request."""

    correlation: bytes | None = None
    """MQTT 5 correlation data, to be copied to the response."""
