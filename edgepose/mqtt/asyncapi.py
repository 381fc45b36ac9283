"""JSON Schemas of the payloads and an AsyncAPI document of all topics.

Both are generated from the structs that encode and decode the payloads and from the topics that
the daemon uses, so they cannot differ from its behaviour.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from edgepose._version import __version__
from edgepose.config.reference import DIALECT, explain
from edgepose.mqtt import messages, requests
from edgepose.mqtt.messages import (
    POSES_EXPIRY_S,
    EventMessage,
    PosesMessage,
    StateMessage,
    StatsMessage,
    StatusMessage,
)
from edgepose.mqtt.requests import REQUESTS, Response, Settings
from edgepose.mqtt.topics import CameraTopics, Topics
from edgepose.system import hardware
from edgepose.types import PAYLOAD_VERSION

Schema = dict[str, Any]

JSON: Final = "application/json"
TEXT: Final = "text/plain"
MSGPACK: Final = "application/msgpack"
JPEG: Final = "image/jpeg"
WEBP: Final = "image/webp"
JSON_LINES: Final = "application/jsonl"

AVAILABILITY: Final[Schema] = {
    "title": "Availability",
    "description": "Plain text, not JSON. An empty message: the camera was removed.",
    "type": "string",
    "enum": ["online", "offline", ""],
}
BIRTH: Final[Schema] = {
    "title": "Birth",
    "description": "Home Assistant's own availability.",
    "type": "string",
    "enum": ["online", "offline"],
}
PICTURE: Final[Schema] = {
    "title": "Picture",
    "description": "A JPEG: skeletons on black, or on the camera's picture.",
    "type": "string",
    "format": "binary",
}
CLIP: Final[Schema] = {
    "title": "Clip",
    "description": "An animated WebP of at most 200 kB: skeletons, zones and lines on black, or on"
    " the camera's picture.",
    "type": "string",
    "format": "binary",
}
CLIP_POSES: Final[Schema] = {
    "title": "ClipPoses",
    "description": "JSON Lines that `edgepose replay` and `score` read.",
    "type": "string",
}
DISCOVERY: Final[Schema] = {
    "title": "Discovery",
    "description": "Home Assistant's device discovery; empty to remove the device.",
    "type": "object",
    "required": ["device", "origin", "components"],
    "properties": {
        "device": {"type": "object"},
        "origin": {"type": "object"},
        "components": {"type": "object", "additionalProperties": {"type": "object"}},
        "qos": {"type": "integer"},
    },
}

PARAMETERS: Final[Mapping[str, Schema]] = {
    "base": {"description": "`mqtt.base_topic` of the configuration.", "default": "edgepose"},
    "device": {"description": "`device.id` of the configuration; without it, the host name."},
    "camera": {"description": "`id` of one of the configuration's cameras."},
    "prefix": {
        "description": "`homeassistant.prefix` of the configuration.",
        "default": "homeassistant",
    },
}

DESCRIPTION: Final = """\
Poses, states and events of people from an edgepose device, and the commands that it accepts.

Coordinates are pixels of the camera's picture, x to the right and y down from the top left
corner. Keypoints stand in COCO's order. Times are RFC 3339 in UTC. Fields may be added without
a new version `v`: ignore unknown fields. With MQTT 3.1.1 the headers named here are
missing. docs/mqtt.md describes them in prose."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A topic and its payload."""

    name: str
    topic: str
    """Topic with the parts that depend on device or camera as names in braces."""

    says: str
    """Description, one sentence."""

    payload: Any
    """Struct of the payload, or the schema if there is no struct."""

    qos: int = 0
    retain: bool = False
    takes: bool = False
    """Whether the device subscribes to the topic, and does not publish to it."""

    content_type: str = JSON
    expiry_s: int | None = None
    answers: str = ""
    """Name of the channel of the answer."""

    @property
    def typed(self) -> bool:
        """Whether the payload is a struct."""
        return not isinstance(self.payload, dict)


def channels() -> Iterator[Channel]:
    """Yield every topic that a device publishes or subscribes to."""
    topics = Topics("{base}", "{device}")
    yield from _of_device(topics)
    yield from _of_camera(topics.camera("{camera}"))
    yield from _of_requests(topics)
    yield from _of_home_assistant()


def _of_device(topics: Topics) -> Iterator[Channel]:
    says = "Availability of the device; also the last will."
    yield Channel(
        "availability", topics.availability, says, AVAILABILITY, 1, True, content_type=TEXT
    )
    yield Channel(
        "status",
        topics.status,
        "Version, model and settings of the daemon.",
        StatusMessage,
        1,
        True,
    )
    yield Channel("stats", topics.stats, "Statistics, every ten seconds.", StatsMessage)


def _of_camera(topics: CameraTopics) -> Iterator[Channel]:
    says = "Availability of the camera while its device is online."
    yield Channel(
        "cameraAvailability", topics.availability, says, AVAILABILITY, 1, True, content_type=TEXT
    )
    says = "The people in one frame; an empty list if there are none."
    yield Channel("poses", topics.poses, says, PosesMessage, expiry_s=POSES_EXPIRY_S)
    yield Channel(
        "posesMsgpack",
        topics.poses_msgpack,
        'The same in MessagePack, with `mqtt.encoding = "msgpack"`.',
        PosesMessage,
        content_type=MSGPACK,
        expiry_s=POSES_EXPIRY_S,
    )
    yield Channel("state", topics.state, "Current state of the camera.", StateMessage, 1, True)
    says = "An event; delivered at least once, with the same id each time."
    yield Channel("event", topics.event, says, EventMessage, 1)
    says = "A picture, on request, and on events if configured."
    yield Channel("snapshot", topics.snapshot, says, PICTURE, content_type=JPEG)
    says = "The newest skeletons, replaced while they change; without people at a start."
    yield Channel("live", topics.live, says, PICTURE, retain=True, content_type=JPEG)
    says = "The seconds around an event, on events and on request."
    yield Channel("clip", topics.clip, says, CLIP, content_type=WEBP)
    says = "The poses of a clip: one message of `poses` a line."
    yield Channel("clipPoses", topics.clip_poses, says, CLIP_POSES, content_type=JSON_LINES)
    says = "Changes settings; the state shows the current ones."
    yield Channel("set", topics.set, says, Settings, 1, takes=True)


