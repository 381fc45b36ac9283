"""Recordings: messages in a file, and the frames and events that come out of it again.

A recording is JSON Lines or MCAP, written by `edgepose record`. The output of
`edgepose detect --json` is one too: of poses as the model found them.
"""

import base64
import contextlib
import gzip
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec

from edgepose import extras
from edgepose._version import __version__
from edgepose.errors import UsageError, in_words
from edgepose.mqtt import messages
from edgepose.mqtt.messages import PosesMessage
from edgepose.recording import Sink
from edgepose.recording.jsonl import FORMAT, JsonlSink, RecordedLine
from edgepose.skeleton import JOINT_NAMES, LIMBS
from edgepose.timing import NS_PER_S, Clock, rfc3339, unix_ns
from edgepose.types import Kind, Message
from edgepose.urls import NOT_STDIN, STDIN

log = logging.getLogger(__name__)

MCAP_MAGIC: Final = b"\x89MCAP0\r\n"
GZIP_MAGIC: Final = b"\x1f\x8b"
BASE_TOPIC: Final = "edgepose"
DRAWN: Final = frozenset({"annotations", "positions", "scene"})
"""Topics that an MCAP file has besides what was recorded."""

WRAPPED: Final = {"availability": "text", "snapshot": "data"}
"""Topics whose payload is no JSON, and where MCAP's JSON channels hold it."""

RETAINED: Final = frozenset({"state", "status", "availability"})
KINDS: Final[Mapping[str, Kind]] = {"event": "event", "stats": "stats"}


UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)
"""What reading raises of a payload that is not what its topic should carry."""


class RecordingError(UsageError):
    """A file is no recording, or cannot be read as one."""


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """One message of a recording."""

    t_s: float
    """Seconds since the recording began, when the message came."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Recording:
    """A file of messages; reading it anew gives the same messages."""

    path: Path
    about: Mapping[str, Any]
    """What the first line says; empty where there is none."""

    @property
    def base_topic(self) -> str:
        """First part of every topic in it."""
        return str(self.about.get("base_topic", BASE_TOPIC))

    @property
    def followed(self) -> bool:
        """True when its people were followed and smoothed before they were recorded."""
        return self.about.get("followed") is True

    def entries(self) -> Iterator[RecordedEntry]:
        """Yield the messages in the order they came.

        A last line that was cut off is left out with a warning.

        Raises
        ------
        RecordingError
            At a line that is none of a recording; names it.
        """
        with _open(self.path) as file:
            if _begins(file, MCAP_MAGIC):
                yield from _mcap_entries(self.path, file)
            else:
                yield from _jsonl_entries(self.path, file)


def open_recording(path: Path) -> Recording:
    """Find out what a file is.

    Raises
    ------
    RecordingError
        When it is no recording.
    """
    if str(path) in STDIN:
        raise RecordingError(f"{path}: {NOT_STDIN}")
    try:
        opened = _open(path)
    except OSError as error:
        msg = f"{path}: cannot be read: {in_words(error)}; expected a recording"
        raise RecordingError(msg) from None
    with opened as file:
        about = _mcap_about(file) if _begins(file, MCAP_MAGIC) else _jsonl_about(path, file)
    return Recording(path, about)


def write(path: Path, file: IO[bytes], clock: Clock, about: Mapping[str, Any]) -> Sink:
    """Begin a recording of the kind its name says: ``.mcap``, or JSON Lines.

    Raises
    ------
    UsageError
        When MCAP is asked for and its library is not installed.
    """
    told = {
        "version": __version__,
        "started_at": rfc3339(clock.unix_ns()),
        "keypoints": JOINT_NAMES,
        "skeleton": LIMBS,
        "followed": True,
        **about,
    }
    if path.suffix != ".mcap":
        return JsonlSink(file, told, clock)
    try:
        from edgepose.recording.mcap import McapSink
    except ImportError:
        raise UsageError(_without_mcap()) from None
    return McapSink(file, told, clock, mcap_schemas())


def mcap_schemas() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the name and schema of each topic's payload, in the words that readers know.

    Foxglove reads objects, arrays of objects and plain values; what is neither
    (keypoints are arrays in arrays) is left out of the schema, not of the message.
    """
    return {
        leaf: (f"edgepose.{type_.__name__}", _plain_schema(msgspec.json.schema(type_)))
        for leaf, type_ in messages.BY_TOPIC.items()
    }


