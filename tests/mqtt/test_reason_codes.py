"""The remedies for a broker's reason codes."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.connection import REFUSALS
from edgepose.mqtt.options import BrokerOptions
from edgepose.mqtt.reason_codes import CONNECT_REMEDIES, DISCONNECT_REMEDIES, with_remedy
from edgepose.types import Message

LOGIN = {0x85: "mqtt.client_id", 0x86: "password", 0x87: "password", 0x8A: "mqtt", 0x8C: "mqtt"}


@contextmanager
def broker(answer: bytes, then: bytes = b"") -> Iterator[int]:
    """Run a server that sends these bytes to each client; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(4096)
                        connection.sendall(answer)
                        if then:
                            connection.recv(4096)
                            connection.sendall(then)
                        connection.recv(4096)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def ending(port: int, protocol: int = 5) -> str:
    """Connect once; return why the attempt or the session ended."""
    assert protocol in {4, 5}
    options = BrokerOptions(
        "127.0.0.1",
        port,
        username="u",
        password="p",
        availability_topic="a",
        protocol=4 if protocol == 4 else 5,
        retry_s=(30.0, 30.0),
    )
    ended = threading.Event()
    client = MqttClient(options, on_failure=lambda _: ended.set())
    client.on_disconnect(ended.set)
    client.start()
    for _ in range(60):
        if ended.wait(0.05) or client.trouble:
            break
    threading.Event().wait(0.1)
    trouble = client.trouble
    client.close()
    return trouble


@pytest.mark.parametrize("code", sorted(set(CONNECT_REMEDIES) - {0x84, 0x99} | REFUSALS))
def test_a_refused_connection_has_its_remedy(code: int) -> None:
    """The remedy mentions the login only if the code refers to it."""
    with broker(bytes([0x20, 3, 0, code, 0])) as port:
        said = ending(port)

    assert LOGIN.get(code, CONNECT_REMEDIES.get(code, "")) in said
    assert ("password" in said) == (code in REFUSALS and code != 0x85)


@pytest.mark.parametrize("code", sorted(DISCONNECT_REMEDIES))
def test_an_ended_session_has_its_remedy(code: int) -> None:
    """The remedy does not mention the login, also for "not authorized"."""
    with broker(bytes([0x20, 3, 0, 0, 0]), bytes([0xE0, 2, code, 0])) as port:
        said = ending(port)

    assert DISCONNECT_REMEDIES[code] in said
    assert "password" not in said


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (1, "this version"),
        (2, "mqtt.client_id"),
        (3, "starting"),
        (4, "password"),
        (5, "password"),
        (6, "log has the reason"),
        (200, "log has the reason"),
    ],
)
def test_codes_of_the_older_protocol_have_theirs(code: int, said: str) -> None:
    """The codes 1 to 5 of MQTT 3.1.1 have remedies."""
    with broker(bytes([0x20, 2, 0, code])) as port:
        assert said in ending(port, protocol=4)


def test_the_other_server_is_named() -> None:
    """The server reference in the answer is part of the message."""
    name = b"other:1883"
    properties = b"\x1c" + len(name).to_bytes(2) + name
    body = bytes([0, 0x9D, len(properties)]) + properties
    with broker(bytes([0x20, len(body)]) + body) as port:
        said = ending(port)

    assert re.search(r"server moved \(other:1883\); write its new address into mqtt.url", said)


def test_a_code_without_a_remedy_is_named_only() -> None:
    """A code without a remedy gives its name only."""
    assert with_remedy("server shutting down", DISCONNECT_REMEDIES, 0x8B) == "server shutting down"


def test_the_broker_gets_no_more_unacknowledged_messages_than_it_takes() -> None:
    """Its receive maximum is obeyed: otherwise it ends the session (0x93)."""
    received = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(bytes([0x20, 6, 0, 0, 3, 0x21, 0, 2]))
                while data := connection.recv(4096):
                    received.extend(data)

        threading.Thread(target=serve, daemon=True).start()
        options = BrokerOptions("127.0.0.1", server.getsockname()[1], retry_s=(30.0, 30.0))
        client = MqttClient(options)
        client.start()
        assert client.wait_connected(10)
        for number in range(5):
            assert client.publish(Message("a/b", b"message %d" % number, "event", qos=1))
        for _ in range(40):
            threading.Event().wait(0.05)
            if received.count(b"message") >= 2:
                break
        threading.Event().wait(0.3)
        client.close()

    assert received.count(b"message") == 2


def test_a_topic_that_may_only_be_written_is_refused_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The device reads its own availability; an acknowledged message does not grant that."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(bytes([0x20, 3, 0, 0, 0]))
                data = b""
                while b"\x00\x01a" not in data[30:]:
                    data += connection.recv(4096)
                # Numbers 1 and 2: the message `online` and the subscription.
                connection.sendall(bytes([0x90, 4, 0, 2, 0, 0x87, 0x40, 2, 0, 1]))
                connection.recv(4096)

        threading.Thread(target=serve, daemon=True).start()
        options = BrokerOptions(
            "127.0.0.1", server.getsockname()[1], availability_topic="a", retry_s=(30.0, 30.0)
        )
        client = MqttClient(options)
        client.start()
        assert client.wait_subscribed(10)
        threading.Event().wait(0.2)
        refused = dict(client.refused)
        client.close()

    assert list(refused) == ["a"]
    assert "grants" not in caplog.text
