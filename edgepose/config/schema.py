"""The configuration: one frozen structure for each table of the TOML file.

`docs/config.md`, `edgepose config init` and the JSON Schema are generated from the text under
each field; values are validated against its type. To add a key, add a field with a default and
a text; no other file changes.
"""

import re
import socket
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from edgepose.config.gesture_rules import BUILT_IN, Gesture

# "$" alone would accept a final line break.
Id = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9_-]{1,64}(?!\n)$",
        description='an id of at most 64 letters a to z, digits, "-" and "_"',
    ),
]
Topic = Annotated[
    str,
    Meta(
        pattern=r"^(?!\$)[^/#+\x00-\x1f\x7f]+(/[^/#+\x00-\x1f\x7f]+)*(?!\n)$",
        description='a topic without wildcards and without "/" at its ends',
    ),
]
ClientId = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f]{0,256}(?!\n)$",
        description="a client id of at most 256 printable letters",
    ),
]
Text = Annotated[str, Meta(min_length=1, description="a text that is not empty")]
Part = Annotated[float, Meta(ge=0, le=1, description="a number from 0 to 1")]
Seconds = Annotated[float, Meta(ge=0, le=3600, description="seconds from 0 to 3600")]
Point = Annotated[
    tuple[Part, Part], Meta(description="a corner [x, y] within the frame, from 0 to 1")
]
Polygon = Annotated[
    tuple[Point, ...],
    Meta(
        min_length=3,
        description="three or more corners [x, y] within the frame, from 0 to 1",
        examples=[[[0.1, 0.5], [0.6, 0.5], [0.6, 1.0], [0.1, 1.0]]],
    ),
]
Host = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(?!\n)$",
        description='a name such as "pose.example", without "https://" and port',
    ),
]
PageUrl = Annotated[
    str,
    Meta(
        pattern=r"^((https?|homeassistant)://[^\s]+(?!\n))?$",
        description="an address that begins with https://, http:// or homeassistant://",
    ),
]
IpAddress = Annotated[
    str,
    Meta(description='an IP address such as "172.30.32.2"'),
]
BuiltIn = Literal[
    "hand_raised", "wave", "both_hands_up", "t_pose", "pointing_left", "pointing_right"
]
Sentence = Annotated[str, Meta(description='a condition such as "wrist above shoulder by 0.4"')]


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """Base class of the tables; refuses unknown keys."""


def host_id() -> str:
    """Return this machine's name as an id."""
    name = re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().partition(".")[0].lower())
    return name.strip("-")[:64] or "edgepose"


class Device(Table, frozen=True, kw_only=True):
    """Identity of this daemon on MQTT and in Home Assistant."""

    id: Annotated[Id, Meta(examples=["hall-pi"])] = field(default_factory=host_id)
    """Part of every topic. Default: the host name."""

    name: str = ""
    """Display name. Empty: the id."""

    @property
    def title(self) -> str:
        """The display name; the id if no name is configured."""
        return self.name or self.id


class Mqtt(Table, frozen=True, kw_only=True):
    """The MQTT broker."""

    url: Text = "mqtt://localhost:1883"
    """`mqtt://HOST:PORT`, `mqtts://HOST:PORT` for TLS, or `embedded` or `embedded:PORT` to
    start a broker that only this machine can reach: mosquitto if it is installed, else amqtt
    (extra `broker`). Several servers of a cluster: `mqtt://HOST:PORT,HOST:PORT`; if one does
    not answer, the next one is tried."""

    username: str = ""
    """User name. Empty: the broker requires none."""

    password_file: str = ""
    """A file that contains only the password. Empty: the systemd credential `mqtt-password` or
    the environment variable `EDGEPOSE_MQTT_PASSWORD` is used."""

    client_id: ClientId = ""
    """The client id, for brokers that accept only certain ids. Empty: `edgepose-`, the
    device's id and a random part. Two clients with the same id end each other's sessions."""

    ca_file: str = ""
    """PEM file of the certificate authority that signed the broker's certificate. Empty: the
    authorities that the system trusts."""

    cert_file: str = ""
    """PEM file of the client certificate, for brokers that require one."""

    key_file: str = ""
    """PEM file of the private key. Empty: the key is in `cert_file`."""

    base_topic: Topic = "edgepose"
    """Prefix of every topic: `base_topic/device/camera/poses`."""

    protocol: Annotated[Literal[5, 4], Meta(description="5, or 4 for MQTT 3.1.1")] = 5
    """MQTT version. 5 falls back to 3.1.1 if the broker refuses it; 4 forces 3.1.1."""

    encoding: Literal["json", "msgpack"] = "json"
    """`msgpack`: poses are also published as MessagePack, on a separate topic that ends in
    `poses/msgpack`."""


