"""The camera's pictures behind the skeletons of the page."""

import threading
from typing import Final

import msgspec

from edgepose import drawing
from edgepose.system import process
from edgepose.system.threads import LatestSlot
from edgepose.types import Frame
from edgepose.web.bridge.channel import IpcChannel
from edgepose.web.feed import IpcMessage

PICTURE_PX: Final = 960
"""Longest side of the pictures behind the skeletons."""

QUALITY: Final = 70  # each picture is visible for a tenth of a second


class PreviewEncoder:
    """Encodes frames of a camera as small JPEGs in its own thread; skips frames when busy."""

    def __init__(self, camera: str, channel: IpcChannel, engine_threads: int) -> None:
        self._camera, self._channel, self._engine_threads = camera, channel, engine_threads
        self._slot: LatestSlot[tuple[Frame, bytes]] = LatestSlot(newest_wins=True)
        threading.Thread(target=self._run_encoder, name=f"{camera}:picture", daemon=True).start()

    def put(self, frame: Frame, poses: bytes) -> None:
        """Queue a frame with its poses message; replaces a pending one."""
        self._slot.put((frame, poses))

    def close(self) -> None:
        """End the thread."""
        self._slot.close()

    def _run_encoder(self) -> None:
        process.pin_to_spare_cores(self._engine_threads)
        while taken := self._slot.take():
            frame, poses = taken
            seq = str(msgspec.json.decode(poses, type=_Numbered).seq)
            jpeg = drawing.jpeg(drawing.shrink(frame.image, PICTURE_PX), quality=QUALITY)
            self._channel.put(IpcMessage("picture", (self._camera, seq), jpeg))


class _Numbered(msgspec.Struct):
    seq: int
