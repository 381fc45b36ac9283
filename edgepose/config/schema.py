"""The configuration: one frozen structure for each table of the TOML file.

The text under each field is what `docs/config.md`, `edgepose config init` and the
JSON Schema say about the key; the type is what is checked. To add a key, add a
field with a default and such a text: nothing else is to be done.
"""

import re
import socket
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from edgepose.config.gesture_rules import BUILT_IN, Gesture

# "$" alone would let a final line break through.
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
    """A table of the file."""


def host_id() -> str:
    """Return this machine's name as an id."""
    name = re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().partition(".")[0].lower())
    return name.strip("-")[:64] or "edgepose"


class Device(Table, frozen=True, kw_only=True):
    """This daemon, as brokers and Home Assistant know it."""

    id: Annotated[Id, Meta(examples=["hall-pi"])] = field(default_factory=host_id)
    """Stands in every topic. Not given: the host name."""

    name: str = ""
    """The name to show. Empty: the id."""

    @property
    def title(self) -> str:
        """The name to show."""
        return self.name or self.id


class Mqtt(Table, frozen=True, kw_only=True):
    """The MQTT broker."""

    url: Text = "mqtt://localhost:1883"
    """`mqtt://HOST:PORT`, `mqtts://HOST:PORT` for TLS, or `embedded` or `embedded:PORT` to
    start a broker that only this machine reaches: mosquitto where it is installed, else amqtt
    (extra `broker`). For a cluster several servers: `mqtt://HOST:PORT,HOST:PORT`; where one
    does not answer, the next is tried."""

    username: str = ""
    """Empty: the broker asks for none."""

    password_file: str = ""
    """A file that holds nothing but the password. Without it, the systemd credential
    `mqtt-password` or the environment's `EDGEPOSE_MQTT_PASSWORD` is taken."""

    client_id: ClientId = ""
    """The client id, for brokers that accept certain ones only. Empty: `edgepose-`, the
    device's id and a random part. Two clients with one id end each other's sessions."""

    ca_file: str = ""
    """Certificate of the authority that signed the broker's, in PEM. Empty: those the
    system trusts."""

    cert_file: str = ""
    """Our own certificate in PEM, for brokers that ask for one."""

    key_file: str = ""
    """The key to `cert_file`. Empty: it stands in the same file."""

    base_topic: Topic = "edgepose"
    """First part of every topic: `base_topic/device/camera/poses`."""

    protocol: Annotated[Literal[5, 4], Meta(description="5, or 4 for MQTT 3.1.1")] = 5
    """5, falling back to 3.1.1 when the broker refuses; 4 forces 3.1.1."""

    encoding: Literal["json", "msgpack"] = "json"
    """`msgpack`: poses are said in MessagePack too, on a topic of its own that ends in
    `poses/msgpack`."""


class HomeAssistant(Table, frozen=True, kw_only=True):
    """Home Assistant, which finds the device by itself."""

    discovery: bool = True
    """Tell Home Assistant which entities there are."""

    prefix: Topic = "homeassistant"
    """Home Assistant's own setting of the same name."""


class Model(Table, frozen=True, kw_only=True):
    """The network and what runs it."""

    name: Text = "auto"
    """A name that `edgepose models` lists, the path of a .tflite file, or `auto`: the best
    for this hardware."""

    twin: str = ""
    """The model to run on the CPU in place of one for the Edge TPU. Empty: the one that the
    catalogue knows, or the file of the same name without `_edgetpu`."""

    delegate: Annotated[
        str,
        Meta(
            pattern=r"^(auto|cpu|edgetpu(:(usb|pci):[0-9]{1,2})?|[^\n]*/[^\n]+)(?!\n)$",
            description='"auto", "cpu", "edgetpu", "edgetpu:usb:0" or the path of a library',
        ),
    ] = "auto"
    """`auto`, `cpu`, `edgetpu`, one of several such as `edgetpu:usb:0`, or the path of a
    library that is a TFLite delegate."""

    threads: Annotated[int, Meta(ge=0, le=64, description="a whole number from 0 to 64")] = 0
    """Threads of the CPU that run one inference. 0: chosen with `interpreters`."""

    interpreters: Annotated[int, Meta(ge=0, le=16, description="a whole number from 0 to 16")] = 0
    """Inferences on the CPU at the same time, each with `threads` threads: of several frames,
    or of several crops of one frame. Each takes the memory of the network once more. 0: chosen
    by measuring on this machine: the least CPU that keeps up with the cameras."""

    policy: Literal["auto", "whole", "follow", "refine"] = "auto"
    """Where to look: at the `whole` picture; `follow` the one person found before; find
    people, then `refine` each by a second look; or `auto`."""


