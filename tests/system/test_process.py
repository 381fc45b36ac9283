"""Measurements of process and machine."""

import gc
import mmap
import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

from edgepose.system import hardware, process
from edgepose.system.hardware import Throttling
from tests.support.brokers import wait_until


def test_memory_grows_by_what_is_taken() -> None:
    """The value is in megabytes, for the given process."""
    before = process.memory_mb()
    taken = mmap.mmap(-1, 30_000_000)  # memory that the process did not have before
    taken.write(bytes(len(taken)))
    after = process.memory_mb()

    assert before is not None
    assert after is not None
    assert 20 < after - before < 60
    assert process.memory_mb(2**22 + 1) is None


def test_only_new_objects_are_collected() -> None:
    """Objects of the start are not visited again, cycles made later are found."""

    class Cycle:
        def __init__(self) -> None:
            self.itself = self

    try:
        process.settle_memory()
        visited, old = len(gc.get_objects()), gc.get_freeze_count()
        later = weakref.ref(Cycle())
        gc.collect()
    finally:
        gc.unfreeze()

    assert visited < old / 10
    assert later() is None


FAULTS_PER_PICTURE = """
import resource, sys
import numpy as np
from edgepose.system import process

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

process.configure_malloc()
for _ in range(5):
    np.full((1080, 1920, 3), 1, np.uint8)
before = faults()
for _ in range(20):
    np.full((1080, 1920, 3), 1, np.uint8)
print((faults() - before) / 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_memory_of_pictures_is_reused() -> None:
    """A 6 MB picture after another causes no page faults: its memory is reused."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS_PER_PICTURE], capture_output=True, text=True, check=True
    )

    assert float(done.stdout) < 20


class Machine:
    """A simulated machine's power supply and temperature; without data at first."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setattr(hardware, "THROTTLED", folder / "get_throttled")
        monkeypatch.setattr(hardware, "MONITORS", folder / "hwmon")
        monkeypatch.setattr(hardware, "THERMAL", folder / "temp")

    def answers(self, script: str) -> None:
        """Install a `vcgencmd` with this script."""
        program = self._folder / "vcgencmd"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def keeps(self, word: str) -> None:
        """Create the file of older kernels."""
        hardware.THROTTLED.write_text(f"{word}\n")

    def watches(self, name: str, alarm: str) -> None:
        """Create a hardware monitor of the kernel."""
        monitor = hardware.MONITORS / name
        monitor.mkdir(parents=True)
        (monitor / "name").write_text(f"{name}\n")
        (monitor / "in0_lcrit_alarm").write_text(f"{alarm}\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def set_flags(throttling: Throttling | None) -> tuple[set[str], set[str]]:
    assert throttling is not None
    now, since_boot = throttling.now, throttling.since_boot
    return {flag for flag in now if now[flag]}, {flag for flag in since_boot if since_boot[flag]}


@pytest.mark.parametrize(
    ("word", "now", "since_boot"),
    [
        ("0x0", set(), set()),
        ("0x50000", set(), {"under_voltage", "throttled"}),
        ("0x50005", {"under_voltage", "throttled"}, {"under_voltage", "throttled"}),
        ("0xe0008", {"soft_temperature_limit"}, set(hardware.FLAGS) - {"under_voltage"}),
    ],
)
def test_a_pi_says_what_slows_it_down(
    machine: Machine, word: str, now: set[str], since_boot: set[str]
) -> None:
    """Current and past flags are named; program and kernel file give the same result."""
    machine.keeps(word)
    kept = hardware.read_throttling()
    machine.answers(f"test $1 = get_throttled && echo throttled={word}")
    hardware.THROTTLED.unlink()

    asked = hardware.read_throttling()

    assert asked == kept
    assert set_flags(asked) == (now, since_boot)
    assert asked is not None
    assert asked.is_slow is bool(now)


@pytest.mark.parametrize(
    "script", ["echo no device; exit 255", "exec /bin/sleep 100", "kill -9 $$"]
)
def test_a_firmware_that_may_not_be_asked_is_passed_over(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """If the firmware may not be asked, the kernel's supply monitor is used."""
    monkeypatch.setattr(hardware, "FIRMWARE_S", 0.1)
    machine.answers(script)
    machine.watches("cpu_thermal", "0")
    machine.watches("rpi_volt", "1")

    found = hardware.read_throttling()

    assert found == Throttling({"under_voltage": True}, {})
    assert found.is_slow


def test_what_the_machine_does_not_tell_is_not_made_up(machine: Machine) -> None:
    """Without firmware flags or sensors the result is None."""
    machine.watches("nvme", "1")

    assert hardware.read_throttling() is None
    assert hardware.temperature_c() is None


def test_a_thread_stays_where_it_is_when_no_core_is_left() -> None:
    """If the network uses all cores the thread's affinity is unchanged."""
    seen: list[frozenset[int]] = []

    def look() -> None:
        process.pin_to_spare_cores(len(process.cores()))
        seen.append(process.cores())

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()

    assert seen == [process.cores()]


def test_processor_time_is_that_of_the_process_named() -> None:
    """The CPU time is that of the given process, in seconds."""
    own_s = time.process_time()

    assert process.processor_s(os.getpid()) == pytest.approx(own_s, abs=0.5)


class TestThrottlingReader:
    def test_a_firmware_that_hangs_holds_nobody_up(self) -> None:
        """Readers do not block while the firmware hangs; its answer is available later."""
        go_on, asked = threading.Event(), []

        def hang() -> Throttling | None:
            asked.append(1)
            go_on.wait(10)
            return Throttling({"throttled": True}, {})

        reader = hardware.ThrottlingReader(hang, refresh_s=0.0)
        began_s = time.monotonic()
        before = [reader.latest() for _ in range(5)]
        took_s = time.monotonic() - began_s
        go_on.set()

        assert before == [None] * 5
        assert len(asked) == 1
        assert took_s < 2.0
        assert wait_until(lambda: reader.latest() is not None)

    def test_it_asks_no_more_often_than_needed(self) -> None:
        """A value is cached for `refresh_s`, and available at the first call."""
        asked: list[int] = []

        def answer() -> Throttling | None:
            asked.append(1)
            return Throttling({"throttled": bool(len(asked) % 2)}, {})

        reader = hardware.ThrottlingReader(answer, refresh_s=3600.0)
        found = [reader.latest() for _ in range(5)]

        assert len(asked) == 1
        assert all(each is not None and each.is_slow for each in found)
