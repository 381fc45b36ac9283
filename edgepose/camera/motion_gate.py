"""The motion gate: where nothing moves, fewer frames are inferred; in an empty room very few."""

import math
from collections.abc import Callable
from typing import Final

from edgepose.camera.motion import Motion, shrink
from edgepose.camera.sources import Thumbnail
from edgepose.camera.view import ImageTransform
from edgepose.people.follower import Presence
from edgepose.timing import NS_PER_S

JITTER: Final = 0.75  # of the time between frames: a camera's time stamps jitter

THUMBNAIL_INTERVAL_S: Final = 0.175
"""Minimum seconds between two thumbnails: every fifth of a second at any frame rate."""

STIRRED_S: Final = 2.0
"""Seconds for which every frame passes after motion."""

ATTENTIVE_S: Final[dict[Presence, float]] = {"nobody": 0.0, "maybe": 2.0, "somebody": 15.0}
"""Seconds for which the gate stays open after an inference, by whether a person was found:
models miss people who sit still, and their last events may still have to settle."""


class MotionGate:
    """Decides which of a camera's pictures are looked at.

    It is open while a person is there, anything moves or the page shows the camera. While
    it is closed, a few pictures a second are checked for motion. While it is open for
    people who do not move, frames pass at `still_fps` and every other one is checked:
    the first that shows motion passes, and so do all of the next two seconds.

    Parameters
    ----------
    view : ImageTransform
        What is looked at in a picture: what moves elsewhere does not count.
    idle_fps : float
        Pictures a second that are looked at all the same while it is closed.
    still_fps : float
        Frames a second that pass while people are there and nothing moves.
    watched : callable
        Returns whether the page shows this camera now: it must not seem to hang there.
    """

    def __init__(
        self,
        view: ImageTransform,
        idle_fps: float,
        *,
        still_fps: float = math.inf,
        watched: Callable[[], bool] = lambda: False,
    ) -> None:
        self._view = view
        self._watched = watched
        self._idle_ns = NS_PER_S / idle_fps
        self._still_ns = NS_PER_S / still_fps
        self._motion = Motion()
        self._alone = True
        self._stirred_until_ns: int | None = None
        self._attentive_until_ns = 0
        self._checked_ns = self._looked_ns = 0

    def allows(self, at_ns: int, thumbnail: Thumbnail | None) -> bool:
        """Return whether the picture captured at `at_ns` is to be inferred."""
        if self._stirred_until_ns is None:
            self._stirred_until_ns = at_ns + _ns(ATTENTIVE_S["somebody"])
        if at_ns - self._checked_ns >= _ns(THUMBNAIL_INTERVAL_S):
            self._check_motion(at_ns, thumbnail)
        if at_ns - self._looked_ns < self._period_ns(at_ns):
            # Between two frames that pass, one is checked, not all of a camera of 30 Hz.
            checked = at_ns - self._checked_ns < JITTER * self._still_ns / 2
            if checked or not self._is_still(at_ns):
                return False
            self._check_motion(at_ns, thumbnail)
            if self._is_still(at_ns):
                return False
        self._looked_ns = at_ns
        return True

    def set_presence(self, presence: Presence, at_ns: int) -> None:
        """Set whether people are in view, as of the frame captured at `at_ns`. Thread-safe."""
        self._alone = presence != "somebody"
        until_ns = at_ns + _ns(ATTENTIVE_S[presence])
        self._attentive_until_ns = max(self._attentive_until_ns, until_ns)

    def reset(self) -> None:
        """Open it, after the source was opened again."""
        self._stirred_until_ns = None

    def _period_ns(self, at_ns: int) -> float:
        """Return the least time from one frame that passes to the next, as things are."""
        # Each of the two moments is written by one thread only.
        if self._stirred_until_ns is None or at_ns < self._stirred_until_ns or self._watched():
            return 0.0
        if at_ns >= self._attentive_until_ns:
            return self._idle_ns
        return JITTER * self._still_ns if self._is_still(at_ns) else 0.0

    def _is_still(self, at_ns: int) -> bool:
        """Return whether people are there and nothing moves.

        Not while a person may be coming or has just left: then nothing may be missed.
        """
        stirred = self._stirred_until_ns is None or at_ns < self._stirred_until_ns
        return not stirred and not self._alone and at_ns < self._attentive_until_ns

    def _check_motion(self, at_ns: int, thumbnail: Thumbnail | None) -> None:
        """Look for motion; where there is any, everything passes for a while."""
        self._checked_ns = at_ns
        if self._stirs(at_ns, thumbnail):
            self._stirred_until_ns = max(self._stirred_until_ns or 0, at_ns + _ns(STIRRED_S))

    def _stirs(self, at_ns: int, thumbnail: Thumbnail | None) -> bool:
        """Say whether anything moves, as far as can be seen, in the part that is looked at."""
        image = thumbnail() if thumbnail else None
        if image is None:
            return True
        small = self._view.crop_to_roi(self._view.apply_to_image(shrink(image)))
        return self._motion.update(small, at_ns, learn=self._alone)


def _ns(seconds: float) -> int:
    return int(seconds * NS_PER_S)
