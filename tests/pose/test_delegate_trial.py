"""A delegate's trial in a child process, and the back-off for failed delegates."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgepose.pose import delegate_backoff
from edgepose.pose.delegate_backoff import (
    FIRST_S,
    FORGET_S,
    LONGEST_S,
    DelegateBackoff,
    FailureRecord,
)
from edgepose.pose.delegate_trial import Verdict, try_out
from edgepose.pose.delegates import Plugin
from edgepose.timing import NS_PER_S, Clock
from tests.support import tpu

NAME = "edgetpu"


def attempt(folder: Path, *, seconds: float = 10.0, **told: str | int) -> Verdict:
    """Try a delegate with the given behaviour on an Edge TPU network."""
    model, _ = tpu.pair(folder)
    library = tpu.compile_delegate(folder, **told)
    return try_out(str(model), Plugin(str(library)), threads=1, seconds=seconds)


@pytest.mark.slow
def test_a_delegate_that_works_passes(tmp_path: Path) -> None:
    """A successful trial reports the duration of an inference."""
    verdict = attempt(tmp_path)

    assert verdict.failure == ""
    assert verdict.ms > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"AT_LOAD": "REFUSE"}, "it refuses to start: no device for me"),
        ({"CLAIM": 0}, "does not take edgetpu-custom-op"),
        ({"AT_INVOKE": "FAIL"}, "failed while running"),
        ({"AT_INVOKE": "FAIL", "AFTER": 3}, "failed while running"),
    ],
)
def test_an_error_in_the_child_is_a_sentence_here(
    tmp_path: Path, told: dict[str, str | int], words: str
) -> None:
    """An error of the library or device is reported in one line, and is not harmful."""
    verdict = attempt(tmp_path, **told)

    assert words in verdict.failure
    assert "\n" not in verdict.failure
    assert not verdict.harmful


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"AT_LOAD": "CRASH"}, "it crashed (SIGABRT) while it was loaded"),
        ({"AT_INVOKE": "CRASH"}, "it crashed (SIGABRT) while it ran the first inference"),
        ({"AT_INVOKE": "CRASH", "AFTER": 2}, "it crashed (SIGABRT) while it ran the next"),
    ],
)
def test_a_crash_is_the_childs_alone(
    tmp_path: Path, told: dict[str, str | int], words: str
) -> None:
    """A crash ends only the child process; the verdict names the step and is harmful."""
    verdict = attempt(tmp_path, **told)

    assert words in verdict.failure
    assert verdict.harmful


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"AT_LOAD": "HANG"}, "while it was loaded"),
        ({"AT_INVOKE": "HANG"}, "while it ran the first inference"),
    ],
)
def test_a_hang_ends_with_the_time_it_was_given(
    tmp_path: Path, told: dict[str, str | int], words: str
) -> None:
    """The child is ended after the time limit, also while the library blocks Python."""
    verdict = attempt(tmp_path, seconds=3.0, **told)

    assert verdict.failure == f"no answer within 3 s {words}"
    assert verdict.harmful


class Now(Clock):
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 1_795_000_000.0

    def unix_ns(self, at_ns: int | None = None) -> int:
        assert at_ns is None
        return int(self.seconds * NS_PER_S)


def test_a_delegate_sits_longer_after_each_failure(tmp_path: Path) -> None:
    """The back-off doubles with each failure up to some hours, across restarts."""
    now = Now()
    waits = []

    for _ in range(12):
        DelegateBackoff(tmp_path, now).failed(NAME, "the device is gone")
        benched_s = now.seconds
        while DelegateBackoff(tmp_path, now).sentence(NAME):
            now.seconds += 30
        waits.append(now.seconds - benched_s)

    assert waits[:4] == pytest.approx([FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S], abs=31)
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(LONGEST_S, abs=31)


def test_a_failure_after_a_day_of_good_work_is_a_first_one(tmp_path: Path) -> None:
    """After a day without failures the back-off starts with the shortest time."""
    now = Now()
    bench = DelegateBackoff(tmp_path, now)
    for _ in range(5):
        bench.failed(NAME, "the device is gone")

    now.seconds += FORGET_S + 1
    bench.failed(NAME, "the device is gone")
    now.seconds += FIRST_S + 1

    assert bench.sentence(NAME) == ""


def test_a_clock_that_was_set_back_does_not_keep_it_there(tmp_path: Path) -> None:
    """A clock that was set back does not prolong the back-off."""
    now = Now()
    bench = DelegateBackoff(tmp_path, now)
    bench.failed(NAME, "the device is gone")

    now.seconds -= 10 * 365 * 86400
    at_once = bench.sentence(NAME)
    now.seconds += FIRST_S + 1

    assert "the device is gone" in at_once
    assert bench.sentence(NAME) == ""


def test_who_did_not_leave_is_blamed_for_the_end(tmp_path: Path) -> None:
    """A delegate that was in use when the process was killed counts as failed at the next start."""
    code = (
        "import os, sys; from pathlib import Path; "
        "from edgepose.pose.delegate_backoff import DelegateBackoff; "
        "from edgepose.timing import Clock; "
        f"DelegateBackoff(Path(sys.argv[1]), Clock()).enter({NAME!r}); os._exit(9)"
    )

    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)

    assert "ended while using it" in DelegateBackoff(tmp_path, Clock()).sentence(NAME)
    assert "ended while using it" in DelegateBackoff(tmp_path, Clock()).sentence(NAME)


def test_a_good_end_and_a_power_cut_blame_nobody(tmp_path: Path) -> None:
    """A normal end, a power cut and a daemon that still runs do not count as failures."""
    bench = DelegateBackoff(tmp_path, Clock())
    bench.enter(NAME)
    bench.leave(NAME)
    after_good_end = DelegateBackoff(tmp_path, Clock()).sentence(NAME)
    note = tmp_path / delegate_backoff.FILE

    note.write_bytes(msgspec.json.encode({NAME: FailureRecord(in_use="another-boot 1")}))
    after_power_cut = DelegateBackoff(tmp_path, Clock()).sentence(NAME)
    note.write_bytes(
        msgspec.json.encode(
            {NAME: FailureRecord(in_use=f"{delegate_backoff._boot_id()} {os.getppid()}")}
        )
    )
    while_another_runs = DelegateBackoff(tmp_path, Clock()).sentence(NAME)

    assert (after_good_end, after_power_cut, while_another_runs) == ("", "", "")


def test_without_a_folder_the_bench_lasts_as_long_as_the_process() -> None:
    """Without a folder the back-off lasts until the process ends."""
    bench = DelegateBackoff(None, Now())

    bench.failed(NAME, "the device is gone")

    assert "the device is gone" in bench.sentence(NAME)
    assert DelegateBackoff(None, Now()).sentence(NAME) == ""


def test_a_damaged_note_is_no_reason_not_to_start(tmp_path: Path) -> None:
    """A damaged file is ignored."""
    (tmp_path / delegate_backoff.FILE).write_bytes(b'{"edgetpu": 7')

    assert DelegateBackoff(tmp_path, Clock()).sentence(NAME) == ""
