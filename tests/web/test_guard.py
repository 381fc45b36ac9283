"""Tests of access control."""

import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

from edgepose.cli import main
from edgepose.web import tokens
from edgepose.web.guard import (
    MAX_FAILURES,
    MAX_FAILURES_IN_ALL,
    MINUTE_S,
    SESSION_S,
    AllowedHosts,
    LoginThrottle,
    Sessions,
)

OWN = socket.gethostname().partition(".")[0]


@pytest.mark.parametrize(
    "host",
    [
        "localhost:8600",
        "LOCALHOST",
        "127.0.0.1:8600",
        "[::1]:8600",
        "192.0.2.7",
        f"{OWN}:8600",
        f"{OWN}.local",
        "pose.example:443",
        "localhost.:8600",
    ],
)
def test_a_name_of_this_machine_is_known(host: str) -> None:
    """IP addresses, local names and `web.hosts` are allowed: DNS rebinding cannot use them."""
    assert AllowedHosts(("Pose.example",)).allows(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        f"{OWN}.evil.example",
        "pose.example.evil.example",
        "127.0.0.1.evil.example",
        "",
        ":8600",
        "[::1",
        "user@evil.example",
        "evil.example/localhost",
        "localhost@evil.example:80",
    ],
)
def test_another_name_is_not(host: str) -> None:
    """Any other name is refused, against DNS rebinding."""
    assert not AllowedHosts(("pose.example",)).allows(host)


class TestToken:
    """The token and its hash."""

    def test_only_the_token_fits(self, tmp_path: Path) -> None:
        """Making a new token invalidates the old one."""
        file = tmp_path / "token"
        old = tokens.make(file)
        new = tokens.make(file)

        kept = tokens.read(file)

        assert kept is not None
        assert kept.fits(new)
        assert not any(map(kept.fits, (old, "", new[:-1], f"{new} ", new.swapcase())))

    def test_it_is_kept_as_a_hash_for_one_pair_of_eyes(self, tmp_path: Path) -> None:
        """The file contains a hash and is readable by its owner only."""
        file = tmp_path / "token"
        token = tokens.make(file)

        assert token.encode() not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0
        assert len(token) >= 32

    def test_what_is_no_hash_is_no_token(self, tmp_path: Path) -> None:
        """A damaged or missing file reads as no token."""
        file = tmp_path / "token"
        for content in (b"", b"{}", b"secret", b'{"salt": 1, "digest": 2}'):
            file.write_bytes(content)
            assert tokens.read(file) is None
        assert tokens.read(tmp_path / "nothing") is None
        assert tokens.read(None) is None

    def test_the_command_prints_it_once(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Only the token is printed on standard output; its hash is stored in the state folder."""
        monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))

        code = main(["web", "token"])

        told = capsys.readouterr()
        kept = tokens.read(tmp_path / tokens.FILE)
        assert code == 0
        assert kept is not None
        assert kept.fits(told.out.rstrip("\n"))
        assert told.out.strip() not in told.err

    def test_the_one_of_programs_is_another(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Making a read token does not change the owner's token."""
        monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
        owner = tokens.make(tmp_path / tokens.FILE)

        code = main(["web", "token", "--read-only"])

        kept, known = tokens.read(tmp_path / tokens.READ_FILE), tokens.read(tmp_path / tokens.FILE)
        assert code == 0
        assert kept is not None
        assert kept.fits(capsys.readouterr().out.rstrip("\n"))
        assert known is not None
        assert known.fits(owner)


class TestSessions:
    """The cookie."""

    @pytest.fixture
    def token(self, tmp_path: Path) -> tokens.Hashed:
        return self.another(tmp_path / "token")

    def another(self, file: Path) -> tokens.Hashed:
        tokens.make(file)
        kept = tokens.read(file)
        assert kept is not None
        return kept

    def test_it_holds_for_its_time(self, token: tokens.Hashed) -> None:
        """The cookie expires after `SESSION_S`."""
        sessions = Sessions(b"key")
        cookie = sessions.cookie(token, 1000)

        assert sessions.holds(cookie, token, 1000 + SESSION_S - 1)
        assert not sessions.holds(cookie, token, 1000 + SESSION_S)

    def test_it_cannot_be_made_up(self, token: tokens.Hashed, tmp_path: Path) -> None:
        """A cookie with a changed expiry, another token or another key is refused."""
        sessions = Sessions(b"key")
        until, _, signature = sessions.cookie(token, 1000).partition(".")
        made_up = [f"{int(until) + 1}.{signature}", f"{until}.", signature, "", ".", "a.b", "é.é"]

        assert not any(sessions.holds(cookie, token, 1000) for cookie in made_up)
        cookie = f"{until}.{signature}"
        assert not sessions.holds(cookie, self.another(tmp_path / "other"), 1000)
        assert not Sessions(b"another").holds(cookie, token, 1000)


class TestAttempts:
    """Wrong tokens."""

    def test_so_many_a_minute_and_then_one_waits(self) -> None:
        """After `MAX_FAILURES` failures within a minute an address waits; others do not."""
        now = [0.0]
        throttle = LoginThrottle(lambda: now[0])
        for second in range(MAX_FAILURES):
            now[0] = second
            assert throttle.wait_s("192.0.2.7") == 0
            throttle.add_failure("192.0.2.7")

        waits = throttle.wait_s("192.0.2.7")

        assert waits == MINUTE_S - (MAX_FAILURES - 1)
        assert throttle.wait_s("192.0.2.8") == 0
        now[0] += waits
        assert throttle.wait_s("192.0.2.7") == 0

    def test_many_addresses_do_not_help(self) -> None:
        """A /64 network of IPv6 counts as one address; there is a total limit, too."""
        throttle = LoginThrottle(lambda: 0.0)
        network = int(ip_address("2001:db8::"))
        for number in range(MAX_FAILURES):
            throttle.add_failure(str(ip_address(network + number)))
        near, far = "2001:db8::ffff", "2001:db8:0:1::1"
        assert throttle.wait_s(near) > 0
        assert throttle.wait_s(far) == 0

        for number in range(MAX_FAILURES_IN_ALL):
            throttle.add_failure(f"192.0.2.{number}")

        assert throttle.wait_s("198.51.100.1") > 0