class HomeAssistant(Table, frozen=True, kw_only=True):
    """MQTT discovery for Home Assistant."""

    discovery: bool = True
    """Publish the discovery message, from which Home Assistant creates the entities."""

    prefix: Topic = "homeassistant"
    """Discovery prefix; must equal the setting of the same name in Home Assistant."""


class Model(Table, frozen=True, kw_only=True):
    """The neural network and the hardware that runs it."""

    name: Text = "auto"
    """A name that `edgepose models` lists, the path of a .tflite file, or `auto`: the best
    for this hardware."""

    twin: str = ""
    """The model to run on the CPU instead of an Edge TPU model. Empty: the one named in the
    catalogue, or the file of the same name without `_edgetpu`."""

    delegate: Annotated[
        str,
        Meta(
            pattern=r"^(auto|cpu|edgetpu(:(usb|pci):[0-9]{1,2})?|[^\n]*/[^\n]+)(?!\n)$",
            description='"auto", "cpu", "edgetpu", "edgetpu:usb:0" or the path of a library',
        ),
    ] = "auto"
    """`auto`, `cpu`, `edgetpu`, a certain device such as `edgetpu:usb:0`, or the path of a
    TFLite delegate library."""

    threads: Annotated[int, Meta(ge=0, le=64, description="a whole number from 0 to 64")] = 0
    """CPU threads per inference. 0: chosen together with `interpreters`."""

    interpreters: Annotated[int, Meta(ge=0, le=16, description="a whole number from 0 to 16")] = 0
    """Concurrent inferences on the CPU, each with `threads` threads: on several frames, or on
    several crops of one frame. Each needs its own copy of the network in memory. 0: measured on
    this machine; the setting with the lowest CPU load that keeps up with the cameras."""

    policy: Literal["auto", "whole", "follow", "refine"] = "auto"
    """Region given to the network: `whole`, the whole picture; `follow`, a crop around the person
    of the previous frame; `refine`, the whole picture, then a crop of each person found; or
    `auto`."""


UNKNOWN_MODEL_SCORE: Final = 0.2
"""Minimum score to start a track if the model is unknown, as in a recording."""


class PoseSettings(Table, frozen=True, kw_only=True):
    """Thresholds for people and keypoints."""

    max_people: Annotated[int, Meta(ge=1, le=30, description="a whole number from 1 to 30")] = 6
    """Maximum number of people reported per frame."""

    min_pose_score: Annotated[
        Part | Literal["auto"], Meta(description='a number from 0 to 1, or "auto"')
    ] = "auto"
    """Minimum score to start a track. A tracked person is kept down to 0.6 of it. `auto`: the
    model's own, since the scales of models differ."""

    still_fps: Annotated[float, Meta(ge=0, le=240, description="frames a second from 0 to 240")] = (
        0.0
    )
    """Frames per second to process while people are in view of a live camera but nothing moves.
    The first frame with motion restores the full rate. 0: half of the camera's `fps`, but at
    least 5. Requires the camera's `motion_gate`."""

    min_keypoint_score: Part = 0.3
    """Minimum score of the keypoints used for posture, events and pictures. Keypoints below it
    are still sent."""

    smoothing: Literal["one-euro", "off"] = "one-euro"
    """`one-euro`: remove jitter from the keypoints. `off`: send them as the model returns them."""

    def least(self, own: float = UNKNOWN_MODEL_SCORE) -> float:
        """Return the minimum score to start a track, for a model whose own is `own`."""
        return own if self.min_pose_score == "auto" else self.min_pose_score


