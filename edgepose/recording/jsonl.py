"""Recordings as JSON Lines: one message a line, readable with any tool.

The first line says what the file is; every other line holds when a message came, its
topic and its payload. Each line is written out at once, so a power cut costs the last
one only. `docs/recordings.md` describes the format.
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
    """Seconds since the recording began, when the message came."""

    topic: str
    payload: msgspec.Raw = msgspec.Raw(b"null")
    """JSON as it came; a text where it was none."""

    base64: bytes | None = None
    """What is neither: a picture."""


class JsonlSink:
    """Writes messages to a file.

    Parameters
    ----------
    file : IO[bytes]
        Where to; closed with the sink.
    about : Mapping
        What the first line says besides the format.
    clock : Clock
        Says when a message came.
    """

    def __init__(self, file: IO[bytes], about: Mapping[str, Any], clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._began_ns = clock.now_ns()
        self._encoder = msgspec.json.Encoder()
        self._write({"edgepose_recording": FORMAT, **about})

    def publish(self, message: Message) -> bool:
        """Write one message; False once closed."""
        if self._file.closed:
            return False
        t = round((self._clock.now_ns() - self._began_ns) / NS_PER_S, 3)
        payload = _as_json(message)
        if payload is None:
            self._write(RecordedLine(t, message.topic, base64=message.payload))
        else:
            self._write(RecordedLine(t, message.topic, payload))
        return True

    def close(self) -> None:
        """Close the file; twice is fine."""
        self._file.close()

    def _write(self, line: Any) -> None:
        self._file.write(self._encoder.encode(line) + b"\n")
        self._file.flush()


def _as_json(message: Message) -> msgspec.Raw | None:
    """Return the payload as JSON on one line; None when it is neither JSON nor text."""
    try:
        if message.content_type == "application/json":
            return msgspec.Raw(msgspec.json.format(message.payload, indent=-1))
        return msgspec.Raw(msgspec.json.encode(message.payload.decode()))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
