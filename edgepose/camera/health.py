"""Frame counters, state and stage durations of one camera."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, ParamSpec, TypeVar, get_args

from edgepose.timing import NS_PER_S, Clock, Durations

P = ParamSpec("P")
R = TypeVar("R")

Reason = Literal["overtaken", "limit", "still", "paused"]
"""Why a frame was dropped.

`overtaken`: a newer frame arrived before the network was free. `limit`: the camera delivers more
than its `fps`. `still`: the motion gate rejected it. `paused`: the camera was paused.
"""

State = Literal["starting", "online", "offline", "ended"]


@dataclass(slots=True)
class CameraHealth:
    """Counters, state and stage durations of one camera since the start."""

    state: State = "starting"
    error: str = ""
    received: int = 0
    dropped: dict[Reason, int] = field(default_factory=lambda: dict.fromkeys(get_args(Reason), 0))
    """Number of dropped frames by reason."""

    processed: int = 0
    reconnects: int = 0
    stages: dict[str, Durations] = field(default_factory=dict)
    since_ns: int = 0
    """Start of the interval of the next `rate_hz`, on the monotonic clock."""

    _counted: int = 0

    def timed(self, stage: str, function: Callable[P, R], clock: Clock) -> Callable[P, R]:
        """Return the function wrapped so that each call adds its duration to `stages[stage]`."""
        durations = self.stages.setdefault(stage, Durations())

        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            started_ns = clock.now_ns()
            result = function(*args, **kwargs)
            durations.add(clock.now_ns() - started_ns)
            return result

        return run

    def rate_hz(self, now_ns: int) -> float:
        """Return the processed frames per second since the last call, or since `since_ns`."""
        since_ns, before = self.since_ns, self._counted
        self.since_ns, self._counted = now_ns, self.processed
        if now_ns <= since_ns:
            return 0.0
        return (self._counted - before) * NS_PER_S / (now_ns - since_ns)