UNKNOWN_MODEL_SCORE: Final = 0.2
"""Minimum score to start a track where the model is not known, as in a recording."""


class PoseSettings(Table, frozen=True, kw_only=True):
    """Thresholds for people and keypoints."""

    max_people: Annotated[int, Meta(ge=1, le=30, description="a whole number from 1 to 30")] = 6
    """The most people to report in one frame."""

    min_pose_score: Annotated[
        Part | Literal["auto"], Meta(description='a number from 0 to 1, or "auto"')
    ] = "auto"
    """Minimum score to start a track. A tracked person is kept down to 0.6 of it. `auto`: the
    model's own, since the scales of models differ."""

    still_fps: Annotated[float, Meta(ge=0, le=240, description="frames a second from 0 to 240")] = (
        0.0
    )
    """While people are in view of a live camera and nothing moves, infer only so many frames
    a second; all again from the first frame that shows motion. 0: half of the camera's `fps`,
    but at least 5. Needs the camera's `motion_gate`."""

    min_keypoint_score: Part = 0.3
    """Keypoints below this score are sent, but posture, events and pictures do not rely on
    them."""

    smoothing: Literal["one-euro", "off"] = "one-euro"
    """Take the tremor out of the keypoints, or send them as the model finds them."""

    def least(self, own: float = UNKNOWN_MODEL_SCORE) -> float:
        """Return the minimum score to start a track, for a model whose own is `own`."""
        return own if self.min_pose_score == "auto" else self.min_pose_score


class CameraZone(Table, frozen=True, kw_only=True):
    """A part of the floor in one camera's frame."""

    id: Annotated[Id, Meta(examples=["sofa"])]
    """Stands in messages."""

    name: str = ""
    """What people call it, in any letters. Empty: made from the id."""

    polygon: Polygon
    """Corners as parts of the frame: [0, 0] is its top left, [1, 1] its bottom right. A
    person is where the feet are."""

    kind: Literal["area", "rest"] = "area"
    """`rest`: lying here is no fall, as on a sofa or a bed."""

    dwell_s: Seconds = 0.0
    """Seconds inside after which a person's stay is worth an event. 0: off."""

    min_dwell_s: Seconds = 0.0
    """Seconds that a person must be inside before the zone counts it: those who pass through
    do not occupy it."""


class CameraLine(Table, frozen=True, kw_only=True):
    """A line on the floor in one camera's frame; people who cross it are counted."""

    id: Annotated[Id, Meta(examples=["door"])]
    """Stands in messages."""

    name: str = ""
    """What people call it, in any letters. Empty: made from the id."""

    points: Annotated[
        tuple[Point, ...],
        Meta(
            min_length=2,
            max_length=64,
            description="two or more points [x, y] within the frame, from 0 to 1",
            examples=[[[0.2, 0.9], [0.8, 0.9]]],
        ),
    ]
    """Points along the line as parts of the frame. A person is where the feet are."""

    sides: Annotated[
        tuple[Id, Id],
        Meta(description="two different ids", examples=[["street", "hall"]]),
    ] = ("left", "right")
    """What is to the left and to the right of the line, seen in the picture along its points."""


Metres = Annotated[float, Meta(ge=-1000, le=1000, description="metres from -1000 to 1000")]
Place = Annotated[tuple[Metres, Metres], Meta(description="a place [x, y] in metres")]
Length = Annotated[float, Meta(gt=0, le=1000, description="metres above 0, up to 1000")]


