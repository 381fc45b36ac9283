"""Draws poses messages for the picture stream. Imported only when needed: loads OpenCV."""

from typing import Final

import msgspec
import numpy as np

from edgepose import drawing
from edgepose.mqtt.messages import PersonMessage, PosesMessage
from edgepose.types import NOT_FOLLOWED, Box, Pose, Size, Track

QUALITY: Final = 80
BLANK: Final = Size(640, 480)

_DECODER: Final = msgspec.json.Decoder(PosesMessage)


def picture(poses: bytes | None, longest_px: int, min_score: float) -> bytes:
    """Return a JPEG of the skeletons of a poses message on black.

    Parameters
    ----------
    poses : bytes, optional
        Payload of `C/poses`; None for an empty picture.
    longest_px : int
        Maximum length of the longer side; pictures are not enlarged.
    min_score : float
        Keypoints below it are not drawn.
    """
    if poses is None:
        size, people = BLANK.within(longest_px), []
    else:
        message = _DECODER.decode(poses)
        whole = Size(message.width, message.height)
        size = whole.within(longest_px) if max(whole) > longest_px else whole
        people = [_scaled_track(person, size.width / whole.width) for person in message.poses]
    return drawing.jpeg(
        drawing.skeleton_picture(size, people, min_score=min_score), quality=QUALITY
    )


def _scaled_track(person: PersonMessage, scale: float) -> Track:
    """Return a person in pixels of the drawn picture."""
    keypoints = np.array(person.keypoints, dtype=np.float32).reshape(-1, 3)
    keypoints[:, :2] *= scale
    box = Box(*(value * scale for value in person.bbox))
    number = NOT_FOLLOWED if person.id is None else person.id
    return Track(
        number,
        Pose(keypoints, person.score, box),
        since_ns=0,
        posture=person.posture,
        posture_detail=person.posture_detail or None,
    )
