"""Tries a delegate in a child process before the daemon loads it.

A wrong libedgetpu terminates the process that loads it, without an exception, and a
device may hang for ever. `delegate_backoff` records the failures. The child process runs
``python -m edgepose.pose.delegate_trial``.
"""

import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

import msgspec

from edgepose.errors import EdgeposeError
from edgepose.pose.delegates import Plugin
from edgepose.timing import median_ms

log: Final = logging.getLogger(__name__)

TRIAL_S: Final = 15.0  # USB accelerators need up to 5 s to load firmware and reconnect
GRACE_S: Final = 2.0  # time after the child's alarm until the parent kills it
LOOK_S: Final = 0.2  # interval at which `ending` is polled
RUNS: Final = 5


class Task(msgspec.Struct, frozen=True):
    """Model and delegate for the child to try."""

    model: str
    threads: int
    library: str
    options: tuple[tuple[str, str], ...]
    op: str
    seconds: float = TRIAL_S


class Verdict(msgspec.Struct, frozen=True):
    """Result of a trial."""

    failure: str = ""
    """Reason of the failure in one sentence; empty on success."""

    ms: float = 0.0
    """Duration of an inference."""

    harmful: bool = False
    """Whether the failure was a crash or a hang, which would stop the daemon."""


def try_out(
    model: str,
    plugin: Plugin,
    *,
    threads: int = 0,
    seconds: float = TRIAL_S,
    ending: Callable[[], bool] = lambda: False,
) -> Verdict:
    """Load a delegate in a child process, run the model on it, and return the result.

    Parameters
    ----------
    model : str
        As in `PoseEstimator`.
    plugin : Plugin
        The delegate.
    threads : int
        Threads for operators that stay on the CPU.
    seconds : float
        Time limit.
    ending : callable
        Returns whether to cancel the trial.
    """
    task = Task(model, threads, plugin.library, plugin.options, plugin.op, seconds)
    command = [
        sys.executable,
        "-m",
        "edgepose.pose.delegate_trial",
        msgspec.json.encode(task).decode(),
    ]
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # keeps Ctrl-C from the child
    )
    until_s = time.monotonic() + seconds + GRACE_S
    while True:
        try:
            said, noise = child.communicate(timeout=LOOK_S)
            break
        except subprocess.TimeoutExpired as expired:
            if ending() or time.monotonic() > until_s:
                child.kill()  # without wait(): a process blocked in a driver may not end
                return _no_answer(seconds, _as_text(expired.stdout))
    log.debug("trial of %s: exit %s, it said: %s", plugin.library, child.returncode, noise)
    return _judge_child(child.returncode, said, seconds)


def _judge_child(code: int, said: str, seconds: float) -> Verdict:
    last = said.splitlines()[-1] if said else ""
    if code == 0:
        return msgspec.json.decode(last, type=Verdict)
    if code == -signal.SIGALRM:
        return _no_answer(seconds, said)
    if code < 0:
        name = signal.Signals(-code).name
        return Verdict(f"it crashed ({name}) while {_last_stage(said)}", harmful=True)
    return Verdict(f"the trial ended with exit code {code} while {_last_stage(said)}", harmful=True)


def _no_answer(seconds: float, said: str) -> Verdict:
    return Verdict(f"no answer within {seconds:g} s while {_last_stage(said)}", harmful=True)


def _last_stage(said: str) -> str:
    stages = [line for line in said.splitlines() if line and not line.startswith("{")]
    return stages[-1] if stages else "starting"


def _as_text(output: bytes | str | None) -> str:
    return output.decode("utf-8", "replace") if isinstance(output, bytes) else output or ""


def main(task: Task) -> Verdict:
    """Run the trial in the child; prints the stage before each step and returns the verdict."""
    # The default action of SIGALRM also ends the process while the library blocks Python.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, task.seconds)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    plugin = Plugin(task.library, task.options, task.op)
    try:
        return Verdict(ms=_run_task(task, plugin))
    except EdgeposeError as error:
        return Verdict(str(error).removeprefix(f"delegate {plugin.library}: "))


def _run_task(task: Task, plugin: Plugin) -> float:
    from edgepose.pose.estimator import PoseEstimator

    _print_stage("it was loaded")
    estimator = PoseEstimator(task.model, threads=task.threads, delegate=plugin)
    _print_stage("it ran the first inference")
    estimator.warm_up()
    _print_stage(f"it ran the next {RUNS} inferences")
    return median_ms(estimator.warm_up, RUNS)


def _print_stage(stage: str) -> None:
    print(stage, flush=True)  # noqa: T201  # to the parent


if __name__ == "__main__":
    _print_stage(msgspec.json.encode(main(msgspec.json.decode(sys.argv[1], type=Task))).decode())
    sys.stdout.flush()
    os._exit(0)  # skips the library's exit handlers, which may crash
