"""CPU time per part of the daemon."""

import threading
import time

import pytest

from edgepose.measure import cpu

BURN_MS = 60.0


def burn() -> None:
    """Use CPU time for a while."""
    end_ns = time.thread_time_ns() + int(BURN_MS * 1e6)
    while time.thread_time_ns() < end_ns:
        pass


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("front-door:source", "read"),
        ("engine", "infer"),
        ("looks_3", "infer"),
        ("hall:finish", "finish"),
        ("anything", cpu.REST),
    ],
)
def test_a_thread_counts_for_its_part_and_waiting_for_none(name: str, part: str) -> None:
    """CPU time counts for the thread's part, whatever its camera's name."""
    burnt, ended = threading.Event(), threading.Event()

    def work() -> None:
        burn()
        burnt.set()
        ended.wait(20)

    before = cpu.spent_ns()
    thread = threading.Thread(target=work, name=name)
    thread.start()
    assert burnt.wait(20)
    spent = cpu.per_frame_ms(before, cpu.spent_ns(), 2)
    ended.set()
    thread.join()

    assert set(spent) == set(cpu.PARTS)
    assert spent[part] >= BURN_MS / 2
    assert spent[cpu.TOTAL] >= spent[part]
    others = {other for other in cpu.PARTS if other not in {part, cpu.TOTAL, cpu.REST}}
    assert all(spent[other] < BURN_MS / 4 for other in others)
