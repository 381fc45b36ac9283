"""The discovery messages from which Home Assistant creates devices and their entities.

One device is the daemon. Each camera is a device of its own, so that it can be put into an area;
`via_device` links it to the daemon. Messages have the device form of MQTT discovery. Templates
read the values from the existing topics, so that no value is published twice.

Home Assistant deletes an entity only after a message that contains it and a second message in
which only its platform is left. It certainly receives both only after its birth message. So the
published components are stored in the state directory. A removed one is published once more and
then removed: at the start, and again at the next birth message. Then it is dropped from the file.
"""

import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from edgepose._version import __version__
from edgepose.config.schema import Camera, CameraLine, CameraZone, Config, Web
from edgepose.mqtt.topics import CameraTopics, Topics
from edgepose.system.logs import Level
from edgepose.types import PostureDetail
from edgepose.urls import Address, address, is_local

BOARD: Final = Path("/proc/device-tree/model")
STALE_S: Final = 60  # a gesture delayed in the spool must not switch a lamp
EXPIRES_S: Final = 45  # stats come every ten seconds

FALLS: Final = ("fall_suspected", "fall_confirmed", "fall_recovered")
POSTURES: Final = ("standing", "sitting", "lying")
DETAILS: Final = (*get_args(PostureDetail), "none")

Component = dict[str, Any]


class DiscoveredDevice(msgspec.Struct, frozen=True):
    """The discovery message of one device."""

    about: dict[str, Any]
    """The message without its components."""

    components: dict[str, Component] = {}
    """Entities by key."""

    def payload(self) -> bytes:
        """Encode the message; empty without components, which removes the device."""
        whole = {**self.about, "components": self.components}
        return msgspec.json.encode(whole) if self.components else b""


def discovery_root(config: Config) -> str:
    """Return the prefix of all discovery topics of this device."""
    return f"{config.homeassistant.prefix}/device/{config.device.id}"


def describe_loss(topic: str) -> str:
    """Return what is missing in Home Assistant without a camera's message; else empty."""
    match = re.fullmatch(r"(.+/device/[^/]+)/([^/]+)/config", topic)
    if match is None:
        return ""
    device, camera = match.groups()
    return f"; until then Home Assistant has {device}/config without the camera {camera}"


def discovered_devices(config: Config, topics: Topics) -> dict[str, DiscoveredDevice]:
    """Return the devices by discovery topic: first the daemon, then its cameras.

    Keys of components, and so each `unique_id`, never change.
    """
    root = discovery_root(config)
    own = DiscoveredDevice(_about(config), _unique(config, dict(_of_device(topics))))
    cameras = {
        f"{root}/{camera.id}/config": DiscoveredDevice(
            _about_camera(config, camera), _unique(config, _with_id(config, camera, topics))
        )
        for camera in config.cameras
    }
    return {f"{root}/config": own} | cameras


def _with_id(config: Config, camera: Camera, topics: Topics) -> dict[str, Component]:
    return {f"{camera.id}.{key}": it for key, it in _of_camera(config, camera, topics)}


def _unique(config: Config, found: dict[str, Component]) -> dict[str, Component]:
    return {
        key: it | {"unique_id": f"edgepose.{config.device.id}.{key}"} for key, it in found.items()
    }


def _about(config: Config) -> dict[str, Any]:
    """Return the daemon's message without its components."""
    return _message(
        config,
        {
            "identifiers": [f"edgepose.{config.device.id}"],
            "name": config.device.title,
            "model": board(),
        },
    )


def _about_camera(config: Config, camera: Camera) -> dict[str, Any]:
    """Return a camera's message without its components."""
    return _message(
        config,
        {
            "identifiers": [f"edgepose.{config.device.id}.{camera.id}"],
            "name": called(camera),
            "model": "Camera",
            "via_device": f"edgepose.{config.device.id}",
        },
    )


