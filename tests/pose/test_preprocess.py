"""From a picture to the model's input."""

import cv2
import numpy as np
import pytest

from edgepose.geometry import Letterbox
from edgepose.models.info import Quantisation, TensorInfo
from edgepose.pose.preprocess import Preprocessor
from edgepose.types import Image, Size

RAW = {"scale": 1.0, "shift": (0.0, 0.0, 0.0)}
SIGNED = {"scale": 1 / 127.5, "shift": (-1.0, -1.0, -1.0)}


def noise(height: int, width: int) -> Image:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def whole(image: Image, model: Size) -> Letterbox:
    return Letterbox.fit((0, 0, image.shape[1], image.shape[0]), model)


def test_a_picture_of_the_models_size_goes_in_as_it_is() -> None:
    """The picture is passed unchanged."""
    image = noise(192, 192)
    preprocessor = Preprocessor(TensorInfo("in", (1, 192, 192, 3), "uint8"), **RAW)

    tensor = preprocessor.prepare(image, whole(image, Size(192, 192)))

    assert tensor.shape == (1, 192, 192, 3)
    assert np.array_equal(tensor[0], image)


@pytest.mark.parametrize(
    ("dtype", "quantisation", "expected"),
    [
        ("float32", None, lambda p: p / 127.5 - 1),
        ("uint8", Quantisation(1 / 128, 128), lambda p: p),
        ("uint8", Quantisation(1 / 127.5, 127), lambda p: p),
        ("int8", Quantisation(1 / 127.5, -1), lambda p: np.round(p - 127.5) - 1),
        ("int32", None, lambda p: np.trunc(p / 127.5 - 1)),
    ],
)
def test_numbers_are_those_the_model_declares(
    dtype: str, quantisation: Quantisation | None, expected: object
) -> None:
    """Every input type gets ``pixel * scale + shift`` in its own quantisation."""
    image = noise(33, 65)
    tensor = TensorInfo("in", (1, 33, 65, 3), dtype, quantisation)

    made = Preprocessor(tensor, **SIGNED).prepare(image, whole(image, Size(65, 33)))

    wanted = expected(image.astype(np.float64))  # type: ignore[operator]
    assert made.dtype == dtype
    assert np.abs(made[0] - wanted).max() <= (1e-6 if dtype == "float32" else 1)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
def test_channels_come_first_where_the_model_has_them_first(dtype: str) -> None:
    """A channels-first input gets the same numbers, transposed and contiguous."""
    image, size = noise(100, 60), Size(32, 48)
    scale = None if dtype == "float32" else Quantisation(1 / 127.5, 0)
    last = Preprocessor(TensorInfo("in", (1, 48, 32, 3), dtype, scale), **SIGNED)
    first = Preprocessor(TensorInfo("in", (1, 3, 48, 32), dtype, scale), **SIGNED)

    expected = last.prepare(image, whole(image, size))
    tensor = first.prepare(image, whole(image, size))

    assert tensor.flags.c_contiguous
    assert np.array_equal(tensor, expected.transpose(0, 3, 1, 2))


def test_padding_is_black_in_the_models_numbers() -> None:
    """The padding is black: -1 for a float model."""
    image = np.full((50, 100, 3), 255, dtype=np.uint8)
    preprocessor = Preprocessor(TensorInfo("in", (1, 64, 64, 3), "float32"), **SIGNED)

    tensor = preprocessor.prepare(image, whole(image, Size(64, 64)))[0]

    assert np.all(tensor[0] == -1)
    assert np.all(tensor[-1] == -1)
    assert tensor[32] == pytest.approx(1)


def test_a_region_beyond_the_picture_sees_black_there() -> None:
    """The part of a region outside of the picture is black."""
    image = np.full((100, 100, 3), 200, dtype=np.uint8)
    letterbox = Letterbox.fit((60, -40, 80, 80), Size(80, 80))
    preprocessor = Preprocessor(TensorInfo("in", (1, 80, 80, 3), "uint8"), **RAW)

    tensor = preprocessor.prepare(image, letterbox)[0]

    assert np.all(tensor[40:, :40] == 200)
    assert np.all(tensor[:40] == 0)
    assert np.all(tensor[:, 40:] == 0)


