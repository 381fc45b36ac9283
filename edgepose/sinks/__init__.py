"""Ways out for messages.

To add one: write `sinks/<name>.py`, add one row here, inherit the contract test
of `tests/contracts/sink.py`.
"""

from typing import Final, Protocol

from edgepose.structures import Message

SINKS: Final = {
    "mqtt": "edgepose.sinks.mqtt:MqttSink",
}


class Sink(Protocol):
    """A way out."""

    def publish(self, message: Message) -> bool:
        """Send one message; False when it cannot be sent now and was not taken."""

    def close(self) -> None:
        """Send what is under way and let go; twice is fine."""