def _message(config: Config, device: dict[str, Any]) -> dict[str, Any]:
    page = page_url(config.web)
    common = {"manufacturer": "edgepose", "sw_version": __version__}
    link = {"configuration_url": page} if page else {}
    return {
        "device": device | common | link,
        "origin": {"name": "edgepose", "sw_version": __version__},
        "qos": 1,
    }


def page_url(web: Web) -> str | None:
    """Return the page's URL for other machines; None if they cannot reach it."""
    place = address(web.listen)
    if place is not None and web.url:
        return web.url
    if place is None or (is_local(place.host) and not web.hosts):
        return None
    if is_local(place.host):
        return f"https://{web.hosts[0]}"  # the name of a proxy, which is assumed to provide TLS
    anywhere = place.host in {"0.0.0.0", "::"}
    own = f"{socket.gethostname().partition('.')[0]}.local" if anywhere else place.host
    host = web.hosts[0] if web.hosts else own
    return f"{'https' if web.cert_file else 'http'}://{Address(host, place.port)}"


def board(path: Path = BOARD) -> str:
    """Return the name of the board, such as a Raspberry Pi's; else Linux."""
    try:
        return path.read_text("utf-8", errors="replace").strip("\0 \n") or "Linux"
    except OSError:
        return "Linux"


def called(named: Camera | CameraZone | CameraLine) -> str:
    """Return the display name of a camera, zone or line."""
    return named.name or title(named.id)


def title(id_: str) -> str:
    """Return an id as a name: ``living_room`` becomes Living room."""
    words = " ".join(id_.replace("_", " ").replace("-", " ").split())
    return words[:1].upper() + words[1:]


def _of_device(topics: Topics) -> Iterator[tuple[str, Component]]:
    """Yield the entities of the device itself, which all cameras share."""
    here = _availability_sensor(topics.availability)
    yield (
        "connection",
        {
            "platform": "binary_sensor",
            "name": "Connection",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": topics.availability,
            "payload_on": "online",
            "payload_off": "offline",
        },
    )
    yield (
        "reload",
        here
        | {
            "platform": "button",
            "name": "Reload configuration",
            "icon": "mdi:reload",
            "entity_category": "config",
            "command_topic": topics.request("reload"),
            "payload_press": "{}",
        },
    )
    yield (
        "restart",
        here
        | {
            "platform": "button",
            "name": "Restart",
            "device_class": "restart",
            "entity_category": "config",
            "command_topic": topics.request("restart"),
            "payload_press": "{}",
        },
    )
    yield (
        "log_level",
        here
        | {
            "platform": "select",
            "name": "Log level",
            "icon": "mdi:text-box-search",
            "entity_category": "config",
            "options": list(get_args(Level)),
            "state_topic": topics.status,
            "value_template": "{{ value_json.log_level | default(none) }}",
            "command_topic": topics.request("log_level"),
            "command_template": '{"level":"{{ value }}"}',
        },
    )
    yield (
        "version",
        here
        | _diagnostic_sensor("Version", topics.status)
        | {
            "icon": "mdi:package-variant",
            "enabled_by_default": True,
            "value_template": "{{ value_json.version | default(none) }}",
        },
    )
    yield (
        "temperature",
        here
        | _diagnostic_sensor("Temperature", topics.stats)
        | {
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "state_class": "measurement",
            "suggested_display_precision": 1,
            "value_template": "{{ value_json.temperature_c | default(none) }}",
        },
    )
    yield (
        "delegate",
        here
        | _diagnostic_sensor("Runs on", topics.status)
        | {
            "icon": "mdi:chip",
            "value_template": "{{ (value_json.delegate | default({})).name | default(none) }}",
        },
    )


