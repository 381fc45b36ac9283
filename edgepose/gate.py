"""The motion gate: an empty room in which nothing moves is looked at now and then only."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from edgepose.motion import Motion, shrink
from edgepose.pipeline import Presence
from edgepose.structures import Frame, Image
from edgepose.timing import NS_PER_S
from edgepose.view import View

GLANCE_S: Final = 0.175  # between glances for motion at least: every fifth of a second at any rate
STIRRED_S: Final = 2.0  # everything is looked at for so long after something moved,
ATTENTIVE_S: Final[dict[Presence, float]] = {"nobody": 0.0, "maybe": 2.0, "somebody": 15.0}
"""and for so long after a look at which somebody was, or may have been, there: models miss
people who sit still, and what they did last may still have to settle."""


class Gate:
    """Decides which of a camera's pictures are looked at.

    It is open while somebody is there, anything moves or the page shows the camera. While
    it is closed, a few pictures a second are glanced at for motion, the others are not
    even decoded.

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
        self._glanced_ns = self._looked_ns = 0

    def glances(self, at_ns: int) -> bool:
        """Say whether the picture of a moment is worth decoding."""
        return self._is_open(at_ns) or self._is_due(at_ns)

    def lets(self, frame: Frame) -> bool:
        """Say whether a picture is to be looked at."""
        at_ns = frame.captured_ns
        if self._stirred_until_ns is None:
            self._stirred_until_ns = at_ns + _ns(ATTENTIVE_S["somebody"])
        if self._is_due(at_ns):
            self._glanced_ns = at_ns
            if self._motion.update(self._small(frame), at_ns, learn=self._alone):
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

    def _is_due(self, at_ns: int) -> bool:
        return at_ns - self._glanced_ns >= _ns(GLANCE_S)

    def _small(self, frame: Frame) -> Image:
        """Return what is looked at, turned and masked as the frame is to be, but small."""
        small = replace(frame, image=shrink(frame.image))
        return self._view.part(self._view.show(small).image)


def _ns(seconds: float) -> int:
    return int(seconds * NS_PER_S)
