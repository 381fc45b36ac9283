"""The schemas and the AsyncAPI document: current, valid, and equal to what is really sent."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import msgspec
import pytest
from paho.mqtt.client import MQTTMessage

from edgepose.mqtt import asyncapi
from edgepose.mqtt.asyncapi import JSON, MSGPACK, Channel
from edgepose.mqtt.topics import Topics
from tests.service.test_daemon import CAMERA, Running
from tests.support.brokers import Mosquitto, Witness, needs_mosquitto, witness
from tools.write_docs import DOCS, pages

PARSER: Final = Path(sys.prefix) / "node" / "node_modules" / "@asyncapi" / "parser"
CHANNELS: Final = {channel.name: channel for channel in asyncapi.channels()}
DEVICE: Final = "edgepose/test-pi"
PAGES: Final = pages()


@pytest.mark.parametrize("path", PAGES)
def test_the_pages_are_current(path: str) -> None:
    """The published pages equal those generated from the structs."""
    assert (DOCS / path).read_text(encoding="utf-8") == PAGES[path], "run: make docs"


def test_no_schema_is_left_of_what_is_no_more() -> None:
    """No schema file of a removed message is left."""
    published = {f"schema/{file.name}" for file in (DOCS / "schema").iterdir()}

    assert published == {path for path in PAGES if path.startswith("schema/")}


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DOCS / "schema" / f"{name}.json").read_text())
    return found


@pytest.mark.parametrize("name", asyncapi.schemas())
def test_a_schema_is_one_and_explains_its_fields(name: str) -> None:
    """Each schema is valid and has a description."""
    whole = schema(name)

    jsonschema.Draft202012Validator.check_schema(whole)
    main = whole["$defs"][whole["$ref"].rpartition("/")[2]]
    assert len(main["description"]) > 10


@pytest.mark.parametrize("name", ["poses", "state", "event", "status", "stats"])
def test_the_documented_examples_fit_and_mistakes_do_not(name: str) -> None:
    """The examples in docs/mqtt.md fit the schemas; a field of a wrong type is refused."""
    (text,) = re.findall(rf"```json {name}\n(.*?)```", (DOCS / "mqtt.md").read_text(), re.DOTALL)
    example = json.loads(text)
    check = jsonschema.Draft202012Validator(schema(name))

    assert check.is_valid(example)
    for key in example:
        assert not check.is_valid(example | {key: object()}), key
    for key in ("device", "v"):
        assert not check.is_valid(example | {key: [1]}), key


def test_every_topic_is_there() -> None:
    """Every topic on which the daemon sends or listens has a channel."""
    topics = Topics("{base}", "{device}")
    camera = topics.camera("{camera}")
    named = {*topics.listed().values(), *camera.listed(packed=True).values()}

    addresses = {channel.topic for channel in CHANNELS.values()}

    assert named <= addresses
    assert len(addresses) == len(CHANNELS)
    for verb in ("ping", "info", "snapshot", "reload", "doctor"):
        assert {topics.request(verb), topics.response(verb)} <= addresses


def refers(part: Any) -> Iterator[str]:
    """Yield every reference within a document."""
    if isinstance(part, dict):
        yield from [part["$ref"]] if "$ref" in part else []
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from refers(each)


def test_every_reference_leads_somewhere() -> None:
    """Every reference resolves; checked here because the official parser is optional."""
    document = asyncapi.asyncapi()

    for reference in refers(document):
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def parsed(document: str, folder: Path) -> list[str]:
    """Return the output of the official parser."""
    if not PARSER.exists() or shutil.which("node") is None:
        pytest.skip(
            "no AsyncAPI parser here: sh tests/support/install-asyncapi-parser.sh .venv/node"
        )
    file = folder / "asyncapi.json"
    file.write_text(document)
    script = Path(__file__).parent / "asyncapi.cjs"
    run = subprocess.run(
        ["node", script, PARSER, file], capture_output=True, text=True, check=True, timeout=100
    )
    return run.stdout.splitlines()


@pytest.mark.slow
class TestOfficialParser:
    def test_it_accepts_the_document(self, tmp_path: Path) -> None:
        """There is no error or warning, and every channel is recognised."""
        *diagnostics, channels = parsed((DOCS / "asyncapi.json").read_text(), tmp_path)

        assert [line for line in diagnostics if line[0] in "01"] == []
        assert channels == f"channels {len(CHANNELS)}"

    def test_it_would_tell_of_a_mistake(self, tmp_path: Path) -> None:
        """The parser reports an error in a document with a mistake."""
        document = asyncapi.asyncapi()
        document["operations"]["poses"]["action"] = "shout"

        said = parsed(json.dumps(document), tmp_path)

        assert any(line.startswith("0 ") for line in said)


def channel_of(topic: str) -> Channel:
    """Return the one channel of a topic."""
    found = [
        channel
        for channel in CHANNELS.values()
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", channel.topic), topic)
    ]
    fixed = [channel for channel in found if "{camera}" not in channel.topic]
    (channel,) = fixed or found
    return channel


def content(message: MQTTMessage) -> Any:
    """Decode a payload according to its content type."""
    said = message.properties.ContentType
    if said == JSON:
        return json.loads(message.payload)
    if said == MSGPACK:
        return msgspec.msgpack.decode(message.payload)
    return message.payload.decode("latin-1")


def faults(message: MQTTMessage, document: dict[str, Any]) -> list[str]:
    """Return the deviations of a message from the published pages."""
    channel = channel_of(message.topic)
    told = document["components"]["messages"][channel.name]
    said = content(message)
    payload = {**told["payload"], "components": document["components"]}
    found = [error.message for error in jsonschema.Draft7Validator(payload).iter_errors(said)]
    if channel.typed:
        name = "poses" if channel.name == "posesMsgpack" else asyncapi._file_name(channel.name)
        check = jsonschema.Draft202012Validator(schema(name))
        found += [error.message for error in check.iter_errors(said)]
    mqtt = document["operations"].get(channel.name, {}).get("bindings", {}).get("mqtt", {})
    properties = message.properties
    is_, should = (
        {
            "type": properties.ContentType,
            "readable": getattr(properties, "PayloadFormatIndicator", 0),
            "v": dict(properties.UserProperty)["v"],
            "expires": hasattr(properties, "MessageExpiryInterval"),
            "qos": message.qos,
        },
        {
            "type": told["contentType"],
            "readable": told["bindings"]["mqtt"]["payloadFormatIndicator"],
            "v": told["headers"]["properties"]["v"]["const"],
            "expires": "messageExpiryInterval" in mqtt,
            "qos": mqtt.get("qos", channel.qos),
        },
    )
    return found + [f"{key}: {is_[key]}" for key in is_ if is_[key] != should[key]]


def listen(seen: Witness) -> None:
    """Request everything from a daemon, and wait until all of it has been sent."""
    for verb in ("info", "ping", "doctor", "reload", "reset_lines"):
        seen.publish(f"{DEVICE}/request/{verb}", b'{"id":1}')
        seen.on(f"{DEVICE}/response/{verb}", timeout_s=60)
    seen.on(f"{DEVICE}/hall/poses/msgpack", timeout_s=60)
    seen.until(lambda m: m.topic == f"{DEVICE}/hall/event", timeout_s=60)
    seen.publish(f"{DEVICE}/request/snapshot", b"")
    seen.on(f"{DEVICE}/response/snapshot", timeout_s=60)
    seen.on(f"{DEVICE}/hall/snapshot", timeout_s=60)
    seen.publish(f"{DEVICE}/request/clip", b"")
    seen.on(f"{DEVICE}/response/clip", timeout_s=60)
    seen.on(f"{DEVICE}/hall/clip", timeout_s=60)
    seen.on(f"{DEVICE}/hall/clip/poses", timeout_s=60)
    seen.publish(f"{DEVICE}/request/snapshot", b'{"camera":"attic"}')
    seen.on(f"{DEVICE}/response/snapshot", timeout_s=60)
    seen.publish(f"{DEVICE}/request/log_level", b'{"level":null}')
    seen.on(f"{DEVICE}/response/log_level", timeout_s=60)
    seen.on(f"{DEVICE}/stats", timeout_s=60)
    seen.publish(f"{DEVICE}/request/restart", b"")
    seen.on(f"{DEVICE}/response/restart", timeout_s=60)


@needs_mosquitto
@pytest.mark.slow
def test_a_running_daemon_says_what_is_published(tmp_path: Path) -> None:
    """Every message of a running daemon has a listed topic and QoS and fits its schema."""
    document = json.loads((DOCS / "asyncapi.json").read_text())
    with Mosquitto(tmp_path) as broker, witness(broker.port) as seen:
        running = Running(tmp_path, f'{broker.url}"\nencoding = "msgpack', CAMERA)
        try:
            seen.on(f"{DEVICE}/availability", b"online", timeout_s=60)
            seen.until(lambda m: m.topic.endswith("/poses"), timeout_s=60)
            listen(seen)
        finally:
            running.process.terminate()
            running.process.wait(10)
        seen.on(f"{DEVICE}/availability", b"offline")
    said = [message for message in seen.seen if "/request/" not in message.topic]
    kinds = {channel_of(message.topic).name for message in said}

    wrong = {message.topic: faults(message, document) for message in said}

    assert {topic: found for topic, found in wrong.items() if found} == {}
    assert kinds == {name for name, channel in CHANNELS.items() if not channel.takes}
