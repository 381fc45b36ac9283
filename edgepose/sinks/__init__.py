"""Ways out for messages.

To add one: write `sinks/<name>.py`, add one row here, inherit the contract test
of `tests/contracts/sink.py`.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from edgepose.structures import Message

SINKS: Final = {
    "mqtt": "edgepose.sinks.mqtt:MqttSink",
    "jsonl": "edgepose.sinks.jsonl:JsonlSink",
    "mcap": "edgepose.sinks.mcap:McapSink",
}


class Sink(Protocol):
    """A way out."""

    def publish(self, message: Message) -> bool:
        """Send one message; False when it cannot be sent now and was not taken."""

    def close(self) -> None:
        """Send what is under way and let go; twice is fine."""


@dataclass(frozen=True, slots=True)
class Received:
    """What came in from a topic we listen to."""

    topic: str
    payload: bytes
    retained: bool
    """True for a message that was there before we came."""

    response_topic: str | None = None
    """MQTT 5: where the answer is wanted."""

    correlation: bytes | None = None
    """MQTT 5: what the answer has to carry, unchanged."""
