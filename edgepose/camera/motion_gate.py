"""The motion gate: an empty room in which nothing moves is looked at now and then only."""

from collections.abc import Callable
from typing import Final

from edgepose.camera.motion import Motion, shrink
from edgepose.camera.sources import Glimpse
from edgepose.camera.view import View
from edgepose.people.follower import Presence
from edgepose.timing import NS_PER_S

GLIMPSE_S: Final = 0.175  # between glimpses at least: every fifth of a second at any rate
STIRRED_S: Final = 2.0  # everything is looked at for so long after something moved,
ATTENTIVE_S: Final[dict[Presence, float]] = {"nobody": 0.0, "maybe": 2.0, "somebody": 15.0}
"""and for so long after a look at which somebody was, or may have been, there: models miss
people who sit still, and what they did last may still have to settle."""


class Gate:
    """Decides which of a camera's pictures are looked at.

    It is open while somebody is there, anything moves or the page shows the camera. While
    it is closed, a few pictures a second are glimpsed for motion.

    Parameters
    ----------
    view : View
        What is looked at in a picture: what moves elsewhere does not count.
    idle_fps : float
        Pictures a second that are looked at all the same while it is closed.
    watched : callable
        Says whether somebody looks at this camera now: to him it must not seem to hang.
    """

    def __init__(
        self, view: View, idle_fps: float, watched: Callable[[], bool] = lambda: False
    ) -> None:
        self._view = view
        self._watched = watched
        self._idle_ns = NS_PER_S / idle_fps
        self._motion = Motion()
        self._alone = True
        self._stirred_until_ns: int | None = None
        self._attentive_until_ns = 0
        self._glimpsed_ns = self._looked_ns = 0

    def lets(self, at_ns: int, glimpse: Glimpse | None) -> bool:
        """Say whether the picture of a moment is to be looked at."""
        if self._stirred_until_ns is None:
            self._stirred_until_ns = at_ns + _ns(ATTENTIVE_S["somebody"])
        if at_ns - self._glimpsed_ns >= _ns(GLIMPSE_S):
            self._glimpsed_ns = at_ns
            if self._stirs(at_ns, glimpse):
                self._stirred_until_ns = max(self._stirred_until_ns, at_ns + _ns(STIRRED_S))
        if not self._is_open(at_ns) and at_ns - self._looked_ns < self._idle_ns:
            return False
        self._looked_ns = at_ns
        return True

    def note(self, presence: Presence, at_ns: int) -> None:
        """Take what a look has shown; any thread."""
        self._alone = presence != "somebody"
        until_ns = at_ns + _ns(ATTENTIVE_S[presence])
        self._attentive_until_ns = max(self._attentive_until_ns, until_ns)

    def renew(self) -> None:
        """Open it: the camera was away, and anybody may have come in."""
        self._stirred_until_ns = None

    def _is_open(self, at_ns: int) -> bool:
        # Each of the two moments is written by one thread only.
        stirred = self._stirred_until_ns is None or at_ns < self._stirred_until_ns
        return stirred or at_ns < self._attentive_until_ns or self._watched()

    def _stirs(self, at_ns: int, glimpse: Glimpse | None) -> bool:
        """Say whether anything moves, as far as can be seen, in the part that is looked at."""
        image = glimpse() if glimpse else None
        if image is None:
            return True
        small = self._view.part(self._view.shown(shrink(image)))
        return self._motion.update(small, at_ns, learn=self._alone)


def _ns(seconds: float) -> int:
    return int(seconds * NS_PER_S)
