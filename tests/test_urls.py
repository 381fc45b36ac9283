"""Addresses and URLs, and hiding their secrets."""

from pathlib import Path

import pytest

from edgepose.urls import Address, Broker, address, broker, redact, user_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("127.0.0.1:9464", Address("127.0.0.1", 9464)),
        ("[::1]:80", Address("::1", 80)),
        ("localhost:65535", Address("localhost", 65535)),
    ],
)
def test_an_address_splits_into_host_and_port(text: str, expected: Address | None) -> None:
    """Host names, IPv4 and IPv6 are accepted; empty means off."""
    assert address(text) == expected


@pytest.mark.parametrize("text", ["127.0.0.1:9464", "[::1]:80", "localhost:65535"])
def test_an_address_is_written_as_it_is_read(text: str) -> None:
    """An address is formatted as it was written, including brackets."""
    assert str(address(text)) == text


@pytest.mark.parametrize(
    "text",
    ["localhost", ":80", "host:", "host:0", "host:65536", "::1:80", "[host]:80", "a b:80", "h:٣"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Host and a valid port are required."""
    with pytest.raises(ValueError, match=r"\S"):
        address(text)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://broker", Broker("broker", 1883)),
        ("mqtts://broker/", Broker("broker", 8883, tls=True)),
        ("mqtt://[fe80::1]:1884", Broker("fe80::1", 1884)),
        ("mqtt://ann:p%40ss@broker:1", Broker("broker", 1, username="ann", password="p@ss")),
        (
            "mqtts://ann:p%2Css,!@one,[::1]:1884,three/",
            Broker(
                "one", 8883, True, "ann", "p,ss,!", (Address("::1", 1884), Address("three", 8883))
            ),
        ),
        ("embedded", Broker("", None)),
        ("embedded:1885", Broker("", 1885)),
    ],
)
def test_a_broker_url_says_where_and_how(url: str, expected: Broker) -> None:
    """Host, port, TLS and user come from the URL; the port has a default."""
    found = broker(url)

    assert found == expected
    assert found.embedded == url.startswith("embedded")


@pytest.mark.parametrize(
    "url",
    [
        "broker:1883",
        "http://broker",
        "mqtt://",
        "mqtt://:1883",
        "mqtt://broker:0",
        "mqtt://broker:99999",
        "mqtt://broker/topic",
        "mqtt://one,",
        "mqtt://one,,two",
        "mqtt://one/topic,two",
        "mqtt://one,two:99999",
        "embedded:x",
        "mqtt://[::1",
    ],
)
def test_what_is_no_broker_is_refused_without_its_password(url: str) -> None:
    """The error does not contain the password."""
    with pytest.raises(ValueError, match=r"\S") as caught:
        broker(url.replace("://", "://ann:swordfish@"))

    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://admin:{}@192.0.2.7/live",
        "cannot open rtsp://admin:{}@192.0.2.7/live: timed out",
        "http://:{}@camera/",
        "http://camera/video?user=admin&pwd={}",
        "http://camera/video?access_token={}&size=2",
        "http://camera/video?apiKey={}#x",
        "rtsp://camera/user=admin_pwd={}_channel=1.sdp",
        "rtsp://camera/pwd={}&channel=1",
        "mqtt//admin:{}@broker",
        "rtsp:/admin:{}@camera/live",
        "source /etc/edgepose/admin:{}@camera/live: no such file",
        "admin:{}@camera",
    ],
)
@pytest.mark.parametrize("secret", ["swordfish", "sword/fi:sh", "sword@fish"])
def test_no_secret_of_a_url_is_left(text: str, secret: str) -> None:
    """Passwords are hidden wherever they are in a URL; the host stays."""
    hidden = redact(text.format(secret))

    assert "sword" not in hidden
    assert "fish" not in hidden
    assert "***" in hidden
    assert redact(hidden) == hidden


@pytest.mark.parametrize(
    "text", ["lost rtsp://{}@camera/live: timed out", "rtsp://ann:a {}@camera/live", "//{}@h:1"]
)
def test_a_token_and_a_password_with_a_blank_go_too(text: str) -> None:
    """A token without a user name, and a password with a space, are hidden, too."""
    hidden = redact(text.format("swordfish"))

    assert "sword" not in hidden
    assert "***@" in hidden
    assert redact(hidden) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "mqtt://broker:1883 is away",
        "http://h:8600 answers; ask ann@h",
        "demo://",
        "/dev/video0",
        "ratio 3:4 @ 10",
        "http://h/?size=1",
        "edgepose: camera hall: lost",
    ],
)
def test_what_is_not_secret_stays(text: str) -> None:
    """Texts without a password are unchanged."""
    assert redact(text) == text


def test_a_tilde_is_the_home_of_a_user_that_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tilde is expanded for an existing user only."""
    monkeypatch.setenv("HOME", "/home/anna")

    assert user_path("~/film.mp4") == Path("/home/anna/film.mp4")
    assert user_path("~no-such-user.mp4") == Path("~no-such-user.mp4")
