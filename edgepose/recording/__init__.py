"""Recordings of messages as JSON Lines or MCAP: writing, reading and replay."""

from typing import Protocol

from edgepose.types import Message


class Sink(Protocol):
    """A destination of messages: a file, or a client of a broker."""

    def publish(self, message: Message) -> bool:
        """Send one message; False if it was not accepted and will not be sent."""

    def close(self) -> None:
        """Send pending messages and release the destination. Idempotent."""