def _plain_schema(schema: dict[str, Any]) -> dict[str, Any]:
    definitions = schema.get("$defs", {})

    def plain(part: Mapping[str, Any]) -> dict[str, Any] | None:
        if "$ref" in part:
            return plain(definitions[part["$ref"].rpartition("/")[2]])
        if part.get("type") in {"string", "number", "integer", "boolean"}:
            return {"type": part["type"]}
        if part.get("type") == "object":
            inner = {key: plain(value) for key, value in part.get("properties", {}).items()}
            known = {key: value for key, value in inner.items() if value is not None}
            return {"type": "object", "properties": known}
        items = plain(part["items"]) if isinstance(part.get("items"), dict) else None
        if part.get("type") != "array" or items is None or items["type"] == "array":
            return None
        return {"type": "array", "items": items}

    return plain(schema) or {"type": "object", "properties": {}}


# Files


def _open(path: Path) -> IO[bytes]:
    file = path.open("rb")
    if not _begins(file, GZIP_MAGIC):
        return file
    file.close()
    return cast(IO[bytes], gzip.open(path, "rb"))


def _begins(file: IO[bytes], magic: bytes) -> bool:
    found = file.read(len(magic))
    file.seek(0)
    return found == magic


def _jsonl_about(path: Path, file: IO[bytes]) -> dict[str, Any]:
    first = file.readline()
    try:
        about = msgspec.json.decode(first)
    except msgspec.DecodeError:
        about = None
    if not isinstance(about, dict) or not {"edgepose_recording", "poses", "topic"} & set(about):
        msg = f"{path}: no recording; expected JSON Lines or MCAP as `edgepose record` writes them"
        raise RecordingError(msg)
    version = about.get("edgepose_recording")
    if version is None:
        return {}
    if version != FORMAT:
        msg = f"{path}: recording of format {version!r}; this version reads format {FORMAT}"
        raise RecordingError(msg)
    return about


def _jsonl_entries(path: Path, file: IO[bytes]) -> Iterator[RecordedEntry]:
    began_ns: int | None = None
    for number, line, last in _lines(path, file):
        if number == 1 and b'"edgepose_recording"' in line[:64]:
            continue
        try:
            if line.lstrip().startswith(b'{"t"'):
                yield _entry(msgspec.json.decode(line, type=RecordedLine))
                continue
            poses = msgspec.json.decode(line, type=PosesMessage)
            at_ns = unix_ns(poses.captured_at)
        except (msgspec.DecodeError, ValueError) as error:
            if last:
                log.warning("%s:%d: cut off; left out", path, number)
                return
            msg = f"{path}:{number}: {error}; expected a message as `edgepose record` writes them"
            raise RecordingError(msg) from None
        began_ns = at_ns if began_ns is None else began_ns
        topic = f"{BASE_TOPIC}/{poses.device}/{poses.camera}/poses"
        yield RecordedEntry((at_ns - began_ns) / NS_PER_S, topic, line)


def _lines(path: Path, file: IO[bytes]) -> Iterator[tuple[int, bytes, bool]]:
    """Yield number, text and whether it is the last, of all lines that are not empty."""
    waiting: tuple[int, bytes] | None = None
    try:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            if waiting is not None:
                yield (*waiting, False)
            waiting = number, line.strip()
    except EOFError:  # a compressed file that was cut off
        log.warning("%s: the compressed file was cut off; its end is left out", path)
    if waiting is not None:
        yield (*waiting, True)


def _entry(line: RecordedLine) -> RecordedEntry:
    if line.base64 is not None:
        return RecordedEntry(line.t, line.topic, line.base64)
    payload = bytes(line.payload)
    if payload.startswith(b'"'):
        payload = msgspec.json.decode(payload, type=str).encode()
    return RecordedEntry(line.t, line.topic, payload)


