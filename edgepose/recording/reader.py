"""Reading and writing of recordings.

A recording is a JSON Lines or MCAP file, written by `edgepose record`. The output of
`edgepose detect --json` is one as well, with the poses as detected.
"""

import base64
import contextlib
import gzip
import logging
import zlib
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
OTHER_FORMATS: Final = {".csv", ".tsv", ".xlsx", ".parquet", ".bag", ".db3", ".mp4", ".avi", ".mkv"}
DRAWN: Final = frozenset({"annotations", "positions", "scene"})
"""Last levels of topics that an MCAP file adds for display."""

WRAPPED: Final = {"availability": "text", "snapshot": "data"}
"""Topics with other payloads than JSON, and the key of the payload in MCAP's JSON object."""

RETAINED: Final = frozenset({"state", "status", "availability"})
KINDS: Final[Mapping[str, Kind]] = {"event": "event", "stats": "stats"}


UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)
"""Exceptions raised for a payload that is invalid for its topic."""


class RecordingError(UsageError):
    """A file is no recording, or cannot be read."""


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """One message of a recording."""

    t_s: float
    """Arrival time in seconds since the recording began."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Recording:
    """A file of messages. Can be read repeatedly."""

    path: Path
    about: Mapping[str, Any]
    """The header; empty if there is none."""

    @property
    def base_topic(self) -> str:
        """Base topic of all messages."""
        return str(self.about.get("base_topic", BASE_TOPIC))

    @property
    def followed(self) -> bool:
        """Whether the recorded poses were tracked and smoothed."""
        return self.about.get("followed") is True

    def entries(self) -> Iterator[RecordedEntry]:
        """Yield the messages in order of arrival.

        Skips a truncated last line with a warning.

        Raises
        ------
        RecordingError
            At an invalid line; the message has its number.
        """
        with _open_file(self.path) as file:
            if _begins_with(file, MCAP_MAGIC):
                yield from _mcap_entries(self.path, file)
            else:
                yield from _jsonl_entries(self.path, file)


def open_recording(path: Path) -> Recording:
    """Open a recording and read its header.

    Raises
    ------
    RecordingError
        If the file is no recording or cannot be read.
    """
    if str(path) in STDIN:
        raise RecordingError(f"{path}: {NOT_STDIN}")
    try:
        opened = _open_file(path)
    except OSError as error:
        msg = f"{path}: cannot be read: {in_words(error)}; expected a recording"
        raise RecordingError(msg) from None
    with opened as file:
        about = _mcap_about(file) if _begins_with(file, MCAP_MAGIC) else _jsonl_about(path, file)
    return Recording(path, about)


def write(path: Path, file: IO[bytes], clock: Clock, about: Mapping[str, Any]) -> Sink:
    """Return a sink that writes a recording: MCAP for the suffix ``.mcap``, else JSON Lines.

    Raises
    ------
    UsageError
        If the suffix is ``.mcap`` and the MCAP library is not installed, if it names another
        format, or if it is ``.gz``: each line is on the disk at once, so the file is not
        compressed.
    """
    if path.suffix.lower() in OTHER_FORMATS:
        msg = f"{path}: a recording is not a {path.suffix} file; expected .jsonl or .mcap"
        raise UsageError(msg)
    if path.suffix == ".gz":
        msg = f"{path} is not compressed while it is written; expected .jsonl, then: gzip FILE"
        raise UsageError(msg)
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
    """Return name and JSON Schema of the payload for each last level of a topic.

    Foxglove reads objects, arrays of objects and plain values. Other fields (keypoints are
    arrays of arrays) are omitted from the schema, but not from the messages.
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


def _open_file(path: Path) -> IO[bytes]:
    file = path.open("rb")
    if not _begins_with(file, GZIP_MAGIC):
        return file
    file.close()
    unpacked = gzip.GzipFile(path, "rb")
    try:
        unpacked.peek(1)
    except (*GZIP_ERRORS, EOFError) as error:
        unpacked.close()
        msg = f"{path}: damaged gzip file ({error}); expected a recording"
        raise RecordingError(msg) from None
    return cast(IO[bytes], unpacked)


BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"  # editors of Windows write it
LONGEST_S: Final = 1e9  # some 30 years; larger ones are damaged, and overflow nanoseconds
GZIP_ERRORS: Final = (gzip.BadGzipFile, zlib.error)


