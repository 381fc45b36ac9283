"""Tries a delegate in a child process first, and remembers which of them failed.

A wrong libedgetpu ends the process that loads it, without an exception; a device may
hang for ever. So a child goes first, and what it did not survive is left alone for a
while, across restarts. Run as a program it is the child: ``python -m edgepose.trials``.
"""

import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from edgepose.errors import EdgeposeError
from edgepose.models import Plugin
from edgepose.storage import Note
from edgepose.timing import NS_PER_S, Clock, median_ms

log: Final = logging.getLogger("edgepose.trials")

TRIAL_S: Final = 15.0  # USB accelerators take up to 5 s to load their firmware and come back
GRACE_S: Final = 2.0  # a child that its own alarm did not end
LOOK_S: Final = 0.2
RUNS: Final = 5
FILE: Final = "delegates.json"
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

FIRST_S: Final = 60.0
LONGEST_S: Final = 6 * 3600.0
FORGET_S: Final = 24 * 3600.0  # a failure after a day of good work is a first one again


class Task(msgspec.Struct, frozen=True):
    """What the child is to try."""

    model: str
    threads: int
    library: str
    options: tuple[tuple[str, str], ...]
    op: str
    seconds: float = TRIAL_S


class Verdict(msgspec.Struct, frozen=True):
    """How a trial ended."""

    failure: str = ""
    """One sentence; empty when all went well."""

    ms: float = 0.0
    """How long an inference takes."""

    harmful: bool = False
    """Whether it would have taken the daemon down: a crash or a hang."""


def try_out(
    model: str,
    plugin: Plugin,
    *,
    threads: int = 0,
    seconds: float = TRIAL_S,
    ending: Callable[[], bool] = lambda: False,
) -> Verdict:
    """Load a delegate and run the model on it, all in a child process.

    Parameters
    ----------
    model : str
        As `PoseEstimator` takes it.
    plugin : Plugin
        The delegate.
    threads : int
        Threads for what stays on the CPU.
    seconds : float
        How long it may take.
    ending : callable
        Says whether nobody wants to know any more.
    """
    task = Task(model, threads, plugin.library, plugin.options, plugin.op, seconds)
    command = [sys.executable, "-m", "edgepose.trials", msgspec.json.encode(task).decode()]
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # a Ctrl-C is for us
    )
    until_s = time.monotonic() + seconds + GRACE_S
    while True:
        try:
            said, noise = child.communicate(timeout=LOOK_S)
            break
        except subprocess.TimeoutExpired as expired:
            if ending() or time.monotonic() > until_s:
                child.kill()  # not waited for: a process within a driver may not even take that
                return _no_answer(seconds, _text(expired.stdout))
    log.debug("trial of %s: exit %s, it said: %s", plugin.library, child.returncode, noise)
    return _verdict(child.returncode, said, seconds)


def _verdict(code: int, said: str, seconds: float) -> Verdict:
    last = said.splitlines()[-1] if said else ""
    if code == 0:
        return msgspec.json.decode(last, type=Verdict)
    if code == -signal.SIGALRM:
        return _no_answer(seconds, said)
    if code < 0:
        name = signal.Signals(-code).name
        return Verdict(f"it crashed ({name}) while {_stage(said)}", harmful=True)
    return Verdict(f"the trial ended with exit code {code} while {_stage(said)}", harmful=True)


def _no_answer(seconds: float, said: str) -> Verdict:
    return Verdict(f"no answer within {seconds:g} s while {_stage(said)}", harmful=True)


def _stage(said: str) -> str:
    stages = [line for line in said.splitlines() if line and not line.startswith("{")]
    return stages[-1] if stages else "starting"


def _text(output: bytes | str | None) -> str:
    return output.decode("utf-8", "replace") if isinstance(output, bytes) else output or ""


def main(task: Task) -> Verdict:
    """Be the child: say before each step what comes, and at the end how it went."""
    # An alarm whose default action ends us also works while the library holds Python up.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, task.seconds)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    plugin = Plugin(task.library, task.options, task.op)
    try:
        return Verdict(ms=_run(task, plugin))
    except EdgeposeError as error:
        return Verdict(str(error).removeprefix(f"delegate {plugin.library}: "))


