"""Retained topics of removed cameras and old device names are cleared."""

from pathlib import Path

import pytest

from edgepose.config.loading import loads
from edgepose.config.schema import Config
from edgepose.mqtt.outbox import Outbox
from edgepose.mqtt.stale_topics import SETTLE_S, StaleTopicCleaner, topics_of
from edgepose.mqtt.topics import Topics
from edgepose.system.storage import StateFile
from edgepose.types import Message
from tests.support.clocks import ClockByHand

TOPICS = Topics("edgepose", "pi")
YARD = {f"edgepose/pi/yard/{leaf}" for leaf in ("availability", "state", "live")}


def config(*cameras: str) -> Config:
    tables = [f'[[camera]]\nid = "{camera}"\nsource = "demo://"\n' for camera in cameras]
    return loads('[device]\nid = "pi"\n' + "".join(tables), "test")


class Bench:
    """One run of the daemon: its state file, its clock and its outgoing messages."""

    def __init__(self, path: Path, *cameras: str, topics: Topics = TOPICS) -> None:
        self.clock = ClockByHand()
        self.put: list[Message] = []
        self.retained = StaleTopicCleaner(StateFile(path, list[str]), self.put.append, self.clock)
        self.configure(*cameras, topics=topics)

    def configure(self, *cameras: str, topics: Topics = TOPICS) -> None:
        self.retained.configure(topics_of(config(*cameras), topics))

    def later(self) -> set[str]:
        """Advance the clock and return the topics that are cleared then."""
        self.put.clear()
        self.clock.forward(SETTLE_S + 1)
        self.retained.clear_due()
        assert all((m.payload, m.retain, m.qos, m.kind) == (b"", 1, 1, "state") for m in self.put)
        return {message.topic for message in self.put}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "retained.json"


def test_a_camera_removed_while_we_were_away_is_cleared(path: Path) -> None:
    """They are cleared at the next start, after connecting; other cameras' topics stay."""
    Bench(path, "hall", "yard")
    bench = Bench(path, "hall")

    offline = bench.later()
    bench.retained.connected()
    bench.retained.clear_due()
    at_once = list(bench.put)

    assert (offline, at_once) == (set(), [])
    assert bench.later() == YARD


def test_a_camera_removed_by_a_reload_is_cleared_after_a_moment(path: Path) -> None:
    """The topics are cleared after a delay, so that `offline` is delivered first."""
    bench = Bench(path, "hall", "yard")
    bench.retained.connected()
    before = bench.later()
    bench.configure("hall")
    bench.retained.clear_due()
    at_once = list(bench.put)

    assert (before, at_once) == (set(), [])
    assert bench.later() == YARD


def test_it_is_told_until_the_broker_knows_and_then_no_more(path: Path) -> None:
    """Clearing is repeated, also in later runs, until the broker has acknowledged it."""
    Bench(path, "hall", "yard")
    Bench(path, "hall")
    bench = Bench(path, "hall")
    bench.retained.connected()
    first = bench.later()
    for topic in first:
        bench.retained.note_cleared(topic)
    again = bench.later()
    last = Bench(path, "hall")
    last.retained.connected()

    assert first == YARD
    assert again == last.later() == set()


def test_another_name_takes_everything_of_the_old_one(path: Path) -> None:
    """After a new device id or prefix all old topics are cleared."""
    Bench(path, "hall")
    bench = Bench(path, "hall", topics=Topics("house", "pi"))
    bench.retained.connected()

    assert bench.later() == set(topics_of(config("hall"), TOPICS))


def test_what_comes_back_is_kept(path: Path) -> None:
    """Topics of a camera that was added again are not cleared."""
    Bench(path, "hall", "yard")
    bench = Bench(path, "hall")
    bench.retained.connected()
    cleared = bench.later()
    bench.configure("hall", "yard")
    for topic in cleared:
        bench.retained.note_cleared(topic)
    nothing = bench.later()
    after = Bench(path, "hall")
    after.retained.connected()

    assert nothing == set()
    assert after.later() == YARD


def test_a_topic_that_is_cleared_is_not_said_again_in_the_next_session() -> None:
    """An acknowledged clearing is not repeated: another device may use the topic by then."""
    outbox = Outbox()
    outbox.set_online(True)
    outbox.put(Message("a", b"", "state", qos=1, retain=True))
    outgoing = outbox.next()
    assert outgoing is not None

    outbox.set_online(True)
    again = outbox.next()
    outbox.acknowledge(outgoing, accepted=True)
    outbox.set_online(True)

    assert again == outgoing
    assert outbox.next() is None