class CameraFloor(Table, frozen=True, kw_only=True):
    """The floor in metres, by four points whose places are known: positions, speeds and heights."""

    points: Annotated[
        tuple[Point, ...],
        Meta(
            description="four points [x, y] within the frame, from 0 to 1",
            examples=[[[0.3, 0.6], [0.7, 0.6], [0.9, 0.95], [0.1, 0.95]]],
        ),
    ] = ()
    """Four points on the floor as parts of the frame, in order around. Empty: no metres."""

    size: Annotated[
        tuple[Length, Length],
        Meta(description="two lengths [first, second] in metres", examples=[[2.0, 3.0]]),
    ] = (1.0, 1.0)
    """Of a rectangle: the lengths from the first point to the second, along x, and from the
    second to the third, along y. The first point is [0, 0]."""

    metres: Annotated[tuple[Place, ...], Meta(description="four places [x, y] in metres")] = ()
    """The places of the four points where they are no rectangle."""

    frame: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9_/-]{0,64}(?!\n)$", description="a name of a coordinate frame"),
    ] = ""
    """Name of the coordinate frame, as in ROS. Empty: the camera's id and `_floor`."""


class Camera(Table, frozen=True, kw_only=True):
    """Where pictures come from; repeat the table for each camera."""

    id: Annotated[Id, Meta(examples=["camera"])]
    """Stands in this camera's topics; each camera has its own."""

    name: str = ""
    """What people call it, in any letters. Empty: made from the id."""

    source: Annotated[Text, Meta(examples=["demo://"])]
    """`picamera2://0` for a camera of the Pi, `/dev/video0` for one on USB, `rtsp://…`,
    `http://…`, a video, an image, a folder of images, or `demo://`, the bundled clip."""

    fps: Annotated[float, Meta(ge=0.1, le=240, description="frames a second from 0.1 to 240")] = (
        10.0
    )
    """The most frames of a camera to look at in a second. Videos and the demo come at their
    own rate, every frame."""

    motion_gate: bool = True
    """With no person in view and no motion, process only `idle_fps` frames a second of a live
    camera. A person who comes in is detected at once. Files are always processed in full."""

    idle_fps: Annotated[
        float, Meta(ge=0.02, le=240, description="frames a second from 0.02 to 240")
    ] = 0.2
    """Frames to look at in a second while the motion gate is closed."""

    realtime: bool = True
    """Files at their own rate; false: as fast as they can be processed."""

    rotate: Annotated[Literal[0, 90, 180, 270], Meta(description="0, 90, 180 or 270 degrees")] = 0
    """Degrees clockwise, before everything else."""

    mirror: bool = False
    """Swap left and right of the picture, after `rotate`. The people in it keep theirs."""

    roi: Annotated[
        tuple[Part, Part, Part, Part],
        Meta(description="[x, y, width, height] within the frame, from 0 to 1"),
    ] = (0.0, 0.0, 1.0, 1.0)
    """Only this part is looked at: x, y, width, height as parts of the frame."""

    masks: tuple[Polygon, ...] = ()
    """Polygons that are blacked out before anything sees the picture: the model, and
    whoever gets a picture of the camera."""

    snapshot: Literal["skeleton", "camera"] = "skeleton"
    """What pictures over MQTT show: the `skeleton` on black, or the `camera`'s picture
    with the skeletons on it. Whoever may read the broker sees them."""

    snapshot_on: tuple[Literal["fall", "gesture"], ...] = ()
    """Events with which a picture is sent, besides pictures on request."""

    clip_on: tuple[Literal["fall", "long_lie"], ...] = ("fall", "long_lie")
    """Events that a clip of the seconds around them is sent with. Empty: clips are sent on
    request only."""

    clip: Literal["skeleton", "camera"] = "skeleton"
    """What clips show: the `skeleton` on black, or the `camera`'s picture with the skeletons on
    it, whose last ten seconds are then kept in memory. Whoever may read the broker sees them."""

    zones: tuple[CameraZone, ...] = field(default=(), name="zone")
    """Parts of the floor to tell apart."""

    lines: tuple[CameraLine, ...] = field(default=(), name="line")
    """Lines on the floor at which people are counted."""

    floor: CameraFloor = CameraFloor()
    """Four points of the floor and their places in metres."""


