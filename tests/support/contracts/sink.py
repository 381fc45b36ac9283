"""Tests that every sink must pass; inherit them in the sink's test file."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import pytest

from edgepose.recording import Sink
from edgepose.types import Message


class SinkContract(ABC):
    """Name the class `Test…`, provide a sink and a function that returns what was delivered."""

    @pytest.fixture
    @abstractmethod
    def sink(self) -> Any:
        """Yield a sink that can send now."""

    @pytest.fixture
    @abstractmethod
    def arrived(self) -> Callable[[Message], bytes]:
        """Return a function that waits for a message's payload at the receiver."""

    def test_it_delivers_the_bytes_it_was_given(
        self, sink: Sink, arrived: Callable[[Message], bytes]
    ) -> None:
        """Accepted messages are delivered unchanged, whatever their kind."""
        messages = [
            Message("edgepose/pi/hall/poses", b'{"poses":[]}', "poses", expiry_s=2),
            Message("edgepose/pi/hall/event", b'{"type":"wave"}', "event", qos=1),
            Message(
                "edgepose/pi/hall/snapshot",
                bytes(range(256)),
                "poses",
                0,
                content_type="image/jpeg",
            ),
        ]

        taken = [sink.publish(message) for message in messages]

        assert all(taken)
        assert [arrived(message) for message in messages] == [m.payload for m in messages]

    def test_it_says_no_once_closed_and_closes_twice(self, sink: Sink) -> None:
        """`publish` returns False after `close`; `close` can be called twice."""
        message = Message("edgepose/pi/hall/poses", b"{}", "poses")

        sink.close()
        sink.close()

        assert not sink.publish(message)
