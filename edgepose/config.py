"""The configuration: one frozen structure for each table of the TOML file.

The text under each field is what `docs/config.md`, `edgepose config init` and the
JSON Schema say about the key; the type is what is checked. To add a key, add a
field with a default and such a text: nothing else is to be done.
"""

import os
import re
import socket
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field

from edgepose import complaints, toml
from edgepose.addresses import address, broker, redact
from edgepose.complaints import Problem, expected
from edgepose.errors import ConfigError, EdgeposeError
from edgepose.gestures import BUILT_IN, Gesture

if TYPE_CHECKING:
    from edgepose import zones

DEFAULT_FILE: Final = Path("/etc/edgepose/edgepose.toml")
CREDENTIAL: Final = "mqtt-password"
PASSWORD_VARIABLE: Final = "EDGEPOSE_MQTT_PASSWORD"
RESERVED: Final = frozenset({"availability", "status", "stats", "request", "response"})
"""Topics of the device: a camera of that name would stand in their place."""

TOLERANCE: Final = 1e-6  # 0.1 + 0.9 may be a little more than 1
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
BuiltIn = Literal[
    "hand_raised", "wave", "both_hands_up", "t_pose", "pointing_left", "pointing_right"
]
Sentence = Annotated[str, Meta(description='a condition such as "wrist above shoulder by 0.4"')]


AnyTable = TypeVar("AnyTable", bound="Table")


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
    """What people call it. Empty: the id."""

    @property
    def title(self) -> str:
        """What to show to people."""
        return self.name or self.id


class Mqtt(Table, frozen=True, kw_only=True):
    """The broker that everything is said to."""

    url: Text = "mqtt://localhost:1883"
    """`mqtt://HOST:PORT`, `mqtts://HOST:PORT` for TLS, or `embedded` or `embedded:PORT` to
    start a broker of our own that only this machine reaches. Of a cluster several servers:
    `mqtt://HOST:PORT,HOST:PORT`; where one is not there, the next is tried."""

    username: str = ""
    """Empty: the broker asks for none."""

    password_file: str = ""
    """A file that holds nothing but the password. Without it, the systemd credential
    `mqtt-password` or the environment's `EDGEPOSE_MQTT_PASSWORD` is taken."""

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
    """Threads of the CPU that run the network. 0: all cores but one."""

    policy: Literal["auto", "whole", "follow", "refine"] = "auto"
    """Where to look: at the `whole` picture; `follow` the one person found before; find
    people, then `refine` each by a second look; or `auto`."""


class PoseSettings(Table, frozen=True, kw_only=True):
    """What counts as a person."""

    max_people: Annotated[int, Meta(ge=1, le=30, description="a whole number from 1 to 30")] = 6
    """The most people to report in one frame."""

    min_pose_score: Part = 0.25
    """Nobody below this score is taken up; who is followed is let go below 0.6 of it."""

    min_keypoint_score: Part = 0.3
    """Keypoints below this score are sent, but posture, events and pictures do not rely on
    them."""

    smoothing: Literal["one-euro", "off"] = "one-euro"
    """Take the tremor out of the keypoints, or send them as the model finds them."""


class CameraZone(Table, frozen=True, kw_only=True):
    """A part of the floor in one camera's frame."""

    id: Annotated[Id, Meta(examples=["sofa"])]
    """Stands in messages and names the entities."""

    polygon: Polygon
    """Corners as parts of the frame: [0, 0] is its top left, [1, 1] its bottom right. A
    person is where the feet are."""

    kind: Literal["area", "rest"] = "area"
    """`rest`: lying here is no fall, as on a sofa or a bed."""

    def on_floor(self) -> "zones.Zone":
        """Return the zone as the event detectors know it."""
        from edgepose.zones import Zone

        return Zone(id=self.id, polygon=self.polygon, kind=self.kind)


class Camera(Table, frozen=True, kw_only=True):
    """Where pictures come from; repeat the table for each camera."""

    id: Annotated[Id, Meta(examples=["camera"])]
    """Stands in this camera's topics; each camera has its own."""

    source: Annotated[Text, Meta(examples=["demo://"])]
    """`picamera2://0` for a camera of the Pi, `/dev/video0` for one on USB, `rtsp://…`,
    `http://…`, a video, an image, a folder of images, or `demo://`, the bundled clip."""

    fps: Annotated[float, Meta(ge=0.1, le=240, description="frames a second from 0.1 to 240")] = (
        10.0
    )
    """The most frames of a camera to look at in a second. Videos and the demo come at their
    own rate, every frame."""

    motion_gate: bool = True
    """With nobody in view and nothing moving, look at a live camera only `idle_fps` times a
    second. Somebody who comes in is seen at once. Files are looked at in full."""

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
    """Events that a picture is sent with, besides those that somebody asks for."""

    zones: tuple[CameraZone, ...] = field(default=(), name="zone")
    """Parts of the floor to tell apart."""


