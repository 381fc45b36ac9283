"""Decoded pictures that are converted to RGB on demand."""

from typing import Any

import cv2
import numpy as np
import pytest

from edgepose.camera.sources.demuxer import Converter
from edgepose.camera.sources.planar import PlanarPicture
from edgepose.geometry import Letterbox
from edgepose.models.info import TensorInfo
from edgepose.pose.preprocess import Preprocessor
from edgepose.types import Image, Size

av = pytest.importorskip("av")

WIDE = Size(640, 360)


def scene() -> Image:
    """Return a smooth picture of many colours, within the limits of RGB."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 216, (12, 20, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, WIDE, interpolation=cv2.INTER_CUBIC), np.uint8)


def decoded(colorspace: int = 2, color_range: int = 0, format_: str = "yuv420p") -> Any:
    """Return the scene as a decoder would."""
    frame = av.VideoFrame.from_ndarray(scene(), format="rgb24").reformat(format=format_)
    frame.colorspace, frame.color_range = colorspace, color_range
    return frame


def planar(frame: Any) -> PlanarPicture:
    picture = Converter().picture(frame)
    assert isinstance(picture, PlanarPicture)
    return picture


def apart(a: Image, b: Image) -> Image:
    return np.asarray(np.abs(a.astype(np.int16) - b))


@pytest.mark.parametrize(("colorspace", "color_range"), [(2, 0), (1, 1), (5, 1), (5, 2), (1, 2)])
def test_its_parts_are_those_of_ffmpegs_conversion(colorspace: int, color_range: int) -> None:
    """Any part, also at odd positions, differs from the whole picture by rounding only."""
    frame = decoded(colorspace, color_range)
    picture = planar(frame)

    whole = Converter().convert(frame, "rgb24")

    assert picture.shape == whole.shape
    assert np.array_equal(picture.to_rgb(), whole)
    for left, top, right, bottom in [(0, 0, 640, 360), (13, 7, 210, 120), (600, 301, 639, 360)]:
        difference = apart(picture.cut(left, top, right, bottom), whole[top:bottom, left:right])
        assert difference.shape == (bottom - top, right - left, 3)
        assert difference.mean() < 0.6
        assert difference.max() <= 3


@pytest.mark.parametrize(
    "region",
    [
        (0, 0, *WIDE),
        (-40, -20, 300, 300),
        (101, 51, 99, 99),
        (300, 100, 340, 260),
        (0, 0, 500, 360),
    ],
)
def test_the_networks_input_is_the_same(region: tuple[int, int, int, int]) -> None:
    """The input made of planes differs from that made of RGB by rounding only."""
    frame = decoded()
    tensor = TensorInfo("image", (1, 192, 192, 3), "uint8", None)
    preprocessor = Preprocessor(tensor, scale=1.0, shift=(0.0, 0.0, 0.0))
    letterbox = Letterbox.fit(region, Size(192, 192))

    made = preprocessor.prepare(planar(frame), letterbox)
    expected = preprocessor.prepare(Converter().convert(frame, "rgb24"), letterbox)

    assert apart(made, expected).mean() < 0.6
    assert apart(made, expected).max() <= 4


@pytest.mark.parametrize("format_", ["yuv422p", "rgb24", "gray", "yuv420p10le"])
def test_other_formats_are_converted_at_once(format_: str) -> None:
    """Only 4:2:0 with 8 bits stays in planes."""
    assert isinstance(Converter().picture(decoded(format_=format_)), np.ndarray)
