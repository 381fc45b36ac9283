"""The soak test for less than a minute; `make soak` takes half an hour."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import soak
from tests.support.brokers import needs_mosquitto

ROOT = Path(__file__).parents[2]
GOOD: dict[str, Any] = {
    "minutes": 30,
    "faults": {"broker stopped": 6, "delegate failed": 3},
    "exit_code": 0,
    "all_back": True,
    "tracebacks": 0,
    "secrets": 0,
    "events": {"said": 900, "lost": 0, "out_of_order": 0},
    "rates_hz": [15.0, 15.0, 14.9],
    "machine_busy": [0.4, 0.4, 0.4],
    "memory_mb": [150.0, 151.0, 150.5],
    "threads": [16, 16, 16],
    "descriptors": [14, 14, 14],
}
BAD: dict[str, Any] = {
    "exit_code": "1 before its time",
    "all_back": {"": "online", "http": "offline"},
    "tracebacks": 1,
    "secrets": 1,
    "events": {"said": 900, "lost": 1, "out_of_order": 0},
    "rates_hz": [15.0, 15.0, 12.0],
    "memory_mb": [150.0, 155.0, 160.0],
    "threads": [16, 16, 17],
    "descriptors": [14, 16, 18],
}


def test_what_is_good_is_called_good() -> None:
    """Good measurements give no findings."""
    assert soak.verdict(GOOD) == []


@pytest.mark.parametrize("name", BAD)
def test_each_fault_of_the_daemon_is_told(name: str) -> None:
    """Each violated limit gives one finding."""
    wrong = soak.verdict(GOOD | {name: BAD[name]})

    assert len(wrong) == 1


def test_a_leak_shows_and_bursts_do_not() -> None:
    """The minima of three thirds reveal a slow leak, but ignore bursts."""
    samples = soak.Samples(seconds=[2.0 * n for n in range(900)])
    busy = [14.0 + 3 * (n % 7 == 0) for n in range(900)]
    leaking = [value + n // 100 for n, value in enumerate(busy)]

    steady, grown = soak.floors(samples, busy), soak.floors(samples, leaking)

    assert steady == [14, 14, 14]
    assert np.all(np.diff(grown) > 0)


def test_a_machine_that_others_keep_busy_is_no_fault() -> None:
    """A low frame rate is a finding only while the machine was idle."""
    late = {"rates_hz": [15.0, 15.0, 5.0]}

    starved = soak.verdict(GOOD | late | {"machine_busy": [0.4, 0.4, 0.99]})
    idle = soak.verdict(GOOD | late | {"machine_busy": [0.99, 0.99, 0.4]})

    assert starved == []
    assert len(idle) == 1


@pytest.mark.slow
@needs_mosquitto
def test_the_daemon_stands_a_few_faults() -> None:
    """Failures of broker, streams and delegate within 30 s cause no losses."""
    words = [sys.executable, "-m", "benchmarks.soak", "--minutes", "0.5", "--every", "4"]

    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout[: done.stdout.rindex("}") + 1])
    assert sum(found["faults"].values()) >= 4
    assert found["events"]["said"] > 0