def _begins_with(file: IO[bytes], magic: bytes) -> bool:
    found = file.read(len(magic))
    file.seek(0)
    return found == magic


def _jsonl_about(path: Path, file: IO[bytes]) -> dict[str, Any]:
    first = file.readline().removeprefix(BYTE_ORDER_MARK)
    while first and not first.strip():
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
    for number, line, last in _split_lines(path, file):
        if b'"edgepose_recording"' in line[:64]:  # more than one if recordings were joined
            continue
        try:
            if line.lstrip().startswith(b'{"t"'):
                yield _parse_entry(msgspec.json.decode(line, type=RecordedLine))
                continue
            poses = msgspec.json.decode(line, type=PosesMessage)
            at_ns = unix_ns(poses.captured_at)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            if last:
                log.warning("%s:%d: cut off; left out", path, number)
                return
            msg = f"{path}:{number}: {error}; expected a message as `edgepose record` writes them"
            raise RecordingError(msg) from None
        began_ns = at_ns if began_ns is None else began_ns
        topic = f"{BASE_TOPIC}/{poses.device}/{poses.camera}/poses"
        yield RecordedEntry((at_ns - began_ns) / NS_PER_S, topic, line)


def _split_lines(path: Path, file: IO[bytes]) -> Iterator[tuple[int, bytes, bool]]:
    """Yield number, content and whether it is the last line, for each non-empty line."""
    waiting: tuple[int, bytes] | None = None
    try:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            if waiting is not None:
                yield (*waiting, False)
            waiting = number, line.strip().removeprefix(BYTE_ORDER_MARK)
    except (*GZIP_ERRORS, EOFError):
        log.warning("%s: the compressed file was cut off; its end is left out", path)
    if waiting is not None:
        yield (*waiting, True)


def _parse_entry(line: RecordedLine) -> RecordedEntry:
    if abs(line.t) > LONGEST_S:
        msg = f"t is {line.t:g} s; expected seconds since the recording began"
        raise ValueError(msg)
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
        return {key: _decode_metadata(value) for key, value in next(found, {}).items()}
    except _mcap_errors():
        return {}


def _decode_metadata(value: str) -> Any:
    """Decode a metadata value of an MCAP file; plain text is returned as it is."""
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
            data = _unwrap_payload(data, WRAPPED[leaf])
        yield RecordedEntry((message.log_time - began_ns) / NS_PER_S, channel.topic, data)


def _unwrap_payload(data: bytes, field: str) -> bytes:
    """Return the payload wrapped in a JSON object as text or base64; other data unchanged."""
    try:
        text: str = msgspec.json.decode(data, type=dict[str, Any])[field]
        return text.encode() if field == "text" else base64.b64decode(text)
    except (*UNREADABLE, KeyError, TypeError, AttributeError):
        return data


def _mcap_messages(path: Path, file: IO[bytes]) -> Iterator[tuple[Any, Any]]:
    """Yield channels and messages up to the end of the file, which may be truncated."""
    try:
        for _, channel, message in _mcap_reader(file).iter_messages(log_time_order=False):
            yield channel, message
    except _mcap_errors() as error:
        log.warning("%s: cut off (%s); its end is left out", path, type(error).__name__)


def _mcap_errors() -> type[Exception]:
    from mcap.exceptions import McapError

    return McapError


def _mcap_reader(file: IO[bytes]) -> Any:
    """Return a sequential reader, which does not need the index of a complete file."""
    try:
        from mcap.reader import NonSeekingReader
    except ImportError:
        raise RecordingError(_without_mcap()) from None
    return NonSeekingReader(file)


def message(topic: str, payload: bytes, *, retain: bool = False) -> Message:
    """Return the message as a device would publish it; retained only with `retain`."""
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
    """Return a recorded message with another device id or other times.

    Parameters
    ----------
    entry : RecordedEntry
        A message of the recording.
    base_topic : str
        Base topic of the recording.
    device : str, optional
        Replaces the device id in topic and payload.
    shift_ns : callable, optional
        Maps recorded wall times to new ones, in nanoseconds.
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
            with contextlib.suppress(TypeError, ValueError, OverflowError):  # keep invalid times
                payload[key] = rfc3339(shift_ns(unix_ns(payload[key])))
    return RecordedEntry(entry.t_s, topic, msgspec.json.encode(payload))


def _without_mcap() -> str:
    return f"MCAP needs a library: {extras.install('mcap')}"
