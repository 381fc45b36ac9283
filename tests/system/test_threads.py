"""Queues and events between threads."""

import random
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from edgepose.system.threads import FairQueue, FirstError, InOrder, LatestSlot, WakeEvent


def test_a_live_slot_keeps_the_newest_and_counts_the_rest() -> None:
    """A live slot keeps the newest item, and counts the dropped ones."""
    slot: LatestSlot[int] = LatestSlot(newest_wins=True)

    for n in range(5):
        slot.put(n)

    assert slot.take() == 4
    assert slot.dropped == 4


def test_a_finite_slot_hands_over_everything_in_order() -> None:
    """A finite slot delivers all items in order."""
    slot: LatestSlot[int] = LatestSlot(newest_wins=False)

    def give() -> None:
        for n in range(200):
            slot.put(n)
        slot.close()

    giver = threading.Thread(target=give)
    giver.start()
    taken = list(iter(slot.take, None))
    giver.join(5)

    assert taken == list(range(200))
    assert slot.dropped == 0


def test_a_closed_slot_gives_what_waits_and_then_lets_go() -> None:
    """The waiting item is delivered, then None; later items are refused."""
    slot: LatestSlot[str] = LatestSlot(newest_wins=False)
    slot.put("last")

    slot.close()

    assert slot.take() == "last"
    assert slot.take() is None
    assert slot.put("late") is False


def test_closing_frees_both_sides_that_wait() -> None:
    """A thread blocked on either side of a slot ends when it closes."""
    slot: LatestSlot[int] = LatestSlot(newest_wins=False)
    slot.put(1)
    ended: list[object] = []
    giver = threading.Thread(target=lambda: ended.append(slot.put(2)))
    giver.start()

    slot.close()
    giver.join(5)

    assert ended == [False]


def test_lanes_take_turns_whoever_is_quicker() -> None:
    """Four cameras get equal turns while each has items waiting."""
    lanes: FairQueue[str] = FairQueue()
    for name in "bdac":
        lanes.put(name, name)
    taken: Counter[str | None] = Counter()

    for _ in range(400):
        name = lanes.take()
        taken[name] += 1
        if name:
            lanes.put(name, name)

    assert taken == dict.fromkeys("abcd", 100)


def test_closed_lanes_give_what_waits_and_then_lets_go() -> None:
    """Waiting items are delivered, then None."""
    lanes: FairQueue[int] = FairQueue()
    lanes.put("a", 1)

    lanes.close()

    assert lanes.take() == 1
    assert lanes.take() is None
    assert lanes.put("a", 2) is False


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_work_is_handed_on_in_the_order_in_which_it_began(workers: int) -> None:
    """The order is kept, whatever the durations and threads."""
    jobs: InOrder[list[int]] = InOrder(workers + 1)
    waiting: LatestSlot[list[int]] = LatestSlot(newest_wins=False)
    delays = random.Random(7)

    def work() -> None:
        while (job := waiting.take()) is not None:
            time.sleep(delays.random() * 0.003)
            jobs.done(job)

    def begin() -> None:
        for number in range(150):
            assert jobs.wait_for_room()
            assert len(jobs._items) <= workers
            job = [number]
            jobs.begin(job)
            waiting.put(job)
        jobs.end()
        waiting.close()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    threads.append(threading.Thread(target=begin))
    for thread in threads:
        thread.start()
    taken = list(iter(jobs.take, None))
    for thread in threads:
        thread.join(5)

    assert taken == [[number] for number in range(150)]


def test_closing_lets_go_of_work_that_is_never_done() -> None:
    """Closing discards unfinished items; finished ones before them are delivered."""
    jobs: InOrder[str] = InOrder(2)
    jobs.begin("done")
    jobs.begin("hangs")
    taken: list[str | None] = []
    taker = threading.Thread(target=lambda: taken.extend(iter(jobs.take, None)))
    waiter = threading.Thread(target=jobs.wait_for_room)
    taker.start()
    jobs.done("done")
    waiter.start()

    jobs.close()
    taker.join(5)
    waiter.join(5)

    assert not taker.is_alive()
    assert not waiter.is_alive()
    assert taken == ["done"]
    assert jobs.wait_for_room() is False


def test_work_that_is_reported_twice_counts_once() -> None:
    """A second `done` for a delivered item is ignored."""
    jobs: InOrder[list[int]] = InOrder(4)
    first, second = [1], [2]
    jobs.begin(first)
    jobs.done(first)
    assert jobs.take() is first

    jobs.done(first)
    jobs.begin(second)
    jobs.close()

    assert jobs.take() is None
    assert not jobs._done


def test_the_first_failure_counts() -> None:
    """Later errors are ignored."""
    stopped = threading.Event()
    failure = FirstError(stopped.set)
    first = ValueError("first")

    failure.report(first)
    failure.report(KeyError("second"))

    assert failure.error is first
    assert stopped.is_set()


SIGNALLED = """
import signal, time
from edgepose.system.threads import WakeEvent

wake = WakeEvent()
signal.signal(signal.SIGALRM, lambda *_: wake.set())
signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
end_s = time.monotonic() + 0.5
while time.monotonic() < end_s:
    wake.wait(5e-5)
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_a_sleeper_is_woken_by_a_signal_at_any_moment() -> None:
    """A signal handler can set the event at any moment, tested thousands of times."""
    assert (
        subprocess.run([sys.executable, "-c", SIGNALLED], timeout=30, check=False).returncode == 0
    )


def test_many_calls_end_one_sleep() -> None:
    """Several `set` calls before a wait end one wait."""
    wake = WakeEvent()
    for _ in range(3):
        wake.set()

    wake.wait(60)
    started = time.monotonic()
    wake.wait(0.05)

    assert time.monotonic() - started >= 0.05