def _of_camera(config: Config, camera: Camera, topics: Topics) -> Iterator[tuple[str, Component]]:
    where = topics.camera(camera.id)
    here = _availability_sensor(topics.availability, where.availability)
    for key, entity in _of_people(where):
        yield key, here | entity
    yield "fall_watch", here | _fall_watch(where)
    if config.events.fall:
        yield "fall", here | _fall_sensor(where)
        yield "fall_event", _fall_event(where)
    if config.events.long_lie_s:
        yield "long_lie", here | _long_lie(where)
    if config.events.still_s:
        yield "still", here | _stillness_sensor(where)
    if gestures := [rule.id for rule in config.rules()]:
        yield "gesture", _gesture_event(where, gestures)
    for key, entity in _control_entities(where, topics):
        yield key, here | entity
    if camera.live != "off":
        yield "live", here | _live(where)
    for zone in camera.zones:
        for key, entity in _of_zone(where, zone):
            yield f"zone.{zone.id}.{key}", here | entity
        if zone.dwell_s:
            yield f"zone.{zone.id}.stay_event", _stay_event(where, zone)
    for key, entity in _of_lines(where, topics, camera):
        yield key, here | entity
    for key, entity in _number_entities(where, topics):
        yield key, here | entity


def _of_people(where: CameraTopics) -> Iterator[tuple[str, Component]]:
    yield (
        "occupancy",
        _binary_sensor("occupancy", where, "Occupancy", "value_json.occupied"),
    )
    yield "people", _people_sensor(where, "People", "value_json.count | default(none)")
    yield (
        "moving",
        _binary_sensor("moving", where, "Movement", "value_json.moving | default(false)"),
    )
    yield "posture", _one_of(POSTURES, where, "Posture", "value_json.posture")
    detail = "value_json.posture_detail | default('none', true)"
    yield "posture_detail", _one_of(DETAILS, where, "Posture detail", detail)


def _one_of(options: Sequence[str], where: CameraTopics, name: str, value: str) -> Component:
    """Return a sensor with one of a few words; unknown for any other."""
    return {
        "platform": "sensor",
        "name": name,
        "icon": "mdi:human",
        "device_class": "enum",
        "options": list(options),
        "state_topic": where.state,
        "value_template": (
            f"{{% set word = {value} | default('') %}}"
            f"{{{{ word if word in {list(options)} else none }}}}"
        ),
    }


def _of_zone(where: CameraTopics, area: CameraZone) -> Iterator[tuple[str, Component]]:
    zone = f"(value_json.zones | default({{}})).get('{area.id}', {{}})"
    name = called(area)
    yield (
        "occupancy",
        _binary_sensor(
            "occupancy", where, f"{name} occupancy", f"{zone}.occupied | default(false)"
        ),
    )
    yield "people", _people_sensor(where, f"{name} people", f"{zone}.count | default(none)")
    yield (
        "longest_stay",
        {
            "platform": "sensor",
            "name": f"{name} longest stay",
            "icon": "mdi:timer-sand",
            "device_class": "duration",
            "unit_of_measurement": "s",
            "state_class": "measurement",
            "state_topic": where.state,
            "value_template": f"{{{{ {zone}.longest_s | default(none) }}}}",
        },
    )


def _of_lines(
    where: CameraTopics, topics: Topics, camera: Camera
) -> Iterator[tuple[str, Component]]:
    """Yield a counter for each direction of each line, and the button that resets them."""
    for line in camera.lines:
        for side in line.sides:
            count = f"(value_json.lines | default({{}})).get('{line.id}', {{}}).get('{side}')"
            name = f"{called(line)} to {title(side).lower()}"
            yield (
                f"line.{line.id}.{side}",
                _people_sensor(where, name, f"{count} | default(none)")
                | {"icon": "mdi:counter", "state_class": "total_increasing"},
            )
    if camera.lines:
        yield (
            "reset_lines",
            {
                "platform": "button",
                "name": "Reset lines",
                "icon": "mdi:counter",
                "entity_category": "config",
                "command_topic": topics.request("reset_lines"),
                "payload_press": msgspec.json.encode({"camera": where.camera}).decode(),
            },
        )