class CameraZone(Table, frozen=True, kw_only=True):
    """A polygon on the floor, in one camera's frame."""

    id: Annotated[Id, Meta(examples=["sofa"])]
    """Identifies it in messages."""

    name: str = ""
    """Display name; any characters. Empty: derived from the id."""

    polygon: Polygon
    """Corners as fractions of the frame: [0, 0] is its top left, [1, 1] its bottom right. A
    person's position is the point between the ankles."""

    kind: Literal["area", "rest"] = "area"
    """`rest`: lying here is not a fall, as on a sofa or a bed."""

    dwell_s: Seconds = 0.0
    """Seconds inside after which a dwell event is sent. 0: off."""

    min_dwell_s: Seconds = 0.0
    """Seconds that a person must be inside before the zone counts them; people who only pass
    through do not occupy it."""


class CameraLine(Table, frozen=True, kw_only=True):
    """A line on the floor in one camera's frame; people who cross it are counted."""

    id: Annotated[Id, Meta(examples=["door"])]
    """Identifies it in messages."""

    name: str = ""
    """Display name; any characters. Empty: derived from the id."""

    points: Annotated[
        tuple[Point, ...],
        Meta(
            min_length=2,
            max_length=64,
            description="two or more points [x, y] within the frame, from 0 to 1",
            examples=[[[0.2, 0.9], [0.8, 0.9]]],
        ),
    ]
    """Points along the line as fractions of the frame. A person's position is the point between
    the ankles."""

    sides: Annotated[
        tuple[Id, Id],
        Meta(description="two different ids", examples=[["street", "hall"]]),
    ] = ("left", "right")
    """Names of the sides left and right of the line, in the picture, looking along its points."""


Metres = Annotated[float, Meta(ge=-1000, le=1000, description="metres from -1000 to 1000")]
Place = Annotated[tuple[Metres, Metres], Meta(description="a place [x, y] in metres")]
Length = Annotated[float, Meta(gt=0, le=1000, description="metres above 0, up to 1000")]


class CameraFloor(Table, frozen=True, kw_only=True):
    """Floor calibration by four known points; adds positions, speeds and heights in metres."""

    points: Annotated[
        tuple[Point, ...],
        Meta(
            description="four points [x, y] within the frame, from 0 to 1",
            examples=[[[0.3, 0.6], [0.7, 0.6], [0.9, 0.95], [0.1, 0.95]]],
        ),
    ] = ()
    """Four floor points as fractions of the frame, in order along the outline. Empty: no metres."""

    size: Annotated[
        tuple[Length, Length],
        Meta(description="two lengths [first, second] in metres", examples=[[2.0, 3.0]]),
    ] = (1.0, 1.0)
    """Size of the rectangle in metres: from the first point to the second, along x, and from the
    second to the third, along y. The first point is [0, 0]."""

    metres: Annotated[tuple[Place, ...], Meta(description="four places [x, y] in metres")] = ()
    """Positions of the four points in metres, if they do not form a rectangle."""

    frame: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9_/-]{0,64}(?!\n)$", description="a name of a coordinate frame"),
    ] = ""
    """Name of the coordinate frame, as in ROS. Empty: the camera's id and `_floor`."""


