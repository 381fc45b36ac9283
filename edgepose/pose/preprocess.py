"""Converts images to model inputs: region, letterbox, resize, normalisation."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edgepose.geometry import Letterbox
from edgepose.models.info import TensorInfo
from edgepose.types import DecodedPicture, Image, Picture

BYTES: Final = np.arange(256)


def use_one_thread() -> None:
    """Limit OpenCV to one thread, since the network uses the other cores."""
    cv2.setNumThreads(1)


class Preprocessor:
    """Converts regions of images to inputs of one model.

    Parameters
    ----------
    tensor : TensorInfo
        The model's input, ``[1, height, width, 3]`` or ``[1, 3, height, width]``.
    scale, shift : float, 3 floats
        Normalisation, RGB: ``real = pixel * scale + shift[channel]``.
    """

    def __init__(
        self, tensor: TensorInfo, *, scale: float, shift: tuple[float, float, float]
    ) -> None:
        table = BYTES[:, None] * scale + np.array(shift)[None, :]
        stored = table if tensor.quantisation is None else _quantise(table, tensor)
        self._table = stored.astype(tensor.dtype)[None, :, :]
        self._affine = _affine(tensor, scale, shift)
        self._plain = tensor.dtype == "uint8" and _nearly_bytes(stored)
        self._dtype = np.dtype(tensor.dtype)
        self._channels_first = tensor.channels_first

    def prepare(self, image: Picture, letterbox: Letterbox) -> NDArray[Any]:
        """Return the input tensor in the model's shape and type; padding is black.

        Parameters
        ----------
        image : (height, width, 3)
            RGB, uint8; not modified. Or a decoded picture, which is converted after shrinking.
        letterbox : Letterbox
            Region of the image and its place in the input; pixels outside the image are black.
        """
        left, top, width, height = letterbox.inner
        model = letterbox.model
        canvas = np.zeros((model.height, model.width, 3), dtype=np.uint8)
        inside = canvas[top : top + height, left : left + width]
        if not isinstance(image, np.ndarray) and _is_shrunk(image, letterbox):
            planes = [_resize(_halve_region(part, inside), inside) for part in image.planes]
            inside[:] = image.colours(np.asarray(cv2.merge(planes), np.uint8))
        else:
            _resize_region(image, letterbox, inside)
        numbers = self._model_numbers(canvas)
        if self._channels_first:
            numbers = np.ascontiguousarray(numbers.transpose(2, 0, 1))
        return numbers[None]

    def _model_numbers(self, canvas: Image) -> NDArray[Any]:
        if self._plain:
            return canvas
        if self._affine is not None:  # takes half the time of a lookup table
            scale, shift = self._affine
            return cv2.addWeighted(canvas, scale, canvas, 0, shift, dtype=cv2.CV_32F)
        if self._dtype in (np.float32, np.uint8, np.int8, np.int32):
            return cv2.LUT(canvas, self._table)
        return np.take_along_axis(self._table[0], canvas.reshape(-1, 3), axis=0).reshape(
            canvas.shape
        )


def _affine(
    tensor: TensorInfo, scale: float, shift: tuple[float, float, float]
) -> tuple[float, float] | None:
    """Return scale and shift if the input is float32 and all channels have the same shift."""
    if tensor.dtype != "float32" or tensor.quantisation is not None or len(set(shift)) > 1:
        return None
    return scale, shift[0]


def _quantise(real: NDArray[np.float64], tensor: TensorInfo) -> NDArray[np.float64]:
    assert tensor.quantisation is not None
    limits = np.iinfo(tensor.dtype)
    stored = np.round(real / tensor.quantisation.scale) + tensor.quantisation.zero_point
    return np.clip(stored, limits.min, limits.max)


def _nearly_bytes(stored: NDArray[np.float64]) -> bool:
    """Return whether the stored values equal the pixels within one rounding step.

    Coral's models declare scale 1/128 and zero point 128, and expect the raw bytes.
    """
    return bool(np.abs(stored - BYTES[:, None]).max() <= 1)


def _is_shrunk(picture: DecodedPicture, letterbox: Letterbox) -> bool:
    """Return whether the whole picture becomes smaller than half, the size of its colour planes.

    Then the result differs from that of the RGB picture by rounding only.
    """
    height, width, _ = picture.shape
    if letterbox.region != (0, 0, width, height) or letterbox.angle_deg:
        return False
    return width >= 2 * letterbox.inner[2] and height >= 2 * letterbox.inner[3]


def _resize_region(image: Picture, letterbox: Letterbox, target: Image) -> None:
    """Fill `target` with the letterbox's region of an image."""
    if letterbox.angle_deg:
        rgb = image if isinstance(image, np.ndarray) else image.to_rgb()
        upright = _halve_region(_turn_upright(rgb, letterbox), target)
        _resize(upright, target, into=target, shrinks=True)
    else:
        region = _halve_region(_cut_region(image, letterbox.region), target)
        _resize(region, target, into=target)


