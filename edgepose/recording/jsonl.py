"""Recordings as JSON Lines: one message a line, readable with any tool.

The first line is a header; every other line has the arrival time, topic and payload of a
message. Each line is passed to the system at once: if the process ends, at most the line that is
being written is lost. A power cut loses what the system has not written to the disk yet.
`docs/recordings.md` describes the format.
"""

from collections.abc import Mapping
from typing import IO, Any, Final

import msgspec

from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Message

FORMAT: Final = 1


class RecordedLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of a recording."""

    t: float
    """Arrival time in seconds since the recording began."""

    topic: str
    payload: msgspec.Raw = msgspec.Raw(b"null")
    """The JSON payload; other text as a JSON string."""

    base64: bytes | None = None
    """A binary payload, such as a picture."""


class JsonlSink:
    """Writes messages to a JSON Lines file.

    Parameters
    ----------
    file : IO[bytes]
        Output file; closed with the sink.
    about : Mapping
        Fields of the header besides the format.
    clock : Clock
        Source of arrival times.
    """

    def __init__(self, file: IO[bytes], about: Mapping[str, Any], clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._began_ns = clock.now_ns()
        self._encoder = msgspec.json.Encoder()
        self._write_line({"edgepose_recording": FORMAT, **about})

    def publish(self, message: Message) -> bool:
        """Write one message; False after `close`."""
        if self._file.closed:
            return False
        t = round((self._clock.now_ns() - self._began_ns) / NS_PER_S, 3)
        payload = _as_json(message)
        if payload is None:
            self._write_line(RecordedLine(t, message.topic, base64=message.payload))
        else:
            self._write_line(RecordedLine(t, message.topic, payload))
        return True

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()

    def _write_line(self, line: Any) -> None:
        self._file.write(self._encoder.encode(line) + b"\n")
        self._file.flush()


def _as_json(message: Message) -> msgspec.Raw | None:
    """Return the payload as JSON on one line; None for a binary payload."""
    try:
        if message.content_type == "application/json":
            return msgspec.Raw(msgspec.json.format(message.payload, indent=-1))
        return msgspec.Raw(msgspec.json.encode(message.payload.decode()))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