class Events(Table, frozen=True, kw_only=True):
    """What is worth a message of its own."""

    presence_on_s: Seconds = 0.5
    """Seconds that somebody must be in view before presence turns on."""

    presence_off_s: Seconds = 5.0
    """Seconds that nobody must be in view before presence turns off."""

    fall: bool = True
    """Watch for falls."""

    fall_confirm_s: Seconds = 10.0
    """Seconds after which a suspected fall is confirmed, if the person is still down."""

    fall_recover_s: Seconds = 1.0
    """Seconds that somebody who fell must be up again, on the feet or on a seat, to end it."""

    fall_gone_s: Seconds = 60.0
    """Seconds after which a fall ends when the person is not seen any more."""

    gestures: tuple[BuiltIn, ...] = ("hand_raised", "wave", "both_hands_up", "t_pose")
    """The built-in gestures to watch for; those of [[gesture]] are watched for as well."""


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
    """Numbers for Prometheus."""

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

    cert_file: str = ""
    """Certificate for HTTPS in PEM, with those between it and its authority. Empty: HTTP."""

    key_file: str = ""
    """The key to `cert_file`. Empty: it stands in the same file."""


class Log(Table, frozen=True, kw_only=True):
    """What the daemon writes about itself."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is worth a line."""

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
    gestures: tuple[GestureRule, ...] = field(default=(), name="gesture")
    metrics: Metrics = Metrics()
    web: Web = Web()
    log: Log = Log()

    def rules(self) -> tuple[Gesture, ...]:
        """Return the gestures to watch for: the built-in ones asked for and all own ones."""
        named = {name: BUILT_IN[name] for name in self.events.gestures}
        return tuple((named | {own.id: own.rule() for own in self.gestures}).values())


def load(path: Path) -> Config:
    """Read a configuration file; relative paths in it start at its own folder."""
    config, folder = loads(_read(path), str(path)), path.parent.absolute()
    mqtt, model, replace = config.mqtt, config.model, msgspec.structs.replace
    files = ("password_file", "ca_file", "cert_file", "key_file")
    if model.name.endswith(".tflite"):
        model = replace(model, name=str(folder / model.name))
    if model.twin.endswith(".tflite"):
        model = replace(model, twin=str(folder / model.twin))
    if "/" in model.delegate:
        model = replace(model, delegate=str(folder / model.delegate))
    cameras = tuple(
        camera if "://" in camera.source else replace(camera, source=str(folder / camera.source))
        for camera in config.cameras
    )
    return replace(
        config,
        mqtt=_below(folder, mqtt, files),
        model=model,
        cameras=cameras,
        web=_below(folder, config.web, ("cert_file", "key_file")),
    )


def _below(folder: Path, table: AnyTable, files: Sequence[str]) -> AnyTable:
    """Return a table with these files, where it names them, as they are found from anywhere."""
    named = {name: str(folder / found) for name in files if (found := getattr(table, name))}
    return msgspec.structs.replace(table, **named)


def loads(text: str, where: str) -> Config:
    """Read a configuration from TOML; `where` names it in errors.

    Raises
    ------
    ConfigError
        With the line, the key, what was found and what was expected.
    """
    try:
        data = tomllib.loads(text)
    except ValueError as error:  # also for a number with thousands of digits
        raise ConfigError(complaints.syntax(str(error), where)) from None
    except RecursionError:
        msg = f"{where}: brackets within brackets without end; expected a few levels of them"
        raise ConfigError(msg) from None
    config, problems = examine(data)
    if config is not None and not problems:
        return config
    line = toml.line_of(text, problems[0].path)
    raise ConfigError(f"{where}:{line or ''}".removesuffix(":") + f": {problems[0].sentence}")


def examine(data: Mapping[str, Any]) -> tuple[Config | None, list[Problem]]:
    """Build a configuration from plain data, with all there is to say against it.

    The configuration is None where the data cannot even be read as one.
    """
    config, problems = complaints.examine(data, Config)
    return config, [*problems, *(contradictions(config) if config else ())]


def effective(file: Path | None, *, source: str = "", model: str = "", mqtt: str = "") -> Config:
    """Return the configuration of a file with what the command line puts over it.

    Without a file the usual one is read if it exists. A source takes the place of all
    cameras; if exactly one is configured, its other settings stay.
    """
    config = load(file or DEFAULT_FILE) if file or DEFAULT_FILE.is_file() else Config()
    replace = msgspec.structs.replace
    if source:
        only = config.cameras[0] if len(config.cameras) == 1 else Camera(id="camera", source="-")
        config = replace(config, cameras=(replace(only, source=source),))
    if model:
        config = replace(config, model=replace(config.model, name=model))
    if mqtt:
        config = replace(config, mqtt=_reach(config.mqtt, mqtt))
    for problem in contradictions(config):
        raise ConfigError(f"command line: {problem.sentence}")
    return config


