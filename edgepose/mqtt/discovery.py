"""The discovery message from which Home Assistant creates a device and its entities.

This is the device form of MQTT discovery. Templates read the values from the existing topics,
so that no value is published twice.

Home Assistant deletes an entity only after a message that contains it and a second message in
which only its platform is left. It certainly receives both only after its birth message. So the
published components are stored in the state directory. A removed one is published once more and
then removed: at the start, and again at the next birth message. Then it is dropped from the file.
"""

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from edgepose._version import __version__
from edgepose.config.schema import Camera, CameraLine, CameraZone, Config, Web
from edgepose.mqtt.topics import CameraTopics, Topics
from edgepose.urls import Address, address, is_local

BOARD: Final = Path("/proc/device-tree/model")
STALE_S: Final = 60  # a gesture delayed in the spool must not switch a lamp
EXPIRES_S: Final = 45  # stats come every ten seconds

FALLS: Final = ("fall_suspected", "fall_confirmed", "fall_recovered")
POSTURES: Final = ("standing", "sitting", "lying")

Component = dict[str, Any]


def topic(config: Config) -> str:
    """Return the topic of the discovery message."""
    return f"{config.homeassistant.prefix}/device/{config.device.id}/config"


def components(config: Config, topics: Topics) -> dict[str, Component]:
    """Return every entity by its key. Keys, and so each `unique_id`, never change."""
    found = dict(_of_device(topics))
    for camera in config.cameras:
        for key, entity in _of_camera(config, camera, topics):
            found[f"{camera.id}.{key}"] = entity
    for key, entity in found.items():
        entity["unique_id"] = f"edgepose.{config.device.id}.{key}"
    return found


def device(config: Config) -> dict[str, Any]:
    """Return the discovery message without its components."""
    page = page_url(config.web)
    return {
        "device": {
            "identifiers": [f"edgepose.{config.device.id}"],
            "name": config.device.title,
            "manufacturer": "edgepose",
            "model": board(),
            "sw_version": __version__,
            **({"configuration_url": page} if page else {}),
        },
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


def payload(about: Mapping[str, Any], entities: Mapping[str, Component]) -> bytes:
    """Encode the discovery message; empty without entities, which removes the device."""
    return msgspec.json.encode({**about, "components": entities}) if entities else b""


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
    here = _available(topics.availability)
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
        "temperature",
        here
        | _diagnostic("Temperature", topics.stats)
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
        | _diagnostic("Runs on", topics.status)
        | {
            "icon": "mdi:chip",
            "value_template": "{{ (value_json.delegate | default({})).name | default(none) }}",
        },
    )


def _of_camera(config: Config, camera: Camera, topics: Topics) -> Iterator[tuple[str, Component]]:
    place = called(camera) if len(config.cameras) > 1 else ""
    where = topics.camera(camera.id)
    here = _available(topics.availability, where.availability)
    for key, entity in _of_people(place, where):
        yield key, here | entity
    yield "fall_watch", here | _fall_watch(place, where)
    if config.events.fall:
        yield "fall", here | _fall(place, where)
        yield "fall_event", _fall_event(place, where)
    if config.events.long_lie_s:
        yield "long_lie", here | _long_lie(place, where)
    if config.events.still_s:
        yield "still", here | _still(place, where)
    if gestures := [rule.id for rule in config.rules()]:
        yield "gesture", _gesture_event(place, where, gestures)
    for key, entity in _controls(place, where, topics):
        yield key, here | entity
    for zone in camera.zones:
        for key, entity in _of_zone(place, where, zone):
            yield f"zone.{zone.id}.{key}", here | entity
        if zone.dwell_s:
            yield f"zone.{zone.id}.stay_event", _stay_event(place, where, zone)
    for key, entity in _of_lines(place, where, topics, camera):
        yield key, here | entity
    for key, entity in _numbers(place, where, topics):
        yield key, here | entity


