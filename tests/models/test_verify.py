"""A file that is not a complete model is refused before a runtime loads it."""

import struct
from pathlib import Path

import numpy as np
import pytest

from edgepose.errors import ModelError
from edgepose.models import info, verify
from tests.support import networks

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "edgepose" / "data").glob("*.tflite"))
GIVEN = sorted((ROOT.parent / "shared" / "testdata").glob("*.tflite"))

# One of each converter, runtime and target; the others differ in their weights only.
VARIED = [
    path
    for path in SHIPPED + GIVEN
    if path.stem
    in {
        "movenet_lightning_int8",
        "movenet_multipose_float16",
        "posenet_075_257_stride32_float16",
        "posenet_mobilenet_v1_075_353_481_quant_decoder",
        "posenet_mobilenet_v1_075_353_481_16_quant_decoder_edgetpu",
        "movenet_single_pose_lightning_ptq_edgetpu",
    }
]
each_varied = pytest.mark.parametrize("path", VARIED, ids=lambda path: path.stem)


def tiny() -> bytes:
    """Return a complete model of about a kilobyte."""
    zeros = np.zeros((1, 2, 2, 17), dtype=np.float32)
    return networks.build((1, 8, 8, 3), [("a", zeros, None)], signature=["x"])


def refused(content: bytes) -> bool:
    """Return whether a file is refused; exceptions other than ModelError fail the test."""
    try:
        info.read(content, "file")
    except ModelError as error:
        assert "model file: " in str(error)
        assert "expected" in str(error)
        return True
    return False


@pytest.mark.parametrize("path", SHIPPED + GIVEN, ids=lambda path: path.stem)
def test_it_lets_whole_files_pass(path: Path) -> None:
    """Every shipped and every external model passes."""
    assert not refused(path.read_bytes())


@each_varied
def test_it_refuses_a_file_cut_anywhere(path: Path) -> None:
    """Files truncated at sixty places are refused."""
    content = path.read_bytes()
    cuts = np.unique(np.linspace(0, len(content) - 1, 60).astype(int)).tolist()

    # The padding after the last table is unused.
    kept = [cut for cut in cuts if not refused(content[:cut])]

    assert all(len(content) - cut < 64 for cut in kept)


def test_it_refuses_a_small_file_cut_at_every_byte() -> None:
    """A small file truncated at any byte is refused."""
    content = tiny()

    kept = [cut for cut in range(len(content)) if not refused(content[:cut])]

    assert all(len(content) - cut < 4 for cut in kept)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
        (b"PK\x03\x04" + bytes(100), "zip"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git-lfs"),
        (b"<!doctype html><title>404</title>", "web page"),
        (b"hello, I am not a model at all", "68 65 6c 6c 6f"),
        (b"\x00\x00\x00\x00TFL", "00 00 00 00"),
    ],
)
def test_it_says_what_a_foreign_file_is(content: bytes, word: str) -> None:
    """The error names what was found."""
    with pytest.raises(ModelError, match=word):
        info.read(content, "file")


def test_it_refuses_noise_that_calls_itself_a_model() -> None:
    """Random bytes with the right identifier are refused."""
    random = np.random.default_rng(0)

    for size in (8, 12, 64, 1000, 100_000):
        for _ in range(20):
            noise = random.bytes(size)
            assert refused(noise[:4] + b"TFL3" + noise[8:])
            assert refused(struct.pack("<I", 8 + 4 * (size % 7)) + b"TFL3" + noise[8:])


def test_it_never_fails_otherwise_when_bytes_are_damaged() -> None:
    """Any damaged byte of a small file gives a model or a ModelError."""
    content = tiny()

    damaged = [
        refused(content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :])
        for at in range(len(content))
        for flip in (0x01, 0x80, 0xFF)
    ]

    # Damaged weights cannot be detected, a damaged structure can.
    assert 0.3 < np.mean(damaged) < 1


@each_varied
def test_it_never_fails_otherwise_when_bits_are_flipped(path: Path) -> None:
    """Flipped bits in the tables of a real file give a model or a ModelError."""
    content = path.read_bytes()
    random = np.random.default_rng(1)
    places = np.concatenate(
        [random.integers(0, 4000, 60), len(content) - random.integers(1, 40_000, 60)]
    )

    found = []
    for place in places.tolist():
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(random.integers(8))
        found.append(refused(bytes(flipped)))

    assert any(found)


def test_it_does_not_look_at_the_weights() -> None:
    """The cost does not depend on the size of the weights."""
    small = networks.build((1, 8, 8, 3), [("a", np.zeros((1, 10), np.float32), None)])
    large = networks.build((1, 8, 8, 3), [("a", np.zeros((1, 1_000_000), np.float32), None)])

    assert len(large) > 1000 * len(small)
    assert verify.check(large, "large") == verify.check(small, "small")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_it_is_quick_on_the_way_to_the_first_picture(path: Path) -> None:
    """The largest shipped network needs fewer than 4,000 steps of some microseconds."""
    assert verify.check(path.read_bytes(), path.stem) < 4000


def test_it_is_not_held_up_by_a_file_that_repeats_itself() -> None:
    """A file that claims huge vectors is refused quickly."""
    count = verify.ENTRIES_AT_MOST + 1
    vtable = struct.pack("<HHHHH", 10, 12, 0, 0, 8)  # a model that has only `subgraphs`
    model_at = 8 + 12
    table = struct.pack("<iiI", model_at - 8, 0, 4)
    vector = struct.pack("<I", count) + bytes(4 * count)

    with pytest.raises(ModelError, match="parts"):
        info.read(struct.pack("<I4s", model_at, b"TFL3") + vtable + bytes(2) + table + vector, "f")


def test_it_refuses_references_to_what_is_not_there() -> None:
    """References to missing tensors, buffers or operators are refused."""
    content = tiny()
    graph = networks.schema.Model.GetRootAs(content, 0).Subgraphs(0)
    inputs = graph._tab.Vector(graph._tab.Offset(6))

    for value in (-1, 3, 1 << 30):
        patched = bytearray(content)
        struct.pack_into("<i", patched, inputs, value)
        assert refused(bytes(patched))


def test_it_refuses_a_text_without_its_end() -> None:
    """A string without a terminating zero is refused, as C code would read on."""
    content = tiny()

    assert refused(content.replace(b"image\0", b"image!"))
