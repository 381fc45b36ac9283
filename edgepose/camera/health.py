"""Counters and latencies, and what the watchdog asks: do frames go through."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, ParamSpec, TypeVar, get_args

from edgepose.timing import NS_PER_S, Clock, Durations

P = ParamSpec("P")
R = TypeVar("R")

Reason = Literal["overtaken", "limit", "still", "paused"]
"""Why a frame was not looked at: a newer one came before the network was free; the camera
is quicker than its `fps`; nobody was there and nothing moved; the camera was paused."""

State = Literal["starting", "online", "offline", "ended"]


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