def _resize(
    region: Image, target: Image, *, into: Image | None = None, shrinks: bool = False
) -> Image:
    """Return a region at the size of `target`."""
    height, width = target.shape[:2]
    # Bilinear sampling skips pixels when shrinking by more than 2; INTER_AREA does not.
    shrinks |= region.shape[0] > 2 * height
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(region, (width, height), dst=into, interpolation=how), np.uint8)


def _halve_region(region: Image, target: Image) -> Image:
    """Return a region, halved while its sides are even and at least twice those of `target`.

    Repeated means of 2x2 pixels take a third of the time of a single `cv2.INTER_AREA`.
    """
    height, width = target.shape[:2]
    while _can_halve(region.shape[1], width) and _can_halve(region.shape[0], height):
        half = region.shape[1] // 2, region.shape[0] // 2
        region = np.asarray(cv2.resize(region, half, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return region


def _can_halve(side: int, least: int) -> bool:
    return side % 2 == 0 and side >= 2 * least


def _turn_upright(image: Image, letterbox: Letterbox) -> Image:
    """Return a rotated region upright, at an integer multiple of the target size."""
    left, top, width, height = letterbox.inner
    times = max(1, int(letterbox.region[3] / height))
    matrix = letterbox.matrix.copy()
    origin = np.array([left, top]) + 0.5 / times - 0.5  # centre of the first oversampled pixel
    matrix[:, 2] += matrix[:, :2] @ origin
    matrix[:, :2] /= times
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    turned = cv2.warpAffine(image, matrix, (width * times, height * times), flags=flags)
    return np.asarray(turned, dtype=np.uint8)


def _cut_region(image: Picture, region: tuple[int, int, int, int]) -> Image:
    """Return the region; a view, or a copy padded with black where it exceeds the image."""
    x, y, width, height = region
    rows, columns = image.shape[:2]
    left, top = max(0, -x), max(0, -y)
    right, bottom = max(0, x + width - columns), max(0, y + height - rows)
    ends = max(0, x), max(0, y), x + width - right, y + height - bottom
    if ends[0] >= ends[2] or ends[1] >= ends[3]:
        return np.zeros((height, width, 3), dtype=np.uint8)
    view = _part(image, *ends)
    if not (left or top or right or bottom):
        return view
    border = cv2.copyMakeBorder(view, top, bottom, left, right, cv2.BORDER_CONSTANT)
    return np.asarray(border, dtype=np.uint8)


def _part(image: Picture, left: int, top: int, right: int, bottom: int) -> Image:
    """Return a part of an image; of a decoded picture, only small parts are converted alone."""
    if not isinstance(image, np.ndarray):
        rows, columns = image.shape[:2]
        if (right - left) * (bottom - top) < rows * columns / 2:
            return image.cut(left, top, right, bottom)
        image = image.to_rgb()
    return image[top:bottom, left:right]
