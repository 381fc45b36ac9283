"""A message that ends sessions is found, held back and retried later; no other is."""

import pytest

from edgepose.mqtt.poison_messages import (
    CAREFUL_STRIKES,
    HOLD_S,
    MAX_STRIKES,
    SUSPECT_S,
    PoisonMessages,
)

SMALL, LARGE, OTHER = ("a/availability", 120), ("a/config", 7000), ("a/status", 1800)


class Bench:
    """Simulates sessions with a broker that does not accept some messages."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.poison = PoisonMessages(lambda: self.now_s)

    def session(
        self, *messages: tuple[str, int], takes: int, qos: int = 1, short: bool = True
    ) -> str | None:
        """Send messages, of which the broker acknowledges the first; return the held topic."""
        self.send(*messages, takes=takes, qos=qos)
        found = self.poison.session_ended(was_short=short, was_careful=False)
        return None if found is None else found[0]

    def careful(self, *messages: tuple[str, int], takes: int) -> str | None:
        """Send one message after the other until the broker hangs up; return the held topic."""
        self.send(*messages[: takes + 1], takes=takes)
        found = self.poison.session_ended(was_short=True, was_careful=True)
        return None if found is None else found[0]

    def send(self, *messages: tuple[str, int], takes: int, qos: int = 1) -> None:
        serials = [
            self.poison.sent(topic, size, is_acknowledged=qos > 0) for topic, size in messages
        ]
        for serial in serials[:takes]:
            self.poison.acknowledged(serial)
        self.now_s += 1.0


def test_the_message_that_ends_each_session_is_held_and_named() -> None:
    """It is held after `CAREFUL_STRIKES` careful sessions in a row, and not before."""
    bench = Bench()
    first = [bench.session(SMALL, LARGE, OTHER, takes=1) for _ in range(9)]

    found = [bench.careful(SMALL, LARGE, OTHER, takes=1) for _ in range(CAREFUL_STRIKES)]

    assert set(first) == {None}
    assert found == [None] * (CAREFUL_STRIKES - 1) + ["a/config"]
    assert bench.poison.is_held(*LARGE)
    assert not bench.poison.is_held(*OTHER)
    assert not bench.poison.is_held("a/config", 6999)


def test_a_small_message_is_found_beside_larger_ones() -> None:
    """A small message on a forbidden topic is found although a larger one was sent."""
    bench = Bench()
    sent = (SMALL, LARGE, ("a/forbidden", 130), OTHER)
    bench.session(*sent, takes=1)

    found = [bench.careful(*sent, takes=2) for _ in range(CAREFUL_STRIKES)]

    assert found[-1] == "a/forbidden"


def test_a_message_that_ends_long_sessions_is_found() -> None:
    """An hourly picture of QoS 0 that ends long sessions is found."""
    bench = Bench()
    bench.send(LARGE, takes=1)

    found = [
        bench.session(("a/cam/snapshot", 60_000), ("a/cam/poses", 900), takes=0, qos=0, short=False)
        for _ in range(MAX_STRIKES)
    ]

    assert found == [None] * (MAX_STRIKES - 1) + ["a/cam/snapshot"]


@pytest.mark.parametrize("short", [True, False])
def test_a_line_that_breaks_often_holds_nothing_back(short: bool) -> None:
    """No message is held if larger ones were delivered before."""
    bench = Bench()
    for _ in range(20):
        bench.send(LARGE, OTHER, takes=2)
        poses = [("a/cam/poses", 900)] * 2
        assert bench.session(*poses, takes=0, qos=0, short=short) is None


def test_a_line_that_dies_in_silence_is_no_broker_that_hangs_up() -> None:
    """A session that survives its messages clears them; only hang-ups of the broker count."""
    bench = Bench()
    for _ in range(9):
        bench.send(SMALL, LARGE, takes=1)
        bench.poison.session_survived()

    assert bench.careful(SMALL, LARGE, takes=1) is None


def test_a_session_that_lives_on_clears_a_message() -> None:
    """A message is no longer suspected `SUSPECT_S` after it was sent."""
    bench = Bench()
    for _ in range(9):
        bench.poison.sent("a/cam/snapshot", 60_000, is_acknowledged=False)
        bench.now_s += SUSPECT_S + 1

        assert bench.session(("a/cam/poses", 900), takes=0, qos=0, short=False) is None


def test_a_broker_that_says_too_large_is_believed_at_once() -> None:
    """With MQTT 5's reason "packet too large" the message is held at once."""
    bench = Bench()
    bench.send(SMALL, LARGE, OTHER, takes=1)

    found = bench.poison.session_ended(was_short=True, was_careful=False, too_large=True)

    assert found is not None
    assert found[0] == "a/config"


def test_it_is_tried_again_each_time_later() -> None:
    """The hold ends after a time that doubles with each failure: the limit may be raised."""
    bench = Bench()
    for _ in range(CAREFUL_STRIKES):
        bench.careful(SMALL, LARGE, takes=1)
    lasts_s = HOLD_S[0]
    for _ in range(12):
        bench.now_s += lasts_s - 2
        assert bench.poison.is_held(*LARGE)
        bench.now_s += 2
        assert not bench.poison.is_held(*LARGE)
        assert bench.careful(SMALL, LARGE, takes=1) == "a/config"
        lasts_s = min(2 * lasts_s, HOLD_S[1])

    bench.now_s += HOLD_S[1]
    bench.session(SMALL, LARGE, takes=2)
    assert not bench.poison.is_held(*LARGE)


def test_sessions_must_end_in_a_row() -> None:
    """A session that survives resets the count."""
    bench = Bench()
    for _ in range(9):
        for _ in range(CAREFUL_STRIKES - 1):
            assert bench.careful(SMALL, LARGE, takes=1) is None
        bench.poison.session_survived()
