"""Model information read from a .tflite file."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgepose.errors import ModelError
from edgepose.models import info
from edgepose.models.info import Outputs, Quantisation
from edgepose.types import Size
from tests.support import networks

DATA = Path(__file__).parents[2] / "edgepose" / "data"
MODELS = sorted(DATA.glob("*.tflite"))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_it_reads_what_the_runtime_reads(path: Path) -> None:
    """Names, shapes, types, scales and order are equal to the runtime's."""
    from tests.support.runtimes import Interpreter

    interpreter = Interpreter(model_path=str(path))

    model = info.read(path.read_bytes(), path.stem)

    for ours, theirs in [
        (model.inputs, interpreter.get_input_details()),
        (model.outputs, interpreter.get_output_details()),
    ]:
        assert [tensor.name for tensor in ours] == [detail["name"] for detail in theirs]
        for tensor, detail in zip(ours, theirs, strict=True):
            assert tensor.shape == tuple(detail["shape_signature"])
            assert tensor.default_shape == tuple(detail["shape"])
            assert tensor.dtype == np.dtype(detail["dtype"]).name
            assert (tensor.quantisation or (0.0, 0)) == detail["quantization"]


def test_it_reads_signatures_scales_and_open_sizes() -> None:
    """Tensor names, signature names, scales and open sizes are read."""
    scale = Quantisation(0.5, 3)
    head = np.zeros((1, 2, 2, 17), dtype=np.uint8)

    model = info.read(
        networks.build(
            (1, 32, 48, 3),
            [("StatefulPartitionedCall:0", head, scale)],
            open_sizes=(1, -1, -1, 3),
            signature=["heatmap"],
        ),
        "file",
    )

    assert model.outputs[0].signature == "heatmap"
    assert model.outputs[0].name == "StatefulPartitionedCall:0"
    assert model.outputs[0].quantisation == scale
    assert model.input_size == Size(-1, -1)
    assert model.inputs[0].default_shape == (1, 32, 48, 3)
    assert model.resized(Size(48, 32)).input_size == Size(48, 32)
    assert model.custom_ops == ()
    assert not model.needs_edgetpu


@pytest.mark.parametrize("shape", [(1, 100), (1, 32, 32, 1), (1, 32, 3, 32), (3, 32, 32)])
def test_it_refuses_a_model_that_takes_no_picture(shape: tuple[int, ...]) -> None:
    """The error names the found and the expected shape."""
    content = networks.build(shape, [("a", np.zeros((1, 4), np.float32), None)])

    with pytest.raises(ModelError, match=r"expected one RGB picture \[1, height, width, 3\]"):
        info.read(content, "file")


def test_a_picture_with_channels_first_keeps_its_layout() -> None:
    """Width and height are read from the right axes, also after resizing."""
    content = networks.build((1, 3, 32, 48), [("a", np.zeros((1, 4), np.float32), None)])

    model = info.read(content, "file")

    assert model.input_size == Size(48, 32)
    assert model.resized(Size(64, 96)).inputs[0].shape == (1, 3, 96, 64)
    assert model.resized(Size(64, 96)).input_size == Size(64, 96)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_it_refuses_a_scale_that_no_number_can_have(scale: float) -> None:
    """An invalid scale raises ModelError."""
    head = np.zeros((1, 4), dtype=np.uint8)
    content = networks.build((1, 8, 8, 3), [("a", head, Quantisation(scale, 0))])

    with pytest.raises(ModelError, match="scale"):
        info.read(content, "file")


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_it_turns_stored_numbers_into_real_ones_without_wrapping(dtype: str) -> None:
    """8-bit values are widened before the zero point is subtracted; the input is unchanged."""
    stored = np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype).reshape(1, 256)
    model = info.read(
        networks.build((1, 8, 8, 3), [("a", stored, Quantisation(0.25, 100))]), "file"
    )

    real = Outputs(model, (stored,)).real(0)

    np.testing.assert_allclose(real, (stored.astype(float) - 100) * 0.25)
    assert real.dtype == np.float32
    assert stored.dtype == np.dtype(dtype)


def test_it_loads_the_schema_only_where_a_file_is_read() -> None:
    """The schema is not imported until a file is read."""
    code = "import sys, edgepose.models.info; sys.exit('tflite' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
