"""How this machine is."""

import os
import threading
import time
from pathlib import Path

import pytest

from edgepose import vitals


def test_memory_grows_by_what_is_taken() -> None:
    """In megabytes, of the process that is asked about."""
    before = vitals.memory_mb()
    taken = bytearray(os.urandom(1000) * 30_000)
    after = vitals.memory_mb()

    assert before is not None
    assert after is not None
    assert 20 < after - before < 60
    assert len(taken) == 30_000_000
    assert vitals.memory_mb(2**22 + 1) is None


@pytest.mark.parametrize(("flags", "slowed"), [("0x0", False), ("0x50000", False), ("0x4", True)])
def test_a_pi_says_whether_it_is_slowed_down_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, slowed: bool
) -> None:
    """What was once, in the upper bits, is not what is."""
    file = tmp_path / "get_throttled"
    file.write_text(f"{flags}\n")
    monkeypatch.setattr(vitals, "THROTTLED", file)

    assert vitals.throttled() is slowed


def test_what_the_machine_does_not_tell_is_not_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PC has no firmware flags; a container may have no sensor."""
    monkeypatch.setattr(vitals, "THROTTLED", tmp_path / "none")
    monkeypatch.setattr(vitals, "THERMAL", tmp_path / "none")

    assert vitals.throttled() is None
    assert vitals.temperature_c() is None


def test_a_thread_stays_where_it_is_when_no_core_is_left() -> None:
    """A network that takes all cores takes none away."""
    seen: list[frozenset[int]] = []

    def look() -> None:
        vitals.keep_to_rest(len(vitals.cores()))
        seen.append(vitals.cores())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()

    assert seen == [vitals.cores()]


def test_processor_time_is_that_of_the_process_named() -> None:
    """In seconds since it began, as the process itself counts them."""
    own_s = time.process_time()

    assert vitals.processor_s(os.getpid()) == pytest.approx(own_s, abs=0.5)
