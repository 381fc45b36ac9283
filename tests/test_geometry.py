"""Conversions between frame and model coordinates."""

import numpy as np
import pytest

from edgepose.geometry import Letterbox, box_around
from edgepose.types import Box, Size

REGIONS = {
    "landscape": (0, 0, 1920, 1080),
    "portrait": (0, 0, 384, 640),
    "off the origin": (311, 97, 403, 211),
    "beyond the frame": (-50, -20, 300, 500),
    "tiny": (5, 5, 3, 2),
}
MODELS = (Size(481, 353), Size(192, 192), Size(257, 257), Size(160, 256))


@pytest.mark.parametrize("angle_deg", [0.0, 37.0, 90.0, -90.0, 180.0, -133.3])
@pytest.mark.parametrize("region", REGIONS.values(), ids=REGIONS)
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_there_and_back_is_exact_to_a_hundredth_of_a_pixel(
    region: tuple[int, int, int, int], model: Size, angle_deg: float
) -> None:
    """Mapping to the model and back is exact, for any region, rotation and model."""
    letterbox = Letterbox.fit(region, model, angle_deg=angle_deg)
    x, y, width, height = region
    rng = np.random.default_rng(7)
    inside = rng.uniform(-0.2, 1.2, (500, 2)) * (width, height) + (x, y)
    points = inside.astype(np.float32)

    back = letterbox.to_frame(letterbox.to_model(points))

    assert np.abs(back - points).max() < 0.01


@pytest.mark.parametrize("region", REGIONS.values(), ids=REGIONS)
def test_the_region_fills_the_model_along_one_side(region: tuple[int, int, int, int]) -> None:
    """The region is inside of the model's input and fills one of its sides."""
    letterbox = Letterbox.fit(region, Size(481, 353))
    left, top, width, height = letterbox.inner

    assert width == 481 or height == 353
    assert left >= 0
    assert top >= 0
    assert left + width <= 481
    assert top + height <= 353


def test_the_corners_of_pixels_meet() -> None:
    """The region's corner, half a pixel before its first centre, maps to the inner corner."""
    letterbox = Letterbox.fit((10, 20, 640, 480), Size(192, 192))
    left, top, width, height = letterbox.inner
    corners = np.array([[9.5, 19.5], [649.5, 499.5]], dtype=np.float32)

    mapped = letterbox.to_model(corners)

    expected = [[left - 0.5, top - 0.5], [left + width - 0.5, top + height - 0.5]]
    assert np.allclose(mapped, expected, atol=1e-3)


def test_a_box_follows_its_corners() -> None:
    """A box is mapped like its corners."""
    letterbox = Letterbox.fit((100, 50, 800, 300), Size(256, 256))
    box = Box(20, 100, 60, 40)

    mapped = letterbox.box_to_frame(box)

    corners = letterbox.to_frame(np.array([[20, 100], [80, 140]], dtype=np.float32))
    assert np.allclose([mapped.x, mapped.y], corners[0])
    assert np.allclose([mapped.x + mapped.width, mapped.y + mapped.height], corners[1], atol=1e-3)


@pytest.mark.parametrize("region", REGIONS.values(), ids=REGIONS)
def test_a_region_turns_about_its_own_middle(region: tuple[int, int, int, int]) -> None:
    """The centre is fixed, and a rotation by 180 degrees swaps opposite corners."""
    plain, turned = (Letterbox.fit(region, Size(160, 256), angle_deg=a) for a in (0.0, 180.0))
    left, top, width, height = plain.inner
    corner = np.array([left, top], dtype=np.float32)
    opposite = corner + np.array([width - 1, height - 1], dtype=np.float32)

    assert np.allclose(turned.to_frame(corner), plain.to_frame(opposite), atol=1e-3)
    middle = (corner + opposite) / 2
    assert np.allclose(turned.to_frame(middle), plain.to_frame(middle), atol=1e-3)


def test_a_head_to_the_right_is_up_at_ninety_degrees() -> None:
    """Positive angles are clockwise in the frame."""
    letterbox = Letterbox.fit((100, 100, 201, 201), Size(201, 201), angle_deg=90.0)
    hips, head = np.array([[200, 200], [280, 200]], dtype=np.float32)

    assert np.allclose(letterbox.to_model(hips), (100, 100), atol=1e-3)
    assert np.allclose(letterbox.to_model(head), (100, 20), atol=1e-3)


def test_a_box_in_a_turned_region_holds_its_corners() -> None:
    """The result is the smallest upright box around the rotated corners."""
    letterbox = Letterbox.fit((100, 50, 300, 300), Size(256, 256), angle_deg=30.0)
    box = Box(20, 100, 60, 40)

    mapped = letterbox.box_to_frame(box)

    corners = letterbox.to_frame(
        np.array([[20, 100], [80, 100], [20, 140], [80, 140]], dtype=np.float32)
    )
    low, high = corners.min(axis=0), corners.max(axis=0)
    assert np.allclose([mapped.x, mapped.y], low)
    assert np.allclose([mapped.x + mapped.width, mapped.y + mapped.height], high, atol=1e-3)


def test_an_empty_region_is_refused() -> None:
    """A region without pixels raises ValueError."""
    with pytest.raises(ValueError, match="at least 1 x 1"):
        Letterbox.fit((0, 0, 0, 10), Size(192, 192))


def test_a_box_is_drawn_around_the_joints_that_are_sure() -> None:
    """Joints with low scores are ignored, unless there are no others."""
    keypoints = np.zeros((17, 3), dtype=np.float32)
    keypoints[:5] = [[10, 20, 0.9], [30, 20, 0.9], [20, 60, 0.8], [15, 30, 0.7], [900, 900, 0.05]]

    assert box_around(keypoints) == Box(10, 20, 20, 40)
    assert box_around(keypoints, min_score=0.99) == Box(0, 0, 900, 900)
