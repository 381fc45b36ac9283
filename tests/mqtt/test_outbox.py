"""The outbox: a delivery policy for each kind of message, and no outdated states."""

import itertools
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.composer import Composer
from edgepose.mqtt.options import BrokerOptions
from edgepose.mqtt.outbox import Outbox
from edgepose.mqtt.publisher import Publisher
from edgepose.mqtt.spool import Spool
from edgepose.mqtt.topics import Topics
from edgepose.timing import Clock
from edgepose.types import Message
from tests.camera.test_pipeline import follower


def poses(n: int) -> Message:
    return Message("b/c/poses", b"%d" % n, "poses")


def state(topic: str, payload: bytes) -> Message:
    return Message(topic, payload, "state", qos=1, retain=True)


def event(n: int) -> Message:
    return Message("b/c/event", b"%d" % n, "event", qos=1)


def sent(outbox: Outbox) -> Message | None:
    """Return the next message to send; None once the outbox is closed and empty."""
    if not outbox.wait():
        return None
    outgoing = outbox.next()
    return None if outgoing is None else outgoing.message


def test_poses_are_dropped_and_counted_while_offline() -> None:
    """Poses that are put while offline are dropped and counted."""
    outbox = Outbox()

    for n in range(3):
        outbox.put(poses(n))
    outbox.set_online(True)
    outbox.put(poses(3))

    assert sent(outbox) == poses(3)
    assert outbox.dropped["poses"] == 3


def test_of_a_state_only_the_latest_is_sent() -> None:
    """Of several states put while offline only the last is sent."""
    outbox = Outbox()
    for n in range(5):
        outbox.put(state("b/status", b"%d" % n))

    outbox.set_online(True)
    outbox.close()

    assert sent(outbox) == state("b/status", b"4")
    assert sent(outbox) is None


def test_every_state_is_sent_again_in_a_new_session() -> None:
    """In a new session every state is sent again: the broker may have lost them."""
    outbox = Outbox()
    outbox.set_online(True)
    outbox.put(state("b/a", b"1"))
    outbox.put(state("b/b", b"2"))
    assert [sent(outbox), sent(outbox)] == [state("b/a", b"1"), state("b/b", b"2")]

    outbox.set_online(False)
    outbox.set_online(True)

    assert [sent(outbox), sent(outbox)] == [state("b/a", b"1"), state("b/b", b"2")]


def test_a_state_that_could_not_be_sent_is_not_lost() -> None:
    """It is sent later, unless a newer one replaced it."""
    outbox = Outbox()
    outbox.set_online(True)
    outbox.put(state("b/a", b"old"))
    outgoing = outbox.next()
    assert outgoing is not None
    outbox.put(state("b/a", b"new"))

    outbox.requeue(outgoing)
    outbox.close()

    assert sent(outbox) == state("b/a", b"new")
    assert sent(outbox) is None


def test_a_slow_network_drops_the_oldest_poses() -> None:
    """Only `DEPTH` poses wait; older ones are dropped."""
    outbox = Outbox()
    outbox.set_online(True)

    for n in range(Outbox.DEPTH + 3):
        outbox.put(poses(n))

    assert sent(outbox) == poses(3)
    assert outbox.dropped["poses"] == 3


def test_closing_an_offline_outbox_lets_its_thread_go() -> None:
    """`close` does not wait for the broker."""
    outbox = Outbox()
    outbox.put(state("b/a", b"1"))

    outbox.close()

    assert sent(outbox) is None


def test_events_wait_for_the_connection_and_poses_do_not() -> None:
    """Events are sent in order, and none is dropped."""
    outbox = Outbox()
    for n in range(3):
        outbox.put(event(n))
        outbox.put(poses(n))
    outbox.set_online(True)
    outbox.close()

    assert [sent(outbox) for _ in range(4)] == [event(0), event(1), event(2), None]
    assert outbox.counts() == {"poses": 3, "stats": 0, "snapshot": 0, "state": 0, "event": 0}