def _fall_watch(where: CameraTopics) -> Component:
    watched = "(value_json.settings | default({})).fall | default(false)"
    return {
        "platform": "switch",
        "name": "Fall watch",
        "icon": "mdi:shield-account",
        "entity_category": "config",
        "state_topic": where.state,
        "value_template": f"{{{{ 'ON' if {watched} else 'OFF' }}}}",
        "state_on": "ON",
        "state_off": "OFF",
        "command_topic": where.set,
        "payload_on": '{"fall":true}',
        "payload_off": '{"fall":false}',
    }


def _fall_sensor(where: CameraTopics) -> Component:
    return _binary_sensor("safety", where, "Fall", "value_json.fall") | {
        "icon": "mdi:human-handsdown"
    }


def _long_lie(where: CameraTopics) -> Component:
    condition = "value_json.long_lie | default(false)"
    return _binary_sensor("safety", where, "Long lie", condition) | {"icon": "mdi:bed-clock"}


def _stillness_sensor(where: CameraTopics) -> Component:
    """Return the sensor for stillness; its attribute `since` is the time of the last movement."""
    since = "{{ {'since': value_json.still_since | default(none)} | to_json }}"
    condition = "value_json.still | default(false)"
    return {
        "platform": "binary_sensor",
        "name": "No movement",
        "icon": "mdi:motion-sensor-off",
        "state_topic": where.state,
        "value_template": f"{{{{ 'ON' if {condition} else 'OFF' }}}}",
        "json_attributes_topic": where.state,
        "json_attributes_template": since,
    }


def _binary_sensor(class_: str, where: CameraTopics, name: str, condition: str) -> Component:
    return {
        "platform": "binary_sensor",
        "name": name,
        "device_class": class_,
        "state_topic": where.state,
        "value_template": f"{{{{ 'ON' if {condition} else 'OFF' }}}}",
    }


def _people_sensor(where: CameraTopics, name: str, count: str) -> Component:
    return {
        "platform": "sensor",
        "name": name,
        "icon": "mdi:account-group",
        "state_class": "measurement",
        "state_topic": where.state,
        "value_template": f"{{{{ {count} }}}}",
    }


# No `availability`: with it, a plain state trigger would fire after each reconnection.


def _fall_event(where: CameraTopics) -> Component:
    return {
        "platform": "event",
        "name": "Fall event",
        "icon": "mdi:alert",
        "event_types": list(FALLS),
        "state_topic": where.event,
        "value_template": _event_template(f"value_json.type in {list(FALLS)}", "value_json.type"),
    }


def _stay_event(where: CameraTopics, area: CameraZone) -> Component:
    asked = f"value_json.type == 'zone_dwelling' and value_json.data.zone == '{area.id}'"
    return {
        "platform": "event",
        "name": f"{called(area)} stay",
        "icon": "mdi:timer-alert",
        "event_types": ["zone_dwelling"],
        "state_topic": where.event,
        "value_template": _event_template(
            asked, "value_json.type", ", 'dwell_s': value_json.data.dwell_s | default(none)"
        ),
    }


def _gesture_event(where: CameraTopics, gestures: list[str]) -> Component:
    fresh = f"(now() - as_datetime(value_json.at)).total_seconds() < {STALE_S}"
    asked = f"value_json.type == 'gesture' and value_json.data.gesture in {gestures} and {fresh}"
    return {
        "platform": "event",
        "name": "Gesture",
        "icon": "mdi:hand-wave",
        "event_types": gestures,
        "state_topic": where.event,
        "value_template": _event_template(
            asked, "value_json.data.gesture", ", 'side': value_json.data.side | default(none)"
        ),
    }


def _event_template(condition: str, type_: str, more: str = "") -> str:
    """Return the template of an event entity; it ignores an event that is sent again."""
    return (
        f"{{% if {condition} and value_json.id != state_attr(entity_id, 'id') %}}"
        f"{{{{ {{'event_type': {type_}, 'id': value_json.id, 'person': value_json.person,"
        f" 'at': value_json.at, 'score': value_json.score{more}}} | to_json }}}}{{% endif %}}"
    )