def _mcap_about(file: IO[bytes]) -> dict[str, Any]:
    reader, metadata = _mcap_reader(file), "edgepose"
    try:
        found = (m.metadata for m in reader.iter_metadata() if m.name == metadata)
        return {key: _told(value) for key, value in next(found, {}).items()}
    except _mcap_errors():
        return {}


def _told(value: str) -> Any:
    """Read one of the texts that an MCAP file says about itself."""
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value


def _mcap_entries(path: Path, file: IO[bytes]) -> Iterator[RecordedEntry]:
    began_ns: int | None = None
    for channel, message in _mcap_messages(path, file):
        began_ns = message.log_time if began_ns is None else began_ns
        leaf = channel.topic.rpartition("/")[2]
        if leaf in DRAWN:
            continue
        data = message.data
        if leaf in WRAPPED:
            data = _unwrapped(data, WRAPPED[leaf])
        yield RecordedEntry((message.log_time - began_ns) / NS_PER_S, channel.topic, data)


def _unwrapped(data: bytes, field: str) -> bytes:
    """Return what a JSON object holds as text or in base64; anything else as it is."""
    try:
        text: str = msgspec.json.decode(data, type=dict[str, Any])[field]
        return text.encode() if field == "text" else base64.b64decode(text)
    except (*UNREADABLE, KeyError, TypeError, AttributeError):
        return data


def _mcap_messages(path: Path, file: IO[bytes]) -> Iterator[tuple[Any, Any]]:
    """Yield channels and messages up to the end, or to where the file was cut off."""
    try:
        for _, channel, message in _mcap_reader(file).iter_messages(log_time_order=False):
            yield channel, message
    except _mcap_errors() as error:
        log.warning("%s: cut off (%s); its end is left out", path, type(error).__name__)


def _mcap_errors() -> type[Exception]:
    from mcap.exceptions import McapError

    return McapError


def _mcap_reader(file: IO[bytes]) -> Any:
    """Return a reader that goes through a file from its beginning: it may have no end."""
    try:
        from mcap.reader import NonSeekingReader
    except ImportError:
        raise RecordingError(_without_mcap()) from None
    return NonSeekingReader(file)


def message(topic: str, payload: bytes, *, retain: bool = False) -> Message:
    """Return the message that a device would publish; retained only if asked for."""
    leaf = topic.rpartition("/")[2]
    told: Kind = "state" if leaf in RETAINED else KINDS.get(leaf, "poses")
    content = {"availability": "text/plain", "snapshot": "image/jpeg"}
    return Message(
        topic,
        payload,
        told,
        qos=1 if told in {"state", "event"} else 0,
        retain=retain and told == "state",
        expiry_s=messages.POSES_EXPIRY_S if leaf == "poses" else None,
        content_type=content.get(leaf, "application/json"),
    )


def restamp(
    entry: RecordedEntry,
    base_topic: str,
    *,
    device: str | None = None,
    shift_ns: Callable[[int], int] | None = None,
) -> RecordedEntry:
    """Put a message under another device, or at another time.

    Parameters
    ----------
    entry : RecordedEntry
        A message of the recording.
    base_topic : str
        What its topic begins with.
    device : str, optional
        Takes the place of the id in the topic and in the message.
    shift_ns : callable, optional
        From the recorded wall time to the one to write.
    """
    try:
        payload = msgspec.json.decode(entry.payload)
    except UNREADABLE:
        payload = None
    topic = entry.topic
    if device is not None and topic.startswith(f"{base_topic}/"):
        rest = topic.removeprefix(f"{base_topic}/").partition("/")[2]
        topic = f"{base_topic}/{device}/{rest}"
    if not isinstance(payload, dict):
        return RecordedEntry(entry.t_s, topic, entry.payload)
    if device is not None and "device" in payload:
        payload["device"] = device
    if shift_ns is not None:
        for key in {"captured_at", "at"} & payload.keys():
            with contextlib.suppress(TypeError, ValueError, OverflowError):  # it is none of ours
                payload[key] = rfc3339(shift_ns(unix_ns(payload[key])))
    return RecordedEntry(entry.t_s, topic, msgspec.json.encode(payload))


def _without_mcap() -> str:
    return f"MCAP needs a library: {extras.install('mcap')}"
