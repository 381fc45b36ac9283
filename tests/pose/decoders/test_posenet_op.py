"""Coral's decoder operator, removed from the file in place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepose.errors import ModelError
from edgepose.models import info
from edgepose.models.info import Outputs
from edgepose.pose import decoders
from edgepose.pose.decoders import Limits, posenet_op
from edgepose.pose.decoders.posenet import PoseNetDecoder, PoseNetOptions
from edgepose.types import Size
from tests.support import networks
from tests.support.contracts.decoder import match
from tests.support.posenet_truth import as_outputs, crowd

OPTIONS = {"max_detections": 7, "nms_radius": 12.5, "score_threshold": 0.25, "stride": 16}
SCENE = crowd(2, 3, Size(31, 23))


def file(
    options: Any = OPTIONS, *, name: str = posenet_op.OP, order: tuple[int, ...] = (0, 1, 2)
) -> bytes:
    """Return a network like Coral's: 8-bit heads, followed by the operator."""
    said = as_outputs(SCENE, dtype="uint8", order=order)
    heads = [
        (tensor.name, array, tensor.quantisation)
        for tensor, array in zip(said.model.outputs, said.arrays, strict=True)
    ]
    return networks.build((1, 353, 481, 3), heads, custom_op=(name, options))


def run(loaded: decoders.Loaded) -> Outputs:
    """Run a network on a black picture in a stock runtime."""
    from tests.support.runtimes import Interpreter

    interpreter = Interpreter(model_content=loaded.content)
    interpreter.allocate_tensors()
    interpreter.invoke()
    details = interpreter.get_output_details()
    return Outputs(
        loaded.model, tuple(interpreter.get_tensor(detail["index"]) for detail in details)
    )


def test_it_makes_the_file_run_and_decodes_it() -> None:
    """A runtime without the operator runs the rest, and the people are decoded correctly."""
    loaded = decoders.load(file(), "coral")

    people = loaded.decoder.decode(run(loaded), Limits())

    assert match(np.array([p.keypoints[:, :2] for p in people]), SCENE.people) < 0.5


def test_it_moves_nothing() -> None:
    """The length stays and at most five 4-byte numbers differ, so data stays aligned."""
    content = file()

    without, _, _ = posenet_op.cut(content, info.read(content, "coral"))

    assert len(without) == len(content)
    differ = [at for at in range(len(content)) if without[at] != content[at]]
    assert len({at // 4 for at in differ}) <= 5


def test_it_keeps_the_operators_own_options() -> None:
    """Stride, radius, threshold and maximum number are those of the operator."""
    loaded = decoders.load(file(), "coral")

    assert isinstance(loaded.decoder, PoseNetDecoder)
    assert loaded.decoder.options == PoseNetOptions(16, 0.25, 12.5, 7)
    assert loaded.decoder.people == 7


def test_it_says_what_the_file_gives_afterwards() -> None:
    """The heads are the outputs, and no custom operator is left."""
    loaded = decoders.load(file(), "coral")

    assert [tensor.shape[3] for tensor in loaded.model.outputs] == [17, 34, 64]
    assert loaded.model.custom_ops == ()
    assert loaded.model.name == "coral"


def test_it_leaves_other_models_as_they_are() -> None:
    """A file without the operator is loaded unchanged."""
    said = as_outputs(SCENE)
    heads = [
        (tensor.name, array, None)
        for tensor, array in zip(said.model.outputs, said.arrays, strict=True)
    ]
    content = networks.build((1, 353, 481, 3), heads)

    loaded = decoders.load(content, "plain")

    assert loaded.content is content
    assert isinstance(loaded.decoder, PoseNetDecoder)


@pytest.mark.parametrize(
    "options",
    [
        {},
        b"",
        b"\xff\x00\x13\x37",
        OPTIONS | {"stride": 0},
        OPTIONS | {"stride": "sixteen"},
        OPTIONS | {"score_threshold": 1.5},
        OPTIONS | {"nms_radius": -1.0},
        OPTIONS | {"max_detections": 0},
    ],
    ids=repr,
)
def test_it_refuses_options_that_make_no_sense(options: Any) -> None:
    """Invalid operator options raise ModelError."""
    with pytest.raises(ModelError, match=posenet_op.OP):
        decoders.load(file(options), "coral")


def test_it_refuses_heads_that_are_none() -> None:
    """Inputs that are not PoseNet's heads raise ModelError."""
    zeros = np.zeros((1, 3, 3, 5), dtype=np.float32)
    content = networks.build(
        (1, 33, 33, 3), [(name, zeros, None) for name in "abc"], custom_op=(posenet_op.OP, OPTIONS)
    )

    with pytest.raises(ModelError, match="expected 17, 34 and 64 channels"):
        decoders.load(content, "odd")


def test_it_refuses_an_operator_with_too_few_inputs() -> None:
    """An operator with fewer than three inputs raises ModelError."""
    zeros = np.zeros((1, 3, 3, 17), dtype=np.float32)
    content = networks.build(
        (1, 33, 33, 3), [("a", zeros, None)], custom_op=(posenet_op.OP, OPTIONS)
    )

    with pytest.raises(ModelError, match="takes 1 tensors"):
        decoders.load(content, "odd")


def test_it_does_not_touch_other_custom_operators() -> None:
    """Another custom operator is not removed; the error lists the model's outputs."""
    with pytest.raises(ModelError, match="expected those of"):
        decoders.load(file(name="SomeOtherOp"), "odd")


CORAL = sorted((Path(__file__).parents[4] / "shared" / "testdata").glob("posenet_*decoder*.tflite"))


@pytest.mark.skipif(not CORAL, reason="Coral's files are not here")
@pytest.mark.parametrize("path", CORAL, ids=lambda path: path.stem)
def test_it_cuts_corals_own_files(path: Path) -> None:
    """Coral's CPU files need no custom operator afterwards, the Edge TPU files only its own."""
    loaded = decoders.load(path.read_bytes(), path.stem)

    assert [tensor.shape for tensor in loaded.model.outputs] == [
        (1, 23, 31, 17),
        (1, 23, 31, 34),
        (1, 23, 31, 64),
    ]
    assert isinstance(loaded.decoder, PoseNetDecoder)
    assert loaded.decoder.options.stride == 16
    assert loaded.decoder.options.nms_radius_px == 10
    assert loaded.decoder.options.max_detections == (20 if "_16_" in path.stem else 10)
    assert loaded.model.needs_edgetpu == ("edgetpu" in path.stem)
    assert loaded.model.custom_ops in {(), (info.EDGETPU_OP,)}
