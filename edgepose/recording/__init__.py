"""Files of messages: written as JSON Lines or MCAP, read, and replayed."""

from typing import Protocol

from edgepose.types import Message


class Sink(Protocol):
    """Takes messages: a file, or a client of a broker."""

    def publish(self, message: Message) -> bool:
        """Send one message; False when it cannot be sent now and was not taken."""

    def close(self) -> None:
        """Send what is under way and let go; twice is fine."""
