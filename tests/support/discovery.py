"""The rules by which Home Assistant accepts or refuses a device's discovery message.

Home Assistant logs some mistakes but ignores misspelt keys silently: so the known keys of
each platform are listed here, and any other key is a mistake.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

COMMON: Final = {
    "platform",
    "unique_id",
    "name",
    "icon",
    "entity_category",
    "enabled_by_default",
    "availability",
    "availability_mode",
    "availability_topic",
    "qos",
}
REQUIRED: Final = {
    "binary_sensor": {"state_topic"},
    "sensor": {"state_topic"},
    "event": {"state_topic", "event_types"},
    "image": {"image_topic"},
    "switch": {"command_topic"},
    "number": {"command_topic"},
    "button": {"command_topic"},
    "camera": {"topic"},
    "select": {"command_topic", "options"},
}
OPTIONAL: Final = {
    "binary_sensor": {
        "payload_on",
        "payload_off",
        "device_class",
        "value_template",
        "expire_after",
        "off_delay",
        "json_attributes_topic",
        "json_attributes_template",
    },
    "sensor": {
        "device_class",
        "value_template",
        "expire_after",
        "options",
        "state_class",
        "suggested_display_precision",
        "unit_of_measurement",
    },
    "event": {"device_class", "value_template"},
    "image": {"content_type", "image_encoding"},
    "switch": {
        "state_topic",
        "value_template",
        "payload_on",
        "payload_off",
        "state_on",
        "state_off",
        "device_class",
    },
    "number": {
        "state_topic",
        "value_template",
        "command_template",
        "min",
        "max",
        "step",
        "mode",
        "unit_of_measurement",
        "device_class",
    },
    "button": {"payload_press", "command_template", "device_class"},
    "camera": {"image_encoding"},
    "select": {"state_topic", "value_template", "command_template"},
}
CLASSES: Final = {
    "binary_sensor": {
        "connectivity",
        "occupancy",
        "safety",
        "problem",
        "motion",
        "moving",
        "presence",
    },
    "sensor": {"enum", "duration", "temperature", "timestamp"},
    "event": {"doorbell", "button", "motion"},
    "button": {"identify", "restart", "update"},
}
STATE_CLASSES: Final = {"measurement", "total", "total_increasing"}
UNITS: Final = {"duration": {"ms", "s", "min", "h"}, "temperature": {"°C", "°F", "K"}}
DEVICE: Final = {
    "identifiers",
    "connections",
    "name",
    "manufacturer",
    "model",
    "model_id",
    "sw_version",
    "hw_version",
    "serial_number",
    "configuration_url",
    "suggested_area",
    "via_device",
}
ORIGIN: Final = {"name", "sw_version", "support_url"}
ROOT: Final = {"device", "origin", "components", "qos"}

TOPIC: Final = re.compile(r"[^/]+/device/([A-Za-z0-9_-]+/){1,2}config")


def complaints(topic: str, payload: bytes) -> list[str]:
    """Return all that Home Assistant would refuse, log as a mistake or silently ignore."""
    found = json.loads(payload.decode("utf-8"))
    return [
        *([] if TOPIC.fullmatch(topic) else [f"topic {topic}"]),
        *_root(found),
        *_twice(found["components"]),
        *(
            f"{key}: {what}"
            for key, component in found["components"].items()
            for what in _component(component)
        ),
    ]


def _root(found: dict[str, Any]) -> Iterator[str]:
    yield from (f"unknown key {key}" for key in found.keys() - ROOT)
    yield from (f"missing {key}" for key in ("device", "origin", "components") if key not in found)
    yield from (f"unknown device.{key}" for key in found["device"].keys() - DEVICE)
    yield from (f"unknown origin.{key}" for key in found["origin"].keys() - ORIGIN)
    if not found["device"].get("identifiers"):
        yield "no identifiers"
    if not found["origin"].get("name"):
        yield "no origin.name"
    if found.get("qos", 0) not in {0, 1, 2}:
        yield "qos"
    for url in (found["device"].get("configuration_url"), found["origin"].get("support_url")):
        if url is not None and not re.match(r"(https?|homeassistant)://[^/]+", url):
            yield f"no URL: {url}"


def _twice(components: dict[str, Any]) -> Iterator[str]:
    ids = [entity["unique_id"] for entity in components.values() if "unique_id" in entity]
    if len(ids) != len(set(ids)):
        yield "unique_id twice"


def _component(entity: dict[str, Any]) -> Iterator[str]:
    platform = entity.get("platform")
    if platform not in REQUIRED:
        yield f"platform {platform}"
        return
    if entity.keys() == {"platform"}:
        return  # removes the entity
    known = COMMON | REQUIRED[platform] | OPTIONAL[platform]
    yield from (f"unknown key {key}" for key in entity.keys() - known)
    needed = REQUIRED[platform] | {"unique_id", "name"}
    yield from (f"missing {key}" for key in needed - entity.keys())
    yield from _words(platform, entity)
    yield from _topics(entity)
    yield from _templates(entity)
    if platform == "sensor":
        yield from _sensor(entity)
    if platform == "number" and not entity["min"] < entity["max"]:
        yield "min and max"
    if platform == "number" and entity["step"] < 0.001:
        yield "step"
    if platform == "event" and not all(isinstance(type_, str) for type_ in entity["event_types"]):
        yield "event_types"


def _words(platform: str, entity: dict[str, Any]) -> Iterator[str]:
    class_ = entity.get("device_class")
    if class_ is not None and class_ not in CLASSES.get(platform, set()):
        yield f"device_class {class_}"
    if not re.fullmatch(r"mdi:[a-z0-9-]+", entity.get("icon", "mdi:a")):
        yield f"icon {entity['icon']}"
    allowed = {"diagnostic"} if platform in {"sensor", "binary_sensor"} else {"config"}
    if entity.get("entity_category", next(iter(allowed))) not in allowed:
        yield f"entity_category {entity['entity_category']}"
    if not 0 < len(entity.get("name", "")) <= 255:
        yield "name"


def _topics(entity: dict[str, Any]) -> Iterator[str]:
    if "availability" in entity and "availability_topic" in entity:
        yield "availability and availability_topic"
    if len(entity.get("availability", [])) > 1 and entity.get("availability_mode") != "all":
        yield "availability_mode"
    named = [entity[key] for key in entity if key.endswith("_topic")]
    for topic in (*named, *(each["topic"] for each in entity.get("availability", []))):
        if not topic or set(topic) & {"+", "#", "\0"}:
            yield f"topic {topic}"


def _templates(entity: dict[str, Any]) -> Iterator[str]:
    for key in (key for key in entity if key.endswith("_template")):
        text = entity[key]
        if text.count("{{") != text.count("}}") or text.count("{%") != text.count("%}"):
            yield f"{key} does not parse"


def _sensor(entity: dict[str, Any]) -> Iterator[str]:
    class_, unit = entity.get("device_class"), entity.get("unit_of_measurement")
    if ("options" in entity) is not (class_ == "enum"):
        yield "options go with the class enum"
    if class_ == "enum" and ("state_class" in entity or unit):
        yield "an enum has no unit"
    if class_ in UNITS and unit not in UNITS[class_]:
        yield f"unit {unit} of {class_}"
    if entity.get("state_class", "measurement") not in STATE_CLASSES:
        yield "state_class"