class Camera(Table, frozen=True, kw_only=True):
    """A source of pictures with its zones; repeat the table for each camera."""

    id: Annotated[Id, Meta(examples=["camera"])]
    """Part of this camera's topics; unique."""

    name: str = ""
    """Display name; any characters. Empty: derived from the id."""

    source: Annotated[Text, Meta(examples=["demo://"])]
    """`picamera2://0` for a camera of the Pi, `/dev/video0` for one on USB, `rtsp://…`,
    `http://…`, a video, an image, a folder of images, or `demo://`, the bundled clip."""

    fps: Annotated[float, Meta(ge=0.1, le=240, description="frames a second from 0.1 to 240")] = (
        10.0
    )
    """Maximum frames per second to process from a camera. Videos and the demo run at their own
    rate, and every frame is processed."""

    motion_gate: bool = True
    """With no person in view and no motion, process only `idle_fps` frames per second of a
    live camera. A person who comes in is detected at once. Files are always processed in full."""

    idle_fps: Annotated[
        float, Meta(ge=0.02, le=240, description="frames a second from 0.02 to 240")
    ] = 0.2
    """Frames per second to process while there is neither a person nor motion."""

    realtime: bool = True
    """Play files at their own rate. false: as fast as they can be processed."""

    rotate: Annotated[Literal[0, 90, 180, 270], Meta(description="0, 90, 180 or 270 degrees")] = 0
    """Clockwise rotation in degrees, applied before all else."""

    mirror: bool = False
    """Mirror the picture horizontally, after `rotate`. The left and right keypoints of people
    remain correct."""

    roi: Annotated[
        tuple[Part, Part, Part, Part],
        Meta(description="[x, y, width, height] within the frame, from 0 to 1"),
    ] = (0.0, 0.0, 1.0, 1.0)
    """Region to process: x, y, width and height as fractions of the frame."""

    masks: tuple[Polygon, ...] = ()
    """Polygons that are blacked out in each frame before the model runs and before any picture is
    sent."""

    snapshot: Literal["skeleton", "camera"] = "skeleton"
    """Content of pictures over MQTT: `skeleton`, skeletons on black, or `camera`, the camera's
    picture with skeletons on it. All clients that may read from the broker can see them."""

    snapshot_on: tuple[Literal["fall", "gesture"], ...] = ()
    """Events that trigger a picture, in addition to pictures on request."""

    live: Literal["skeleton", "camera", "off"] = "skeleton"
    """Content of the live picture over MQTT, which is replaced at most every 2 s and retained by
    the broker: `skeleton`, skeletons on black, `camera`, the camera's picture with skeletons on
    it, or `off`, no live picture."""

    clip_on: tuple[Literal["fall", "long_lie"], ...] = ("fall", "long_lie")
    """Events that trigger a clip of the seconds around them. Empty: clips are sent on request
    only."""

    clip: Literal["skeleton", "camera"] = "skeleton"
    """Content of clips: `skeleton`, skeletons on black, or `camera`, the camera's picture with
    skeletons on it; the last ten seconds of pictures are then kept in memory. All clients that
    may read from the broker can see them."""

    zones: tuple[CameraZone, ...] = field(default=(), name="zone")
    """Zones on the floor."""

    lines: tuple[CameraLine, ...] = field(default=(), name="line")
    """Lines on the floor at which people are counted."""

    floor: CameraFloor = CameraFloor()
    """Floor calibration for positions in metres."""


class Events(Table, frozen=True, kw_only=True):
    """The events to detect."""

    presence_on_s: Seconds = 0.5
    """Seconds that a person must be in view before presence turns on."""

    presence_off_s: Seconds = 5.0
    """Seconds without a person in view before presence turns off."""

    fall: bool = True
    """Detect falls."""

    fall_confirm_s: Seconds = 10.0
    """Seconds after which a suspected fall is confirmed, if the person is still down."""

    fall_recover_s: Seconds = 1.0
    """Seconds that the person must be standing or sitting again to end a fall."""

    fall_gone_s: Seconds = 60.0
    """Seconds after which a fall ends if the person is no longer in view."""

    long_lie_s: Seconds = 60.0
    """Seconds after which lying outside every zone of kind `rest` is a long lie, with or without
    a detected fall. 0: off."""

    still_s: Seconds = 300.0
    """Seconds without movement after which a person counts as still. 0: off."""

    gestures: tuple[BuiltIn, ...] = ("hand_raised", "wave", "both_hands_up", "t_pose")
    """Built-in gestures to detect, in addition to those of [[gesture]]."""