class Events(Table, frozen=True, kw_only=True):
    """The events to detect."""

    presence_on_s: Seconds = 0.5
    """Seconds that a person must be in view before presence turns on."""

    presence_off_s: Seconds = 5.0
    """Seconds without a person in view before presence turns off."""

    fall: bool = True
    """Watch for falls."""

    fall_confirm_s: Seconds = 10.0
    """Seconds after which a suspected fall is confirmed, if the person is still down."""

    fall_recover_s: Seconds = 1.0
    """Seconds that the person must be up again, on the feet or on a seat, to end a fall."""

    fall_gone_s: Seconds = 60.0
    """Seconds after which a fall ends when the person is not seen any more."""

    long_lie_s: Seconds = 60.0
    """Seconds after which lying outside every zone of kind `rest` is a long lie, whether a
    fall was seen or not. 0: off."""

    still_s: Seconds = 300.0
    """Seconds without a movement after which a person is still. 0: off."""

    gestures: tuple[BuiltIn, ...] = ("hand_raised", "wave", "both_hands_up", "t_pose")
    """The built-in gestures to watch for; those of [[gesture]] are watched for as well."""


class Clips(Table, frozen=True, kw_only=True):
    """Clips of the seconds around an event."""

    keep: str = ""
    """A folder to write them to, with their poses as a recording. Empty: they are not kept."""

    keep_mb: Annotated[
        float, Meta(ge=0.5, le=100_000, description="megabytes from 0.5 to 100000")
    ] = 50.0
    """The most that a camera's clips may take in it; the oldest are removed."""


class GestureRule(Table, frozen=True, kw_only=True):
    """A gesture of your own; repeat the table for each one."""

    id: Annotated[Id, Meta(examples=["hand_on_head"])]
    """Names it in events; that of a built-in gesture takes its place."""

    when: Annotated[
        tuple[Sentence, ...],
        Meta(
            min_length=1,
            description="a list of one or more conditions in quotes",
            examples=[["wrist above nose by 0.1", "angle elbow < 90"]],
        ),
    ]
    """All of these must hold, such as `wrist above shoulder by 0.4`."""

    unless: tuple[Sentence, ...] = ()
    """None of these may hold."""

    hold_s: Seconds = 0.7
    """Seconds that it must be held."""

    cooldown_s: Seconds = 2.0
    """Seconds after it in which the same person's does not count again."""

    def rule(self) -> Gesture:
        """Return the rule as the detector knows it; an error names the wrong sentence."""
        return Gesture.parse(self.id, self.when, self.unless, self.hold_s, self.cooldown_s)


class Metrics(Table, frozen=True, kw_only=True):
    """Metrics for Prometheus."""

    listen: str = "127.0.0.1:9464"
    """`HOST:PORT` to serve them on. Empty: off."""


class Web(Table, frozen=True, kw_only=True):
    """The daemon's own page: live skeletons, and an editor of zones; needs the extra `web`."""

    listen: str = "127.0.0.1:8600"
    """`HOST:PORT` to serve it on. Empty: off. Beyond this machine a token is required:
    `edgepose web token` makes one."""

    picture: bool = False
    """Show the camera's picture behind the skeletons."""

    hosts: tuple[Host, ...] = ()
    """Names by which people reach the page, beyond addresses, `localhost` and this machine's
    own name: those of a proxy, or of your network's name server. Other names are refused."""

    url: PageUrl = ""
    """Address of the page for the link *Visit* in Home Assistant. Empty: made from `hosts` and
    `listen`, if other machines reach the page."""

    trusted_proxies: tuple[IpAddress, ...] = ()
    """Addresses of proxies that authenticate their users themselves, such as Home Assistant's
    ingress. Their requests need no token. Requests from all other addresses do."""

    cert_file: str = ""
    """Certificate for HTTPS in PEM, with those between it and its authority. Empty: HTTP."""

    key_file: str = ""
    """The key to `cert_file`. Empty: it stands in the same file."""


class Log(Table, frozen=True, kw_only=True):
    """The daemon's log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged."""

    format: Literal["auto", "json"] = "auto"
    """`auto`: with priorities and fields for systemd's journal, readable in a terminal;
    `json`: one object a line."""


class Config(Table, frozen=True, kw_only=True):
    """The whole file; every table and almost every key may be left out."""

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
        """Return the gestures to watch for: the built-in ones asked for and all own ones."""
        named = {name: BUILT_IN[name] for name in self.events.gestures}
        return tuple((named | {own.id: own.rule() for own in self.gestures}).values())