def _of_people(place: str, where: CameraTopics) -> Iterator[tuple[str, Component]]:
    yield (
        "occupancy",
        _switched("occupancy", where, _named(place, "Occupancy"), "value_json.occupied"),
    )
    yield "people", _people(where, _named(place, "People"), "value_json.count | default(none)")
    yield (
        "moving",
        _switched("moving", where, _named(place, "Movement"), "value_json.moving | default(false)"),
    )
    yield (
        "posture",
        {
            "platform": "sensor",
            "name": _named(place, "Posture"),
            "icon": "mdi:human",
            "device_class": "enum",
            "options": list(POSTURES),
            "state_topic": where.state,
            "value_template": (
                "{{ value_json.posture if value_json.posture | default('') in "
                f"{list(POSTURES)} else none }}}}"
            ),
        },
    )


def _of_zone(place: str, where: CameraTopics, area: CameraZone) -> Iterator[tuple[str, Component]]:
    zone = f"(value_json.zones | default({{}})).get('{area.id}', {{}})"
    name = _within(place, area)
    yield (
        "occupancy",
        _switched("occupancy", where, f"{name} occupancy", f"{zone}.occupied | default(false)"),
    )
    yield "people", _people(where, f"{name} people", f"{zone}.count | default(none)")
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
    place: str, where: CameraTopics, topics: Topics, camera: Camera
) -> Iterator[tuple[str, Component]]:
    """Yield a counter for each direction of each line, and the button that resets them."""
    for line in camera.lines:
        for side in line.sides:
            count = f"(value_json.lines | default({{}})).get('{line.id}', {{}}).get('{side}')"
            name = f"{_within(place, line)} to {title(side).lower()}"
            yield (
                f"line.{line.id}.{side}",
                _people(where, name, f"{count} | default(none)")
                | {"icon": "mdi:counter", "state_class": "total_increasing"},
            )
    if camera.lines:
        yield (
            "reset_lines",
            {
                "platform": "button",
                "name": _named(place, "Reset lines"),
                "icon": "mdi:counter",
                "entity_category": "config",
                "command_topic": topics.request("reset_lines"),
                "payload_press": msgspec.json.encode({"camera": where.camera}).decode(),
            },
        )