def _control_entities(where: CameraTopics, topics: Topics) -> Iterator[tuple[str, Component]]:
    yield (
        "processing",
        {
            "platform": "switch",
            "name": "Processing",
            "icon": "mdi:motion-play",
            "state_topic": where.state,
            "value_template": "{{ 'OFF' if value_json.paused else 'ON' }}",
            "state_on": "ON",
            "state_off": "OFF",
            "command_topic": where.set,
            "payload_on": '{"paused":false}',
            "payload_off": '{"paused":true}',
        },
    )
    yield (
        "min_pose_score",
        {
            "platform": "number",
            "name": "Minimum score",
            "icon": "mdi:filter-variant",
            "entity_category": "config",
            "min": 0,
            "max": 1,
            "step": 0.01,
            "mode": "slider",
            "state_topic": where.state,
            "value_template": (
                "{{ (value_json.settings | default({})).min_pose_score | default(none) }}"
            ),
            "command_topic": where.set,
            "command_template": '{"min_pose_score":{{ value }}}',
        },
    )
    yield (
        "snapshot",
        {
            "platform": "button",
            "name": "Snapshot",
            "icon": "mdi:camera-iris",
            "command_topic": topics.request("snapshot"),
            "payload_press": msgspec.json.encode({"camera": where.camera}).decode(),
        },
    )
    yield (
        "clip",
        {
            "platform": "image",
            "name": "Clip",
            "icon": "mdi:filmstrip",
            "image_topic": where.clip,
            "content_type": "image/webp",
        },
    )
    yield (
        "make_clip",
        {
            "platform": "button",
            "name": "Make clip",
            "icon": "mdi:filmstrip-box",
            "command_topic": topics.request("clip"),
            "payload_press": msgspec.json.encode({"camera": where.camera}).decode(),
        },
    )
    yield (
        "picture",
        {
            "platform": "image",
            "name": "Skeleton",
            "icon": "mdi:human-male-board",
            "image_topic": where.snapshot,
            "content_type": "image/jpeg",
        },
    )


def _live(where: CameraTopics) -> Component:
    """Return the live picture as a camera entity, whose pictures the recorder does not store."""
    return {
        "platform": "camera",
        "name": "Live skeleton",
        "icon": "mdi:human-handsup",
        "topic": where.live,
    }


def _number_entities(where: CameraTopics, topics: Topics) -> Iterator[tuple[str, Component]]:
    mine = f"(value_json.cameras | default({{}})).get('{where.camera}', {{}})"
    latency = f"({mine}.latency_ms | default({{}}, true)).p50"
    yield (
        "fps",
        _diagnostic_sensor("Frame rate", topics.stats)
        | {
            "icon": "mdi:speedometer",
            "unit_of_measurement": "fps",
            "state_class": "measurement",
            "suggested_display_precision": 1,
            "value_template": f"{{{{ {mine}.fps | default(none) }}}}",
        },
    )
    yield (
        "latency",
        _diagnostic_sensor("Latency", topics.stats)
        | {
            "device_class": "duration",
            "unit_of_measurement": "ms",
            "state_class": "measurement",
            "suggested_display_precision": 0,
            "value_template": f"{{{{ {latency} | default(none) }}}}",
        },
    )


def _diagnostic_sensor(name: str, state_topic: str) -> Component:
    return {
        "platform": "sensor",
        "name": name,
        "entity_category": "diagnostic",
        "enabled_by_default": False,
        "state_topic": state_topic,
    } | ({"expire_after": EXPIRES_S} if state_topic.endswith("/stats") else {})


def _availability_sensor(*all_of: str) -> Component:
    return {
        "availability": [{"topic": topic} for topic in all_of],
        "availability_mode": "all",
    }
