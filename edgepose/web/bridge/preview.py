"""Pictures for the page: skeletons on black, or the camera's picture."""

import threading
from typing import Final

import msgspec

from edgepose import drawing
from edgepose.system import process
from edgepose.system.threads import Slot
from edgepose.types import Frame
from edgepose.web.bridge.channel import Line
from edgepose.web.feed import Told

PICTURE_PX: Final = 960
"""Longest side of the pictures behind the skeletons."""

QUALITY: Final = 70  # of these pictures, which are looked at for a tenth of a second each


class Painter:
    """Makes one camera's frames small pictures, in a thread of its own: the newest counts."""

    def __init__(self, camera: str, line: Line, engine_threads: int) -> None:
        self._camera, self._line, self._engine_threads = camera, line, engine_threads
        self._slot: Slot[tuple[Frame, bytes]] = Slot(newest_wins=True)
        threading.Thread(target=self._run, name=f"{camera}:picture", daemon=True).start()

    def take(self, frame: Frame, poses: bytes) -> None:
        """Take a frame and the message of it."""
        self._slot.put((frame, poses))

    def close(self) -> None:
        """Make no more."""
        self._slot.close()

    def _run(self) -> None:
        process.keep_to_rest(self._engine_threads)
        while taken := self._slot.take():
            frame, poses = taken
            seq = str(msgspec.json.decode(poses, type=_Numbered).seq)
            jpeg = drawing.jpeg(drawing.shrink(frame.image, PICTURE_PX), quality=QUALITY)
            self._line.put(Told("picture", (self._camera, seq), jpeg))


class _Numbered(msgspec.Struct):
    seq: int