def test_events_and_poses_take_turns() -> None:
    """Waiting events and new poses are sent alternately."""
    outbox = Outbox()
    for n in range(10):
        outbox.put(event(n))
    outbox.set_online(True)
    for n in range(4):
        outbox.put(poses(n))

    first = [message.kind for message in (sent(outbox) for _ in range(8)) if message]

    assert first.count("event") == first.count("poses") == 4


def test_an_event_is_kept_in_the_given_spool_until_it_is_acknowledged(tmp_path: Path) -> None:
    """An empty spool that is given is used, too."""
    spool = Spool(tmp_path)
    outbox = Outbox(spool)
    outbox.put(event(0))
    outbox.set_online(True)
    outgoing = outbox.next()
    assert outgoing is not None
    waiting = outbox.waiting()

    outbox.acknowledge(outgoing, accepted=True)

    assert (waiting, len(spool), outbox.waiting()) == (1, 0, 0)


def test_a_session_that_ends_gives_back_what_it_carried() -> None:
    """Unacknowledged events are sent first in the next session."""
    outbox = Outbox()
    for n in range(3):
        outbox.put(event(n))
    outbox.set_online(True)
    assert [sent(outbox), sent(outbox)] == [event(0), event(1)]

    outbox.set_online(False)
    outbox.set_online(True)
    outbox.close()

    assert [sent(outbox) for _ in range(4)] == [event(0), event(1), event(2), None]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_an_outdated_state_never_overtakes_a_later_one(order: tuple[int, ...]) -> None:
    """States may be put in any order by two threads; only the latest is sent."""
    composer = Composer(
        Topics("b", "d").camera("c"), model=lambda: "", follower=follower(), clock=Clock()
    )
    composed = []
    for number in range(3):
        composer.extra = {"number": number}
        composed.append(composer.tell())
    outbox = Outbox()
    outbox.set_online(True)

    for number in order:
        outbox.put(composed[number])

    assert sent(outbox) == composed[2]
    outbox.close()
    assert sent(outbox) is None


def test_a_state_that_comes_late_is_not_sent_again_either() -> None:
    """A state with an older revision is not sent in the next session either."""
    outbox = Outbox()
    outbox.set_online(True)
    late, latest = (replace(state("b/a", b"%d" % n), revision=n) for n in (1, 2))
    outbox.put(latest)
    assert sent(outbox) == latest

    outbox.put(late)
    outbox.set_online(False)
    outbox.set_online(True)
    outbox.close()

    assert [sent(outbox), sent(outbox)] == [latest, None]


def test_a_camera_that_is_started_anew_replaces_the_state_of_the_old_one() -> None:
    """The states of a new composer are sent after a reload, also after the topic was cleared."""
    outbox = Outbox()
    outbox.set_online(True)

    def composed() -> Message:
        camera = Topics("b", "d").camera("c")
        return Composer(camera, model=lambda: "", follower=follower(), clock=Clock()).tell()

    first, second, third = composed(), composed(), composed()
    for message in (first, second, replace(third, payload=b"", revision=0), third):
        outbox.put(message)
        assert sent(outbox) == message


def test_composing_a_state_waits_for_the_one_before() -> None:
    """`put_latest` runs one composing function at a time, so states are put in order."""
    link = Publisher(Outbox(), MqttClient(BrokerOptions("localhost")), Clock())
    put: list[Message] = []
    link.on_message(put.append)
    reading, may_go_on = threading.Event(), threading.Event()

    def slow() -> Message:
        reading.set()
        assert may_go_on.wait(5)
        return state("b/a", b"old")

    first = threading.Thread(target=link.put_latest, args=(slow,))
    second = threading.Thread(target=link.put_latest, args=(lambda: state("b/a", b"new"),))
    first.start()
    assert reading.wait(5)
    second.start()
    second.join(0.05)
    may_go_on.set()
    first.join()
    second.join()

    assert [message.payload for message in put] == [b"old", b"new"]