class Clips(Table, frozen=True, kw_only=True):
    """Clips of the seconds around an event."""

    keep: str = ""
    """Folder in which clips are stored, with their poses as a recording. Empty: not stored."""

    keep_mb: Annotated[
        float, Meta(ge=0.5, le=100_000, description="megabytes from 0.5 to 100000")
    ] = 50.0
    """Maximum size of one camera's clips in that folder; the oldest clips are deleted."""


class GestureRule(Table, frozen=True, kw_only=True):
    """A user-defined gesture; repeat the table for each one."""

    id: Annotated[Id, Meta(examples=["hand_on_head"])]
    """Name in events. The id of a built-in gesture replaces that gesture."""

    when: Annotated[
        tuple[Sentence, ...],
        Meta(
            min_length=1,
            description="a list of one or more conditions in quotes",
            examples=[["wrist above nose by 0.1", "angle elbow < 90"]],
        ),
    ]
    """Conditions that must all hold, such as `wrist above shoulder by 0.4`."""

    unless: tuple[Sentence, ...] = ()
    """Conditions of which none may hold."""

    hold_s: Seconds = 0.7
    """Seconds that the gesture must be held."""

    cooldown_s: Seconds = 2.0
    """Seconds after a gesture in which the same gesture of the same person is ignored."""

    def rule(self) -> Gesture:
        """Return the parsed rule.

        Raises
        ------
        ConfigError
            Names the invalid condition.
        """
        return Gesture.parse(self.id, self.when, self.unless, self.hold_s, self.cooldown_s)


class Metrics(Table, frozen=True, kw_only=True):
    """Metrics for Prometheus."""

    listen: str = "127.0.0.1:9464"
    """`HOST:PORT` of the metrics server. Empty: off."""


class Web(Table, frozen=True, kw_only=True):
    """The web page with live skeletons and a zone editor; requires the extra `web`."""

    listen: str = "127.0.0.1:8600"
    """`HOST:PORT` of the page. Empty: off. Requests from other machines require a token;
    `edgepose web token` creates one."""

    picture: bool = False
    """Show the camera's picture behind the skeletons."""

    hosts: tuple[Host, ...] = ()
    """Host names under which the page is served, in addition to IP addresses, `localhost` and
    this machine's host name, such as the name of a proxy or a DNS name. Other names are
    refused."""

    url: PageUrl = ""
    """URL of the page for the link *Visit* in Home Assistant. Empty: derived from `hosts` and
    `listen`, if other machines can reach the page."""

    trusted_proxies: tuple[IpAddress, ...] = ()
    """IP addresses of proxies that authenticate their users themselves, such as Home Assistant's
    ingress. Their requests need no token."""

    cert_file: str = ""
    """PEM file of the HTTPS certificate, with its intermediate certificates. Empty: HTTP."""

    key_file: str = ""
    """PEM file of the private key. Empty: the key is in `cert_file`."""


class Log(Table, frozen=True, kw_only=True):
    """The daemon's log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Minimum level of the records that are logged."""

    format: Literal["auto", "json"] = "auto"
    """`auto`: structured records in systemd's journal, readable text in a terminal. `json`: one
    JSON object per line."""


class Config(Table, frozen=True, kw_only=True):
    """The whole file; every table and almost every key is optional."""

    device: Device = field(default_factory=Device)
    mqtt: Mqtt = Mqtt()
    homeassistant: HomeAssistant = HomeAssistant()
    model: Model = Model()
    pose: PoseSettings = PoseSettings()
    cameras: tuple[Camera, ...] = field(default=(), name="camera")
    events: Events = Events()
    clips: Clips = Clips()
    gestures: tuple[GestureRule, ...] = field(default=(), name="gesture")
    metrics: Metrics = Metrics()
    web: Web = Web()
    log: Log = Log()

    def rules(self) -> tuple[Gesture, ...]:
        """Return the gestures to detect: the selected built-in ones and all user-defined ones."""
        named = {name: BUILT_IN[name] for name in self.events.gestures}
        return tuple((named | {own.id: own.rule() for own in self.gestures}).values())
