"""One network with several input sizes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from edgepose.models import catalog, reshape
from edgepose.pose.estimator import Network
from edgepose.pose.shaped import ShapedInterpreter, affordable
from edgepose.types import Size


def content(name: str) -> bytes:
    return catalog.read_file(catalog.choose(name).path)


def test_interpreters_are_made_when_first_needed() -> None:
    """Only the file's own size is loaded at first, others at their first use."""
    shaped = Network(catalog.choose("movenet-lightning-int8"), 1, shaped=True).engine
    assert isinstance(shaped, ShapedInterpreter)

    before = len(shaped.made)
    for _ in range(2):
        shaped.infer(np.zeros((1, 192, 128, 3), dtype=np.uint8))

    assert (before, len(shaped.made)) == (1, 2)


def test_several_interpreters_have_every_shape() -> None:
    """With several interpreters crops of any shape give the same outputs in parallel."""
    network = Network(catalog.choose("movenet-lightning-int8"), 1, interpreters=2, shaped=True)
    tensors = [
        np.full((1, size.height, size.width, 3), 90, dtype=np.uint8) for size in network.shapes
    ]

    with ThreadPoolExecutor(4) as threads:
        several = list(threads.map(network.engine.infer, tensors * 2))

    for first, second in zip(several[:5], several[5:], strict=True):
        for a, b in zip(first.arrays, second.arrays, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_small_machine_has_fewer_shapes() -> None:
    """The number of shapes depends on the machine's memory."""
    name = "movenet-thunder"
    sizes = reshape.shapes(content(name), Size(256, 256))
    file_bytes = len(content(name))

    counts = [len(affordable(sizes, file_bytes, mb << 20)) for mb in (256, 512, 1024, 2048, 8192)]

    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, 5)
    assert affordable(sizes, file_bytes, 1 << 30)[:2] == (Size(256, 256), Size(160, 256))
