"""Networks reshaped to other input sizes."""

import numpy as np
import pytest

from edgepose.errors import ModelError
from edgepose.geometry import Letterbox
from edgepose.models import catalog, reshape
from edgepose.pose.decoders import Limits
from edgepose.pose.estimator import Network, to_frame
from edgepose.pose.policies import Crop
from edgepose.types import Size
from tests.pose.test_estimator import street
from tests.support import networks

THUNDER = ("movenet-thunder", "movenet-thunder-int8")


def content(name: str) -> bytes:
    return catalog.read_file(catalog.choose(name).path)


@pytest.mark.parametrize("name", [*THUNDER, "movenet-lightning-int8"])
def test_every_shape_runs_and_gives_heads_on_its_own_grid(name: str) -> None:
    """The heads have one cell per four pixels, for each input shape."""
    network = Network(catalog.choose(name), 1, shaped=True)

    assert len(network.shapes) == 5
    for size in network.shapes:
        tensor = np.zeros((1, size.height, size.width, 3), dtype=np.uint8)
        outputs = network.engine.infer(tensor)
        assert outputs.model.input_size == size
        grids = {array.shape[1:3] for array in outputs.arrays}
        assert grids == {(size.height // 4, size.width // 4)}


@pytest.mark.parametrize("name", THUNDER)
def test_a_narrow_input_sees_what_a_square_sees(name: str) -> None:
    """A person that fits into both inputs has the same joints in both."""
    network = Network(catalog.choose(name), 1, shaped=True)
    picture, person = street(), (150, 190)
    square, narrow = Size(256, 256), Size(160, 256)
    region = Letterbox.fit((person[0] - 160, person[1] - 160, 320, 320), square).region
    joints = []
    for size in (square, narrow):
        width = round(region[3] * size.width / size.height)
        crop = Crop(0, (person[0] - width // 2, region[1], width, region[3]), size=size)
        look = network.prepare(picture, crop)
        (pose,) = network.decoder.decode(network.engine.infer(look.take()), Limits(1, 0.0))
        joints.append(to_frame([pose], look.letterbox)[0].keypoints)

    sure = (joints[0][:, 2] > 0.3) & (joints[1][:, 2] > 0.3)
    assert sure.sum() > 10
    apart = np.linalg.norm(joints[0][sure, :2] - joints[1][sure, :2], axis=1)
    assert np.median(apart) < 4


@pytest.mark.parametrize("name", ["movenet-multipose", "movenet-lightning"])
def test_what_ends_in_coordinates_keeps_its_own_size(name: str) -> None:
    """A graph with operators for a fixed picture size is not reshaped."""
    assert reshape.shapes(content(name), Size(256, 256)) == (Size(256, 256),)


def test_a_network_that_always_says_the_same_keeps_its_size() -> None:
    """A network of constants is not reshaped."""
    file = networks.build((1, 256, 256, 3), [("out", np.zeros((1, 4), np.float32), None)])

    assert reshape.shapes(file, Size(256, 256)) == (Size(256, 256),)


def test_a_size_that_does_not_come_out_even_is_refused() -> None:
    """A size that the up-sampling layers do not divide raises ModelError."""
    with pytest.raises(ModelError, match="cannot be reshaped"):
        reshape.reshape(content("movenet-thunder-int8"), Size(256, 256), Size(200, 256))
