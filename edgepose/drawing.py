"""Draws skeletons on images.

Each person has one colour. The person's left side is drawn in a lighter tone of it and the right
side in a darker one, which makes a mirrored image recognisable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.skeleton import JOINT_NAMES, LIMBS
from edgepose.types import NOT_FOLLOWED, Floats, Image, Pose, Size, Track

COLOURS: Final = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""RGB colours that colour-blind people can distinguish (Okabe and Ito, "Color Universal Design",
2008)."""

LEFT_TONE: Final = 0.4  # fraction of white that is mixed in
RIGHT_TONE: Final = 0.3  # fraction of black that is mixed in
SUBPIXEL_BITS: Final = 3  # OpenCV draws in fractions of a pixel, here eighths
FAR_PX: Final = 1_000_000.0  # beyond any image; larger values overflow OpenCV's 32-bit coordinates

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Pen:
    """Line and text sizes that suit the image."""

    line_px: int
    joint_px: int
    text_scale: float

    @classmethod
    def for_image(cls, image: Image) -> "_Pen":
        side = min(image.shape[:2])
        return cls(max(1, round(side / 180)), max(2, round(side / 120)), max(0.35, side / 900))


def draw(
    rgb: Image, people: Sequence[Pose | Track], *, min_score: float = 0.3, labels: bool = True
) -> Image:
    """Return a copy of an image with people's skeletons drawn on it.

    Parameters
    ----------
    rgb : (height, width, 3)
        The image; not modified.
    people : sequence of Pose or Track
        In pixels of the image. A track keeps its colour from frame to frame.
    min_score : float
        Joints below this score, and limbs that end at one, are not drawn.
    labels : bool
        Whether to write a track's id, and its posture if known, above the person.

    Returns
    -------
    Image
        A new image of the same size.
    """
    canvas = np.array(rgb, dtype=np.uint8, order="C")
    pen = _Pen.for_image(canvas)
    for index, person in enumerate(people):
        pose = person.pose if isinstance(person, Track) else person
        number = person.id if isinstance(person, Track) else index
        colour = COLOURS[number % len(COLOURS)]
        _draw_person(canvas, pose.keypoints, colour, pen, min_score)
        if labels and isinstance(person, Track):
            seen = pose.keypoints[visible(pose.keypoints, min_score)]
            _draw_label(canvas, _track_label(person), seen, colour, pen)
    return canvas


def black(size: Size) -> Image:
    """Return a black image."""
    return np.zeros((size.height, size.width, 3), dtype=np.uint8)


def skeleton_picture(
    size: Size, people: Sequence[Pose | Track], *, min_score: float = 0.3, labels: bool = True
) -> Image:
    """Return people's skeletons on a black image, which shows nothing of the room."""
    return draw(black(size), people, min_score=min_score, labels=labels)


def draw_path(
    canvas: Image, points: Sequence[tuple[float, float]], colour: Colour, *, closed: bool = False
) -> None:
    """Draw a thin line through points, given as fractions of the image, onto it."""
    height, width = canvas.shape[:2]
    pixels = np.array([(x * width, y * height) for x, y in points]).round().astype(np.int32)
    cv2.polylines(canvas, [pixels], closed, colour, 1, cv2.LINE_AA)


def shrink(rgb: Image, longest_px: int) -> Image:
    """Return an image scaled down to at most `longest_px` a side; the same object if it fits."""
    size = Size(rgb.shape[1], rgb.shape[0])
    if max(size) <= longest_px:
        return rgb
    size = size.within(longest_px)
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def jpeg(rgb: Image, *, quality: int = 85) -> bytes:
    """Encode an image as JPEG.

    Parameters
    ----------
    rgb : (height, width, 3)
        The image, RGB.
    quality : int
        From 1 to 100.
    """
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, content = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), settings)
    return bytes(content)


def _draw_person(
    canvas: Image, keypoints: Floats, colour: Colour, pen: _Pen, min_score: float
) -> None:
    seen = visible(keypoints, min_score)
    for start, end in LIMBS:
        if seen[start] and seen[end]:
            tone = _limb_colour(colour, start, end)
            ends = _fixed_point(keypoints[start]), _fixed_point(keypoints[end])
            cv2.line(canvas, *ends, tone, pen.line_px, cv2.LINE_AA, SUBPIXEL_BITS)
    for joint in np.flatnonzero(seen).tolist():
        centre, tone = _fixed_point(keypoints[joint]), _limb_colour(colour, joint, joint)
        radius = pen.joint_px << SUBPIXEL_BITS
        cv2.circle(canvas, centre, radius, tone, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)


def visible(keypoints: Floats, min_score: float) -> NDArray[np.bool_]:
    """Return (17,) bools: whether each joint reaches `min_score` and has a finite position."""
    # NaN compares False.
    placed = (np.abs(keypoints[:, :2]) < FAR_PX).all(axis=1)
    return np.asarray(placed & (keypoints[:, 2] >= min_score))


def _fixed_point(point: Floats) -> tuple[int, int]:
    """Return x and y in OpenCV's fixed-point units."""
    x, y = (point[:2] * (1 << SUBPIXEL_BITS)).round().astype(int).tolist()
    return x, y


def _limb_colour(colour: Colour, *joints: int) -> Colour:
    """Return a lighter colour if all joints are left ones, a darker one if all are right ones."""
    sides = {JOINT_NAMES[joint].partition("_")[0] for joint in joints}
    if sides == {"left"}:
        return _mix_colours(colour, 255, LEFT_TONE)
    if sides == {"right"}:
        return _mix_colours(colour, 0, RIGHT_TONE)
    return colour


def _mix_colours(colour: Colour, other: int, part: float) -> Colour:
    red, green, blue = (round(value + (other - value) * part) for value in colour)
    return red, green, blue


def _track_label(track: Track) -> str:
    name = "" if track.id == NOT_FOLLOWED else str(track.id)
    posture = track.posture_detail or track.posture
    return " ".join(word for word in (name, posture) if word and word != "unknown")


def _draw_label(canvas: Image, text: str, seen: Floats, colour: Colour, pen: _Pen) -> None:
    """Write above a person's highest joint; the text is moved to stay within the image."""
    if not len(seen):
        return
    font, weight = cv2.FONT_HERSHEY_SIMPLEX, max(1, pen.line_px // 2)
    (width, height), below = cv2.getTextSize(text, font, pen.text_scale, weight)
    x, y = seen[seen[:, 1].argmin(), :2].tolist()
    left = int(np.clip(x - width / 2, 0, max(0, canvas.shape[1] - width)))
    base = int(np.clip(y - 3 * pen.joint_px, height, max(height, canvas.shape[0] - below)))
    # The dark outline keeps the text readable on any background.
    for tone, extra in (((0, 0, 0), 2), (_mix_colours(colour, 255, LEFT_TONE), 0)):
        cv2.putText(
            canvas, text, (left, base), font, pen.text_scale, tone, weight + extra, cv2.LINE_AA
        )