@pytest.mark.parametrize("size", [(480, 640), (1080, 1920), (640, 384)])
def test_a_spot_lands_where_the_letterbox_says(size: tuple[int, int]) -> None:
    """Pixels and coordinates are mapped equally."""
    height, width = size
    image = np.zeros((height, width, 3), dtype=np.uint8)
    x, y = width // 3, height * 3 // 4
    image[y - 10 : y + 11, x - 10 : x + 11] = 255
    letterbox = whole(image, Size(481, 353))
    preprocessor = Preprocessor(TensorInfo("in", (1, 353, 481, 3), "uint8"), **RAW)

    tensor = preprocessor.prepare(image, letterbox)[0, :, :, 0].astype(np.float64)

    rows, columns = np.indices(tensor.shape)
    seen = [(columns * tensor).sum() / tensor.sum(), (rows * tensor).sum() / tensor.sum()]
    said = letterbox.to_model(np.array([x, y], dtype=np.float32))
    assert np.allclose(seen, said, atol=0.15)


@pytest.mark.parametrize("shape", [(576, 768), (1080, 1920), (721, 1281), (400, 300)])
@pytest.mark.parametrize("model", [Size(192, 192), Size(257, 193)])
def test_a_large_picture_is_averaged_not_sampled(shape: tuple[int, int], model: Size) -> None:
    """Large pictures are reduced by averaging: noise falls as with INTER_AREA."""
    image = cv2.blur(noise(*shape), (3, 3))
    letterbox = whole(image, model)
    preprocessor = Preprocessor(TensorInfo("in", (1, model.height, model.width, 3), "uint8"), **RAW)

    tensor = preprocessor.prepare(image, letterbox)[0]

    left, top, width, height = letterbox.inner
    inside = tensor[top : top + height, left : left + width].astype(float)
    averaged = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(float)
    sampled = cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST).astype(float)
    assert abs(inside.mean() - averaged.mean()) < 1
    assert np.abs(inside - averaged).mean() < 0.3 * np.abs(sampled - averaged).mean()


def test_corners_stay_where_they_are_when_a_picture_is_shrunk() -> None:
    """A mark near the corner of a reduced picture is where the letterbox maps it."""
    for width, height in ((1280, 720), (1366, 768), (1001, 563)):
        image = np.zeros((height, width, 3), dtype=np.uint8)
        cv2.circle(image, (width - 40, height - 40), 20, (255, 255, 255), -1)
        letterbox = whole(image, Size(192, 192))
        preprocessor = Preprocessor(TensorInfo("in", (1, 192, 192, 3), "uint8"), **RAW)

        tensor = preprocessor.prepare(image, letterbox)[0, :, :, 0].astype(float)

        rows, columns = np.indices(tensor.shape)
        middle = np.array([[(columns * tensor).sum(), (rows * tensor).sum()]]) / tensor.sum()
        expected = letterbox.to_model(np.array([[width - 40, height - 40]], dtype=np.float32))
        assert np.abs(middle - expected).max() < 0.3


@pytest.mark.parametrize("side", [120, 260, 900])
@pytest.mark.parametrize("angle_deg", [90.0, -90.0, 180.0, 37.0, -133.0])
def test_a_spot_in_a_turned_region_lands_where_the_letterbox_says(
    angle_deg: float, side: int
) -> None:
    """Pixels and coordinates of rotated regions are mapped equally, at any scale."""
    image = np.zeros((800, 1000, 3), dtype=np.uint8)
    region = (500 - side // 2, 400 - side // 2, side, side)
    letterbox = Letterbox.fit(region, Size(160, 256), angle_deg=angle_deg)
    x, y = 500 + side // 5, 400 - side // 8
    half = max(3, side // 20)
    image[y - half : y + half + 1, x - half : x + half + 1] = 255
    preprocessor = Preprocessor(TensorInfo("in", (1, 256, 160, 3), "uint8"), **RAW)

    tensor = preprocessor.prepare(image, letterbox)[0, :, :, 0].astype(np.float64)

    rows, columns = np.indices(tensor.shape)
    seen = [(columns * tensor).sum() / tensor.sum(), (rows * tensor).sum() / tensor.sum()]
    said = letterbox.to_model(np.array([x, y], dtype=np.float32))
    assert np.allclose(seen, said, atol=0.15)
    area = ((2 * half + 1) * letterbox.scale[0]) ** 2
    assert tensor.sum() / 255 == pytest.approx(area, rel=0.06)


def test_a_turned_region_beyond_the_picture_sees_black_there() -> None:
    """The corner outside of the picture after the rotation is black, the rest is not."""
    image = np.full((100, 100, 3), 200, dtype=np.uint8)
    letterbox = Letterbox.fit((60, 20, 80, 80), Size(80, 80), angle_deg=90.0)
    preprocessor = Preprocessor(TensorInfo("in", (1, 80, 80, 3), "uint8"), **RAW)

    tensor = preprocessor.prepare(image, letterbox)[0]

    assert np.all(tensor[:38] == 0)  # the right of the frame is at the top
    assert np.all(tensor[42:] == 200)
