"""Listening sockets."""

import logging
import socket

import pytest

from edgepose.system.sockets import listen, or_another
from edgepose.urls import Address

LOG = logging.getLogger("edgepose.test")


def test_it_listens_there_only() -> None:
    """A listener on loopback is bound to loopback only."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    listener = listen(Address("127.0.0.1", port), "web.listen", LOG)

    assert listener is not None
    with listener, socket.create_connection(("127.0.0.1", port)):
        assert listener.getsockname() == ("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "reason"),
    [("127.0.0.1", "address already in use"), ("nowhere.invalid", "not known")],
)
def test_a_place_that_cannot_be_had_is_one_sentence(
    caplog: pytest.LogCaptureFixture, host: str, reason: str
) -> None:
    """The log has address, reason and key in one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listener = listen(Address(host, port), "web.listen", LOG)

    assert listener is None
    (record,) = caplog.records
    text = record.getMessage()
    assert reason in text
    assert text.count(f"{host}:{port}") == 1
    assert "web.listen" in text


def test_a_port_that_is_taken_has_another_beside_it() -> None:
    """The alternative is on the same host; a free port is unchanged."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = Address("127.0.0.1", taken.getsockname()[1])
        other = or_another(place)

    assert other.host == place.host
    assert other.port not in {0, place.port}
    assert or_another(place) == place
