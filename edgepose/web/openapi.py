"""The OpenAPI document of the API for programs, generated from the message types."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import Struct

from edgepose._version import __version__
from edgepose.config.reference import explain
from edgepose.mqtt import messages
from edgepose.mqtt.messages import (
    CameraStatus,
    EventMessage,
    PosesMessage,
    StateMessage,
    StatsMessage,
    StatusMessage,
)
from edgepose.system import hardware
from edgepose.web.api_parameters import FPS, PREFIX, TYPES, WIDTH, Number

Schema = dict[str, Any]

JSON: Final = "application/json"
MJPEG: Final = "multipart/x-mixed-replace"

DESCRIPTION: Final = """\
What the daemon's page shows, for programs that have no MQTT broker. It only reads.

From the device itself no token is needed, unless a proxy is between. From other machines send
the token of `edgepose web token --read-only` as `Authorization: Bearer TOKEN`, as the password of
HTTP Basic, or as `?token=TOKEN` where a dashboard takes nothing but a URL. Fields may be added
without a new version: ignore those you do not know."""


class CameraEntry(Struct, frozen=True, kw_only=True):
    """A camera of the device, with its latest messages."""

    id: str
    status: CameraStatus | None
    """As in the topic `B/status`; null before the daemon has sent it."""

    state: StateMessage | None
    """As in the topic `C/state`; null before the first frame."""


class CameraList(Struct, frozen=True, kw_only=True):
    """All cameras of the device."""

    cameras: tuple[CameraEntry, ...]


class StreamMessage(Struct, frozen=True, kw_only=True):
    """A message as on MQTT, with its topic."""

    topic: str
    payload: Any
    """Payload; its type depends on the last level of the topic."""


class ErrorMessage(Struct, frozen=True, kw_only=True):
    """Why a request was refused."""

    error: str
    """Error message with the remedy."""


@dataclass(frozen=True, slots=True)
class Route:
    """A path of the API."""

    path: str
    summary: str
    gives: type[Struct] | None
    """Type of the response; None if it is not a JSON struct."""

    content_type: str = JSON
    status: int = 200
    numbers: tuple[Number, ...] = ()
    filters: bool = False
    """Whether cameras and types can be selected."""

    refusals: tuple[int, ...] = ()
    """Status codes of refusals, in addition to those of all paths."""


ROUTES: Final = (
    Route(f"{PREFIX}cameras", "All cameras with their availability and state.", CameraList),
    Route(
        f"{PREFIX}cameras/{{camera}}/poses",
        "The newest poses of a camera; the first request waits for a frame.",
        PosesMessage,
        refusals=(404, 503),
    ),
    Route(
        f"{PREFIX}cameras/{{camera}}/skeletons.mjpeg",
        "Skeletons on black as Motion JPEG. Never the camera's picture.",
        None,
        MJPEG,
        numbers=(FPS, WIDTH),
        refusals=(404, 422, 503),
    ),
    Route(
        f"{PREFIX}stream",
        "A WebSocket: what goes to the broker, each message a StreamMessage. At first the newest "
        "of each state. A client that is slow gets the newest poses, and all events.",
        StreamMessage,
        status=101,
        filters=True,
        refusals=(404, 422, 426, 503),
    ),
    Route(f"{PREFIX}openapi.json", "This document.", None),
)

REFUSALS: Final = {
    401: "The token is missing or wrong.",
    403: "The host name is not known, or a page of another site asks.",
    404: "The camera is not known.",
    422: "A parameter is wrong.",
    426: "Not a WebSocket.",
    429: "Too many wrong tokens; `Retry-After` says how long to wait.",
    503: "No frame is available, or too many clients are connected.",
}
EVERYWHERE: Final = (401, 403, 429)

PAYLOADS: Final = (PosesMessage, StateMessage, EventMessage, StatusMessage, StatsMessage)
AVAILABILITY: Final[Schema] = {"type": "string", "enum": ["online", "offline"]}


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    template = "#/components/schemas/{name}"
    structs = (CameraList, StreamMessage, ErrorMessage, *PAYLOADS)
    _, schemas = msgspec.json.schema_components(structs, ref_template=template)
    _add_descriptions(schemas)
    payload = schemas["StreamMessage"]["properties"]["payload"]
    payload["anyOf"] = [*(_schema_reference(struct) for struct in PAYLOADS), AVAILABILITY]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "edgepose",
            "version": __version__,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The address of the page, `web.listen`."}],
        "security": [{}, {"bearer": []}, {"basic": []}, {"query": []}],
        "paths": {route.path: {"get": _describe_operation(route)} for route in ROUTES},
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
                "query": {"type": "apiKey", "in": "query", "name": "token"},
            },
        },
    }


def _describe_operation(route: Route) -> Schema:
    last = route.path.removeprefix(PREFIX).rpartition("/")[2].partition(".")[0]
    answer: Schema = {"description": route.summary}
    if route.status == 101:
        answer["description"] = "Switches to WebSocket; each text message is a StreamMessage."
    else:
        answer["content"] = {route.content_type: _describe_content(route)}
    error = {JSON: {"schema": _schema_reference(ErrorMessage)}}
    refusals = {
        str(status): {"description": REFUSALS[status], "content": error}
        for status in sorted((*EVERYWHERE, *route.refusals))
    }
    return {
        "operationId": last,
        "summary": route.summary,
        "parameters": list(_describe_parameters(route)),
        "responses": {str(route.status): answer, **refusals},
    }


def _describe_content(route: Route) -> Schema:
    if route.gives is not None:
        return {"schema": _schema_reference(route.gives)}
    return {"schema": {"type": "object"}} if route.content_type == JSON else {}


def _describe_parameters(route: Route) -> Iterator[Schema]:
    text = {"type": "string"}
    if "{camera}" in route.path:
        meaning = "Id of a camera of the configuration."
        yield _make_parameter("camera", meaning, text, place="path", required=True)
    for number in route.numbers:
        limits = {"minimum": number.least, "maximum": number.most, "default": number.default}
        yield _make_parameter(number.name, number.meaning, {"type": "number", **limits})
    if route.filters:
        yield _make_parameter("camera", "Only these cameras.", {"type": "array", "items": text})
        kinds = {"type": "array", "items": {"type": "string", "enum": list(TYPES)}}
        yield _make_parameter("type", "Only these types of messages.", kinds)


def _make_parameter(
    name: str, meaning: str, schema: Schema, *, place: str = "query", required: bool = False
) -> Schema:
    return {
        "name": name,
        "in": place,
        "required": required,
        "description": meaning,
        "schema": schema,
    }


def _schema_reference(struct: type[Struct]) -> Schema:
    return {"$ref": f"#/components/schemas/{struct.__name__}"}


def _add_descriptions(schemas: dict[str, Schema]) -> None:
    """Add the texts below the structs' fields to their schemas."""
    known = {
        name: found
        for module in (vars(messages), vars(hardware), globals())
        for name, found in module.items()
        if isinstance(found, type) and issubclass(found, Struct)
    }
    for name, schema in schemas.items():
        explain(schema, known[name])