def _run(task: Task, plugin: Plugin) -> float:
    from edgepose.estimator import PoseEstimator

    _say("it was loaded")
    estimator = PoseEstimator(task.model, threads=task.threads, delegate=plugin)
    _say("it ran the first inference")
    estimator.warm_up()
    _say(f"it ran the next {RUNS} inferences")
    return median_ms(estimator.warm_up, RUNS)


def _say(stage: str) -> None:
    print(stage, flush=True)  # noqa: T201  # to the parent


class Record(msgspec.Struct):
    """What is known of one delegate."""

    failures: int = 0
    failed_unix_s: float = 0.0
    reason: str = ""
    in_use: str = ""
    """Boot and process that use it; still there at the next start if that ended badly."""


class Bench:
    """Where delegates sit that failed, each time longer; outlives restarts.

    Parameters
    ----------
    folder : Path or None
        The state directory; without one the bench is forgotten with the process.
    """

    def __init__(self, folder: Path | None, clock: Clock) -> None:
        self._clock = clock
        self._note = Note(folder and folder / FILE, dict[str, Record])
        self._records: dict[str, Record] = self._note.read() or {}
        for name, record in self._records.items():
            if record.in_use and not _is_running(record.in_use):
                self._judge_the_end(name, record)

    def sentence(self, name: str) -> str:
        """Say why a delegate is not to be used now; empty when it may be."""
        record = self._records.get(name)
        if record is None or not record.failures or (rest_s := self._rest_s(record)) <= 0:
            return ""
        times = "" if record.failures == 1 else f", for the {_ordinal(record.failures)} time"
        return f"{record.reason}{times}; to be tried again in {_duration(rest_s)}"

    def failed(self, name: str, reason: str) -> None:
        """Put a delegate on the bench."""
        record = self._records.setdefault(name, Record())
        now_s = self._now_s()
        if now_s - record.failed_unix_s > FORGET_S:
            record.failures = 0
        record.failures += 1
        record.failed_unix_s, record.reason, record.in_use = now_s, reason, ""
        self._note.write(self._records)

    def enter(self, name: str) -> None:
        """Note that a delegate is being used from now on."""
        self._records.setdefault(name, Record()).in_use = f"{_boot()} {os.getpid()}"
        self._note.write(self._records)

    def leave(self, name: str) -> None:
        """Note that it is no longer used, and nothing bad has happened."""
        if record := self._records.get(name):
            record.in_use = ""
            self._note.write(self._records)

    def _judge_the_end(self, name: str, record: Record) -> None:
        boot, _, _ = record.in_use.partition(" ")
        record.in_use = ""
        if boot == _boot():  # else the power went, or the machine was restarted
            reason = (
                "edgepose ended while using it: crashed, killed, or hung until the watchdog bit"
            )
            self.failed(name, reason)

    def _rest_s(self, record: Record) -> float:
        now_s = self._now_s()
        # A Pi starts without knowing the time: a failure cannot lie in the future.
        record.failed_unix_s = min(record.failed_unix_s, now_s)
        wait_s = min(FIRST_S * 2.0 ** (record.failures - 1), LONGEST_S)
        return record.failed_unix_s + wait_s - now_s

    def _now_s(self) -> float:
        return self._clock.unix_ns() / NS_PER_S


def _boot() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return "unknown"


def _is_running(user: str) -> bool:
    """Say whether another process still uses it; in containers a new one may have its number."""
    boot, _, pid = user.partition(" ")
    if boot != _boot() or not pid.isdecimal() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in {11, 12, 13} else 0)
    return f"{number}{ending or 'th'}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.0f} h"


if __name__ == "__main__":
    _say(msgspec.json.encode(main(msgspec.json.decode(sys.argv[1], type=Task))).decode())
    sys.stdout.flush()
    os._exit(0)  # what the library does at its end is not what was asked