def _fall_watch(place: str, where: CameraTopics) -> Component:
    watched = "(value_json.settings | default({})).fall | default(false)"
    return {
        "platform": "switch",
        "name": _named(place, "Fall watch"),
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


def _fall(place: str, where: CameraTopics) -> Component:
    return _switched("safety", where, _named(place, "Fall"), "value_json.fall") | {
        "icon": "mdi:human-handsdown"
    }


def _long_lie(place: str, where: CameraTopics) -> Component:
    condition = "value_json.long_lie | default(false)"
    return _switched("safety", where, _named(place, "Long lie"), condition) | {
        "icon": "mdi:bed-clock"
    }


def _still(place: str, where: CameraTopics) -> Component:
    """Return the sensor for stillness; its attribute `since` is the time of the last movement."""
    since = "{{ {'since': value_json.still_since | default(none)} | to_json }}"
    condition = "value_json.still | default(false)"
    return {
        "platform": "binary_sensor",
        "name": _named(place, "No movement"),
        "icon": "mdi:motion-sensor-off",
        "state_topic": where.state,
        "value_template": f"{{{{ 'ON' if {condition} else 'OFF' }}}}",
        "json_attributes_topic": where.state,
        "json_attributes_template": since,
    }


def _switched(class_: str, where: CameraTopics, name: str, condition: str) -> Component:
    return {
        "platform": "binary_sensor",
        "name": name,
        "device_class": class_,
        "state_topic": where.state,
        "value_template": f"{{{{ 'ON' if {condition} else 'OFF' }}}}",
    }


def _people(where: CameraTopics, name: str, count: str) -> Component:
    return {
        "platform": "sensor",
        "name": name,
        "icon": "mdi:account-group",
        "state_class": "measurement",
        "state_topic": where.state,
        "value_template": f"{{{{ {count} }}}}",
    }


# Without availability: a plain state trigger would fire after each reconnection.


def _fall_event(place: str, where: CameraTopics) -> Component:
    return {
        "platform": "event",
        "name": _named(place, "Fall event"),
        "icon": "mdi:alert",
        "event_types": list(FALLS),
        "state_topic": where.event,
        "value_template": _event(f"value_json.type in {list(FALLS)}", "value_json.type"),
    }


def _stay_event(place: str, where: CameraTopics, area: CameraZone) -> Component:
    asked = f"value_json.type == 'zone_dwelling' and value_json.data.zone == '{area.id}'"
    return {
        "platform": "event",
        "name": f"{_within(place, area)} stay",
        "icon": "mdi:timer-alert",
        "event_types": ["zone_dwelling"],
        "state_topic": where.event,
        "value_template": _event(
            asked, "value_json.type", ", 'dwell_s': value_json.data.dwell_s | default(none)"
        ),
    }


def _gesture_event(place: str, where: CameraTopics, gestures: list[str]) -> Component:
    fresh = f"(now() - as_datetime(value_json.at)).total_seconds() < {STALE_S}"
    asked = f"value_json.type == 'gesture' and value_json.data.gesture in {gestures} and {fresh}"
    return {
        "platform": "event",
        "name": _named(place, "Gesture"),
        "icon": "mdi:hand-wave",
        "event_types": gestures,
        "state_topic": where.event,
        "value_template": _event(
            asked, "value_json.data.gesture", ", 'side': value_json.data.side | default(none)"
        ),
    }


def _event(condition: str, type_: str, more: str = "") -> str:
    """Return the template of an event entity; it ignores an event that is sent again."""
    return (
        f"{{% if {condition} and value_json.id != state_attr(entity_id, 'id') %}}"
        f"{{{{ {{'event_type': {type_}, 'id': value_json.id, 'person': value_json.person,"
        f" 'at': value_json.at, 'score': value_json.score{more}}} | to_json }}}}{{% endif %}}"
    )


def _controls(place: str, where: CameraTopics, topics: Topics) -> Iterator[tuple[str, Component]]:
    yield (
        "processing",
        {
            "platform": "switch",
            "name": _named(place, "Processing"),
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
            "name": _named(place, "Minimum score"),
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
            "name": _named(place, "Snapshot"),
            "icon": "mdi:camera-iris",
            "command_topic": topics.request("snapshot"),
            "payload_press": msgspec.json.encode({"camera": where.camera}).decode(),
        },
    )
    yield (
        "clip",
        {
            "platform": "image",
            "name": _named(place, "Clip"),
            "icon": "mdi:filmstrip",
            "image_topic": where.clip,
            "content_type": "image/webp",
        },
    )
    yield (
        "make_clip",
        {
            "platform": "button",
            "name": _named(place, "Make clip"),
            "icon": "mdi:filmstrip-box",
            "command_topic": topics.request("clip"),
            "payload_press": msgspec.json.encode({"camera": where.camera}).decode(),
        },
    )
    yield (
        "picture",
        {
            "platform": "image",
            "name": _named(place, "Skeleton"),
            "icon": "mdi:human-male-board",
            "image_topic": where.snapshot,
            "content_type": "image/jpeg",
        },
    )


def _numbers(place: str, where: CameraTopics, topics: Topics) -> Iterator[tuple[str, Component]]:
    mine = f"(value_json.cameras | default({{}})).get('{where.camera}', {{}})"
    latency = f"({mine}.latency_ms | default({{}}, true)).p50"
    yield (
        "fps",
        _diagnostic(_named(place, "Frame rate"), topics.stats)
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
        _diagnostic(_named(place, "Latency"), topics.stats)
        | {
            "device_class": "duration",
            "unit_of_measurement": "ms",
            "state_class": "measurement",
            "suggested_display_precision": 0,
            "value_template": f"{{{{ {latency} | default(none) }}}}",
        },
    )


def _diagnostic(name: str, state_topic: str) -> Component:
    return {
        "platform": "sensor",
        "name": name,
        "entity_category": "diagnostic",
        "enabled_by_default": False,
        "state_topic": state_topic,
    } | ({"expire_after": EXPIRES_S} if state_topic.endswith("/stats") else {})


def _available(*all_of: str) -> Component:
    return {
        "availability": [{"topic": topic} for topic in all_of],
        "availability_mode": "all",
    }


def _named(place: str, what: str) -> str:
    return f"{place} {what.lower()}" if place else what


def _within(place: str, named: CameraZone | CameraLine) -> str:
    """Return the entity name of a zone or line; configured names keep their case."""
    if named.name or not place:
        return f"{place} {called(named)}".strip()
    return _named(place, called(named))