def _of_requests(topics: Topics) -> Iterator[Channel]:
    for name, request in REQUESTS.items():
        title = name.title().replace("_", "")
        asks, answers = f"request{title}", f"response{title}"
        yield Channel(
            asks,
            topics.request(name),
            f"Asks for {name}.",
            request.takes,
            1,
            takes=True,
            answers=answers,
        )
        says = f"Answers {name}, unless the request names another topic."
        yield Channel(answers, topics.response(name), says, cast(Any, Response)[request.gives], 1)


def _of_home_assistant() -> Iterator[Channel]:
    says = "Describes the device to Home Assistant."
    yield Channel("discovery", "{prefix}/device/{device}/config", says, DISCOVERY, 1, True)
    says = "From this Home Assistant makes a camera's device and its entities."
    where = "{prefix}/device/{device}/{camera}/config"
    yield Channel("discoveryCamera", where, says, DISCOVERY, 1, True)
    says = "Home Assistant has started; the device is described again."
    yield Channel("birth", "{prefix}/status", says, BIRTH, takes=True, content_type=TEXT)


def schemas() -> dict[str, Schema]:
    """Return the JSON Schema of each JSON payload, by file name."""
    found = {}
    for channel in channels():
        if channel.typed and channel.content_type == JSON:
            whole = msgspec.json.schema(channel.payload)
            _add_descriptions(whole.get("$defs", {}))
            found[_file_name(channel.name)] = {"$schema": DIALECT, **whole}
    return found


def _file_name(name: str) -> str:
    """Return ``response-ping`` for ``responsePing``."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI document of all topics."""
    known = list(channels())
    structs = [channel.payload for channel in known if channel.typed]
    references, components = msgspec.json.schema_components(
        structs, ref_template="#/components/schemas/{name}"
    )
    _add_descriptions(components)
    payloads = iter(references)
    named = {
        channel.name: next(payloads) if channel.typed else channel.payload for channel in known
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "edgepose",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": JSON,
        "servers": {
            "plain": {"host": "localhost:1883", "protocol": "mqtt", "protocolVersion": "5"},
            "tls": {"host": "broker.example:8883", "protocol": "mqtts", "protocolVersion": "5"},
        },
        "channels": {channel.name: _describe_channel(channel) for channel in known},
        "operations": {
            channel.name: _describe_operation(channel)
            for channel in known
            if not channel.name.startswith("response")
        },
        "components": {
            "messages": {
                channel.name: _describe_message(channel, named[channel.name]) for channel in known
            },
            "schemas": _draft_7(components),
        },
    }


def _describe_channel(channel: Channel) -> dict[str, Any]:
    parameters = {name: of for name, of in PARAMETERS.items() if f"{{{name}}}" in channel.topic}
    return {
        "address": channel.topic,
        "description": channel.says,
        "parameters": parameters,
        "messages": {channel.name: {"$ref": f"#/components/messages/{channel.name}"}},
    }


def _describe_operation(channel: Channel) -> dict[str, Any]:
    mqtt: dict[str, Any] = {"qos": channel.qos, "retain": channel.retain}
    if channel.expiry_s is not None:
        mqtt["messageExpiryInterval"] = channel.expiry_s
    found: dict[str, Any] = {
        "action": "receive" if channel.takes else "send",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "summary": channel.says,
        "bindings": {"mqtt": {**mqtt, "bindingVersion": "0.2.0"}},
    }
    if channel.answers:
        found["reply"] = {"channel": {"$ref": f"#/channels/{channel.answers}"}}
    return found


def _describe_message(channel: Channel, payload: Schema) -> dict[str, Any]:
    readable = int(channel.content_type in {JSON, TEXT})
    return {
        "name": channel.name,
        "contentType": channel.content_type,
        "summary": channel.says,
        "headers": {
            "type": "object",
            "description": "User properties of MQTT 5.",
            "properties": {"v": {"type": "string", "const": str(PAYLOAD_VERSION)}},
        },
        "payload": _draft_7(payload),
        "bindings": {
            "mqtt": {
                "payloadFormatIndicator": readable,
                "contentType": channel.content_type,
                "bindingVersion": "0.2.0",
            }
        },
    }


def _add_descriptions(components: dict[str, Schema]) -> None:
    """Add the texts below the structs' fields to their schemas."""
    named = {
        name: found
        for module in (messages, requests, hardware)
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, Struct)
    }
    for name, component in components.items():
        explain(component, named[name.partition("_")[0]])


def _draft_7(part: Any) -> Any:
    """Convert tuples to JSON Schema draft 7, which AsyncAPI uses."""
    if isinstance(part, list):
        return [_draft_7(each) for each in part]
    if not isinstance(part, dict):
        return part
    plain = {key: _draft_7(value) for key, value in part.items()}
    if "prefixItems" in plain:
        plain["additionalItems"] = plain.pop("items")
        plain["items"] = plain.pop("prefixItems")
    return plain