class Origin(Struct, frozen=True, kw_only=True):
    """Where a configuration comes from: a file, and what the command line puts over it."""

    file: str = ""
    """Empty: the usual one, if it exists."""

    source: str = ""
    model: str = ""
    mqtt: str = ""
    debug: bool = False
    """Whether everything is logged, whatever the file says."""

    @property
    def path(self) -> Path:
        """The file, whether it exists or not."""
        return Path(self.file) if self.file else DEFAULT_FILE

    def read(self) -> Config:
        """Read what is to run; an error if there is nothing to look at."""
        config = effective(
            Path(self.file) if self.file else None,
            source=self.source,
            model=self.model,
            mqtt=self.mqtt,
        )
        require_cameras(config, self.path)
        if self.debug:
            config = msgspec.structs.replace(
                config, log=msgspec.structs.replace(config.log, level="debug")
            )
        return config

    def place(self, path: toml.Path) -> str:
        """Write where a value stands: file, line and key; empty if it is not of the file."""
        above = {"camera": self.source, "model": self.model}
        text = "" if above.get(str(path[0])) or not self.path.is_file() else _read(self.path)
        line = toml.line_of(text, path)
        return f"{self.path}:{line}: {toml.spell(path)}: " if line else ""


@contextmanager
def blamed(origin: Origin | None, *path: str | int) -> Iterator[None]:
    """Let an error within say first which value of the configuration it comes from."""
    try:
        yield
    except EdgeposeError as error:
        place = origin.place(path) if origin else ""
        raise type(error)(f"{place}{error}") from error


def _reach(mqtt: Mqtt, url: str) -> Mqtt:
    """Put another broker in; without TLS the certificates of the configured one are idle."""
    other = msgspec.structs.replace(mqtt, url=url)
    if url.startswith("mqtts:"):
        return other
    return msgspec.structs.replace(other, ca_file="", cert_file="", key_file="")


def require_cameras(config: Config, file: Path) -> None:
    """Raise an error if there is nothing to look at."""
    if config.cameras:
        return
    if not file.exists():
        raise ConfigError(f"{_missing(file)}, or give --source")
    msg = f"{file}: no camera; add a [[camera]] table with id and source, or give --source"
    raise ConfigError(msg)


def contradictions(config: Config) -> Iterator[Problem]:
    """Find what no single type can: values that do not go together or make no sense."""
    yield from _mqtt(config.mqtt)
    yield from _listening(config)
    yield from _gestures(config.gestures)
    cameras = [(("camera", index), camera) for index, camera in enumerate(config.cameras)]
    yield from _twice([(path, camera.id) for path, camera in cameras])
    for path, camera in cameras:
        yield from _camera(path, camera)


def login(mqtt: Mqtt) -> tuple[str, str | None]:
    """Return user name and password for the broker; empty and None where there is none.

    The password comes from the URL, `password_file`, the systemd credential or the
    environment, whichever is there first. It is read anew each time, so that a
    reload takes a changed one.
    """
    asked = broker(mqtt.url)
    username = asked.username or mqtt.username
    if asked.password:
        return username, asked.password
    if mqtt.password_file:
        return username, _password(Path(mqtt.password_file), "mqtt.password_file")
    credential = Path(os.environ.get("CREDENTIALS_DIRECTORY", "")) / CREDENTIAL
    if credential.is_absolute() and credential.exists():
        return username, _password(credential, f"credential {CREDENTIAL}")
    return username, os.environ.get(PASSWORD_VARIABLE) or None


def secret(config: Config) -> str | None:
    """Return the broker's password, None if there is none; for no eyes but the broker's."""
    return login(config.mqtt)[1]


def shown(config: Config) -> dict[str, Any]:
    """Return the effective values as plain data, without anything secret."""
    data: dict[str, Any] = msgspec.to_builtins(config)
    data["mqtt"]["url"] = redact(config.mqtt.url)
    for camera in data["camera"]:
        camera["source"] = redact(camera["source"])
    return data


def _read(path: Path) -> str:
    try:
        # Editors on Windows put a mark in front, which TOML does not know.
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        msg = _missing(path)
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}; expected a file this user may read"
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        msg = f"{path}:{line}: not UTF-8; save the file with that encoding"
    raise ConfigError(msg) from None


def _missing(path: Path) -> str:
    return f'{path}: there is no such file; "edgepose config init {path}" writes one'


