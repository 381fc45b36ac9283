"""Counters and latencies, and what the watchdog asks: do frames go through."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Literal, ParamSpec, TypeVar, get_args

from edgepose.timing import NS_PER_MS, NS_PER_S, Clock

P = ParamSpec("P")
R = TypeVar("R")

WINDOW: Final = 512  # measurements a percentile looks at; about 20 s at 25 frames a second

BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper ends of the buckets that all durations are counted in: what frames take on a Pi."""

BOUNDS_NS: Final = tuple(round(bound * NS_PER_S) for bound in BOUNDS_S)

Reason = Literal["overtaken", "limit", "still", "paused"]
"""Why a frame was not looked at: a newer one came before the network was free; the camera
is quicker than its `fps`; nobody was there and nothing moved; the camera was paused."""

State = Literal["starting", "online", "offline", "ended"]


class Durations:
    """The durations of one thing: the latest, and how many of each length there were."""

    def __init__(self) -> None:
        self._ns: deque[int] = deque(maxlen=WINDOW)
        self._counts = [0] * (len(BOUNDS_NS) + 1)
        self._sum_ns = 0

    def add(self, duration_ns: int) -> None:
        """Note one duration."""
        self._ns.append(duration_ns)
        self._counts[bisect_left(BOUNDS_NS, duration_ns)] += 1
        self._sum_ns += duration_ns

    def histogram(self) -> tuple[list[int], float]:
        """Return how many took no longer than each bound, all at the end; and their sum in s."""
        return list(accumulate(self._counts)), self._sum_ns / NS_PER_S

    def percentiles_ms(self) -> tuple[float, float] | None:
        """Return the median and the 99th percentile in milliseconds; None before the first."""
        ordered = sorted(self._ns.copy())
        if not ordered:
            return None
        last = len(ordered) - 1
        return tuple(ordered[round(last * part)] / NS_PER_MS for part in (0.50, 0.99))  # type: ignore[return-value]  # two parts, two numbers


@dataclass(slots=True)
class CameraHealth:
    """What happened to one camera's frames since the start."""

    state: State = "starting"
    error: str = ""
    received: int = 0
    dropped: dict[Reason, int] = field(default_factory=lambda: dict.fromkeys(get_args(Reason), 0))
    """Frames that were not looked at, by the reason."""

    processed: int = 0
    reconnects: int = 0
    stages: dict[str, Durations] = field(default_factory=dict)
    since_ns: int = 0
    """When it began to count."""

    _counted: int = 0

    def timed(self, stage: str, function: Callable[P, R], clock: Clock) -> Callable[P, R]:
        """Wrap a stage so that its durations are noted under its name."""
        durations = self.stages.setdefault(stage, Durations())

        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            started_ns = clock.now_ns()
            result = function(*args, **kwargs)
            durations.add(clock.now_ns() - started_ns)
            return result

        return run

    def rate_hz(self, now_ns: int) -> float:
        """Return frames processed a second since the last call, or since it began to count."""
        since_ns, before = self.since_ns, self._counted
        self.since_ns, self._counted = now_ns, self.processed
        if now_ns <= since_ns:
            return 0.0
        return (self._counted - before) * NS_PER_S / (now_ns - since_ns)


class Progress:
    """Says whether the frame that was in the engine at the last question has come back."""

    def __init__(self) -> None:
        self._begun = 0
        self._busy = False
        self._asked = 0

    def began(self) -> None:
        """Note that the engine was given a frame; whoever hung before is out of it."""
        self._begun += 1
        self._busy = True

    def done(self) -> None:
        """Note that the engine's answer is on its way."""
        self._busy = False

    def fine(self) -> bool:
        """Return False only when it is still the same frame that the engine is busy with.

        A camera that delivers nothing is no stall: then the engine has nothing to do.
        """
        busy_with = self._begun if self._busy else 0
        stuck = busy_with > 0 and busy_with == self._asked
        self._asked = busy_with
        return not stuck
