"""The motion gate: reduces the inference rate while nothing moves."""

import math
from collections.abc import Callable
from typing import Final

from edgepose.camera.motion import Motion, shrink
from edgepose.camera.sources import Thumbnail
from edgepose.camera.view import ImageTransform
from edgepose.people.follower import Presence
from edgepose.timing import NS_PER_S

JITTER: Final = 0.75  # fraction of the frame period: capture times jitter

THUMBNAIL_INTERVAL_S: Final = 0.175
"""Minimum seconds between two motion checks: about five a second at any frame rate."""

STIRRED_S: Final = 2.0
"""Seconds for which every frame passes after motion."""

ATTENTIVE_S: Final[dict[Presence, float]] = {"nobody": 0.0, "maybe": 2.0, "somebody": 15.0}
"""Seconds for which the gate stays open after an inference, by the presence that it found.

Models miss people who sit still, and pending events need further frames.
"""


class MotionGate:
    """Decides which of a camera's frames are inferred.

    The gate is open while a person is present, anything moves or the page shows the camera.
    While it is closed, a few frames a second are checked for motion. While people are present
    and do not move, frames pass at `still_fps`, and one frame between two of those is checked:
    after motion, all frames pass for `STIRRED_S`.

    Parameters
    ----------
    view : ImageTransform
        Gives the part of the frame that is checked; motion outside of it is ignored.
    idle_fps : float
        Frames a second that pass while the gate is closed.
    still_fps : float
        Frames a second that pass while people are present and nothing moves.
    watched : callable
        Returns whether the page shows this camera; then all frames pass.
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
        """Return whether the frame captured at `at_ns` passes to inference."""
        if self._stirred_until_ns is None:
            self._stirred_until_ns = at_ns + _to_ns(ATTENTIVE_S["somebody"])
        if at_ns - self._checked_ns >= _to_ns(THUMBNAIL_INTERVAL_S):
            self._check_motion(at_ns, thumbnail)
        if max(0, at_ns - self._looked_ns) < self._period_ns(at_ns):
            # Check once between two passed frames: checking all frames of a 30 Hz camera is slow.
            checked = at_ns - self._checked_ns < JITTER * self._still_ns / 2
            if checked or not self._is_still(at_ns):
                return False
            self._check_motion(at_ns, thumbnail)
            if self._is_still(at_ns):
                return False
        # For an early frame store the due time, so that the mean rate remains `still_fps`.
        is_reduced = self._period_ns(at_ns) > 0 and self._is_still(at_ns)
        due_ns = int(self._looked_ns + self._still_ns) if is_reduced else 0
        self._looked_ns = max(at_ns, due_ns)
        return True

    def set_presence(self, presence: Presence, at_ns: int) -> None:
        """Set whether people are in view, as of the frame captured at `at_ns`. Thread-safe."""
        self._alone = presence != "somebody"
        until_ns = at_ns + _to_ns(ATTENTIVE_S[presence])
        self._attentive_until_ns = max(self._attentive_until_ns, until_ns)

    def reset(self) -> None:
        """Open the gate, after the source was reopened."""
        self._stirred_until_ns = None

    def _period_ns(self, at_ns: int) -> float:
        """Return the minimum nanoseconds between two frames that pass in the present state."""
        # No lock: each of the two attributes is written by one thread only.
        if self._stirred_until_ns is None or at_ns < self._stirred_until_ns or self._watched():
            return 0.0
        if at_ns >= self._attentive_until_ns:
            return self._idle_ns
        return JITTER * self._still_ns if self._is_still(at_ns) else 0.0

    def _is_still(self, at_ns: int) -> bool:
        """Return whether people are present and nothing moves.

        False while the presence is uncertain: all frames are needed then.
        """
        stirred = self._stirred_until_ns is None or at_ns < self._stirred_until_ns
        return not stirred and not self._alone and at_ns < self._attentive_until_ns

    def _check_motion(self, at_ns: int, thumbnail: Thumbnail | None) -> None:
        """Check for motion; extends the time for which every frame passes."""
        self._checked_ns = at_ns
        if self._is_moving(at_ns, thumbnail):
            self._stirred_until_ns = max(self._stirred_until_ns or 0, at_ns + _to_ns(STIRRED_S))

    def _is_moving(self, at_ns: int, thumbnail: Thumbnail | None) -> bool:
        """Return whether anything moves in the region of interest; True without a thumbnail."""
        image = thumbnail() if thumbnail else None
        if image is None:
            return True
        small = self._view.crop_to_roi(self._view.apply_to_image(shrink(image)))
        return self._motion.update(small, at_ns, learn=self._alone)


def _to_ns(seconds: float) -> int:
    return int(seconds * NS_PER_S)