def _mqtt(mqtt: Mqtt) -> Iterator[Problem]:
    try:
        asked = broker(mqtt.url)
    except ValueError:
        what = 'mqtt://HOST:PORT, mqtts://HOST:PORT, "embedded" or "embedded:PORT"'
        path = ("mqtt", "url")
        # Before an "@" stands a password, also in what is no URL.
        found = mqtt.url.rpartition("@")[-1]
        found = mqtt.url if found == mqtt.url else f"***@{found}"
        yield Problem(path, expected(path, found, what))
        return
    for name in ("ca_file", "cert_file", "key_file"):
        found, path = getattr(mqtt, name), ("mqtt", name)
        if found and not asked.tls:
            what = "it only with a url that begins with mqtts://"
            yield Problem(path, expected(path, found, what))
    if mqtt.key_file and not mqtt.cert_file:
        path = ("mqtt", "key_file")
        yield Problem(path, expected(path, mqtt.key_file, "a cert_file beside it"))


def _listening(config: Config) -> Iterator[Problem]:
    for table, listen in (("metrics", config.metrics.listen), ("web", config.web.listen)):
        try:
            address(listen)
        except ValueError:
            path = (table, "listen")
            what = 'HOST:PORT such as "127.0.0.1:8600", or "" for off'
            yield Problem(path, expected(path, listen, what))
    if config.web.key_file and not config.web.cert_file:
        path = ("web", "key_file")
        yield Problem(path, expected(path, config.web.key_file, "a cert_file beside it"))


def _gestures(own: Sequence[GestureRule]) -> Iterator[Problem]:
    placed: list[tuple[toml.Path, GestureRule]] = [
        (("gesture", index), gesture) for index, gesture in enumerate(own)
    ]
    yield from _twice([(path, gesture.id) for path, gesture in placed])
    for path, gesture in placed:
        try:
            gesture.rule()
        except ConfigError as error:
            yield Problem(path, f"{toml.spell(path)}: {error}")


def _twice(ids: Sequence[tuple[toml.Path, str]]) -> Iterator[Problem]:
    """Find ids that an earlier table of the same kind has taken."""
    first: dict[str, toml.Path] = {}
    for path, id_ in ids:
        if first.setdefault(id_, path) != path:
            what = f"another id; {toml.spell(first[id_])} has this one"
            yield Problem((*path, "id"), expected((*path, "id"), id_, what))


def _camera(path: toml.Path, camera: Camera) -> Iterator[Problem]:
    if camera.id in RESERVED:
        what = "another id; a topic of the device has this name"
        yield Problem((*path, "id"), expected((*path, "id"), camera.id, what))
    x, y, width, height = camera.roi
    if min(width, height) <= 0 or max(x + width, y + height) > 1 + TOLERANCE:
        what = "[x, y, width, height] with x + width and y + height at most 1, none of it empty"
        yield Problem((*path, "roi"), expected((*path, "roi"), camera.roi, what))
    for index, mask in enumerate(camera.masks):
        yield from _polygon((*path, "masks", index), mask)
    zones = [((*path, "zone", index), zone) for index, zone in enumerate(camera.zones)]
    yield from _twice([(place, zone.id) for place, zone in zones])
    for place, zone in zones:
        yield from _polygon((*place, "polygon"), zone.polygon)


def _polygon(path: toml.Path, corners: Sequence[tuple[float, float]]) -> Iterator[Problem]:
    """Find polygons whose edges cross: which side is inside would be a guess."""
    edges = list(enumerate(zip(corners, [*corners[1:], corners[0]], strict=True), start=1))
    for (i, a), (j, b) in combinations(edges, 2):
        if _cross(a, b):
            what = f"corners in order around it; the edges after corners {i} and {j} cross"
            yield Problem(path, expected(path, corners, what))
            return
    doubled = sum(a[0] * b[1] - b[0] * a[1] for _, (a, b) in edges)
    if abs(doubled) < TOLERANCE:
        yield Problem(path, expected(path, corners, "corners that do not lie on one line"))


Edge = tuple[tuple[float, float], tuple[float, float]]


def _cross(a: Edge, b: Edge) -> bool:
    """Say whether two edges cross in their inner parts; to touch is no crossing."""

    def side(edge: Edge, point: tuple[float, float]) -> float:
        (x0, y0), (x1, y1) = edge
        return (x1 - x0) * (point[1] - y0) - (y1 - y0) * (point[0] - x0)

    return side(a, b[0]) * side(a, b[1]) < 0 and side(b, a[0]) * side(b, a[1]) < 0


def _password(path: Path, where: str) -> str:
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        msg = f"{where} = {path}: cannot be read: {reason}; expected a file this user may read"
        raise ConfigError(msg) from None
    if password:
        return password
    msg = f"{where} = {path}: the file is empty; expected the password"
    raise ConfigError(msg)
